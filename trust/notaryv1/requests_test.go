package notaryv1

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

// Requests to the server, counted: each row follows the one before, with what was seen then.
func TestRequests(t *testing.T) {
	r := signedApp()
	jenkins := r.Roles["targets/jenkins"].Keys[0]
	w := newWorld(pinned(r))
	w.serve(r)
	for _, step := range []struct {
		name     string
		change   func()
		options  Options
		requests int
	}{
		{"cold: root, timestamp, snapshot, targets, releases", nil, pinned(r), 5},
		{"warm", nil, pinned(r), 1},
		{"warm, in another process", w.restart, pinned(r), 1},
		{"a new timestamp", r.Refresh, pinned(r), 1},
		{"another tag was signed", func() { r.Sign(notarytest.Releases, "2", other) }, pinned(r), 3},
		{"the root was rotated", func() { r.RotateRoot(certified(app.Name())) }, pinned(r), 3},
		{"twice", func() { r.RotateRoot(certified(app.Name())); r.RotateRoot(certified(app.Name())) }, pinned(r), 4},
		{"one more role is needed", nil, demanding(r, signer("targets/jenkins", jenkins.PublicPEM())), 2},
	} {
		t.Run(step.name, func(t *testing.T) {
			if step.change != nil {
				step.change()
				w.serve(r)
			}
			o := step.options
			if len(o.Signers) > 0 {
				o.Root = w.options.Root
			} else {
				o = w.options
			}
			w.FailAt(0, nil)
			if _, err := w.decide(t, w.authorityWith(t, o), app); err != nil {
				t.Fatal(err)
			}
			if got := w.Requests(); got != step.requests {
				t.Errorf("%d requests, want %d", got, step.requests)
			}
		})
	}
}

// Without delegations a repository costs four.
func TestRequestsWithoutDelegations(t *testing.T) {
	r := notarytest.New(app.Name(), made)
	r.Sign(notarytest.Targets, "1", app.Digest())
	w := newWorld(pinned(r))
	w.serve(r)
	if _, err := w.decide(t, w.authority(t), app); err != nil || w.Requests() != 4 {
		t.Errorf("%d requests, %v, want 4", w.Requests(), err)
	}
}

// slow answers each request after a second.
type slow struct{ *world }

func (s slow) TrustData(ctx context.Context, server, gun, name string, limit int64) ([]byte, error) {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return s.world.TrustData(ctx, server, gun, name, limit)
}

// What does not depend on each other is fetched side by side: root and timestamp, then the snapshot, then the targets.
func TestRequestsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := signedApp()
		o := demanding(r, signer("targets/jenkins", r.Roles["targets/jenkins"].Keys[0].PublicPEM()))
		w := newWorld(o)
		w.serve(r)
		started := time.Now()
		if _, err := w.decideFrom(w.authority(t), slow{w}, app); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(started); got != 3*time.Second {
			t.Errorf("took as long as %v, want 3 requests one after another", got)
		}
	})
}

// CSE-38: a hundred questions at once about one repository ask the server once, whatever their tags.
func TestCSE38_ManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepository()
		for i := range 100 {
			r.Sign(notarytest.Releases, strconv.Itoa(i), app.Digest())
		}
		w := newWorld(pinned(r))
		w.serve(r)
		a := w.authority(t)
		for round, want := range []int{5, 1} {
			w.FailAt(0, nil)
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() {
					ref, err := app.Tagged(strconv.Itoa(i))
					if err == nil {
						_, err = w.decideFrom(a, slow{w}, ref.Pinned(app.Digest()))
					}
					if err != nil {
						t.Errorf("tag %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			if got := w.Requests(); got != want {
				t.Errorf("round %d: %d requests, want %d", round, got, want)
			}
		}
		states := w.store.(*Memory).states
		if len(states) != 1 {
			t.Errorf("%d states", len(states))
		}
	})
}

// One who leaves does not take the answer from the others.
func TestOneAskerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepository()
		w := newWorld(pinned(r))
		w.serve(r)
		a := w.authority(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := a.Find(ctx, slow{w}, app)
			done <- err
		}()
		synctest.Wait()
		go func() {
			_, err := a.Find(context.Background(), slow{w}, app)
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; err == nil || trust.IsNo(err) {
			t.Errorf("the one who left: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("the other: %v", err)
		}
	})
}

// panicking is a client with a bug.
type panicking struct{ trust.Source }

func (panicking) TrustData(context.Context, string, string, string, int64) ([]byte, error) {
	panic("bug")
}

// T47: a panic on a goroutine of the format's own reaches the one who asked.
func TestT47_PanicsReachTheAsker(t *testing.T) {
	w := newWorld(pinned(newRepository()))
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_, _ = w.authority(t).Find(t.Context(), panicking{w}, app)
}

// Checks of signatures, counted: all of them once, then none for what is the same, and one for a new timestamp.
func TestSignatureChecks(t *testing.T) {
	r := newRepository()
	w := newWorld(pinned(r))
	w.serve(r)
	a := w.authority(t)
	checks := &w.format.(*format).reader.checks
	for _, step := range []struct {
		name   string
		change func()
		want   int64
	}{
		{"cold", func() {}, 5},
		{"warm, held against the past for the first time", func() {}, 0},
		{"warm", func() {}, 0},
		{"a new timestamp", r.Refresh, 1},
		{"another tag", func() { r.Sign(notarytest.Releases, "2", other) }, 3},
	} {
		step.change()
		w.serve(r)
		before := checks.Load()
		if _, err := w.decide(t, a, app); err != nil {
			t.Fatal(err)
		}
		if got := checks.Load() - before; got != step.want {
			t.Errorf("%s: %d checks, want %d", step.name, got, step.want)
		}
	}
}

func TestResolve(t *testing.T) {
	r, jenkins, qa := twoSigners()
	both := demanding(r, signer("targets/jenkins", jenkins.PublicPEM()), signer("targets/qa", qa.PublicPEM()))
	w := newWorld(both)
	w.serve(r)
	a := w.authority(t)
	for name, ref := range map[string]image.Ref{"tag": app.Pinned(image.Digest{}), "tag and another digest": app.Pinned(other)} {
		if d, err := a.Resolve(t.Context(), w, ref, now); err != nil || d != app.Digest() {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
	if _, err := a.Resolve(t.Context(), w, app.At(app.Digest()), now); !trust.IsNo(err) {
		t.Errorf("a digest alone: %v", err)
	}
	if _, err := a.Resolve(t.Context(), w, app.Pinned(image.Digest{}), now.Add(15*day)); !trust.IsNo(err) {
		t.Errorf("expired: %v", err)
	}
	if _, err := a.Resolve(t.Context(), down{w, errRefused}, app.Pinned(image.Digest{}), now); err == nil || trust.IsNo(err) {
		t.Errorf("offline: %v", err)
	}
	r.Sign("targets/qa", "1", other)
	w.serve(r)
	if d, err := a.Resolve(t.Context(), w, app.Pinned(image.Digest{}), now); !trust.IsNo(err) {
		t.Errorf("two digests: %v, %v", d, err)
	}
	old := r.Files()
	r.Revoke("targets/qa", "1")
	w.serve(r)
	if _, err := a.Resolve(t.Context(), w, app.Pinned(image.Digest{}), now); !trust.IsNo(err) {
		t.Errorf("revoked: %v", err)
	}
	w.serveFiles(r.GUN, old)
	if _, err := a.Resolve(t.Context(), w, app.Pinned(image.Digest{}), now); !trust.IsNo(err) {
		t.Errorf("T28 rolled back: %v", err)
	}
}
