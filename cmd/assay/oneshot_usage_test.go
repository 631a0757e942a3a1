package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refused runs verify and expects a usage error with a text.
func refused(t *testing.T, want string, args ...string) {
	t.Helper()
	r := printed(t, "", nil, args...)
	if r.code != exitUsage || !strings.Contains(r.stderr, want) || r.stdout != "" {
		t.Errorf("%q: got exit %d\n%s%s\nwant %q", args, r.code, r.stdout, r.stderr, want)
	}
}

// T6: half an identity is none. Whatever is missing is named.
func TestT6_OneShotHalfAnIdentity(t *testing.T) {
	f := newTrustFiles(t)
	const name, regexpName = "--certificate-identity=a@acme.example", "--certificate-identity-regexp=.*@acme"
	const issuer, regexpIssuer = "--certificate-oidc-issuer=https://a.example", "--certificate-oidc-issuer-regexp=https://.*"
	refused(t, "add --certificate-oidc-issuer or", name)
	refused(t, "add --certificate-oidc-issuer or", regexpName)
	refused(t, "add --certificate-identity or", issuer)
	refused(t, "add --certificate-identity or", regexpIssuer)
	refused(t, "add --certificate-identity and --certificate-oidc-issuer", "--certificate-github-workflow-ref=refs/heads/main")
	refused(t, "add --certificate-identity or", "--certificate-github-workflow-repository=acme/app", issuer)
	refused(t, "every certificate of that authority would count", "--ca-roots", f.roots)
	refused(t, "name the roots too", "--ca-intermediates", f.roots, name, issuer)
}

// T3: texts that cosign compares exactly do not become patterns, which a policy would make of their stars.
func TestT3_OneShotStarsAreNoWildcards(t *testing.T) {
	issuer, name := "--certificate-oidc-issuer=https://a.example", "--certificate-identity=a@acme.example"
	refused(t, "* is no wildcard here", issuer, "--certificate-identity=https://github.com/acme/*")
	refused(t, "* is no wildcard here", name, "--certificate-oidc-issuer=https://*.example")
	refused(t, "* is no wildcard here", "--ca-roots=ca.pem", "--certificate-identity=*@acme.example")
	for _, c := range workflowClaims {
		refused(t, "* is no wildcard here", issuer, name, "--"+c[0]+"=refs/tags/*")
	}
}

// A variable that is not set must not turn a flag into one that was not given.
func TestOneShotEmptyFlags(t *testing.T) {
	f := newTrustFiles(t)
	for _, flag := range []string{
		"key", "certificate-identity", "certificate-identity-regexp", "certificate-oidc-issuer", "certificate-oidc-issuer-regexp",
		"certificate-github-workflow-trigger", "certificate-github-workflow-sha", "certificate-github-workflow-name",
		"certificate-github-workflow-repository", "certificate-github-workflow-ref", "ca-roots", "ca-intermediates", "trusted-root",
		"annotation", "attestation", "signature", "signed-repository", "rekor-url",
	} {
		refused(t, "is empty; is a variable not set?", "--key", f.key, "--"+flag+"=")
		refused(t, "is not UTF-8", "--key", f.key, "--"+flag+"=\xff")
	}
	refused(t, "the value is empty", "--key", f.key, "-a", "commit=")
	refused(t, "the variable is not set", "--key", "env://COSIGN_PUBLIC_KEY")
}

