package notarytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Key is a key of a role: bare, or written as a certificate.
type Key struct {
	Type   string // "ecdsa", "rsa", "ed25519", or the first two with "-x509"
	Method string // of signatures; "" is the usual one of the type
	Public []byte // as metadata hold it
	Cert   *x509.Certificate
	// SignAs is the ID under which signatures stand; "" is the key's own.
	SignAs string
	signer crypto.Signer
}

// NewKey makes a key: "P-256", "P-384", "P-521", "rsa" (2048 bits) or "ed25519".
func NewKey(kind string) *Key {
	var signer crypto.Signer
	var err error
	k := &Key{Type: "ecdsa"}
	switch kind {
	case "P-224":
		signer, err = ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	case "P-256":
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-384":
		signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "P-521":
		signer, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "rsa":
		k.Type = "rsa"
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ed25519":
		k.Type = "ed25519"
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		panic("notarytest: unknown kind of key " + kind)
	}
	must(err)
	k.signer = signer
	if public, ok := signer.Public().(ed25519.PublicKey); ok {
		k.Public = public
		return k
	}
	k.Public, err = x509.MarshalPKIXPublicKey(signer.Public())
	must(err)
	return k
}

// Certified returns the key as metadata write it with a certificate of its own for a name, valid from one time to another.
func (k *Key) Certified(name string, from, to time.Time) *Key {
	return k.CertifiedBy(nil, name, from, to)
}

// CertifiedBy does the same with a certificate that an authority issued; nil is the key itself.
func (k *Key) CertifiedBy(ca *Key, name string, from, to time.Time) *Key {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, BasicConstraintsValid: true,
	}
	parent, signer := template, k.signer
	if ca != nil {
		parent, signer = ca.Cert, ca.signer
	}
	return k.with(template, parent, signer)
}

// Authority returns the key with a certificate that can issue others.
func (k *Key) Authority(name string, from, to time.Time) *Key {
	return k.AuthorityBy(nil, name, from, to)
}

// AuthorityBy does the same with a certificate that another authority issued; nil is the key itself.
func (k *Key) AuthorityBy(ca *Key, name string, from, to time.Time) *Key {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	if ca == nil {
		return k.with(template, template, k.signer)
	}
	return k.with(template, ca.Cert, ca.signer)
}

func (k *Key) with(template, parent *x509.Certificate, signer crypto.Signer) *Key {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, k.signer.Public(), signer)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	made := *k
	made.Type, made.Cert, made.Public = strings.TrimSuffix(k.Type, "-x509")+"-x509", cert, PEM(cert)
	return &made
}

// PEM writes certificates.
func PEM(certs ...*x509.Certificate) []byte {
	var all []byte
	for _, c := range certs {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return all
}

// PublicPEM writes the bare key.
func (k *Key) PublicPEM() string {
	der, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	must(err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// Fingerprint returns the fingerprint of the bare key, as policies and verdicts write it.
func (k *Key) Fingerprint() string {
	der, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	must(err)
	sum := sha256.Sum256(der)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// ID returns the key's ID in metadata.
func (k *Key) ID() string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"keytype":%q,"keyval":{"private":null,"public":%q}}`, k.Type, base64.StdEncoding.EncodeToString(k.Public)))
	return hex.EncodeToString(sum[:])
}

// BareID returns the ID that the key has without its certificate.
func (k *Key) BareID() string {
	der, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	must(err)
	bare := Key{Type: strings.TrimSuffix(k.Type, "-x509"), Public: der}
	return bare.ID()
}

func (k *Key) wire() map[string]any {
	return map[string]any{"keytype": k.Type, "keyval": map[string]any{"private": nil, "public": k.Public}}
}

// sign signs a message as clients of this dialect do.
func (k *Key) sign(message []byte) map[string]any {
	sum := sha256.Sum256(message)
	method, value := k.Method, []byte(nil)
	switch signer := k.signer.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, signer, sum[:])
		must(err)
		width := (signer.Params().BitSize + 7) / 8
		value = append(r.FillBytes(make([]byte, width)), s.FillBytes(make([]byte, width))...)
		method = or(method, "ecdsa")
	case ed25519.PrivateKey:
		value = ed25519.Sign(signer, message)
		method = or(method, "eddsa")
	case *rsa.PrivateKey:
		method = or(method, "rsapss")
		var err error
		if method == "rsapkcs1v15" {
			value, err = rsa.SignPKCS1v15(rand.Reader, signer, crypto.SHA256, sum[:])
		} else {
			value, err = rsa.SignPSS(rand.Reader, signer, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: sha256.Size})
		}
		must(err)
	}
	return map[string]any{"keyid": or(k.SignAs, k.ID()), "method": method, "sig": value}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
