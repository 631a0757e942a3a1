package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// slow is a registry that takes a second for each request, counts them, and fails if it is told to.
type slow struct {
	mu    sync.Mutex
	asked int
	err   error
}

var slowManifest = []byte(`{"schemaVersion":2}`)

func (s *slow) request(ctx context.Context) error {
	s.mu.Lock()
	s.asked++
	err := s.err
	s.mu.Unlock()
	select {
	case <-time.After(time.Second):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slow) Manifest(ctx context.Context, _ image.Ref) (trust.Manifest, error) {
	if err := s.request(ctx); err != nil {
		return trust.Manifest{}, err
	}
	return trust.Manifest{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: image.SHA256(slowManifest), Bytes: slices.Clone(slowManifest)}, nil
}

func (s *slow) Blob(ctx context.Context, _ image.Ref, d trust.Descriptor, _ int64) ([]byte, error) {
	if err := s.request(ctx); err != nil {
		return nil, err
	}
	return slices.Clone(slowManifest), nil
}

func (s *slow) Referrers(ctx context.Context, _ image.Ref) ([]trust.Descriptor, error) {
	if err := s.request(ctx); err != nil {
		return nil, err
	}
	return []trust.Descriptor{{MediaType: "a"}, {MediaType: "b"}}, nil
}

func (s *slow) TrustData(ctx context.Context, _, _, _ string, _ int64) ([]byte, error) {
	if err := s.request(ctx); err != nil {
		return nil, err
	}
	return slices.Clone(slowManifest), nil
}

// newMemoOf returns a memo over a slow registry, as an engine stacks them.
func newMemoOf(s *slow) *memo { return newMemo(newCachedSource(s, DefaultContents), DefaultTimeout) }

var (
	memoDigest = image.SHA256(slowManifest)
	memoTag    = image.MustParse("registry.example/app:sig")
	memoBlob   = trust.Descriptor{Digest: memoDigest, Size: int64(len(slowManifest))}
)

// requests are one of each kind.
var requests = map[string]func(context.Context, trust.Source) error{
	"tag": func(ctx context.Context, src trust.Source) error {
		_, err := src.Manifest(ctx, memoTag)
		return err
	},
	"digest": func(ctx context.Context, src trust.Source) error {
		_, err := src.Manifest(ctx, memoTag.Pinned(memoDigest))
		return err
	},
	"blob": func(ctx context.Context, src trust.Source) error {
		_, err := src.Blob(ctx, memoTag, memoBlob, trust.MaxEvidence)
		return err
	},
	"referrers": func(ctx context.Context, src trust.Source) error {
		_, err := src.Referrers(ctx, memoTag.At(memoDigest))
		return err
	},
	"trust data": func(ctx context.Context, src trust.Source) error {
		_, err := src.(trust.TrustServer).TrustData(ctx, "https://notary.example", memoTag.Name(), "timestamp.json", trust.MaxEvidence)
		return err
	},
}

// Equal requests of one question are made once, at once or one after the other, and also where they fail. Another question asks anew.
func TestOneQuestionAsksOnce(t *testing.T) {
	outage := errors.New("503")
	for name, ask := range requests {
		for _, fault := range []error{nil, outage, trust.ErrNotFound} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &slow{err: fault}
					m := newMemoOf(s)
					var askers sync.WaitGroup
					for i := range 5 {
						askers.Go(func() {
							time.Sleep(time.Duration(i) * 400 * time.Millisecond) // three join the request under way, two come after it
							if err := ask(t.Context(), m); !errors.Is(err, fault) {
								t.Errorf("error: got %v, want %v", err, fault)
							}
						})
					}
					askers.Wait()
					if s.asked != 1 {
						t.Errorf("got %d requests, want 1", s.asked)
					}
					s.err = nil
					if err := ask(t.Context(), newMemoOf(s)); err != nil || s.asked != 2 {
						t.Errorf("another question: error %v after %d requests, want 2", err, s.asked)
					}
				})
			})
		}
	}
}

