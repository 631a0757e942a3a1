package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

// as returns a context with a login for each host, in the form HOST=USER:PASSWORD.
func as(t *testing.T, refused func(), entries ...string) context.Context {
	t.Helper()
	var all []trust.Login
	for _, entry := range entries {
		host, login, _ := strings.Cut(entry, "=")
		user, password, _ := strings.Cut(login, ":")
		one, err := trust.ReadDockerConfig(fmt.Appendf(nil, `{"auths":{%q:{"username":%q,"password":%q}}}`, host, user, password))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one...)
	}
	l, err := trust.NewLogins(refused, all...)
	if err != nil {
		t.Fatal(err)
	}
	return trust.WithLogins(t.Context(), l)
}

var accounts = []registrytest.Account{
	{Username: "ann", Password: "a", Repositories: []string{repo}},
	{Username: "bob", Password: "b", Repositories: []string{"other/app"}},
}

// kinds are the two ways to log in.
var kinds = map[string]registrytest.Options{
	"basic": {Accounts: accounts},
	"token": {Accounts: accounts, Token: &registrytest.Token{}},
}

func TestT26_LoginsOfTwoTenants(t *testing.T) {
	for name, o := range kinds {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t, o)
			s.PushImage(repo, "1.0", "", "seed")
			c := newClient(t, registry.Config{})
			ann, bob := as(t, nil, s.Host()+"=ann:a"), as(t, nil, s.Host()+"=bob:b")
			var wait sync.WaitGroup
			for range 20 {
				wait.Go(func() {
					if _, err := c.Manifest(ann, tagged(t, s, "1.0")); err != nil {
						t.Error(err)
					}
				})
				for _, ctx := range []context.Context{bob, t.Context()} {
					wait.Go(func() {
						if _, err := c.Manifest(ctx, tagged(t, s, "1.0")); err == nil || errors.Is(err, trust.ErrNotFound) {
							t.Errorf("got %v without a login that opens", err)
						}
					})
				}
			}
			wait.Wait()
		})
	}
}

// The client's own credentials open nothing for somebody whose own are refused, and serve whoever has none.
func TestT26_OwnCredentialsDoNotHelpOut(t *testing.T) {
	for name, o := range kinds {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t, o)
			s.PushImage(repo, "1.0", "", "seed")
			c := newClient(t, registry.Config{Registries: []registry.Settings{{Host: s.Host(), Username: "ann", Password: "a"}}})
			if _, err := c.Manifest(t.Context(), tagged(t, s, "1.0")); err != nil {
				t.Error(err)
			}
			if _, err := c.Manifest(as(t, nil, "other.example=bob:b"), tagged(t, s, "1.0")); err != nil {
				t.Errorf("a login for another host: %v", err)
			}
			for _, login := range []string{"bob:b", "ann:wrong"} {
				var refused atomic.Int64
				_, err := c.Manifest(as(t, func() { refused.Add(1) }, s.Host()+"="+login), tagged(t, s, "1.0"))
				if err == nil || errors.Is(err, trust.ErrNotFound) || refused.Load() != 1 {
					t.Errorf("%s: got %v, told %d times", login, err, refused.Load())
				}
			}
		})
	}
}

// Of several logins each is tried, as the kubelet does.
func TestLoginsAreTriedInTurn(t *testing.T) {
	for name, o := range kinds {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t, o)
			s.PushImage(repo, "1.0", "", "seed")
			c := newClient(t, registry.Config{})
			refused := func() { t.Error("told that none is taken") }
			ctx := as(t, refused, s.Host()+"/prod=bob:b", s.Host()+"/p=carl:c", s.Host()+"=ann:a")
			for range 2 {
				if _, err := c.Manifest(ctx, tagged(t, s, "1.0")); err != nil {
					t.Error(err)
				}
				s.ResetRequests()
			}
			if _, err := c.Manifest(ctx, tagged(t, s, "1.0")); err != nil || len(lines(s)) != 1 {
				t.Errorf("got %v after %v", err, lines(s))
			}
		})
	}
}

// A tenant's login costs what any login costs, and once.
func TestALoginOfATenantCostsItsRequestsOnce(t *testing.T) {
	s := registrytest.New(t, kinds["token"])
	digest := s.PushImage(repo, "1.0", "", "seed")
	c := newClient(t, registry.Config{})
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if _, err := c.Resolve(as(t, nil, s.Host()+"=ann:a"), tagged(t, s, "1.0")); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := lines(s); len(got) != 8+2 {
		t.Errorf("%d requests, want 8 and 2 to log in: %v", len(got), got)
	}
	s.ResetRequests()
	if _, err := c.Manifest(as(t, nil, s.Host()+"=ann:a"), tagged(t, s, "1.0").At(digest)); err != nil {
		t.Fatal(err)
	}
	wantLines(t, s, "GET /v2/prod/api/manifests/"+digest.String())
}

