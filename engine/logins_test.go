package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

// tenants is a world whose registry lets ann read app/private, bob read app/other, and both app/shared.
func tenants(t *testing.T) *world {
	w := newWorld(t)
	w.server = registrytest.New(t, registrytest.Options{Token: &registrytest.Token{}, Accounts: []registrytest.Account{
		{Username: "ann", Password: "a", Repositories: []string{"app/private", "app/shared"}},
		{Username: "bob", Password: "b", Repositories: []string{"app/other", "app/shared"}},
	}})
	return w
}

// login is one for a host, or for repositories of it.
func login(t testing.TB, entry, user, password string) engine.Logins {
	t.Helper()
	one, err := trust.ReadDockerConfig(fmt.Appendf(nil, `{"auths":{%q:{"username":%q,"password":%q}}}`, entry, user, password))
	if err != nil {
		t.Fatal(err)
	}
	l, err := trust.NewLogins(nil, one...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *world) decideAs(l engine.Logins, name string) engine.Verdict {
	return w.engine.Decide(context.Background(), engine.Request{Image: name, Request: policy.Request{Point: "cli"}, Logins: l})
}

// Two tenants with two logins at one registry: none gets an answer that the other's opened, in whatever order and however close they ask.
func TestT26_TwoTenantsOneRegistry(t *testing.T) {
	for round, forms := range []string{"tag", "digest"} {
		t.Run(forms, func(t *testing.T) {
			w := tenants(t)
			w.use(simple)
			ref := w.image("app/private", "1", fmt.Sprint("seed", round))
			w.sign(w.right, ref)
			name := ref.String()
			if forms == "tag" {
				name = w.server.Host() + "/app/private:1"
			}
			ann, bob := login(t, w.server.Host(), "ann", "a"), login(t, w.server.Host(), "bob", "b")
			wrong := login(t, w.server.Host(), "ann", "wrong")
			var wait sync.WaitGroup
			for range 20 {
				wait.Go(func() {
					if v := w.decideAs(ann, name); v.Outcome != engine.Allowed {
						t.Errorf("ann: %v", v.String())
					}
				})
				for who, l := range map[string]engine.Logins{"bob": bob, "ann with a wrong password": wrong, "nobody": {}} {
					wait.Go(func() {
						if v := w.decideAs(l, name); v.Outcome != engine.CouldNotTell || v.Allowed || !v.Digest.IsZero() && forms == "tag" {
							t.Errorf("%s: %v", who, v.String())
						}
					})
				}
			}
			wait.Wait()
		})
	}
}

// Whoever has the same login shares what there is, and so does whoever has none that fits.
func TestT26_EqualLoginsShare(t *testing.T) {
	w := tenants(t)
	w.use(simple)
	ref := w.image("app/shared", "1", "seed")
	w.sign(w.right, ref)
	w.server.ResetRequests()
	if v := w.decideAs(login(t, w.server.Host(), "ann", "a"), ref.String()); v.Outcome != engine.Allowed {
		t.Fatal(v.String())
	}
	first := len(w.server.Requests())
	w.server.ResetRequests()
	if v := w.decideAs(login(t, w.server.Host(), "ann", "a"), ref.String()); !v.Allowed || !v.Cached {
		t.Errorf("the same login: %v, cached %v", v.String(), v.Cached)
	}
	w.wantRequests(0)
	if v := w.decideAs(login(t, w.server.Host(), "bob", "b"), ref.String()); !v.Allowed || v.Cached {
		t.Errorf("another login: %v, cached %v", v.String(), v.Cached)
	}
	w.wantRequests(first)

	open := newWorld(t)
	open.use(simple)
	ref = open.image("app/open", "1", "seed")
	open.sign(open.right, ref)
	open.want(ref.String(), engine.Allowed)
	open.server.ResetRequests()
	for _, l := range []engine.Logins{{}, login(t, "other.example", "ann", "a"), login(t, open.server.Host()+"/elsewhere", "ann", "a")} {
		if v := open.decideAs(l, ref.String()); !v.Allowed || !v.Cached {
			t.Errorf("no login that fits: %v, cached %v", v.String(), v.Cached)
		}
	}
	open.wantRequests(0)
}

// An outage, or an answer "does not exist", that one login met is nothing to another one.
func TestT26_FaultsStayWithTheirLogin(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"not found": registrytest.Status(404, nil, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`),
		"outage":    registrytest.Status(500, nil, ""),
	} {
		t.Run(name, func(t *testing.T) {
			w := tenants(t)
			w.use(simple)
			ref := w.image("app/shared", "1", "seed")
			w.sign(w.right, ref)
			w.server.SetFault(registrytest.OnManifests, fault)
			if v := w.decideAs(login(t, w.server.Host(), "bob", "b"), ref.String()); v.Allowed || (name == "outage") != (v.Outcome == engine.CouldNotTell) {
				t.Errorf("bob: %v", v.String())
			}
			w.server.ClearFaults()
			if v := w.decideAs(login(t, w.server.Host(), "ann", "a"), ref.String()); !v.Allowed {
				t.Errorf("ann: %v", v.String())
			}
		})
	}
}

// Manifests that the engine itself looks at, for digests that were taken back, are kept apart as well.
func TestT26_ContentsStayWithTheirLogin(t *testing.T) {
	w := tenants(t)
	w.use(simple + "  revoked:\n  - {digest: \"sha256:" + strings.Repeat("0", 64) + "\"}\n")
	ref := w.image("app/private", "1", "seed")
	w.sign(w.right, ref)
	if v := w.decideAs(login(t, w.server.Host(), "ann", "a"), ref.String()); !v.Allowed {
		t.Fatal(v.String())
	}
	if v := w.decideAs(login(t, w.server.Host(), "bob", "b"), ref.String()); v.Outcome != engine.CouldNotTell {
		t.Errorf("bob: %v", v.String())
	}
}

// located is an authority that asks another server, and what it says depends on the login there.
type located struct{ server string }

func (l located) Find(ctx context.Context, _ trust.Source, _ image.Ref) (trust.Evidence, error) {
	for _, one := range trust.LoginsOf(ctx).For(l.server, "").List() {
		if one.Username == "ann" {
			return trust.Evidence{Items: []trust.Item{{Name: "word"}}}, nil
		}
	}
	return trust.Evidence{}, trust.Unsigned("nothing for %v", trust.LoginsOf(ctx))
}

func (l located) Check(ref image.Ref, _ trust.Evidence, _ time.Time) ([]trust.Proof, error) {
	return []trust.Proof{{Digest: ref.Digest(), Signers: []trust.Signer{{Key: "SHA256:x"}}}}, nil
}

func (l located) Servers() []string { return []string{l.server} }

type locatedFormat struct{}

func (locatedFormat) Name() string { return "notary" }
func (locatedFormat) New(s trust.Section) (trust.Authority, error) {
	return located{"notary.example:4443"}, s.Decode(&struct{}{})
}
func (locatedFormat) Options() any { return &struct{}{} }

func TestT26_ServersBesideTheRegistry(t *testing.T) {
	w := newWorld(t)
	w.use(`
  authorities:
    far: {notary: {}}
  rules:
  - images: ["%HOST%/app/**"]
    require: far
`, func(c *engine.Config) { c.Formats = append(c.Formats, locatedFormat{}) })
	ref := w.image("app/open", "1", "seed")
	for range 2 {
		if v := w.decideAs(login(t, "notary.example:4443", "ann", "a"), ref.String()); !v.Allowed {
			t.Errorf("ann: %v", v.String())
		}
		for who, l := range map[string]engine.Logins{"bob": login(t, "notary.example:4443", "bob", "b"), "nobody": {}} {
			if v := w.decideAs(l, ref.String()); v.Outcome != engine.Denied {
				t.Errorf("%s: %v", who, v.String())
			}
		}
	}
}
