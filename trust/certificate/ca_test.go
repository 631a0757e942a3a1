package certificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

var (
	app    = image.MustParse("registry.example/team/app").At(image.SHA256([]byte("app")))
	issued = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // when test leaves are issued; they live ten minutes
	now    = issued.Add(5 * time.Minute)
	year   = 365 * 24 * time.Hour
)

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

// vouching names ref the way Assay does.
func vouching(ref image.Ref) edit {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: CommonName("dia-", ref.Digest())}
		c.URIs = []*url.URL{SAN(ref)}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
}

// byName names ref the way DIA does.
func byName(ref image.Ref) edit { return named(CommonName("dia-", ref.Digest())) }

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// serials counts the certificates that tests issue.
var serials atomic.Int64

// newCA makes an authority, a root if parent is nil.
func newCA(t testing.TB, parent *ca, edits ...edit) *ca {
	t.Helper()
	return newCAWithKey(t, parent, ecKey(t), edits...)
}

func newCAWithKey(t testing.TB, parent *ca, key crypto.Signer, edits ...edit) *ca {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: issued.Add(-year), NotAfter: issued.Add(5 * year),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	c := &ca{key: key}
	if parent == nil {
		parent = &ca{cert: template, key: key}
	}
	c.cert = sign(t, parent, template, key, edits)
	return c
}

// leaf issues a certificate that lives ten minutes.
func (c *ca) leaf(t testing.TB, edits ...edit) *x509.Certificate {
	t.Helper()
	return c.leafWithKey(t, ecKey(t), edits...)
}

func (c *ca) leafWithKey(t testing.TB, key crypto.Signer, edits ...edit) *x509.Certificate {
	t.Helper()
	return sign(t, c, &x509.Certificate{NotBefore: issued, NotAfter: issued.Add(10 * time.Minute)}, key, edits)
}

func sign(t testing.TB, parent *ca, template *x509.Certificate, key crypto.Signer, edits []edit) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(0x4fa2 + serials.Add(1))
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

func pemOf(certs ...*x509.Certificate) string {
	var b bytes.Buffer
	for _, c := range certs {
		_ = pem.Encode(&b, &pem.Block{Type: pemCertificate, Bytes: c.Raw})
	}
	return b.String()
}

func (c *ca) pem() string { return pemOf(c.cert) }

func newAuthority(t testing.TB, o Options) trust.Authority {
	t.Helper()
	return newAuthorityWithFiles(t, o, nil)
}

func newAuthorityWithFiles(t testing.TB, o Options, files map[string][]byte) trust.Authority {
	t.Helper()
	a, err := Format().New(trusttest.Section{Options: o, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// layerOf packs certificates as Pack does and returns the layer alone, as evidence.
func layerOf(t testing.TB, certs ...*x509.Certificate) trust.Evidence {
	t.Helper()
	return stampedLayerOf(t, nil, certs...)
}

func stampedLayerOf(t testing.TB, token []byte, certs ...*x509.Certificate) trust.Evidence {
	t.Helper()
	a, err := PackTimestamped(certs, token, "image.crt", OCI)
	if err != nil {
		t.Fatal(err)
	}
	return evidence(a.Blobs[1])
}

func evidence(layer []byte) trust.Evidence {
	return trust.Evidence{Items: []trust.Item{{Name: "test", MediaType: typeOCILayerGzip, Bytes: layer}}}
}

// publish stores an artifact for ref and returns the digest of its manifest.
func publish(t testing.TB, src *trusttest.Source, ref image.Ref, a Artifact) image.Digest {
	t.Helper()
	for _, blob := range a.Blobs {
		src.PutBlob(ref, blob)
	}
	return src.PutManifest(tagged(t, ref), a.MediaType, a.Manifest)
}

func tagged(t testing.TB, ref image.Ref) image.Ref {
	t.Helper()
	r, err := ref.Tagged(Tag(ref.Digest()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// artifactWithFile is an artifact in DIA's form around any file, made by hand.
func artifactWithFile(t testing.TB, name string, file []byte, shape Shape) Artifact {
	t.Helper()
	unpacked, err := packTar(name, file)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := packGzip(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	a, err := packManifest(image.SHA256(unpacked), layer, shape)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// publicOnly is a signer whose public key alone is used.
type publicOnly struct{ key crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.key }

func (publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("has no private key")
}

// embeddedKey returns the fingerprint of the certificate inside a time stamp.
func embeddedKey(t testing.TB, response []byte) string {
	t.Helper()
	ts, err := timestamp.ParseResponse(response)
	if err != nil || len(ts.Certificates) != 1 {
		t.Fatalf("%v, %v, want one certificate", ts, err)
	}
	return trust.Fingerprint(ts.Certificates[0].RawSubjectPublicKeyInfo)
}
