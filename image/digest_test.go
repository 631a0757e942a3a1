package image

import (
	"encoding/json"
	"strings"
	"testing"
)

// T13: only complete digests of known algorithms are digests.
func TestT13_ParseDigest(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"sha256":                    {digestA, ""},
		"sha512":                    {sha512A, ""},
		"nothing":                   {"", `digest "": no algorithm, want sha256:<64 hex digits>`},
		"no algorithm":              {"abc", `digest "abc": no algorithm, want sha256:<64 hex digits>`},
		"no value":                  {"sha256:", `digest "sha256:": 0 digits, sha256 has 64`},
		"one digit short":           {digestA[:70], `digest "` + digestA[:70] + `": 63 digits, sha256 has 64`},
		"one digit long":            {digestA + "a", `digest "` + digestA + `a": 65 digits, sha256 has 64`},
		"sha256 of sha512's length": {"sha256:" + sha512A[7:], `digest "sha256:` + sha512A[7:100] + `…": 128 digits, sha256 has 64`},
		"sha512 of sha256's length": {"sha512:" + hexA, `digest "sha512:` + hexA + `": 64 digits, sha512 has 128`},
		"sha384":                    {"sha384:" + strings.Repeat("a", 96), `digest "sha384:` + strings.Repeat("a", 93) + `…": unknown algorithm "sha384", want sha256 or sha512`},
		"md5":                       {"md5:" + hexA[:32], `digest "md5:` + hexA[:32] + `": unknown algorithm "md5", want sha256 or sha512`},
		"compound algorithm":        {"sha256+b64u:" + hexA, `digest "sha256+b64u:` + hexA + `": unknown algorithm "sha256+b64u", want sha256 or sha512`},
		"upper-case algorithm":      {"Sha256:" + hexA, `digest "Sha256:` + hexA + `": unknown algorithm "Sha256", want sha256 or sha512`},
		"upper-case digit":          {"sha256:A" + hexA[1:], `digest "sha256:A` + hexA[1:] + `": hexadecimal digits must be in lower case`},
		"no digit":                  {"sha256:" + hexA[1:] + "g", `digest "sha256:` + hexA[1:] + `g": "g" is no hexadecimal digit`},
		"path":                      {"sha256:../" + hexA[3:], `digest "sha256:../` + hexA[3:] + `": "." is no hexadecimal digit`},
		"line break":                {"sha256:" + hexA[1:] + "\n", `digest "sha256:` + hexA[1:] + `\n": "\n" is no hexadecimal digit`},
		"space before":              {" " + digestA, `digest " ` + digestA + `": unknown algorithm " sha256", want sha256 or sha512`},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := ParseDigest(c.text)
			if c.want == "" {
				if err != nil || d.String() != c.text || d.IsZero() {
					t.Fatalf("ParseDigest = %s, %v", d, err)
				}
				return
			}
			if err == nil || err.Error() != c.want {
				t.Errorf("error\n%v, want\n%s", err, c.want)
			}
			if !d.IsZero() {
				t.Errorf("digest %s beside an error", d)
			}
		})
	}
}

// T13: a digest fits the bytes that it was computed from, and nothing else; no digest fits nothing.
func TestT13_Fits(t *testing.T) {
	content := []byte("content")
	d256 := SHA256(content)
	d512 := MustParseDigest("sha512:b2d1d285b5199c85f988d03649c37e44fd3dde01e5d69c50fef90651962f48110e9340b60d49a479c4c0b53f5f07d690686dd87d2481937a512e8b85ee7c617f")
	for name, c := range map[string]struct {
		digest  Digest
		content []byte
		want    bool
	}{
		"sha256":               {d256, content, true},
		"sha512":               {d512, content, true},
		"sha256 of other":      {d256, []byte("Content"), false},
		"sha512 of other":      {d512, []byte("Content"), false},
		"sha256 of nothing":    {d256, nil, false},
		"no digest":            {Digest{}, content, false},
		"no digest of nothing": {Digest{}, nil, false},
	} {
		if got := c.digest.Fits(c.content); got != c.want {
			t.Errorf("%s: Fits = %v, want %v", name, got, c.want)
		}
	}
	if got, want := d256.String(), "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"; got != want {
		t.Errorf("SHA256 = %s, want %s", got, want)
	}
}

func TestDigestText(t *testing.T) {
	d := MustParseDigest(digestA)
	if d.Algorithm() != "sha256" || d.Hex() != hexA || (Digest{}).Algorithm() != "" || (Digest{}).Hex() != "" {
		t.Errorf("Algorithm = %q, Hex = %q", d.Algorithm(), d.Hex())
	}
	type holder struct{ D, Zero Digest }
	text, err := json.Marshal(holder{D: d})
	if err != nil || string(text) != `{"D":"`+digestA+`","Zero":""}` {
		t.Fatalf("Marshal = %s, %v", text, err)
	}
	got := holder{Zero: d}
	if err := json.Unmarshal(text, &got); err != nil || got != (holder{D: d}) {
		t.Errorf("Unmarshal = %+v, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"D":"sha256:abc"}`), &got); err == nil {
		t.Error("a malformed digest is decoded")
	}
	defer func() {
		if recover() == nil {
			t.Error("MustParseDigest does not panic")
		}
	}()
	MustParseDigest("sha256:abc")
}

func FuzzParseDigest(f *testing.F) {
	for _, s := range []string{digestA, sha512A, "", ":", "sha256:", "sha384:" + hexA, "SHA256:" + hexA, "sha256:" + hexA + "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDigest(s)
		if err != nil {
			if !d.IsZero() {
				t.Errorf("digest %s beside an error", d)
			}
			return
		}
		again, err := ParseDigest(d.String())
		if err != nil || again != d || d.Algorithm()+":"+d.Hex() != s {
			t.Errorf("ParseDigest(%q) = %s, and that parses to %s, %v", s, d, again, err)
		}
		d.Fits([]byte(s))
	})
}
