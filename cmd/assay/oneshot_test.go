package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore"
)

// trustFiles are what flags name, in a folder of the test.
type trustFiles struct {
	key, key2, private, roots, trustedRoot string // paths
	keyPEM, key2PEM, rootsPEM              string // contents
	trustedRootJSON                        string
}

func newTrustFiles(t *testing.T) trustFiles {
	t.Helper()
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var f trustFiles
	f.keyPEM, _ = newKeyPair(t)
	f.key2PEM, _ = newKeyPair(t)
	_, private := newKeyPair(t)
	roots, err := os.ReadFile("../../examples/ca/ci.pem")
	if err != nil {
		t.Fatal(err)
	}
	_, certificate, _ := strings.Cut(string(roots), "-----BEGIN ") // without the text before it
	f.rootsPEM = "-----BEGIN " + certificate
	embedded, err := os.ReadFile(embeddedFile)
	if err != nil {
		t.Fatal(err)
	}
	var indented, flat bytes.Buffer
	if err := errors.Join(json.Indent(&indented, bytes.TrimSpace(embedded), "", "  "), json.Indent(&flat, bytes.TrimSpace(embedded), "", "")); err != nil {
		t.Fatal(err)
	}
	f.trustedRootJSON = indented.String() + "\n"
	f.key, f.key2, f.private = write("cosign.pub", f.keyPEM), write("second.pub", "a text around it\n"+f.key2PEM+"more\n"), write("cosign.key", private)
	f.roots, f.trustedRoot = write("ca.pem", string(roots)), write("trusted_root.json", "  "+flat.String())
	return f
}

