package image

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// naiveStar says what Glob must, in the plainest way.
func naiveStar(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return naiveStar(pattern[1:], text) || text != "" && naiveStar(pattern, text[1:])
	}
	return text != "" && pattern[0] == text[0] && naiveStar(pattern[1:], text[1:])
}

// naiveSegments says what matchSegments must, in the plainest way.
func naiveSegments(pattern, path []string) bool {
	switch {
	case len(pattern) == 0:
		return len(path) == 0
	case pattern[0] == "**" && len(pattern) == 1:
		return len(path) > 0
	case pattern[0] == "**":
		return naiveSegments(pattern[1:], path) || len(path) > 0 && naiveSegments(pattern, path[1:])
	}
	return len(path) > 0 && naiveStar(pattern[0], path[0]) && naiveSegments(pattern[1:], path[1:])
}

func TestMatchStarAgreesWithTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*]{0,8}`).Draw(t, "pattern")
		text := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "text")
		if got, want := Glob(pattern, text), naiveStar(pattern, text); got != want {
			t.Fatalf("Glob(%q, %q) = %v, want %v", pattern, text, got, want)
		}
	})
}

func TestMatchSegmentsAgreesWithTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.SliceOfN(rapid.SampledFrom([]string{"**", "*", "a", "b", "a*", "*b"}), 1, 6).Draw(t, "pattern")
		path := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "aab"}), 1, 7).Draw(t, "path")
		if got, want := matchSegments(pattern, strings.Join(path, "/")), naiveSegments(pattern, path); got != want {
			t.Fatalf("matchSegments(%q, %q) = %v, want %v", pattern, path, got, want)
		}
	})
}

// The worst patterns cost what the product of both lengths costs: with a matcher that tries every way to share the text among the
// stars, none of these would end.
func TestWorstPatternsAreBounded(t *testing.T) {
	stars := strings.Repeat("a*", 400) + "b"
	if Glob(stars, strings.Repeat("a", 1000)) {
		t.Error("a text without the last letter is matched")
	}
	segments := slices.Repeat([]string{"**", "a*"}, 200)
	segments = append(segments, "b")
	if matchSegments(segments, strings.Repeat("a/", 499)+"a") {
		t.Error("a path without the last segment is matched")
	}
	p, err := ParsePattern("registry.example/" + strings.Repeat("**/a*a*a*/", 90) + "b")
	if err != nil {
		t.Fatal(err)
	}
	if p.MatchName(MustParse("registry.example/" + strings.Repeat("aaaa/", 50) + "a")) {
		t.Error("a name without the last segment is matched")
	}
}

// inBuckets reports whether an index finds p when it looks for r.
func inBuckets(p Pattern, r Ref) bool {
	return slices.Contains(r.Buckets(nil), p.Bucket())
}

func TestBuckets(t *testing.T) {
	for pattern, want := range map[string]string{
		"**":                             "",
		"**/web":                         "",
		"*.example/**":                   ".example",
		"*.example:5000/web":             ".example:5000",
		"registry.example/**":            "registry.example",
		"registry.example/*/web":         "registry.example",
		"registry.example/prod/**":       "registry.example/prod/",
		"registry.example/prod/a*":       "registry.example/prod/",
		"registry.example/prod/api":      "registry.example/prod/api",
		"registry.example/prod/api:v1.*": "registry.example/prod/api",
		"alpine@" + digestA:              "docker.io/library/alpine",
		"[::1]:5000/a":                   "[::1]:5000/a",
	} {
		p, err := ParsePattern(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if got := p.Bucket(); got != want {
			t.Errorf("Bucket(%s) = %q, want %q", pattern, got, want)
		}
	}
	if got := (Ref{}).Buckets(nil); len(got) != 0 {
		t.Errorf("the zero reference has buckets %q", got)
	}
}

// A pattern that matches is found through the buckets of the reference: an index must never hide a rule.
func TestBucketsNeverHideAMatch(t *testing.T) {
	matches := 0
	rapid.Check(t, func(t *rapid.T) {
		r := drawRef(t)
		p, err := ParsePattern(drawPatternFor(t, r))
		if err != nil {
			return // a star inside an address, "**" inside a segment
		}
		if p.MatchName(r) {
			matches++
			if !inBuckets(p, r) {
				t.Fatalf("pattern %s matches %s, but bucket %q is not among %q", p, r, p.Bucket(), r.Buckets(nil))
			}
		}
	})
	if matches < 20 {
		t.Errorf("%d matches are too few to show anything", matches)
	}
}

// drawPatternFor turns a reference into a pattern that often matches it.
func drawPatternFor(t *rapid.T, r Ref) string {
	host := r.Registry()
	if i := strings.IndexByte(host, '.'); i > 0 && rapid.Bool().Draw(t, "host wildcard") {
		host = "*" + host[i:]
	}
	parts := strings.Split(r.Repository(), "/")
	for i := range parts {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			parts[i] = "*"
		case 1:
			parts[i] = "**"
		case 2:
			parts[i] = parts[i][:1] + "*"
		}
	}
	if rapid.Bool().Draw(t, "any host") {
		return "**/" + strings.Join(parts, "/")
	}
	return host + "/" + strings.Join(parts, "/")
}
