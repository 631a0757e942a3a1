package statement

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// signed is the digest of the image in the test vectors.
var signed = image.MustParseDigest("sha256:09ade42fe3e69018a3360bb092265af902f9e7d6013146cf152c82ac3a944707")

func vector(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestClaimsOfCosign(t *testing.T) {
	for name, reference := range map[string]string{"claims-cosign3.json": "localhost:15123/app", "claims-cosign2.json": "registry.acme.example/app:1"} {
		got, err := ParseClaims(vector(t, name))
		if err != nil {
			t.Fatal(err)
		}
		want := Claims{Digest: signed, Reference: reference, Annotations: map[string]any{"job": "release"}}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b image.Digest) bool { return a == b })); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestParseClaims(t *testing.T) {
	d := signed.String()
	critical := func(kind, digest, rest string) string {
		return `{"critical":{"type":"` + kind + `","image":{"docker-manifest-digest":"` + digest + `"},"identity":{"docker-reference":"x"}` + rest + `},"optional":null}`
	}
	tests := []struct {
		name, payload string
		want          string // part of the refusal, "" for none
	}{
		{"cosign's type", critical(typeCosign, d, ""), ""},
		{"the older type", critical(typeAtomic, d, ""), ""},
		{"no optional", `{"critical":{"type":"` + typeCosign + `","image":{"docker-manifest-digest":"` + d + `"},"identity":{"docker-reference":""}}}`, ""},
		{"T16: another type", critical("container signature", d, ""), "is neither"},
		{"T16: nothing", ``, "malformed JSON"},
		{"T16: null", `null`, "is no JSON object"},
		{"T16: a list", `[]`, "is no JSON object"},
		{"T16: an empty object", `{}`, `has no member "critical"`},
		{"T16: broken", critical(typeCosign, d, "")[1:], "malformed JSON"},
		{"two documents", critical(typeCosign, d, "") + `{}`, "malformed JSON"},
		{"T13: no digest", critical(typeCosign, "", ""), "no algorithm"},
		{"T13: a short digest", critical(typeCosign, d[:70], ""), "63 digits"},
		{"T13: upper case", critical(typeCosign, strings.ToUpper(d), ""), "unknown algorithm"},
		{"T13: an unknown algorithm", critical(typeCosign, "md5:00000000000000000000000000000000", ""), "unknown algorithm"},
		{"T13: a number", strings.Replace(critical(typeCosign, d, ""), `"`+d+`"`, "7", 1), "is no text"},
		{"an unknown critical member", critical(typeCosign, d, `,"expires":1`), `critical: has an unknown member "expires"`},
		{"an unknown member", `{"x":1,` + critical(typeCosign, d, "")[1:], `has an unknown member "x"`},
		{"another case", strings.Replace(critical(typeCosign, d, ""), `"type"`, `"Type"`, 1), `unknown member "Type"`},
		{"T31: a digest twice", strings.Replace(critical(typeCosign, d, ""), `{"docker-manifest`, `{"docker-manifest-digest":"sha256:0","docker-manifest`, 1), `has the member "docker-manifest-digest" twice`},
		{"T31: twice, spelled otherwise", critical(typeCosign, d, `,"t\u0079pe":"`+typeCosign+`"`), `has the member "type" twice`},
		{"T31: twice, among what is optional", strings.Replace(critical(typeCosign, d, ""), "null", `{"a":{"b":1,"b":2}}`, 1), `has the member "b" twice`},
		{"optional that is no object", strings.Replace(critical(typeCosign, d, ""), "null", `7`, 1), "optional: is no JSON object"},
		{"no reference", `{"critical":{"type":"` + typeCosign + `","image":{"docker-manifest-digest":"` + d + `"},"identity":{}}}`, `has no member "docker-reference"`},
		{"not UTF-8", strings.Replace(critical(typeCosign, d, ""), `"x"`, "\"\xff\"", 1), "is not UTF-8"},
		{"T43: too long", critical(typeCosign, d, "") + strings.Repeat(" ", MaxClaims), "at most 65536 are allowed"},
		{"T43: too deep", strings.Replace(critical(typeCosign, d, ""), "null", strings.Repeat("[", 200)+strings.Repeat("]", 200), 1), "nested more than 100 deep"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseClaims([]byte(test.payload))
			checkNo(t, err, test.want)
			if err == nil && got.Digest != signed {
				t.Errorf("digest = %s", got.Digest)
			}
			if err != nil && !got.Digest.IsZero() {
				t.Errorf("claims = %+v with an error", got)
			}
		})
	}
}

func FuzzClaims(f *testing.F) {
	f.Add(vector(f, "claims-cosign3.json"))
	f.Add(vector(f, "claims-cosign2.json"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := ParseClaims(payload)
		if (err == nil) == c.Digest.IsZero() {
			t.Errorf("digest %q, error %v", c.Digest, err)
		}
		if err != nil && !trust.IsNo(err) {
			t.Errorf("error = %v, want a no", err)
		}
	})
}