// T48: the rules of realms, redirects and mirrors hold for tenants as well.
func TestT48_LoginsOfTenantsStayAtTheirRegistry(t *testing.T) {
	secrets := func(t *testing.T, s *registrytest.Server) (seen *atomic.Int64) {
		seen = new(atomic.Int64)
		s.SetFault(nil, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Header.Get("Authorization") != "" {
				seen.Add(1)
			}
			next.ServeHTTP(w, r)
		})
		return seen
	}
	t.Run("foreign realm", func(t *testing.T) {
		foreign := registrytest.New(t, registrytest.Options{})
		seen := secrets(t, foreign)
		// Another port of the same host may issue tokens, another host not.
		_, port, _ := strings.Cut(foreign.Host(), ":")
		s := registrytest.New(t, registrytest.Options{Token: &registrytest.Token{Realm: "http://localhost:" + port + "/token"}, Accounts: accounts})
		_, err := newClient(t, registry.Config{}).Manifest(as(t, nil, s.Host()+"=ann:a"), tagged(t, s, "1.0"))
		if wantCannotTell(t, err, "is not known to issue tokens"); seen.Load() != 0 || len(foreign.Requests()) != 0 {
			t.Errorf("the foreign host got %v", foreign.Requests())
		}
	})
	t.Run("redirect", func(t *testing.T) {
		foreign := registrytest.New(t, registrytest.Options{})
		s := registrytest.New(t, registrytest.Options{Accounts: accounts})
		seen := secrets(t, foreign)
		s.SetFault(func(r *http.Request) bool { return r.Header.Get("Authorization") != "" }, registrytest.Redirect("http://"+foreign.Host()))
		_, err := newClient(t, registry.Config{Registries: []registry.Settings{{Host: foreign.Host()}}}).Manifest(as(t, nil, s.Host()+"=ann:a"), tagged(t, s, "1.0"))
		if err == nil || seen.Load() != 0 || len(foreign.Requests()) == 0 {
			t.Errorf("got %v, and the foreign host %v", err, foreign.Requests())
		}
	})
	t.Run("mirror", func(t *testing.T) {
		mirror := registrytest.New(t, registrytest.Options{Accounts: accounts}) // it asks for a login
		s := registrytest.New(t, registrytest.Options{Accounts: accounts})
		seen := secrets(t, mirror)
		digest := s.PushImage(repo, "1.0", "", "seed")
		c := newClient(t, registry.Config{Registries: []registry.Settings{{Host: s.Host(), Mirrors: []string{mirror.Host()}}}})
		ctx := as(t, nil, s.Host()+"=ann:a", mirror.Host()+"=ann:a", "127.0.0.1=ann:a")
		if _, err := c.Manifest(ctx, tagged(t, s, "1.0").At(digest)); err != nil || seen.Load() != 0 || len(mirror.Requests()) == 0 {
			t.Errorf("got %v, and the mirror %v", err, mirror.Requests())
		}
	})
	t.Run("link-local", func(t *testing.T) {
		c := newClient(t, registry.Config{})
		_, err := c.TrustData(as(t, nil, "169.254.169.254=ann:a"), "https://169.254.169.254", "x/y", "root.json", 1<<10)
		wantCannotTell(t, err, "link-local")
	})
}

// CSE-40: a tenant's login for a Notary server's host is for that server, and one for its registry is not.
func TestT26_CSE40_LoginsOfTenantsAtNotaryServers(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{Notary: true, Accounts: []registrytest.Account{{Username: "ann", Password: "a", Repositories: []string{"x/y"}}}})
	s.PutTrustData("x/y", "root.json", []byte("{}"))
	c := newClient(t, registry.Config{})
	get := func(ctx context.Context) error {
		_, err := c.TrustData(ctx, "http://"+s.Host(), "x/y", "root.json", 1<<10)
		return err
	}
	if err := get(as(t, nil, s.Host()+"=ann:a")); err != nil {
		t.Error(err)
	}
	for name, ctx := range map[string]context.Context{
		"none": t.Context(), "of a repository": as(t, nil, s.Host()+"/x=ann:a"), "of another host": as(t, nil, "other.example=ann:a"),
	} {
		if err := get(ctx); err == nil {
			t.Errorf("%s: got trust data", name)
		}
	}
}

// keychain is a cloud's, for one host.
type keychain struct {
	host string
	err  error
}

func (k keychain) Name() string { return "test" }

func (k keychain) Login(_ context.Context, host string) (string, string, bool, error) {
	if host != k.host {
		return "", "", false, nil
	}
	return "ann", "a", k.err == nil, k.err
}

// A keychain comes after the settings and before the docker config, serves its own hosts, and never a tenant with a login of their own.
func TestKeychains(t *testing.T) {
	s := registrytest.New(t, kinds["basic"])
	s.PushImage(repo, "1.0", "", "seed")
	right := keychain{host: s.Host()}
	bob := []registry.Settings{{Host: s.Host(), Username: "bob", Password: "b"}}
	tests := []struct {
		name      string
		config    registry.Config
		ctx       context.Context
		forbidden string
	}{
		{"its host", registry.Config{Keychains: []registry.Keychain{keychain{host: "other.example"}, right}}, t.Context(), ""},
		{"another host", registry.Config{Keychains: []registry.Keychain{keychain{host: "other.example"}}}, t.Context(), "no user name and password"},
		{"settings first", registry.Config{Registries: bob, Keychains: []registry.Keychain{right}}, t.Context(), "DENIED"},
		{"fails", registry.Config{Keychains: []registry.Keychain{keychain{s.Host(), errors.New("the cloud is down")}, right}}, t.Context(), "keychain test: the cloud is down"},
		{"a tenant's own login", registry.Config{Keychains: []registry.Keychain{right}}, as(t, nil, s.Host()+"=bob:b"), "DENIED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newClient(t, tt.config).Manifest(tt.ctx, tagged(t, s, "1.0"))
			if tt.forbidden != "" {
				wantCannotTell(t, err, tt.forbidden)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
