package workload

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Limits of the files that say who asks, and of whom.
const (
	maxKubernetesFile   = 1 << 20  // bytes of a token, a certificate, a key or a bundle of authorities
	maxKubernetesHeader = 64 << 10 // bytes of the headers of an answer
	kubernetesIdle      = time.Minute
)

// serviceAccount is where Linux has the files of a pod's service account: the same folder under two names, of which an image may lack one.
var serviceAccount = []string{"/var/run/secrets/kubernetes.io/serviceaccount", "/run/secrets/kubernetes.io/serviceaccount"}

// serverFiles are the files that a client of a kubelet or an API server needs, and what was made of them. They are read again from time to time, and the
// connection is kept unless one that it was made of has changed.
type serverFiles struct {
	config KubeletConfig
	read   time.Time
	token  string
	source [sha256.Size]byte // of the files that the client was made of
	client *http.Client
}

// current returns the client and the token. Files are read if it is time; if that fails, the next call tries again.
func (f *serverFiles) current(now time.Time) (*http.Client, string, error) {
	if f.client != nil && now.Sub(f.read) < f.config.ReloadInterval {
		return f.client, f.token, nil
	}
	parts := serverParts{}
	if !f.config.ReadOnly {
		if err := parts.load(f.config); err != nil {
			return nil, "", err
		}
	}
	source := parts.sum()
	if f.client == nil || source != f.source {
		if err := f.renew(parts, source); err != nil {
			return nil, "", err
		}
	}
	f.token, f.read = parts.token, now
	return f.client, f.token, nil
}

func (f *serverFiles) renew(parts serverParts, source [sha256.Size]byte) error {
	config, err := parts.tls(f.config)
	if err != nil {
		return err
	}
	f.close()
	f.client, f.source = kubernetesClient(config, f.config.dial), source
	return nil
}

func (f *serverFiles) close() {
	if f.client != nil {
		f.client.CloseIdleConnections()
	}
}

// kubernetesClient follows no redirects and uses no proxy: what is asked, and who asks, is for one server.
func kubernetesClient(config *tls.Config, dial dialFunc) *http.Client {
	if dial == nil {
		dial = (&net.Dialer{Timeout: kubeletTimeout}).DialContext
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dial,
			DialTLSContext:         dialTLS(dial, config),
			DisableCompression:     true,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        kubernetesIdle,
			MaxResponseHeaderBytes: maxKubernetesHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dialTLS opens connections with TLS. It does so itself because net/http would in a goroutine of its own, in which a panic over what a
// server sends ends the process.
func dialTLS(dial dialFunc, config *tls.Config) dialFunc {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		ctx, cancel := context.WithTimeout(ctx, kubeletTimeout)
		defer cancel()
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("TLS with %s: a bug: %v", address, r)
			}
			if err != nil {
				_ = raw.Close()
				conn = nil
			}
		}()
		own := config.Clone()
		own.ServerName, _, _ = net.SplitHostPort(address)
		secure := tls.Client(raw, own)
		return secure, secure.HandshakeContext(ctx)
	}
}

// serverParts are the contents of the files.
type serverParts struct {
	ca, cert, key []byte
	token         string
}

func (p *serverParts) load(c KubeletConfig) (err error) {
	if !c.InsecureSkipVerification {
		if p.ca, err = readAccountFile(c.CAFile, c.ServiceAccount, "ca.crt"); err != nil {
			return fmt.Errorf("unable to load %s CA: %w", cmp.Or(c.server, "kubelet"), err)
		}
	}
	switch {
	case c.Anonymous:
	case c.CertFile != "" && c.KeyFile != "":
		if p.cert, err = readBounded(c.CertFile); err != nil {
			return fmt.Errorf("unable to load certificate: %w", err)
		}
		if p.key, err = readBounded(c.KeyFile); err != nil {
			return fmt.Errorf("unable to load private key: %w", err)
		}
	case c.CertFile != "":
		return errors.New("the private key path is required with the certificate path")
	case c.KeyFile != "":
		return errors.New("the certificate path is required with the private key path")
	default:
		token, err := readAccountFile(c.TokenFile, c.ServiceAccount, "token")
		if err != nil {
			return fmt.Errorf("unable to load token: %w", err)
		}
		p.token = string(bytes.TrimSpace(token))
	}
	return nil
}

// sum is of what a connection is made with. The token is not of it.
func (p *serverParts) sum() [sha256.Size]byte {
	h := sha256.New()
	for _, part := range [][]byte{p.ca, p.cert, p.key} {
		one := sha256.Sum256(part)
		h.Write(one[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (p *serverParts) tls(c KubeletConfig) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ReadOnly {
		return config, nil
	}
	switch {
	case c.InsecureSkipVerification:
		config.InsecureSkipVerify = true
	default:
		roots, err := parseRoots(p.ca)
		if err != nil {
			return nil, fmt.Errorf("unable to parse %s CA: %w", cmp.Or(c.server, "kubelet"), err)
		}
		config.RootCAs = roots
		if c.Host == "" { // the node's name is not known, and few certificates are for 127.0.0.1
			config.InsecureSkipVerify, config.VerifyConnection = true, verifyChain(roots)
		}
	}
	if len(p.cert) == 0 {
		return config, nil
	}
	pair, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("unable to load keypair: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// verifyChain checks all of a server's certificate but its name.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the server has no certificate")
		}
		options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range s.PeerCertificates[1:] {
			options.Intermediates.AddCert(c)
		}
		_, err := s.PeerCertificates[0].Verify(options)
		return err
	}
}

// parseRoots reads a bundle of certificates, all of which must be readable.
func parseRoots(content []byte) (*x509.CertPool, error) {
	roots, found := x509.NewCertPool(), false
	for {
		var block *pem.Block
		block, content = pem.Decode(content)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		roots.AddCert(c)
		found = true
	}
	if !found {
		return nil, errors.New("no certificate in PEM")
	}
	return roots, nil
}

// readAccountFile reads a file, by default that of the service account in the first folder that has it.
func readAccountFile(name string, folders []string, base string) ([]byte, error) {
	if name != "" {
		return readBounded(name)
	}
	if len(folders) == 0 {
		folders = serviceAccount
	}
	var first error
	for _, folder := range folders {
		content, err := readBounded(filepath.Join(folder, base))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return content, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// readBounded reads a plain file. To open a pipe waits for whoever writes to it, and all who need the file would wait with it.
func readBounded(name string) ([]byte, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no plain file, and cannot be read again when it changes", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKubernetesFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(content) > maxKubernetesFile:
		return nil, fmt.Errorf("%s: longer than %d bytes", name, maxKubernetesFile)
	}
	return content, nil
}
