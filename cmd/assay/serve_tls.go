package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// tlsIdentity is the certificate with which a server is known, and the authorities by whose word its clients are.
type tlsIdentity struct {
	options *serveOptions
	now     func() time.Time
	current atomic.Pointer[tlsState]
}

// tlsState is what was made of the files at one time.
type tlsState struct {
	config *tls.Config
	roots  map[string]bool // the authorities of clients, by their bytes
}

// counts reports whether a chain that was verified when its connection was made still holds: by its dates, and by an authority that counts
// now. A connection can last for days.
func (t *tlsIdentity) counts(chain []*x509.Certificate) bool {
	current, now := t.current.Load(), t.now()
	if current == nil || len(chain) == 0 {
		return false
	}
	for _, cert := range chain {
		if now.After(cert.NotAfter) {
			return false
		}
	}
	return current.roots[string(chain[len(chain)-1].Raw)]
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
	state := &tlsState{config: c}
	if t.options.clientCA != "" {
		if state.roots, err = t.authorities(r); err != nil {
			return err
		}
		c.ClientCAs = x509.NewCertPool()
		for der := range state.roots {
			cert, err := x509.ParseCertificate([]byte(der))
			if err != nil {
				return fmt.Errorf("%s: %w", t.options.clientCA, err)
			}
			c.ClientCAs.AddCert(cert)
		}
		// Probes come without a certificate; who may ask is decided for each request.
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	t.current.Store(state)
	return nil
}

func (t *tlsIdentity) authorities(r *reading) (map[string]bool, error) {
	rest, err := r.file(t.options.clientCA, maxMaterial)
	if err != nil {
		return nil, err
	}
	roots := map[string]bool{}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: %s where a certificate is wanted", t.options.clientCA, block.Type)
		}
		roots[string(block.Bytes)] = true
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("%s: no certificate in PEM", t.options.clientCA)
	}
	return roots, nil
}

// config returns the configuration of a listener, whose every connection gets what is current.
func (t *tlsIdentity) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if current := t.current.Load(); current != nil {
				return current.config, nil
			}
			return nil, errors.New("no certificate")
		},
	}
}