// One who leaves takes the request from nobody, and a request that was given up is no failure of the registry.
func TestOneLeavesAQuestion(t *testing.T) {
	for name, ask := range requests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slow{}
				m := newMemoOf(s)
				ctx, leave := context.WithCancel(t.Context())
				var askers sync.WaitGroup
				askers.Go(func() {
					if err := ask(ctx, m); !errors.Is(err, context.Canceled) {
						t.Errorf("the one who left: got %v", err)
					}
				})
				time.Sleep(100 * time.Millisecond)
				askers.Go(func() {
					if err := ask(t.Context(), m); err != nil {
						t.Errorf("the one who stayed: got %v", err)
					}
				})
				time.Sleep(100 * time.Millisecond)
				leave()
				askers.Wait()
				if s.asked != 1 {
					t.Errorf("got %d requests, want 1", s.asked)
				}

				m = newMemoOf(s)
				ctx, leave = context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer leave()
				if err := ask(ctx, m); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the only one left: got %v", err)
				}
				synctest.Wait()
				asked := s.asked
				err := ask(ctx, m)
				synctest.Wait()
				if !errors.Is(err, context.DeadlineExceeded) || s.asked != asked {
					t.Errorf("asked after the end: error %v, %d more requests", err, s.asked-asked)
				}
				if err := ask(t.Context(), m); err != nil {
					t.Errorf("after the only one left: got %v", err)
				}
			})
		})
	}
}

// T8, T26: what was found in one repository, under one tag or for one digest is never the answer about another.
func TestT26_MemoKeepsRequestsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		m := newMemo(s, DefaultTimeout)
		digests := []image.Digest{memoDigest, image.SHA256([]byte("x"))}
		asked := 0
		for range 2 {
			asked = 0
			for _, name := range []string{"registry.example/app:sig", "registry.example/app:att", "registry.example/other:sig", "other.example/app:sig"} {
				ref := image.MustParse(name)
				if _, err := m.Manifest(t.Context(), ref); err != nil {
					t.Fatal(err)
				}
				asked++
				if ref.Tag() != "sig" {
					continue
				}
				for _, d := range digests {
					if _, err := m.Referrers(t.Context(), ref.At(d)); err != nil {
						t.Fatal(err)
					}
					asked++
				}
			}
		}
		if s.asked != asked {
			t.Errorf("got %d requests, want %d", s.asked, asked)
		}
	})
}

// T8, T26: a file of one server, of one name, or for another asker's limit is never the answer about another.
func TestT26_MemoKeepsTrustDataApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		m := newMemoOf(s)
		for range 2 {
			for _, f := range []trustFile{
				{"https://notary.example", "registry.example/app", "root.json"},
				{"https://other.example", "registry.example/app", "root.json"},
				{"https://notary.example", "registry.example/other", "root.json"},
				{"https://notary.example", "registry.example/app", "timestamp.json"},
			} {
				for _, limit := range []int64{100, 200} {
					if _, err := m.TrustData(t.Context(), f.server, f.gun, f.name, limit); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if s.asked != 8 {
			t.Errorf("got %d requests, want 8", s.asked)
		}
	})
}

// Blobs are asked for within the limit and the size of each asker.
func TestMemoKeepsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		m := newMemo(s, DefaultTimeout)
		var askers sync.WaitGroup
		for _, limit := range []int64{1, 2} {
			for _, size := range []int64{1, 2} {
				askers.Go(func() {
					if _, err := m.Blob(t.Context(), memoTag, trust.Descriptor{Digest: memoDigest, Size: size}, limit); err != nil {
						t.Error(err)
					}
				})
			}
		}
		askers.Wait()
		if s.asked != 4 {
			t.Errorf("got %d requests, want 4", s.asked)
		}
	})
}

// T13: what one authority does to what it was given does not reach another one.
func TestT13_MemoIsNotWrittenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		m := newMemoOf(s)
		list, err := m.Referrers(t.Context(), memoTag.At(memoDigest))
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(list)
		if again, err := m.Referrers(t.Context(), memoTag.At(memoDigest)); err != nil || again[0].MediaType != "a" {
			t.Errorf("referrers: got %v, error %v", again, err)
		}
		for range 2 {
			file, err := m.TrustData(t.Context(), "https://notary.example", "app", "root.json", trust.MaxEvidence)
			if err != nil || !memoDigest.Fits(file) {
				t.Errorf("trust data: got %q, error %v", file, err)
			}
			clear(file)
		}
		manifest, err := m.Manifest(t.Context(), memoTag)
		if err != nil {
			t.Fatal(err)
		}
		manifest.Bytes[0] = 'x'
		if again, err := m.Manifest(t.Context(), memoTag); err != nil || !memoDigest.Fits(again.Bytes) {
			t.Errorf("manifest: got %q, error %v", again.Bytes, err)
		}
	})
}
