package material

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ca is a certificate authority of a test.
type ca struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// edit changes a template before it is signed.
type edit func(*x509.Certificate)

func named(name string) edit {
	return func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: name} }
}

func during(from, to time.Time) edit {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

func usages(u ...x509.ExtKeyUsage) edit {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

func pathLength(n int) edit {
	return func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 }
}

var serials atomic.Int64

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	return curveKey(t, elliptic.P256())
}

func curveKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t testing.TB, bits int) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newCA makes an authority that lives from a year before now to five years after, a root if parent is nil.
func newCA(t testing.TB, parent *ca, edits ...edit) *ca {
	t.Helper()
	return newCAWithKey(t, parent, ecKey(t), edits...)
}

func newCAWithKey(t testing.TB, parent *ca, key crypto.Signer, edits ...edit) *ca {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: now.Add(-365 * day), NotAfter: now.Add(5 * 365 * day),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	c := &ca{key: key}
	if parent == nil {
		parent = &ca{cert: template, key: key}
	}
	c.cert = issue(t, parent, template, key, edits)
	return c
}

// leaf issues a certificate for signing code that lives ten minutes from now.
func (c *ca) leaf(t testing.TB, edits ...edit) *x509.Certificate {
	t.Helper()
	return c.leafWithKey(t, ecKey(t), edits...)
}

func (c *ca) leafWithKey(t testing.TB, key crypto.Signer, edits ...edit) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "leaf"}, NotBefore: now, NotAfter: now.Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	return issue(t, c, template, key, edits)
}

func issue(t testing.TB, parent *ca, template *x509.Certificate, key crypto.Signer, edits []edit) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(serials.Add(1))
	for _, e := range edits {
		e(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func pemOf(certs ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certs {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.Bytes()
}

func publicPEM(t testing.TB, keys ...crypto.Signer) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, k := range keys {
		der, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		_ = pem.Encode(&b, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	return b.Bytes()
}

// world is the keys and certificates of a private Sigstore.
type world struct {
	root, intermediate, tsaRoot *ca
	tsaLeaf                     *x509.Certificate
	rekor, ct                   crypto.Signer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{rekor: ecKey(t), ct: ecKey(t)}
	w.root = newCA(t, nil, named("root"))
	w.intermediate = newCA(t, w.root, named("intermediate"), usages(x509.ExtKeyUsageCodeSigning), pathLength(0))
	w.tsaRoot = newCA(t, nil, named("tsa root"))
	w.tsaLeaf = w.tsaRoot.leaf(t, named("tsa"), usages(x509.ExtKeyUsageTimeStamping), during(now.Add(-day), now.Add(300*day)))
	return w
}

func (w *world) parts(t testing.TB) Parts {
	t.Helper()
	return Parts{
		Fulcio:                pemOf(w.intermediate.cert, w.root.cert),
		RekorKeys:             publicPEM(t, w.rekor),
		CTLogKeys:             publicPEM(t, w.ct),
		TimestampCertificates: [][]byte{pemOf(w.tsaLeaf, w.tsaRoot.cert)},
	}
}

// json returns the world as a trusted_root.json.
func (w *world) json(t testing.TB) []byte {
	t.Helper()
	source, err := FromParts("world", w.parts(t))
	if err != nil {
		t.Fatal(err)
	}
	return rootOf(t, source, now).JSON
}

func rootOf(t testing.TB, s Source, at time.Time) *Root {
	t.Helper()
	r, err := s.Root(at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keeperAt makes a keeper with a clock of its own; edits change its configuration.
func keeperAt(t testing.TB, at time.Time, edits ...func(*Config)) (*Keeper, *clock) {
	t.Helper()
	c := &clock{at: at}
	config := Config{Now: c.now}
	for _, e := range edits {
		e(&config)
	}
	k, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.fetcher.closeIdle)
	return k, c
}

func cachedIn(folder string) func(*Config) { return func(c *Config) { c.Cache = folder } }
