package engine_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

func decideEvery(e *engine.Engine) engine.Verdict {
	req := request("registry.example/app@" + fixedDigest)
	req.Every = true
	return e.Decide(context.Background(), req)
}

// keysOf lists the keys of all proofs of an authority.
func keysOf(v *engine.Verdict, authority string) []string {
	var keys []string
	for _, a := range v.Authorities {
		for _, p := range a.Proofs {
			if a.Authority == authority {
				keys = append(keys, p.Signers[0].Key)
			}
		}
	}
	return keys
}

const everyAuthorities = `
  authorities:
    three: {pieces: {pieces: [{key: a}, {is: junk}, {key: b}, {key: c}]}}
    cut: {pieces: {fault: later, pieces: [{key: a}, {key: b}]}}
    ended: {pieces: {pieces: [{key: a}, {key: b, is: expired}]}}
    other: {pieces: {pieces: [{key: d}]}}
    broken: {pieces: {fault: before, pieces: [{key: a}]}}
    panics: {pieces: {pieces: [{is: junk}, {is: panic}]}}
    junk: {pieces: {pieces: [{is: junk}]}}
`

func everyOf(require string) string {
	return everyAuthorities + "  rules:\n  - images: [\"**\"]\n    require: " + require + "\n"
}

// All proofs are handed out, cold and warm, and the ordinary question still ends with the first.
func TestEveryProofIsHandedOut(t *testing.T) {
	f, e := piecesEngine(t, everyOf("three"))
	for range 2 {
		v := decideEvery(e)
		if got, want := keysOf(&v, "three"), []string{"a", "b", "c"}; !cmp.Equal(got, want) {
			t.Errorf("proofs by %v, want %v", got, want)
		}
	}
	if got := f.counts(); got[0] != 4 {
		t.Errorf("looked at %d pieces, want each once", got[0])
	}
	v := decideFixed(e)
	if got, want := keysOf(&v, "three"), []string{"a"}; !cmp.Equal(got, want) {
		t.Errorf("an ordinary question has proofs by %v, want %v", got, want)
	}
	if got := f.counts(); got[0] != 1 {
		t.Errorf("looked at %d pieces, want one more", got[0])
	}
}

// Whoever the rule can do without is heard too.
func TestEveryAuthorityIsHeard(t *testing.T) {
	_, e := piecesEngine(t, everyOf("{any: [other, three, broken]}"))
	v := decideEvery(e)
	if got, want := keysOf(&v, "three"), []string{"a", "b", "c"}; !v.Allowed || !cmp.Equal(got, want) {
		t.Errorf("%s; proofs by %v, want %v", v.String(), got, want)
	}
	if got, want := keysOf(&v, "other"), []string{"d"}; !cmp.Equal(got, want) {
		t.Errorf("proofs by %v, want %v", got, want)
	}
}

// The wish for all proofs changes no verdict.
func TestEveryChangesNoVerdict(t *testing.T) {
	for _, require := range []string{"three", "cut", "ended", "broken", "panics", "junk", "{any: [cut, broken]}", "{all: [three, junk]}"} {
		t.Run(require, func(t *testing.T) {
			_, e := piecesEngine(t, everyOf(require))
			plain := decideFixed(e)
			for _, when := range []string{"cold", "warm"} {
				if v := decideEvery(e); v.Outcome != plain.Outcome || v.Allowed != plain.Allowed {
					t.Errorf("%s: %s; without the wish %s", when, v.String(), plain.String())
				}
			}
		})
	}
}

// What was cut short says so, and is asked again soon.
func TestEveryIsKeptShortlyWhereItIsNotAll(t *testing.T) {
	clock := &clock{t: time.Now()}
	f, e := piecesEngine(t, everyOf("cut"), func(c *engine.Config) { c.Now = clock.now })
	v := decideEvery(e)
	if got := keysOf(&v, "cut"); !cmp.Equal(got, []string{"a"}) || !strings.Contains(v.Authorities[0].Missed, errOutage.Error()) {
		t.Errorf("proofs by %v, missed %q", got, v.Authorities[0].Missed)
	}
	decideEvery(e)
	if got := f.counts(); got[0] != 1 {
		t.Errorf("looked at %d pieces, want 1: the answer is kept for a while", got[0])
	}
	clock.advance(engine.DefaultRefusalTTL)
	decideEvery(e)
	if got := f.counts(); got[0] != 1 {
		t.Errorf("looked at %d pieces, want 1 more: it was to be asked again", got[0])
	}
}

// A revoked proof is not handed out.
func TestT21_EveryLeavesOutWhatIsRevoked(t *testing.T) {
	key := trust.Fingerprint([]byte("b"))
	_, e := piecesEngine(t, strings.ReplaceAll(everyOf("three"), "key: b", `key: "`+key+`"`)+"  revoked: [{key: \""+key+"\"}]\n")
	v := decideEvery(e)
	if got, want := keysOf(&v, "three"), []string{"a", "c"}; !cmp.Equal(got, want) {
		t.Errorf("proofs by %v, want %v", got, want)
	}
}

// slow is a format whose authorities never answer.
type slow struct{}

func (slow) Name() string                               { return "slow" }
func (slow) Options() any                               { return &struct{}{} }
func (slow) New(trust.Section) (trust.Authority, error) { return slow{}, nil }
func (slow) Find(ctx context.Context, _ trust.Source, _ image.Ref) (trust.Evidence, error) {
	<-ctx.Done()
	return trust.Evidence{}, ctx.Err()
}
func (slow) Check(image.Ref, trust.Evidence, time.Time) ([]trust.Proof, error) { return nil, nil }

// An authority that hangs holds nobody up for long whose image is vouched for already, cold or warm.
func TestEveryWaitsNotLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p}\nspec:\n  authorities: {a: {pieces: {pieces: [{key: a}]}}, s: {slow: {}}}\n" +
			"  rules:\n  - images: [\"**\"]\n    require: {any: [a, s]}\n"
		p, err := policy.Parse(policy.Source{Name: "p.yaml", Data: []byte(data)}, []string{"pieces", "slow"})
		if err != nil {
			t.Fatal(err)
		}
		e, err := engine.New(engine.Config{
			Policies: []*policy.Policy{p}, Formats: []trust.Format{&pieces{}, slow{}}, Source: noRegistry{}, Tags: noRegistry{},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, when := range []string{"cold", "warm"} {
			start := time.Now()
			if v := decideEvery(e); !v.Allowed || len(keysOf(&v, "a")) != 1 {
				t.Errorf("%s: %s", when, v.String())
			}
			if took := time.Since(start); took != engine.EveryWait {
				t.Errorf("%s: took %v, want %v", when, took, engine.EveryWait)
			}
		}
	})
}

// BenchmarkDecideWarmEvery is an equal question for all proofs asked again.
func BenchmarkDecideWarmEvery(b *testing.B) {
	w := newWorld(b)
	w.use(simple)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.want(ref.String(), engine.Allowed)
	req := request(ref.String())
	req.Every = true
	b.ReportAllocs()
	for b.Loop() {
		if v := w.engine.Decide(context.Background(), req); !v.Allowed {
			b.Fatal(v.Reason)
		}
	}
}
