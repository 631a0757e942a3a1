package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/assay-dev/assay/image"
)

var (
	digestA = image.SHA256([]byte("a"))
	digestB = image.SHA256([]byte("b"))
	noon    = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
)

// rulesDocument writes a document whose rules allow images, for reasons r0, r1 and so on.
func rulesDocument(rules ...string) string {
	var b strings.Builder
	b.WriteString(goodHead + "spec:\n  rules:\n")
	for i, r := range rules {
		fmt.Fprintf(&b, "  - {%s, allow: r%d}\n", r, i)
	}
	return b.String()
}

func images(patterns ...string) string {
	return `images: ["` + strings.Join(patterns, `", "`) + `"]`
}

func TestMatchIsTheFirstRuleOfThePage(t *testing.T) {
	p := mustParse(t, rulesDocument(
		images("registry.example/prod/api:v1.*"),
		`imagesRegExp: ['registry\.example/prod/web(:canary)?', '[a-z.]+/tools/[a-z]+']`,
		images("registry.example/prod/*"),
		images("**/api", "*.mirror.example/**"),
		images("registry.example/**"),
		images("docker.io/library/alpine@"+digestA.String()),
		images("docker.io/**"),
	))
	tests := []struct {
		ref  string
		want int
	}{
		{"registry.example/prod/api:v1.2", 0},
		{"registry.example/prod/api:v2", 2},
		{"registry.example/prod/web", 1},
		{"registry.example/prod/web:canary", 1},
		{"registry.example/tools/jq", 1},
		{"other.example/tools/jq", 1},
		{"registry.example/prod/other", 2},
		{"registry.example/team/api", 3},
		{"eu.mirror.example/x", 3},
		{"mirror.example/x", -1},
		{"registry.example/x", 4},
		{"alpine@" + digestA.String(), 5},
		{"alpine@" + digestB.String(), 6},
		{"alpine:3@" + digestA.String(), 5},
		{"somebody/app", 6},
		{"registry.example:5000/prod/web", -1},
	}
	for _, tt := range tests {
		rule, got, err := p.Match(Query{Ref: image.MustParse(tt.ref), Now: noon, TagDigest: func() (image.Digest, error) { return digestB, nil }})
		if err != nil || got != tt.want || (rule == nil) != (got < 0) {
			t.Errorf("%s: got rule %d (%v), want %d", tt.ref, got, err, tt.want)
		}
		if rule != nil && rule != &p.Rules[got] {
			t.Errorf("%s: rule and index disagree", tt.ref)
		}
		linear, slow, _ := (&Policy{Rules: p.Rules}).Match(Query{Ref: image.MustParse(tt.ref), Now: noon, TagDigest: func() (image.Digest, error) { return digestB, nil }})
		if slow != tt.want || (linear == nil) != (slow < 0) {
			t.Errorf("%s: without Parse got rule %d, want %d", tt.ref, slow, tt.want)
		}
	}
}

func TestMatchUntil(t *testing.T) {
	p := mustParse(t, rulesDocument(images("a.example/**")+", until: 2026-06-01T12:00:00Z", images("a.example/**")))
	ref := image.MustParse("a.example/x")
	for _, tt := range []struct {
		name string
		now  time.Time
		want int
	}{
		{"before", noon.Add(-time.Nanosecond), 0},
		{"at that instant", noon, 1},
		{"after", noon.Add(time.Hour), 1},
		{"before, in another zone", noon.Add(-time.Minute).In(time.FixedZone("", 9*3600)), 0},
	} {
		if _, got, err := p.Match(Query{Ref: ref, Now: tt.now}); got != tt.want || err != nil {
			t.Errorf("%s: got rule %d (%v), want %d", tt.name, got, err, tt.want)
		}
	}
	if _, got, err := p.Match(Query{Ref: ref}); !errors.Is(err, ErrNeedsTime) || got != -1 {
		t.Errorf("without a time: got rule %d (%v), want ErrNeedsTime", got, err)
	}
}

