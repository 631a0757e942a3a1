//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// maxAnswer is the most that is read of an answer of the API server.
const maxAnswer = 4 << 20

// cluster is what runs in the namespaces.
type cluster struct {
	folder string
	link   *link
	peers  []*peer
	admin  *http.Client
}

// serve starts everything, says so, and runs until ctx ends.
func serve(ctx context.Context, name, folder string) error {
	c := &cluster{folder: folder, link: &link{name: name}}
	for _, step := range []func() error{c.link.attach, c.certificates, c.configure, c.startAll, c.listen, c.settled, c.announce} {
		if err := step(); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func (c *cluster) certificates() error {
	p, err := newPKI(c.folder, c.link.node())
	if err != nil {
		return err
	}
	err = errors.Join(
		p.client("admin", "admin", "system:masters"),
		p.client("kube-controller-manager", "system:kube-controller-manager"),
		p.client("kube-scheduler", "system:kube-scheduler"),
		p.client("kubelet", "system:node:"+nodeName, "system:nodes"),
		p.client("kube-proxy", "system:kube-proxy"),
		os.Rename(c.file("admin.kubeconfig"), c.file("kubeconfig")))
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.file("admin.pem"), c.file("admin.key"))
	if err != nil {
		return err
	}
	// The same CA in a folder of its own, as skopeo and docker want it.
	ca, err := os.ReadFile(c.file("ca.pem"))
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(c.file("certs"), 0o755), os.WriteFile(c.file("certs/ca.crt"), ca, 0o644)); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.ca)
	c.admin = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots},
	}}
	return nil
}

// startAll starts the programs: side by side, but for the API server, which needs etcd and which others need.
func (c *cluster) startAll() error {
	c.peers = c.list()
	failed := make(chan error, len(c.peers))
	stored := make(chan struct{})
	served := make(chan struct{})
	for _, p := range c.peers {
		go func() {
			failed <- c.startOne(p, stored, served)
		}()
	}
	for range c.peers {
		if err := <-failed; err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) startOne(p *peer, stored, served chan struct{}) error {
	switch {
	case p.lazy:
		return nil
	case p.name == "kube-apiserver":
		<-stored
	case p.after == "kube-apiserver":
		<-served
	}
	if err := p.start(c.folder); err != nil {
		return err
	}
	switch p.name {
	case "etcd":
		close(stored)
	case "kube-apiserver":
		close(served)
	case "containerd":
		return c.importPause()
	}
	return nil
}

func (c *cluster) importPause() error {
	content, err := pauseArchive()
	if err != nil {
		return err
	}
	path, err := lookPath("ctr")
	if err != nil {
		return err
	}
	cmd := exec.Command(path, "--address", c.state("containerd.sock"), "--namespace", "k8s.io", "images", "import", "-")
	cmd.Stdin = bytes.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("image of pause: %w: %s", err, out)
	}
	return nil
}

// settled waits until a pod could run: the node is ready, and the service account that pods have by default is there.
func (c *cluster) settled() error {
	deadline := time.Now().Add(readyWithin)
	for {
		err := errors.Join(c.nodeReady(), c.get("/api/v1/namespaces/default/serviceaccounts/default", nil))
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the cluster is not ready: %w", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *cluster) nodeReady() error {
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := c.get("/api/v1/nodes/"+nodeName, &node); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			return nil
		}
	}
	return fmt.Errorf("the node is not ready: %v", node.Status.Conditions)
}

// get asks the API server, and wants 200.
func (c *cluster) get(path string, into any) error {
	resp, err := c.admin.Get(fmt.Sprintf("https://%s:%d%s", c.link.node(), apiPort, path))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", path, resp.Status)
	case into == nil:
		return nil
	}
	return json.Unmarshal(body, into)
}

// announce writes the file of addresses, and says that the cluster is ready.
func (c *cluster) announce() error {
	text := fmt.Sprintf(`KUBECONFIG=%s
NODE_IP=%s
HOST_IP=%s
NODE_CA=%s
NODE_REGISTRY=%s
NODE_NOTARY=%s
NODE_DOCKER=unix://%s
`, c.file("kubeconfig"), c.link.node(), c.link.host(), c.file("ca.pem"), c.registry(), c.notary(), c.file("docker.sock"))
	if err := os.WriteFile(c.file(envFile), []byte(text), 0o644); err != nil {
		return err
	}
	fmt.Print(text)
	// The process outside is known by the lock, which it holds.
	holder, err := os.ReadFile(c.file(lockFile))
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.file(readyFile+".new"), holder, 0o644); err != nil {
		return err
	}
	return os.Rename(c.file(readyFile+".new"), c.file(readyFile))
}

func (c *cluster) registry() string { return fmt.Sprintf("%s:%d", c.link.node(), registryPort) }

func (c *cluster) notary() string { return fmt.Sprintf("%s:%d", c.link.node(), notaryPort) }

func (c *cluster) file(name string) string { return filepath.Join(c.folder, name) }

func (c *cluster) state(name string) string { return filepath.Join(c.folder, stateFolder, name) }
