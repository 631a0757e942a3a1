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

func TestTokenCostsTwoRequestsOnce(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{Token: &registrytest.Token{Username: "user", Password: "secret"}})
	digest := s.PushImage(repo, "1.0", "", "seed")
	c := newClient(t, registry.Config{Registries: []registry.Settings{{Host: s.Host(), Username: "user", Password: "secret"}}})
	ref := tagged(t, s, "1.0")
	resolve := func() {
		t.Helper()
		if _, err := c.Resolve(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	resolve()
	wantLines(t, s, "HEAD /v2/prod/api/manifests/1.0", "GET /token", "HEAD /v2/prod/api/manifests/1.0")
	if _, err := c.Manifest(t.Context(), ref.At(digest)); err != nil {
		t.Fatal(err)
	}
	wantLines(t, s, "GET /v2/prod/api/manifests/"+digest.String())
	s.RevokeTokens()
	resolve()
	wantLines(t, s, "HEAD /v2/prod/api/manifests/1.0", "GET /token", "HEAD /v2/prod/api/manifests/1.0")
}

func TestTokenIsRenewedBeforeItExpires(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{Token: &registrytest.Token{TTL: time.Second}})
	s.PushImage(repo, "1.0", "", "seed")
	c := newClient(t, registry.Config{})
	for range 2 {
		if _, err := c.Resolve(t.Context(), tagged(t, s, "1.0")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(950 * time.Millisecond)
	}
	wantLines(t, s, "HEAD /v2/prod/api/manifests/1.0", "GET /token", "HEAD /v2/prod/api/manifests/1.0",
		"GET /token", "HEAD /v2/prod/api/manifests/1.0")
}

func TestManyAtOnceLogInOnce(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{Token: &registrytest.Token{}})
	s.PushImage(repo, "1.0", "", "seed")
	c := newClient(t, registry.Config{})
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if _, err := c.Resolve(t.Context(), tagged(t, s, "1.0")); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := lines(s); len(got) != 8+2 {
		t.Errorf("%d requests, want 8 and 2 to log in: %v", len(got), got)
	}
}

