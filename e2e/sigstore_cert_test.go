//go:build e2e

package e2e

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Extensions of certificates.
var (
	oidSCTs   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2} // RFC 6962, section 3.3
	oidIssuer = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}    // Fulcio: the identity provider
)

// certificate writes to a folder NAME.pem, a certificate of Fulcio's CA as Fulcio makes them, for a key that is not thrown away:
// NAME-plain.key. What Fulcio itself would not do, such as issuing one that has expired, has no other way.
func (s *sigstore) certificate(folder, name, email string, expired, withSCT bool) error {
	issuing, err := s.issuing()
	if err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	template, err := identityTemplate(email)
	if err != nil {
		return err
	}
	if expired {
		template.NotBefore, template.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-110*time.Minute)
	}
	public := key.Public()
	if withSCT {
		if err := s.seen(template, issuing, public); err != nil {
			return err
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuing.cert, public, issuing.key)
	if err != nil {
		return err
	}
	out := &pki{folder: folder}
	if err := out.privateKey(name+"-plain.key", key); err != nil {
		return err
	}
	return os.WriteFile(out.path(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// issuing returns Fulcio's own key and certificate.
func (s *sigstore) issuing() (*authority, error) {
	chain, err := os.ReadFile(s.file("fulcio-chain.pem"))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(chain)
	cert, err := x509.ParseCertificate(block.Bytes)
	return &authority{key: s.pki.issuing, cert: cert}, err
}

func identityTemplate(email string) (*x509.Certificate, error) {
	issuer, err := asn1.MarshalWithParams(issuerEmail, "utf8")
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(9 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, EmailAddresses: []string{email},
		ExtraExtensions: []pkix.Extension{{Id: oidIssuer, Value: issuer}},
	}, err
}

// seen has the certificate log see the certificate that the template will be, and adds the log's word to the template.
func (s *sigstore) seen(template *x509.Certificate, issuing *authority, public any) error {
	pre := *template
	pre.ExtraExtensions = append(slices.Clone(template.ExtraExtensions), pkix.Extension{Id: oidPoison, Critical: true, Value: asn1.NullBytes})
	der, err := x509.CreateCertificate(rand.Reader, &pre, issuing.cert, public, issuing.key)
	if err != nil {
		return err
	}
	entry, err := preEntryOf([][]byte{der, issuing.cert.Raw})
	if err != nil {
		return err
	}
	sct, err := certificateLog{key: s.pki.ct}.sign(entry)
	if err != nil {
		return err
	}
	value, err := sct.list()
	if err != nil {
		return err
	}
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: oidSCTs, Value: value})
	return nil
}

// list is the value of the extension with this timestamp alone: an OCTET STRING of a list of SCTs (RFC 6962, section 3.3).
func (t timestamped) list() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint8(0) // version 1
			b.AddBytes(t.ID)
			b.AddUint64(t.Timestamp)
			b.AddUint16(0) // no extensions
			b.AddBytes(t.Signature)
		})
	})
	list, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(list)
}
