package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust/sigstore"
)

// hostile are texts that try to become something else in a YAML document, in its comment, in a shell or on a screen.
func hostile() []string {
	return []string{
		"a\nspec: {}", "a\r\nunmatched: ignore", "\n# b", " lead", "trail ", "'", `"`, `\`, `\n`, "a: b", "- a", "# a", "a # b", "{a: b}", "[a]", "&a", "!a", "%a", "@a", "`a`",
		"yes", "null", "~", "1", "1e3", "2027-01-01", "<<", "---", "...", "|", ">", "a'b\"c\\d", "$(id)", "${HOME}", "!!str", "\t", "\x1b[2J", "a\u202eb", "\u2028", "\ufeff", "\u0085",
		"\ufffe", "😀", "\U000e0001", "é", "\x7f", "日本", strings.Repeat("long ", 100), "-----BEGIN PRIVATE KEY-----", "--policy", "-",
	}
}

// anyText draws texts with more of what is dangerous than chance gives.
func anyText() *rapid.Generator[string] {
	piece := rapid.OneOf(rapid.SampledFrom(hostile()), rapid.String(), rapid.StringMatching(`[a-z:/.@ -]{1,12}`))
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 1, 3).Draw(t, "pieces"), "") }).
		Filter(func(s string) bool { return s != "" && utf8.ValidString(s) })
}

// inURL leaves out what may not stand in a URL.
func inURL(r rune) rune {
	if r < ' ' || r == '%' || r == 0x7f {
		return -1
	}
	return r
}

// A printed policy means what the flags said, whatever stands in them: no text becomes YAML, and none leaves the comment.
func TestOneShotRoundTrip(t *testing.T) {
	exact := anyText().Filter(func(s string) bool { return !strings.Contains(s, "*") })
	expression := rapid.Map(anyText(), regexp.QuoteMeta)
	rapid.Check(t, func(rt *rapid.T) {
		var one sigstore.IdentityOptions
		var args []string
		add := func(flag, value string) { args = append(args, "--"+flag+"="+value) }
		draw := func(from *rapid.Generator[string], flag string, into *string) {
			*into = from.Draw(rt, flag)
			add(flag, *into)
		}
		if rapid.Bool().Draw(rt, "expressions") {
			draw(expression, "certificate-identity-regexp", &one.SubjectRegExp)
			draw(expression, "certificate-oidc-issuer-regexp", &one.IssuerRegExp)
		} else {
			draw(exact, "certificate-identity", &one.Subject)
			draw(exact, "certificate-oidc-issuer", &one.Issuer)
		}
		for i, field := range []*string{
			&one.Claims.GitHubWorkflowTrigger, &one.Claims.GitHubWorkflowSHA, &one.Claims.GitHubWorkflowName,
			&one.Claims.GitHubWorkflowRepository, &one.Claims.GitHubWorkflowRef,
		} {
			if rapid.Bool().Draw(rt, workflowClaims[i][0]) {
				draw(exact, workflowClaims[i][0], field)
			}
		}
		want := keyless(one)
		for range rapid.IntRange(0, 3).Draw(rt, "annotations") {
			key := anyText().Filter(func(s string) bool { return !strings.Contains(s, "=") && len(policy.Quote(s)) < maxAnnotationKey }).Draw(rt, "key")
			if _, twice := want.Annotations[key]; twice {
				continue
			}
			if want.Annotations == nil {
				want.Annotations = map[string]string{}
			}
			want.Annotations[key] = anyText().Draw(rt, "value")
			add("annotation", key+"="+want.Annotations[key])
		}
		for range rapid.IntRange(0, 2).Draw(rt, "attestations") {
			kind := "https://acme.example/" + strings.Map(inURL, anyText().Draw(rt, "type"))
			want.Attestations = append(want.Attestations, sigstore.AttestationOptions{PredicateType: kind})
			add("attestation", kind)
		}
		r := printed(t, "", nil, args...)
		if r.code != exitAllowed {
			rt.Fatalf("exit %d: %s\n%q", r.code, r.stderr, args)
		}
		if diff := cmp.Diff(want, meaning(t, r.stdout)); diff != "" {
			rt.Fatalf("want -, got +\n%s\n%s", diff, r.stdout)
		}
		if first, rest, _ := strings.Cut(r.stdout, "\n"); !strings.HasPrefix(first, "# assay verify --") || !strings.HasPrefix(rest, "apiVersion: ") {
			rt.Fatalf("the comment is not one line\n%s", r.stdout)
		}
	})
}

// The comment can be given to a shell again, and says the same there; it is one line that can be seen whole.
func TestOneShotCommentIsTheCommandLine(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	for _, value := range hostile() {
		r := printed(t, "", nil, "--certificate-oidc-issuer", "https://a.example", "--certificate-identity="+value)
		comment, _, _ := strings.Cut(r.stdout, "\n")
		command, found := strings.CutPrefix(comment, "# assay verify ")
		if !found || strings.ContainsAny(command, "\r\x1b\t\u202e\u2028\u0085\ufeff") {
			t.Errorf("%q: got %q, exit %d\n%s", value, comment, r.code, r.stderr)
			continue
		}
		cmd := exec.Command(bash, "-c", "printf '%s\\0' "+command)
		cmd.Env = []string{"LC_ALL=C.UTF-8"}
		out, err := cmd.Output()
		if want := fmt.Sprintf("--certificate-identity\x00%s\x00--certificate-oidc-issuer\x00https://a.example\x00", value); err != nil || string(out) != want {
			t.Errorf("%q: bash reads %q, want %q; error %v\n%s", value, out, want, err, comment)
		}
	}
}

// A private key never gets into a policy, nor into a message, however it is given.
func TestOneShotKeepsPrivateKeysOut(t *testing.T) {
	f := newTrustFiles(t)
	private, err := os.ReadFile(f.private)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Split(string(private), "\n")[1]
	both := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(both, []byte(f.keyPEM+string(private)), 0o600); err != nil {
		t.Fatal(err)
	}
	encrypted := strings.ReplaceAll(string(private), "PRIVATE KEY", "ENCRYPTED SIGSTORE PRIVATE KEY")
	for name, args := range map[string][]string{
		"a file":               {"--key", f.private},
		"beside a public key":  {"--key", both},
		"standard input":       {"--key", "-"},
		"the environment":      {"--key", "env://KEY"},
		"as roots":             {"--ca-roots", f.private, "--certificate-identity", "a.example"},
		"as intermediates":     {"--ca-roots", f.roots, "--ca-intermediates", f.private, "--certificate-identity", "a.example"},
		"as a trusted root":    {"--key", f.key, "--trusted-root", f.private},
		"a key beside the log": {"--key", f.key, "--rekor-url", "https://user:" + secret + "@rekor.example"},
		"a query for the log":  {"--key", f.key, "--rekor-url", "https://rekor.example/?token=" + secret},
		"no URL for the log":   {"--key", f.key, "--rekor-url", "https://user:" + secret + "%@rekor.example"},
		"the name in a KMS":    {"--key", "hashivault://user:" + strings.ReplaceAll(secret, "/", "_") + "@name"},
	} {
		r := printed(t, encrypted, map[string]string{"KEY": string(private)}, args...)
		if r.code != exitUsage || r.stdout != "" || strings.Contains(r.stderr, secret[:20]) {
			t.Errorf("%s: got exit %d\n%s%s", name, r.code, r.stdout, r.stderr)
		}
	}
}

// T43: what flags name is read up to the length of a policy.
func TestT43_OneShotFiles(t *testing.T) {
	f := newTrustFiles(t)
	long := strings.Repeat("x", policy.MaxPolicy) + "\n" + f.keyPEM
	file := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(file, []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--key", file}, {"--key", "-"}, {"--ca-roots", file, "--certificate-identity", "a.example"}, {"--key", f.key, "--trusted-root", file},
	} {
		if r := printed(t, long, nil, args...); r.code != exitUsage || !strings.Contains(r.stderr, "more than 1048576 bytes") {
			t.Errorf("%v: got exit %d\n%s", args, r.code, r.stderr)
		}
	}
}
