package policy

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/assay-dev/assay/image"
)

// manyRules returns n rules and, after them, one for everything. pattern makes the pattern of the i-th.
func manyRules(t testing.TB, n int, pattern func(i int) string) *Policy {
	t.Helper()
	p := &Policy{}
	for i := range n {
		parsed, err := image.ParsePattern(pattern(i))
		if err != nil {
			t.Fatal(err)
		}
		p.Rules = append(p.Rules, Rule{Images: []image.Pattern{parsed}, Allow: "x"})
	}
	last, err := image.ParsePattern("**")
	if err != nil {
		t.Fatal(err)
	}
	p.Rules = append(p.Rules, Rule{Images: []image.Pattern{last}, Deny: "x"})
	p.index = newIndex(p.Rules)
	return p
}

var ruleSets = []struct {
	name    string
	pattern func(i int) string
	ref     string
}{
	{"a host each", func(i int) string { return fmt.Sprintf("r%d.example/**", i) }, "r%d.example/team/app:1"},
	{"one host, a team each", func(i int) string { return fmt.Sprintf("registry.example/team%d/**", i) }, "registry.example/team%d/app:1"},
	{"one folder, a team each", func(i int) string { return fmt.Sprintf("registry.example/prod/eu/team%d/**", i) }, "registry.example/prod/eu/team%d/app:1"},
	{"one host, a repository each", func(i int) string { return fmt.Sprintf("registry.example/team/app%d", i) }, "registry.example/team/app%d:1"},
	{"a host wildcard each", func(i int) string { return fmt.Sprintf("*.d%d.example/**", i) }, "eu.d%d.example/app:1"},
}

// The cost of a match is the pattern tests for what can fit, however many rules there are.
func TestManyRulesCostFewPatternTests(t *testing.T) {
	for _, set := range ruleSets {
		for _, n := range []int{10, 1_000, 10_000} {
			p := manyRules(t, n, set.pattern)
			for _, i := range []int{0, n / 2, n - 1} {
				m := matcher{query: Query{Ref: image.MustParse(fmt.Sprintf(set.ref, i)), Now: noon}}
				_, got, err := m.match(p)
				if got != i || err != nil {
					t.Fatalf("%s, %d rules: got rule %d (%v), want %d", set.name, n, got, err, i)
				}
				if m.tests != 1 {
					t.Errorf("%s, %d rules: %d pattern tests for rule %d, want 1", set.name, n, m.tests, i)
				}
			}
			m := matcher{query: Query{Ref: image.MustParse("elsewhere.example/app:1"), Now: noon}}
			if _, got, err := m.match(p); got != n || err != nil || m.tests != 1 {
				t.Errorf("%s, %d rules, no rule of its own: got rule %d (%v) after %d pattern tests, want %d after 1", set.name, n, got, err, m.tests, n)
			}
		}
	}
}

// Rules of several buckets are still tried in the order of the page.
func TestBucketsAreMergedInOrder(t *testing.T) {
	patterns := []string{"b.example/x/*", "**/nothing", "a.example/x/y:other", "*.example/**/nothing", "a.example/*/z", "a.example/x/**", "a.example/x/y", "**"}
	p := manyRules(t, len(patterns), func(i int) string { return patterns[i] })
	m := matcher{query: Query{Ref: image.MustParse("a.example/x/y:1"), Now: noon}}
	if _, got, err := m.match(p); got != 5 || err != nil {
		t.Errorf("got rule %d (%v), want 5", got, err)
	}
	if m.tests != 5 {
		t.Errorf("got %d pattern tests, want 5: all before the rule but the one of another host", m.tests)
	}
}

// A pattern that matches a reference stands in one of its buckets: the index never hides a rule.
func TestIndexHidesNoRule(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "a-b", "*", "a*", "**"})
	host := rapid.SampledFrom([]string{"", "**/", "x.example/", "*.example/", "x.example:5000/", "docker.io/", "*.x.example/"})
	plain := rapid.SampledFrom([]string{"a", "b", "a-b", "ab"})
	rapid.Check(t, func(t *rapid.T) {
		text := host.Draw(t, "host") + strings.Join(rapid.SliceOfN(segment, 1, 4).Draw(t, "segments"), "/")
		name := rapid.SampledFrom([]string{"", "x.example/", "y.x.example/", "x.example:5000/"}).Draw(t, "registry") +
			strings.Join(rapid.SliceOfN(plain, 1, 5).Draw(t, "path"), "/")
		pattern, err := image.ParsePattern(text)
		ref, err2 := image.Parse(name)
		if err != nil || err2 != nil {
			return
		}
		p := &Policy{Rules: []Rule{{Images: []image.Pattern{pattern}}}}
		_, got, _ := p.Match(Query{Ref: ref, Now: noon})
		if want := pattern.MatchName(ref); want != (got == 0) {
			t.Fatalf("%s with %s: got rule %d, the pattern itself says %v", ref, text, got, want)
		}
	})
}

func TestHostsWithManyLabels(t *testing.T) {
	p := manyRules(t, 1, func(int) string { return "*.example/**" })
	ref := image.MustParse("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.example/x")
	if _, got, err := p.Match(Query{Ref: ref, Now: noon}); got != 0 || err != nil {
		t.Errorf("got rule %d (%v), want 0", got, err)
	}
}

func TestMatchCostsNoMemory(t *testing.T) {
	p := manyRules(t, 1_000, ruleSets[1].pattern)
	q := Query{Ref: image.MustParse("registry.example/team7/app:1"), Now: noon}
	allocs := testing.AllocsPerRun(100, func() {
		if _, got, _ := p.Match(q); got != 7 {
			t.Fatalf("got rule %d, want 7", got)
		}
	})
	if allocs > 2 {
		t.Errorf("got %v allocations, want at most 2", allocs)
	}
}

func BenchmarkPolicyMatch(b *testing.B) {
	for _, set := range ruleSets {
		for _, n := range []int{10, 1_000, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", set.name, n), func(b *testing.B) {
				p := manyRules(b, n, set.pattern)
				q := Query{Ref: image.MustParse(fmt.Sprintf(set.ref, n/2)), Now: noon}
				b.ReportAllocs()
				for b.Loop() {
					if _, got, _ := p.Match(q); got != n/2 {
						b.Fatalf("got rule %d, want %d", got, n/2)
					}
				}
			})
		}
	}
}
