package identity

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// maxBundle is the most that is read of certificates in PEM, in bytes.
	maxBundle = 256 << 10
	// maxOld is how many authorities that issue no more are trusted at most.
	maxOld = 8
)

// Parse returns what of a Secret's data can be used at time now by servers of these names, and an error for whatever cannot. Neither has
// anything of a private key in it that could be logged.
func Parse(data map[string][]byte, names []string, life Lifetimes, now time.Time) (State, error) {
	s := New(names, life)
	var errs []error
	report := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	var err error
	s.authority, err = parseAuthority(data[AuthorityCertificate], data[AuthorityKey], now)
	report(AuthorityCertificate, err)
	s.next, err = parseAuthority(data[NextCertificate], data[NextKey], now)
	report(NextCertificate, err)
	if s.next != nil && s.next.key == nil {
		s.next = nil
	}
	if s.authority != nil {
		s.server, err = parseServer(data[ServerCertificate], data[ServerKey], names, s.authority.cert, now)
		report(ServerCertificate, err)
	}
	s.old, err = ParseBundle(data[OldCertificates])
	report(OldCertificates, err)
	s.old = s.old[:min(len(s.old), maxOld)]
	if len(s.old) > 0 {
		if s.until, err = time.Parse(time.RFC3339, string(data[OldUntil])); err != nil {
			report(OldUntil, errors.New("is no time"))
			s.until = now.Add(life.Server)
		}
	}
	return s, errors.Join(errs...)
}

// parseAuthority returns an authority, without a key if that cannot be used. Nothing is no error.
func parseAuthority(certificate, key []byte, now time.Time) (*authority, error) {
	if len(certificate) == 0 && len(key) == 0 {
		return nil, nil
	}
	certs, err := ParseBundle(certificate)
	switch {
	case err != nil:
		return nil, err
	case len(certs) != 1:
		return nil, fmt.Errorf("%d certificates, want 1", len(certs))
	case !certs[0].IsCA:
		return nil, errors.New("is not that of an authority")
	case now.After(certs[0].NotAfter):
		return nil, fmt.Errorf("has expired on %s", certs[0].NotAfter.Format(time.RFC3339))
	}
	a := &authority{cert: certs[0]}
	if len(key) == 0 {
		return a, nil // it was lost, and another one is on the way
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return a, errors.New("its key cannot be used")
	}
	a.key, _ = pair.PrivateKey.(crypto.Signer)
	return a, nil
}

func parseServer(certificate, key []byte, names []string, root *x509.Certificate, now time.Time) (*tls.Certificate, error) {
	if len(certificate) == 0 && len(key) == 0 {
		return nil, nil
	}
	if len(certificate) > maxBundle {
		return nil, fmt.Errorf("%d bytes, want at most %d", len(certificate), maxBundle)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, errors.New("and its key cannot be used")
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now}); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := pair.Leaf.VerifyHostname(name); err != nil {
			return nil, err
		}
	}
	return &pair, nil
}

// ParseBundle reads certificates in PEM. Nothing is no error.
func ParseBundle(text []byte) ([]*x509.Certificate, error) {
	if len(text) > maxBundle {
		return nil, fmt.Errorf("%d bytes, want at most %d", len(text), maxBundle)
	}
	var certs []*x509.Certificate
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("is not only certificates in PEM")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs, text = append(certs, cert), rest
	}
	return certs, nil
}

// EncodeBundle writes certificates in PEM.
func EncodeBundle(certs []*x509.Certificate) []byte {
	var text []byte
	for _, cert := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return text
}

// Data returns what stands in the Secret: certificates and private keys.
func (s State) Data() (map[string][]byte, error) {
	// A Secret of type kubernetes.io/tls always has these two.
	data := map[string][]byte{ServerCertificate: {}, ServerKey: {}}
	if s.server != nil {
		if err := put(data, ServerCertificate, ServerKey, s.server.Leaf, s.server.PrivateKey); err != nil {
			return nil, err
		}
	}
	for _, a := range []struct {
		*authority
		cert, key string
	}{{s.authority, AuthorityCertificate, AuthorityKey}, {s.next, NextCertificate, NextKey}} {
		if a.authority == nil {
			continue
		}
		if err := put(data, a.cert, a.key, a.authority.cert, a.authority.key); err != nil {
			return nil, err
		}
	}
	if len(s.old) > 0 {
		data[OldCertificates] = EncodeBundle(s.old)
		data[OldUntil] = []byte(s.until.UTC().Format(time.RFC3339))
	}
	return data, nil
}

func put(data map[string][]byte, certificate, key string, cert *x509.Certificate, private crypto.PrivateKey) error {
	data[certificate] = EncodeBundle([]*x509.Certificate{cert})
	if private == nil {
		return nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("%s: cannot be written", key)
	}
	data[key] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return nil
}

// Join returns the certificates of two bundles, each once, those of the first one first. What is of no use at time now is left out of the
// second.
func Join(first, second []*x509.Certificate, now time.Time) []*x509.Certificate {
	all := slices.Clone(first)
	for _, cert := range second {
		if cert.IsCA && now.Before(cert.NotAfter) && !Contains(all, cert) && len(all) < len(first)+maxOld {
			all = append(all, cert)
		}
	}
	return all
}
