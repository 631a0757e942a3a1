package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strings"
)

// Fingerprint returns the fingerprint of a public key: "SHA256:" and the unpadded base64 of the SHA-256 over its DER-encoded
// SubjectPublicKeyInfo.
func Fingerprint(spki []byte) string {
	sum := sha256.Sum256(spki)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// Serial writes a certificate's serial number in the form of Certificate.Serial.
func Serial(n *big.Int) string {
	if n == nil {
		return ""
	}
	octets := n.Bytes()
	if len(octets) == 0 {
		octets = []byte{0}
	}
	var b strings.Builder
	for i, o := range octets {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(hex.EncodeToString([]byte{o}))
	}
	if n.Sign() < 0 {
		return "-" + b.String()
	}
	return b.String()
}

// DescribeCertificate returns what a verdict and a revocation need to know of c.
func DescribeCertificate(c *x509.Certificate) Certificate {
	return Certificate{
		Subject: c.Subject.String(),
		Issuer:  c.Issuer.String(),
		Serial:  Serial(c.SerialNumber),
		Key:     Fingerprint(c.RawSubjectPublicKeyInfo),
	}
}
