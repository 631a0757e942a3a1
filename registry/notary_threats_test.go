package registry_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

// TestT29_NotaryNames has names of repositories and of roles that would lead elsewhere. No request is made for them.
func TestT29_NotaryNames(t *testing.T) {
	s := newNotary(t, registrytest.Options{})
	c := newClient(t, registry.Config{})
	bad := []string{
		"", "/", ".", "..", "../x", "x/..", "x/../y", "x/./y", "x//y", "/x", "x/", `x\y`, `..\x`, "x?y", "x#y", "x%y", "%2e%2e/x", "x%2fy",
		"x\x00y", "x\ny", "x\x7fy", "x y", "x\ty", "ü", "x\xff", "x;y", "x*", "_trust", "x/_trust/tuf/root.json", "a@b", "a&b", "a+b", "~x",
		strings.Repeat("x", 2<<10+1),
	}
	for _, name := range bad {
		for _, ask := range []struct{ gun, name, want string }{
			{name, "timestamp.json", "the name of the repository has "},
			{"registry.example/" + name, "timestamp.json", "the name of the repository has "},
			{gun, name, "the name of the file, "},
			{gun, "targets/" + name, "the name of the file, "},
		} {
			_, err := c.TrustData(t.Context(), s.URL(), ask.gun, ask.name, 100)
			wantCannotTell(t, err, ask.want)
			if err != nil && !strings.Contains(err.Error(), s.URL()) {
				t.Errorf("%v: does not name the server", err)
			}
		}
	}
	for _, name := range []string{"registry.example/x:push", "registry.example/[x]"} { // a token would be for something else
		_, err := c.TrustData(t.Context(), s.URL(), name, "timestamp.json", 100)
		wantCannotTell(t, err, "the name of the repository has the character ")
	}
	_, err := c.TrustData(t.Context(), s.URL(), gun, "targets:x.json", 100)
	wantCannotTell(t, err, "has the character ':'")
	wantLines(t, s)
}

