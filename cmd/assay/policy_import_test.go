package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
)

// newCertificate returns a certificate in PEM that is valid now.
func newCertificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// importFiles are files of an import, in a folder that is the working folder.
func importFiles(t *testing.T) (signer string) {
	t.Helper()
	signer = newCertificate(t)
	t.Chdir(t.TempDir())
	trust := fmt.Sprintf(`repositories:
- name: ^registry\.acme\.example/.*
  trust:
    enabled: true
    trustServer: https://notary.acme.example:4443
    auth: {user: reader, pass: not-to-be-shown}
    signers:
    - role: targets/jenkins
      publicKey: %s
`, base64.StdEncoding.EncodeToString([]byte(signer)))
	for name, content := range map[string]string{"trust.yaml": trust, "values.yaml": "strict: false\nopa: {imageTag: 0.21.1}\n" + trust, "ca.pem": newCertificate(t)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return signer
}

const enforcer = "container-signature-enforcer"

// The policy goes to standard output alone, so that it can be kept, and what changes to standard error.
func TestImportTrustFile(t *testing.T) {
	signer := importFiles(t)
	r := runAssay(t, "", "policy", "import", enforcer, "trust.yaml")
	if r.code != exitAllowed {
		t.Fatalf("got exit %d\n%s", r.code, r.stderr)
	}
	p, err := policy.Parse(policy.Source{Name: "policy.yaml", Data: []byte(r.stdout)}, []string{"notaryv1"})
	if err != nil {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	if p.Name != enforcer || len(p.Rules) != 2 || p.Rules[0].Digest != policy.PinDigest || !strings.Contains(strings.ReplaceAll(r.stdout, "            ", ""), signer) {
		t.Errorf("got\n%s", r.stdout)
	}
	for _, want := range []string{
		"assay: warning: trust.yaml:3: authority jenkins: before: ",
		"assay: changed: trust.yaml:6: auth: before: ",
		"- host: \"notary.acme.example:4443\"\n  username: \"reader\"\n  # the password of trust.yaml:6, in a file that nobody else can read (chmod 600)\n  passwordFile: \"notary.acme.example-4443.password\"\n",
		"assay: hint: next: assay policy check policy.yaml; then, for images that run today: assay verify --policy policy.yaml --registries registries.yaml IMAGE\n",
	} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("%q is missing in\n%s", want, r.stderr)
		}
	}
	if strings.Contains(r.stdout+r.stderr, "not-to-be-shown") {
		t.Error("the password is shown")
	}
	content, err := os.ReadFile("trust.yaml")
	if err != nil {
		t.Fatal(err)
	}
	again := runAssay(t, string(content), "policy", "import", "opa-notary-connector", "-")
	if again.code != exitAllowed || strings.ReplaceAll(again.stdout, "standard input", "trust.yaml") != r.stdout {
		t.Errorf("from standard input and by the old name: got exit %d\n%s%s", again.code, again.stdout, again.stderr)
	}
}

