package policy

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// storedObjects are the objects of testdata/objects, as a real API server had them.
func storedObjects(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/objects/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no objects: %v", err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = data
	}
	return all
}

func TestStoredObjects(t *testing.T) {
	objects := storedObjects(t)
	p, err := parseObject("TrustPolicy/shop", objects["trustpolicy.json"])
	if err != nil || p.Name != "shop" || p.Namespace != "" || len(p.Rules) != 2 || len(p.Revoked) != 1 || len(p.Authorities) != 1 {
		t.Errorf("got %+v, %v", p, err)
	}
	p, err = parseObject("NamespaceTrustPolicy/default/own", objects["namespacetrustpolicy.json"])
	if err != nil || p.Name != "default/own" || p.Namespace != "default" || p.Mode != Audit {
		t.Errorf("got %+v, %v", p, err)
	}
	_, err = parseObject("TrustPolicy/unknown", objects["unknown.json"])
	wantErrors(t, err, `TrustPolicy/unknown: spec.mod: unknown field; did you mean "mode"?`,
		`TrustPolicy/unknown: spec.rules[0].require.al: unknown field; did you mean "all"?`,
		`TrustPolicy/unknown: spec.rules[0].ulness: unknown field; fields here are: images, imagesRegExp, local, require, deny, allow, until, digest, platform`)
}

func FuzzParseObject(f *testing.F) {
	for _, data := range storedObjects(f) {
		f.Add(data)
	}
	f.Add(objectOf(f, fullDocument))
	f.Add(objectOf(f, localDocument))
	f.Add([]byte(namespacedHead + `{"scope":{"namespaces":{}},"rules":[{"images":["**"],"deny":"x","deny":"y"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parseObject("an object", data)
		if err != nil {
			var all Errors
			if !errors.As(err, &all) || len(all) == 0 || len(all) > maxErrors || p != nil {
				t.Fatalf("got %v, %T %v, want Errors", p, err, err)
			}
			for _, e := range all {
				if e.Line != 0 || e.Column != 0 || e.Text == "" || e.File != "an object" {
					t.Fatalf("an error with a line or without a text: %+v", e)
				}
			}
			return
		}
		for i, r := range p.Rules {
			if r.Line != 0 || r.Require != nil && !sound(p, *r.Require, 0) {
				t.Fatalf("rule %d is unsound: %+v", i, r)
			}
		}
		if elsewhere := (Request{HasNamespace: true, Namespace: p.Namespace + "x"}); p.Namespace != "" && (p.InScope(elsewhere) || p.InScope(Request{})) {
			t.Fatalf("%s speaks beyond its namespace", p.Name)
		}
		for _, a := range p.Authorities {
			_ = a.Section.Decode(new(testOptions))
		}
		again, err := parseObject("an object", data)
		if err != nil || again.Hash() != p.Hash() {
			t.Fatalf("read twice, it is another policy: %v", err)
		}
	})
}
