package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// weakKey is by openssl genrsa 1024 | openssl rsa -pubout.
const weakKey = `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCyGcErxd9TA8+jBSLUtlJ7vmOF
HGLO7ziC3gx2vtnZqvn0PNIDz5pc4LF6dxu9BjQsDVSoiasInlpuYDydPZFSZEnU
22NV5uL3BCkX83tmUWebprGaIn5NhXSu86phoRETtcuhdC5lSIInTh4T5DKgLZZo
QhTcbVD51Np3HcYcYwIDAQAB
-----END PUBLIC KEY-----
`

func runWith(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, now: time.Now, getenv: func(name string) string { return env[name] }}
	code := a.run(context.Background(), append([]string{"assay"}, args...))
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// Nobody wrote the policy that flags stand for: messages name the flags.
func TestOneShotMessagesNameFlags(t *testing.T) {
	f := newTrustFiles(t)
	nowhere, bare := filepath.Join(t.TempDir(), "none.json"), filepath.Join(t.TempDir(), "bare.json")
	if err := os.WriteFile(nowhere, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bare, []byte(`{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "tlogs": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	key := []string{"--key", f.key}
	provider, name := []string{"--certificate-oidc-issuer", "https://a.example"}, []string{"--certificate-identity", "a@acme.example"}
	rows := []struct {
		name string
		args []string
		want string
	}{
		{"a root without logs", append([]string{"--trusted-root", bare}, key...), "assay: --trusted-root: "},
		{"a root that is none", append([]string{"--trusted-root", nowhere}, key...), "assay: --trusted-root: "},
		{"a key that is too weak", []string{"--key", "env://WEAK"}, `assay: --key "env://WEAK": `},
		{"the second key", append([]string{"--key", f.key2}, "--key", "env://WEAK"), `assay: --key "env://WEAK": `},
		{"an expression that reaches too far", append([]string{"--certificate-identity-regexp", strings.Repeat("a", 5000)}, provider...), "assay: --certificate-identity-regexp: "},
		{"a provider's expression", append([]string{"--certificate-oidc-issuer-regexp", strings.Repeat("a", 5000)}, name...), "assay: --certificate-oidc-issuer-regexp: "},
		{"a name without end", append([]string{"--certificate-identity", strings.Repeat("a", 5000)}, provider...), "assay: --certificate-identity: "},
		{"a claim without end", append(append([]string{"--certificate-github-workflow-ref", strings.Repeat("a", 5000)}, provider...), name...), "assay: --certificate-github-workflow-ref: "},
		{"the type of signatures", append([]string{"--attestation", "spdx", "--attestation", "https://sigstore.dev/cosign/sign/v1"}, key...), `assay: --attestation "https://sigstore.dev/cosign/sign/v1": `},
		{"a service that is none", []string{"--key", "hashivault://"}, `assay: --key "hashivault://": `},
		{"a dot that is any character", append([]string{"--certificate-identity-regexp", "https://acme.example/x"}, provider...), "assay: warning: --certificate-identity-regexp: the dot"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := runWith(t, map[string]string{"WEAK": weakKey}, append([]string{"verify", "127.0.0.1:1/app@sha256:" + strings.Repeat("0", 64), "--timeout", "1s"}, row.args...)...)
			if !strings.Contains(r.stderr, row.want) || strings.Contains(r.stdout+r.stderr, "one-shot:") || strings.Contains(r.stderr, "spec.") {
				t.Errorf("got exit %d\n%s%s\nwant %q", r.code, r.stdout, r.stderr, row.want)
			}
		})
	}
}

// What is printed can be used: flags that make no policy that the engine takes print none.
func TestOneShotPrintsWhatCanBeUsed(t *testing.T) {
	f := newTrustFiles(t)
	refused(t, `--attestation "slsaprovenanc": "slsaprovenanc" is neither`, "--key", f.key, "--attestation", "slsaprovenanc")
	refused(t, `--key "awskms:///alias/release": `, "--key", "awskms:///alias/release")
	refused(t, "--certificate-identity-regexp: ", "--certificate-oidc-issuer=https://a.example", "--certificate-identity-regexp="+strings.Repeat("a", 5000))
	if r := printed(t, "", nil, "--key", f.key, "--attestation", "slsaprovenanc"); strings.Contains(r.stderr, "hint: --print-policy") {
		t.Errorf("a hint that was followed already: %s", r.stderr)
	}
}

// Each field that the flags write has its flag.
func TestEachFieldHasAFlag(t *testing.T) {
	o := &oneShot{keys: many{"a", "b"}, attestations: many{"c"}, trustedRoot: "d"}
	known := map[string]bool{}
	(&app{}).verifyCommand().Flags().VisitAll(func(f *pflag.Flag) { known["--"+f.Name] = true })
	rows := map[string]string{
		"key": `--key "a"`, "keys[1].kms": `--key "b"`, "keys[7]": `--key "a"`, "attestations[0].predicateType": `--attestation "c"`,
		"attestations": "--attestation", "trustedRoot.inline": "--trusted-root", "annotations": "--annotation", "signature": "--signature",
		"signedRepository.exact": "--signed-repository", "rekorURL": "--rekor-url", "timestampThreshold": "--use-signed-timestamps",
		"insecureIgnoreLog": "--insecure-ignore-tlog", "insecureIgnoreSCT": "--insecure-ignore-sct", "pki.roots": "--ca-roots",
		"pki.intermediates": "--ca-intermediates", "pki.names[0].dns": "--certificate-identity", "pki.names[0].uriRegExp": "--certificate-identity-regexp",
		"keyless.identities[0].subject": "--certificate-identity", "keyless.identities[0].issuerRegExp": "--certificate-oidc-issuer-regexp",
		"keyless.identities[0].claims.githubWorkflowSHA": "--certificate-github-workflow-sha", "keyless": "", "": "",
	}
	for field, want := range rows {
		if got := o.flagOf(field); got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
	for _, f := range flagsOfFields() {
		if !known["--"+f[1]] {
			t.Errorf("%s: there is no flag --%s", f[0], f[1])
		}
	}
	if got, want := (&oneShot{}).words("one-shot:1:2: spec.authorities.signer.sigstore.trustedRoot: x"), "trust material: x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := (&oneShot{}).words("one-shot:1:2: spec.rules: x\none-shot:1:2: y"), "the policy of these flags: spec.rules: x\nthe policy of these flags: y"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A trusted root that nothing would look at is left out, and that is said. All else that is asked for keeps it.
func TestOneShotLeavesOutAnIdleRoot(t *testing.T) {
	f := newTrustFiles(t)
	root := []string{"--key", f.key, "--trusted-root", f.trustedRoot}
	const warning = "assay: warning: --trusted-root: left out"
	rows := []struct {
		name string
		args []string
		left bool
	}{
		{"nothing looks at it", append(root, "--insecure-ignore-tlog"), true},
		{"a log is needed", root, false},
		{"a time stamp is needed", append(root, "--insecure-ignore-tlog", "--use-signed-timestamps"), false},
		{"an own authority", []string{"--ca-roots", f.roots, "--certificate-identity", "a.example", "--insecure-ignore-tlog", "--trusted-root", f.trustedRoot}, false},
		{"an identity", []string{"--certificate-oidc-issuer", "https://a.example", "--certificate-identity", "a", "--insecure-ignore-tlog", "--trusted-root", f.trustedRoot}, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := printed(t, "", nil, row.args...)
			if r.code != exitAllowed || (meaning(t, r.stdout).TrustedRoot == nil) != row.left || strings.Contains(r.stderr, warning) != row.left {
				t.Errorf("got exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
	if r := runAssay(t, "", append([]string{"verify", "127.0.0.1:1/app:1", "--insecure-ignore-tlog"}, root...)...); r.code == exitUsage || !strings.Contains(r.stderr, warning) {
		t.Errorf("got exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestHelpShowsTheWordsOfSignature(t *testing.T) {
	if r := runAssay(t, "", "verify", "--help"); !strings.Contains(r.stdout, "--signature required|none ") {
		t.Errorf("got\n%s", r.stdout)
	}
}
