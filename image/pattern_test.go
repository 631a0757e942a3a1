package image

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPatternMatches(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"registry.example/prod/api", []string{"registry.example/prod/api", "REGISTRY.example:443/prod/api:x", "registry.example/prod/api@" + digestA},
			[]string{"registry.example/prod/api/x", "registry.example/prod/apis", "registry.example/x/prod/api", "registry.example:5000/prod/api", "prod/api"}},
		{"REGISTRY.example:443/prod/api", []string{"registry.example/prod/api"}, []string{"registry.example:444/prod/api"}},
		{"registry.example/prod/*", []string{"registry.example/prod/api"}, []string{"registry.example/prod/a/b", "registry.example/prod", "registry.example/prods/a"}},
		{"registry.example/prod/a*c", []string{"registry.example/prod/ac", "registry.example/prod/abbc"}, []string{"registry.example/prod/a/c", "registry.example/prod/acd", "registry.example/prod/xac"}},
		{"registry.example/*/api", []string{"registry.example/x/api"}, []string{"registry.example/api", "registry.example/x/y/api"}},
		{"registry.example/prod/**", []string{"registry.example/prod/a", "registry.example/prod/a/b/c"}, []string{"registry.example/prod", "registry.example/production/a"}},
		{"registry.example/**", []string{"registry.example/a", "registry.example/a/b"}, []string{"registry.example.evil/a", "x.registry.example/a", "registry.example:5000/a"}},
		{"registry.example/**/web", []string{"registry.example/web", "registry.example/a/web", "registry.example/a/b/web", "registry.example/web/web"}, []string{"registry.example/web/x", "registry.example/xweb"}},
		{"registry.example/a/**/b/**/c", []string{"registry.example/a/b/c", "registry.example/a/x/b/y/b/z/c", "registry.example/a/b/b/c/c"}, []string{"registry.example/a/c", "registry.example/a/x/c", "registry.example/a/b/c/d"}},
		{"registry.example/**/**", []string{"registry.example/a", "registry.example/a/b"}, nil},
		{"*.example/**", []string{"a.example/x", "a.b.example/x/y"}, []string{"example:5000/x", "a.example:5000/x", "aexample/x", "a.example.evil/x", "example.evil/x"}},
		{"*.example.com/**", []string{"a.example.com/x"}, []string{"example.com/x", "evilexample.com/x"}},
		{"*.example:5000/x", []string{"a.example:5000/x"}, []string{"a.example/x", "a.example:50001/x"}},
		{"*.bücher.example/x", []string{"a.xn--bcher-kva.example/x", "a.bücher.example/x"}, []string{"xn--bcher-kva.example/x"}},
		{"**/web", []string{"registry.example/web", "localhost:5000/a/web", "acme/web", "web"}, []string{"registry.example/webs", "web.example/x"}},
		{"**", []string{"alpine", "registry.example/a/b/c:1", "[::1]:5000/x"}, nil},
		{"**:1.*", []string{"alpine:1.2"}, nil},
		{"alpine", []string{"alpine", "docker.io/library/alpine:3", "index.docker.io/alpine"}, []string{"acme/alpine", "registry.example/alpine", "docker.io:5000/library/alpine"}},
		{"index.docker.io/alpine", []string{"alpine"}, nil},
		{"docker.io/*", []string{"alpine"}, []string{"acme/alpine"}},
		{"docker.io/**", []string{"alpine", "acme/alpine"}, []string{"registry.example/docker.io/x"}},
		{"acme/*", []string{"acme/app"}, []string{"registry.example/acme/app", "acme/app/x"}},
		{"localhost/**", []string{"localhost/x"}, []string{"localhost:5000/x"}},
		{"[0::1]:5000/**", []string{"[::1]:5000/x"}, []string{"[::1]/x", "[::2]:5000/x"}},
	} {
		t.Run(c.pattern, func(t *testing.T) {
			p, err := ParsePattern(c.pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range c.yes {
				if !p.MatchName(MustParse(s)) {
					t.Errorf("%s is not matched", s)
				}
			}
			for _, s := range c.no {
				if p.MatchName(MustParse(s)) {
					t.Errorf("%s is matched", s)
				}
			}
			if got := p.String(); got != c.pattern {
				t.Errorf("String = %q", got)
			}
		})
	}
}