// newKeyPair returns a public and a private key in PEM.
func newKeyPair(t *testing.T) (public, private string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// printed runs verify --print-policy and returns what it printed.
func printed(t testing.TB, stdin string, env map[string]string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{
		stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr, now: time.Now,
		getenv: func(name string) string { return env[name] },
	}
	code := a.run(context.Background(), append([]string{"assay", "verify", "--print-policy"}, args...))
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// meaning reads a printed policy as a file would be read, and returns what it says of its one authority. All else that it says is
// the same for all flags.
func meaning(t testing.TB, document string) sigstore.Options {
	t.Helper()
	p, err := policy.Parse(policy.Source{Name: "printed.yaml", Data: []byte(document)}, []string{"certificate", "sigstore"})
	if err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	if p.Name != "one-shot" || p.Mode != policy.Enforce || p.Unmatched != policy.DenyUnmatched || len(p.Warnings) != 0 || len(p.Revoked) != 0 ||
		len(p.Authorities) != 1 || p.Authorities[0].Name != "signer" || p.Authorities[0].Format != "sigstore" {
		t.Fatalf("got %+v\n%s", p, document)
	}
	if len(p.Rules) != 1 || p.Rules[0].Require == nil || len(p.Rules[0].Images) != 1 || p.Rules[0].Images[0].String() != "**" ||
		p.Rules[0].Digest != policy.PinDigest || !cmp.Equal(*p.Rules[0].Require, policy.Requirement{AtLeast: 1, Of: []policy.Requirement{{Authority: "signer"}}}) {
		t.Fatalf("got %+v\n%s", p.Rules, document)
	}
	var o sigstore.Options
	if err := p.Authorities[0].Section.Decode(&o); err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	return o
}

func keyless(one sigstore.IdentityOptions) sigstore.Options {
	return sigstore.Options{SignerOptions: sigstore.SignerOptions{Keyless: &sigstore.KeylessOptions{Identities: []sigstore.IdentityOptions{one}}}}
}

// Each flag becomes the field that means the same.
func TestOneShotPolicies(t *testing.T) {
	f := newTrustFiles(t)
	identity := []string{"--certificate-identity", "dev@acme.example", "--certificate-oidc-issuer", "https://accounts.example"}
	who := sigstore.IdentityOptions{Subject: "dev@acme.example", Issuer: "https://accounts.example"}
	withKey := func(change func(*sigstore.Options)) sigstore.Options {
		o := sigstore.Options{SignerOptions: sigstore.SignerOptions{Key: &sigstore.KeyOptions{PEM: f.keyPEM}}}
		change(&o)
		return o
	}
	withCA := func(name sigstore.NameOptions) sigstore.Options {
		return sigstore.Options{SignerOptions: sigstore.SignerOptions{PKI: &sigstore.PKIOptions{Roots: f.rootsPEM, Names: []sigstore.NameOptions{name}}}}
	}
	rows := []struct {
		name string
		args []string
		want sigstore.Options
	}{
		{"a key", []string{"--key", f.key}, withKey(func(*sigstore.Options) {})},
		{"a key from standard input", []string{"--key", "-"}, withKey(func(*sigstore.Options) {})},
		{"a key from the environment", []string{"--key", "env://COSIGN_PUBLIC_KEY"}, withKey(func(*sigstore.Options) {})},
		{"a key in a KMS", []string{"--key", "hashivault://release"}, withKey(func(o *sigstore.Options) { o.Key = &sigstore.KeyOptions{KMS: "hashivault://release"} })},
		{"several keys", []string{"--key", f.key, "--key=" + f.key2, "--key", "hashivault://release"}, withKey(func(o *sigstore.Options) {
			o.Key, o.Keys = nil, []sigstore.KeyOptions{{PEM: f.keyPEM}, {PEM: f.key2PEM}, {KMS: "hashivault://release"}}
		})},
		{"an identity", identity, keyless(who)},
		{"expressions", []string{"--certificate-identity-regexp", `https://github\.com/acme/.*`, "--certificate-oidc-issuer-regexp", `https://.*\.example`},
			keyless(sigstore.IdentityOptions{SubjectRegExp: `https://github\.com/acme/.*`, IssuerRegExp: `https://.*\.example`})},
		{"a workflow on GitHub", append([]string{"--certificate-github-workflow-trigger=push", "--certificate-github-workflow-sha", "5d1a",
			"--certificate-github-workflow-name", "Release it", "--certificate-github-workflow-repository", "acme/app",
			"--certificate-github-workflow-ref", "refs/heads/main"}, identity...),
			keyless(sigstore.IdentityOptions{Subject: who.Subject, Issuer: who.Issuer, Claims: sigstore.ClaimsOptions{
				GitHubWorkflowTrigger: "push", GitHubWorkflowSHA: "5d1a", GitHubWorkflowName: "Release it",
				GitHubWorkflowRepository: "acme/app", GitHubWorkflowRef: "refs/heads/main",
			}})},
		{"an own authority, e-mail", []string{"--ca-roots", f.roots, "--certificate-identity", "b@acme.example"}, withCA(sigstore.NameOptions{Email: "b@acme.example"})},
		{"an own authority, URI", []string{"--ca-roots", f.roots, "--certificate-identity", "spiffe://acme/b@1"}, withCA(sigstore.NameOptions{URI: "spiffe://acme/b@1"})},
		{"an own authority, host", []string{"--ca-roots", f.roots, "--certificate-identity", "ci.acme.example"}, withCA(sigstore.NameOptions{DNS: "ci.acme.example"})},
		{"an own authority, address", []string{"--ca-roots", f.roots, "--certificate-identity", "2001:db8::1"}, withCA(sigstore.NameOptions{IP: "2001:db8::1"})},
		{"an own authority, expression", []string{"--ca-roots", f.roots, "--certificate-identity-regexp", "spiffe://.*"}, withCA(sigstore.NameOptions{URIRegExp: "spiffe://.*"})},
		{"an own authority with intermediates", []string{"--ca-roots", f.roots, "--ca-intermediates", f.roots, "--certificate-identity", "a.example"},
			sigstore.Options{SignerOptions: sigstore.SignerOptions{PKI: &sigstore.PKIOptions{
				Roots: f.rootsPEM, Intermediates: f.rootsPEM, Names: []sigstore.NameOptions{{DNS: "a.example"}},
			}}}},
		{"trusted root", []string{"--key", f.key, "--trusted-root", f.trustedRoot}, withKey(func(o *sigstore.Options) {
			o.TrustedRoot = &sigstore.TrustedRootOptions{Inline: f.trustedRootJSON}
		})},
		{"annotations", []string{"--key", f.key, "-a", "env=prod", "--annotation", "a=b=c,d", "--annotations", "env=prod"}, withKey(func(o *sigstore.Options) {
			o.Annotations = map[string]string{"env": "prod", "a": "b=c,d"}
		})},
		{"attestations", []string{"--key", f.key, "--attestation", "slsaprovenance1", "--type", "https://acme.example/v1", "--signature", "none"},
			withKey(func(o *sigstore.Options) {
				o.Signature = "none"
				o.Attestations = []sigstore.AttestationOptions{{PredicateType: "slsaprovenance1"}, {PredicateType: "https://acme.example/v1"}}
			})},
		{"any repository", []string{"--key", f.key, "--signed-repository", "ignore"}, withKey(func(o *sigstore.Options) {
			o.SignedRepository = trust.SignedRepository{Mode: "ignore"}
		})},
		{"one repository", []string{"--key", f.key, "--signed-repository", "registry.example/app"}, withKey(func(o *sigstore.Options) {
			o.SignedRepository = trust.SignedRepository{Exact: "registry.example/app"}
		})},
		{"a log that is asked, and a time stamp", []string{"--key", f.key, "--rekor-url", "https://rekor.example", "--use-signed-timestamps"},
			withKey(func(o *sigstore.Options) { o.RekorURL, o.TimestampThreshold = "https://rekor.example", 1 })},
		{"no log", []string{"--key", f.key, "--insecure-ignore-tlog"}, withKey(func(o *sigstore.Options) { o.InsecureIgnoreLog = true })},
		{"no SCT", append([]string{"--insecure-ignore-sct=true"}, identity...), func() sigstore.Options {
			o := keyless(who)
			o.InsecureIgnoreSCT = true
			return o
		}()},
		{"switches that are off", []string{"--key", f.key, "--insecure-ignore-tlog=false", "--use-signed-timestamps=false"}, withKey(func(*sigstore.Options) {})},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := printed(t, f.keyPEM, map[string]string{"COSIGN_PUBLIC_KEY": f.keyPEM}, row.args...)
			if r.code != exitAllowed || r.stderr != "" {
				t.Fatalf("got exit %d\n%s", r.code, r.stderr)
			}
			if diff := cmp.Diff(row.want, meaning(t, r.stdout)); diff != "" {
				t.Errorf("want -, got +\n%s\n%s", diff, r.stdout)
			}
		})
	}
}

