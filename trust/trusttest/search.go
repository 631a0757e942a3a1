package trusttest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// asker answers whether evidence is enough, and watches how it is asked.
type asker struct {
	t      *testing.T
	answer func(trust.Evidence) bool

	asking sync.Mutex
	asked  int
	items  int       // at the last question
	yes    time.Time // when it said so; zero: not yet
}

func (a *asker) enough(ev trust.Evidence) bool {
	if !a.asking.TryLock() {
		a.t.Error("enough is called by two goroutines at once")
		return false
	}
	defer a.asking.Unlock()
	a.asked++
	switch {
	case !a.yes.IsZero():
		a.t.Error("enough is called again after it said yes")
	case len(ev.Items) < a.items:
		a.t.Errorf("enough is asked about %d items, after %d", len(ev.Items), a.items)
	}
	a.items = len(ev.Items)
	if a.answer(ev) {
		a.yes = time.Now()
	}
	return !a.yes.IsZero()
}

func never(trust.Evidence) bool  { return false }
func always(trust.Evidence) bool { return true }

// proves returns the answer that the engine gives.
func (s Suite) proves(a trust.Authority, ref image.Ref) func(trust.Evidence) bool {
	return func(ev trust.Evidence) bool {
		proofs, err := a.Check(ref, ev, s.Now)
		return err == nil && len(proofs) > 0
	}
}

// published are the three states of an image, for tests that look at each of them.
func (s Suite) published(t *testing.T) map[string]*Source {
	all := map[string]*Source{"signed": {}, "foreign": {}, "unsigned": {}, "both": {}}
	s.Publish(t, all["signed"], app)
	s.PublishForeign(t, all["foreign"], app)
	s.PublishForeign(t, all["both"], app)
	s.Publish(t, all["both"], app)
	return all
}

// sorted returns evidence in an order of its own: what is found side by side comes in any order.
func sorted(ev trust.Evidence) trust.Evidence {
	ev.Items = slices.SortedFunc(slices.Values(ev.Items), func(a, b trust.Item) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.MediaType, b.MediaType), bytes.Compare(a.Bytes, b.Bytes))
	})
	return ev
}

func (s Suite) searchAll(t *testing.T) {
	a := s.Authority(t)
	for name, src := range s.published(t) {
		want, wantErr := a.Find(t.Context(), src, app)
		got, err := a.(trust.Searcher).Search(t.Context(), src, app, (&asker{t: t, answer: never}).enough)
		if !reflect.DeepEqual(sorted(got), sorted(want)) {
			t.Errorf("%s: found %d items, want %d as by Find", name, len(got.Items), len(want.Items))
		}
		if (err == nil) != (wantErr == nil) || errors.Is(err, trust.ErrUnsigned) != errors.Is(wantErr, trust.ErrUnsigned) || trust.IsNo(err) != trust.IsNo(wantErr) {
			t.Errorf("%s: error %v, want %v as by Find", name, err, wantErr)
		}
	}
}

func (s Suite) searchStops(t *testing.T) {
	a := s.Authority(t)
	sources := s.published(t)
	if s.PublishFlood != nil {
		sources["flood"] = new(Source)
		s.PublishFlood(t, sources["flood"], app, 2*trust.MaxSignatures)
	}
	delete(sources, "unsigned")
	for name, src := range sources {
		whole, one := &attempt{Source: src}, &attempt{Source: src}
		if _, err := a.Find(t.Context(), whole, app); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		most := whole.requests.Load()
		if most > trust.MaxSignatures {
			most-- // so many pieces cannot all have been under way at once
		}
		asked := &asker{t: t, answer: always}
		ev, err := a.(trust.Searcher).Search(t.Context(), one, app, asked.enough)
		if err != nil || len(ev.Items) == 0 || asked.asked != 1 {
			t.Errorf("%s: %d items, error %v, asked %d times; want the first answer obeyed", name, len(ev.Items), err, asked.asked)
		}
		if got := one.requests.Load(); got > most {
			t.Errorf("%s: %d requests, want %d at most", name, got, most)
		}
	}
}

// searchFaults has each request of a search fail. What sufficed before that may be returned; nothing may be that came after it.
func (s Suite) searchFaults(t *testing.T) {
	faults := map[string]error{"refused": errors.New("429 too many requests"), "joined": errors.Join(io.ErrUnexpectedEOF, trust.ErrUnsigned)}
	for name, src := range s.published(t) {
		for _, byCheck := range []bool{false, true} {
			requests := s.searchWithFault(t, name, src, 0, nil, byCheck)
			for step := int64(1); step <= requests; step++ {
				for _, fault := range faults {
					s.searchWithFault(t, name, src, step, fault, byCheck)
				}
			}
		}
	}
}

// searchWithFault returns how many requests there were.
func (s Suite) searchWithFault(t *testing.T, name string, src *Source, step int64, fault error, byCheck bool) (requests int64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := s.Authority(t)
		asked := &asker{t: t, answer: never}
		if byCheck {
			asked.answer = s.proves(a, app)
		}
		one := &attempt{Source: src, failAt: step, fault: fault, pace: time.Second}
		ev, err := a.(trust.Searcher).Search(t.Context(), one, app, asked.enough)
		requests = one.requests.Load()
		failed := one.failed.Load()
		switch {
		case failed == nil:
		case err == nil && (asked.yes.IsZero() || asked.yes.After(*failed)):
			t.Errorf("%s, request %d: evidence although the request failed before it sufficed", name, step)
		case err == nil:
			proofs, err := a.Check(app, ev, s.Now)
			wantProof(t, app, proofs, err, s.Now)
		case trust.IsNo(err):
			t.Errorf("%s, request %d: error %v, want cannot tell", name, step, err)
		}
	})
	return requests
}

func (s Suite) searchCancelled(t *testing.T) {
	src, a := new(Source), s.Authority(t)
	s.Publish(t, src, app)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.(trust.Searcher).Search(ctx, src, app, never)
	if !errors.Is(err, context.Canceled) || trust.IsNo(err) {
		t.Errorf("error = %v, want one that wraps %v and is no no", err, context.Canceled)
	}
}
