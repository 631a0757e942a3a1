package registrytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates is the CA of one server, made new for each, with the server's certificate and one for clients.
type certificates struct {
	pool      *x509.CertPool
	server    tls.Certificate
	ca        []byte // PEM
	client    []byte // PEM
	clientKey []byte // PEM
}

func newCertificates() (*certificates, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "registrytest CA"},
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	c := &certificates{pool: x509.NewCertPool(), ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	c.pool.AddCert(ca)
	serverCert, serverKey, err := issue(ca, caKey, 2, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, err
	}
	if c.server, err = tls.X509KeyPair(serverCert, serverKey); err != nil {
		return nil, err
	}
	c.client, c.clientKey, err = issue(ca, caKey, 3, x509.ExtKeyUsageClientAuth)
	return c, err
}

func issue(ca *x509.Certificate, caKey *ecdsa.PrivateKey, serial int64, usage x509.ExtKeyUsage) (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		Subject:      pkix.Name{CommonName: "registrytest"},
		SerialNumber: big.NewInt(serial),
		NotBefore:    ca.NotBefore,
		NotAfter:     ca.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{usage},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}, ca, k.Public(), caKey)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

func (c *certificates) config(clientCert bool) *tls.Config {
	config := &tls.Config{Certificates: []tls.Certificate{c.server}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if clientCert {
		config.ClientCAs = c.pool
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config
}

// WriteTLS writes what a client of a Server with TLS needs into a folder and returns the names of the files, in PEM: the CA that
// issued the server's certificate, and a certificate and key for clients.
func (s *Server) WriteTLS(folder string) (ca, cert, key string, err error) {
	if s.tls == nil {
		return "", "", "", fmt.Errorf("registrytest: %s serves no TLS", s.Host())
	}
	ca, cert, key = filepath.Join(folder, "ca.pem"), filepath.Join(folder, "client.pem"), filepath.Join(folder, "client-key.pem")
	for name, content := range map[string][]byte{ca: s.tls.ca, cert: s.tls.client, key: s.tls.clientKey} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return "", "", "", fmt.Errorf("registrytest: %w", err)
		}
	}
	return ca, cert, key, nil
}
