package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust/certificate"
)

// signWorld is a registry with an image, a CA in files, and an empty working directory.
type signWorld struct {
	t      *testing.T
	server *registrytest.Server
	digest image.Digest
	files  string // folder with ca.pem, ca.key and the docker config
	work   string // the working directory
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	env    map[string]string

	stdout, stderr bytes.Buffer
}

func newSignWorld(t *testing.T) *signWorld {
	t.Helper()
	w := &signWorld{t: t, server: registrytest.New(t, registrytest.Options{}), files: t.TempDir(), work: t.TempDir()}
	t.Chdir(w.work)
	w.digest = w.server.PushImage("app", "latest", "", "app")
	w.env = map[string]string{"DOCKER_CONFIG": w.files}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.key = key
	w.cert = w.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	w.write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.cert.Raw}))
	w.write("ca.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return w
}

// issue issues a certificate; the first one is the CA's own.
func (w *signWorld) issue(template *x509.Certificate) *x509.Certificate {
	w.t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent := w.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, w.key.Public(), w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *signWorld) write(name string, content []byte) string {
	w.t.Helper()
	path := filepath.Join(w.files, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// leafFile writes a certificate for the image and returns its absolute path.
func (w *signWorld) leafFile(name string) string {
	w.t.Helper()
	leaf := w.issue(&x509.Certificate{Subject: pkix.Name{CommonName: certificate.CommonName("dia-", w.digest)}})
	return w.write(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
}

// image is the name of the image without a tag: host, port and repository.
func (w *signWorld) image() string { return w.server.Host() + "/app" }

// withCA are the flags that name the CA in files.
func (w *signWorld) withCA(args ...string) []string {
	return append([]string{"--ca-cert", filepath.Join(w.files, "ca.pem"), "--ca-key", filepath.Join(w.files, "ca.key")}, args...)
}

// assay runs "assay sign".
func (w *signWorld) assay(args ...string) int {
	return w.run(append([]string{"assay", "sign"}, args...))
}

func (w *signWorld) run(args []string) int {
	w.t.Helper()
	w.stdout.Reset()
	w.stderr.Reset()
	a := &app{stdin: strings.NewReader(""), stdout: &w.stdout, stderr: &w.stderr, getenv: func(name string) string { return w.env[name] }, now: time.Now}
	return a.run(w.t.Context(), args)
}

// expect runs a command line and checks how it ends and what it says on stderr.
func (w *signWorld) expect(args []string, code int, text string) {
	w.t.Helper()
	if got := w.run(args); got != code || !strings.Contains(w.stderr.String(), text) {
		w.t.Errorf("%q: exit code %d, stderr %q, want %d and %q", args, got, w.stderr.String(), code, text)
	}
}

// stored returns the certificates that lie beside the image, and the media type of their manifest.
func (w *signWorld) stored(d image.Digest) (certs []*x509.Certificate, mediaType string) {
	w.t.Helper()
	mediaType, manifest := w.server.Manifest("app", certificate.Tag(d))
	layer, err := certificate.Layer(mediaType, manifest)
	if err != nil {
		w.t.Fatal(err)
	}
	response, err := http.Get(w.server.URL() + "/v2/app/blobs/" + layer.Digest.String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	var blob bytes.Buffer
	if _, err := blob.ReadFrom(response.Body); err != nil {
		w.t.Fatal(err)
	}
	b, err := certificate.Unpack(blob.Bytes())
	if err != nil {
		w.t.Fatal(err)
	}
	return b.Certificates, mediaType
}

// pushed reports whether anything was written to the registry.
func (w *signWorld) pushed() bool {
	for _, r := range w.server.Requests() {
		if r.Method == http.MethodPut || r.Method == http.MethodPost {
			return true
		}
	}
	return false
}

// DIA-22
func TestDIA22_FlagsMeanWhatTheyMeant(t *testing.T) {
	for name, dia := range map[string]bool{"assay sign": false, "dia-sign.sh": true} {
		t.Run(name, func(t *testing.T) {
			w := newSignWorld(t)
			command := []string{"assay", "sign", "--compat", "dia"}
			if dia {
				command = []string{"/usr/local/bin/dia-sign.sh"}
			}
			with := func(args ...string) []string { return append(append([]string(nil), command...), args...) }
			w.expect(with("-h"), 0, "")
			if !strings.Contains(w.stdout.String(), "--cert") {
				t.Errorf("help = %q", w.stdout.String())
			}
			w.expect(with("--help"), 0, "")
			w.expect(with("-c", w.leafFile("image.crt"), "-d", w.digest.Hex(), w.image()), 0, "")
			certs, mediaType := w.stored(w.digest)
			if len(certs) != 1 || len(certs[0].URIs) != 0 || mediaType != "application/vnd.docker.distribution.manifest.v2+json" {
				t.Errorf("%d certificates in %s", len(certs), mediaType)
			}
			w.expect(with("--cert", w.leafFile("other.crt"), w.image()+":latest"), 0, "replaced the certificate")
			w.expect(with(w.image()), exitUsage, "--cert")
		})
	}
}

// DIA-23
func TestDIA23_DigestsAndUnknownOptions(t *testing.T) {
	w := newSignWorld(t)
	cert := w.leafFile("image.crt")
	sign := func(args ...string) []string { return append([]string{"assay", "sign", "-c", cert}, args...) }
	for _, bad := range []string{"abc", w.digest.String(), w.digest.Hex() + "0", strings.Repeat("g", 64), w.digest.Hex()[:63]} {
		w.expect(sign("-d", bad, w.image()), 2, "Digest is not sha256")
	}
	w.expect(sign(w.image()+":missing"), 2, "Image digest not found")
	w.expect(sign("--nonsense", w.image()), exitUsage, "Unknown option --nonsense")
	w.expect([]string{"dia-sign.sh", "--nonsense", w.image()}, 1, "Unknown option --nonsense")
	w.expect([]string{"dia-sign.sh", "-x", w.image()}, 1, "Unknown option -x")
	w.expect([]string{"dia-sign.sh", "-c", cert, "-d", "abc", w.image()}, 2, "Digest is not sha256")
	if w.pushed() {
		t.Error("something was pushed")
	}
	w.expect(sign("-d", strings.ToUpper(w.digest.Hex()), w.image()), 0, "")
	if certs, _ := w.stored(w.digest); len(certs) != 1 {
		t.Error("no certificate under the tag in lower case")
	}
	other := image.SHA256([]byte("other"))
	w.expect(sign("-d", other.Hex(), w.image()+"@"+w.digest.String()), exitUsage, "is not the digest of")
}

// DIA-24: no tag, a port, no daemon (DOCKER_HOST leads nowhere), no file left behind. The key of the certificate is on no disk either.
func TestDIA24_HostAndPortWithoutTag(t *testing.T) {
	w := newSignWorld(t)
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	t.Setenv("TMPDIR", t.TempDir())
	before := listing(t, w.work, w.files, os.TempDir())
	w.expect(append([]string{"assay", "sign"}, w.withCA(w.image())...), 0, "")
	if diff := cmp.Diff(before, listing(t, w.work, w.files, os.TempDir())); diff != "" {
		t.Errorf("files were left: %s", diff)
	}
	if want := "signed " + w.image() + "@" + w.digest.String() + " with CN=dia-" + w.digest.Hex()[:40] + ", serial "; !strings.HasPrefix(w.stdout.String(), want) {
		t.Errorf("stdout = %q, want %q", w.stdout.String(), want)
	}
	certs, mediaType := w.stored(w.digest)
	if len(certs) != 1 || certs[0].URIs[0].String() != "oci://"+w.image()+"@"+w.digest.String() || mediaType != "application/vnd.oci.image.manifest.v1+json" {
		t.Errorf("%d certificates in %s", len(certs), mediaType)
	}
	w.env["DOCKER_REG_IMAGE"] = w.image()
	w.expect(append([]string{"assay", "sign"}, w.withCA()...), 0, "")
}

func listing(t *testing.T, folders ...string) []string {
	t.Helper()
	var names []string
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			names = append(names, path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// DIA-25
func TestDIA25_FailedPushesAndAmbiguousLogs(t *testing.T) {
	w := newSignWorld(t)
	vault := newVault(w)
	log := func(digests ...image.Digest) {
		var b strings.Builder
		for _, d := range digests {
			b.WriteString("latest: digest: " + d.String() + " size: 528\n")
		}
		if err := os.WriteFile(pushLog, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := w.server.PushImage("app", "other", "", "other")
	log(w.digest, other)
	w.expect([]string{"dia-sign.sh", w.image()}, 2, "tells several digests")
	log()
	w.expect([]string{"dia-sign.sh", w.image()}, 2, "Image digest not found")
	if w.pushed() || len(vault.calls) != 0 {
		t.Errorf("pushed %t, %d calls to Vault, want none", w.pushed(), len(vault.calls))
	}
	log(other, other)
	w.expect([]string{"dia-sign.sh", w.image()}, 0, other.String())
	if certs, _ := w.stored(other); !strings.Contains(certs[0].Subject.CommonName, other.Hex()[:40]) {
		t.Errorf("certificate of %s, want of the digest in the log", certs[0].Subject)
	}
	w.server.SetFault(func(r *http.Request) bool { return r.Method == http.MethodPut }, registrytest.Status(http.StatusForbidden, nil, ""))
	if code := w.assay(w.withCA(w.image())...); code != 2 || !strings.Contains(w.stderr.String(), "403") || w.stdout.Len() != 0 {
		t.Errorf("exit code %d, stdout %q, stderr %q, want 2", code, w.stdout.String(), w.stderr.String())
	}
}

// vaultCall is one call to a vaultServer.
type vaultCall struct {
	Request string
	Token   string
	Body    map[string]string
}

// vaultServer answers as Vault's login and issue endpoints do, and counts the calls.
type vaultServer struct {
	world *signWorld
	mu    sync.Mutex
	calls []vaultCall
}

const jobToken = "eyJ.job-token.sig"

// newVault starts a Vault and sets the environment of a job of DIA.
func newVault(w *signWorld) *vaultServer {
	v := &vaultServer{world: w}
	server := httptest.NewServer(v)
	w.t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"VAULT_ADDR": server.URL, "VAULT_AUTH_PATH": "auth/jwt/gitlab", "VAULT_AUTH_ROLE": "signer", "VAULT_PKI_PATH": "pki/issue/by-gitlab-id",
		"CI_JOB_JWT": jobToken, "CI_PROJECT_ID": "42", "CI_JOB_ID": "1001",
	} {
		w.env[name] = value
	}
	return v
}

func (v *vaultServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := vaultCall{Request: r.Method + " " + r.URL.Path, Token: r.Header.Get("X-Vault-Token")}
	if err := json.NewDecoder(r.Body).Decode(&c.Body); err != nil {
		v.world.t.Error(err)
	}
	v.mu.Lock()
	v.calls = append(v.calls, c)
	v.mu.Unlock()
	answer := map[string]any{"auth": map[string]any{"client_token": "hvs.login"}}
	if strings.Contains(r.URL.Path, "/pki/") {
		leaf := v.world.issue(&x509.Certificate{Subject: pkix.Name{CommonName: c.Body["common_name"]}})
		answer = map[string]any{"data": map[string]any{
			"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})), "private_key": "very private",
		}}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// DIA-26: the calls and their fields, and no trace of key or tokens.
func TestDIA26_GitLabJob(t *testing.T) {
	w := newSignWorld(t)
	vault := newVault(w)
	t.Setenv("TMPDIR", t.TempDir())
	before := listing(t, w.work, w.files, os.TempDir())
	w.expect([]string{"dia-sign.sh", w.image()}, 0, "")
	want := []vaultCall{
		{Request: "PUT /v1/auth/jwt/gitlab/login", Body: map[string]string{"role": "signer", "jwt": jobToken}},
		{Request: "PUT /v1/pki/issue/by-gitlab-id", Token: "hvs.login", Body: map[string]string{
			"common_name": "dia-42-" + w.digest.Hex()[:40], "alt_names": "dia-42-1001", "ttl": "600",
		}},
	}
	if diff := cmp.Diff(want, vault.calls); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, listing(t, w.work, w.files, os.TempDir())); diff != "" {
		t.Errorf("files were left: %s", diff)
	}
	for _, secret := range []string{"very private", jobToken, "hvs.login"} {
		if strings.Contains(w.stdout.String()+w.stderr.String(), secret) {
			t.Errorf("the output tells %q", secret)
		}
	}
	w.env["VAULT_PKI_TTL"] = "5m"
	w.expect([]string{"dia-sign.sh", w.image()}, 0, "")
	if got := vault.calls[3].Body["ttl"]; got != "300" {
		t.Errorf("ttl = %q, want 300", got)
	}
}

// DIA-27
func TestDIA27_TokenOfIDTokens(t *testing.T) {
	w := newSignWorld(t)
	vault := newVault(w)
	delete(w.env, "CI_JOB_JWT")
	w.expect([]string{"dia-sign.sh", w.image()}, exitUsage, "CI_JOB_JWT: holds no token")
	w.expect([]string{"dia-sign.sh", "--id-token-env", "MY_TOKEN", w.image()}, exitUsage, "MY_TOKEN and CI_JOB_JWT: holds no token")
	w.env["MY_TOKEN"] = "eyJ.id-token.sig"
	w.expect([]string{"dia-sign.sh", "--id-token-env", "MY_TOKEN", w.image()}, 0, "")
	if len(vault.calls) != 2 || vault.calls[0].Body["jwt"] != "eyJ.id-token.sig" {
		t.Errorf("calls = %+v, want a login with the id token", vault.calls)
	}
	delete(w.env, "MY_TOKEN")
	w.env["CI_JOB_JWT"] = jobToken
	w.expect([]string{"dia-sign.sh", "--id-token-env", "MY_TOKEN", w.image()}, 0, "")
	if vault.calls[2].Body["jwt"] != jobToken {
		t.Errorf("calls = %+v, want a login with CI_JOB_JWT", vault.calls[2])
	}
	delete(w.env, "CI_JOB_JWT")
	w.env["VAULT_TOKEN"] = "hvs.own"
	w.expect([]string{"dia-sign.sh", w.image()}, 0, "")
	if got := vault.calls[4]; got.Token != "hvs.own" || len(vault.calls) != 5 {
		t.Errorf("calls = %+v, want an issue call with VAULT_TOKEN alone", vault.calls[4:])
	}
}

func TestSignJSON(t *testing.T) {
	w := newSignWorld(t)
	digest, _ := w.server.PushIndex("app", "multi", map[string]string{"linux/amd64": "a", "linux/arm64": "b"})
	for run, replaced := range []bool{false, true} {
		w.expect(append([]string{"assay", "sign"}, w.withCA("--recursive", "-o", "json", w.image()+":multi")...), 0, "")
		lines := strings.Split(strings.TrimSpace(w.stdout.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("run %d: %d lines, want 3", run, len(lines))
		}
		var first signedJSON
		if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
			t.Fatal(err)
		}
		if first.Digest != digest.String() || first.Tag != certificate.Tag(digest) || first.Serial == "" || first.NotAfter.Before(time.Now()) || (first.Replaced != nil) != replaced {
			t.Errorf("run %d: %s", run, lines[0])
		}
	}
}

func TestSignCertificateFiles(t *testing.T) {
	w := newSignWorld(t)
	name := w.leafFile("image.crt")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	packed := base64.StdEncoding.EncodeToString(content)
	key, err := os.ReadFile(filepath.Join(w.files, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		file string
		code int
		text string
	}{
		{"PEM", name, 0, ""},
		{"the same again", name, 0, ""},
		{"base64", w.write("packed", []byte(packed[:64]+"\n"+packed[64:]+"\n")), 0, ""},
		{"nothing", w.write("empty", nil), exitUsage, "CERTIFICATE"},
		{"junk", w.write("junk", []byte("!")), exitUsage, "neither PEM nor base64"},
		{"no file", filepath.Join(w.files, "missing"), exitUsage, "missing"},
		{"a key beside it", w.write("both", append(content, key...)), exitUsage, "PRIVATE KEY"},
	} {
		w.expect([]string{"assay", "sign", "--cert", c.file, w.image()}, c.code, c.text)
		if c.name == "the same again" && !strings.HasPrefix(w.stdout.String(), "unchanged ") {
			t.Errorf("stdout = %q, want unchanged", w.stdout.String())
		}
	}
}

func TestSignRefusesContradictions(t *testing.T) {
	w := newSignWorld(t)
	for text, args := range map[string][]string{
		"no image":                         w.withCA(),
		"sign takes one":                   w.withCA(w.image(), w.image()),
		"comes from one place":             w.withCA("--cert", "x", w.image()),
		"nothing says where":               {w.image()},
		"belong together":                  {"--ca-cert", "x", w.image()},
		"want dia or none":                 w.withCA("--compat", "x", w.image()),
		"want text or json":                w.withCA("-o", "yaml", w.image()),
		"one certificate names one digest": {"--cert", "x", "--recursive", w.image()},
		"is negative":                      w.withCA("--ttl", "-1s", w.image()),
		"DIA's form has no time stamp":     w.withCA("--timestamp-url", "http://x", "--compat", "dia", w.image()),
		"could not parse reference":        w.withCA("Upper/Case:x:y"),
		"VAULT_ADDR":                       {"--vault-pki-path", "pki/issue/x", "--vault-auth-path", "auth/jwt", w.image()},
	} {
		if text == "VAULT_ADDR" {
			w.env["CI_JOB_JWT"] = jobToken
		}
		w.expect(append([]string{"assay", "sign"}, args...), exitUsage, text)
	}
	if w.pushed() {
		t.Error("something was pushed")
	}
}
