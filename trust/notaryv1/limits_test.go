package notaryv1

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

// T43: roots, timestamps and snapshots, which are read before any signature on them is looked at, are small.
func TestT43_FilesAtTheTopAreSmall(t *testing.T) {
	r := newRepository()
	pin := pinned(r)
	r.RotateRoot()
	w := newWorld(pin)
	for name, role := range map[string]string{"timestamp.json": notarytest.Timestamp, "root.json": notarytest.Root} {
		files := r.Files()
		files[name] = append(files[name], strings.Repeat(" ", maxTop)...)
		w.serveFiles(r.GUN, files)
		if proofs, err := w.decide(t, w.authority(t), app); err == nil || trust.IsNo(err) || len(proofs) > 0 {
			t.Errorf("%s: %d proofs, %v", role, len(proofs), err)
		}
	}
	r.Roles[notarytest.Snapshot].File = func(b []byte) []byte { return append(slices.Clone(b), strings.Repeat(" ", maxTop)...) }
	w.serve(r)
	if proofs, err := w.decide(t, w.authority(t), app); err == nil || trust.IsNo(err) || len(proofs) > 0 {
		t.Errorf("a snapshot: %d proofs, %v", len(proofs), err)
	}
	r.Roles[notarytest.Snapshot].File = nil
	r.Roles[notarytest.Root].File = func(b []byte) []byte { return append(slices.Clone(b), strings.Repeat(" ", maxTop)...) }
	files := r.Files()
	files["root.json"] = files["1.root.json"]
	w.serveFiles(r.GUN, files)
	if proofs, err := w.decide(t, w.authority(t), app); err == nil || trust.IsNo(err) || len(proofs) > 0 {
		t.Errorf("a root that the snapshot names: %d proofs, %v", len(proofs), err)
	}
}

// T43: signatures are counted while they are read.
func TestT43_ManySignatures(t *testing.T) {
	flood := func(n int) []byte {
		return []byte(`{"signatures":[{}` + strings.Repeat(`,{}`, n-1) + `],"signed":{"_type":"Snapshot","expires":"2026-10-01T00:00:00Z","version":1}}`)
	}
	if _, err := parseFile(flood(maxSignatures)); err != nil {
		t.Error(err)
	}
	one := testing.AllocsPerRun(1, func() { _, _ = parseFile(flood(maxSignatures)) })
	many := testing.AllocsPerRun(1, func() {
		if _, err := parseFile(flood(100_000)); err == nil || !strings.Contains(err.Error(), "more than 64 signatures") {
			t.Error(err)
		}
	})
	if many > 2*one {
		t.Errorf("%v allocations for many, %v for %d", many, one, maxSignatures)
	}
	for _, text := range []string{`null`, `{}`, `[1]`, `[null,"x"]`, `""`} {
		if _, err := parseFile([]byte(`{"signatures":` + text + `,"signed":{"_type":"Snapshot","expires":"2026-10-01T00:00:00Z","version":1}}`)); err == nil {
			t.Errorf("signatures %s are read", text)
		}
	}
}

// T43: a key is parsed once for a file, however many roles list it and how often.
func TestT43_KeysAreParsedOnce(t *testing.T) {
	r := newRepository()
	root, err := newReader().root(r.Files()["root.json"])
	if err != nil {
		t.Fatal(err)
	}
	k := rootKey(r)
	keyOf, err := readKeys(map[string]wireKey{k.ID(): {Type: k.Type, Value: struct {
		Public []byte `json:"public"`
	}{k.Public}}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := keyOf(k.ID())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := keyOf(k.ID()); err != nil || a != b {
		t.Errorf("the key was parsed twice: %v", err)
	}
	if root.roles[roleRoot].keys[0].fingerprint != a.fingerprint {
		t.Error("another key")
	}
}

// T47: certificates behind a root's key have keys that count: weak ones could be forged, and enormous ones only cost time.
func TestT47_WeakIntermediates(t *testing.T) {
	ca := notarytest.NewKey("P-256").Authority("roots", made, made.Add(20*year))
	for kind, want := range map[string]string{"P-224": "P-224", "P-384": ""} {
		between := notarytest.NewKey(kind)
		issuer := between.AuthorityBy(ca, "between", made, made.Add(20*year))
		leaf := notarytest.NewKey("P-256").CertifiedBy(issuer, app.Name(), made, made.Add(10*year))
		leaf.Public = notarytest.PEM(leaf.Cert, issuer.Cert)
		r := withRoot(leaf)
		proofs, err := decideFor(t, r, Options{Server: server, Root: &RootOptions{CA: string(ca.Public)}}, app)
		if want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		wantNoWith(t, proofs, err, want)
	}
}

// T43: a large file is read once, however many ask about its repository at once.
func TestT43_FilesAreReadOnce(t *testing.T) {
	content := newRepository().Files()["targets.json"]
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		reads := 0
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := once(r, "targets", content, func(f *file) (*file, error) {
					reads++
					time.Sleep(time.Second)
					return f, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if reads != 1 {
			t.Errorf("read %d times", reads)
		}
	})
}