func TestZeroValuesMatchNothing(t *testing.T) {
	everything, err := ParsePattern("**")
	if err != nil {
		t.Fatal(err)
	}
	anything, err := ParseRegExp("(?s).*")
	if err != nil {
		t.Fatal(err)
	}
	for name, matched := range map[string]bool{
		"zero pattern":                        Pattern{}.MatchName(MustParse("alpine")),
		"zero reference":                      everything.MatchName(Ref{}),
		"zero expression":                     RegExp{}.MatchName(MustParse("alpine")),
		"zero expression and a tag":           RegExp{}.MatchTagged(MustParse("alpine:1")),
		"zero reference, an expression":       anything.MatchName(Ref{}),
		"reference without a tag, expression": anything.MatchTagged(MustParse("alpine@" + digestA)),
	} {
		if matched {
			t.Errorf("%s: matched", name)
		}
	}
}

func TestPatternTagAndDigest(t *testing.T) {
	for _, c := range []struct {
		pattern, tag, digest string
		yes, no              []string
	}{
		{"registry.example/api", "", "", []string{"", "v1"}, nil},
		{"registry.example/api:v1.*", "v1.*", "", []string{"v1.", "v1.2.3"}, []string{"", "v1", "v10", "xv1.2"}},
		{"registry.example/api:*-rc", "*-rc", "", []string{"1-rc", "-rc"}, []string{"1-rc1", "rc"}},
		{"registry.example/api:*", "*", "", []string{"x"}, []string{""}},
		{"registry.example/api:v1@" + digestA, "v1", digestA, []string{"v1"}, []string{"v1.0"}},
		{"alpine@" + sha512A, "", sha512A, nil, nil},
		{"localhost:5000/x:5000", "5000", "", []string{"5000"}, []string{"5001"}},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if p.Tag() != c.tag || p.Digest().String() != c.digest {
			t.Errorf("%s: tag %q, digest %q", c.pattern, p.Tag(), p.Digest())
		}
		for _, tag := range c.yes {
			if !p.MatchTag(tag) {
				t.Errorf("%s: tag %q is not matched", c.pattern, tag)
			}
		}
		for _, tag := range c.no {
			if p.MatchTag(tag) {
				t.Errorf("%s: tag %q is matched", c.pattern, tag)
			}
		}
	}
}

func TestPatternRefused(t *testing.T) {
	const (
		wildcard = `a wildcard stands for whole labels on the left, as in "*.example.com", and "**" for any host`
		segment  = "letters, digits, '.', '_', '-' and '*' only"
	)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                      {"", "is empty"},
		"a star alone":                 {"*", `"*" stays inside one segment; write "**" for every image, or "docker.io/library/*"`},
		"a star for a host":            {"*/web", `host "*": ` + wildcard},
		"a star for a host and a port": {"*:5000/web", `host "*:5000": ` + wildcard},
		"T1 a host with a star behind": {"registry*/web", `host "registry*": ` + wildcard},
		"T1 a star that ends a label":  {"*example.com/web", `host "*example.com": ` + wildcard},
		"a star in the middle":         {"a.*.example/web", `host "a.*.example": ` + wildcard},
		"two stars as labels":          {"*.*.example/web", `host "*.*.example": ` + wildcard},
		"a star in the port":           {"registry.example:*/web", `host "registry.example:*": ` + wildcard},
		"T1 any host with a port":      {"**:5000/web", `host "**:5000": "**" stands for any host and port and takes no port of its own`},
		"T1 a host with a dot first":   {".example/web", `host ".example": is malformed`},
		"a wildcard of nothing":        {"*./web", `host "x.": ends in a dot`},
		"a wildcard of an address":     {"*.0.0.1/web", `host "x.0.0.1": ends in a number but is no IPv4 address of four decimal numbers`},
		"a wildcard of a bad host":     {"*.a_b/web", `host "*.a_b": is malformed`},
		"a bad host":                   {"a_b.example/web", `host "a_b.example": is malformed`},
		"a host alone":                 {"registry.example", `a host without a path; write "registry.example/**" for all of that registry`},
		"a host and a port alone":      {"registry.example:5000", `a host without a path; write "registry.example:5000/**" for all of that registry`},
		"a host wildcard alone":        {"*.example", `a host without a path; write "*.example/**" for all of that registry`},
		"a host and a slash":           {"registry.example/", "an empty path segment"},
		"a trailing dot":               {"registry.example./web", `host "registry.example.": ends in a dot`},
		"two ports":                    {"registry.example:443:443/web", `host "registry.example:443": more than one colon`},
		"half an address":              {"127.1/web", `host "127.1": ends in a number but is no IPv4 address of four decimal numbers`},
		"a short host":                 {"foo:443/web", `host "foo:443": a host without a dot and without a port of its own would be read as a part of a Docker Hub name`},
		"two stars and more":           {"registry.example/**b", `segment "**b": "**" stands for whole segments and must be one`},
		"upper case":                   {"registry.example/Web", `segment "Web": repositories are in lower case`},
		"an empty segment":             {"registry.example//web", "an empty path segment"},
		"a slash at the end":           {"registry.example/web/", "an empty path segment"},
		"a slash at the beginning":     {"/web", "an empty path segment"},
		"a question mark":              {"registry.example/we?", `segment "we?": ` + segment},
		"a tag in the middle":          {"registry.example/a:1/b", `segment "a:1": ` + segment},
		"braces":                       {"registry.example/{a,b}", `segment "{a,b}": ` + segment},
		"a line break":                 {"registry.example/a\n", `segment "a\n": ` + segment},
		"not UTF-8":                    {"\xff.example/a", "is not UTF-8"},
		"an empty tag":                 {"registry.example/web:", "a colon without a tag after it"},
		"a bad tag":                    {"registry.example/web:-1", `tag "-1": letters, digits, '_', '.', '-' and '*' only`},
		"a short digest":               {"web@sha256:ab", `digest "sha256:ab": 2 digits, sha256 has 64`},
		"a digest with a star":         {"web@sha256:*", `digest "sha256:*": 1 digits, sha256 has 64`},
		"one byte more than allowed":   {strings.Repeat("a", MaxReference+1), "1025 bytes, at most 1024 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePattern(c.text)
			if err == nil {
				t.Fatal("no error")
			}
			if _, got, _ := strings.Cut(err.Error(), `": `); !strings.HasSuffix(err.Error(), `": `+c.want) {
				t.Errorf("error %q, want %q", got, c.want)
			}
		})
	}
}

