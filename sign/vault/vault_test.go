package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/trust/certificate"
)

const (
	jwt         = "eyJhbGciOiJSUzI1NiJ9.secret-job-token.sig"
	clientToken = "hvs.client-token-of-the-login"
	privateKey  = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----"
)

var app = image.MustParse("registry.example/team/app").At(image.SHA256([]byte("app")))

// call is what a fake of Vault was asked.
type call struct {
	Method, Path, Token, Namespace string
	Body                           map[string]any
}

// fake answers as Vault's JWT login and PKI engine do, counts the calls, and can misbehave.
type fake struct {
	t     *testing.T
	fault http.HandlerFunc        // in place of the issue call
	edit  func(*x509.Certificate) // of the leaf
	data  func(map[string]any)    // of the issue call's answer

	mu    sync.Mutex
	calls []call
	key   *ecdsa.PrivateKey
	certs []*x509.Certificate // intermediate, root
}

func newFake(t *testing.T) (*fake, *httptest.Server) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, key: key}
	ca := func(name string) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	root := f.certificate(ca("Root"), nil)
	f.certs = []*x509.Certificate{f.certificate(ca("Middle"), root), root}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, server
}

// certificate issues a certificate; all of them share one key.
func (f *fake) certificate(template, parent *x509.Certificate) *x509.Certificate {
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, f.key.Public(), f.key)
	if err != nil {
		f.t.Error(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Error(err)
	}
	return c
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := call{Method: r.Method, Path: r.URL.Path, Token: r.Header.Get("X-Vault-Token"), Namespace: r.Header.Get("X-Vault-Namespace")}
	if err := json.NewDecoder(r.Body).Decode(&c.Body); err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/login"):
		reply(w, map[string]any{"auth": map[string]any{"client_token": clientToken}})
	case f.fault != nil:
		f.fault(w, r)
	default:
		reply(w, map[string]any{"data": f.issue(c.Body)})
	}
}

