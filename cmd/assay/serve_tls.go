package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
)

// tlsIdentity is the certificate with which a server is known, and the authorities by whose word its clients are.
type tlsIdentity struct {
	options *serveOptions
	current atomic.Pointer[tls.Config]
}

// load reads the files anew, all of them or none.
func (t *tlsIdentity) load(r *reading) error {
	cert, err := r.file(t.options.cert, maxMaterial)
	if err != nil {
		return err
	}
	key, err := r.file(t.options.key, maxMaterial)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", t.options.cert, t.options.key, err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if t.options.clientCA != "" {
		if c.ClientCAs, err = t.authorities(r); err != nil {
			return err
		}
		// Probes come without a certificate; who may ask is decided for each request.
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	t.current.Store(c)
	return nil
}

func (t *tlsIdentity) authorities(r *reading) (*x509.CertPool, error) {
	content, err := r.file(t.options.clientCA, maxMaterial)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s: no certificate in PEM", t.options.clientCA)
	}
	return pool, nil
}

// config returns the configuration of a listener, whose every connection gets what is current.
func (t *tlsIdentity) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if c := t.current.Load(); c != nil {
				return c, nil
			}
			return nil, errors.New("no certificate")
		},
	}
}