// T1: whatever is written before, behind or into an allowed name, it is another name, and the pattern does not match it.
func TestT1_NothingAroundAnAllowedNameMatches(t *testing.T) {
	parts := rapid.SampledFrom([]string{"a", "0", "-", ".", "_", "/", ":", ":443", ":5000", "a.", ".a", "a/", "/a", "x.example/", ".example", "evil.example/", "--", "__"})
	rapid.Check(t, func(t *rapid.T) {
		name := drawName(t)
		pattern, err := ParsePattern(name)
		if err != nil {
			t.Fatal(err)
		}
		allowed := MustParse(name)
		if !pattern.MatchName(allowed) {
			t.Fatalf("%s does not match itself", name)
		}
		add := strings.Join(rapid.SliceOfN(parts, 1, 3).Draw(t, "add"), "")
		at := rapid.IntRange(0, len(name)).Draw(t, "at")
		if rapid.Bool().Draw(t, "at an end") {
			at = rapid.SampledFrom([]int{0, len(name), strings.IndexByte(name, '/')}).Draw(t, "end")
		}
		other, err := Parse(name[:at] + add + name[at:])
		if err != nil || other.Name() == allowed.Name() { // no name, or the same one with a tag or its default port
			return
		}
		if pattern.MatchName(other) {
			t.Fatalf("pattern %s matches %s", name, other)
		}
		if e, err := ParseRegExp(strings.ReplaceAll(strings.NewReplacer("[", `\[`, "]", `\]`).Replace(allowed.Name()), ".", `\.`)); err != nil || e.MatchName(other) {
			t.Fatalf("expression for %s matches %s: %v", name, other, err)
		}
	})
}

// T1: what stands around a name never makes a foreign host or a foreign folder match a pattern with wildcards.
func TestT1_WildcardsStayInTheirPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRef(t)
		foreign := rapid.SampledFrom([]string{"evil.example", "evil.example:5000", "localhost:5000"}).Draw(t, "foreign")
		other, err := Parse(foreign + "/" + strings.ReplaceAll(r.Name(), ":", ""))
		if err != nil { // the host is an IPv6 address, which is no path
			return
		}
		first, _, _ := strings.Cut(r.Repository(), "/")
		for _, text := range []string{r.Registry() + "/**", r.Registry() + "/**/" + lastSegment(r), r.Registry() + "/" + first + "*"} {
			p, err := ParsePattern(text)
			if err != nil {
				t.Fatal(err)
			}
			if p.MatchName(other) && r.Registry() != other.Registry() {
				t.Fatalf("pattern %s matches %s", text, other)
			}
		}
	})
}

func lastSegment(r Ref) string {
	return r.Name()[strings.LastIndexByte(r.Name(), '/')+1:]
}

// T2: a rule that is written in one spelling matches an image that is asked for in another one.
func TestT2_PatternsMatchEverySpelling(t *testing.T) {
	for canonical, others := range spellings {
		want := MustParse(canonical)
		for _, s := range append([]string{canonical}, others...) {
			name := strings.TrimSuffix(s, "@"+digestA)
			p, err := ParsePattern(name)
			if err != nil {
				if strings.HasPrefix(err.Error(), `pattern "`+name+`": a host without a path`) {
					continue // "a.b:5000" is refused, since it looks like a registry
				}
				t.Errorf("%s: %v", s, err)
				continue
			}
			if !p.MatchName(want) {
				t.Errorf("pattern %s does not match %s", s, want)
			}
		}
	}
}

