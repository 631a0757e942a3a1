package convert_test

import (
	"strings"
	"testing"

	"github.com/assay-dev/assay/convert"
)

// one is a trust file with one repository, whose images somebody must vouch for.
func one(name string) []repository { return []repository{{name, 0, true, "https://n.example"}} }

func importedOne(t *testing.T, given []repository, unanchored bool) *convert.Result {
	t.Helper()
	r, err := convert.TrustFile("trust.yaml", []byte(document(given)), convert.TrustFileOptions{InsecureUnanchored: unanchored})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// CSE-10: an expression matches whole names, unless the insecure form was chosen; what changes is told, with an example.
func TestCSE10_ExpressionsMatchWholeNames(t *testing.T) {
	given := one("localhost.*")
	r := importedOne(t, given, false)
	if got := converted(t, r, "evil.io/localhost/x"); got != "deny" {
		t.Errorf("got %s, want a denial", got)
	}
	if got := converted(t, r, "localhost:30001/alpine"); got != "https://n.example" {
		t.Errorf("got %s", got)
	}
	want := `trust.yaml:2: name "localhost.*": before: it matched any part of a name, evil.example/localhost too; now: the meaning becomes stricter: it must match the whole name, and evil.example/localhost is not matched`
	if got := report(r); !strings.Contains(got, want) {
		t.Errorf("want %s in\n%s", want, got)
	}
	r = importedOne(t, given, true)
	if got := converted(t, r, "evil.io/localhost/x"); got != "https://n.example" {
		t.Errorf("insecure: got %s", got)
	}
	if got := report(r); !strings.Contains(got, `! trust.yaml:2: name "localhost.*": before: it matched any part of a name; now: the same, written .*(?:localhost.*)`) {
		t.Errorf("insecure: no warning in\n%s", got)
	}
}

// What was anchored stays as it is, and nothing is told.
func TestAnchoredExpressionsStay(t *testing.T) {
	for _, name := range []string{`^registry\.example/prod/.*$`, `^registry\.example/prod/.*`, `.*`, `^registry\.example/(a|b)$`, `^r\.example/a$|^r\.example/b/.*`, `\Ar\.example/.*\z`, `^(?:r\.example/.*)`} {
		for _, unanchored := range []bool{false, true} {
			r := importedOne(t, one(name), unanchored)
			if got := report(r); strings.Contains(got, "any part of a name") {
				t.Errorf("%s: a change is told\n%s", name, got)
			}
			if !strings.Contains(string(r.Policy), name+`'`) && !strings.Contains(string(r.Policy), name+`"]`) {
				t.Errorf("%s: is not itself in\n%s", name, r.Policy)
			}
		}
	}
}

// T1: whoever chooses a tag does not choose the rule, although imagesRegExp looks at tags.
func TestT1_TagsChooseNoRule(t *testing.T) {
	for _, unanchored := range []bool{false, true} {
		for _, name := range []string{".*tools", "tools", ".*(q|tools)", ".*[q-z]tools", ".*:tools", ".*/x.tools", ".+tools$", ".*(/tools|:tools)", "(?i).*TOOLS", ".*t.{0,30}s"} {
			given := []repository{{name: name}, {name: ".*", enabled: true, server: "https://n.example"}}
			r := importedOne(t, given, unanchored)
			for _, ref := range []string{"evil.example/x:tools", "evil.example/x:1.tools", "evil.example:5000/x:atools"} {
				if got := converted(t, r, ref); got != "https://n.example" {
					t.Errorf("%s, unanchored %t: %s: got %s\n%s", name, unanchored, ref, got, r.Policy)
				}
			}
		}
	}
}

// Names of Docker Hub: what somebody wrote without its registry had a name without it.
func TestShortNames(t *testing.T) {
	rows := []struct {
		name  string
		rules []repository
		ref   string
		want  string
		note  string
	}{
		{"no longer matched", one(`sighupio/.*`), "sighupio/app", "deny", "an image written sighupio/name had that name, which it matches; now: its name is docker.io/sighupio/name, which it does not match"},
		{"matched, completed", one(`docker\.io/library/.*`), "alpine", "https://n.example", ""},
		{"matched now", one(`^docker\.io/sighupio/.*`), "sighupio/app", "https://n.example", "an image written sighupio/name had that name, which it does not match; now: its name is docker.io/sighupio/name, which it matches"},
		{"matched under another name", one(`.*`), "sighupio/app", "https://n.example", "trust data of an image written org/name were those of org/name; now: they are those of docker.io/org/name"},
		{"not about Docker Hub", one(`^registry\.example/.*`), "registry.example/app", "https://n.example", ""},
		{"not accepted by what stands behind", append(one(`^sighupio/.*`), repository{name: ".*", priority: -1}), "sighupio/app", "deny", "denied by a rule of its own"},
		{"not accepted by what stands behind, unanchored", append(one(`^sighupio/a`), repository{name: ".*", priority: -1}), "sighupio/app", "deny", ""},
		{"others go on", append(one(`^sighupio/.*`), repository{name: ".*", priority: -1}), "quay.io/sighupio/app", "allow", ""},
	}
	for _, row := range rows {
		for _, unanchored := range []bool{false, true} {
			t.Run(row.name, func(t *testing.T) {
				r := importedOne(t, row.rules, unanchored)
				want := row.want
				if unanchored && row.name == "no longer matched" {
					want = "https://n.example"
				} else if got := report(r); row.note != "" && !strings.Contains(got, row.note) || row.note == "" && strings.Contains(got, "an image written") && row.want == "https://n.example" && row.name == "not about Docker Hub" {
					t.Errorf("want %q in\n%s", row.note, got)
				}
				if got := converted(t, r, row.ref); got != want {
					t.Errorf("got %s, want %s\n%s", got, want, r.Policy)
				}
			})
		}
	}
}

// What a rule no longer matches is not accepted by one behind it, and goes on to it where that is the same anyway.
func TestRulesBehindDoNotAcceptWhatIsLeft(t *testing.T) {
	strict := repository{`registry[.]example/prod`, 10, true, "https://n.example"}
	for _, row := range []struct {
		name   string
		behind repository
		want   string
		denies int
	}{
		{"one that allows", repository{name: ".*"}, "deny", 1},
		{"one with another authority", repository{".*", 0, true, "https://other.example"}, "deny", 1},
		{"one with the same", repository{".*", 0, true, "https://n.example"}, "https://n.example", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := importedOne(t, []repository{strict, row.behind}, false)
			if got := converted(t, r, "registry.example/prod/app:1"); got != row.want {
				t.Errorf("got %s, want %s\n%s", got, row.want, r.Policy)
			}
			if got := strings.Count(string(r.Policy), "deny: "); got != row.denies+1 { // the last is what no repository is about
				t.Errorf("got %d denials\n%s", got, r.Policy)
			}
			if got := converted(t, r, "registry.example/test/app:prod"); got == "deny" {
				t.Errorf("an image that was never matched is denied\n%s", r.Policy)
			}
		})
	}
}

// An expression that is the name of no image makes no rule; a file of such ones is an error.
func TestNamesOfNoImage(t *testing.T) {
	for _, name := range []string{"^alpine$", `^registry\.example/app:1$`, "^$", "^registry[.]example:5000$"} {
		r := importedOne(t, append(one(name), repository{name: `^r\.example/.*`}), false)
		if got := report(r); !strings.Contains(got, "left out, since it is the whole name of no image") || strings.Contains(string(r.Policy), "require") {
			t.Errorf("%s: got\n%s%s", name, got, r.Policy)
		}
		_, err := convert.TrustFile("trust.yaml", []byte(document(one(name))), convert.TrustFileOptions{})
		if err == nil || !strings.Contains(err.Error(), "trust.yaml:1:1: repositories: no name in it is that of an image") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
