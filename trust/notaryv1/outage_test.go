package notaryv1

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

// down is a server that cannot be reached.
type down struct {
	trust.Source
	err error
}

func (d down) TrustData(context.Context, string, string, string, int64) ([]byte, error) {
	return nil, d.err
}

var errRefused = fmt.Errorf("dial tcp: %w", trust.ErrUnavailable)

func (w *world) decideFrom(a *authority, src trust.Source, ref image.Ref) ([]trust.Proof, error) {
	ev, err := a.Find(context.Background(), src, ref)
	if err != nil {
		return nil, err
	}
	proofs, err := a.Check(ref, ev, w.clock)
	if err == nil {
		err = a.Remember(context.Background(), ref, ev, w.clock)
	}
	return proofs, err
}

// bridging is a world that serves a repository and bridges outages of its server for a while.
func bridging(r *notarytest.Repository, grace time.Duration) *world {
	o := pinned(r)
	o.OfflineGrace = grace
	w := newWorld(o)
	w.serve(r)
	return w
}

// CSE-29: with the server down what was seen counts until the grace or the timestamp ends, whichever is sooner, also in another process.
func TestCSE29_OfflineGrace(t *testing.T) {
	for name, c := range map[string]struct {
		grace, after time.Duration
		fault        error
		want         string // "": proved
	}{
		"no grace":                         {0, time.Minute, errRefused, "client is offline: notary.example:4443"},
		"inside the grace":                 {day, day - time.Second, errRefused, ""},
		"at its end":                       {day, day, errRefused, "offlineGrace is 24h"},
		"the timestamp ends sooner":        {30 * day, 13 * day, errRefused, "the timestamp expired"},
		"before that":                      {30 * day, 13*day - time.Second, errRefused, ""},
		"the clock goes back":              {day, -2 * time.Hour, errRefused, "client is offline"},
		"no outage, but no access":         {day, time.Minute, errors.New("401 unauthorized"), "401"},
		"no outage, but another server":    {day, time.Minute, fmt.Errorf("404: %w", trust.ErrNotFound), "does not have trust data"},
		"no outage, but the asker's leave": {day, time.Minute, context.Canceled, "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository()
			w := bridging(r, c.grace)
			if _, err := w.decide(t, w.authority(t), app); err != nil {
				t.Fatal(err)
			}
			w.restart()
			w.clock = w.clock.Add(c.after)
			a := w.authority(t)
			proofs, err := w.decideFrom(a, down{w, c.fault}, app)
			if c.want != "" {
				if err == nil || len(proofs) > 0 || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error = %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			end := now.Add(c.grace)
			if stamp := made.Add(14 * day); stamp.Before(end) {
				end = stamp
			}
			if !proofs[0].Expires.Equal(end) {
				t.Errorf("the proof ends at %s, want %s", proofs[0].Expires, end)
			}
			warned := strings.Join(a.Warnings(w.clock), "\n")
			if !strings.Contains(warned, "Notary server notary.example:4443 is down") {
				t.Errorf("warnings = %q", warned)
			}
			if old := a.Stale(w.clock); len(old) != 1 || !strings.Contains(old[0], "notary.example:4443") {
				t.Errorf("stale: %q", old)
			}
			if _, err := w.decide(t, a, app); err != nil {
				t.Fatal(err)
			}
			if warned := strings.Join(a.Warnings(w.clock), "\n"); strings.Contains(warned, "is down") {
				t.Errorf("after the outage: %q", warned)
			}
			if old := a.Stale(w.clock); len(old) > 0 {
				t.Errorf("after the outage, stale: %q", old)
			}
		})
	}
}

// CSE-29: what is bridged ends with the grace, also if it was found before.
func TestCSE29_TheGraceEndsAfterItWasFound(t *testing.T) {
	r := newRepository()
	w := bridging(r, day)
	a := w.authority(t)
	if _, err := w.decide(t, a, app); err != nil {
		t.Fatal(err)
	}
	ev, err := a.Find(t.Context(), down{w, errRefused}, app)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(app, ev, now.Add(day-time.Second)); err != nil {
		t.Error(err)
	}
	if proofs, err := a.Check(app, ev, now.Add(day)); err == nil || trust.IsNo(err) || len(proofs) > 0 {
		t.Errorf("%d proofs, %v", len(proofs), err)
	}
}

