package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/sign/local"
)

// stage is a registry with signed images, and the processes that are measured.
type stage struct {
	folder   string
	registry *registrytest.Server
	images   []string
	started  []*process
}

const policy = `apiVersion: assay.dev/v1
kind: TrustPolicy
metadata: {name: bench}
spec:
  authorities:
    ci: {certificate: {rootsFiles: [ca.pem]}}
  rules:
  - {images: ["**"], require: ci}
`

func newStage(images int) (*stage, error) {
	folder, err := os.MkdirTemp("", "benchnode")
	if err != nil {
		return nil, err
	}
	s := &stage{folder: folder}
	if err := s.build(images); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) build(images int) (err error) {
	if s.registry, err = registrytest.Start(registrytest.Options{}); err != nil {
		return err
	}
	client, err := registry.New(registry.Config{LoopbackHTTP: true})
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	issuer, err := local.New(local.Config{Certificate: ca.pem, Key: ca.keyPEM, Now: time.Now})
	if err != nil {
		return err
	}
	for i := range images {
		repo := fmt.Sprintf("shop/app%d", i)
		d := s.registry.PushImage(repo, "1", "linux/amd64", repo)
		ref, err := image.Parse(s.registry.Host() + "/" + repo + "@" + d.String())
		if err != nil {
			return err
		}
		if _, err := sign.Image(context.Background(), client, issuer, ref, sign.Options{}); err != nil {
			return err
		}
		s.images = append(s.images, ref.String())
	}
	err = errors.Join(
		s.write("ca.pem", ca.pem), s.write("policy.yaml", []byte(policy)),
		s.write("registries.yaml", fmt.Appendf(nil, "registries:\n- {host: %q, insecurePlainHTTP: true, insecureAllowLoopback: true}\n", s.registry.Host())),
	)
	for _, name := range []string{"upstream", "first", "second"} {
		cert, key, issueErr := ca.issue(name)
		err = errors.Join(err, issueErr, s.write(name+".crt", cert), s.write(name+".key", key))
	}
	return err
}

// startNode starts a daemon with a socket of its name.
func (s *stage) startNode(assay, name string, more ...string) (*process, error) {
	args := append([]string{
		"serve", "node", "--socket", s.socket(name), "--policy", s.file("policy.yaml"), "--registries", s.file("registries.yaml"),
		"--state-dir", s.file(name), "--listen-metrics", "127.0.0.1:0",
	}, more...)
	if len(more) > 0 {
		args = append(args, "--upstream-cert", s.file(name+".crt"), "--upstream-key", s.file(name+".key"))
	}
	return s.start(name, "metrics", "http", assay, args)
}

// asking are the flags of a node that asks an upstream.
func (s *stage) asking(up *process) []string {
	return []string{"--upstream", "https://" + up.address, "--upstream-ca", s.file("ca.pem")}
}

func (s *stage) startUpstream(assay string) (*process, error) {
	return s.start("upstream", "listening", "https", assay, []string{
		"serve", "api", "--listen", "127.0.0.1:0", "--policy", s.file("policy.yaml"), "--registries", s.file("registries.yaml"), "--state-dir", s.file("upstream"),
		"--tls-cert", s.file("upstream.crt"), "--tls-key", s.file("upstream.key"), "--client-ca", s.file("ca.pem"), "--rate", "100000",
	})
}

func (s *stage) start(name, line, scheme, assay string, args []string) (*process, error) {
	p, err := startProcess(name, line, scheme, assay, args)
	if err != nil {
		return nil, err
	}
	s.started = append(s.started, p)
	return p, p.untilReady()
}

// requests is how many requests the registry has had.
func (s *stage) requests() int { return len(s.registry.Requests()) }

func (s *stage) socket(name string) string { return s.file(name + ".sock") }

func (s *stage) file(name string) string { return filepath.Join(s.folder, name) }

func (s *stage) write(name string, content []byte) error {
	return os.WriteFile(s.file(name), content, 0o600)
}

func (s *stage) close() {
	for _, p := range s.started {
		_ = p.stop() // it has ended
	}
	if s.registry != nil {
		s.registry.Close()
	}
	_ = os.RemoveAll(s.folder) // nobody looks at it again
}

// authority certifies images, servers and nodes.
type authority struct {
	cert        *x509.Certificate
	key         *ecdsa.PrivateKey
	pem, keyPEM []byte
}

func newAuthority() (*authority, error) {
	a := &authority{cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}}
	var err error
	a.pem, a.keyPEM, a.key, err = certify(a.cert, a.cert, nil)
	return a, err
}

// issue certifies somebody who serves and asks on this host.
func (a *authority) issue(name string) (cert, key []byte, err error) {
	cert, key, _, err = certify(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, a.key)
	return cert, key, err
}

// certify makes a certificate with a key of its own; without a signer it signs itself.
func certify(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (cert, keyPEM []byte, key *ecdsa.PrivateKey, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, nil, err
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), key, err
}