// T3: an expression is matched whole.
func TestT3_ExpressionsAreAnchored(t *testing.T) {
	for _, c := range []struct {
		expression string
		yes, no    []string
	}{
		{`registry\.example/api`, []string{"registry.example/api", "registry.example/api:1"}, []string{"registry.example/apis", "a.registry.example/api", "registry.example/api/x", "x.example/registry.example/api"}},
		{`registry\.example/a|registry\.example/b`, []string{"registry.example/a", "registry.example/b"}, []string{"registry.example/a/x", "x.example/registry.example/b", "registry.example/ab"}},
		{`(?m)^registry\.example/a$`, []string{"registry.example/a"}, []string{"registry.example/a/b", "x.example/registry.example/a"}},
		{`^registry\.example/a$`, []string{"registry.example/a"}, []string{"registry.example/ab"}},
		{`(?i)REGISTRY\.example/a`, []string{"registry.example/a"}, []string{"registry.example/ab"}},
		{`registry.example/a`, []string{"registry.example/a", "registry-example.evil/a"}[:1], []string{"registry.example/ab"}},
		{``, nil, []string{"alpine"}},
	} {
		e, err := ParseRegExp(c.expression)
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		for _, s := range c.yes {
			if !e.MatchName(MustParse(s)) {
				t.Errorf("%s does not match %s", c.expression, s)
			}
		}
		for _, s := range c.no {
			if e.MatchName(MustParse(s)) {
				t.Errorf("%s matches %s", c.expression, s)
			}
		}
	}
}

// T3: no expression gets out of the group that anchors it.
func TestT3_ExpressionsCannotBreakOut(t *testing.T) {
	for _, s := range []string{`a)|(b`, `a)|(?:b`, `)|(`, `a\`, `\Qa`, `(`, `)`, `a)\z|.*(?:`, `[`, `a{1001}`, `(?x)a`, `(?=a)`, `(?m`} {
		e, err := ParseRegExp(s)
		if err == nil && e.MatchName(MustParse("registry.example/b")) {
			t.Errorf("%s matches", s)
		}
		if s != `\Qa` && err == nil {
			t.Errorf("%s: no error", s)
		}
	}
}

// T3: a line break does not end an expression: a name that could be built with one is still matched whole.
func TestT3_LineBreaksDoNotAnchor(t *testing.T) {
	e, err := ParseRegExp(`(?m)^a/b$`)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/b\nevil/x", "evil/x\na/b", "a/b\n"} {
		if e.MatchName(Ref{name: name, host: 1}) {
			t.Errorf("%q is matched", name)
		}
	}
}

func TestRegExpMatchesTagged(t *testing.T) {
	e, err := ParseRegExp(`registry\.example/api:v[0-9]+`)
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]bool{
		"registry.example/api:v12":               true,
		"registry.example/api:v12@" + digestA:    true,
		"registry.example/api:v12x":              false,
		"registry.example/api@" + digestA:        false,
		"x.example/registry.example/api:v12":     false,
		"registry.example/api:latest":            false,
		"registry.example/api/v1:v12":            false,
		"registry.example:5000/api:v12":          false,
		"a.registry.example/api:v12":             false,
		"registry.example:443/api:v1@" + sha512A: true,
	} {
		r := MustParse(s)
		if got := e.MatchTagged(r); got != want {
			t.Errorf("MatchTagged(%s) = %v", s, got)
		}
		if e.MatchName(r) {
			t.Errorf("MatchName(%s) of an expression with a tag", s)
		}
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{"**", "*.example/**", "a/**/b:v*@" + digestA, "alpine", "[::1]:5000/*", "**/web", "x:443/y", ".example/x", "docker.io/*", "bücher.example/**"} {
		f.Add(s, "registry.example/a/b")
	}
	f.Fuzz(func(t *testing.T, s, name string) {
		p, err := ParsePattern(s)
		if err != nil {
			return
		}
		if again, err := ParsePattern(p.String()); err != nil || again.Bucket() != p.Bucket() || again.Digest() != p.Digest() {
			t.Fatalf("ParsePattern(%q) parses again to %+v, %v", s, again, err)
		}
		r, err := Parse(name)
		if err != nil {
			return
		}
		if p.MatchName(r) && !inBuckets(p, r) {
			t.Errorf("pattern %q matches %s, but bucket %q is not among %q", s, r, p.Bucket(), r.Buckets(nil))
		}
		p.MatchTag(r.Tag())
	})
}
