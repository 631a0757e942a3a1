package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/assay-dev/assay/image"
)

const fullDocument = `# every field once
apiVersion: assay.dev/v1
kind: TrustPolicy
metadata:
  name: production.eu-1
  labels: {team: platform}
  annotations: {"example.com/owner": "platform team"}
spec:
  mode: warn
  scope:
    points: [kubernetes, cli]
    namespaces:
      names: [payments, "team-*"]
      selector:
        matchLabels: {diawh: enabled}
        matchExpressions:
        - {key: tier, operator: In, values: [front, back]}
        - {key: legacy, operator: DoesNotExist}
  unmatched: ignore
  authorities:
    release: {sigstore: {key: release.pub}}
    jenkins: {notaryv1: {server: "https://notary.example:4443"}}
    gitlab:
      certificate:
        roots: |
          not read here
  rules:
  - images: ["registry.example/prod/api@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]
    deny: "revoked: CVE-2026-0001"
  - images: ["registry.example/prod/**"]
    imagesRegExp: ['mirror\.example/(prod|tools)/[a-z]+']
    require: {all: [release, {atLeast: 1, of: [jenkins, gitlab]}, {any: [release, [jenkins, gitlab]]}]}
    digest: required
    platform: linux/arm/v7
  - images: ["registry.example/tools/**"]
    allow: scanned every night
    until: 2027-01-01T01:00:00+01:00
  - images: ["registry.example/dev/**"]
    require: gitlab
    digest: keep
  revoked:
  - {key: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", reason: laptop stolen}
  - {serial: "00:00:4F:A2", issuer: "CN=GitLab CI,O=Acme\\, Inc.", reason: wrong job}
  - {identity: {issuer: "https://accounts.example", subject: old@acme.example}, after: 2026-10-01T00:00:00Z, reason: left}
  - {digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", reason: CVE-2026-0001}
`

func mustParse(t testing.TB, doc string) *Policy {
	t.Helper()
	p, err := Parse(Source{Name: "prod.yaml", Data: []byte(doc)}, knownFormats)
	if err != nil {
		t.Fatalf("parsing:\n%v", err)
	}
	return p
}

func leaf(name string) Requirement { return Requirement{Authority: name} }

func TestParse(t *testing.T) {
	const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	got := mustParse(t, fullDocument)
	want := &Policy{
		File: "prod.yaml", Name: "production.eu-1", Mode: Warn, Unmatched: IgnoreUnmatched,
		Scope: Scope{Points: []string{"kubernetes", "cli"}, Namespaces: &Namespaces{
			Names: []string{"payments", "team-*"},
			Selector: &Selector{
				MatchLabels: map[string]string{"diawh": "enabled"},
				MatchExpressions: []Expression{
					{Key: "tier", Operator: "In", Values: []string{"front", "back"}},
					{Key: "legacy", Operator: "DoesNotExist"},
				},
			},
		}},
		Authorities: []Authority{{Name: "release", Format: "sigstore"}, {Name: "jenkins", Format: "notaryv1"}, {Name: "gitlab", Format: "certificate"}},
		Rules: []Rule{
			{Deny: "revoked: CVE-2026-0001", Line: 28},
			{Require: &Requirement{AtLeast: 3, Of: []Requirement{
				leaf("release"),
				{AtLeast: 1, Distinct: true, Of: []Requirement{leaf("jenkins"), leaf("gitlab")}},
				{AtLeast: 1, Of: []Requirement{leaf("release"), {AtLeast: 2, Of: []Requirement{leaf("jenkins"), leaf("gitlab")}}}},
			}}, Digest: RequireDigest, Platform: "linux/arm/v7", Line: 30},
			{Allow: "scanned every night", Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Line: 35},
			{Require: &Requirement{Authority: "gitlab"}, Digest: KeepDigest, Line: 38},
		},
		Revoked: []Revocation{
			{Key: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", Reason: "laptop stolen", Line: 42},
			{Serial: "4f:a2", Issuer: `CN=GitLab CI,O=Acme\, Inc.`, Reason: "wrong job", Line: 43},
			{Identity: &Identity{Issuer: "https://accounts.example", Subject: "old@acme.example"}, After: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), Reason: "left", Line: 44},
			{Digest: image.MustParseDigest(empty), Reason: "CVE-2026-0001", Line: 45},
		},
	}
	opts := cmp.Options{
		cmpopts.IgnoreUnexported(Policy{}), cmpopts.IgnoreFields(Authority{}, "Section"), cmpopts.IgnoreFields(Rule{}, "Images", "RegExps"),
		cmp.Comparer(func(a, b image.Digest) bool { return a == b }),
	}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	if got, want := len(got.Rules[1].Images)+len(got.Rules[1].RegExps), 2; got != want {
		t.Errorf("patterns of the second rule: got %d, want %d", got, want)
	}
}

