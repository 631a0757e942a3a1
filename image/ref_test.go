package image

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	hexA    = strings.Repeat("a", 64)
	digestA = "sha256:" + hexA
	sha512A = "sha512:" + strings.Repeat("a", 128)
)

// spellings are canonical forms, each with other spellings of the same name.
var spellings = map[string][]string{
	"docker.io/library/alpine:latest": {
		"alpine", "alpine:latest", "library/alpine", "docker.io/alpine", "docker.io/library/alpine", "DOCKER.IO/alpine",
		"Docker.io:443/library/alpine:latest", "index.docker.io/alpine", "index.docker.io/library/alpine", "Index.Docker.IO:443/alpine",
		"registry-1.docker.io/library/alpine", "registry-1.docker.io:443/alpine", "registry.hub.docker.com/library/alpine",
		"registry.hub.docker.com/alpine:latest", "ｄocker.io/alpine", "docker。io/alpine",
	},
	"docker.io/acme/app:1":                                {"acme/app:1", "docker.io/acme/app:1", "index.docker.io/acme/app:1"},
	"docker.io/library/alpine@" + digestA:                 {"alpine@" + digestA, "docker.io/alpine@" + digestA},
	"docker.io/library/alpine:3@" + digestA:               {"alpine:3@" + digestA, "index.docker.io/alpine:3@" + digestA},
	"docker.io/library/a.b:5000":                          {"a.b:5000"},
	"docker.io/library/localhost:5000":                    {"localhost:5000"},
	"docker.io/library/" + hexA + ":latest":               {"docker.io/" + hexA, "library/" + hexA},
	"docker.io:5000/alpine:latest":                        {"docker.io:5000/alpine", "DOCKER.io:5000/alpine"},
	"index.docker.io:5000/alpine:latest":                  {"index.docker.io:5000/alpine"},
	"registry.example/app:latest":                         {"registry.example/app", "REGISTRY.Example/app", "registry.example:443/app", "Registry.EXAMPLE:443/app:latest", "registry。example/app"},
	"registry.example:80/app:latest":                      {"registry.example:80/app", "REGISTRY.example:80/app"},
	"registry.example/a/b__c/d-e.f_g:V1.0_x-y":            {"REGISTRY.example:443/a/b__c/d-e.f_g:V1.0_x-y"},
	"registry.example/app@" + sha512A:                     {"registry.example:443/app@" + sha512A},
	"localhost/app:latest":                                {"localhost/app", "LOCALHOST/app", "localhost:443/app"},
	"localhost:5000/app:latest":                           {"localhost:5000/app", "LocalHost:5000/app"},
	"foo:5000/app:latest":                                 {"foo:5000/app", "FOO:5000/app"},
	"127.0.0.1:5000/app:latest":                           {"127.0.0.1:5000/app", "127。0。0。1:5000/app"},
	"xn--bcher-kva.example/app:latest":                    {"bücher.example/app", "BÜCHER.example/app", "XN--BCHER-KVA.example/app", "xn--bcher-kva.example:443/app", "bu\u0308cher.example/app", "bücher。example/app"},
	"xn--bcher-kva:5000/app:latest":                       {"bücher:5000/app"},
	"[::1]/app:latest":                                    {"[::1]/app", "[::1]:443/app", "[0:0:0:0:0:0:0:1]/app", "[0000:0000::0001]:443/app"},
	"[::1]:5000/app:latest":                               {"[::1]:5000/app", "[0::1]:5000/app"},
	"[2001:db8::a]:5000/app:latest":                       {"[2001:DB8::A]:5000/app", "[2001:db8:0:0:0:0:0:a]:5000/app"},
	strings.Repeat("a.", 126) + "b/app:latest":            {strings.ToUpper(strings.Repeat("a.", 126)) + "b/app"},
	"registry.example/" + strings.Repeat("a", 255) + ":1": nil,
}

// T2: all spellings of a name are one name, so that a strict rule for it cannot be missed by spelling.
func TestT2_EqualSpellings(t *testing.T) {
	for canonical, others := range spellings {
		want := Ref{}
		for i, s := range append([]string{canonical}, others...) {
			got, err := Parse(s)
			if err != nil {
				t.Errorf("Parse(%q): %v", s, err)
				continue
			}
			if i == 0 {
				want = got
			}
			if got != want {
				t.Errorf("Parse(%q) = %+v, want %+v", s, got, want)
			}
			if text := got.String(); text != canonical {
				t.Errorf("Parse(%q) = %s, want %s", s, text, canonical)
			}
		}
	}
}

