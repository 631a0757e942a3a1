// Package local is a certificate authority in files: a certificate, its chain and a private key.
package local

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/trust/certificate"
)

// MaxFile is how long the file of a certificate or of a key may be, in bytes.
const MaxFile = 1 << 20

// backdate is how far before now a certificate begins to hold, for readers whose clocks are behind.
const backdate = 30 * time.Second

// serialBits is the length of a serial number, of which RFC 5280, section 4.1.2.2, allows 159 bits.
const serialBits = 128

// Config says what an authority is made of.
type Config struct {
	Certificate []byte           // in PEM: the certificate that issues, then its chain, perhaps with the root at its end
	Key         []byte           // in PEM: PKCS#8, PKCS#1 or SEC 1, perhaps encrypted
	Passphrase  []byte           // of an encrypted key
	Now         func() time.Time // the clock
}

// CA is an authority whose key is in memory.
type CA struct {
	cert  *x509.Certificate
	chain []*x509.Certificate // what artifacts carry beside the leaf: all between it and the root
	key   crypto.Signer
	now   func() time.Time

	notBefore, notAfter time.Time // when all certificates of the chain hold
}

var _ sign.Issuer = (*CA)(nil)

// New reads an authority. It refuses one whose certificates would be accepted nowhere: the key belongs to another certificate, the
// certificate may not issue, or its chain is broken or does not hold now.
func New(c Config) (*CA, error) {
	switch {
	case c.Now == nil:
		return nil, errors.New("CA: no clock")
	case len(c.Certificate) > MaxFile || len(c.Key) > MaxFile:
		return nil, fmt.Errorf("CA: a file is longer than %d bytes", MaxFile)
	}
	bundle, err := certificate.ParsePEM(c.Certificate)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	key, err := parseKey(c.Key, c.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("CA key: %w", err)
	}
	ca := &CA{cert: bundle.Certificates[0], key: key, now: c.Now}
	if err := ca.adopt(bundle.Certificates, c.Now()); err != nil {
		return nil, fmt.Errorf("CA certificate %q: %w", ca.cert.Subject, err)
	}
	return ca, nil
}

// adopt checks certificates, the issuing one first, and takes from them what artifacts carry.
func (ca *CA) adopt(certs []*x509.Certificate, now time.Time) error {
	if public, ok := ca.cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(ca.key.Public()) {
		return errors.New("the key belongs to another certificate")
	}
	ca.notBefore, ca.notAfter = ca.cert.NotBefore, ca.cert.NotAfter
	for i, c := range certs {
		if err := mayIssue(c); err != nil {
			return fmt.Errorf("certificate %d of its chain, %q: %w", i+1, c.Subject, err)
		}
		if i > 0 {
			if err := certs[i-1].CheckSignatureFrom(c); err != nil {
				return fmt.Errorf("certificate %d of its chain, %q, did not issue the one before it: %w", i+1, c.Subject, err)
			}
		}
		if c.NotBefore.After(ca.notBefore) {
			ca.notBefore = c.NotBefore
		}
		if c.NotAfter.Before(ca.notAfter) {
			ca.notAfter = c.NotAfter
		}
		if !selfSigned(c) {
			ca.chain = append(ca.chain, c)
		}
	}
	switch {
	case now.Before(ca.notBefore):
		return fmt.Errorf("holds only from %s on", ca.notBefore.UTC().Format(time.RFC3339))
	case !now.Before(ca.notAfter):
		return fmt.Errorf("expired at %s", ca.notAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

func mayIssue(c *x509.Certificate) error {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return errors.New("is not a CA's certificate (basic constraints)")
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("may not sign certificates (key usage)")
	}
	return nil
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(c) == nil
}

// Issue implements sign.Issuer. The leaf has a new P-256 key, whose private half is never used and is gone when Issue returns. Its
// dates lie inside those of its chain.
func (ca *CA) Issue(ctx context.Context, req sign.Request) ([]*x509.Certificate, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, fmt.Errorf("serial number: %w", err)
	}
	now := ca.now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: req.CommonName},
		DNSNames:              req.AltNames,
		URIs:                  req.URIs,
		NotBefore:             later(now.Add(-backdate), ca.notBefore),
		NotAfter:              earlier(now.Add(req.TTL), ca.notAfter),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		BasicConstraintsValid: true,
	}
	if !template.NotAfter.After(now) {
		return nil, fmt.Errorf("CA certificate %q: expired at %s", ca.cert.Subject, ca.notAfter.UTC().Format(time.RFC3339))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return append([]*x509.Certificate{leaf}, ca.chain...), nil
}

// newSerial returns a random serial number that is not zero.
func newSerial() (*big.Int, error) {
	most := new(big.Int).Lsh(big.NewInt(1), serialBits)
	n, err := rand.Int(rand.Reader, most.Sub(most, big.NewInt(1)))
	if err != nil {
		return nil, err
	}
	return n.Add(n, big.NewInt(1)), nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// keyBlock returns the one block of a file that is a private key. Files of EC keys begin with a block of the curve's parameters.
func keyBlock(file []byte) (*pem.Block, error) {
	var key *pem.Block
	for {
		var block *pem.Block
		block, file = pem.Decode(file)
		switch {
		case block == nil && key == nil:
			return nil, errors.New("no private key in PEM")
		case block == nil:
			return key, nil
		case !isKey(block.Type):
			continue
		case key != nil:
			return nil, errors.New("more than one private key")
		}
		key = block
	}
}
