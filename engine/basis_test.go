package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

// ending is a format whose proofs end at given times, and whose trust material has a version that changes.
type ending struct {
	ends    time.Time
	version *atomic.Int64
	asked   func()
}

func (f ending) Name() string { return "scripted" }
func (f ending) Options() any { return &script{} }
func (f ending) New(s trust.Section) (trust.Authority, error) {
	var into script
	return f, s.Decode(&into)
}
func (f ending) Version() string { return strings.Repeat("v", int(f.version.Load())) }
func (f ending) Find(context.Context, trust.Source, image.Ref) (trust.Evidence, error) {
	if f.asked != nil {
		f.asked()
	}
	return trust.Evidence{}, nil
}

func (f ending) Check(ref image.Ref, _ trust.Evidence, _ time.Time) ([]trust.Proof, error) {
	signers := []trust.Signer{{Key: "k"}}
	return []trust.Proof{
		{Digest: ref.Digest(), Signers: signers, Expires: f.ends.Add(time.Hour)}, {Digest: ref.Digest(), Signers: signers, Expires: f.ends},
		{Digest: ref.Digest(), Signers: signers},
	}, nil
}

// lapsing is the same with trust material that can be used up to a time.
type lapsing struct {
	ending
	until time.Time
}

func (f lapsing) New(s trust.Section) (trust.Authority, error) {
	var into script
	return f, s.Decode(&into)
}
func (f lapsing) Lapsed(now time.Time) bool { return now.After(f.until) }

// A verdict of which nobody could tell does not rest on trust material that must not be used: what was decided before is not compared.
func TestT28_NothingRestsOnMaterialThatIsTooOld(t *testing.T) {
	now := time.Now()
	w, ref := basisWorld(t, lapsing{ending{ends: now.Add(1000 * time.Hour), version: &atomic.Int64{}}, now.Add(24 * time.Hour)}, "require: a")
	w.clock.t = now
	fresh := w.content(ref.String(), "").Basis
	if fresh == "" || w.engine.Basis(policy.Request{Point: "cli"}) != fresh {
		t.Errorf("got %q", fresh)
	}
	w.clock.t = now.Add(25 * time.Hour)
	if got := w.content(ref.String(), "").Basis; got != "" {
		t.Errorf("got %q", got)
	}
	if got := w.engine.Basis(policy.Request{Point: "cli"}); got != "" {
		t.Errorf("got %q", got)
	}
}

