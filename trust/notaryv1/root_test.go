package notaryv1

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

func certified(name string) *notarytest.Key {
	return notarytest.NewKey("P-256").Certified(name, made.Add(-time.Hour), made.Add(10*year))
}

// withRoot gives a repository other root keys, as if it had been made with them.
func withRoot(keys ...*notarytest.Key) *notarytest.Repository {
	r := newRepository()
	root := r.Roles[notarytest.Root]
	root.Keys, root.Signers = keys, keys
	return r
}

// wantOutcome wants a proof if why is empty, and else a "no" that says why.
func wantOutcome(t *testing.T, proofs []trust.Proof, err error, why string) {
	t.Helper()
	if why != "" {
		wantNoWith(t, proofs, err, why)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The root of trust is what the policy says, in each of its forms, and nothing else.
func TestRootOfTrust(t *testing.T) {
	ca := notarytest.NewKey("P-256").Authority("roots", made.Add(-time.Hour), made.Add(5*year))
	own := notarytest.NewKey("P-256")
	bare, good, foreign := own.PublicPEM(), own.Certified(app.Name(), made, made.Add(year)), certified(app.Name())
	again := own.Certified(app.Name(), made, made.Add(2*year)) // the same key, certified anew
	issued := own.CertifiedBy(ca, app.Name(), made, made.Add(10*year))
	byKey, byCert, byCA := &RootOptions{Keys: bare}, &RootOptions{Certificates: string(good.Public)}, &RootOptions{CA: string(ca.Public)}
	for name, c := range map[string]struct {
		root *RootOptions
		keys []*notarytest.Key
		at   time.Time
		want string
	}{
		"key":                             {root: byKey, keys: []*notarytest.Key{good}},
		"key, certified anew":             {root: byKey, keys: []*notarytest.Key{again}},
		"certificate":                     {root: byCert, keys: []*notarytest.Key{good}},
		"certificate, certified anew":     {root: byCert, keys: []*notarytest.Key{again}, want: "does not name the root key"},
		"CA":                              {root: byCA, keys: []*notarytest.Key{issued}},
		"CA, self-signed":                 {root: byCA, keys: []*notarytest.Key{good}, want: "certificate signed by unknown authority"},
		"T19 CA that has expired":         {root: byCA, keys: []*notarytest.Key{issued}, at: made.Add(6 * year), want: "the authority CN=roots expired"},
		"CSE-27 foreign key":              {root: byKey, keys: []*notarytest.Key{foreign}, want: "does not name the root key"},
		"CSE-27 foreign certificate":      {root: byCert, keys: []*notarytest.Key{foreign}, want: "does not name the root key"},
		"T18 a bare key":                  {root: byKey, keys: []*notarytest.Key{own}, want: "is no certificate"},
		"T19 an expired certificate":      {root: byKey, keys: []*notarytest.Key{good}, at: made.Add(year + time.Second), want: "the certificate of the root key"},
		"T19 a certificate of the future": {root: byKey, keys: []*notarytest.Key{own.Certified(app.Name(), now.Add(time.Second), now.Add(year))}, want: "is not valid before"},
		"T12 another repository":          {root: byKey, keys: []*notarytest.Key{own.Certified("registry.example/team/other", made, made.Add(year))}, want: `is for "registry.example/team/other"`},
		"T1 a wildcard for all below":     {root: byKey, keys: []*notarytest.Key{own.Certified("registry.example/team/*", made, made.Add(year))}},
		"T1 a wildcard for a whole host":  {root: byKey, keys: []*notarytest.Key{own.Certified("registry.example/*", made, made.Add(year))}},
		"T1 a wildcard inside a name":     {root: byKey, keys: []*notarytest.Key{own.Certified("registry.example/tea*", made, made.Add(year))}, want: `is for "registry.example/tea*"`},
		"T1 a wildcard for everything":    {root: byKey, keys: []*notarytest.Key{own.Certified("*", made, made.Add(year))}, want: `is for "*"`},
		"T1 a name that is a prefix":      {root: byKey, keys: []*notarytest.Key{own.Certified("registry.example/team/ap", made, made.Add(year))}, want: "its certificate is for"},
		"T6 a certificate without a name": {root: byKey, keys: []*notarytest.Key{own.Certified("", made, made.Add(year))}, want: `is for ""`},
	} {
		t.Run(name, func(t *testing.T) {
			r := withRoot(c.keys...)
			for _, role := range r.Roles {
				role.Expires = made.Add(20 * year)
			}
			w := newWorld(Options{Server: server, Root: c.root})
			w.serve(r)
			if !c.at.IsZero() {
				w.clock = c.at
			}
			proofs, err := w.decide(t, w.authority(t), app)
			wantOutcome(t, proofs, err, c.want)
		})
	}
}

// T9: a root with a threshold needs as many trusted keys; one key under two certificates is one.
func TestT9_RootThreshold(t *testing.T) {
	a, b := certified(app.Name()), certified(app.Name())
	twice := a.Certified(app.Name(), made, made.Add(year))
	for name, c := range map[string]struct {
		keys, signers []*notarytest.Key
		pinned        string
		want          string
	}{
		"both":                           {[]*notarytest.Key{a, b}, []*notarytest.Key{a, b}, a.PublicPEM() + b.PublicPEM(), ""},
		"one signs":                      {[]*notarytest.Key{a, b}, []*notarytest.Key{a}, a.PublicPEM() + b.PublicPEM(), "signed by 1"},
		"one signs twice":                {[]*notarytest.Key{a, b}, []*notarytest.Key{a, a}, a.PublicPEM() + b.PublicPEM(), "signed by 1"},
		"one is trusted":                 {[]*notarytest.Key{a, b}, []*notarytest.Key{a, b}, a.PublicPEM(), "1 of its keys are trusted, and 2 must be"},
		"one key under two certificates": {[]*notarytest.Key{a, twice}, []*notarytest.Key{a, twice}, a.PublicPEM(), "a threshold of 2 with 1 different keys"},
	} {
		t.Run(name, func(t *testing.T) {
			r := withRoot(c.keys...)
			r.Roles[notarytest.Root].Threshold, r.Roles[notarytest.Root].Signers = 2, c.signers
			w := newWorld(Options{Server: server, Root: &RootOptions{Keys: c.pinned}})
			w.serve(r)
			proofs, err := w.decide(t, w.authority(t), app)
			wantOutcome(t, proofs, err, c.want)
		})
	}
}

// T28: a root follows another only as the specification says.
func TestT28_RootRotation(t *testing.T) {
	type step struct {
		name   string
		rotate func(r *notarytest.Repository)
		want   string
	}
	skip := func(r *notarytest.Repository) { // a version that nobody can follow
		r.RotateRoot(certified(app.Name()))
		r.Roles[notarytest.Root].Version++
	}
	for _, s := range []step{
		{"by old and new keys", func(r *notarytest.Repository) { r.RotateRoot(certified(app.Name())) }, ""},
		{"twice", func(r *notarytest.Repository) {
			r.RotateRoot(certified(app.Name()))
			r.RotateRoot(certified(app.Name()))
		}, ""},
		{"without the old key", func(r *notarytest.Repository) {
			r.RotateRoot(certified(app.Name()))
			r.Roles[notarytest.Root].Signers = r.Roles[notarytest.Root].Keys
		}, "by version 1: signed by 0"},
		{"without the new key", func(r *notarytest.Repository) {
			old := r.Roles[notarytest.Root].Keys
			r.RotateRoot(certified(app.Name()))
			r.Roles[notarytest.Root].Signers = old
		}, "signed by 0"},
		{"T12 to a key for another repository", func(r *notarytest.Repository) { r.RotateRoot(certified("registry.example/team/other")) }, "signed by 0"},
		{"to a bare key", func(r *notarytest.Repository) { r.RotateRoot(notarytest.NewKey("P-256")) }, "signed by 0"},
		{"over a version", skip, ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			for _, seen := range []bool{true, false} {
				r := newRepository()
				w := newWorld(pinned(r))
				if seen {
					w.serve(r)
					if _, err := w.decide(t, w.authority(t), app); err != nil {
						t.Fatal(err)
					}
				}
				s.rotate(r)
				w.serve(r)
				proofs, err := w.decide(t, w.authority(t), app)
				switch {
				case s.name == "over a version":
					if err == nil {
						t.Errorf("seen before %v: proved", seen)
					}
				case s.want == "" && err != nil:
					t.Errorf("seen before %v: %v", seen, err)
				case s.want != "" && seen:
					wantNoWith(t, proofs, err, s.want)
				case s.want != "":
					wantNoWith(t, proofs, err)
				}
			}
		})
	}
}

// A root that nobody trusts costs requests for the older versions, and no more of them than are followed.
func TestT43_ManyRoots(t *testing.T) {
	r := newRepository()
	pin := pinned(r)
	r.RotateRoot(certified(app.Name()))
	for range maxRoots + 10 {
		r.RotateRoot()
	}
	w := newWorld(pin)
	w.serve(r)
	w.FailAt(0, nil)
	proofs, err := w.decide(t, w.authority(t), app)
	wantNoWith(t, proofs, err, "does not name the root key")
	if n := w.Requests(); n > maxRoots+10 {
		t.Errorf("%d requests", n)
	}
	// Who has seen the first one does not ask for them all either, and cannot tell.
	w = newWorld(pin)
	first := r.Files()["1.root.json"]
	key := Key{Server: server, GUN: r.GUN, Anchor: w.authority(t).trustsAs}
	if err := w.store.Update(t.Context(), key, func(s State) (State, error) { s.Roots = [][]byte{first}; return s, nil }); err != nil {
		t.Fatal(err)
	}
	w.serve(r)
	w.FailAt(0, nil)
	if _, err := w.decide(t, w.authority(t), app); err == nil || trust.IsNo(err) || w.Requests() > 10 {
		t.Errorf("%d requests, %v", w.Requests(), err)
	}
	// The operator's way out: the current root in the policy.
	w = newWorld(pinned(r))
	w.serve(r)
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Error(err)
	}
}

