//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// validity is how long a cluster can live.
const validity = 30 * 24 * time.Hour

// pki makes the certificates of a cluster, NAME.pem and NAME.key in its folder; ca.pem vouches for all.
type pki struct {
	folder string
	server netip.Addr // the node's address
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
}

func newPKI(folder string, server netip.Addr) (*pki, error) {
	p := &pki{folder: folder, server: server}
	var err error
	p.ca, p.key, err = p.issue("ca", &x509.Certificate{
		Subject: pkix.Name{CommonName: "cluster CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	if err != nil {
		return nil, err
	}
	return p, errors.Join(p.servers(), p.signer())
}

// servers makes one certificate for everything that listens.
func (p *pki) servers() error {
	_, _, err := p.issue("server", &x509.Certificate{
		Subject:  pkix.Name{CommonName: nodeName},
		DNSNames: []string{"localhost", nodeName, "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{
			net.IPv4(127, 0, 0, 1), p.server.AsSlice(), netip.MustParseAddr(serviceAddress).AsSlice(),
		},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}

// signer makes sa.key, which signs the tokens of service accounts.
func (p *pki) signer() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return p.private("sa", key)
}

// client makes a certificate of a user, and a kubeconfig with it.
func (p *pki) client(name, user string, groups ...string) error {
	_, _, err := p.issue(name, &x509.Certificate{
		Subject:  pkix.Name{CommonName: user, Organization: groups},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	var content [3]string
	for i, file := range []string{"ca.pem", name + ".pem", name + ".key"} {
		text, err := os.ReadFile(p.file(file))
		if err != nil {
			return err
		}
		content[i] = base64.StdEncoding.EncodeToString(text)
	}
	config := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: assay, cluster: {server: "https://%s:%d", certificate-authority-data: %s}}]
users: [{name: %s, user: {client-certificate-data: %s, client-key-data: %s}}]
contexts: [{name: assay, context: {cluster: assay, user: %[4]s}}]
current-context: assay
`, p.server, apiPort, content[0], name, content[1], content[2])
	return os.WriteFile(p.file(name+".kubeconfig"), []byte(config), 0o600)
}

// issue completes a template, signs it and writes certificate and key. The first one signs itself.
func (p *pki) issue(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(validity)
	issuer, signer := p.ca, p.key
	if issuer == nil {
		issuer, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certificate, key, errors.Join(err, os.WriteFile(p.file(name+".pem"), text, 0o644), p.private(name, key))
}

func (p *pki) private(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(p.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func (p *pki) file(name string) string { return filepath.Join(p.folder, name) }
