package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// pieces is a format whose authorities find the pieces of evidence that their section lists, one after the other.
type pieces struct {
	mu       sync.Mutex
	looked   int // pieces that were found
	checks   int
	kept     []int // pieces in each evidence that was remembered
	version  string
	warnings []string
}

type pieceOptions struct {
	Pieces []piece `yaml:"pieces"`
	Fault  string  `yaml:"fault,omitempty"` // "before", "after" the first piece that suffices, "later" if it does not, "version" changes it meanwhile, "remember" cannot
}

// piece is one proof, unless it is junk.
type piece struct {
	Key     string   `yaml:"key,omitempty"`
	Issuer  string   `yaml:"issuer,omitempty"`
	Subject string   `yaml:"subject,omitempty"`
	Names   []string `yaml:"names,omitempty"`
	Is      string   `yaml:"is,omitempty"` // "junk", "expired", "foreign", "panic"
}

func (*pieces) Name() string { return "pieces" }
func (*pieces) Options() any { return &pieceOptions{} }
func (f *pieces) New(s trust.Section) (trust.Authority, error) {
	a := &collector{format: f}
	return a, s.Decode(&a.pieceOptions)
}

type collector struct {
	pieceOptions
	format *pieces
}

var (
	_ trust.Searcher   = (*collector)(nil)
	_ trust.Rememberer = (*collector)(nil)
	_ trust.Versioned  = (*collector)(nil)
	_ trust.Warner     = (*collector)(nil)
)

func (a *collector) Find(ctx context.Context, src trust.Source, ref image.Ref) (trust.Evidence, error) {
	return a.Search(ctx, src, ref, func(trust.Evidence) bool { return false })
}

func (a *collector) Search(_ context.Context, _ trust.Source, _ image.Ref, enough func(trust.Evidence) bool) (trust.Evidence, error) {
	var ev trust.Evidence
	if a.Fault == "before" {
		return ev, errOutage
	}
	for i := range a.Pieces {
		a.format.note(&a.format.looked)
		ev.Items = append(ev.Items, trust.Item{Name: fmt.Sprint(i)})
		said := make(chan bool)
		go func() { said <- enough(ev) }() // on a goroutine of its own, as formats that look in several places do
		if !<-said {
			if a.Fault == "later" {
				return ev, errOutage
			}
			continue
		}
		switch a.Fault {
		case "after":
			return ev, errOutage
		case "version":
			a.format.setVersion("changed meanwhile")
		}
		return ev, nil
	}
	return ev, nil
}

func (a *collector) Check(ref image.Ref, ev trust.Evidence, now time.Time) ([]trust.Proof, error) {
	a.format.note(&a.format.checks)
	var proofs []trust.Proof
	for i := range ev.Items {
		one := a.Pieces[i]
		p := trust.Proof{Digest: ref.Digest(), Signers: []trust.Signer{{
			Key: one.Key, Identity: trust.Identity{Issuer: one.Issuer, Subject: one.Subject}, Names: one.Names,
		}}}
		switch one.Is {
		case "junk":
			continue
		case "panic":
			panic("check")
		case "expired":
			p.Expires = now
		case "foreign":
			p.Digest = image.SHA256([]byte("foreign"))
		}
		proofs = append(proofs, p)
	}
	if len(proofs) == 0 {
		return nil, trust.Untrusted("junk")
	}
	return proofs, nil
}

func (a *collector) Remember(_ context.Context, _ image.Ref, ev trust.Evidence, _ time.Time) error {
	a.format.mu.Lock()
	defer a.format.mu.Unlock()
	a.format.kept = append(a.format.kept, len(ev.Items))
	if a.Fault == "remember" {
		return errOutage
	}
	return nil
}

func (a *collector) Version() string {
	a.format.mu.Lock()
	defer a.format.mu.Unlock()
	return a.format.version
}

func (a *collector) Warnings(time.Time) []string {
	a.format.mu.Lock()
	defer a.format.mu.Unlock()
	return a.format.warnings
}

func (f *pieces) note(count *int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*count++
}

func (f *pieces) setVersion(v string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version = v
}

// counts returns how many pieces were looked at and how many checks were made since the last call.
func (f *pieces) counts() [2]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := [2]int{f.looked, f.checks}
	f.looked, f.checks = 0, 0
	return counts
}

