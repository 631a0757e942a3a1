package local

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/trust/certificate"
)

var (
	now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	app = image.MustParse("registry.example/team/app").At(image.SHA256([]byte("app")))
	day = 24 * time.Hour
)

// authority is a CA of a test: what a parent needs to issue it, and its files.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newAuthority makes a root if parent is nil.
func newAuthority(t testing.TB, parent *authority, key crypto.Signer, edits ...func(*x509.Certificate)) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: now.Add(-day), NotAfter: now.Add(day),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	template.Subject = pkix.Name{CommonName: "CA " + template.SerialNumber.String()}
	for _, e := range edits {
		e(template)
	}
	a := &authority{key: key}
	if parent == nil {
		parent = &authority{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func certPEM(all ...*authority) []byte {
	var out []byte
	for _, a := range all {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	return out
}

func (a *authority) keyPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func clock() time.Time { return now }

func request(ttl time.Duration) sign.Request {
	return sign.Request{Ref: app, CommonName: certificate.CommonName("dia-", app.Digest()), URIs: []*url.URL{certificate.SAN(app)}, TTL: ttl}
}

func TestIssue(t *testing.T) {
	root := newAuthority(t, nil, newKey(t))
	middle := newAuthority(t, root, newKey(t), func(c *x509.Certificate) { c.NotAfter = now.Add(time.Hour); c.NotBefore = now.Add(-10 * time.Second) })
	for name, c := range map[string]struct {
		issuer    *authority
		certs     []byte
		ttl       time.Duration
		chain     int // certificates beside the leaf
		notBefore time.Time
		notAfter  time.Time
	}{
		"a root alone":              {root, certPEM(root), 10 * time.Minute, 0, now.Add(-backdate), now.Add(10 * time.Minute)},
		"under an intermediate":     {middle, certPEM(middle, root), 10 * time.Minute, 1, now.Add(-10 * time.Second), now.Add(10 * time.Minute)},
		"the root left out":         {middle, certPEM(middle), 10 * time.Minute, 1, now.Add(-10 * time.Second), now.Add(10 * time.Minute)},
		"longer than the CA's life": {middle, certPEM(middle, root), 2 * time.Hour, 1, now.Add(-10 * time.Second), now.Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			ca, err := New(Config{Certificate: c.certs, Key: c.issuer.keyPEM(t), Now: clock})
			if err != nil {
				t.Fatal(err)
			}
			certs, err := ca.Issue(t.Context(), request(c.ttl))
			if err != nil {
				t.Fatal(err)
			}
			leaf := certs[0]
			if len(certs) != 1+c.chain || !leaf.NotBefore.Equal(c.notBefore) || !leaf.NotAfter.Equal(c.notAfter) {
				t.Errorf("%d certificates, from %s to %s, want %d, %s, %s", len(certs), leaf.NotBefore, leaf.NotAfter, 1+c.chain, c.notBefore, c.notAfter)
			}
			checkLeaf(t, leaf, root, certs[1:])
		})
	}
}

func checkLeaf(t *testing.T, leaf *x509.Certificate, root *authority, chain []*x509.Certificate) {
	t.Helper()
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	options.Roots.AddCert(root.cert)
	for _, c := range chain {
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err != nil {
		t.Error(err)
	}
	if want := "dia-" + app.Digest().Hex()[:40]; leaf.Subject.CommonName != want {
		t.Errorf("common name = %q, want %q", leaf.Subject.CommonName, want)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != certificate.SAN(app).String() {
		t.Errorf("URIs = %v", leaf.URIs)
	}
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || leaf.SerialNumber.BitLen() > serialBits || leaf.SerialNumber.BitLen() < serialBits/2 {
		t.Errorf("CA %t, key usage %b, serial of %d bits", leaf.IsCA, leaf.KeyUsage, leaf.SerialNumber.BitLen())
	}
}

func TestEachCertificateHasItsOwnKeyAndSerial(t *testing.T) {
	root := newAuthority(t, nil, newKey(t))
	ca, err := New(Config{Certificate: certPEM(root), Key: root.keyPEM(t), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := ca.Issue(t.Context(), request(time.Minute))
	second, _ := ca.Issue(t.Context(), request(time.Minute))
	if string(first[0].RawSubjectPublicKeyInfo) == string(second[0].RawSubjectPublicKeyInfo) || first[0].SerialNumber.Cmp(second[0].SerialNumber) == 0 {
		t.Error("two certificates share a key or a serial number")
	}
}

func TestNewRefuses(t *testing.T) {
	root := newAuthority(t, nil, newKey(t))
	other := newAuthority(t, nil, newKey(t))
	middle := newAuthority(t, root, newKey(t))
	edited := func(edit func(*x509.Certificate)) *authority { return newAuthority(t, nil, newKey(t), edit) }
	leaf := edited(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	unsigning := edited(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	expired := edited(func(c *x509.Certificate) { c.NotAfter = now })
	future := edited(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) })
	for name, c := range map[string]struct {
		certs []byte
		key   []byte
		want  string
	}{
		"another key":            {certPEM(root), other.keyPEM(t), "the key belongs to another certificate"},
		"no CA":                  {certPEM(leaf), leaf.keyPEM(t), "basic constraints"},
		"no keyCertSign":         {certPEM(unsigning), unsigning.keyPEM(t), "key usage"},
		"expired":                {certPEM(expired), expired.keyPEM(t), "expired at"},
		"not yet":                {certPEM(future), future.keyPEM(t), "holds only from"},
		"a chain of another CA":  {certPEM(middle, other), middle.keyPEM(t), "did not issue the one before it"},
		"a chain the other way":  {certPEM(root, middle), root.keyPEM(t), "did not issue the one before it"},
		"no certificate":         {nil, root.keyPEM(t), "CERTIFICATE"},
		"no key":                 {certPEM(root), nil, "no private key"},
		"a certificate as key":   {certPEM(root), certPEM(root), "no private key"},
		"two keys":               {certPEM(root), slices.Concat(root.keyPEM(t), other.keyPEM(t)), "more than one private key"},
		"the key beside the CA":  {slices.Concat(certPEM(root), root.keyPEM(t)), root.keyPEM(t), "PRIVATE KEY"},
		"a certificate too long": {make([]byte, MaxFile+1), root.keyPEM(t), "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Config{Certificate: c.certs, Key: c.key, Now: clock})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestIssueAfterTheCAExpired(t *testing.T) {
	root := newAuthority(t, nil, newKey(t))
	at := now
	ca, err := New(Config{Certificate: certPEM(root), Key: root.keyPEM(t), Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	at = now.Add(day)
	if _, err := ca.Issue(t.Context(), request(time.Minute)); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("error = %v, want one about the expired CA", err)
	}
}

func TestParseKey(t *testing.T) {
	for _, c := range []struct{ file, passphrase, want string }{
		{"ec-sec1.pem", "", ""},
		{"ec-sec1.pem", "not needed", ""},
		{"ec-sec1-params.pem", "", ""},
		{"ec-pkcs8.pem", "", ""},
		{"ec-pkcs8-encrypted.pem", "secret", ""},
		{"ec-pkcs8-scrypt.pem", "secret", ""},
		{"ec-legacy-encrypted.pem", "secret", ""},
		{"rsa-pkcs1.pem", "", ""},
		{"rsa-legacy-encrypted.pem", "secret", ""},
		{"ed25519-pkcs8.pem", "", ""},
		{"ec-pkcs8-encrypted.pem", "", "there is no passphrase"},
		{"ec-legacy-encrypted.pem", "", "there is no passphrase"},
		{"ec-pkcs8-encrypted.pem", "wrong", "incorrect password"},
		{"ec-legacy-encrypted.pem", "wrong", "wrong passphrase"},
		{"rsa-1024.pem", "", "too short"},
	} {
		t.Run(c.file+" "+c.passphrase, func(t *testing.T) {
			file, err := os.ReadFile(filepath.Join("testdata", c.file))
			if err != nil {
				t.Fatal(err)
			}
			key, err := parseKey(file, []byte(c.passphrase))
			if c.want == "" {
				if err != nil || key == nil {
					t.Errorf("parseKey = %v, %v, want a key", key, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "wrong ") && strings.Contains(err.Error(), "secret") {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	files, err := filepath.Glob("testdata/*.pem")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
		f.Add(content[:len(content)/2])
	}
	// Cut inside the encrypted part, which the library does not expect.
	f.Add([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if key, err := parseKey(file, []byte("secret")); (err == nil) != (key != nil) {
			t.Errorf("parseKey = %v, %v", key, err)
		}
	})
}
