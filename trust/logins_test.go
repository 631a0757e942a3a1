package trust_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// loginsOf reads a docker config; the user of each entry is its name.
func loginsOf(t *testing.T, entries ...string) trust.Logins {
	t.Helper()
	var texts []string
	for _, entry := range entries {
		texts = append(texts, fmt.Sprintf(`%q:{"username":%q,"password":"secret"}`, entry, entry))
	}
	logins, err := trust.ReadDockerConfig([]byte(`{"auths":{` + strings.Join(texts, ",") + `}}`))
	if err != nil {
		t.Fatal(err)
	}
	all, err := trust.NewLogins(nil, logins...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func users(l trust.Logins) string {
	var names []string
	for _, one := range l.List() {
		names = append(names, one.Username)
	}
	return strings.Join(names, " ")
}

// The rules are those of the kubelet: https://kubernetes.io/docs/concepts/containers/images/#config-json, and the tables of its own test
// of the keyring.
func TestLoginsFitAsAtTheKubelet(t *testing.T) {
	tests := []struct{ name, image, entries, want string }{
		{"host", "registry.example/app", "registry.example", "registry.example"},
		{"host with scheme", "registry.example/app", "https://registry.example", "https://registry.example"},
		{"host with plain scheme", "registry.example/app", "http://registry.example", "http://registry.example"},
		{"v1 is the host", "registry.example/app", "https://registry.example/v1/", "https://registry.example/v1/"},
		{"v2 is the host", "registry.example/app", "registry.example/v2/", "registry.example/v2/"},
		{"another host", "registry.example/app", "other.example", ""},
		{"upper case", "Registry.Example/app", "REGISTRY.example", "REGISTRY.example"},
		{"a longer host", "registry.example.evil/app", "registry.example", ""},
		{"a host before", "evil.registry.example/app", "registry.example", ""},
		{"port", "registry.example:5000/app", "registry.example:5000", "registry.example:5000"},
		{"another port", "registry.example:5000/app", "registry.example:5001 registry.example", ""},
		{"the port of https", "registry.example/app", "registry.example:443", "registry.example:443"},
		{"star for a label", "a.registry.example/app", "*.registry.example", "*.registry.example"},
		{"star for a part of a label", "prefix.registry.example/app", "pre*.registry.example", "pre*.registry.example"},
		{"star is one label", "a.b.registry.example/app", "*.registry.example", ""},
		{"star is a label", "registry.example/app", "*.registry.example", ""},
		{"stars", "a.b.example:5000/app", "*.*.example:5000", "*.*.example:5000"},
		{"star is no port", "registry.example:5000/app", "registry.example:*", ""},
		{"star before the port", "a.registry.example:5000/app", "*.registry.example", ""},
		{"broken pattern", "registry.example/app", "[.example", ""},
		{"path", "registry.example/team/app", "registry.example/team", "registry.example/team"},
		{"path with slash", "registry.example/team/app", "registry.example/team/", "registry.example/team/"},
		{"path is a prefix of bytes", "registry.example/teams/app", "registry.example/team", "registry.example/team"},
		{"another path", "registry.example/other/app", "registry.example/team", ""},
		{"longer path first", "registry.example/team/app", "registry.example registry.example/team registry.example/team/app", "registry.example/team/app registry.example/team registry.example"},
		{"path and star", "a.registry.example/team/app", "*.registry.example/team", "*.registry.example/team"},
		{"docker hub", "alpine", "https://index.docker.io/v1/", "https://index.docker.io/v1/"},
		{"docker hub by name", "docker.io/acme/app", "docker.io", "docker.io"},
		{"docker hub by alias", "index.docker.io/acme/app", "index.docker.io", "index.docker.io"},
		{"the index only where nothing else fits", "acme/app", "https://index.docker.io/v1/ docker.io", "docker.io"},
		{"docker hub and elsewhere", "registry.example/app", "https://index.docker.io/v1/", ""},
		{"path at docker hub", "acme/app", "docker.io/acme docker.io/other", "docker.io/acme"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ref := image.MustParse(tt.image)
			if got := users(loginsOf(t, strings.Fields(tt.entries)...).For(ref.Registry(), ref.Repository())); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoginsForAHostThatIsNoRegistry(t *testing.T) {
	l := loginsOf(t, "notary.example:4443", "notary.example:4443/team")
	if got := users(l.For("notary.example:4443", "")); got != "notary.example:4443" {
		t.Errorf("got %q", got)
	}
}

func TestDockerConfigs(t *testing.T) {
	auth := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	tests := []struct {
		name, content, want string
		legacy              bool
	}{
		{"auth", `{"auths":{"a.example":{"auth":"` + auth("user:pass:word") + `"}}}`, "user pass:word", false},
		{"auth without padding", `{"auths":{"a.example":{"auth":"` + strings.TrimRight(auth("user:password1"), "=") + `"}}}`, "user password1", false},
		{"auth beats the rest", `{"auths":{"a.example":{"auth":"` + auth("user:word") + `","username":"x","password":"y"}}}`, "user word", false},
		{"name and password", `{"auths":{"a.example":{"username":"user","password":"word","email":"x"}}}`, "user word", false},
		{"nothing", `{"auths":{"a.example":{}},"credsStore":"x"}`, "", false},
		{"legacy", `{"a.example":{"auth":"` + auth("user:word") + `"}}`, "user word", true},
		{"no JSON", `secret-word`, "is no docker config", false},
		{"no base64", `{"auths":{"a.example":{"auth":"secret-word"}}}`, `is a docker config whose entry "a.example" has an auth that is not base64 of NAME:PASSWORD`, false},
		{"no colon", `{"auths":{"a.example":{"auth":"` + auth("user") + `"}}}`, `is a docker config whose entry "a.example" has an auth that is not base64 of NAME:PASSWORD`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			read := trust.ReadDockerConfig
			if tt.legacy {
				read = trust.ReadDockerCfg
			}
			logins, err := read([]byte(tt.content))
			got := ""
			switch {
			case err != nil:
				got = err.Error()
			case len(logins) > 0:
				got = logins[0].Username + " " + logins[0].Password
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestT26_KeysOfLogins(t *testing.T) {
	same, again := loginsOf(t, "a.example", "b.example"), loginsOf(t, "b.example", "a.example")
	if same.Key() != again.Key() || same.Key() == "" {
		t.Errorf("equal logins have the keys %q and %q", same.Key(), again.Key())
	}
	one, _ := trust.ReadDockerConfig([]byte(`{"auths":{"a.example":{"username":"user","password":"one"}}}`))
	two, _ := trust.ReadDockerConfig([]byte(`{"auths":{"a.example":{"username":"user","password":"two"}}}`))
	first, _ := trust.NewLogins(nil, one...)
	second, _ := trust.NewLogins(nil, two...)
	switch {
	case first.Key() == second.Key():
		t.Error("two passwords have one key")
	case trust.Logins{}.Key() != "" || same.For("c.example", "app").Key() != "":
		t.Error("no logins have a key")
	case same.For("a.example", "app").Key() == same.Key():
		t.Error("what does not fit is part of the key")
	case first.For("a.example", "x").Key() != first.For("a.example", "y").Key():
		t.Error("a login for a host has two keys")
	case first.With(second).Key() == first.Key() || first.With(first).Key() != first.Key():
		t.Error("With does not add what is missing, and that alone")
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", first, first, first), fmt.Sprintf("%v %+v %#v", first.List(), first.List(), one[0]), first.Key()} {
		if strings.Contains(text, "one") && !strings.Contains(text, "logins") || strings.Contains(text, `"one"`) || strings.Contains(text, "user") {
			t.Errorf("a secret is in %s", text)
		}
	}
}

func TestLoginsOfAContext(t *testing.T) {
	l := loginsOf(t, "a.example")
	ctx := trust.WithLogins(context.Background(), l)
	if trust.LoginsOf(ctx).Key() != l.Key() || !trust.LoginsOf(context.Background()).IsZero() {
		t.Error("the logins are not those of the context")
	}
	if !trust.LoginsOf(trust.WithLogins(ctx, trust.Logins{})).IsZero() {
		t.Error("no logins do not take the place of others")
	}
}

func TestTooManyLogins(t *testing.T) {
	if _, err := trust.NewLogins(nil, make([]trust.Login, trust.MaxLogins+1)...); err == nil {
		t.Error("no error")
	}
}
