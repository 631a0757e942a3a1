package trusttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

func is(err, target error) bool { return errors.Is(err, target) }

func (s Suite) proved(t *testing.T) {
	src, a := new(Source), s.Authority(t)
	s.Publish(t, src, app)
	proofs, err := decide(t.Context(), a, src, app, s.Now)
	wantProof(t, app, proofs, err, s.Now)
	// The reference by digest alone is the same image.
	proofs, err = decide(t.Context(), a, src, app.At(app.Digest()), s.Now)
	wantProof(t, app, proofs, err, s.Now)
}

func (s Suite) unsigned(t *testing.T) {
	src, a := new(Source), s.Authority(t)
	s.Publish(t, src, other)
	proofs, err := decide(t.Context(), a, src, app, s.Now)
	wantNo(t, proofs, err, trust.ErrUnsigned)
}

func (s Suite) untrusted(t *testing.T) {
	src, a := new(Source), s.Authority(t)
	s.PublishForeign(t, src, app)
	proofs, err := decide(t.Context(), a, src, app, s.Now)
	wantNo(t, proofs, err, trust.ErrUntrusted)
}

func (s Suite) faults(t *testing.T) {
	faults := map[string]error{
		"refused":   errors.New("429 too many requests"),
		"cut":       io.ErrUnexpectedEOF,
		"timed out": context.DeadlineExceeded,
		"joined":    errors.Join(errors.New("503"), trust.ErrUnsigned),
	}
	a := s.Authority(t)
	for name, publish := range map[string]func(*testing.T, *Source, image.Ref){"signed": s.Publish, "foreign": s.PublishForeign, "unsigned": nil} {
		src := new(Source)
		if publish != nil {
			publish(t, src, app)
		}
		whole := &attempt{Source: src}
		_, _ = decide(t.Context(), a, whole, app, s.Now)
		for step := int64(1); step <= whole.requests.Load(); step++ {
			for kind, fault := range faults {
				one := &attempt{Source: src, failAt: step, fault: fault}
				proofs, err := decide(t.Context(), a, one, app, s.Now)
				if one.failed.Load() != nil && (len(proofs) > 0 || err == nil || trust.IsNo(err)) {
					t.Errorf("%s, request %d %s: proofs %d, error %v, want cannot tell", name, step, kind, len(proofs), err)
				}
			}
		}
	}
}

func (s Suite) otherImage(t *testing.T) {
	src, a := new(Source), s.Authority(t)
	s.PublishCopy(t, src, other, app)
	proofs, err := decide(t.Context(), a, src, other, s.Now)
	wantNo(t, proofs, err, nil)

	// The same, past Find: the evidence of one image given to the check of another.
	s.Publish(t, src, app)
	ev, err := a.Find(t.Context(), src, app)
	if err != nil {
		t.Fatal(err)
	}
	proofs, err = a.Check(app.At(other.Digest()), ev, s.Now)
	wantNo(t, proofs, err, trust.ErrUntrusted)
}

func (s Suite) otherRepository(t *testing.T) {
	src, a := new(Source), s.Authority(t)
	copied := other.At(app.Digest())
	s.PublishCopy(t, src, copied, app)
	proofs, err := decide(t.Context(), a, src, copied, s.Now)
	if s.NamesRepository {
		wantNo(t, proofs, err, nil)
		return
	}
	wantProof(t, copied, proofs, err, s.Now)
}

