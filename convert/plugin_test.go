package convert_test

import (
	"strings"
	"testing"

	"github.com/assay-dev/assay/convert"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
)

// AUTHZ-3: without any setting the defaults are docker.io and https://notary.docker.io, and it is said that this server ends.
func TestAUTHZ3_Defaults(t *testing.T) {
	r := plugin(t, convert.PluginSettings{}, convert.Options{})
	_, authorities := parsed(t, r.Policy)
	if got := authorities["dct"]; got.Server != "https://notary.docker.io" || !got.FirstUse {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(string(r.Policy), `images: ["docker.io/**"]`) || len(r.Hosts) != 0 {
		t.Errorf("got %v\n%s", r.Hosts, r.Policy)
	}
	for _, want := range []string{"! NOTARY: before: https://notary.docker.io; now: the same, but this server ends on 2026-12-08", "REGISTRY: before: it is empty, which is docker.io"} {
		if !strings.Contains(report(r), want) {
			t.Errorf("want %q in\n%s", want, report(r))
		}
	}
	given := plugin(t, convert.PluginSettings{Registry: "docker.io", Notary: "https://notary.docker.io"}, convert.Options{})
	if string(given.Policy) != string(r.Policy) {
		t.Errorf("the defaults are not what they stand for\n%s", given.Policy)
	}
}

// originalRegistry is whether the original lets the daemon use an image of that name, and by which name its trust data are looked up.
func originalRegistry(registry, ref string) (gun string, allowed bool) {
	name := originalTagless(ref)
	if strings.HasPrefix(name, registry+"/") {
		if rest := strings.TrimPrefix(name, "docker.io/"); registry == "docker.io" && !strings.Contains(rest, "/") {
			return "docker.io/library/" + rest, true
		}
		return name, true
	}
	first, _, found := strings.Cut(name, "/")
	isHost := found && (strings.ContainsAny(first, ".:") || first == "localhost")
	switch {
	case registry != "docker.io" || isHost:
		return "", false
	case !found:
		return "docker.io/library/" + name, true
	}
	return "docker.io/" + name, true
}

func originalTagless(ref string) string {
	name, _, _ := strings.Cut(ref, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	return name
}

// AUTHZ-4: the three settings give the verdicts of the policy that they stand for.
func TestAUTHZ4_SettingsAreThePolicy(t *testing.T) {
	for _, registry := range []string{"", "docker.io", "registry.acme.example", "registry.acme.example:5000", "localhost:5000"} {
		r := plugin(t, convert.PluginSettings{Registry: registry, Notary: "notary.acme.example:4443", NotaryCA: read(t, "roots.pem")}, convert.Options{})
		p, authorities := parsed(t, r.Policy)
		if got := authorities["dct"].Server; got != "https://notary.acme.example:4443" {
			t.Errorf("got server %s", got)
		}
		if len(r.Hosts) != 1 || r.Hosts[0].Name != "notary.acme.example:4443" || r.Hosts[0].CA != read(t, "roots.pem") || r.Hosts[0].PlainHTTP || r.Hosts[0].Username != "" {
			t.Errorf("got hosts %+v", r.Hosts)
		}
		if registry == "" {
			registry = "docker.io"
		}
		for _, ref := range []string{
			"alpine", "alpine:3", "docker.io/library/alpine", "docker.io/alpine:1", "org/app", "docker.io/org/app:1", "registry.acme.example/app:1", "registry.acme.example:5000/team/app", "localhost:5000/app",
			"registry.acme.example.evil.example/app", "evil.example/registry.acme.example/app", "evil.example/docker.io/library/alpine", "my.unauthz.docker.registry/alpine:latest",
		} {
			parsedRef := image.MustParse(ref)
			rule, _, err := p.Match(policy.Query{Ref: parsedRef})
			if err != nil || rule == nil {
				t.Fatalf("%s: got %v, %v", ref, rule, err)
			}
			gun, allowed := originalRegistry(registry, ref)
			if got := rule.Require != nil && rule.Deny == "" && rule.Allow == ""; got != allowed || allowed && gun != parsedRef.Name() {
				t.Errorf("%s with %s: got %t for %s, want %t for %s", ref, registry, got, parsedRef.Name(), allowed, gun)
			}
		}
	}
}

// AUTHZ-6: another registry is denied with the words of the original.
func TestAUTHZ6_OtherRegistriesAreDenied(t *testing.T) {
	r := plugin(t, convert.PluginSettings{Registry: "registry.acme.example:5000"}, convert.Options{})
	p, _ := parsed(t, r.Policy)
	for _, point := range policy.Points() {
		if !p.InScope(policy.Request{Point: point}) {
			t.Errorf("the policy does not speak about the point %s", point)
		}
	}
	rule, _, err := p.Match(policy.Query{Ref: image.MustParse("my.unauthz.docker.registry/alpine:latest")})
	if err != nil {
		t.Fatal(err)
	}
	if want := "You can only use docker images from the following authorized registries: registry.acme.example:5000"; rule.Deny != want {
		t.Errorf("got  %s\nwant %s", rule.Deny, want)
	}
}

// Settings that the plugin could not have meant are errors.
func TestPluginErrors(t *testing.T) {
	for _, row := range []struct {
		name     string
		settings convert.PluginSettings
		options  convert.Options
		want     string
	}{
		{"a URL as a registry", convert.PluginSettings{Registry: "https://registry.example"}, convert.Options{}, "REGISTRY: is a URL; write it as in registry.example:5000"},
		{"a path in the registry", convert.PluginSettings{Registry: "docker.io/org"}, convert.Options{}, "REGISTRY: has a path"},
		{"a registry that is a part of a name", convert.PluginSettings{Registry: "acme"}, convert.Options{}, `REGISTRY: "acme" would be read as a part of a Docker Hub name`},
		{"a malformed registry", convert.PluginSettings{Registry: "registry.example."}, convert.Options{}, `REGISTRY: "registry.example." is no host of a registry`},
		{"a server without TLS", convert.PluginSettings{Notary: "http://n.example"}, convert.Options{}, "NOTARY: the plugin speaks TLS only; write https://"},
		{"a server that is none", convert.PluginSettings{Notary: "https://n.example/?x"}, convert.Options{}, "NOTARY: has a query or a fragment"},
		{"a password", convert.PluginSettings{Notary: "https://u:secret@n.example"}, convert.Options{}, "NOTARY: holds a user name or a password"},
		{"a CA for a host that no settings name", convert.PluginSettings{Notary: "https://notary", NotaryCA: "x"}, convert.Options{}, "NOTARY: settings of registries cannot name the host notary"},
		{"a short role", convert.PluginSettings{}, convert.Options{Roles: []string{"ci"}}, "did you mean targets/ci?"},
		{"two kinds of root", convert.PluginSettings{}, convert.Options{Roots: convert.Roots{CA: "x", Certificates: "y"}}, "keep one kind"},
		{"a name that is none", convert.PluginSettings{}, convert.Options{Name: "-"}, `name "-"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := convert.Plugin(row.settings, row.options)
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
}