// CSE-27: what was trusted on first use stays, also in another process.
func TestCSE27_TrustOnFirstUse(t *testing.T) {
	first, second := newRepository(), newRepository()
	w := newWorld(Options{Server: server, InsecureTrustOnFirstUse: true})
	w.serve(first)
	proofs, err := w.decide(t, w.authority(t), app)
	if err != nil || len(proofs[0].Weakened) != 1 || proofs[0].Weakened[0] != "insecureTrustOnFirstUse" {
		t.Fatalf("%v, %v", proofs, err)
	}
	for _, role := range second.Roles { // newer in every way
		role.Version += 10
	}
	w.serve(second)
	for range 2 {
		proofs, err = w.decide(t, w.authority(t), app)
		wantNoWith(t, proofs, err, "does not follow version 1")
		w.restart()
	}
	same := newRepository() // and one of the very same version
	w.serve(same)
	proofs, err = w.decide(t, w.authority(t), app)
	wantNoWith(t, proofs, err)
	first.RotateRoot(certified(app.Name()))
	first.RotateRoot(certified(app.Name()))
	w.serve(first)
	for range 2 {
		if _, err := w.decide(t, w.authority(t), app); err != nil {
			t.Errorf("after rotations: %v", err)
		}
		w.restart()
	}
}

