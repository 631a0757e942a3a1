package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// T20: what a person sees of a proof, above all what made its check weaker, also in a policy that is not shown first.
func TestT20_PeopleSeeWhatWasWeakened(t *testing.T) {
	full := engine.Attestation{
		Authority: "release", Standing: engine.Proved, Signer: "ci@acme.example", Issuer: "https://idp.example",
		SignedAt: time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC), Log: []trust.LogEntry{{ID: "a", Index: 7}, {ID: "b", Index: 9}},
		Attested: []trust.Attested{{PredicateType: "https://slsa.dev/provenance/v1"}, {PredicateType: "https://spdx.dev/Document"}},
		Weakened: []string{"insecureIgnoreSCT"},
	}
	bare := engine.Attestation{Authority: "own", Standing: engine.Proved, Signer: "SHA256:abc", Weakened: []string{"insecureIgnoreLog"}}
	v := engine.Verdict{
		Allowed:  true,
		Decision: engine.Decision{Policy: "first", Outcome: engine.Allowed, Authorities: []engine.Attestation{full}},
		Also: []engine.Decision{
			{Policy: "second", Outcome: engine.Allowed, Authorities: []engine.Attestation{bare}},
			{Policy: "third", Outcome: engine.Allowed, Authorities: []engine.Attestation{{Authority: "x", Standing: engine.Proved, Signer: "SHA256:def"}}},
		},
		Warnings: []string{"the roots are old", "told already"},
	}
	want := []string{
		"release: ci@acme.example by https://idp.example on 2026-10-01 12:00, log index 7 and 9, " +
			"attested https://slsa.dev/provenance/v1 and https://spdx.dev/Document (weakened: insecureIgnoreSCT)",
		"policy second: own: SHA256:abc (weakened: insecureIgnoreLog)",
		"warning: the roots are old",
	}
	if diff := cmp.Diff(want, strings.Split(because(&v, []string{"told already"}), "\n")); diff != "" {
		t.Error(diff)
	}
}

// An unsigned image's hint is about the format that was asked.
func TestUnsignedHintsNameTheFormat(t *testing.T) {
	unsigned := func(formats ...string) *engine.Verdict {
		v := engine.Verdict{Decision: engine.Decision{Outcome: engine.Denied, Rule: "rules[0]"}}
		for _, f := range formats {
			v.Authorities = append(v.Authorities, engine.Attestation{Format: f, Standing: engine.Unsigned})
		}
		return &v
	}
	expired := func(format string) *engine.Verdict {
		v := unsigned(format)
		v.Authorities[0] = engine.Attestation{Format: format, Standing: engine.Untrusted, Reason: "certificate expired"}
		return v
	}
	rows := []struct {
		name string
		v    *engine.Verdict
		want string
	}{
		{"certificate", unsigned("certificate", "certificate"), "unsigned images: assay sign attaches a certificate"},
		{"sigstore", unsigned("sigstore"), "unsigned images: cosign sign IMAGE@DIGEST attaches a signature"},
		{"both", unsigned("sigstore", "certificate"), "unsigned images: cosign sign IMAGE@DIGEST attaches a signature; assay sign attaches a certificate"},
		{"an old certificate", expired("certificate"), "a certificate that was short-lived on purpose: the authority's field validity: issued accepts it"},
		{"an old signature", expired("sigstore"), ""},
		{"nobody asked", unsigned(), ""},
	}
	for _, row := range rows {
		if got := hintFor(row.v); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

// What is printed is never wider than the terminal, and a digest in a name is not said twice.
func TestLayoutFitsTheTerminal(t *testing.T) {
	digest, err := image.ParseDigest("sha256:" + strings.Repeat("0123456789abcdef", 4))
	if err != nil {
		t.Fatal(err)
	}
	verdict := func(name string, outcome engine.Outcome) engine.Verdict {
		return engine.Verdict{Image: name, Digest: digest, Allowed: outcome == engine.Allowed, Decision: engine.Decision{
			Outcome: outcome, Reason: "release: " + strings.Repeat("a reason ", 20) + strings.Repeat("x", 150) + " 日本語" + strings.Repeat("語", 70),
		}}
	}
	long := "registry.acme.example:5000/" + strings.Repeat("shop/", 12) + "api"
	pin := "registry.acme.example/api@" + digest.String()
	tagged := []engine.Verdict{verdict(long+":1", engine.Allowed), verdict("a/b", engine.CouldNotTell)}
	pinnedOnly := []engine.Verdict{verdict(pin, engine.Denied), verdict(long+"@"+digest.String(), engine.CouldNotTell)}
	mixed := append(append([]engine.Verdict{}, tagged...), pinnedOnly...)
	a := &app{stdout: &strings.Builder{}, getenv: func(string) string { return "" }}
	for name, verdicts := range map[string][]engine.Verdict{"tagged": tagged, "pinned": pinnedOnly, "mixed": mixed} {
		for _, columns := range []int{30, 40, 60, 80, 99, 100, 105, 112, 113, 120, 200} {
			shown := a.layout(verdicts, nil, columns)
			for line := range strings.SplitSeq(shown, "\n") {
				if n := text.StringWidth(line); n > columns {
					t.Errorf("%s, %d columns: a line of %d: %s", name, columns, n, line)
				}
			}
			if isTable := strings.Contains(shown, "│"); isTable && columns < leastTable || !isTable && columns >= 120 {
				t.Errorf("%s, %d columns: table: %v\n%s", name, columns, isTable, shown)
			}
			short := strings.Count(shown, shortDigest(digest)+" ") + strings.Count(shown, "  "+shortDigest(digest)+"\n")
			if want := map[string]int{"tagged": 2, "mixed": 2}[name]; short != want {
				t.Errorf("%s, %d columns: %d short digests, want %d\n%s", name, columns, short, want, shown)
			}
		}
	}
	if shown := a.layout(pinnedOnly, nil, 105); !strings.Contains(shown, "│") || strings.Contains(shown, "digest") {
		t.Errorf("a column of digests beside names that carry them\n%s", shown)
	}
	if shown := a.layout(mixed, nil, 0); !strings.Contains(shown, "│ digest") {
		t.Errorf("no table although the output is no terminal\n%s", shown)
	}
}

func TestBlocks(t *testing.T) {
	v := engine.Verdict{Image: "registry.example/app:1", Decision: engine.Decision{Outcome: engine.Denied, Reason: "one two three four"}}
	want := "registry.example/app:1\n  denied\n    one two\n    three\n    four"
	a := &app{stdout: &strings.Builder{}, getenv: func(string) string { return "" }}
	if diff := cmp.Diff(want, strings.Replace(a.layout([]engine.Verdict{v}, nil, 12), "registry.exa\nmple/app:1", v.Image, 1)); diff != "" {
		t.Error(diff)
	}
}

func TestWrap(t *testing.T) {
	rows := []struct {
		name, text, want string
		columns          int
	}{
		{"nothing", "", "", 5},
		{"fits", "abcde", "abcde", 5},
		{"at a space", "abc def", "abc\ndef", 3},
		{"a long word", "ab cdefgh", "ab\ncde\nfgh", 3},
		{"lines stay", "a\n\nb", "a\n\nb", 5},
		{"wide characters", "日本語", "日\n本\n語", 3},
		{"no room", "ab", "a\nb", 0},
	}
	for _, row := range rows {
		if got := wrap(row.text, row.columns); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}