// Without a policy and without a signer the choices are listed, one a line, each as a command.
func TestOneShotListsTheChoices(t *testing.T) {
	for _, args := range [][]string{{"x"}, {"--trusted-root", "root.json", "x"}, {"--print-policy"}, {"--insecure-ignore-tlog", "x"}, {"--attestation", "spdx", "x"}} {
		r := runAssay(t, "", append([]string{"verify"}, args...)...)
		if r.code != exitUsage || strings.Count(r.stderr, "\n  ") != 5 || strings.Count(r.stderr, ": assay verify --")+strings.Count(r.stderr, ":  ") < 5 {
			t.Errorf("%v: got exit %d\n%s", args, r.code, r.stderr)
		}
		for _, want := range []string{"--policy policy.yaml", "--key cosign.pub", "--certificate-oidc-issuer https://", "--ca-roots ca.pem", "assay: hint:"} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("%v: %q is missing in\n%s", args, want, r.stderr)
			}
		}
	}
}

// The choices work as they are written, as far as they need no policy of the reader's own.
func TestOneShotChoicesAreCommands(t *testing.T) {
	f := newTrustFiles(t)
	replace := strings.NewReplacer("cosign.pub", f.key, "ca.pem", f.roots, " IMAGE", "")
	count := 0
	for line := range strings.SplitSeq(errNobody().Error(), "\n") {
		_, command, found := strings.Cut(line, "assay verify ")
		if !found || strings.Contains(command, "--policy") {
			continue
		}
		count++
		if r := printed(t, "", nil, strings.Fields(replace.Replace(command))...); r.code != exitAllowed {
			t.Errorf("%s: got exit %d\n%s", command, r.code, r.stderr)
		}
	}
	if count != 4 {
		t.Errorf("%d commands, want 4", count)
	}
}

// The policy that is printed is the one that decides: the flags and the file give the same verdict.
func TestOneShotDecidesByThePrintedPolicy(t *testing.T) {
	f := newTrustFiles(t)
	if !strings.Contains(strings.Join(formatNames(), " "), oneShotFormat) {
		t.Skip("the format is not in the list of formats yet")
	}
	s := newStage(t)
	image := s.host + "/shop/web:1"
	flags := []string{"--key", f.key, "--insecure-ignore-tlog"}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(printed(t, "", nil, flags...).stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	direct := runAssay(t, "", append([]string{"verify", image}, flags...)...)
	byFile := runAssay(t, "", "verify", "-p", file, image)
	if direct.code != exitDenied || direct != byFile {
		t.Errorf("by flags: exit %d\n%s%s\nby file: exit %d\n%s%s", direct.code, direct.stdout, direct.stderr, byFile.code, byFile.stdout, byFile.stderr)
	}
}