// TestT26_CSE40_CredentialsStayAtTheirServer asks two Notary servers, each with a CA, a client certificate and a credential of its own,
// side by side.
func TestT26_CSE40_CredentialsStayAtTheirServer(t *testing.T) {
	type side struct {
		server   *registrytest.Server
		settings registry.Settings
	}
	var sides []side
	for _, name := range []string{"first", "second"} {
		s := newNotary(t, registrytest.Options{
			TLS: true, ClientCert: true, Token: &registrytest.Token{Username: name, Password: name + "-secret"},
		})
		ca, cert, key, err := s.WriteTLS(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		sides = append(sides, side{s, registry.Settings{
			Host: s.Host(), CAFile: ca, CertFile: cert, KeyFile: key, Username: name, Password: name + "-secret",
		}})
	}
	c := newClient(t, registry.Config{Registries: []registry.Settings{sides[0].settings, sides[1].settings}})
	swapped := []registry.Settings{sides[1].settings, sides[0].settings}
	swapped[0].Host, swapped[1].Host = sides[0].server.Host(), sides[1].server.Host()
	wrong := newClient(t, registry.Config{Registries: swapped})
	var wait sync.WaitGroup
	for range 10 {
		for _, s := range sides {
			wait.Go(func() {
				if err := timestamp(t, c, s.server.URL()); err != nil {
					t.Error(err)
				}
			})
			wait.Go(func() {
				if err := timestamp(t, wrong, s.server.URL()); err == nil || errors.Is(err, trust.ErrNotFound) {
					t.Errorf("got %v with the other's CA and credential", err)
				}
			})
		}
	}
	wait.Wait()
	for _, s := range sides {
		logins := 0
		for _, line := range lines(s.server) {
			if strings.HasSuffix(line, "/token") {
				logins++
			}
		}
		if logins != 1 {
			t.Errorf("%s: %d logins, want 1", s.settings.Username, logins)
		}
	}
}

// TestCSE40_RegistryAndNotaryServerAreTwo has a registry and Notary servers on one host, and one name that each of them knows.
func TestCSE40_RegistryAndNotaryServerAreTwo(t *testing.T) {
	s := newNotary(t, registrytest.Options{Token: &registrytest.Token{}})
	s.PushImage(repo, "1.0", "", "seed")
	s.PutTrustData(repo, "timestamp.json", []byte("{timestamp}"))
	c := newClient(t, registry.Config{})
	if _, err := c.Resolve(t.Context(), tagged(t, s, "1.0")); err != nil {
		t.Fatal(err)
	}
	s.ResetRequests()
	file := "/v2/" + repo + "/_trust/tuf/timestamp.json"
	if _, err := c.TrustData(t.Context(), s.URL(), repo, "timestamp.json", 100); err != nil {
		t.Fatal(err)
	}
	wantLines(t, s, "GET "+file, "GET /token", "GET "+file) // first without the registry's token
	_, err := c.TrustData(t.Context(), s.URL()+"/other", repo, "timestamp.json", 100)
	if got := s.Requests(); !errors.Is(err, trust.ErrNotFound) || len(got) != 3 || got[0].Auth != "" {
		t.Errorf("got %v by %v, want a login of its own for the server at another path", err, got)
	}
}

// TestCSE40_RegistryLoginsStayAtTheRegistry has credentials for the registry alone, in the settings and in a docker config.
func TestCSE40_RegistryLoginsStayAtTheRegistry(t *testing.T) {
	image := registrytest.New(t, registrytest.Options{Username: "user", Password: "secret"})
	image.PushImage(repo, "1.0", "", "seed")
	for _, o := range []registrytest.Options{
		{Username: "user", Password: "secret"},
		{Token: &registrytest.Token{Username: "user", Password: "secret"}},
	} {
		s := newNotary(t, o)
		folder := t.TempDir()
		config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, image.Host(), base64.StdEncoding.EncodeToString([]byte("user:secret")))
		if err := os.WriteFile(filepath.Join(folder, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, config := range []registry.Config{
			{DockerConfig: folder},
			{Registries: []registry.Settings{{Host: image.Host(), Username: "user", Password: "secret"}}},
		} {
			c := newClient(t, config)
			if _, err := c.Resolve(t.Context(), tagged(t, image, "1.0")); err != nil {
				t.Error(err)
			}
			s.ResetRequests()
			wantCannotTell(t, timestamp(t, c, s.URL()), "")
			for _, r := range s.Requests() {
				if r.Auth != "" {
					t.Errorf("%s came with %s", r, r.Auth)
				}
			}
		}
	}
}

func TestT43_NotaryAnswers(t *testing.T) {
	tests := []struct {
		name  string
		fault registrytest.Fault
		want  string
	}{
		{"no end", registrytest.Endless(), "the answer has more than the 100 bytes that are read"},
		{"a length that nobody reads", registrytest.Status(200, http.Header{"Content-Length": {fmt.Sprint(int64(1) << 40)}}, ""), "the answer has 1099511627776 bytes, at most 100"},
		{"endless error", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.WriteHeader(http.StatusNotFound)
			registrytest.Endless()(w, r, next)
		}, "404 Not Found"},
		{"endless header", registrytest.Header("X-Long", strings.Repeat("x", 256<<10)), "response headers exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newNotary(t, registrytest.Options{})
			s.SetFault(nil, tt.fault)
			err := timestamp(t, newClient(t, registry.Config{RequestTimeout: time.Second}), s.URL())
			wantCannotTell(t, err, tt.want)
			if errors.Is(err, trust.ErrUnavailable) {
				t.Errorf("%v: reads as an outage", err)
			}
		})
	}
	s := newNotary(t, registrytest.Options{})
	c := newClient(t, registry.Config{})
	for limit, want := range map[int64]string{11: "", 10: "at most 10", 0: "at most 0", -1: "at most -1"} {
		_, err := c.TrustData(t.Context(), s.URL(), gun, "timestamp.json", limit)
		if want != "" {
			wantCannotTell(t, err, want)
		} else if err != nil {
			t.Error(err)
		}
	}
}

func TestT48_NotaryRedirects(t *testing.T) {
	other := newNotary(t, registrytest.Options{})
	s := newNotary(t, registrytest.Options{Token: &registrytest.Token{}})
	own := registry.Settings{Host: s.Host(), InsecurePlainHTTP: true}
	settings := registry.Settings{Host: other.Host(), InsecurePlainHTTP: true, Username: "other", Password: "secret"}
	tests := []struct {
		name, to string
		others   bool // the operator has settings for the other host
		want     string
	}{
		{"configured host", other.URL(), true, ""},
		{"unknown host on loopback", other.URL(), false, "loopback address"},
		{"metadata service", "http://169.254.169.254", true, "link-local"},
		{"another scheme", "file://" + other.Host(), true, "the scheme"},
		{"credentials in the address", "http://a:b@" + other.Host(), true, "credentials in the address"},
		{"round and round", s.URL(), true, "more than 5 redirects"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			other.ResetRequests()
			s.ClearFaults()
			s.SetFault(func(r *http.Request) bool { return r.Header.Get("Authorization") != "" && r.URL.Path != "/token" }, registrytest.Redirect(tt.to))
			config := registry.Config{Registries: []registry.Settings{own}}
			if tt.others {
				config.Registries = append(config.Registries, settings)
			}
			err := timestamp(t, newClient(t, config), s.URL())
			if tt.want != "" {
				wantCannotTell(t, err, tt.want)
			} else if err != nil {
				t.Error(err)
			}
			for _, r := range other.Requests() {
				if r.Auth != "" || r.Cookie {
					t.Errorf("%s came with %q, cookies %t", r, r.Auth, r.Cookie)
				}
			}
			if n := len(other.Requests()); n > 1 || n == 0 && tt.want == "" {
				t.Errorf("%d requests at the other host", n)
			}
		})
	}
	t.Run("from https to http", func(t *testing.T) {
		other.ResetRequests()
		secure := newNotary(t, registrytest.Options{TLS: true})
		secure.SetFault(nil, registrytest.Redirect(other.URL()))
		c := newClient(t, registry.Config{Registries: []registry.Settings{{Host: secure.Host(), InsecureSkipTLSVerify: true}, settings}})
		wantCannotTell(t, timestamp(t, c, secure.URL()), "from https to http")
		wantLines(t, other)
	})
}

