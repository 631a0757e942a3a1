package notaryv1

import (
	"testing"

	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

// T28: another root of trust in the policy does not open the way back, as far as it trusts what was seen under the old one.
func TestT28_EditedPinsKeepThePast(t *testing.T) {
	for name, edit := range map[string]func(before Options, r *notarytest.Repository) Options{
		"by key in the place of the certificate": func(o Options, r *notarytest.Repository) Options {
			o.Root = &RootOptions{Keys: rootKey(r).PublicPEM()}
			return o
		},
		"one more key": func(o Options, r *notarytest.Repository) Options {
			o.Root = &RootOptions{Certificates: o.Root.Certificates + string(certified(app.Name()).Public)}
			return o
		},
		"the root that followed": func(o Options, r *notarytest.Repository) Options { return pinned(r) },
		"on first use": func(o Options, _ *notarytest.Repository) Options {
			return Options{Server: server, InsecureTrustOnFirstUse: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository()
			before := pinned(r)
			w := newWorld(before)
			if name == "the root that followed" {
				r.RotateRoot(certified(app.Name()))
			}
			old := r.Files()
			r.Revoke(notarytest.Releases, "1")
			w.serve(r)
			if _, err := w.decide(t, w.authority(t), app); err == nil {
				t.Fatal("proved")
			}
			w.restart()
			after := edit(before, r)
			w.serveFiles(r.GUN, old)
			for range 2 {
				proofs, err := w.decide(t, w.authorityWith(t, after), app)
				wantNoWith(t, proofs, err, "rollback")
			}
			w.serve(r)
			r.Sign(notarytest.Releases, "1", app.Digest())
			w.serve(r)
			if _, err := w.decide(t, w.authorityWith(t, after), app); err != nil {
				t.Error(err)
			}
			w.restart()
			w.serveFiles(r.GUN, old)
			proofs, err := w.decide(t, w.authorityWith(t, after), app)
			wantNoWith(t, proofs, err, "rollback")
		})
	}
}

// What was seen under a root that the new policy does not trust counts for nothing, and neither do its floors.
func TestForeignPastIsNotAdopted(t *testing.T) {
	r, foreign := newRepository(), newRepository()
	for _, role := range foreign.Roles {
		role.Version += 1000
	}
	w := newWorld(pinned(foreign))
	w.serve(foreign)
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Fatal(err)
	}
	w.serve(r)
	if _, err := w.decide(t, w.authorityWith(t, pinned(r)), app); err != nil {
		t.Error(err)
	}
}
