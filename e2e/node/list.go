//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
)

// list is every program of the cluster and how it is started. All ports are the usual ones: the network is the cluster's own.
func (c *cluster) list() []*peer {
	const api = "kube-apiserver"
	return []*peer{
		{name: "etcd", args: []string{"--name=" + nodeName, "--data-dir=" + c.state("etcd")}, ready: page("http://127.0.0.1:2379/health")},
		{name: "containerd", args: []string{"--config=" + c.state("containerd.toml")}, ready: socket(c.state("containerd.sock"))},
		{name: api, args: c.apiServer(), ready: func() error { return c.get("/readyz", nil) }},
		{name: "kube-controller-manager", after: api, args: []string{
			"--kubeconfig=" + c.file("kube-controller-manager.kubeconfig"), "--service-account-private-key-file=" + c.file("sa.key"),
			"--root-ca-file=" + c.file("ca.pem"), "--use-service-account-credentials", "--leader-elect=false",
		}},
		{name: "kube-scheduler", after: api, args: []string{"--kubeconfig=" + c.file("kube-scheduler.kubeconfig"), "--leader-elect=false"}},
		{name: "kubelet", after: api, args: []string{
			"--config=" + c.state("kubelet.yaml"), "--kubeconfig=" + c.file("kubelet.kubeconfig"), "--hostname-override=" + nodeName,
			"--root-dir=" + c.state("kubelet"), "--node-ip=" + c.node(),
		}},
		{name: "kube-proxy", after: api, args: []string{"--config=" + c.state("kube-proxy.yaml"), "--hostname-override=" + nodeName}},
		{name: "docker-registry", args: []string{"serve", c.state("registry.yml")}, ready: port(registryPort)},
		{name: "notary-server", args: []string{"-config", c.state("notary.json")}, ready: port(notaryPort)},
		// It starts containerd, and means its own, which the distribution has.
		{name: "dockerd", lazy: true, path: []string{"/usr/sbin", "/usr/bin"}, ready: socket(c.file("docker.sock")), args: []string{
			"--host=unix://" + c.file("docker.sock"), "--data-root=" + c.state("docker"), "--exec-root=" + c.state("docker-exec"),
			"--pidfile=" + c.state("docker.pid"), "--bridge=none", "--iptables=false",
		}},
	}
}

func (c *cluster) apiServer() []string {
	return []string{
		"--etcd-servers=http://127.0.0.1:2379", fmt.Sprintf("--secure-port=%d", apiPort), "--advertise-address=" + c.node(),
		"--client-ca-file=" + c.file("ca.pem"), "--tls-cert-file=" + c.file("server.pem"), "--tls-private-key-file=" + c.file("server.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
		"--service-cluster-ip-range=" + serviceNetwork, "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.file("sa.key"), "--service-account-signing-key-file=" + c.file("sa.key"),
		// It speaks to the kubelet as an administrator.
		"--kubelet-preferred-address-types=InternalIP", "--kubelet-certificate-authority=" + c.file("ca.pem"),
		"--kubelet-client-certificate=" + c.file("admin.pem"), "--kubelet-client-key=" + c.file("admin.key"),
	}
}

func (c *cluster) node() string {
	if c.link == nil { // only the names are wanted
		return ""
	}
	return c.link.node().String()
}

// page wants 200.
func page(url string) func() error {
	return func() error {
		resp, err := http.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, resp.Status)
		}
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
		return err
	}
}

func socket(path string) func() error { return listens("unix", path) }

func port(number int) func() error { return listens("tcp", fmt.Sprintf("127.0.0.1:%d", number)) }

func listens(network, address string) func() error {
	return func() error {
		conn, err := net.Dial(network, address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
