package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
)

const localDocument = `apiVersion: assay.dev/v1
kind: TrustPolicy
metadata: {name: host}
spec:
  scope: {points: [docker]}
  authorities: {ci: {certificate: {}}}
  rules:
  - local:
      labels: {org.acme.team: payments, org.acme.stage: "*"}
      base: ["registry.acme.example/base/**", "registry.acme.example/go:1"]
      builtBy: ["ci-*"]
    allow: built here on our own base
    until: 2027-01-01T00:00:00Z
  - {local: {labels: {debug: ""}}, deny: debug images stay on the build host}
  - {images: ["registry.acme.example/**"], require: ci}
`

func TestT50_LocalRules(t *testing.T) {
	p := mustParse(t, localDocument)
	l := p.Rules[0].Local
	if diff := cmp.Diff(map[string]string{"org.acme.team": "payments", "org.acme.stage": "*"}, l.Labels); diff != "" || len(l.Base) != 2 || len(l.BuiltBy) != 1 || len(p.Warnings) != 0 {
		t.Errorf("got %+v, %v\n%s", l, p.Warnings, diff)
	}
	if p.Rules[2].Local != nil {
		t.Error("a rule about names is one about images made here")
	}
	if got := l.Bases(); len(got) != 1 || got[0].String() != "registry.acme.example/go:1" {
		t.Errorf("references among the patterns: %v", got)
	}
	if other := mustParse(t, strings.Replace(localDocument, "ci-*", "ci-1", 1)); other.Hash() == p.Hash() {
		t.Error("another rule has the same hash")
	}
}

func TestT50_LocalLabels(t *testing.T) {
	l := mustParse(t, localDocument).Rules[0].Local
	for name, row := range map[string]struct {
		labels map[string]string
		unfit  string
	}{
		"all there":       {map[string]string{"org.acme.team": "payments", "org.acme.stage": "prod", "more": "x"}, ""},
		"any value":       {map[string]string{"org.acme.team": "payments", "org.acme.stage": ""}, ""},
		"another value":   {map[string]string{"org.acme.team": "payments2", "org.acme.stage": "prod"}, "org.acme.team"},
		"one is missing":  {map[string]string{"org.acme.team": "payments"}, "org.acme.stage"},
		"in another case": {map[string]string{"ORG.ACME.TEAM": "payments", "org.acme.stage": "x"}, "org.acme.team"},
		"none":            {nil, "org.acme.stage"},
	} {
		if got := l.UnfitLabel(row.labels); got != row.unfit {
			t.Errorf("%s: got %q, want %q", name, got, row.unfit)
		}
	}
	empty := mustParse(t, localDocument).Rules[1].Local
	for value, want := range map[string]string{"": "", "x": "debug"} {
		if got := empty.UnfitLabel(map[string]string{"debug": value}); got != want {
			t.Errorf("%q: got %q", value, got)
		}
	}
}

func TestT50_LocalBuilders(t *testing.T) {
	l := mustParse(t, localDocument).Rules[0].Local
	for name, want := range map[string]bool{"ci-1": true, "ci-": true, "ci": false, "CI-1": false, "x-ci-1": false, "": false} {
		if l.FitsBuilder(name) != want {
			t.Errorf("%q fits: %v", name, !want)
		}
	}
	everybody := &Local{BuiltBy: []string{"*"}}
	if everybody.FitsBuilder("") || !everybody.FitsBuilder("x") {
		t.Error("nobody is somebody")
	}
	if !(&Local{}).FitsBuilder("") {
		t.Error("what nothing asks for is missed")
	}
}

func TestT50_LocalBases(t *testing.T) {
	l := mustParse(t, strings.Replace(localDocument, `"registry.acme.example/go:1"`, `"registry.acme.example/go:1", "registry.acme.example/old@`+digestA.String()+`"`, 1)).Rules[0].Local
	for ref, want := range map[string]bool{
		"registry.acme.example/base/go:2":                     true,
		"registry.acme.example/base/x/go@" + digestA.String(): true,
		"registry.acme.example/base:1":                        false,
		"registry.acme.example/go:1":                          true,
		"registry.acme.example/go:2":                          false,
		"registry.acme.example/go@" + digestA.String():        false, // nobody knows whether that is go:1
		"registry.acme.example/go:1@" + digestA.String():      false,
		"registry.acme.example/old@" + digestA.String():       true,
		"registry.acme.example/old@" + digestB.String():       false,
		"registry.acme.example/old:1":                         false,
		"registry.acme.example.evil.example/base/go:1":        false,
		"evil.example/registry.acme.example/base/go:1":        false,
	} {
		if l.FitsBase(image.MustParse(ref)) != want {
			t.Errorf("%s fits: %v", ref, !want)
		}
	}
}

// The first rule that matches decides, whether it is about names or not.
func TestT50_LocalRulesHaveTheirPlace(t *testing.T) {
	const doc = goodHead + `spec:
  rules:
  - {images: ["a.example/first"], deny: first}
  - {local: {labels: {a: b}}, allow: second}
  - {images: ["**"], deny: third}
`
	p := mustParse(t, doc)
	asked := 0
	says := func(answer bool, err error) func(*Rule) (bool, error) {
		return func(r *Rule) (bool, error) {
			if asked++; r != &p.Rules[1] {
				t.Errorf("asked about %+v", r)
			}
			return answer, err
		}
	}
	broken := errors.New("nobody answers")
	for name, row := range map[string]struct {
		ref   string
		local func(*Rule) (bool, error)
		rule  int
		asked int
		err   error
	}{
		"a rule before it":  {"a.example/first", says(true, nil), 0, 0, nil},
		"it holds":          {"a.example/x", says(true, nil), 1, 1, nil},
		"it does not hold":  {"a.example/x", says(false, nil), 2, 1, nil},
		"it cannot be told": {"a.example/x", says(false, broken), -1, 1, broken},
		"a point without":   {"a.example/x", nil, 2, 0, nil},
	} {
		for _, p := range []*Policy{p, {File: p.File, Rules: p.Rules}} {
			asked = 0
			_, index, err := p.Match(Query{Ref: image.MustParse(row.ref), Now: noon, Local: row.local})
			if index != row.rule || asked != row.asked || !errors.Is(err, row.err) {
				t.Errorf("%s: got rule %d, %v, asked %d times", name, index, err, asked)
			}
		}
	}
	ended := mustParse(t, localDocument)
	_, index, err := ended.Match(Query{Ref: image.MustParse("a.example/x"), Now: ended.Rules[0].Until, Local: func(r *Rule) (bool, error) { return r == &ended.Rules[0], nil }})
	if index != -1 || err != nil {
		t.Errorf("a rule that has ended: got %d, %v", index, err)
	}
}

func TestT50_WarningsOfLocalRules(t *testing.T) {
	for name, row := range map[string]struct{ old, new, text string }{
		"the point":                              {"points: [docker]", "points: [cli, kubernetes]", "prod.yaml:8:5: spec.rules[0].local: only the point docker knows"},
		"all points":                             {"  scope: {points: [docker]}\n", "", ""},
		"a deny that a lack of knowledge passes": {"labels: {debug: \"\"}", "builtBy: [x]", "spec.rules[1].local: what cannot be shown does not match"},
	} {
		got := ""
		for _, w := range mustParse(t, strings.Replace(localDocument, row.old, row.new, 1)).Warnings {
			got += w.Error() + "\n"
		}
		if row.text == "" && got != "" || !strings.Contains(got, row.text) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
