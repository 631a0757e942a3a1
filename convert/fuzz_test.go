package convert_test

import (
	"errors"
	"os"
	"testing"

	"github.com/assay-dev/assay/convert"
	"github.com/assay-dev/assay/policy"
)

// Whatever the input is, it is an error with its place, or becomes a policy that can be read and that names no image it was not about.
func FuzzTrustFile(f *testing.F) {
	for _, name := range []string{"testdata/trust.yaml", "testdata/values.yaml"} {
		seed, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed, true, false)
		f.Add(seed, false, true)
	}
	for _, name := range []string{"localhost.*", "^a/.*|b", "(?i:A)/[^:]{2,3}", "(a/){0,3}x", `\bdocker\.io/.`, "", "(((a*)*)*)*/", "(?:[a-z:]*/?){2,}", "[[:word:]]/.", `\x{10FFFF}/.*`} {
		f.Add([]byte(document([]repository{{name, 1, true, "https://n.example"}, {name: ".*"}})), true, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, strict, unanchored bool) {
		o := convert.TrustFileOptions{Options: convert.Options{Now: now}, Strict: &strict, InsecureUnanchored: unanchored}
		r, err := convert.TrustFile("trust.yaml", data, o)
		if err != nil {
			var all policy.Errors
			if !errors.As(err, &all) || len(all) == 0 || all[0].Line < 1 || all[0].Text == "" {
				t.Fatalf("got %T %v, want Errors", err, err)
			}
			return
		}
		p, _ := parsed(t, r.Policy)
		if p.Unmatched != policy.DenyUnmatched || p.Mode != policy.Enforce || len(p.Revoked) > 0 {
			t.Fatalf("got %+v", p)
		}
		for _, n := range r.Notes {
			if n.File == "" || n.What == "" || n.Was == "" || n.Now == "" || n.Do == "" {
				t.Fatalf("half a note: %+v", n)
			}
		}
		for _, rule := range p.Rules {
			if want := map[bool]policy.DigestRule{true: policy.PinDigest, false: policy.InsecureReplaceDigest}[strict]; rule.Require != nil && rule.Digest != want {
				t.Fatalf("got digest: %v, want %v", rule.Digest, want)
			}
		}
	})
}
