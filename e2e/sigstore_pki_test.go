//go:build e2e

package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Certificates of the stories' Sigstore are valid from a day ago for ten years: recorded evidence outlives the run.
const (
	pkiBefore = 24 * time.Hour
	pkiAfter  = 10 * 365 * 24 * time.Hour
)

// oidExtKeyUsage is the extension that a time-stamp authority must mark as critical (RFC 3161, section 2.3).
var oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

// authority is a key with its certificate, which may issue others.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// newAuthority makes a certificate after the template, signed by the parent or, without one, by itself.
func newAuthority(template *x509.Certificate, parent *authority) (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	if template.NotBefore.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-pkiBefore), time.Now().Add(pkiAfter)
	}
	if parent == nil {
		parent = &authority{key: key, cert: template}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{key: key, cert: cert}, err
}

func caTemplate(name string, usages ...x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		Subject:  pkix.Name{Organization: []string{"lab.example"}, CommonName: name},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, ExtKeyUsage: usages,
		BasicConstraintsValid: true, IsCA: true,
	}
}

// timestampTemplate is the certificate of a time-stamp authority.
func timestampTemplate() (*x509.Certificate, error) {
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	return &x509.Certificate{
		Subject:         pkix.Name{Organization: []string{"lab.example"}, CommonName: "time stamps"},
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: oidExtKeyUsage, Critical: true, Value: usage}},
	}, err
}

// pki is what the stories' Sigstore trusts, as files.
type pki struct {
	folder  string
	issuing *ecdsa.PrivateKey // Fulcio's
	ct      *ecdsa.PrivateKey
}

// newPKI makes in folder: fulcio-chain.pem and fulcio.key, fulcio-root.pem, tsa-chain.pem and tsa.key, and the
// keys ct, rekor and rekor1, each as .key and .pub.
func newPKI(folder string) (*pki, error) {
	p := &pki{folder: folder}
	for _, make := range []func() error{p.fulcio, p.timestamps, p.logs} {
		if err := make(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *pki) fulcio() error {
	root, err := newAuthority(caTemplate("identities root"), nil)
	if err != nil {
		return err
	}
	template := caTemplate("identities", x509.ExtKeyUsageCodeSigning)
	template.MaxPathLenZero = true
	issuing, err := newAuthority(template, root)
	if err != nil {
		return err
	}
	p.issuing = issuing.key
	if err := p.certificates("fulcio-root.pem", root); err != nil {
		return err
	}
	if err := p.certificates("fulcio-chain.pem", issuing, root); err != nil {
		return err
	}
	return p.privateKey("fulcio.key", issuing.key)
}

func (p *pki) timestamps() error {
	root, err := newAuthority(caTemplate("time stamps root"), nil)
	if err != nil {
		return err
	}
	template, err := timestampTemplate()
	if err != nil {
		return err
	}
	leaf, err := newAuthority(template, root)
	if err != nil {
		return err
	}
	if err := p.certificates("tsa-chain.pem", leaf, root); err != nil {
		return err
	}
	return p.privateKey("tsa.key", leaf.key)
}

// logs makes the keys of the logs, and of others that nobody uses: other-ct, other-rekor and other-rekor1.
func (p *pki) logs() error {
	for _, name := range []string{"ct", "rekor1", "other-ct", "other-rekor1"} {
		key, err := newKey()
		if err != nil {
			return err
		}
		if name == "ct" {
			p.ct = key
		}
		if err := p.keyPair(name, key); err != nil {
			return err
		}
	}
	for _, name := range []string{"rekor", "other-rekor"} {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		if err := p.keyPair(name, key); err != nil {
			return err
		}
	}
	return nil
}

func (p *pki) keyPair(name string, key crypto.Signer) error {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if err := os.WriteFile(p.path(name+".pub"), public, 0o600); err != nil {
		return err
	}
	return p.privateKey(name+".key", key)
}

func (p *pki) privateKey(name string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(p.path(name), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func (p *pki) certificates(name string, chain ...*authority) error {
	var text []byte
	for _, a := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	return os.WriteFile(p.path(name), text, 0o600)
}

func (p *pki) path(name string) string { return filepath.Join(p.folder, name) }