// T2: what tools could read in two ways, or what is no name at all, is an error that says what is wrong.
func TestT2_Malformed(t *testing.T) {
	const (
		dot      = "ends in a dot"
		short    = "a host without a dot and without a port of its own would be read as a part of a Docker Hub name"
		number   = "ends in a number but is no IPv4 address of four decimal numbers"
		port     = "is no number from 1 to 65535"
		zone     = "not an IPv6 address in brackets without a zone"
		segments = "segments are letters and digits with single '.', '_', '__' or dashes between them"
		tagForm  = "at most 128 letters, digits, '_', '.' and '-', and neither '.' nor '-' first"
		host     = "the host of the registry is malformed"
		imageID  = "is the ID of a local image to some tools and a name to others; write docker.io/library/… for the name"
	)
	long := strings.Repeat("a", 300)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                      {"", "the name is empty"},
		"trailing dot":                 {"registry.example./app", `host "registry.example.": ` + dot},
		"trailing dot before a port":   {"registry.example.:5000/app", `host "registry.example.": ` + dot},
		"trailing ideographic dot":     {"registry.example。/app", `host "registry.example。": ` + dot},
		"trailing dot of localhost":    {"localhost./app", `host "localhost.": ` + dot},
		"space inside":                 {"al pine", "white space in the name"},
		"space before":                 {" alpine", "white space in the name"},
		"space behind":                 {"alpine ", "white space in the name"},
		"line break":                   {"alpine\n", "white space in the name"},
		"NUL":                          {"alpine\x00", `repository "library/alpine\x00": ` + segments},
		"escape sequence":              {"x\x1b[31m", `repository "library/x\x1b[31m": ` + segments},
		"direction override":           {"\u202ea.example/x", "host \"\\u202ea.example\": idna: disallowed rune U+202E"},
		"not UTF-8":                    {"\xff.example/x", "is not UTF-8"},
		"upper-case name":              {"Alpine", `repository "library/Alpine": must be in lower case`},
		"upper-case path":              {"registry.example/App", `repository "App": must be in lower case`},
		"upper-case first segment":     {"Foo/bar", `host "Foo": ` + short},
		"short host, default port":     {"foo:443/bar", `host "foo:443": ` + short},
		"non-ASCII short host":         {"bücher/x", `host "bücher": ` + short},
		"port 0":                       {"registry.example:0/app", `host "registry.example:0": port "0" ` + port},
		"port too large":               {"registry.example:65536/app", `host "registry.example:65536": port "65536" ` + port},
		"port with a zero before":      {"registry.example:0443/app", `host "registry.example:0443": port "0443" ` + port},
		"port with a sign":             {"registry.example:+443/app", `host "registry.example:+443": port "+443" ` + port},
		"empty port":                   {"registry.example:/app", `host "registry.example:": port "" ` + port},
		"port of letters":              {"registry.example:https/app", `host "registry.example:https": port "https" ` + port},
		"two ports":                    {"registry.example:443:443/app", `host "registry.example:443": more than one colon`},
		"no host":                      {":5000/app", "the host of the registry is empty"},
		"half an address":              {"127.1/app", `host "127.1": ` + number},
		"hexadecimal address":          {"0x7f.1/app", `host "0x7f.1": ` + number},
		"hexadecimal address at once":  {"0x7f000001:5000/app", `host "0x7f000001": ` + number},
		"upper-case hexadecimal":       {"0X7F.1/app", `host "0X7F.1": ` + number},
		"octal address":                {"0177.0.0.1/app", `host "0177.0.0.1": ` + number},
		"address as one number":        {"2130706433:5000/app", `host "2130706433": ` + number},
		"number past 64 bits":          {"1.99999999999999999999/app", `host "1.99999999999999999999": ` + number},
		"five numbers":                 {"1.2.3.4.5/app", `host "1.2.3.4.5": ` + number},
		"octet too large":              {"256.1.1.1/app", `host "256.1.1.1": ` + number},
		"IPv6 without brackets":        {"::1/app", `host ":": more than one colon`},
		"IPv6 with a zone":             {"[fe80::1%eth0]/app", `host "[fe80::1%eth0]": ` + zone},
		"IPv4 in IPv6":                 {"[::ffff:1.2.3.4]/app", `host "[::ffff:1.2.3.4]": write the IPv4 address 1.2.3.4`},
		"text behind IPv6":             {"[::1]x:80/app", `host "[::1]x": ` + zone},
		"empty brackets":               {"[]/app", `host "[]": ` + zone},
		"host with an underscore":      {"a_b.example/app", host},
		"host with an empty label":     {"a..example/app", host},
		"host with a dash first":       {"-a.example/app", host},
		"host with a dot first":        {".example/app", host},
		"broken punycode":              {"xn--a.example/app", `host "xn--a.example": idna: invalid label "\u0080"`},
		"long host":                    {strings.Repeat("a.", 127) + "a/app", "host: 255 characters, at most 253 are allowed"},
		"URL":                          {"https://registry.example/app", "is a URL; leave out what stands before the registry"},
		"user":                         {"me@registry.example/app", `digest "registry.example/app": no algorithm, want sha256:<64 hex digits>`},
		"no repository":                {"registry.example/", "no repository"},
		"no repository but a tag":      {"registry.example/:1", "no repository"},
		"empty segment":                {"registry.example//app", `repository "/app": ` + segments},
		"slash at the end":             {"registry.example/app/", `repository "app/": ` + segments},
		"slash at the beginning":       {"/app", `repository "/app": ` + segments},
		"parent folder":                {"registry.example/../app", `repository "../app": ` + segments},
		"three underscores":            {"registry.example/a___b", `repository "a___b": ` + segments},
		"dash first":                   {"registry.example/-a", `repository "-a": ` + segments},
		"query":                        {"registry.example/app?x", `repository "app?x": ` + segments},
		"wildcard":                     {"registry.example/*", `repository "*": ` + segments},
		"letters beyond ASCII":         {"registry.example/bücher", `repository "bücher": ` + segments},
		"long repository":              {"registry.example/" + long[:256], "repository: 256 characters, at most 255 are allowed"},
		"long Docker Hub name":         {long[:255], "repository: 263 characters, at most 255 are allowed"},
		"empty tag":                    {"alpine:", "a colon without a tag after it"},
		"empty tag before a digest":    {"alpine:@" + digestA, "a colon without a tag after it"},
		"two tags":                     {"registry.example/app:1:2", `repository "app:1": ` + segments},
		"tag with a dot first":         {"alpine:.1", `tag ".1": ` + tagForm},
		"long tag":                     {"alpine:" + long[:129], `tag "` + long[:100] + `…": ` + tagForm},
		"tag behind the digest":        {"alpine@" + digestA + ":1", `digest "` + digestA + `:1": 66 digits, sha256 has 64`},
		"two digests":                  {"alpine@" + digestA + "@" + digestA, `digest "` + digestA + "@sha256:" + hexA[:21] + `…": 136 digits, sha256 has 64`},
		"empty digest":                 {"alpine@", `digest "": no algorithm, want sha256:<64 hex digits>`},
		"digest without an algorithm":  {"alpine@" + hexA, `digest "` + hexA + `": no algorithm, want sha256:<64 hex digits>`},
		"T13 short digest":             {"alpine@sha256:abc", `digest "sha256:abc": 3 digits, sha256 has 64`},
		"T13 unknown algorithm":        {"alpine@md5:" + hexA[:32], `digest "md5:` + hexA[:32] + `": unknown algorithm "md5", want sha256 or sha512`},
		"T13 upper-case algorithm":     {"alpine@SHA256:" + hexA, `digest "SHA256:` + hexA + `": unknown algorithm "SHA256", want sha256 or sha512`},
		"T13 upper-case digits":        {"alpine@sha256:" + strings.ToUpper(hexA), `digest "sha256:` + strings.ToUpper(hexA) + `": hexadecimal digits must be in lower case`},
		"image ID":                     {hexA, imageID},
		"image ID with its algorithm":  {digestA, imageID},
		"one byte more than the limit": {strings.Repeat("a", MaxReference+1), "1025 bytes, at most 1024 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.text)
			if err == nil {
				t.Fatalf("Parse = %s, want an error", got)
			}
			if want := "could not parse reference: " + shown(c.text) + ": " + c.want; err.Error() != want {
				t.Errorf("error\n%s, want\n%s", err, want)
			}
			if got != (Ref{}) {
				t.Errorf("Parse = %+v beside an error", got)
			}
		})
	}
}