// T28: who had a stolen timestamp key sign an enormous version cannot keep the repository from ever being read again (TUF 5.3.11).
func TestT28_FastForwardIsRecoveredFrom(t *testing.T) {
	r := newRepository()
	w := newWorld(pinned(r))
	good := r.Roles[notarytest.Timestamp].Version
	r.Roles[notarytest.Timestamp].Version = 1 << 30
	r.Roles[notarytest.Snapshot].Version = 1 << 30
	w.serve(r)
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Fatal(err)
	}
	r.Roles[notarytest.Timestamp].Version, r.Roles[notarytest.Snapshot].Version = good, good
	w.serve(r)
	proofs, err := w.decide(t, w.authority(t), app)
	wantNoWith(t, proofs, err, "rollback")

	for _, name := range []string{notarytest.Timestamp, notarytest.Snapshot} {
		key := []*notarytest.Key{notarytest.NewKey("P-256")}
		r.Roles[name].Keys, r.Roles[name].Signers = key, key
	}
	r.RotateRoot()
	w.serve(r)
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Errorf("after the keys were replaced: %v", err)
	}
}

// What one policy trusts does not raise the floors of another.
func TestRootsOfTrustDoNotShareTheirPast(t *testing.T) {
	r, foreign := newRepository(), newRepository()
	for _, role := range foreign.Roles {
		role.Version += 1000
	}
	w := newWorld(Options{Server: server, InsecureTrustOnFirstUse: true})
	w.serve(foreign)
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Fatal(err)
	}
	w.serve(r)
	if _, err := w.decide(t, w.authorityWith(t, pinned(r)), app); err != nil {
		t.Error(err)
	}
}