func (f *fake) issue(body map[string]any) map[string]any {
	name, _ := body["common_name"].(string)
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(10 * time.Minute),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if text, ok := body["uri_sans"].(string); ok {
		u, err := url.Parse(text)
		if err != nil {
			f.t.Error(err)
		}
		leaf.URIs = []*url.URL{u}
	}
	if f.edit != nil {
		f.edit(leaf)
	}
	data := map[string]any{
		"certificate": "\n" + pemOf(f.certificate(leaf, f.certs[0])) + "\n\n", "issuing_ca": pemOf(f.certs[0]),
		"ca_chain": []string{pemOf(f.certs[0]), pemOf(f.certs[1])}, "private_key": privateKey,
	}
	if f.data != nil {
		f.data(data)
	}
	return data
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func config(server *httptest.Server) Config {
	return Config{Address: server.URL, AuthPath: "/auth/jwt/gitlab/", Role: "signer", JWT: jwt + "\n", IssuePath: "pki/issue/by-gitlab-id", Timeout: 2 * time.Second}
}

func request(dia bool) sign.Request {
	r := sign.Request{Ref: app, CommonName: certificate.CommonName("dia-42-", app.Digest()), AltNames: []string{"dia-42-1001"}, TTL: 10 * time.Minute}
	if !dia {
		r.URIs = []*url.URL{certificate.SAN(app)}
	}
	return r
}

func newClient(t *testing.T, c Config) *Client {
	t.Helper()
	client, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// DIA-26: exactly a login and an issue call, with DIA's fields.
func TestDIA26_OneLoginAndOneIssueCall(t *testing.T) {
	for name, dia := range map[string]bool{"DIA's form": true, "Assay's form": false} {
		t.Run(name, func(t *testing.T) {
			f, server := newFake(t)
			certs, err := newClient(t, config(server)).Issue(t.Context(), request(dia))
			if err != nil {
				t.Fatal(err)
			}
			issue := map[string]any{"common_name": "dia-42-" + app.Digest().Hex()[:40], "alt_names": "dia-42-1001", "ttl": "600"}
			if !dia {
				issue["uri_sans"] = certificate.SAN(app).String()
			}
			want := []call{
				{Method: http.MethodPut, Path: "/v1/auth/jwt/gitlab/login", Body: map[string]any{"role": "signer", "jwt": jwt}},
				{Method: http.MethodPut, Path: "/v1/pki/issue/by-gitlab-id", Token: clientToken, Body: issue},
			}
			if diff := cmp.Diff(want, f.calls); diff != "" {
				t.Error(diff)
			}
			// The leaf and the intermediate; the root is left out.
			if len(certs) != 2 || !certs[1].Equal(f.certs[0]) {
				t.Errorf("%d certificates, want 2", len(certs))
			}
		})
	}
}

// DIA-26: the environment adds nothing to the calls.
func TestDIA26_EnvironmentIsNotRead(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "hvs.of-the-environment")
	t.Setenv("VAULT_NAMESPACE", "elsewhere")
	t.Setenv("VAULT_WRAP_TTL", "60s")
	f, server := newFake(t)
	if _, err := newClient(t, config(server)).Issue(t.Context(), request(true)); err != nil {
		t.Fatal(err)
	}
	for _, c := range f.calls {
		if c.Namespace != "" || c.Token != "" && c.Token != clientToken {
			t.Errorf("call %+v carries what the environment says", c)
		}
	}
}

func TestSecondCertificateCostsNoLogin(t *testing.T) {
	f, server := newFake(t)
	client := newClient(t, config(server))
	for range 2 {
		if _, err := client.Issue(t.Context(), request(false)); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.calls) != 3 {
		t.Errorf("%d calls, want 3", len(f.calls))
	}
}

func TestTokenNeedsNoLogin(t *testing.T) {
	f, server := newFake(t)
	c := config(server)
	c.AuthPath, c.Role, c.JWT, c.Token, c.Namespace = "", "", "", "hvs.given", "team"
	if _, err := newClient(t, c).Issue(t.Context(), request(false)); err != nil {
		t.Fatal(err)
	}
	if len(f.calls) != 1 || f.calls[0].Token != "hvs.given" || f.calls[0].Namespace != "team" {
		t.Errorf("calls = %+v, want one with the token and the namespace", f.calls)
	}
}

// DIA-26: a failure is told once, without tokens, and is not tried again.
func TestDIA26_FaultsCostOneCallAndTellNoToken(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = fmt.Fprint(w, body) }
	}
	for name, c := range map[string]struct {
		fault http.HandlerFunc
		want  string
	}{
		"denied":         {status(403, `{"errors":["permission denied for `+clientToken+` and `+jwt+`"]}`), "403 Forbidden: permission denied"},
		"broken":         {status(500, "oops"), "500"},
		"sealed":         {status(503, `{"errors":["Vault is sealed"]}`), "Vault is sealed"},
		"behind":         {status(412, `{"errors":["required index state not present"]}`), "412"},
		"no certificate": {status(200, `{"data":{"private_key":"x"}}`), "no certificate"},
		"empty":          {status(204, ""), "issue at"},
		"redirected": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, "redirects to"},
		"T43 an endless answer": {endless, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			f, server := newFake(t)
			f.fault = c.fault
			_, err := newClient(t, config(server)).Issue(t.Context(), request(false))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "vault: issue at pki/issue/by-gitlab-id: ") {
				t.Fatalf("error = %v, want one with %q", err, c.want)
			}
			if text := err.Error(); strings.Contains(text, jwt) || strings.Contains(text, clientToken) {
				t.Errorf("error tells a token: %s", text)
			}
			if len(f.calls) != 2 {
				t.Errorf("%d calls, want 2", len(f.calls))
			}
		})
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	chunk := []byte(strings.Repeat(" ", 32<<10))
	for r.Context().Err() == nil {
		if _, err := w.Write(chunk); err != nil {
			return
		}
		time.Sleep(time.Millisecond) // slow enough for a reader without a limit to meet its deadline first
	}
}

