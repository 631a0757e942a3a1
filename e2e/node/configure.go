//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
)

// configure writes the files that programs want, in memory. In them $NAME stands for what differs between clusters.
func (c *cluster) configure() error {
	values := map[string]string{
		"FOLDER": c.folder, "STATE": filepath.Join(c.folder, stateFolder), "GROUP": "/" + c.link.name, "NODE": c.node(),
		"REGISTRY": c.registry(), "PODS": podNetwork, "PAUSE": pauseImage,
	}
	for name, text := range map[string]string{
		c.state("containerd.toml"):                                   containerdConfig,
		c.state("cni/10-assay.conflist"):                             cniConfig,
		c.state("certs.d/" + c.registry() + "/hosts.toml"):           hostsConfig,
		c.state("kubelet.yaml"):                                      kubeletConfig,
		c.state("kube-proxy.yaml"):                                   proxyConfig,
		c.state("registry.yml"):                                      registryConfig,
		c.state("notary.json"):                                       notaryConfig,
		c.state("resolv.conf"):                                       "",
		filepath.Join("/etc/docker/certs.d", c.registry(), "ca.crt"): "",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		content := []byte(os.Expand(strings.TrimLeft(text, "\n"), func(key string) string { return values[key] }))
		if filepath.Base(name) == "ca.crt" {
			var err error
			if content, err = os.ReadFile(c.file("ca.pem")); err != nil {
				return err
			}
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// The opt plugin would make a folder on the host; nothing here uses it. Verifiers of images are those that a story puts into a folder; while it is
// empty, nobody is asked.
const containerdConfig = `
version = 3
root = "$STATE/containerd"
state = "$STATE/containerd-run"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
  address = "$STATE/containerd.sock"
[plugins."io.containerd.image-verifier.v1.bindir"]
  bin_dir = "$FOLDER/containerd/verifiers"
  max_verifiers = 10
  per_verifier_timeout = "10s"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "$PAUSE"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "$STATE/certs.d"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]
  conf_dir = "$STATE/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    SystemdCgroup = false
`

// Each pod has a wire of its own to the node, and no bridge: what goes from a pod to another by a Service is then always routed, which
// with a bridge needs a module of the kernel.
const cniConfig = `
{"cniVersion": "1.0.0", "name": "assay", "plugins": [{"type": "ptp", "ipMasq": true, "ipam": {
  "type": "host-local", "ranges": [[{"subnet": "$PODS"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$STATE/addresses"}}]}
`

const hostsConfig = `
server = "https://$REGISTRY"
[host."https://$REGISTRY"]
  capabilities = ["pull", "resolve"]
  ca = "$FOLDER/ca.pem"
`

const kubeletConfig = `
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: $GROUP
containerRuntimeEndpoint: unix://$STATE/containerd.sock
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $FOLDER/ca.pem}
authorization: {mode: Webhook}
tlsCertFile: $FOLDER/server.pem
tlsPrivateKeyFile: $FOLDER/server.key
staticPodPath: $FOLDER/manifests
fileCheckFrequency: 1s
readOnlyPort: 10255
podLogsDir: $STATE/pods
volumePluginDir: $STATE/plugins
resolvConf: $STATE/resolv.conf
oomScoreAdj: 0
makeIPTablesUtilChains: false
serializeImagePulls: false
registryPullQPS: 0
evictionHard: {memory.available: "10Mi", nodefs.available: "1%", nodefs.inodesFree: "1%", imagefs.available: "1%"}
`

// Limits of tracked connections are the machine's.
const proxyConfig = `
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: $PODS
clientConnection: {kubeconfig: $FOLDER/kube-proxy.kubeconfig}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {minSyncPeriod: 100ms}
`

const registryConfig = `
version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: $STATE/registry}
  delete: {enabled: true}
http:
  addr: ":5000"
  tls: {certificate: $FOLDER/server.pem, key: $FOLDER/server.key}
`

const notaryConfig = `
{"server": {"http_addr": ":4443", "tls_cert_file": "$FOLDER/server.pem", "tls_key_file": "$FOLDER/server.key"},
 "trust_service": {"type": "local"}, "storage": {"backend": "memory"}, "logging": {"level": "info"}}
`
