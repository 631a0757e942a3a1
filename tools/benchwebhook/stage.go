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
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/sign/local"
)

// containers is how many the pod has that is asked about.
const containers = 6

// stage is a registry with signed images, a cluster as far as Assay looks at it, and the servers.
type stage struct {
	folder   string
	registry *registrytest.Server
	client   *registry.Client
	issuer   *local.CA
	cluster  *httptest.Server
	left     chan struct{} // is closed when the cluster ends
	images   []string
	servers  []*process
}

func newStage() (*stage, error) {
	folder, err := os.MkdirTemp("", "benchwebhook")
	if err != nil {
		return nil, err
	}
	s := &stage{folder: folder, left: make(chan struct{})}
	if err := s.build(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) build() (err error) {
	if s.registry, err = registrytest.Start(registrytest.Options{}); err != nil {
		return err
	}
	if s.client, err = registry.New(registry.Config{LoopbackHTTP: true}); err != nil {
		return err
	}
	s.cluster = httptest.NewServer(http.HandlerFunc(s.answerCluster))
	cert, key, err := authority()
	if err != nil {
		return err
	}
	if s.issuer, err = local.New(local.Config{Certificate: cert, Key: key, Now: time.Now}); err != nil {
		return err
	}
	for i := range containers {
		ref, err := s.signed(fmt.Sprintf("shop/app%d", i))
		if err != nil {
			return err
		}
		s.images = append(s.images, ref)
	}
	tlsCert, tlsKey, err := serverPair()
	if err != nil {
		return err
	}
	return errors.Join(
		s.write("ca.pem", cert), s.write("tls.crt", tlsCert), s.write("tls.key", tlsKey),
		s.write("policy.yaml", []byte(policy)),
		s.write("registries.yaml", fmt.Appendf(nil, "registries:\n- {host: %q, insecurePlainHTTP: true}\n", s.registry.Host())),
		s.write("kubeconfig", fmt.Appendf(nil, "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q}}]\n"+
			"users: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n", s.cluster.URL)),
	)
}

const policy = `apiVersion: assay.dev/v1
kind: TrustPolicy
metadata: {name: bench}
spec:
  scope: {namespaces: {selector: {matchLabels: {team: shop}}}}
  authorities:
    ci: {certificate: {rootsFiles: [ca.pem]}}
  rules:
  - {images: ["**"], require: ci}
`

// signed pushes an image, signs it, and returns its name with tag and digest, as it stands in a pod after it was pinned.
func (s *stage) signed(repo string) (string, error) {
	d := s.registry.PushImage(repo, "1", "linux/amd64", repo)
	name := s.registry.Host() + "/" + repo
	ref, err := image.Parse(name + "@" + d.String())
	if err != nil {
		return "", err
	}
	_, err = sign.Image(context.Background(), s.client, s.issuer, ref, sign.Options{})
	return name + ":1@" + d.String(), err
}

// answerCluster has one namespace.
func (s *stage) answerCluster(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Query().Get("sendInitialEvents") == "true":
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
	case r.URL.Query().Get("watch") != "":
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-s.left:
		case <-r.Context().Done():
		}
	default:
		fmt.Fprint(w, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"shop","labels":{"team":"shop"}}}]}`)
	}
}

func (s *stage) startAll(program string) error {
	cert, key := s.file("tls.crt"), s.file("tls.key")
	p, err := startAssay(program, []string{
		"serve", "kubernetes", "--listen", "127.0.0.1:0", "--policy", s.file("policy.yaml"), "--tls-cert", cert, "--tls-key", key,
		"--registries", s.file("registries.yaml"), "--kubeconfig", s.file("kubeconfig"), "--exempt-namespace", "", "--state-dir", s.folder,
	})
	if err != nil {
		return err
	}
	s.servers = append(s.servers, p)
	for _, name := range []string{alwaysAllow, floor} {
		if p, err = startPeer(name, cert, key); err != nil {
			return err
		}
		s.servers = append(s.servers, p)
	}
	return s.waitFor(s.servers[0])
}

// waitFor waits until a server says that it is ready.
func (s *stage) waitFor(p *process) error {
	const patience = 20 * time.Second
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		c, err := dial(p.address)
		if err != nil {
			return err
		}
		_, _ = c.conn.Write([]byte("GET /readyz HTTP/1.1\r\nHost: assay\r\nConnection: close\r\n\r\n")) // the answer tells
		line, _ := c.reader.ReadString('\n')
		c.conn.Close()
		if strings.Contains(line, " 200 ") {
			return nil
		}
	}
	return fmt.Errorf("%s is not ready after %v", p.name, patience)
}

func (s *stage) close() {
	for _, p := range s.servers {
		_ = p.stop() // it has ended
	}
	if s.cluster != nil {
		close(s.left)
		s.cluster.Close()
	}
	if s.registry != nil {
		s.registry.Close()
	}
	_ = os.RemoveAll(s.folder) // nobody looks at it again
}

func (s *stage) file(name string) string { return filepath.Join(s.folder, name) }

func (s *stage) write(name string, content []byte) error {
	return os.WriteFile(s.file(name), content, 0o600)
}

// authority makes a certificate authority, in PEM.
func authority() (cert, key []byte, err error) {
	return pair(&x509.Certificate{
		Subject: pkix.Name{CommonName: "bench CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
}

// serverPair makes the certificate of a server, in PEM.
func serverPair() (cert, key []byte, err error) {
	return pair(&x509.Certificate{
		Subject: pkix.Name{CommonName: "bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

func pair(template *x509.Certificate) (cert, key []byte, err error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}