func TestSpellingsOfOneDocument(t *testing.T) {
	plain := goodHead + goodRule
	for name, doc := range map[string]string{
		"byte order mark":      "\xef\xbb\xbf" + plain,
		"carriage returns":     strings.ReplaceAll(plain, "\n", "\r\n"),
		"document markers":     "---\n" + plain + "...\n",
		"JSON":                 `{"apiVersion": "assay.dev/v1", "kind": "TrustPolicy", "metadata": {"name": "prod"}, "spec": {"rules": [{"images": ["**"], "deny": "not ours"}]}}`,
		"no line break at end": strings.TrimSuffix(plain, "\n"),
		"tab before a comment": strings.TrimSuffix(plain, "\n") + "\t# comment\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := mustParse(t, doc)
			if got, want := p.Rules[0].Deny, "not ours"; got != want {
				t.Errorf("reason: got %q, want %q", got, want)
			}
		})
	}
}

func TestBytesThatAreNoDocument(t *testing.T) {
	tests := []struct{ name, doc, want string }{
		{"empty file", "", "prod.yaml:1:1: the document is empty; write one (the folder examples has some)"},
		{"white space only", " \n\n", "prod.yaml:1:1: the document is empty; write one (the folder examples has some)"},
		{"one byte more than 1 MiB", goodHead + goodRule + strings.Repeat("#", MaxPolicy+1-len(goodHead+goodRule)),
			"prod.yaml:1:1: 1048577 bytes, at most 1048576 (1 MiB) are allowed; split it into several documents"},
		{"Latin-1", "# M\xfcller\n", "prod.yaml:1:4: byte 0xfc is not UTF-8; save the file as UTF-8"},
		{"UTF-16", "\xff\xfea\x00", "prod.yaml:1:1: byte 0xff is not UTF-8; save the file as UTF-8"},
		{"a NUL", goodHead + "a\x00", "prod.yaml:4:2: character U+0000 cannot be seen; remove it, or write it as an escape in double quotes"},
		{"a character that turns the direction", goodHead + "# \u202e\n", "prod.yaml:4:3: character U+202E cannot be seen; remove it, or write it as an escape in double quotes"},
		{"a line break of its own kind", goodHead + "# x\u2028spec: {}\n", "prod.yaml:4:4: character U+2028 cannot be seen; remove it, or write it as an escape in double quotes"},
		{"characters are counted, not bytes", goodHead + `"äöü": &x 1`, "prod.yaml:4:8: [\"äöü\"]: an anchor"},
		{"nested a hundred deep", strings.Repeat("[", 100) + strings.Repeat("]", 100), "prod.yaml:1:65: "},
		{"nested a hundred thousand deep", strings.Repeat("[", 100_000), "prod.yaml:1:1: this is no YAML: exceeded max depth of 10000;"},
		{"billion laughs", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", "prod.yaml:1:4: a: an anchor (&a); remove it"},
		{"carriage returns count as lines", "a: 1\r\nb: &x 1\r\n", "prod.yaml:2:4: b: an anchor (&x); remove it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(Source{Name: "prod.yaml", Data: []byte(tt.doc)}, knownFormats)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s…", err, tt.want)
			}
		})
	}
}

func TestDocumentOfExactlyTheLimitIsRead(t *testing.T) {
	doc := goodHead + goodRule
	mustParse(t, doc+"#"+strings.Repeat("x", MaxPolicy-len(doc)-1))
}

func TestErrorsAreSortedAndBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(goodHead + "spec:\n  rules:\n")
	for i := range 3 * maxErrors {
		fmt.Fprintf(&b, "  - {images: [\"**\"], deni: x%d}\n", i)
	}
	_, err := Parse(Source{Name: "prod.yaml", Data: []byte(b.String())}, knownFormats)
	var all Errors
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want Errors", err)
	}
	if got, want := len(all), maxErrors; got != want {
		t.Errorf("errors: got %d, want %d", got, want)
	}
	for i := range len(all) - 1 {
		if all[i].Line > all[i+1].Line {
			t.Fatalf("line %d stands before line %d", all[i].Line, all[i+1].Line)
		}
	}
	var one Error
	if !errors.As(err, &one) || one.Line != 6 || one.Path != "spec.rules[0].deni" || one.Hint != `did you mean "deny"?` {
		t.Errorf("first error: got %+v", one)
	}
}

