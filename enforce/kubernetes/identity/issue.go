package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"
)

// backdate is how long before it is made a certificate is valid: clocks differ.
const backdate = time.Hour

// organization tells where an authority comes from whoever finds it in a webhook's configuration.
const organization = "Assay, for its webhook"

// authority issues certificates; without its key it is only trusted.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newAuthority makes an authority for servers of these names.
func newAuthority(names []string, now time.Time, life time.Duration) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := create(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "CA of " + names[len(names)-1] + " since " + now.UTC().Format(time.RFC3339), Organization: []string{organization}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}, nil, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return &authority{cert: cert, key: key}, nil
}

// issue makes what a server shows. It is never valid for longer than the authority.
func (a *authority) issue(names []string, now time.Time, life time.Duration) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	end := now.Add(life)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	cert, err := create(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "webhook", Organization: []string{organization}},
		DNSNames:              names,
		NotBefore:             now.Add(-backdate),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the server: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// create signs a template; without a parent it signs itself.
func create(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer) // with a random serial number
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
