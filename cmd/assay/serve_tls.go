package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// identity is what a server is known by. It can change with each connection.
type identity interface {
	// Certificate returns a certificate with its Leaf and its key; nil as long as there is none, and then nobody can connect.
	Certificate() *tls.Certificate
}

// fileIdentity is an identity in files.
type fileIdentity struct {
	options *serveOptions
	current atomic.Pointer[tls.Certificate]
}

var _ identity = (*fileIdentity)(nil)

// Certificate implements identity.
func (f *fileIdentity) Certificate() *tls.Certificate { return f.current.Load() }

// load reads both files anew, or none.
func (f *fileIdentity) load(r *reading) error {
	cert, err := r.file(f.options.cert, maxMaterial)
	if err != nil {
		return err
	}
	key, err := r.file(f.options.key, maxMaterial)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", f.options.cert, f.options.key, err)
	}
	f.current.Store(&pair)
	return nil
}

// clientAuthorities are those by whose word clients are known.
type clientAuthorities struct {
	file    string
	now     func() time.Time
	current atomic.Pointer[authorities]
}

// authorities is what was made of the file at one time.
type authorities struct {
	pool  *x509.CertPool
	roots map[string]bool // by their bytes
}

// counts reports whether a chain that was verified when its connection was made still holds: by its dates, and by an authority that counts
// now. A connection can last for days.
func (c *clientAuthorities) counts(chain []*x509.Certificate) bool {
	current, now := c.current.Load(), c.now()
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

// load reads the file anew, all of it or nothing.
func (c *clientAuthorities) load(r *reading) error {
	text, err := r.file(c.file, maxMaterial)
	if err != nil {
		return err
	}
	certs, err := certificatesIn(c.file, text)
	if err != nil {
		return err
	}
	all := &authorities{pool: x509.NewCertPool(), roots: map[string]bool{}}
	for _, cert := range certs {
		all.pool.AddCert(cert)
		all.roots[string(cert.Raw)] = true
	}
	c.current.Store(all)
	return nil
}

// certificatesIn reads what a file has, which is certificates in PEM and nothing else, and at least one.
func certificatesIn(file string, rest []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: %s where a certificate is wanted", file, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: no certificate in PEM", file)
	}
	return certs, nil
}

// webhookAuthorities are those above the server's certificate, which the API server has to know.
type webhookAuthorities struct {
	file    string
	current atomic.Pointer[[]*x509.Certificate]
}

func (w *webhookAuthorities) certificates() []*x509.Certificate { return *w.current.Load() }

// load reads the file anew, all of it or nothing.
func (w *webhookAuthorities) load(r *reading) error {
	text, err := r.file(w.file, maxMaterial)
	if err != nil {
		return err
	}
	certs, err := certificatesIn(w.file, text)
	if err != nil {
		return err
	}
	w.current.Store(&certs)
	return nil
}

// tlsConfig returns the configuration of a listener, whose every connection gets what is current.
func (s *server) tlsConfig() *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if cert := s.identity.Certificate(); cert != nil {
				return cert, nil
			}
			return nil, errors.New("no certificate yet")
		},
	}
	if s.clients == nil {
		return base
	}
	outer := base.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		current := s.clients.current.Load()
		if current == nil {
			return nil, errors.New("no authorities of clients yet")
		}
		config := base.Clone()
		config.ClientCAs = current.pool
		// Probes come without a certificate; who may ask is decided for each request.
		config.ClientAuth = tls.VerifyClientCertIfGiven
		return config, nil
	}
	return outer
}

// expiry tells when what the server is known by ends.
func expiry(id identity) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "assay_certificate_expiry_timestamp_seconds", Help: "When the certificate that is served ends, in Unix time; 0 if there is none.",
	}, func() float64 {
		cert := id.Certificate()
		if cert == nil || cert.Leaf == nil {
			return 0
		}
		return float64(cert.Leaf.NotAfter.Unix())
	})
}
