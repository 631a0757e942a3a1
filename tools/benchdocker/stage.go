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
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/sign/local"
)

// sockets is where engines look for plugins.
const sockets = "/run/docker/plugins"

// stage is a registry with a signed image, and two engines with a plugin each.
type stage struct {
	folder   string
	registry *registrytest.Server
	image    string
	version  string
	plugins  []*exec.Cmd
	left     []string // sockets
	engines  []*dockerEngine
}

func newStage(o options) (*stage, error) {
	folder, err := os.MkdirTemp("", "benchdocker")
	if err != nil {
		return nil, err
	}
	s := &stage{folder: folder}
	if err := errors.Join(s.publish(), s.startAll(o)); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
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

// publish pushes an image and signs it.
func (s *stage) publish() (err error) {
	if s.registry, err = registrytest.Start(registrytest.Options{}); err != nil {
		return err
	}
	client, err := registry.New(registry.Config{LoopbackHTTP: true})
	if err != nil {
		return err
	}
	cert, key, err := authority()
	if err != nil {
		return err
	}
	issuer, err := local.New(local.Config{Certificate: cert, Key: key, Now: time.Now})
	if err != nil {
		return err
	}
	s.image = s.registry.Host() + "/shop/app:1"
	digest := s.registry.PushImage("shop/app", "1", "linux/amd64", "app")
	ref, err := image.Parse(s.registry.Host() + "/shop/app@" + digest.String())
	if err != nil {
		return err
	}
	if _, err := sign.Image(context.Background(), client, issuer, ref, sign.Options{}); err != nil {
		return err
	}
	return errors.Join(
		s.write("ca.pem", cert), s.write("policy.yaml", []byte(policy)),
		s.write("registries.yaml", fmt.Appendf(nil, "registries:\n- {host: %q, insecurePlainHTTP: true}\n", s.registry.Host())))
}

// startAll starts both plugins and their engines, and has the engines pull the image.
func (s *stage) startAll(o options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dockerSocket := filepath.Join(s.folder, "assay", "docker.sock")
	for _, p := range []struct {
		name    string
		program string
		args    func(socket string) []string
	}{
		{alwaysAllow, self, func(socket string) []string { return []string{alwaysAllow, socket} }},
		{"assay", o.assay, func(socket string) []string {
			return []string{
				"serve", "docker", "--socket", socket, "--docker-socket", dockerSocket, "--policy", filepath.Join(s.folder, "policy.yaml"),
				"--registries", filepath.Join(s.folder, "registries.yaml"), "--state-dir", filepath.Join(s.folder, "state"),
			}
		}},
	} {
		// The name is this run's own: an engine of the machine may have plugins too.
		plugin := fmt.Sprintf("benchdocker-%d-%s", os.Getpid(), p.name)
		socket := filepath.Join(sockets, plugin+".sock")
		if err := s.startPlugin(p.program, socket, p.args(socket)); err != nil {
			return err
		}
		e, err := startEngine(o.dockerd, filepath.Join(s.folder, p.name), plugin)
		if err != nil {
			return err
		}
		s.engines = append(s.engines, e)
		if err := e.pull(s.image); err != nil {
			return err
		}
	}
	s.version, err = s.engines[0].version()
	return err
}

func (s *stage) startPlugin(program, socket string, args []string) error {
	if err := os.MkdirAll(sockets, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.folder, filepath.Base(socket)+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.plugins, s.left = append(s.plugins, cmd), append(s.left, socket)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name()) // what there is of it
			return errors.Join(fmt.Errorf("%s did not start: %s", program, text), err)
		}
	}
}

// compare asks both engines in turns, so that what else the machine does meets them alike, and prints the medians. wanted 0 is no target.
func (s *stage) compare(name string, wanted time.Duration, rounds int, ask func(*dockerEngine) (time.Duration, error)) error {
	took := make([][]time.Duration, len(s.engines))
	for round := range rounds + rounds/10 + 1 {
		for i, e := range s.engines {
			d, err := ask(e)
			if err != nil {
				return err
			}
			if round > rounds/10 { // the first ones warm up
				took[i] = append(took[i], d)
			}
		}
	}
	usual, mine := median(took[0]), median(took[1])
	target := ""
	switch {
	case wanted == 0:
	case mine-usual < wanted:
		target = fmt.Sprintf("   target under %v: within", wanted)
	default:
		target = fmt.Sprintf("   target under %v: MISSED", wanted)
	}
	fmt.Printf("%-22s %12v %12v %12v%s\n", name, usual.Round(time.Microsecond), mine.Round(time.Microsecond), (mine - usual).Round(time.Microsecond), target)
	return nil
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func (s *stage) close() {
	for _, e := range s.engines {
		e.stop()
	}
	for _, p := range s.plugins {
		_ = p.Process.Kill() // it may have ended
		_ = p.Wait()         // killed, as was wanted
	}
	for _, socket := range s.left {
		_ = os.Remove(socket) // whoever listened may have removed it
	}
	if s.registry != nil {
		s.registry.Close()
	}
	_ = os.RemoveAll(s.folder) // nobody looks at it again
}

func (s *stage) write(name string, content []byte) error {
	return os.WriteFile(filepath.Join(s.folder, name), content, 0o600)
}

// authority makes a certificate authority, in PEM.
func authority() (cert, key []byte, err error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		Subject: pkix.Name{CommonName: "bench CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
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