// basisWorld is a world with an image that is allowed by a proof that ends.
func basisWorld(t *testing.T, f trust.Format, rule string) (*world, image.Ref) {
	w := newWorld(t)
	ref := w.image("app/api", "1", "a")
	data := []byte(strings.ReplaceAll("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p}\nspec:\n"+
		"  authorities: {a: {scripted: {}}}\n  rules:\n  - {images: [\"%HOST%/**\"], "+rule+"}\n", "%HOST%", w.server.Host()))
	p, err := policy.Parse(policy.Source{Name: "p.yaml", Data: data}, []string{"scripted"})
	if err != nil {
		t.Fatal(err)
	}
	w.engine, err = engine.New(engine.Config{Policies: []*policy.Policy{p}, Formats: []trust.Format{f}, Source: w.client, Tags: w.client, Now: w.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	return w, ref
}

func TestT27_HowLongAVerdictHolds(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	const ttl = engine.DefaultTTL
	for name, c := range map[string]struct {
		proof, rule time.Duration // from now
		allow       bool
		until, ends time.Duration // from now; 0: zero
	}{
		"nothing ends":            {until: ttl},
		"a proof that ends late":  {proof: time.Hour, until: ttl, ends: time.Hour},
		"a proof that ends soon":  {proof: time.Minute, until: time.Minute, ends: time.Minute},
		"a rule that ends sooner": {proof: time.Hour, rule: time.Minute, until: time.Minute, ends: time.Minute},
		"a rule that ends later":  {proof: time.Hour, rule: 2 * time.Hour, until: ttl, ends: time.Hour},
		"a rule's word":           {allow: true, until: ttl},
		"a rule's word that ends": {allow: true, rule: time.Hour, until: ttl, ends: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			at := func(d time.Duration) time.Time {
				if d == 0 {
					return time.Time{}
				}
				return now.Add(d)
			}
			rule := "require: a"
			if c.allow {
				rule = "allow: ours"
			}
			if c.rule > 0 {
				rule += ", until: " + at(c.rule).UTC().Format(time.RFC3339)
			}
			f := ending{ends: at(c.proof), version: &atomic.Int64{}}
			if c.proof == 0 {
				f.ends = now.Add(1000 * time.Hour)
			}
			w, ref := basisWorld(t, f, rule)
			w.clock.t = now
			for _, round := range []string{"cold", "warm"} {
				v := w.content(ref.String(), "")
				ends := v.Ends
				if c.proof == 0 && ends.Equal(f.ends) {
					ends = time.Time{}
				}
				if !v.Allowed || !v.Until.Equal(at(c.until)) || !ends.Equal(at(c.ends)) {
					t.Errorf("%s: got until %v, ends %v, allowed %v; want %v, %v", round, v.Until, v.Ends, v.Allowed, at(c.until), at(c.ends))
				}
			}
			if v := w.decide(ref.String()); !v.Until.IsZero() || !v.Ends.IsZero() || v.Basis != "" {
				t.Error("nobody asked")
			}
		})
	}
}

// A warm answer is reused for the rest of its time, and says so.
// What a policy says that warns stops nothing, and its end ends nothing.
func TestT27_APolicyThatWarnsEndsNothing(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	f := ending{ends: now.Add(1000 * time.Hour), version: &atomic.Int64{}}
	w, ref := basisWorld(t, f, "require: a")
	w.clock.t = now
	parse := func(name, mode, rule string) *policy.Policy {
		p, err := policy.Parse(policy.Source{Name: name, Data: []byte("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: " + name + "}\nspec:\n  mode: " + mode +
			"\n  authorities: {a: {scripted: {}}}\n  rules:\n  - {images: [\"**\"], " + rule + "}\n")}, []string{"scripted"})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	soon := "require: a, until: " + now.Add(time.Minute).UTC().Format(time.RFC3339)
	for mode, want := range map[string]time.Time{"warn": f.ends, "audit": f.ends, "enforce": now.Add(time.Minute)} {
		e, err := engine.New(engine.Config{Policies: []*policy.Policy{parse("p", "enforce", "require: a"), parse("q", mode, soon)}, Formats: []trust.Format{f}, Source: w.client, Tags: w.client, Now: w.clock.now})
		if err != nil {
			t.Fatal(err)
		}
		w.engine = e
		if v := w.content(ref.String(), ""); !v.Allowed || !v.Ends.Equal(want) {
			t.Errorf("%s: got %v until %v, want %v", mode, v.Allowed, v.Ends, want)
		}
	}
}

func TestT27_AReusedProofIsNotReusedForLonger(t *testing.T) {
	w, ref := basisWorld(t, ending{ends: time.Now().Add(time.Hour), version: &atomic.Int64{}}, "require: a")
	cold := w.content(ref.String(), "")
	w.clock.advance(time.Minute)
	if warm := w.content(ref.String(), ""); !warm.Until.Equal(cold.Until) {
		t.Errorf("got %v after a minute, %v at first", warm.Until, cold.Until)
	}
}

// A basis changes with all that could change the verdict, and with nothing else; it can be told while nobody can be asked.
func TestT27_BasisIsPoliciesAndTrustMaterial(t *testing.T) {
	const spec = simple + "  revoked:\n  - {digest: \"" + fixedDigest + "\"}\n"
	w := newWorld(t)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.use(simple)
	first := w.content(ref.String(), "")
	if len(first.Basis) != 64 || first.Basis != w.engine.Basis(policy.Request{Point: "cli"}) {
		t.Fatalf("got %q, %q", first.Basis, w.engine.Basis(policy.Request{Point: "cli"}))
	}
	w.server.SetFault(registrytest.OnManifests, registrytest.Status(503, nil, ""))
	w.use(simple) // another process
	v := w.content(w.server.Host()+"/app/api:1", "")
	if v.Outcome != engine.CouldNotTell || v.Basis != first.Basis {
		t.Errorf("in an outage: got %s, %q, want %q", v.String(), v.Basis, first.Basis)
	}
	if v := w.content("other.example/x:1", ""); v.Outcome != engine.Denied || v.Basis != first.Basis {
		t.Errorf("a denial: got %s, %q, want %q", v.String(), v.Basis, first.Basis)
	}
	others := func(name, spec string) func(*engine.Config) {
		return func(c *engine.Config) { c.Policies = append(c.Policies, w.parse(name, spec)) }
	}
	docker := "  scope: {points: [docker]}\n" + simple
	w.use(simple, others("b", docker))
	if got := w.content(ref.String(), "").Basis; got != first.Basis {
		t.Error("a policy of another point changes the basis")
	}
	for name, change := range map[string]func(){
		"a revocation": func() { w.use(spec) },
		"another mode": func() { w.use("  mode: warn\n" + simple) },
		"one policy more": func() {
			w.use(simple, others("b", "  unmatched: ignore\n  rules: [{images: [\"x.example/**\"], deny: never}]\n"))
		},
		"other roots":      func() { w.use(strings.ReplaceAll(simple, "%RIGHT%", "%OTHER%")) },
		"no policy at all": func() { w.use(simple, func(c *engine.Config) { c.Policies = nil }) },
	} {
		change()
		if got := w.content(ref.String(), "").Basis; got == first.Basis || got == "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// Files that a policy names are a part of it.
func TestT27_BasisHasTheFiles(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	bases := map[string]bool{}
	for _, content := range []string{w.right.pem(), w.other.pem(), w.right.pem()} {
		if err := os.WriteFile(filepath.Join(folder, "ca.pem"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := policy.Parse(policy.Source{
			Name: "p.yaml", Data: w.document("p", strings.ReplaceAll(simple, "roots: %RIGHT%", "rootsFiles: [ca.pem]")),
			ReadFile: func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(folder, name)) },
		}, []string{"certificate"})
		if err != nil {
			t.Fatal(err)
		}
		w.use(simple, func(c *engine.Config) { c.Policies = []*policy.Policy{p} })
		bases[w.engine.Basis(policy.Request{Point: "cli"})] = true
	}
	if len(bases) != 2 {
		t.Errorf("got %d bases, want 2", len(bases))
	}
}

func TestT27_BasisHasTheVersionOfTrustMaterial(t *testing.T) {
	version := &atomic.Int64{}
	f := ending{ends: time.Now().Add(time.Hour), version: version}
	w, ref := basisWorld(t, f, "require: a")
	before := w.content(ref.String(), "").Basis
	version.Add(1)
	if after := w.content(ref.String(), "").Basis; after == before || after == "" {
		t.Errorf("got %q after %q", after, before)
	}
	// It changes while the image is decided: nobody knows by which of the two.
	f.asked = func() { version.Add(1) }
	w, ref = basisWorld(t, f, "require: a")
	if v := w.content(ref.String(), ""); !v.Allowed || v.Basis != "" {
		t.Errorf("got %s, %q", v.String(), v.Basis)
	}
}

// Where nobody knows what a policy says, nothing rests on it.
func TestT27_NoBasisOnAPolicyThatCannotBeUsed(t *testing.T) {
	w := newWorld(t)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.use(simple, func(c *engine.Config) {
		c.Policies = append(c.Policies, policy.StandIn(policy.Source{Name: "q.yaml"}, "", "q", context.DeadlineExceeded))
	})
	if v := w.content(ref.String(), ""); v.Outcome != engine.CouldNotTell || v.Basis != "" {
		t.Errorf("got %s, %q", v.String(), v.Basis)
	}
	w.use("  scope: {namespaces: {selector: {matchLabels: {a: b}}}}\n" + simple)
	if got := w.engine.Basis(policy.Request{Point: "kubernetes", Namespace: "n", HasNamespace: true}); got != "" {
		t.Errorf("without labels: got %q", got)
	}
}
