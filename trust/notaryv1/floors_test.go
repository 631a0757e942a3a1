package notaryv1

import (
	"testing"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

// T28: a file that was seen does not vanish from the snapshot, so that an older word of targets would count (TUF 5.5.5). The role may be
// given to others, who have signed nothing yet, or to nobody.
func TestT28_AFileThatVanishes(t *testing.T) {
	r := newRepository()
	key := r.Roles[notarytest.Releases].Keys[0]
	r.Sign(notarytest.Targets, "1", other)
	w := newWorld(pinned(r))
	w.serve(r)
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name   string
		change func()
		want   string
	}{
		{"left out", func() { r.Roles[notarytest.Releases].Unlisted = true }, "targets/releases of"},
		{"given to another", func() { r.Delegate(notarytest.Releases).Unlisted = true }, ""},
		{"given to nobody", func() { delete(r.Roles, notarytest.Releases) }, ""},
		{"given back", func() { r.Delegate(notarytest.Releases, key).Unlisted = true }, "targets/releases of"},
	} {
		step.change()
		r.Sign(notarytest.Targets, "2", other)
		w.serve(r)
		for range 2 {
			proofs, err := w.decide(t, w.authority(t), app.Pinned(other))
			if step.want != "" {
				wantNoWith(t, proofs, err, step.want, "rollback")
			} else if err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
			w.restart()
		}
	}
}

// T28: who delegates, and holds the online keys, cannot have a signer's old word count again by naming another for a while.
func TestT28_ASignerWhoWasReplacedForAWhile(t *testing.T) {
	r, jenkins, _ := twoSigners()
	r.Sign("targets/jenkins", "1", other) // which it took back since
	old := *r.Roles["targets/jenkins"]
	old.Targets = map[string]image.Digest{"1": other}
	r.Sign("targets/jenkins", "1", app.Digest())
	w := newWorld(demanding(r, signer("targets/jenkins", jenkins.PublicPEM())))
	w.serve(r)
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Fatal(err)
	}
	r.Delegate("targets/jenkins")
	w.serve(r)
	proofs, err := w.decide(t, w.authority(t), app)
	wantNoWith(t, proofs, err)
	r.Delegate("targets/jenkins", jenkins)
	*r.Roles["targets/jenkins"] = old
	r.Refresh()
	w.serve(r)
	proofs, err = w.decide(t, w.authority(t), app.Pinned(other))
	wantNoWith(t, proofs, err, "targets/jenkins of", "rollback")
}

// Evidence that does not say what was seen before is none: whoever leaves that out could go back to any version.
func TestThePastIsNeeded(t *testing.T) {
	r := newRepository()
	w := newWorld(pinned(r))
	w.serve(r)
	a := w.authority(t)
	ev, err := a.Find(t.Context(), w, app)
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := a.Check(app, trust.Evidence{Items: ev.Items[1:]}, now)
	wantNoWith(t, proofs, err, "there are no trust data to check")
}