// What does not say what was asked for would vouch for nothing.
func TestIssueRefusesAnotherCertificate(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*x509.Certificate)
		data func(map[string]any)
		want string
	}{
		"another common name":     {edit: func(c *x509.Certificate) { c.Subject.CommonName = "dia-other" }, want: "common name"},
		"no URI":                  {edit: func(c *x509.Certificate) { c.URIs = nil }, want: "allowed_uri_sans"},
		"no code signing":         {edit: func(c *x509.Certificate) { c.ExtKeyUsage = nil }, want: "code_signing_flag"},
		"no PEM":                  {data: func(d map[string]any) { d["certificate"] = "x" }, want: "certificate"},
		"a key for a certificate": {data: func(d map[string]any) { d["certificate"] = privateKey }, want: "PRIVATE KEY"},
		"a broken chain":          {data: func(d map[string]any) { d["ca_chain"] = []string{"x"} }, want: "CA chain"},
		"a foreign chain": {data: func(d map[string]any) {
			other, _ := newFake(t)
			d["ca_chain"] = []string{pemOf(other.certs[0])}
		}, want: "did not issue"},
	} {
		t.Run(name, func(t *testing.T) {
			f, server := newFake(t)
			f.edit, f.data = c.edit, c.data
			if _, err := newClient(t, config(server)).Issue(t.Context(), request(false)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{Address: "https://vault.example", IssuePath: "pki/issue/x", Token: "t"}
	for name, c := range map[string]struct {
		edit func(*Config)
		want string
	}{
		"no issue path":     {func(c *Config) { c.IssuePath = "/" }, "no path to issue at"},
		"no token":          {func(c *Config) { c.Token = " " }, "neither a token nor"},
		"token and login":   {func(c *Config) { c.AuthPath, c.Role, c.JWT = "auth/jwt", "r", "j" }, "both"},
		"half a login":      {func(c *Config) { c.Token, c.AuthPath, c.JWT = "", "auth/jwt", "j" }, "a login needs"},
		"no address":        {func(c *Config) { c.Address = "" }, "address"},
		"a password":        {func(c *Config) { c.Address = "https://me:secret@vault.example" }, "password"},
		"plain text":        {func(c *Config) { c.Address = "http://vault.example:8200" }, "plain text"},
		"a socket":          {func(c *Config) { c.Address = "unix://x/run/vault.sock" }, "https"},
		"a missing CA file": {func(c *Config) { c.CAFile = "missing.pem" }, "missing.pem"},
		"half a client":     {func(c *Config) { c.CertFile = "cert.pem" }, "client"},
		"a malformed proxy": {func(c *Config) { c.ProxyAddress = "proxy" }, "proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			c.edit(&bad)
			_, err := New(bad)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
	if text := fmt.Sprintf("%v %+v %#v", config(httptest.NewUnstartedServer(nil)), Config{JWT: jwt}, Config{Token: clientToken}); strings.Contains(text, jwt) || strings.Contains(text, clientToken) {
		t.Errorf("a configuration prints its tokens: %s", text)
	}
}

func TestTLSOfVaultIsChecked(t *testing.T) {
	f, plain := newFake(t)
	plain.Close()
	server := httptest.NewTLSServer(f)
	t.Cleanup(server.Close)
	if _, err := newClient(t, config(server)).Issue(t.Context(), request(false)); err == nil || len(f.calls) != 0 {
		t.Errorf("error = %v, %d calls, want an error and none", err, len(f.calls))
	}
	trusting := config(server)
	trusting.CA = []byte(pemOf(server.Certificate()))
	if _, err := newClient(t, trusting).Issue(t.Context(), request(false)); err != nil {
		t.Error(err)
	}
}
