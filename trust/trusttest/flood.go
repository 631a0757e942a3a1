package trusttest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust"
)

// Bounds of the flood.
const (
	floodItems    = 10_000
	floodRequests = 2*trust.MaxSignatures + 8
	floodTime     = 30 * time.Second
)

// flood buries one good piece of evidence, the newest, under junk: it is found all the same, always, and with bounded work.
func (s Suite) flood(t *testing.T) {
	if s.PublishFlood == nil {
		t.Skip("one place for one piece of evidence")
	}
	src, a := new(Source), s.Authority(t)
	s.PublishFlood(t, src, app, floodItems)
	looks := map[string]func(context.Context, trust.Source) (trust.Evidence, error){
		"find": func(ctx context.Context, src trust.Source) (trust.Evidence, error) { return a.Find(ctx, src, app) },
	}
	if searcher, ok := a.(trust.Searcher); ok {
		looks["search"] = func(ctx context.Context, src trust.Source) (trust.Evidence, error) {
			return searcher.Search(ctx, src, app, (&asker{t: t, answer: s.proves(a, app)}).enough)
		}
	}
	for name, look := range looks {
		var first string
		for range 5 {
			one, started := &attempt{Source: src}, time.Now()
			ev, err := look(t.Context(), one)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			proofs, err := a.Check(app, ev, s.Now)
			wantProof(t, app, proofs, err, s.Now)
			if n, d := one.requests.Load(), time.Since(started); n > floodRequests || d > floodTime {
				t.Errorf("%s: %d requests in %s, want %d in %s at most", name, n, d, floodRequests, floodTime)
			}
			if got := fmt.Sprintf("%+v", proofs); first == "" {
				first = got
			} else if got != first {
				t.Fatalf("%s: two looks at the same evidence differ:\n%s\n%s", name, first, got)
			}
		}
	}
}
