package main

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust/formats"
)

const notationPolicy = `{"version":"1.0","trustPolicies":[{"name":"acme","registryScopes":["*"],"signatureVerification":{"level":"strict"},` +
	`"trustStores":["ca:acme"],"trustedIdentities":["x509.subject: C=US, ST=WA, O=Acme"]}]}`

// notationFiles are the settings of a notation, in a folder that is the working folder.
func notationFiles(t *testing.T) {
	t.Helper()
	one, two := newCertificate(t), newCertificate(t)
	t.Chdir(t.TempDir())
	der, _ := pem.Decode([]byte(two))
	for name, content := range map[string]string{
		"trustpolicy.json": notationPolicy, "truststore/x509/ca/acme/one.crt": one, "truststore/x509/ca/acme/two.der": string(der.Bytes),
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What comes out is a policy that can be used as it is: the certificates stand in it, those in DER too.
func TestImportNotation(t *testing.T) {
	notationFiles(t)
	r := runAssay(t, "", "policy", "import", "notation", "--name", "acme", "--trust-store", "truststore", "trustpolicy.json")
	if r.code != exitAllowed || strings.Count(r.stdout, "BEGIN CERTIFICATE") != 2 || !strings.Contains(r.stderr, "assay: changed: trustpolicy.json: verification plugins") {
		t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	var names []string
	for _, f := range formats.All(formats.Config{}) {
		names = append(names, f.Name())
	}
	p, err := policy.Parse(policy.Source{Name: "policy.yaml", Data: []byte(r.stdout)}, names)
	if err != nil || p.Name != "acme" {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	for _, f := range formats.All(formats.Config{}) {
		if f.Name() != "notation" {
			continue
		}
		if _, err := f.New(p.Authorities[0].Section); err != nil {
			t.Error(err)
		}
	}
	given := runAssay(t, notationPolicy, "policy", "import", "notation", "-")
	if given.code != exitAllowed || !strings.Contains(given.stdout, "truststore/ca/acme.pem") || !strings.Contains(given.stderr, "--trust-store") {
		t.Errorf("exit %d\n%s%s", given.code, given.stdout, given.stderr)
	}
}

func TestImportNotationErrors(t *testing.T) {
	notationFiles(t)
	for name, content := range map[string]string{"junk/x509/ca/acme/a.crt": "x", "key/x509/ca/acme/a.crt": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, args := range map[string][]string{
		"no file":         {},
		"file away":       {"away.json"},
		"store away":      {"--trust-store", "away", "trustpolicy.json"},
		"store of junk":   {"--trust-store", "junk", "trustpolicy.json"},
		"store of a key":  {"--trust-store", "key", "trustpolicy.json"},
		"unknown flag":    {"--root-ca", "x", "trustpolicy.json"},
		"bad name":        {"--name", "a b", "trustpolicy.json"},
		"output is there": {"-o", "trustpolicy.json", "trustpolicy.json"},
	} {
		r := runAssay(t, "", append([]string{"policy", "import", "notation"}, args...)...)
		if r.code != exitUsage || r.stdout != "" || r.stderr == "" {
			t.Errorf("%s: exit %d\n%s%s", name, r.code, r.stdout, r.stderr)
		}
	}
}
