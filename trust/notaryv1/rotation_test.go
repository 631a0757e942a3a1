package notaryv1

import (
	"slices"
	"strings"
	"testing"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

// T28: who has seen a root follows it, whatever the policy trusts: a key that was replaced, or one of several that must agree, must not make
// a root of its own (TUF 5.3.4).
func TestT28_WhatWasSeenIsFollowed(t *testing.T) {
	ca := notarytest.NewKey("P-256").Authority("roots", made, made.Add(20*year))
	issued := func() *notarytest.Key {
		return notarytest.NewKey("P-256").CertifiedBy(ca, app.Name(), made, made.Add(10*year))
	}
	one, two := issued(), issued()
	alone := func(r *notarytest.Repository, k *notarytest.Key) {
		r.RotateRoot(k)
		r.Roles[notarytest.Root].Signers, r.Roles[notarytest.Root].Threshold = []*notarytest.Key{k}, 1
	}
	both := func(r *notarytest.Repository) {
		root := r.Roles[notarytest.Root]
		root.Keys, root.Signers, root.Threshold = []*notarytest.Key{one, two}, []*notarytest.Key{one, two}, 2
	}
	byKeys, byCA := &RootOptions{Keys: one.PublicPEM() + two.PublicPEM()}, &RootOptions{CA: string(ca.Public)}
	for name, c := range map[string]struct {
		root        *RootOptions
		first, then func(*notarytest.Repository)
		attack      func(*notarytest.Repository)
	}{
		"a key that was replaced, by key":      {byKeys, nil, func(r *notarytest.Repository) { r.RotateRoot(two) }, func(r *notarytest.Repository) { alone(r, one) }},
		"a key that was replaced, by CA":       {byCA, nil, func(r *notarytest.Repository) { r.RotateRoot(two) }, func(r *notarytest.Repository) { alone(r, one) }},
		"a key that was replaced, alone in it": {&RootOptions{Keys: one.PublicPEM()}, nil, func(r *notarytest.Repository) { r.RotateRoot(two) }, func(r *notarytest.Repository) { alone(r, one) }},
		"one of two that must agree, by key":   {byKeys, both, nil, func(r *notarytest.Repository) { alone(r, one) }},
		"one of two that must agree, by CA":    {byCA, both, nil, func(r *notarytest.Repository) { alone(r, two) }},
		"another key of the CA":                {byCA, nil, nil, func(r *notarytest.Repository) { alone(r, issued()) }},
		"another root of the version that was seen": {byCA, nil, nil, func(r *notarytest.Repository) {
			r.Roles[notarytest.Root].Keys, r.Roles[notarytest.Root].Signers = []*notarytest.Key{two}, []*notarytest.Key{two}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := withRoot(one)
			if c.first != nil {
				c.first(r)
			}
			w := newWorld(Options{Server: server, Root: c.root})
			w.serve(r)
			if _, err := w.decide(t, w.authority(t), app); err != nil {
				t.Fatal(err)
			}
			if c.then != nil {
				c.then(r)
				w.serve(r)
				if _, err := w.decide(t, w.authority(t), app); err != nil {
					t.Fatal(err)
				}
			}
			c.attack(r)
			r.Sign(notarytest.Releases, "1", other)
			w.serve(r)
			for range 2 {
				proofs, err := w.decide(t, w.authority(t), app.Pinned(other))
				wantNoWith(t, proofs, err, "root of", "assay trust forget")
				w.restart()
			}
		})
	}
}

// T28: of two first roots that are asked about at once one is kept, and the other is not an answer.
func TestT28_TwoFirstRootsAtOnce(t *testing.T) {
	for name, options := range map[string]func(r *notarytest.Repository) Options{
		"first use": func(*notarytest.Repository) Options { return Options{Server: server, InsecureTrustOnFirstUse: true} },
		"by key": func(r *notarytest.Repository) Options {
			return Options{Server: server, Root: &RootOptions{Keys: rootKey(r).PublicPEM()}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, forged := newRepository(), newRepository()
			if name == "by key" {
				forged.Roles[notarytest.Root].Keys, forged.Roles[notarytest.Root].Signers = r.Roles[notarytest.Root].Keys, r.Roles[notarytest.Root].Keys
			}
			w := newWorld(options(r))
			a := w.authority(t)
			var found []trust.Evidence
			for _, one := range []*notarytest.Repository{r, forged} {
				w.serve(one)
				ev, err := a.Find(t.Context(), w, app)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, ev)
			}
			if err := a.Remember(t.Context(), app, found[0], now); err != nil {
				t.Fatal(err)
			}
			if err := a.Remember(t.Context(), app, found[1], now); err == nil || trust.IsNo(err) || !strings.Contains(err.Error(), "another root") {
				t.Errorf("the second root: %v", err)
			}
			w.serve(r)
			if _, err := w.decide(t, a, app); err != nil {
				t.Errorf("the first root afterwards: %v", err)
			}
		})
	}
}

// T28: what was seen is followed also where it is not among what was found, whatever the versions are.
func TestT28_TheRootThatWasSeenIsMissing(t *testing.T) {
	r := newRepository()
	w := newWorld(pinned(r))
	w.serve(r)
	a := w.authority(t)
	ev, err := a.Find(t.Context(), w, app)
	if err != nil {
		t.Fatal(err)
	}
	if ev.Items[0], err = (past{Root: strings.Repeat("0", 64)}).item(); err != nil {
		t.Fatal(err)
	}
	proofs, err := a.Check(app, ev, now)
	wantNoWith(t, proofs, err, "root of", "does not follow the one that was seen before")
}

// T21: a proof rests on the keys of all roots that lead to the current one, so that one of them can be taken back.
func TestT21_KeysOfOlderRoots(t *testing.T) {
	keys := []*notarytest.Key{certified(app.Name()), certified(app.Name()), certified(app.Name()), certified(app.Name())}
	for name, o := range map[string]Options{
		"by key":    {Server: server, Root: &RootOptions{Keys: keys[0].PublicPEM() + keys[1].PublicPEM()}},
		"first use": {Server: server, InsecureTrustOnFirstUse: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := withRoot(keys[:2]...)
			root := r.Roles[notarytest.Root]
			root.Signers = keys[:1]
			w := newWorld(o)
			w.serve(r)
			if _, err := w.decide(t, w.authority(t), app); err != nil {
				t.Fatal(err)
			}
			r.RotateRoot(keys[2])
			root.Signers = keys[1:3]
			r.RotateRoot(keys[3])
			w.serve(r)
			for range 2 {
				proofs, err := w.decide(t, w.authority(t), app)
				if err != nil {
					t.Fatal(err)
				}
				for i, k := range keys {
					if !slices.Contains(proofs[0].Signers[0].Under, k.Fingerprint()) {
						t.Errorf("key %d is not among those that the proof rests on: %q", i, proofs[0].Signers[0].Under)
					}
				}
			}
		})
	}
}