const collectors = `
  authorities:
    alice: {pieces: {pieces: [{key: a}]}}
    many: {pieces: {pieces: [{key: a}, {key: b}, {key: c}]}}
    late: {pieces: {pieces: [{is: junk}, {is: junk}, {key: b}, {key: c}]}}
    junk: {pieces: {pieces: [{is: junk}, {is: junk}]}}
    expired: {pieces: {pieces: [{is: expired, key: a}, {key: b}]}}
    foreign: {pieces: {pieces: [{is: foreign, key: a}, {key: b}]}}
    panics: {pieces: {pieces: [{is: junk}, {is: panic}, {key: b}]}}
    before: {pieces: {fault: before, pieces: [{key: a}]}}
    after: {pieces: {fault: after, pieces: [{key: a}]}}
    changes: {pieces: {fault: version, pieces: [{key: a}]}}
    forgets: {pieces: {fault: remember, pieces: [{key: a}]}}
    forgets-junk: {pieces: {fault: remember, pieces: [{is: junk}]}}
`

func piecesEngine(t testing.TB, spec string, change ...func(*engine.Config)) (*pieces, *engine.Engine) {
	t.Helper()
	data := "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p}\nspec:\n" + spec
	p, err := policy.Parse(policy.Source{Name: "p.yaml", Data: []byte(data)}, []string{"pieces"})
	if err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	f := &pieces{}
	c := engine.Config{Policies: []*policy.Policy{p}, Formats: []trust.Format{f}, Source: noRegistry{}, Tags: noRegistry{}}
	for _, change := range change {
		change(&c)
	}
	e, err := engine.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f, e
}

func requireOf(what string) string {
	return collectors + "  rules:\n  - images: [\"**\"]\n    require: " + what + "\n"
}

func decideFixed(e *engine.Engine) engine.Verdict {
	return e.Decide(context.Background(), request("registry.example/app@"+fixedDigest))
}

func TestSearchEndsWhenItSuffices(t *testing.T) {
	revoked := func(key string) string { return "  revoked: [{key: \"" + key + "\", reason: stolen}]\n" }
	keyA := trust.Fingerprint([]byte("a"))
	rows := []struct {
		name, spec string
		want       engine.Outcome
		counts     [2]int // pieces looked at, checks
	}{
		{"the first piece", requireOf("many"), engine.Allowed, [2]int{1, 1}},
		{"T45 junk first", requireOf("late"), engine.Allowed, [2]int{3, 3}},
		{"nothing suffices", requireOf("junk"), engine.Denied, [2]int{2, 3}},
		{"T5 a proof that has ended ends nothing", requireOf("expired"), engine.Denied, [2]int{2, 3}},
		{"T11 a proof about another image ends nothing", requireOf("foreign"), engine.Denied, [2]int{2, 3}},
		{"T46 a fault", requireOf("before"), engine.CouldNotTell, [2]int{0, 0}},
		{"T46 a fault is not covered by what sufficed before", requireOf("after"), engine.CouldNotTell, [2]int{1, 1}},
		{"T47 a panic on a goroutine of the format", requireOf("panics"), engine.Bug, [2]int{2, 2}},
		{"T21 a revoked signer ends nothing", strings.ReplaceAll(requireOf("many"), "key: a", `key: "`+keyA+`"`) + revoked(keyA), engine.Allowed, [2]int{2, 2}},
		{"T21 the only signer is revoked", strings.ReplaceAll(requireOf("alice"), "key: a", `key: "`+keyA+`"`) + revoked(keyA), engine.Denied, [2]int{1, 2}},
		{"any counts no signers", requireOf("{any: [many, junk]}"), engine.Allowed, [2]int{}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			f, e := piecesEngine(t, row.spec)
			v := decideFixed(e)
			if v.Outcome != row.want || v.Allowed != (row.want == engine.Allowed) {
				t.Errorf("got %s (%s), want %s", v.Outcome, v.Reason, row.want)
			}
			if got := f.counts(); row.counts != [2]int{} && got != row.counts {
				t.Errorf("got %d pieces, %d checks; want %v", got[0], got[1], row.counts)
			}
			warm := decideFixed(e)
			if one := len(v.Authorities) == 1; one && fmt.Sprint(warm.Decision) != fmt.Sprint(v.Decision) {
				t.Errorf("T23 cold %+v, warm %+v", v.Decision, warm.Decision)
			}
		})
	}
}