// faulty fails for one file, and has nothing else.
type faulty struct {
	trust.Source
	name string
}

func (f faulty) TrustData(_ context.Context, _, _, name string, _ int64) ([]byte, error) {
	if name == f.name {
		return nil, errors.New("500 internal server error")
	}
	return nil, fmt.Errorf("404: %w", trust.ErrNotFound)
}

// T46: a fault does not hide behind the 404 of another file.
func TestT46_AFaultBesideANotFound(t *testing.T) {
	for _, name := range []string{"timestamp.json", "root.json"} {
		w := newWorld(pinned(newRepository()))
		if _, err := w.authority(t).Find(t.Context(), faulty{w, name}, app); err == nil || trust.IsNo(err) || !strings.Contains(err.Error(), "500") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The grace is counted from the server's last answer, not from the last news.
func TestOfflineGraceBeginsWithTheLastAnswer(t *testing.T) {
	r := newRepository()
	w := bridging(r, 2*time.Hour)
	a := w.authority(t)
	for range 5 {
		if _, err := w.decide(t, a, app); err != nil {
			t.Fatal(err)
		}
		w.clock = w.clock.Add(time.Hour)
	}
	w.restart()
	if _, err := w.decideFrom(w.authority(t), down{w, errRefused}, app); err != nil {
		t.Errorf("an hour after the last answer: %v", err)
	}
}

// What was never seen, or not all of it, cannot be bridged; an outage is no floor either.
func TestOutageOfWhatWasNotSeen(t *testing.T) {
	r := signedApp()
	o := pinned(r)
	o.OfflineGrace = day
	w := newWorld(o)
	w.serve(r)
	if _, err := w.decideFrom(w.authority(t), down{w, errRefused}, app); err == nil || trust.IsNo(err) || !strings.Contains(err.Error(), "nothing is kept") {
		t.Errorf("error = %v", err)
	}
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Fatal(err)
	}
	o.Signers = []SignerOptions{signer("targets/jenkins", r.Roles["targets/jenkins"].Keys[0].PublicPEM())}
	other := w.authorityWith(t, o) // needs a file that the first one did not
	if _, err := w.decideFrom(other, down{w, errRefused}, app); err == nil || trust.IsNo(err) || !strings.Contains(err.Error(), "nothing is kept") {
		t.Errorf("error = %v", err)
	}
	if _, err := w.decide(t, other, app); err != nil {
		t.Fatal(err)
	}
	for _, a := range []*authority{other, w.authority(t)} { // what one fetched does not take away what another needs
		if _, err := w.decideFrom(a, down{w, errRefused}, app); err != nil {
			t.Error(err)
		}
	}
}

// T28: what is bridged is held against the floors as well.
func TestT28_ABridgedAnswerIsNoFloor(t *testing.T) {
	r := newRepository()
	w := bridging(r, day)
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Fatal(err)
	}
	before, err := w.store.Load(t.Context(), Key{server, r.GUN, w.authority(t).trustsAs})
	if err != nil {
		t.Fatal(err)
	}
	w.clock = w.clock.Add(time.Hour)
	if _, err := w.decideFrom(w.authority(t), down{w, errRefused}, app); err != nil {
		t.Fatal(err)
	}
	after, err := w.store.Load(t.Context(), Key{server, r.GUN, w.authority(t).trustsAs})
	if err != nil || !after.Seen.Equal(before.Seen) {
		t.Errorf("an outage moved the time of the last answer from %s to %s, %v", before.Seen, after.Seen, err)
	}
}

// hanging answers nothing until the context ends.
type hanging struct{ trust.Source }