func TestOneShotContradictions(t *testing.T) {
	f := newTrustFiles(t)
	key := []string{"--key", f.key}
	identity := []string{"--certificate-identity", "a@acme.example", "--certificate-oidc-issuer", "https://a.example"}
	broken := filepath.Join(t.TempDir(), "broken.pem")
	if err := os.WriteFile(broken, []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n"+f.keyPEM), 0o600); err != nil {
		t.Fatal(err)
	}
	two := filepath.Join(t.TempDir(), "two.pem")
	if err := os.WriteFile(two, []byte(f.keyPEM+f.key2PEM), 0o600); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name string
		args []string
		want string
	}{
		{"a policy beside flags", append([]string{"-p", "policy.yaml"}, key...), "--policy beside --key"},
		{"a policy beside a weakening flag", []string{"-p", "policy.yaml", "--insecure-ignore-tlog"}, "--policy beside --insecure-ignore-tlog"},
		{"a policy that is to be printed", []string{"-p", "policy.yaml"}, "--policy beside --print-policy"},
		{"a key beside an identity", append(identity, key...), "--key beside flags about certificates"},
		{"a key beside an authority", append([]string{"--ca-roots", f.roots}, key...), "--key beside flags about certificates"},
		{"an authority beside a provider", append([]string{"--ca-roots", f.roots}, identity...), "give its certificates and logs by --trusted-root"},
		{"two names", append([]string{"--certificate-identity-regexp", ".*"}, identity...), "give one of them"},
		{"two providers", append([]string{"--certificate-oidc-issuer-regexp", ".*"}, identity...), "give one of them"},
		{"a flag twice", append([]string{"--certificate-identity", "b@acme.example"}, identity...), "given a second time"},
		{"no expression", []string{"--certificate-identity-regexp", "(", "--certificate-oidc-issuer", "https://a.example"}, "--certificate-identity-regexp: error parsing"},
		{"no expression for the provider", []string{"--certificate-identity", "a", "--certificate-oidc-issuer-regexp", "("}, "--certificate-oidc-issuer-regexp: error parsing"},
		{"a signature in a file", append([]string{"--signature", "app.sig"}, key...), "signatures are read from the registry"},
		{"nothing needed", append([]string{"--signature", "none"}, key...), "name the type of an attestation"},
		{"annotations of nothing", append([]string{"--signature", "none", "--attestation", "spdx", "-a", "a=b"}, key...), "which are about the signature"},
		{"an SCT of a key", append([]string{"--insecure-ignore-sct"}, key...), "--insecure-ignore-sct: only certificates of Fulcio"},
		{"a log that is asked and ignored", append([]string{"--insecure-ignore-tlog", "--rekor-url", "https://r.example"}, key...), "give one of them"},
		{"no URL", append([]string{"--rekor-url", "rekor.example"}, key...), "want a URL such as"},
		{"no repository", append([]string{"--signed-repository", "Registry/app:1"}, key...), "--signed-repository: exact"},
		{"no annotation", append([]string{"-a", "prod"}, key...), "want key=value"},
		{"an annotation with two values", append([]string{"-a", "a=b", "-a", "a=c"}, key...), "both cannot hold"},
		{"an annotation's key without end", append([]string{"-a", strings.Repeat("k", maxAnnotationKey) + "=v"}, key...), "the key is longer than"},
		{"an absent key", []string{"--key", "nowhere.pub"}, "nowhere.pub"},
		{"a key that is none", []string{"--key", "oneshot.go"}, "no PUBLIC KEY in PEM"},
		{"a broken key", []string{"--key", broken}, "cannot be read"},
		{"two keys in a file", []string{"--key", two}, "keep each in a file of its own"},
		{"a certificate as a key", []string{"--key", f.roots}, `a "CERTIFICATE", want a PUBLIC KEY`},
		{"a key from the web", []string{"--key", "https://acme.example/cosign.pub"}, "fetch it once"},
		{"a key in Kubernetes", []string{"--key", "k8s://ns/key"}, "cosign public-key --key k8s://ns/key > cosign.pub"},
		{"a root that is no JSON", append([]string{"--trusted-root", f.roots}, key...), "is no JSON"},
		{"a policy as JSON", append([]string{"-o", "json"}, key...), "--print-policy beside --output json"},
		{"standard input twice", []string{"--key", "-", "--images-file", "-"}, "read once only"},
		{"a policy in Rego", []string{"--print-policy=false", "-p", "policy.rego", "x"}, "conditions on attestations are written in CEL"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { refused(t, row.want, row.args...) })
	}
}

// Each flag of cosign verify and verify-attestation (versions 2 and 3) is a flag of ours, or its place is told.
func TestCosignFlagsAreAnswered(t *testing.T) {
	ours := (&app{}).verifyCommand().Flags()
	for _, name := range []string{
		"allow-certificate-chain", "allow-http-registry", "allow-insecure-registry", "annotations", "attachment", "attachment-tag-prefix",
		"ca-intermediates", "ca-roots", "certificate", "certificate-chain", "certificate-github-workflow-name", "certificate-github-workflow-ref",
		"certificate-github-workflow-repository", "certificate-github-workflow-sha", "certificate-github-workflow-trigger", "certificate-identity",
		"certificate-identity-regexp", "certificate-oidc-issuer", "certificate-oidc-issuer-regexp", "check-claims", "experimental-oci11",
		"insecure-ignore-sct", "insecure-ignore-tlog", "k8s-keychain", "key", "local-image", "max-workers", "new-bundle-format", "offline", "output",
		"output-file", "payload", "policy", "private-infrastructure", "registry-cacert", "registry-client-cert", "registry-client-key",
		"registry-password", "registry-referrers-mode", "registry-server-name", "registry-token", "registry-username", "rekor-url", "sct", "signature",
		"signature-digest-algorithm", "sk", "slot", "timeout", "timestamp-certificate-chain", "trusted-root", "type", "use-signed-timestamps", "verbose",
	} {
		isOurs := ours.Lookup(name) != nil
		if hint := cosignHint(name); isOurs == (hint != "") {
			t.Errorf("--%s: a flag of ours: %v, hint %q", name, isOurs, hint)
		}
		if !isOurs {
			refused(t, "assay: hint: "+cosignHint(name), "--"+name)
		}
	}
	refused(t, "assay: hint: write --timeout", "-t", "5m")
	refused(t, "did you mean --policy? see assay verify --help", "--polcy", "x")
}

func TestOneShotCompletion(t *testing.T) {
	for _, row := range []struct{ flag, want string }{
		{"--certificate-oidc-issuer", "https://token.actions.githubusercontent.com"}, {"--attestation", "slsaprovenance1"},
		{"--signature", "none"}, {"--signed-repository", "ignore"}, {"--certificate-identity", ":4"},
	} {
		if r := runAssay(t, "", "__complete", "verify", row.flag, ""); r.code != 0 || !strings.Contains(r.stdout, row.want) {
			t.Errorf("%s: got exit %d\n%s%s", row.flag, r.code, r.stdout, r.stderr)
		}
	}
}