// T28: what a search found is remembered once, at its end, with all that the answer rests on.
func TestT28_SearchesAreRemembered(t *testing.T) {
	rows := []struct {
		require string
		want    engine.Outcome
		kept    []int
	}{
		{"late", engine.Allowed, []int{3}},
		{"junk", engine.Denied, []int{2}},
		{"{atLeast: 2, of: [many, late]}", engine.Allowed, []int{3, 4}},
		{"before", engine.CouldNotTell, nil},
		{"after", engine.CouldNotTell, nil},
		{"panics", engine.Bug, nil},
		{"forgets", engine.CouldNotTell, []int{1}},
		{"forgets-junk", engine.CouldNotTell, []int{1}},
	}
	for _, row := range rows {
		f, e := piecesEngine(t, requireOf(row.require))
		if v := decideFixed(e); v.Outcome != row.want {
			t.Errorf("%s: got %s: %s", row.require, v.Outcome, v.Reason)
		}
		slices.Sort(f.kept)
		if diff := cmp.Diff(row.kept, f.kept); diff != "" {
			t.Errorf("%s: %s", row.require, diff)
		}
	}
}

// T9: below a threshold that counts signers, no search ends early: the signer who is missing may stand behind the next piece.
func TestT9_ThresholdsNeedAllProofs(t *testing.T) {
	rows := map[string]string{
		"threshold":           requireOf("{atLeast: 2, of: [alice, many]}"),
		"below another tree":  requireOf("{atLeast: 2, of: [alice, {any: [junk, many]}]}"),
		"deeper below a list": requireOf("[alice, {atLeast: 2, of: [alice, {all: [many]}]}]"),
		"another rule": collectors + `  rules:
  - images: ["registry.example/app"]
    require: many
  - images: ["**"]
    require: {atLeast: 2, of: [alice, many]}
`,
	}
	for name, spec := range rows {
		t.Run(name, func(t *testing.T) {
			f, e := piecesEngine(t, spec)
			if v := decideFixed(e); v.Outcome != engine.Allowed {
				t.Errorf("got %s: %s", v.Outcome, v.Reason)
			}
			other := e.Decide(context.Background(), request("registry.example/other@"+fixedDigest))
			if other.Outcome != engine.Allowed {
				t.Errorf("another image: got %s: %s", other.Outcome, other.Reason)
			}
			if got := f.counts(); got[0] < 6 {
				t.Errorf("got %d pieces looked at for two images, want at least the three of each", got[0])
			}
		})
	}
}

// T27, T52: what was decided with other trust material is asked anew.
func TestT27_TrustMaterialIsPartOfTheKey(t *testing.T) {
	f, e := piecesEngine(t, requireOf("alice"))
	for _, step := range []struct {
		version string
		looked  int
	}{{"", 1}, {"", 0}, {"2", 1}, {"2", 0}, {"3", 1}} {
		f.setVersion(step.version)
		v := decideFixed(e)
		if got := f.counts()[0]; v.Outcome != engine.Allowed || got != step.looked || v.Cached != (step.looked == 0) {
			t.Errorf("version %q: %s, %d pieces, cached %v; want %d pieces", step.version, v.Outcome, got, v.Cached, step.looked)
		}
	}
}

// T27: an answer during which the trust material changed is nobody's.
func TestT27_MaterialThatChangesMeanwhile(t *testing.T) {
	f, e := piecesEngine(t, requireOf("changes"))
	for i, step := range []struct {
		version string
		looked  int
	}{{"1", 1}, {"1", 1}, {"changed meanwhile", 1}, {"changed meanwhile", 0}} {
		f.setVersion(step.version)
		v := decideFixed(e)
		if got := f.counts()[0]; v.Outcome != engine.Allowed || got != step.looked {
			t.Errorf("question %d: %s, %d pieces; want %d", i, v.Outcome, got, step.looked)
		}
	}
}

