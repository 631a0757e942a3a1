package notaryv1

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

// FuzzRoot, FuzzTimestamp, FuzzSnapshot, FuzzTargets and FuzzDelegation put any bytes in the place of one file of good trust data.
func FuzzRoot(f *testing.F)       { fuzzFile(f, notarytest.Root) }
func FuzzTimestamp(f *testing.F)  { fuzzFile(f, notarytest.Timestamp) }
func FuzzSnapshot(f *testing.F)   { fuzzFile(f, notarytest.Snapshot) }
func FuzzTargets(f *testing.F)    { fuzzFile(f, notarytest.Targets) }
func FuzzDelegation(f *testing.F) { fuzzFile(f, notarytest.Releases) }

// recordedFiles are the files of a role in all moments that real tools made.
func recordedFiles(f *testing.F, role string) [][]byte {
	f.Helper()
	pattern := role + ".json"
	if role == notarytest.Releases {
		pattern = filepath.Join("targets", "*.json")
	}
	names, err := filepath.Glob(filepath.Join(recordedFolder, "*", pattern))
	if err != nil || len(names) == 0 {
		f.Fatalf("no files of %s: %v", role, err)
	}
	var all [][]byte
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, content)
	}
	return all
}

// fuzzFile wants of any bytes in the place of a file: an answer, and a yes only for what the keys have signed.
func fuzzFile(f *testing.F, role string) {
	r := newRepository()
	w := newWorld(pinned(r))
	w.serve(r)
	a := w.authority(f)
	ev, err := a.Find(f.Context(), w, app)
	if err != nil {
		f.Fatal(err)
	}
	good := -1
	for i, item := range ev.Items {
		if item.Name == itemName(role) {
			good = i
		}
	}
	original, err := parseFile(ev.Items[good].Bytes)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ev.Items[good].Bytes)
	for _, content := range recordedFiles(f, role) {
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		w.restart()
		changed := trust.Evidence{Items: append([]trust.Item(nil), ev.Items...)}
		changed.Items[good].Bytes = content
		a := w.authority(t)
		proofs, err := a.Check(app, changed, now)
		switch {
		case err != nil && len(proofs) > 0:
			t.Fatal("proofs beside an error")
		case err != nil && !trust.IsNo(err):
			t.Fatalf("error = %v, want a no", err)
		case err == nil:
			file, parsed := parseFile(content)
			if parsed != nil || !bytes.Equal(file.plain, original.plain) {
				t.Fatalf("proved by other trust data: %s", content)
			}
		}
		readAs(t, w.format.(*format).reader, role, content)
	})
}

// readAs reads a file and looks at all that a reader gives.
func readAs(t *testing.T, r *reader, role string, content []byte) {
	t.Helper()
	switch role {
	case notarytest.Root:
		root, err := r.root(content)
		if err == nil && len(root.roles) != 4 {
			t.Fatalf("%d roles", len(root.roles))
		}
		if err == nil {
			_, _, _ = anchor{firstUse: true}.holds(root, app.Name())
		}
	case notarytest.Timestamp, notarytest.Snapshot:
		if f, err := r.read(content); err == nil {
			meta, _ := readMeta(f, map[string]string{notarytest.Timestamp: "Timestamp", notarytest.Snapshot: "Snapshot"}[role])
			for name, m := range meta {
				_ = m.fits(content)
				_ = m.consistent(name)
			}
		}
	default:
		targets, err := r.targets(role, content)
		if err != nil {
			return
		}
		for _, d := range targets.delegations {
			if strings.Contains(d.Name, "..") || !strings.HasPrefix(d.Name, role+"/") {
				t.Fatalf("delegation %q of %s", d.Name, role)
			}
			_, _ = readRole(d.Name, d.wireRole, targets.keyOf)
		}
		for _, target := range targets.targets {
			_ = target.String()
		}
	}
}

// FuzzCanonical holds the canonical form against the standard library's reading of the same JSON.
func FuzzCanonical(f *testing.F) {
	for _, role := range []string{notarytest.Root, notarytest.Targets, notarytest.Releases} {
		for _, content := range recordedFiles(f, role)[:3] {
			f.Add(content)
		}
	}
	for _, text := range []string{`{}`, `[1,-2,"a"]`, `{"b":1,"a":{"\u00e4\ud83d\ude00":"\n\/\""}}`, `"\ud800"`, `{"a":1,"a":2}`, ` { "x" : [ ] } `, `1.0`, `-0`, `""`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		plain, err := canonical(content)
		if err != nil {
			return
		}
		if !json.Valid(content) {
			t.Fatalf("%q is no JSON, and has a canonical form", content)
		}
		again, err := canonical(plain)
		hasRaw := bytes.ContainsFunc(plain, func(r rune) bool { return r < 0x20 })
		if !hasRaw && (err != nil || !bytes.Equal(again, plain)) {
			t.Fatalf("%q becomes %q and then %q, %v", content, plain, again, err)
		}
		var value any
		d := json.NewDecoder(bytes.NewReader(content))
		d.UseNumber()
		if err := d.Decode(&value); err != nil {
			t.Fatalf("%q: %v", content, err)
		}
		if object, ok := value.(map[string]any); ok && !hasRaw {
			parts := members(plain)
			if len(parts) != len(object) {
				t.Fatalf("%d members of %q, want %d", len(parts), plain, len(object))
			}
			for key := range object {
				if _, found := parts[key]; !found {
					t.Fatalf("%q has no member %q", plain, key)
				}
			}
		}
	})
}

// FuzzPast reads what was seen before: any bytes there are an answer, and never taken for "nothing".
func FuzzPast(f *testing.F) {
	r := newRepository()
	w := newWorld(pinned(r))
	w.serve(r)
	ev, err := w.authority(f).Find(f.Context(), w, app)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ev.Items[0].Bytes)
	f.Add([]byte(`{"floors":{"root":[{"version":9,"signers":""}]}}`))
	f.Add([]byte(`{"seen":"2026-10-01T12:00:00Z","until":"2026-10-03T12:00:00Z"}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		changed := trust.Evidence{Items: append([]trust.Item(nil), ev.Items...)}
		changed.Items[0].Bytes = content
		proofs, err := w.authority(t).Check(app, changed, now)
		if err == nil && !json.Valid(content) {
			t.Fatalf("%d proofs with %q", len(proofs), content)
		}
	})
}