func TestWarnings(t *testing.T) {
	p := mustParse(t, goodHead+`spec:
  authorities: {used: {certificate: {}}, unused: {certificate: {}}}
  rules:
  - images: ["a.example/**"]
    require: used
    digest: insecureReplace
  - imagesRegExp: ['b.example/x', 'c\.example/y']
    deny: x
  - images: ["**"]
    deny: x
  - images: ["d.example/**"]
    allow: never reached
  revoked:
  - {digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
`)
	want := []string{
		`prod.yaml:5:42: spec.authorities.unused: no rule requires this authority; name it in a rule or remove it`,
		`prod.yaml:9:5: spec.rules[0].digest: a digest that somebody asked for is replaced by another one; use pin unless you need that`,
		`prod.yaml:10:20: spec.rules[1].imagesRegExp[0]: an unescaped "." stands for any character; write "\." for a dot`,
		`prod.yaml:14:5: spec.rules[3]: the rule before it matches every image, so this one and those behind it never decide; move them up`,
		`prod.yaml:17:5: spec.revoked[0]: no reason is given; add one for those who are stopped by it`,
	}
	var got []string
	for _, w := range p.Warnings {
		got = append(got, w.Error())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if got := mustParse(t, goodHead+goodRule).Warnings; len(got) != 0 {
		t.Errorf("warnings of a good document: %v", got)
	}
}

func TestNormalSerial(t *testing.T) {
	for in, want := range map[string]string{
		"4f:a2": "4f:a2", "4FA2": "4f:a2", "4F:A2": "4f:a2", "00:4f:a2": "4f:a2", "004FA2": "4f:a2", "f:a2": "0f:a2",
		"00": "00", "0": "00", "0000": "00", "-4FA2": "-4f:a2", "10:00": "10:00", "": "",
	} {
		if got := normalSerial(in); got != want {
			t.Errorf("normalSerial(%q): got %q, want %q", in, got, want)
		}
	}
}

// T5: what was not said enforces and denies.
func TestT5_ZeroValuesDeny(t *testing.T) {
	p := mustParse(t, goodHead+goodRule)
	if p.Mode != Enforce || p.Unmatched != DenyUnmatched || p.Rules[0].Digest != PinDigest {
		t.Errorf("defaults: got mode %v, unmatched %v, digest %v, want enforce, deny, pin", p.Mode, p.Unmatched, p.Rules[0].Digest)
	}
	var zero Policy
	if zero.Mode != Enforce || zero.Unmatched != DenyUnmatched || zero.Rules != nil {
		t.Errorf("zero policy: got mode %v, unmatched %v", zero.Mode, zero.Unmatched)
	}
	if got := fmt.Sprint(Mode(7), Unmatched(-1), DigestRule(9)); got != "enforce deny pin" {
		t.Errorf("words of values that are none: got %q, want enforce deny pin", got)
	}
	for _, set := range []func([]byte) error{new(Mode).UnmarshalText, new(Unmatched).UnmarshalText, new(DigestRule).UnmarshalText} {
		if err := set([]byte("")); err == nil {
			t.Error("an empty word was read")
		}
	}
	rule, index, err := zero.Match(Query{Ref: image.MustParse("registry.example/app:1")})
	if rule != nil || index != -1 || err != nil {
		t.Errorf("match of the zero policy: got %v, %d, %v, want none", rule, index, err)
	}
}

// T9: a threshold of none, or of more than there are, is refused when the policy is loaded.
func TestT9_ThresholdsThatCannotBeMeant(t *testing.T) {
	for _, tree := range []string{"{atLeast: 0, of: [a, b]}", "{atLeast: -1, of: [a, b]}", "{atLeast: 3, of: [a, b]}", "{atLeast: 2, of: [a, a]}", "{any: []}", "[]"} {
		doc := goodHead + "spec:\n  authorities: {a: {certificate: {}}, b: {certificate: {}}}\n  rules: [{images: [\"**\"], require: " + tree + "}]\n"
		if _, err := Parse(Source{Name: "prod.yaml", Data: []byte(doc)}, knownFormats); err == nil {
			t.Errorf("require: %s was read", tree)
		}
	}
}