func TestCredentialsOfDockerConfig(t *testing.T) {
	basic := registrytest.New(t, registrytest.Options{Username: "user", Password: "secret"})
	refresh := registrytest.New(t, registrytest.Options{Token: &registrytest.Token{Username: "nobody", RefreshToken: "long-lived"}})
	bin := t.TempDir()
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	helper := func(name, script string) {
		if err := os.WriteFile(filepath.Join(bin, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	helper("good", `read host; echo "{\"ServerURL\":\"$host\",\"Username\":\"user\",\"Secret\":\"secret\"}"`)
	helper("token", `echo '{"Username":"<token>","Secret":"long-lived"}'`)
	helper("bad", "echo 'the vault is closed'; exit 1")
	helper("none", "echo 'credentials not found in native keychain'; exit 1")
	auths := `{"auths":{%q:{"auth":"` + base64.StdEncoding.EncodeToString([]byte("user:secret")) + `"}}}`
	tests := []struct {
		name   string
		server *registrytest.Server
		config string
		want   string
	}{
		{"auths", basic, fmt.Sprintf(auths, basic.Host()), ""},
		{"auths of another host", basic, fmt.Sprintf(auths, "other.example"), "there is no user name and password for " + basic.Host()},
		{"helper of the host", basic, fmt.Sprintf(`{"credHelpers":{%q:"good"}}`, basic.Host()), ""},
		{"helper of all", basic, `{"credsStore":"good"}`, ""},
		{"helper that fails", basic, `{"credsStore":"bad"}`, "the vault is closed"},
		{"helper that is not there", basic, `{"credsStore":"absent"}`, "docker-credential-absent"},
		{"helper without credentials", basic, `{"credsStore":"none"}`, "there is no user name and password"},
		{"identity token", refresh, fmt.Sprintf(`{"auths":{%q:{"identitytoken":"long-lived"}}}`, refresh.Host()), ""},
		{"identity token of a helper", refresh, `{"credsStore":"token"}`, ""},
		{"wrong identity token", refresh, fmt.Sprintf(`{"auths":{%q:{"identitytoken":"other"}}}`, refresh.Host()), "token for " + refresh.Host() + "/prod/api: POST"},
		{"no file", basic, "", "there is no user name and password"},
	}
	basic.PushImage(repo, "1.0", "", "seed")
	refresh.PushImage(repo, "1.0", "", "seed")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			if tt.config != "" {
				if err := os.WriteFile(filepath.Join(folder, "config.json"), []byte(tt.config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := newClient(t, registry.Config{DockerConfig: folder})
			_, err := c.Manifest(t.Context(), tagged(t, tt.server, "1.0"))
			if tt.want != "" {
				wantCannotTell(t, err, tt.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPasswordFileMayChange(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{Username: "user", Password: "new"})
	s.PushImage(repo, "1.0", "", "seed")
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	c := newClient(t, registry.Config{Registries: []registry.Settings{{Host: s.Host(), Username: "user", PasswordFile: file}}})
	_, err := c.Manifest(t.Context(), tagged(t, s, "1.0"))
	wantCannotTell(t, err, "UNAUTHORIZED: authentication required")
	wantLines(t, s, "GET /v2/prod/api/manifests/1.0", "GET /v2/prod/api/manifests/1.0")
	write("new")
	if _, err := c.Manifest(t.Context(), tagged(t, s, "1.0")); err != nil {
		t.Error(err)
	}
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	const password = "correct-horse"
	echo := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("Authorization") == "" {
			next.ServeHTTP(w, r)
			return
		}
		_, given, _ := r.BasicAuth()
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%q,"detail":%q}]}`, r.Header.Get("Authorization"), given)
	}
	for _, o := range []registrytest.Options{
		{Username: "user", Password: password},
		{Token: &registrytest.Token{}},
		{Token: &registrytest.Token{Username: "user", Password: password}},
	} {
		s := registrytest.New(t, o)
		s.SetFault(nil, echo)
		settings := registry.Settings{Host: s.Host(), Username: "user", Password: password}
		c := newClient(t, registry.Config{Registries: []registry.Settings{settings}})
		_, err := c.Manifest(t.Context(), tagged(t, s, "1.0"))
		wantCannotTell(t, err, "DENIED: ")
		encoded := base64.StdEncoding.EncodeToString([]byte("user:" + password))
		for _, secret := range []string{password, encoded, "Bearer " + strings.Repeat("A", 3)} {
			if strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%v %+v %#v", settings, settings, settings), secret) {
				t.Errorf("%q is in %v", secret, err)
			}
		}
	}
}

func TestRefusalsAreNoAnswer(t *testing.T) {
	tests := []struct {
		name   string
		token  registrytest.Token
		fault  registrytest.Fault
		target func(*http.Request) bool
		want   string
	}{
		{"token service refuses", registrytest.Token{Username: "other"}, nil, nil, "UNAUTHORIZED"},
		{"token service has no such page", registrytest.Token{}, registrytest.Status(404, nil, `{"errors":[{"code":"NAME_UNKNOWN"}]}`), registrytest.OnToken, "NAME_UNKNOWN"},
		{"token service redirects", registrytest.Token{}, registrytest.Redirect("http://127.0.0.1:1"), registrytest.OnToken, "307 Temporary Redirect"},
		{"token service talks nonsense", registrytest.Token{}, registrytest.Status(200, nil, `{`), registrytest.OnToken, "malformed"},
		{"token service gives nothing", registrytest.Token{}, registrytest.Status(200, nil, `{}`), registrytest.OnToken, "has no token"},
		{"token of two lines", registrytest.Token{}, registrytest.Status(200, nil, `{"token":"a\r\nb"}`), registrytest.OnToken, "no text for a header"},
		{"T43 token service never ends", registrytest.Token{}, registrytest.Endless(), registrytest.OnToken, "has more than the 131072 bytes"},
		{"token too long", registrytest.Token{}, registrytest.Status(200, nil, `{"token":"`+strings.Repeat("a", 100<<10)+`"}`), registrytest.OnToken, "at most"},
		{"registry refuses the token", registrytest.Token{}, registrytest.Status(200, nil, `{"token":"worthless"}`), registrytest.OnToken, "UNAUTHORIZED"},
		{"registry wants something unknown", registrytest.Token{}, registrytest.Status(401, http.Header{"Www-Authenticate": {"Digest realm=x"}}, ""), registrytest.OnManifests, "401 Unauthorized"},
		{"registry names no service", registrytest.Token{}, registrytest.Status(401, http.Header{"Www-Authenticate": {"Bearer service=x"}}, ""), registrytest.OnManifests, "names no token service"},
		{"forbidden", registrytest.Token{}, registrytest.Status(403, nil, ""), registrytest.OnManifests, "403 Forbidden"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := registrytest.New(t, registrytest.Options{Token: &tt.token})
			if tt.fault != nil {
				s.SetFault(tt.target, tt.fault)
			}
			_, err := newClient(t, registry.Config{}).Manifest(t.Context(), tagged(t, s, "1.0"))
			wantCannotTell(t, err, tt.want)
		})
	}
}

// TestT26_SessionsShareNothing asks two registries, each with a CA and a credential of its own, side by side.
func TestT26_SessionsShareNothing(t *testing.T) {
	type side struct {
		server   *registrytest.Server
		settings registry.Settings
		seed     string
	}
	var sides []side
	for _, name := range []string{"first", "second"} {
		s := registrytest.New(t, registrytest.Options{
			TLS: true, ClientCert: true, Token: &registrytest.Token{Username: name, Password: name + "-secret"},
		})
		s.PushImage(repo, "1.0", "", name)
		ca, cert, key, err := s.WriteTLS(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		sides = append(sides, side{s, registry.Settings{
			Host: s.Host(), CAFile: ca, CertFile: cert, KeyFile: key, Username: name, Password: name + "-secret",
		}, name})
	}
	c := newClient(t, registry.Config{Registries: []registry.Settings{sides[0].settings, sides[1].settings}})
	swapped := []registry.Settings{sides[1].settings, sides[0].settings}
	swapped[0].Host, swapped[1].Host = sides[0].server.Host(), sides[1].server.Host()
	wrong := newClient(t, registry.Config{Registries: swapped})
	want := map[string]string{}
	for _, s := range sides {
		_, content := s.server.Manifest(repo, "1.0")
		want[s.seed] = string(content)
	}
	var wait sync.WaitGroup
	for range 10 {
		for _, s := range sides {
			wait.Go(func() {
				m, err := c.Manifest(t.Context(), tagged(t, s.server, "1.0"))
				if err != nil || string(m.Bytes) != want[s.seed] {
					t.Errorf("%s: got %q, %v", s.seed, m.Bytes, err)
				}
			})
			wait.Go(func() {
				_, err := wrong.Manifest(t.Context(), tagged(t, s.server, "1.0"))
				if err == nil || errors.Is(err, trust.ErrNotFound) {
					t.Errorf("%s: got %v with the other's CA and credential", s.seed, err)
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
			t.Errorf("%s: %d logins, want 1", s.seed, logins)
		}
	}
}

// TestT26_TokensStayInTheirRepository shows that a token for one repository is not used for another.
func TestT26_TokensStayInTheirRepository(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{Token: &registrytest.Token{}})
	s.PushImage(repo, "1.0", "", "seed")
	s.PushImage("other", "1.0", "", "seed")
	c := newClient(t, registry.Config{})
	for _, name := range []string{repo, "other"} {
		ref := tagged(t, s, "1.0")
		if name != repo {
			ref = mustParse(t, s.Host()+"/other:1.0")
		}
		if _, err := c.Resolve(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	wantLines(t, s, "HEAD /v2/prod/api/manifests/1.0", "GET /token", "HEAD /v2/prod/api/manifests/1.0",
		"HEAD /v2/other/manifests/1.0", "GET /token", "HEAD /v2/other/manifests/1.0")
}