// Keys that are too weak, or listed under an ID that is not theirs, do not count.
func TestKeysThatDoNotCount(t *testing.T) {
	r := newRepository()
	weak := notarytest.NewKey("P-224")
	r.Roles[notarytest.Releases].Keys, r.Roles[notarytest.Releases].Signers = []*notarytest.Key{weak}, []*notarytest.Key{weak}
	w := newWorld(pinned(r))
	w.serve(r)
	proofs, err := w.decide(t, w.authority(t), app)
	wantNoWith(t, proofs, err, "P-224")

	r = newRepository()
	r.Roles[notarytest.Targets].Edit = func(signed map[string]any) {
		keys := signed["delegations"].(map[string]any)["keys"].(map[string]any)
		for id := range keys {
			keys[id] = map[string]any{"keytype": "ecdsa", "keyval": map[string]any{"private": nil, "public": notarytest.NewKey("P-256").Public}}
		}
	}
	w = newWorld(pinned(r))
	w.serve(r)
	proofs, err = w.decide(t, w.authority(t), app)
	wantNoWith(t, proofs, err, "its ID is")
}

// T21: the keys of all roots from the one that the policy trusts are among those that a proof rests on, so that none of them counts once it is
// revoked.
func TestT21_OldRootsCanBeRevoked(t *testing.T) {
	r := newRepository()
	first := rootKey(r).Fingerprint()
	w := newWorld(pinned(r))
	r.RotateRoot(certified(app.Name()))
	second := rootKey(r).Fingerprint()
	r.RotateRoot(certified(app.Name()))
	w.serve(r)
	proofs, err := w.decide(t, w.authority(t), app)
	if err != nil {
		t.Fatal(err)
	}
	for _, print := range []string{first, second, rootKey(r).Fingerprint()} {
		if !slices.Contains(proofs[0].Signers[0].Under, print) {
			t.Errorf("%s is not among %v", print, proofs[0].Signers[0].Under)
		}
	}
}

// A certificate whose own signature is of a kind that is broken does not bind a key to a repository.
func TestWeakSignaturesOnCertificates(t *testing.T) {
	for algorithm, want := range map[x509.SignatureAlgorithm]bool{
		x509.SHA256WithRSA: true, x509.ECDSAWithSHA256: true, x509.PureEd25519: true,
		x509.MD5WithRSA: false, x509.SHA1WithRSA: false, x509.ECDSAWithSHA1: false, x509.DSAWithSHA1: false, x509.UnknownSignatureAlgorithm: false,
	} {
		k := &key{chain: []*x509.Certificate{{SignatureAlgorithm: algorithm, Subject: pkix.Name{CommonName: app.Name()}}}}
		if err := namesRepository(k, app.Name()); (err == nil) != want {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}
