//go:build e2e

package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"os"
)

// signingKeys makes the predicates that are attested, the keys as cosign keeps them (NAME.key and NAME.pub), and an own PKI: pki.pem
// with leaf.pem.
func (l *lab) signingKeys() error {
	if err := os.CopyFS(l.folder, os.DirFS("testdata/predicates")); err != nil {
		return err
	}
	keys := map[string]func() (crypto.Signer, error){
		"p256":  func() (crypto.Signer, error) { return newKey() },
		"other": func() (crypto.Signer, error) { return newKey() },
		"p384":  func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
		"rsa":   func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
		"ed25519": func() (crypto.Signer, error) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		},
	}
	for name, generate := range keys {
		key, err := generate()
		if err != nil {
			return err
		}
		if err := l.importKey(name, key); err != nil {
			return err
		}
	}
	return l.ownPKI()
}

// importKey makes NAME.key and NAME.pub as cosign keeps them.
func (l *lab) importKey(name string, key crypto.Signer) error {
	if err := l.pki.privateKey(name+"-plain.key", key); err != nil {
		return err
	}
	return l.run("cosign", "import-key-pair", "-y", "--key", name+"-plain.key", "--output-key-prefix", name)
}

func (l *lab) ownPKI() error {
	root, err := newAuthority(caTemplate("own root"), nil)
	if err != nil {
		return err
	}
	issuing, err := newAuthority(caTemplate("own issuing"), root)
	if err != nil {
		return err
	}
	leaf, err := newAuthority(&x509.Certificate{
		Subject: pkix.Name{Organization: []string{"lab.example"}, CommonName: "release"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, EmailAddresses: []string{"release@lab.example"},
		URIs: []*url.URL{{Scheme: "https", Host: "ci.lab.example", Path: "/acme/app/release"}}, DNSNames: []string{"build.lab.example"},
	}, issuing)
	if err != nil {
		return err
	}
	if err := l.pki.certificates("pki.pem", issuing, root); err != nil {
		return err
	}
	if err := l.pki.certificates("leaf.pem", leaf); err != nil {
		return err
	}
	ca := "--fulcio=url=https://ca.lab.example,certificate-chain=" + l.file("pki.pem")
	if err := l.run("cosign", "trusted-root", "create", "--out", "trusted_root_pki.json", ca,
		l.trustRekor("rekor"), l.trustRekor1("rekor1"), l.trustTSA()); err != nil {
		return err
	}
	return l.importKey("leaf", leaf.key)
}