// Each flag gets to what it is about.
func TestImportFlags(t *testing.T) {
	importFiles(t)
	key, _ := newKeyPair(t)
	if err := os.WriteFile("root.pub", []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("open.yaml", []byte("repositories: [{name: localhost.*, trust: {enabled: true, trustServer: notary.acme.example}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"name", []string{"trust.yaml", "--name", "cluster"}, `name: "cluster"`},
		{"a key as root", []string{"trust.yaml", "--root-key", "root.pub"}, "root:\n          keys: |"},
		{"a certificate as root", []string{"trust.yaml", "--root-certificate", "ca.pem"}, "root:\n          certificates: |"},
		{"a CA as root", []string{"trust.yaml", "--root-ca", "ca.pem"}, "root:\n          ca: |"},
		{"two CAs", []string{"trust.yaml", "--root-ca", "ca.pem", "--root-ca", "ca.pem"}, "-----END CERTIFICATE-----\n            -----BEGIN CERTIFICATE-----"},
		{"strict", []string{"values.yaml", "--strict"}, "digest: pin"},
		{"not strict", []string{"trust.yaml", "--strict=false"}, "digest: insecureReplace"},
		{"not strict by the values", []string{"values.yaml"}, "digest: insecureReplace"},
		{"roles", []string{"open.yaml", "--roles", "targets,targets/a", "--roles", "targets/b"}, "roles:\n        - \"targets\"\n        - \"targets/a\"\n        - \"targets/b\"\n"},
		{"unanchored", []string{"open.yaml", "--insecure-unanchored"}, `["[^/]*localhost[^/]*/[^:]*|[^/]*/[^:]*localhost[^:]*"]`},
		{"anchored", []string{"open.yaml"}, `["localhost.*"]`},
		{"namespaces", []string{"open.yaml", "--ignored-namespaces", "sighup.io/webhook=ignore"}, "operator: NotIn"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := runAssay(t, "", append([]string{"policy", "import", enforcer}, row.args...)...)
			if r.code != exitAllowed || !strings.Contains(r.stdout, row.want) {
				t.Errorf("got exit %d, want %q in\n%s%s", r.code, row.want, r.stdout, r.stderr)
			}
		})
	}
	if r := runAssay(t, "", "policy", "import", enforcer, "trust.yaml", "--notary-ca", "ca.pem"); !strings.Contains(r.stderr, `  caFile: "notary.acme.example-4443-ca.pem"`) {
		t.Errorf("a CA of the server: got\n%s", r.stderr)
	}
}

// The settings of the servers are written as they are read, and a password stands in a file of its own that nobody else can read.
func TestImportWritesSettings(t *testing.T) {
	importFiles(t)
	if err := os.Mkdir("etc", 0o700); err != nil {
		t.Fatal(err)
	}
	args := []string{"policy", "import", enforcer, "trust.yaml", "--notary-ca", "ca.pem", "--registries-out", "etc/registries.yaml", "-o", "etc/policy.yaml"}
	r := runAssay(t, "", args...)
	if r.code != exitAllowed || r.stdout != "" || strings.Contains(r.stderr, "not-to-be-shown") || !strings.Contains(r.stderr, "assay: wrote etc/notary.acme.example-4443.password (mode 0600)\n") ||
		!strings.Contains(r.stderr, "assay verify --policy etc/policy.yaml --registries etc/registries.yaml IMAGE") {
		t.Fatalf("got exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	data, err := os.ReadFile("etc/registries.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file registriesFile
	if err := policy.Decode("registries.yaml", data, &file); err != nil {
		t.Fatal(err)
	}
	anchor(file.Registries, "etc")
	if _, err := registry.New(registry.Config{Registries: file.Registries}); err != nil {
		t.Errorf("the settings cannot be used: %v\n%s", err, data)
	}
	password, err := os.ReadFile("etc/notary.acme.example-4443.password")
	if err != nil || string(password) != "not-to-be-shown" {
		t.Errorf("got %q, %v", password, err)
	}
	info, err := os.Stat("etc/notary.acme.example-4443.password")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	if _, err := policy.Parse(policy.Source{Name: "policy.yaml", Data: mustRead(t, "etc/policy.yaml")}, []string{"notaryv1"}); err != nil {
		t.Error(err)
	}
	r = runAssay(t, "", args...)
	if r.code != exitUsage || !strings.Contains(r.stderr, "file exists\nassay: hint: no file is overwritten; move it away, or name another one") {
		t.Errorf("again: got exit %d\n%s", r.code, r.stderr)
	}
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Where one file cannot be written, none is left.
func TestImportWritesAllOrNothing(t *testing.T) {
	importFiles(t)
	if err := os.WriteFile("registries.yaml", []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--registries-out", "registries.yaml"},
		{"--registries-out", "other.yaml", "-o", "nowhere/policy.yaml"},
		{"--registries-out", "other.yaml", "-o", "trust.yaml"},
	} {
		r := runAssay(t, "", append([]string{"policy", "import", enforcer, "trust.yaml"}, args...)...)
		if r.code != exitUsage || r.stdout != "" {
			t.Errorf("%v: got exit %d\n%s%s", args, r.code, r.stdout, r.stderr)
		}
		for _, name := range []string{"notary.acme.example-4443.password", "other.yaml"} {
			if _, err := os.Stat(name); !os.IsNotExist(err) {
				t.Errorf("%v: %s was left: %v", args, name, err)
			}
		}
		if got := string(mustRead(t, "registries.yaml")); got != "mine\n" {
			t.Errorf("%v: a file was overwritten with %q", args, got)
		}
	}
}

func TestImportPlugin(t *testing.T) {
	importFiles(t)
	r := runAssay(t, "", "policy", "import", "img-authz-plugin")
	if r.code != exitAllowed || !strings.Contains(r.stdout, `images: ["docker.io/**"]`) || !strings.Contains(r.stderr, "assay: warning: NOTARY: before: https://notary.docker.io; now: the same, but this server ends on 2026-12-08") ||
		strings.Contains(r.stderr, "registries:") {
		t.Errorf("defaults: got exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	empty := runAssay(t, "", "policy", "import", "img-authz-plugin", "REGISTRY=", "NOTARY=", "NOTARY_ROOT_CA=")
	if empty.stdout != r.stdout {
		t.Errorf("empty settings are not the defaults\n%s", empty.stdout)
	}
	for _, ca := range []string{"ca.pem", string(mustRead(t, "ca.pem"))} {
		folder := t.TempDir()
		r = runAssay(t, "", "policy", "import", "img-authz-plugin", "REGISTRY=registry.acme.example:5000", "NOTARY=notary.acme.example:4443", "NOTARY_ROOT_CA="+ca,
			"--registries-out", filepath.Join(folder, "registries.yaml"))
		if r.code != exitAllowed || !strings.Contains(r.stdout, `images: ["registry.acme.example:5000/**"]`) || !strings.Contains(r.stdout, `server: "https://notary.acme.example:4443"`) {
			t.Errorf("got exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		if got := string(mustRead(t, filepath.Join(folder, "notary.acme.example-4443-ca.pem"))); got != string(mustRead(t, "ca.pem")) {
			t.Errorf("got CA %q", got)
		}
		if got := string(mustRead(t, filepath.Join(folder, "registries.yaml"))); got != "registries:\n- host: \"notary.acme.example:4443\"\n  # the CA that was given\n  caFile: \"notary.acme.example-4443-ca.pem\"\n" {
			t.Errorf("got settings\n%s", got)
		}
	}
	r = runAssay(t, "", "policy", "import", "img-authz-plugin", "--registries-out", "none.yaml")
	if _, err := os.Stat("none.yaml"); !os.IsNotExist(err) || !strings.Contains(r.stderr, "no server needs settings; none.yaml is not written") {
		t.Errorf("got %v\n%s", err, r.stderr)
	}
}

func TestImportErrors(t *testing.T) {
	importFiles(t)
	_, private := newKeyPair(t)
	for name, content := range map[string]string{
		"anchors.yaml": "repositories: [{name: x, trust: &a {enabled: false}}, {name: y, trust: *a}]\n", "private.pem": private, "empty.yaml": "",
		"bad.yaml": "repositories:\n- name: r.example/.*\n  namespace: x\n  trust: {enabled: false}\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"an unknown system", []string{"connaisseur"}, `nothing is imported from "connaisseur"` + "\nassay: hint: there is: container-signature-enforcer, opa-notary-connector, img-authz-plugin"},
		{"a mistyped system", []string{"img-auth-plugin"}, "assay: hint: did you mean assay policy import img-authz-plugin?"},
		{"a part of a system", []string{"opa"}, "assay: hint: did you mean assay policy import opa-notary-connector?"},
		{"no file", []string{enforcer}, "accepts 1 arg(s), received 0"},
		{"an absent file", []string{enforcer, "nowhere.yaml"}, "nowhere.yaml"},
		{"an empty file", []string{enforcer, "empty.yaml"}, "empty.yaml:1:1: the document is empty"},
		{"a bad file", []string{enforcer, "bad.yaml"}, "bad.yaml:3:3: repositories[0].namespace: unknown field"},
		{"anchors", []string{enforcer, "anchors.yaml"}, "assay: hint: yq 'explode(.)' FILE writes the values out; give its output by -"},
		{"an absent root", []string{enforcer, "trust.yaml", "--root-ca", "nowhere.pem"}, "--root-ca: open nowhere.pem"},
		{"a root that is none", []string{enforcer, "trust.yaml", "--root-key", "ca.pem"}, `--root-key "ca.pem": a "CERTIFICATE", want a PUBLIC KEY`},
		{"a private root", []string{enforcer, "trust.yaml", "--root-key", "private.pem"}, "a private key, which belongs to the signer alone"},
		{"two kinds of root", []string{enforcer, "trust.yaml", "--root-ca", "ca.pem", "--root-certificate", "ca.pem"}, "keep one kind"},
		{"an empty name", []string{enforcer, "trust.yaml", "--name", ""}, "is empty; is a variable not set?"},
		{"a name that is none", []string{enforcer, "trust.yaml", "--name", "A"}, `name "A"`},
		{"an empty role", []string{enforcer, "trust.yaml", "--roles", "targets,"}, `"" is no name of a role`},
		{"a CA that is none", []string{enforcer, "trust.yaml", "--notary-ca", "private.pem"}, "--notary-ca"},
		{"half a label", []string{enforcer, "trust.yaml", "--ignored-namespaces", "x"}, "want key=value"},
		{"no setting", []string{"img-authz-plugin", "docker.io"}, `"docker.io": want KEY=VALUE` + "\nassay: hint: keys are REGISTRY, NOTARY, NOTARY_ROOT_CA"},
		{"an unknown setting", []string{"img-authz-plugin", "REGISTRIES=x"}, "REGISTRIES: the plugin has no such setting\nassay: hint: did you mean REGISTRY?"},
		{"a setting twice", []string{"img-authz-plugin", "NOTARY=a.example", "NOTARY=b.example"}, "NOTARY: given a second time; only one can hold"},
		{"a CA that is a key", []string{"img-authz-plugin", "NOTARY_ROOT_CA=private.pem"}, "NOTARY_ROOT_CA: a private key"},
		{"an absent CA", []string{"img-authz-plugin", "NOTARY_ROOT_CA=nowhere.pem"}, "NOTARY_ROOT_CA: open nowhere.pem"},
		{"a bad registry", []string{"img-authz-plugin", "REGISTRY=https://x.example"}, "REGISTRY: is a URL"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := runAssay(t, "", append([]string{"policy", "import"}, row.args...)...)
			if r.code != exitUsage || r.stdout != "" || !strings.Contains(r.stderr, row.want) {
				t.Errorf("got exit %d, want 64 and %q\n%s%s", r.code, row.want, r.stdout, r.stderr)
			}
		})
	}
}

// The help has examples, and the shell completes systems and settings.
func TestImportHelpAndCompletion(t *testing.T) {
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"policy", "import", "--help"}, "img-authz-plugin"},
		{[]string{"policy", "import"}, "img-authz-plugin"},
		{[]string{"policy", "import", enforcer, "--help"}, "Examples:\n  assay policy import container-signature-enforcer trust.yaml"},
		{[]string{"policy", "import", "img-authz-plugin", "--help"}, "Examples:\n  assay policy import img-authz-plugin REGISTRY="},
		{[]string{"__complete", "policy", "import", ""}, enforcer},
		{[]string{"__complete", "policy", "import", enforcer, ""}, "yaml\nyml\n:8"},
		{[]string{"__complete", "policy", "import", enforcer, "--ignored-namespaces", ""}, "sighup.io/webhook=ignore"},
		{[]string{"__complete", "policy", "import", "img-authz-plugin", ""}, "REGISTRY=\nNOTARY=\nNOTARY_ROOT_CA=\n"},
	} {
		if r := runAssay(t, "", row.args...); r.code != exitAllowed || !strings.Contains(r.stdout, row.want) {
			t.Errorf("%v: got exit %d\n%s%s", row.args, r.code, r.stdout, r.stderr)
		}
	}
}

// Files that are made are made anew: a name that is there is not followed or filled.
func TestImportFollowsNoLink(t *testing.T) {
	importFiles(t)
	if err := os.Symlink("trust.yaml", "notary.acme.example-4443.password"); err != nil {
		t.Fatal(err)
	}
	before := string(mustRead(t, "trust.yaml"))
	r := runAssay(t, "", "policy", "import", enforcer, "trust.yaml", "--registries-out", "registries.yaml")
	if r.code != exitUsage || string(mustRead(t, "trust.yaml")) != before {
		t.Errorf("got exit %d\n%s", r.code, r.stderr)
	}
	if info, err := os.Lstat("notary.acme.example-4443.password"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link was removed: %v, %v", info, err)
	}
}