func (hanging) TrustData(ctx context.Context, _, _, _ string, _ int64) ([]byte, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// CSE-30: a server that hangs is left when the asker's time ends, and that is no "no".
func TestCSE30_AServerThatHangs(t *testing.T) {
	w := newWorld(pinned(newRepository()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	started := time.Now()
	_, err := w.authority(t).Find(ctx, hanging{w}, app)
	if !errors.Is(err, context.DeadlineExceeded) || trust.IsNo(err) {
		t.Errorf("error = %v", err)
	}
	if d := time.Since(started); d > 5*time.Second {
		t.Errorf("left after %s", d)
	}
}

// CSE-30: where what is kept can stand for it, a server that hangs does not use up the asker's time.
func TestCSE30_AServerThatHangsIsBridged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepository()
		w := bridging(r, day)
		a := w.authority(t)
		if _, err := w.decide(t, a, app); err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		if _, err := w.decideFrom(a, hanging{w}, app); err != nil {
			t.Error(err)
		}
		if d := time.Since(started); d != bridgeAfter {
			t.Errorf("after %s, want %s", d, bridgeAfter)
		}
	})
}

// broken is a store that cannot be read or written.
type broken struct{ load, update error }

func (b broken) Load(context.Context, Key) (State, error) { return State{}, b.load }

func (b broken) Others(context.Context, Key) ([]State, error) { return nil, b.load }

func (b broken) Update(context.Context, Key, func(State) (State, error)) error { return b.update }

// Where what was seen cannot be known or kept, nobody can tell.
func TestAStoreThatFails(t *testing.T) {
	full := errors.New("no space left on device")
	for name, store := range map[string]Store{"cannot be read": broken{load: full}, "cannot be written": broken{update: full}} {
		t.Run(name, func(t *testing.T) {
			r := newRepository()
			w := newWorld(pinned(r))
			w.store = store
			w.restart()
			w.serve(r)
			if proofs, err := w.decide(t, w.authority(t), app); !errors.Is(err, full) || trust.IsNo(err) || len(proofs) > 0 {
				t.Errorf("%v, %v", proofs, err)
			}
		})
	}
}

// CSE-28: what another process or replica has seen meanwhile counts at once.
func TestCSE28_AnotherReplicaSawMore(t *testing.T) {
	r := newRepository()
	w := newWorld(pinned(r))
	old := r.Files()
	w.serve(r)
	slow := w.authority(t)
	ev, err := slow.Find(t.Context(), w, app)
	if err != nil {
		t.Fatal(err)
	}
	r.Sign(notarytest.Releases, "2", other)
	w.serve(r)
	w.restart()
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Check(app, ev, now); err != nil {
		t.Fatal(err)
	}
	if err := slow.Remember(t.Context(), app, ev, now); err == nil || !strings.Contains(err.Error(), "seen meanwhile: a rollback") {
		t.Errorf("Remember of what is older by now: %v", err)
	}
	w.serveFiles(r.GUN, old)
	proofs, err := w.decide(t, slow, app)
	wantNoWith(t, proofs, err, "rollback")
}

// remembered is a source that answers with what it got before.
type remembered struct {
	*world
	known map[string][]byte
}

func (r remembered) TrustData(ctx context.Context, server, gun, name string, limit int64) ([]byte, error) {
	if content, found := r.known[name]; found {
		return content, nil
	}
	return r.world.TrustData(ctx, server, gun, name, limit)
}

func (r remembered) Anew() trust.Source { return r.world }

// T28: an answer that another question has overtaken is no rollback; it is asked for again.
func TestT28_AnAnswerThatWasOvertaken(t *testing.T) {
	r := newRepository()
	w := newWorld(pinned(r))
	stale := remembered{w, r.Files()}
	r.Refresh()
	w.serve(r)
	a := w.authority(t)
	if _, err := w.decide(t, a, app); err != nil {
		t.Fatal(err)
	}
	if _, err := w.decideFrom(a, stale, app); err != nil {
		t.Error(err)
	}
	w.serveFiles(r.GUN, stale.known)
	proofs, err := w.decideFrom(a, stale, app)
	wantNoWith(t, proofs, err, "rollback")
}
