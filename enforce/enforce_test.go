package enforce_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/enforcetest"
	"github.com/assay-dev/assay/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plainDoor is the least point that there can be: its protocol is a Go call.
func plainDoor(_ *testing.T, p *enforce.Point) enforcetest.Ask {
	return func(ctx context.Context, image string) enforcetest.Answer {
		v := p.Decide(ctx, "id", engine.Request{Image: image})[0]
		return enforcetest.Answer{Allowed: enforce.Of(&v) == enforce.Yes, Text: enforce.Refusal(&v), Notes: strings.Join(v.Warnings, "\n")}
	}
}

func TestSuite(t *testing.T) {
	enforcetest.Run(t, enforcetest.Door{Open: plainDoor, Notes: true})
}

type deciderFunc func(ctx context.Context, req engine.Request) engine.Verdict

func (d deciderFunc) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	return d(ctx, req)
}

func requests(n int) []engine.Request {
	all := make([]engine.Request, n)
	for i := range all {
		all[i].Image = fmt.Sprintf("registry.example/app:%d", i)
	}
	return all
}

func TestManyImages(t *testing.T) {
	var now, most atomic.Int64
	p := &enforce.Point{Decider: deciderFunc(func(_ context.Context, req engine.Request) engine.Verdict {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		return engine.Verdict{Allowed: strings.HasSuffix(req.Image, "7")}
	})}
	asked := requests(enforce.MaxImages)
	got := p.Decide(t.Context(), "id", asked...)
	if len(got) != len(asked) {
		t.Fatalf("got %d verdicts, want %d", len(got), len(asked))
	}
	for i := range got {
		if got[i].Image != asked[i].Image || got[i].Allowed != (i%10 == 7) {
			t.Fatalf("verdict %d: got %s allowed %v", i, got[i].Image, got[i].Allowed)
		}
	}
	if m := most.Load(); m < 2 || m > 64 {
		t.Errorf("got %d at once, want 2 to 64", m)
	}
}

// One image more than the limit: none is decided about, and all are denied.
func TestT43_OneImageTooMany(t *testing.T) {
	p := &enforce.Point{Decider: deciderFunc(func(context.Context, engine.Request) engine.Verdict {
		t.Error("the decider was asked")
		return engine.Verdict{Allowed: true}
	})}
	got := p.Decide(t.Context(), "id", requests(enforce.MaxImages+1)...)
	if len(got) != enforce.MaxImages+1 || enforce.OfAll(got) != enforce.No || !strings.Contains(got[0].Reason, "at most 1000") {
		t.Errorf("got %d verdicts, %v: %s", len(got), enforce.OfAll(got), got[0].Reason)
	}
}

// One image that hangs takes no other image's answer with it.
func TestOneHangs(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	p := &enforce.Point{Timeout: 100 * time.Millisecond, Decider: deciderFunc(func(_ context.Context, req engine.Request) engine.Verdict {
		if strings.HasSuffix(req.Image, ":1") {
			<-stop
		}
		return engine.Verdict{Allowed: true}
	})}
	got := p.Decide(t.Context(), "id", requests(3)...)
	want := []enforce.Meaning{enforce.Yes, enforce.CannotTell, enforce.Yes}
	for i := range got {
		if m := enforce.Of(&got[i]); m != want[i] {
			t.Errorf("image %d: got %v, want %v", i, m, want[i])
		}
	}
	if !strings.Contains(got[1].Reason, "no answer within 100ms") {
		t.Errorf("got reason %q", got[1].Reason)
	}
}

func TestOfAll(t *testing.T) {
	yes, no := engine.Verdict{Allowed: true}, engine.Verdict{}
	cannot := engine.Verdict{Decision: engine.Decision{Outcome: engine.CouldNotTell}}
	bug := engine.Verdict{Decision: engine.Decision{Outcome: engine.Bug}}
	rows := []struct {
		name string
		of   []engine.Verdict
		want enforce.Meaning
	}{
		{"none", nil, enforce.No},
		{"yes", []engine.Verdict{yes, yes}, enforce.Yes},
		{"one no", []engine.Verdict{yes, cannot, no, bug}, enforce.No},
		{"one that cannot be told", []engine.Verdict{yes, cannot}, enforce.CannotTell},
		{"a bug", []engine.Verdict{cannot, bug, yes}, enforce.Bug},
	}
	for _, row := range rows {
		if got := enforce.OfAll(row.of); got != row.want {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
}

func TestRefusal(t *testing.T) {
	v := engine.Verdict{Image: "registry.example/shop/app:1", Decision: engine.Decision{
		Policy: "shop", Mode: "enforce", Rule: "rules[0] (line 7)", Outcome: engine.Denied, Reason: "ci does not vouch",
		Authorities: []engine.Attestation{{Authority: "ci", Format: "certificate", Standing: engine.Unsigned, Reason: "nothing is published"}},
	}}
	want := `registry.example/shop/app:1: may not run: ci does not vouch
rule: rules[0] (line 7) of policy shop
ci (certificate): unsigned: nothing is published
next: have the image signed for ci, or ask whoever keeps the policy`
	if got := enforce.Refusal(&v); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	v.Reason = strings.Repeat("ü", 1000)
	if got := enforce.Refusal(&v); !utf8.ValidString(got) || len(got) > 1000 {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}

func TestRequestID(t *testing.T) {
	for _, keep := range []string{"a", "b3b1e3a0-7e0c-4d4e-9a0e-8a9c6b1d2f3a", strings.Repeat("x", 64)} {
		if got := enforce.RequestID(keep); got != keep {
			t.Errorf("got %q, want %q", got, keep)
		}
	}
	made := map[string]bool{}
	for _, replace := range []string{"", "a b", "a\nlevel=ERROR", "ü", `"`, strings.Repeat("x", 65)} {
		got := enforce.RequestID(replace)
		if got == replace || len(got) < 20 || made[got] {
			t.Errorf("%q: got %q", replace, got)
		}
		made[got] = true
	}
}