func (s Suite) malformed(t *testing.T) {
	a := s.Authority(t)
	for name, publish := range s.PublishMalformed {
		t.Run(name, func(t *testing.T) {
			src := new(Source)
			publish(t, src, app)
			started := time.Now()
			proofs, err := decide(t.Context(), a, src, app, s.Now)
			wantNo(t, proofs, err, trust.ErrUntrusted)
			if d := time.Since(started); d > 10*time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

func (s Suite) outside(t *testing.T) {
	src, a := new(Source), s.Authority(t)
	s.Publish(t, src, app)
	proofs, err := decide(t.Context(), a, src, app, s.Now)
	wantProof(t, app, proofs, err, s.Now)
	times := slices.Clone(s.Outside)
	if len(proofs) == 1 && !proofs[0].Expires.IsZero() {
		times = append(times, proofs[0].Expires)
	}
	for _, now := range times {
		if proofs, err := decide(t.Context(), a, src, app, now); err == nil || len(proofs) > 0 {
			t.Errorf("at %s: proved, want an error", now)
		}
	}
	if len(proofs) == 1 && !proofs[0].Expires.IsZero() {
		now := proofs[0].Expires.Add(-time.Nanosecond)
		proofs, err := decide(t.Context(), a, src, app, now)
		wantProof(t, app, proofs, err, now)
	}
}

func (s Suite) cancelled(t *testing.T) {
	src, a := new(Source), s.Authority(t)
	s.Publish(t, src, app)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	proofs, err := decide(ctx, a, src, app, s.Now)
	if len(proofs) > 0 || !errors.Is(err, context.Canceled) || trust.IsNo(err) {
		t.Errorf("error = %v, want one that wraps %v and is no no", err, context.Canceled)
	}
}

func (s Suite) zeroEvidence(t *testing.T) {
	a := s.Authority(t)
	for name, ev := range map[string]trust.Evidence{"none": {}, "one zero item": {Items: make([]trust.Item, 1)}} {
		t.Run(name, func(t *testing.T) {
			proofs, err := a.Check(app, ev, s.Now)
			wantNo(t, proofs, err, trust.ErrUntrusted)
		})
	}
}

// found publishes evidence for app and returns a function that finds it afresh.
func (s Suite) found(t *testing.T, a trust.Authority) func() trust.Evidence {
	t.Helper()
	src := new(Source)
	s.Publish(t, src, app)
	return func() trust.Evidence {
		ev, err := a.Find(t.Context(), src, app)
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
}

func (s Suite) evidenceStays(t *testing.T) {
	a := s.Authority(t)
	fresh := s.found(t, a)
	ev := fresh()
	proofs, err := a.Check(app, ev, s.Now)
	wantProof(t, app, proofs, err, s.Now)
	if !reflect.DeepEqual(sorted(ev), sorted(fresh())) {
		t.Error("the check changed the evidence")
	}
	before := fmt.Sprintf("%+v", proofs)
	for _, item := range ev.Items {
		for i := range item.Bytes {
			item.Bytes[i] = 0xff
		}
	}
	if after := fmt.Sprintf("%+v", proofs); after != before {
		t.Error("the proof changed with the evidence")
	}
	proofs, err = a.Check(app, fresh(), s.Now)
	wantProof(t, app, proofs, err, s.Now)
}

func (s Suite) junk(t *testing.T) {
	a := s.Authority(t)
	good := s.found(t, a)()
	junk := trust.Item{Name: "junk", MediaType: good.Items[0].MediaType, Bytes: []byte("junk")}
	var first string
	for range 20 {
		ev := trust.Evidence{Items: append([]trust.Item{junk, {}}, good.Items...)}
		ev.Items = append(ev.Items, junk)
		proofs, err := a.Check(app, ev, s.Now)
		wantProof(t, app, proofs, err, s.Now)
		if got := fmt.Sprintf("%+v", proofs); first == "" {
			first = got
		} else if got != first {
			t.Fatalf("two checks of the same evidence differ:\n%s\n%s", first, got)
		}
	}
}

// damaged cuts and changes evidence: whatever comes of it, it proves nothing but app, and it is an answer.
func (s Suite) damaged(t *testing.T) {
	a := s.Authority(t)
	good := s.found(t, a)()
	for i, item := range good.Items {
		step := max(1, len(item.Bytes)/100)
		for at := 0; at < len(item.Bytes); at += step {
			changed := slices.Clone(item.Bytes)
			changed[at] ^= 0x55
			for _, content := range [][]byte{item.Bytes[:at], changed} {
				ev := trust.Evidence{Items: slices.Clone(good.Items)}
				ev.Items[i].Bytes = content
				proofs, err := a.Check(app, ev, s.Now)
				if err == nil {
					wantProof(t, app, proofs, err, s.Now)
				} else if len(proofs) > 0 {
					t.Fatal("a proof and an error")
				}
			}
		}
	}
}

func (s Suite) concurrent(t *testing.T) {
	src, a := new(Source), s.Authority(t)
	s.Publish(t, src, app)
	s.PublishForeign(t, src, other)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if _, err := decide(t.Context(), a, src, app, s.Now); err != nil {
					t.Errorf("app: %v", err)
				}
				if _, err := decide(t.Context(), a, src, other, s.Now); !trust.IsNo(err) {
					t.Errorf("other: %v, want a no", err)
				}
			}
		})
	}
	wg.Wait()
}
