package memory

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
)

// Whatever stands in the file: what is read of it is written again as the same, and nothing in it is without a bound.
func FuzzDecode(f *testing.F) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	content, err := encode(document{Seen: now, Entries: []entry{
		{Name: "registry.example/app:1", Content: image.SHA256(nil), Basis: "basis", Decided: now, Ends: now.Add(time.Hour), Signers: []string{"CN=CI"}},
		{Name: "docker.io/library/alpine:latest", Content: image.SHA256([]byte("a")), Basis: "basis chain", Decided: now, Policy: "p", Rule: "rules[0]"},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add(content[:len(content)/2])
	f.Add([]byte(`{"version":1,"seen":"2026-11-01T12:00:00Z","entries":[]}`))
	f.Add([]byte(`{"version":1,"seen":"9999-12-31T23:59:59Z","entries":null}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := decode(content)
		if err != nil {
			return
		}
		for i := range d.Entries {
			if e := &d.Entries[i]; e.Basis == "" || e.Content.IsZero() || e.Decided.IsZero() || len(e.Name) > image.MaxReference {
				t.Errorf("entry %+v is taken", e)
			}
		}
		once, err := encode(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(once)
		if err != nil {
			t.Fatalf("%v in what was written: %s", err, once)
		}
		if twice, err := encode(again); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%v: got\n%s, then\n%s", err, once, twice)
		}
	})
}

// The same for who had images built.
func FuzzDecodeBuilt(f *testing.F) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	content, err := json.Marshal(builtDocument{Version: version, Built: []built{{Image: image.SHA256(nil), User: "ci-1", At: now}, {Image: image.SHA256([]byte("a")), User: "ci-2", At: now}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add(content[:len(content)/2])
	f.Add([]byte(`{"version":1,"built":null}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		known, err := decodeBuilt(content)
		if err != nil {
			return
		}
		if len(known) > MaxBuilt {
			t.Errorf("%d images", len(known))
		}
		for id, one := range known {
			if id.IsZero() || id != one.Image || one.User == "" || len(one.User) > maxText || one.At.IsZero() {
				t.Errorf("%+v is taken", one)
			}
		}
	})
}