// A name that is refused is shown to people and written to logs: it must not forge a line or drive a terminal.
func TestForeignNamesAreShownQuoted(t *testing.T) {
	for _, s := range []string{"a\nb", "a\rb", "a\x1b[2Jb", "a\u202eb", "a\x00", "a\xff", strings.Repeat("ü", 80) + "\n"} {
		_, err := Parse(s)
		if err == nil {
			t.Fatalf("Parse(%q): no error", s)
		}
		for _, c := range err.Error() {
			if c < ' ' || c == 0x7f || c == 0x202e || c == 0xfffd {
				t.Errorf("the error for %q contains %q", s, c)
			}
		}
		if len(err.Error()) > 600 {
			t.Errorf("the error for %q has %d bytes", s, len(err.Error()))
		}
	}
}

func TestRefParts(t *testing.T) {
	d := MustParseDigest(digestA)
	r := MustParse("localhost:5000/a/b:1@" + digestA)
	for _, c := range []struct{ name, got, want string }{
		{"Registry", r.Registry(), "localhost:5000"},
		{"Repository", r.Repository(), "a/b"},
		{"Name", r.Name(), "localhost:5000/a/b"},
		{"Tag", r.Tag(), "1"},
		{"Digest", r.Digest().String(), digestA},
		{"At", r.At(d).String(), "localhost:5000/a/b@" + digestA},
		{"Pinned", MustParse("localhost:5000/a/b:1").Pinned(d).String(), r.String()},
		{"zero Registry", Ref{}.Registry(), ""},
		{"zero Repository", Ref{}.Repository(), ""},
		{"zero String", Ref{}.String(), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.name, c.got, c.want)
		}
	}
	if text, err := r.MarshalText(); err != nil || string(text) != r.String() {
		t.Errorf("MarshalText = %q, %v", text, err)
	}
	if r.IsZero() || !(Ref{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestTagged(t *testing.T) {
	r := MustParse("registry.example/app@" + digestA)
	got, err := r.Tagged("v1")
	if err != nil || got.String() != "registry.example/app:v1" {
		t.Errorf("Tagged = %s, %v", got, err)
	}
	for _, tag := range []string{"", "a b", "-a", "1@" + digestA, "a/b", "a:b", "a\n"} {
		if got, err := r.Tagged(tag); err == nil {
			t.Errorf("Tagged(%q) = %s, want an error", tag, got)
		}
	}
	if got, err := (Ref{}).Tagged("v1"); err == nil {
		t.Errorf("Tagged of the zero Ref = %s, want an error", got)
	}
}

func TestMustParsePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	MustParse("A B")
}

// refs generates canonical references and spellings of them.
var (
	labels   = rapid.StringMatching(`[a-z0-9]{1,6}(-[a-z0-9]{1,3})?`)
	segments = rapid.StringMatching(`[a-z0-9]{1,4}((\.|_|__|-{1,2})[a-z0-9]{1,3})?`)
	tags     = rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}`)
)

func drawHost(t *rapid.T) string {
	host := strings.Join(rapid.SliceOfN(labels, 1, 3).Draw(t, "labels"), ".") + ".example"
	return host + rapid.SampledFrom([]string{"", ":5000", ":8443"}).Draw(t, "port")
}

func drawName(t *rapid.T) string {
	host := rapid.SampledFrom([]string{"", "localhost/", "[::1]:5000/", "127.0.0.1/"}).Draw(t, "special")
	if host == "" {
		host = drawHost(t) + "/"
	}
	return host + strings.Join(rapid.SliceOfN(segments, 1, 4).Draw(t, "path"), "/")
}

func drawRef(t *rapid.T) Ref {
	s := drawName(t)
	if rapid.Bool().Draw(t, "tagged") {
		s += ":" + tags.Draw(t, "tag")
	}
	if rapid.Bool().Draw(t, "pinned") {
		s += "@" + SHA256([]byte(s)).String()
	}
	r, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCanonicalFormIsAFixedPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRef(t)
		if again, err := Parse(r.String()); err != nil || again != r {
			t.Fatalf("Parse(%s) = %s, %v", r, again, err)
		}
		host, rest, _ := strings.Cut(r.String(), "/")
		if other, err := Parse(strings.ToUpper(host) + "/" + rest); err != nil || other != r {
			t.Fatalf("with the host in upper case: %s, %v, want %s", other, err, r)
		}
	})
}

func FuzzParse(f *testing.F) {
	for canonical, others := range spellings {
		f.Add(canonical)
		for _, s := range others {
			f.Add(s)
		}
	}
	for _, s := range []string{"127.1/x", "[::1%a]/x", "a:1:2/b", "xn--a/x", "\xff/x", "a@b@c", "://", "ß.example/x", "a\u200d.example/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			if r != (Ref{}) {
				t.Errorf("%+v beside an error", r)
			}
			return
		}
		again, err := Parse(r.String())
		if err != nil || again != r {
			t.Fatalf("Parse(%q) = %s, and that parses to %s, %v", s, r, again, err)
		}
		if r.Registry()+"/"+r.Repository() != r.Name() || r.Registry() == "" || r.Repository() == "" {
			t.Errorf("Parse(%q) = %+v", s, r)
		}
		if r.Tag() == "" && r.Digest().IsZero() {
			t.Errorf("Parse(%q) has neither tag nor digest", s)
		}
		if strings.ToLower(r.Name()) != r.Name() || strings.HasSuffix(r.Registry(), ":443") || strings.HasSuffix(r.Registry(), ".") {
			t.Errorf("Parse(%q) = %s is not canonical", s, r)
		}
	})
}

func BenchmarkParseReference(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"short", "alpine"},
		{"tag", "registry.example/prod/team/api:v1.2.3"},
		{"digest", "registry.example/prod/team/api@" + digestA},
		{"both", "Registry.EXAMPLE:443/prod/team/api:v1.2.3@" + digestA},
		{"punycode", "bücher.example/prod/api:1"},
		{"refused", "registry.example/" + strings.Repeat("a-", 400) + "-"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Parse(c.text)
			}
		})
	}
}
