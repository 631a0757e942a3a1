package convert

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// minRSABits is the length of the shortest RSA key that counts.
const minRSABits = 2048

// key is the public key of a signer, or a certificate of it.
type key struct {
	field string // of a signer in a policy
	pem   string
}

// readKey reads base64 of one PEM block, a certificate that is valid now or a public key. Errors have nothing of its content.
func readKey(text string, now time.Time) (key, error) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return key{}, errors.New("is no base64; write the output of base64 -w0 for the PEM file")
	}
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return key{}, errors.New("is no base64 of PEM; write the output of base64 -w0 for the PEM file")
	case strings.TrimSpace(string(rest)) != "":
		return key{}, errors.New("is more than one PEM block; write a certificate without its chain, or one public key")
	}
	var public any
	switch block.Type {
	case "CERTIFICATE":
		public, err = keyOfCertificate(block.Bytes, now)
	case "PUBLIC KEY":
		if public, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			err = errors.New("the public key cannot be read; export it again")
		}
	case "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		err = errors.New("a private key, which belongs to the signer alone; give the public one")
	default:
		err = errors.New("is neither a CERTIFICATE nor a PUBLIC KEY in PEM; export it as one of them")
	}
	if err == nil {
		err = checkKey(public)
	}
	if err != nil {
		return key{}, err
	}
	k := key{field: "publicKey", pem: string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))}
	if block.Type == "CERTIFICATE" {
		k.field = "certificate"
	}
	return k, nil
}

func keyOfCertificate(der []byte, now time.Time) (any, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("the certificate cannot be read; export it again")
	}
	const day = "2006-01-02"
	switch {
	case now.After(c.NotAfter):
		return nil, fmt.Errorf("the certificate has expired on %s; give the signer's new one", c.NotAfter.UTC().Format(day))
	case now.Before(c.NotBefore):
		return nil, fmt.Errorf("the certificate is not valid before %s; wait, or give the one in use", c.NotBefore.UTC().Format(day))
	}
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return nil, fmt.Errorf("the certificate is signed with %s, which is broken; have it issued again", c.SignatureAlgorithm)
	}
	return c.PublicKey, nil
}

func checkKey(public any) error {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits {
			return fmt.Errorf("an RSA key of %d bit, at least %d are needed; have the signer make a new one", bits, minRSABits)
		}
		return nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return errors.New("a kind of key that is not known; use ECDSA over P-256, P-384 or P-521, RSA or Ed25519")
}
