// Package enforcetest is the suite that every enforcement point passes: the same verdict in, the same refusal out.
package enforcetest

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
)

// Answer is what became of a question at a point, in the words of its protocol.
type Answer struct {
	Allowed bool
	Text    string // what a person is told who is refused; all of it
	Notes   string // warnings beside an answer that allows; "" where the protocol has no place for them
}

// Ask puts the question about one image to a point, as a client of it would. It ends with ctx. Whatever goes wrong on the way is an
// Answer that does not allow.
type Ask func(ctx context.Context, image string) Answer

// Door says what a point is, so that the suite can use it.
type Door struct {
	// Open makes the point with p, and whatever serves it until the test ends.
	Open func(t *testing.T, p *enforce.Point) Ask
	// Silent is for protocols that have no place for the words of a refusal.
	Silent bool
	// Notes says that the protocol carries warnings beside an answer that allows.
	Notes bool
	// Asked is what the engine is asked about for an image, where that is not the image as it was written; nil: it is.
	Asked func(image string) string
}

// Image is what the suite asks about.
const Image = "registry.example/shop/app:1"

// decider is a Decider made of a function.
type decider func(ctx context.Context, req engine.Request) engine.Verdict

// Decide implements enforce.Decider.
func (d decider) Decide(ctx context.Context, req engine.Request) engine.Verdict { return d(ctx, req) }

// Fixed returns a decider that gives the same verdict about every image, under the image's name.
func Fixed(v engine.Verdict) enforce.Decider {
	return decider(func(_ context.Context, req engine.Request) engine.Verdict {
		answer := v
		answer.Image = req.Image
		if ref, err := image.Parse(req.Image); err == nil && v.Canonical == "" {
			answer.Canonical = ref.String()
		}
		return answer
	})
}

const because = "nothing is published for this image"

func decided(o engine.Outcome, mode string, allowed bool) engine.Verdict {
	return engine.Verdict{Allowed: allowed, Decision: engine.Decision{Policy: "shop", Mode: mode, Rule: "rules[0] (line 7)", Outcome: o, Reason: because}}
}

// Run runs the suite on a point.
func Run(t *testing.T, d Door) {
	t.Run("verdicts", func(t *testing.T) { verdicts(t, d) })
	t.Run("panics", func(t *testing.T) { panics(t, d) })
	t.Run("slow deciders", func(t *testing.T) { slow(t, d) })
	t.Run("cancelled", func(t *testing.T) { cancelled(t, d) })
	t.Run("hostile words", func(t *testing.T) { hostile(t, d) })
	t.Run("each request is recorded", func(t *testing.T) { recorded(t, d) })
}

func verdicts(t *testing.T, d Door) {
	audited := decided(engine.Denied, "audit", true)
	warned := decided(engine.Denied, "warn", true)
	warned.Warnings = []string{"policy shop would stop this image: denied: " + because}
	rows := []struct {
		name  string
		v     engine.Verdict
		want  bool
		text  string
		notes string
	}{
		{name: "allowed", v: decided(engine.Allowed, "enforce", true), want: true},
		{name: "denied", v: decided(engine.Denied, "enforce", false), text: because},
		{name: "could not tell", v: decided(engine.CouldNotTell, "enforce", false), text: "could not tell"},
		{name: "bug", v: decided(engine.Bug, "enforce", false), text: "bug"},
		{name: "warn", v: warned, want: true, notes: "would stop this image"},
		{name: "audit", v: audited, want: true},
		{name: "zero verdict", v: engine.Verdict{}},
		{name: "allowing outcome that is not allowed", v: decided(engine.Allowed, "enforce", false), text: because},
		{name: "no opinion", v: decided(engine.NoOpinion, "enforce", false), text: because},
		{name: "an outcome that nobody knows", v: decided(engine.Outcome(99), "enforce", false), text: because},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := d.Open(t, &enforce.Point{Decider: Fixed(row.v)})(t.Context(), Image)
			if got.Allowed != row.want {
				t.Fatalf("got allowed %v, want %v: %q", got.Allowed, row.want, got.Text)
			}
			if !d.Silent && !row.want && (!strings.Contains(got.Text, row.text) || !strings.Contains(got.Text, Image)) {
				t.Errorf("got text %q, want one with %q and the image", got.Text, row.text)
			}
			if d.Notes && !strings.Contains(got.Notes, row.notes) {
				t.Errorf("got notes %q, want some with %q", got.Notes, row.notes)
			}
		})
	}
}