func TestT48_NotaryTokenRealms(t *testing.T) {
	tests := []struct {
		name, server, realm string
		settings            registry.Settings
		want                string
	}{
		{"own host", "https://n.example:4443", "https://n.example/token", registry.Settings{Host: "n.example:4443"}, ""},
		{"Docker Hub's", "https://notary.docker.io", "https://auth.docker.io/token", registry.Settings{Host: "notary.docker.io"}, ""},
		{"Docker Hub's for another", "https://n.example", "https://auth.docker.io/token", registry.Settings{Host: "n.example"}, "is not known to issue tokens for n.example; add it to tokenRealms"},
		{"configured", "https://n.example", "https://auth.example/token", registry.Settings{Host: "n.example", TokenRealms: []string{"auth.example"}}, ""},
		{"configured for another port", "https://n.example:4443", "https://auth.example/token", registry.Settings{Host: "n.example", TokenRealms: []string{"auth.example"}}, "not known"},
		{"plain HTTP", "https://n.example", "http://n.example/token", registry.Settings{Host: "n.example", InsecurePlainHTTP: true}, "want https"},
		{"plain HTTP of a plain server", "http://n.example", "http://n.example/token", registry.Settings{Host: "n.example", InsecurePlainHTTP: true}, ""},
		{"metadata service", "https://n.example", "http://169.254.169.254/latest", registry.Settings{Host: "n.example"}, "not known"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			c := newClient(t, registry.Config{
				Registries: []registry.Settings{tt.settings},
				Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					asked = append(asked, r.URL.Host)
					return &http.Response{StatusCode: 401, Body: http.NoBody, Header: http.Header{
						"Www-Authenticate": {fmt.Sprintf("Bearer realm=%q", tt.realm)},
					}}, nil
				}),
			})
			wantCannotTell(t, timestamp(t, c, tt.server), tt.want)
			if want := tt.want == ""; len(asked) > 1 != want {
				t.Errorf("asked %v, token service among them: want %t", asked, want)
			}
		})
	}
}

func TestT48_NotaryHosts(t *testing.T) {
	s := newNotary(t, registrytest.Options{})
	named := "notary.corp.example:" + port(s)
	loopbackOnly := strings.Replace(s.Host(), "127.0.0.1", "localhost", 1)
	tests := []struct {
		name     string
		server   string
		address  string // that the host's name resolves to
		typed    bool
		settings *registry.Settings
		want     string // "" is success
	}{
		{"typed 127.0.0.1 at the cli", "http://" + s.Host(), "", true, nil, ""},
		{"typed localhost at the cli", "http://" + loopbackOnly, "127.0.0.1", true, nil, ""},
		{"typed 127.0.0.1 elsewhere", "https://" + s.Host(), "", false, nil, "loopback address"},
		{"typed 127.0.0.1 with settings", "http://" + s.Host(), "", false, &registry.Settings{Host: s.Host(), InsecurePlainHTTP: true}, ""},
		{"a name that resolves to loopback", "http://" + named, "127.0.0.1", true, &registry.Settings{Host: named, InsecurePlainHTTP: true}, "set insecureAllowLoopback"},
		{"a name that may", "http://" + named, "127.0.0.1", true, &registry.Settings{Host: named, InsecurePlainHTTP: true, InsecureAllowLoopback: true}, ""},
		{"metadata service", "https://169.254.169.254", "", true, nil, "set insecureAllowLinkLocal"},
		{"a name that resolves to it", "https://notary.corp.example", "169.254.169.254", true, nil, "link-local"},
		{"metadata service by IPv6", "https://notary.corp.example", "fd00:ec2::254", true, nil, "link-local"},
		{"unspecified", "https://notary.corp.example", "0.0.0.0", true, nil, "no address of a single host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.ResetRequests()
			config := registry.Config{LoopbackHTTP: tt.typed, Retries: -1}
			if tt.settings != nil {
				config.Registries = []registry.Settings{*tt.settings}
			}
			c, err := registry.New(config)
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseIdleConnections()
			if tt.address != "" {
				c.SetResolver(resolver(t, tt.address))
			}
			err = timestamp(t, c, tt.server)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCannotTell(t, err, tt.want)
			if errors.Is(err, trust.ErrUnavailable) {
				t.Errorf("%v: reads as an outage", err)
			}
			wantLines(t, s)
		})
	}
}
