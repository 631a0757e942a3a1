package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/assay-dev/assay/image"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(fullDocument))
	f.Add([]byte(sectionDocument))
	f.Add([]byte(localDocument))
	f.Add([]byte(goodHead + goodRule))
	for _, c := range brokenCases(f) {
		f.Add([]byte(c.doc))
	}
	ref := image.MustParse("registry.example/prod/api:v1")
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(Source{Name: "prod.yaml", Data: data}, knownFormats)
		if err != nil {
			checkErrors(t, err, data)
			return
		}
		if len(p.Rules) == 0 || p.Name == "" {
			t.Fatalf("a policy without rules or name: %+v", p)
		}
		for i, r := range p.Rules {
			verbs := 0
			for _, said := range []bool{r.Require != nil, r.Deny != "", r.Allow != ""} {
				if said {
					verbs++
				}
			}
			if r.Local != nil && (len(r.Local.Labels)+len(r.Local.Base)+len(r.Local.BuiltBy) == 0 || r.Require != nil) {
				t.Fatalf("rule %d is about every image that was made on the host, or requires somebody's word for one: %+v", i, r)
			}
			if verbs != 1 || (len(r.Images)+len(r.RegExps) == 0) != (r.Local != nil) || r.Require != nil && !sound(p, *r.Require, 0) {
				t.Fatalf("rule %d is unsound: %+v", i, r)
			}
		}
		for _, a := range p.Authorities {
			var o testOptions
			if err := a.Section.Decode(&o); err != nil {
				checkErrors(t, err, data)
			}
			_ = a.Section.Errorf("crls[1].file", "x")
		}
		byLabel := func(r *Rule) (bool, error) { return r.Local.UnfitLabel(nil) == "", nil }
		fast, index, _ := p.Match(Query{Ref: ref, Now: noon, Local: byLabel})
		slow := &Policy{File: p.File, Rules: p.Rules}
		if _, want, _ := slow.Match(Query{Ref: ref, Now: noon, Local: byLabel}); index != want || (fast == nil) != (index < 0) {
			t.Fatalf("got rule %d, want %d", index, want)
		}
	})
}

// sound reports whether a requirement can hold and names authorities that there are.
func sound(p *Policy, r Requirement, depth int) bool {
	if r.Authority != "" {
		for _, a := range p.Authorities {
			if a.Name == r.Authority {
				return len(r.Of) == 0
			}
		}
		return false
	}
	for _, child := range r.Of {
		if !sound(p, child, depth+1) {
			return false
		}
	}
	return depth < maxRequireDepth && 1 <= r.AtLeast && r.AtLeast <= len(r.Of)
}

// checkErrors fails if an error does not say where something is wrong in data, and what.
func checkErrors(t *testing.T, err error, data []byte) {
	t.Helper()
	var all Errors
	if !errors.As(err, &all) || len(all) == 0 || len(all) > maxErrors {
		t.Fatalf("got %T %v, want Errors", err, err)
	}
	lines := 1 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r")
	for _, e := range all {
		if e.Line < 1 || e.Line > lines+1 || e.Column < 1 || e.Text == "" || e.File == "" {
			t.Fatalf("an error without a place or a text: %+v", e)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"{}", "text: x\nwait: 7d\nat: 2027-01-01T00:00:00Z", "mixed: {exact: x}", "structs: {x: {common: c}}", "maybe: 3", "a: &a [*a]", "? [a]\n: b", "map: {<<: 1}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s settings
		if err := Decode("s.yaml", data, &s); err != nil {
			checkErrors(t, err, data)
			return
		}
		if s.Wait < 0 || s.Choice != "" && s.Choice != "one" && s.Choice != "two" {
			t.Fatalf("got %+v", s)
		}
	})
}