func panics(t *testing.T, d Door) {
	rows := []struct {
		name string
		d    decider
	}{
		{"a text", func(context.Context, engine.Request) engine.Verdict { panic("broken") }},
		{"an error", func(context.Context, engine.Request) engine.Verdict { panic(context.Canceled) }},
		{"nothing where something should be", func(_ context.Context, req engine.Request) engine.Verdict {
			return *map[string]*engine.Verdict{}[req.Image]
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := d.Open(t, &enforce.Point{Decider: row.d})(t.Context(), Image)
			if got.Allowed || !d.Silent && !strings.Contains(got.Text, "bug") {
				t.Errorf("got %+v, want a refusal that says bug", got)
			}
		})
	}
	t.Run("a goroutine that ends itself", func(t *testing.T) {
		p := &enforce.Point{Timeout: 50 * time.Millisecond, Decider: decider(func(context.Context, engine.Request) engine.Verdict {
			runtime.Goexit()
			return engine.Verdict{Allowed: true}
		})}
		if got := d.Open(t, p)(t.Context(), Image); got.Allowed {
			t.Errorf("got %+v, want a refusal", got)
		}
	})
}

func slow(t *testing.T, d Door) {
	stop := make(chan struct{})
	defer close(stop)
	rows := []struct {
		name string
		d    decider
	}{
		{"one that heeds the deadline", func(ctx context.Context, _ engine.Request) engine.Verdict {
			<-ctx.Done()
			return decided(engine.CouldNotTell, "enforce", false)
		}},
		{"one that does not", func(context.Context, engine.Request) engine.Verdict {
			<-stop
			return engine.Verdict{Allowed: true}
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			ask := d.Open(t, &enforce.Point{Decider: row.d, Timeout: 50 * time.Millisecond})
			start := time.Now()
			got := ask(t.Context(), Image)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("answered after %v", took)
			}
			if got.Allowed || !d.Silent && !strings.Contains(got.Text, "could not tell") {
				t.Errorf("got %+v, want a refusal that could not tell", got)
			}
		})
	}
}

func cancelled(t *testing.T, d Door) {
	ctx, cancel := context.WithCancel(t.Context())
	ask := d.Open(t, &enforce.Point{Decider: decider(func(ctx context.Context, _ engine.Request) engine.Verdict {
		cancel()
		<-ctx.Done()
		return engine.Verdict{}
	})})
	if got := ask(ctx, Image); got.Allowed {
		t.Errorf("got %+v, want a refusal", got)
	}
}

func hostile(t *testing.T, d Door) {
	if d.Silent {
		t.Skip("the protocol has no place for words")
	}
	v := decided(engine.Denied, "enforce", false)
	v.Reason = "no\x1b[2J\u202edewolla\r" + strings.Repeat("long ", 100_000)
	got := d.Open(t, &enforce.Point{Decider: Fixed(v)})(t.Context(), Image)
	if got.Allowed || strings.ContainsAny(got.Text, "\x1b\u202e\r") || len(got.Text) > 16<<10 {
		t.Errorf("got %d bytes, allowed %v: %.200q", len(got.Text), got.Allowed, got.Text)
	}
}

func recorded(t *testing.T, d Door) {
	for _, image := range []string{Image, "registry.example/shop/other@sha256:" + strings.Repeat("0f", 32)} {
		told := make(chan string, 10)
		p := &enforce.Point{
			Decider: Fixed(decided(engine.Denied, "enforce", false)),
			Record: func(_ *enforce.Occasion, req engine.Request, v *engine.Verdict) {
				told <- req.Image + " " + v.Outcome.String()
			},
		}
		d.Open(t, p)(t.Context(), image)
		select {
		case got := <-told:
			if want := d.asked(image) + " denied"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Error("nothing was recorded")
		}
	}
}

func (d *Door) asked(image string) string {
	if d.Asked == nil {
		return image
	}
	return d.Asked(image)
}