func TestWarnings(t *testing.T) {
	f, e := piecesEngine(t, requireOf("{any: [junk, alice]}"))
	if got := e.Warnings(); len(got) > 0 {
		t.Errorf("got %q, want none", got)
	}
	if v := decideFixed(e); len(v.Warnings) > 0 {
		t.Errorf("verdict: got %q, want none", v.Warnings)
	}
	f.warnings = []string{"the roots are old"}
	want := []string{"the roots are old"}
	if diff := cmp.Diff(want, e.Warnings()); diff != "" {
		t.Error(diff)
	}
	for _, round := range []string{"warm", "cold"} {
		if v := decideFixed(e); !cmp.Equal(want, v.Warnings) {
			t.Errorf("%s verdict: got %q, want %q", round, v.Warnings, want)
		}
		f.setVersion(round)
	}
	v := e.Decide(context.Background(), request("registry.example./app"))
	if len(v.Warnings) > 0 {
		t.Errorf("verdict of nobody: got %q", v.Warnings)
	}
}

func TestObserve(t *testing.T) {
	var seen []string
	_, e := piecesEngine(t, requireOf("{any: [alice]}"), func(c *engine.Config) {
		c.Observe = func(v *engine.Verdict) { seen = append(seen, v.Image+" "+v.Outcome.String()) }
	})
	image := "registry.example/app@" + fixedDigest
	for _, name := range []string{image, image, "registry.example./app", "registry.example/app:1"} {
		e.Decide(context.Background(), request(name))
	}
	want := []string{image + " allowed", image + " allowed", "registry.example./app denied", "registry.example/app:1 could-not-tell"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

// T47: a panic on the asker's own goroutine is observed too, once.
func TestT47_ObserveSeesBugs(t *testing.T) {
	var seen []engine.Outcome
	_, e := piecesEngine(t, requireOf("alice"), func(c *engine.Config) {
		c.Observe = func(v *engine.Verdict) { seen = append(seen, v.Outcome) }
		times := 0
		c.Now = func() time.Time {
			if times++; times == 3 {
				panic("no clock")
			}
			return time.Now()
		}
	})
	var bug *engine.BugError
	if v := decideFixed(e); !errors.As(v.Err(), &bug) {
		t.Errorf("got %s, error %v; want a bug", v.Outcome, v.Err())
	}
	if !cmp.Equal(seen, []engine.Outcome{engine.Bug}) {
		t.Errorf("got %v, want one bug", seen)
	}
}

// T21: an identity is revoked by any name of the signer.
func TestT21_RevokedIdentity(t *testing.T) {
	const entry = `  revoked: [{identity: {issuer: "https://idp.example", subject: old@acme.example}, reason: left}]` + "\n"
	rows := []struct {
		name, piece string
		want        engine.Outcome
	}{
		{"the subject", `{key: k, issuer: "https://idp.example", subject: old@acme.example}`, engine.Denied},
		{"another name", `{key: k, issuer: "https://idp.example", subject: new@acme.example, names: [new@acme.example, old@acme.example]}`, engine.Denied},
		{"a name where no subject is set", `{key: k, names: [old@acme.example]}`, engine.Denied},
		{"own authority, no provider", `{key: k, subject: old@acme.example}`, engine.Denied},
		{"own authority, another name", `{key: k, subject: new@acme.example, names: [new@acme.example, old@acme.example]}`, engine.Denied},
		{"not another provider", `{key: k, issuer: "https://other.example", subject: old@acme.example, names: [old@acme.example]}`, engine.Allowed},
		{"not another subject", `{key: k, issuer: "https://idp.example", subject: new@acme.example, names: [new@acme.example]}`, engine.Allowed},
		{"not a part of a name", `{key: k, issuer: "https://idp.example", subject: very.old@acme.example}`, engine.Allowed},
		{"not a bare key", `{key: k}`, engine.Allowed},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, e := piecesEngine(t, "\n  authorities:\n    one: {pieces: {pieces: ["+row.piece+"]}}\n  rules:\n  - {images: [\"**\"], require: one}\n"+entry)
			if v := decideFixed(e); v.Outcome != row.want {
				t.Errorf("got %s: %s, want %s", v.Outcome, v.Reason, row.want)
			}
		})
	}
}