// T1: text before, after or inside an allowed name never hits its rule.
func TestT1_RulesMatchWholeNames(t *testing.T) {
	p := mustParse(t, rulesDocument(
		images("registry.example/prod/api", "registry.example/prod/web:1", "registry.example/team/**"),
		`imagesRegExp: ['registry\.example/re/api', 'registry\.example/re/(a|b):1']`,
	))
	allowed := []string{"registry.example/prod/api", "registry.example/prod/web:1", "registry.example/team/x", "registry.example/re/api", "registry.example/re/b:1"}
	for _, name := range allowed {
		if _, got, _ := p.Match(Query{Ref: image.MustParse(name), Now: noon}); got < 0 {
			t.Fatalf("%s is not matched", name)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(allowed).Draw(t, "name")
		extra := rapid.StringMatching(`[a-z0-9]{1,4}([./:-][a-z0-9]{1,4})?`).Draw(t, "extra")
		at := rapid.IntRange(0, len(name)).Draw(t, "at")
		changed := name[:at] + extra + name[at:]
		ref, err := image.Parse(changed)
		tagAdded := ref.Tag() != "" && !strings.Contains(name, ":") && ref.Name() == name
		below := strings.HasPrefix(ref.Name(), "registry.example/team/")
		if err != nil || tagAdded || below {
			return
		}
		if _, got, err := p.Match(Query{Ref: ref, Now: noon}); got >= 0 || err != nil {
			t.Fatalf("%s hits rule %d (%v)", changed, got, err)
		}
	})
}

// T2: every spelling of a name hits the same rule.
func TestT2_EqualSpellingsHitTheSameRule(t *testing.T) {
	p := mustParse(t, rulesDocument(
		images("registry.example/prod/**"),
		images("docker.io/library/alpine"),
		images("REGISTRY.example:443/upper/*"),
		images("busybox"),
		images("**"),
	))
	for want, spellings := range [][]string{
		{"registry.example/prod/x", "REGISTRY.example/prod/x:latest", "registry.example:443/prod/x", "Registry.Example:443/prod/x:latest"},
		{"alpine", "docker.io/alpine", "docker.io/library/alpine", "index.docker.io/library/alpine", "registry-1.docker.io/library/alpine", "DOCKER.io/alpine:latest"},
		{"registry.example/upper/x", "Registry.example:443/upper/x"},
		{"busybox", "docker.io/library/busybox:latest", "index.docker.io/busybox"},
		{"registry.example:5000/prod/x", "alpine/alpine", "localhost/prod/x"},
	} {
		for _, s := range spellings {
			if _, got, err := p.Match(Query{Ref: image.MustParse(s), Now: noon}); got != want || err != nil {
				t.Errorf("%s: got rule %d (%v), want %d", s, got, err, want)
			}
		}
	}
	for _, dotted := range []string{"registry.example./prod/x", "docker.io./alpine"} {
		if _, err := image.Parse(dotted); err == nil {
			t.Errorf("%s was read", dotted)
		}
	}
}

// T3: an expression is a whole-string match, and an unescaped dot is pointed at.
func TestT3_ExpressionsAreAnchored(t *testing.T) {
	p := mustParse(t, rulesDocument(`imagesRegExp: ['registry\.example/acme/[a-z]+', 'a\.example/x|b\.example/y']`))
	for ref, want := range map[string]int{
		"registry.example/acme/app":                     0,
		"registry.example/acme-evil/app":                -1,
		"evil.example/registry.example/acme/app":        -1,
		"registry.example/acme/app/more":                -1,
		"evil-registry.example/acme/app":                -1,
		"a.example/x":                                   0,
		"a.example/x/more":                              -1,
		"evil-b.example/y":                              -1,
		"registry.example/acme/app@" + digestA.String(): 0,
	} {
		if _, got, err := p.Match(Query{Ref: image.MustParse(ref), Now: noon}); got != want || err != nil {
			t.Errorf("%s: got rule %d (%v), want %d", ref, got, err, want)
		}
	}
	if w := mustParse(t, rulesDocument(`imagesRegExp: ['registry.example/x']`)).Warnings; len(w) != 1 {
		t.Errorf("warnings of an unescaped dot: got %v, want one", w)
	}
}
