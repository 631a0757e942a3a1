//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/proto/configv1"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust/sigstore/material"
	"github.com/assay-dev/assay/workload"
)

// silence is an address at which connections are taken, counted, and never answered.
func silence(t *testing.T) (address string, taken *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	taken = &atomic.Int32{}
	done := make(chan struct{})
	var open []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			open = append(open, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range open {
			_ = c.Close()
		}
	})
	return l.Addr().String(), taken
}

// attestorServers are both attestors, as an agent talks to them.
func (w *spireWorld) attestorServers() map[string]*spire.Server {
	servers := map[string]*spire.Server{}
	for _, one := range w.demands.app.spireAttestors() {
		s := spire.NewServer(spire.Config{Plugin: w.demands.plugin, Attestor: one.make(w.demands.plugin, workload.NewProc(os.DirFS(w.TempDir())))})
		w.Cleanup(s.Close)
		servers[one.name] = s
	}
	return servers
}

// demandsOf are all ways to demand something, in HCL.
func demandsOf(policy, rekor string) []string {
	return []string{
		"", "sigstore {}", `sigstore { rekor_url = "` + rekor + `" ignore_attestations = true }`, `policy = "` + policy + `"`,
		`sigstore { allowed_identities = { "https://issuer.example" = ["a@b.example"] } registry_credentials "registry.example" { username = "u" password = "p" } }`,
	}
}

// Where every peer takes connections and none answers, each configuration is in force within a second, and none of the attestors' own peers was asked.
func TestPLUGIN15_EveryKindOfConfiguration(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	address, _ := silence(t)
	peer, asked := silence(t)
	host, port, err := net.SplitHostPort(peer)
	must(t, err)
	delete(w.env, "SIGSTORE_ROOT_FILE") // what trust there is comes from a mirror
	root := filepath.Join(t.TempDir(), "root.json")
	must(t, os.WriteFile(root, material.PublicGoodRoot(), 0o600))
	w.env["TUF_MIRROR"], w.env["TUF_ROOT"], w.env["TUF_ROOT_JSON"] = "http://"+address, t.TempDir(), root
	w.env["KUBERNETES_SERVICE_HOST"], w.env["KUBERNETES_SERVICE_PORT"] = host, port
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	must(t, os.WriteFile(policy, []byte("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p}\nspec: {rules: [{images: [\"**\"], deny: never}]}\n"), 0o600))
	more := map[string][]string{
		"docker": {`docker_socket_path = "tcp://` + peer + `"`, `docker_socket_path = "tcp://` + peer + `" use_rootless_podman = true insecure_mountinfo_fallback = true`},
		"k8s": {
			"kubelet_read_only_port = " + port, "skip_kubelet_verification = true use_anonymous_authentication = true kubelet_secure_port = " + port,
			"disable_kubelet_client = true enable_namespace_labels = true experimental { api_server { cache { enabled = true } } }",
		},
	}
	for name, s := range w.attestorServers() {
		for _, own := range more[name] {
			for _, demand := range demandsOf(policy, "http://"+address) {
				start := time.Now()
				_, err := s.Configure(t.Context(), &configv1.ConfigureRequest{
					CoreConfiguration: &configv1.CoreConfiguration{TrustDomain: "example.org"}, HclConfiguration: own + "\n" + demand + "\n",
				})
				if took := time.Since(start); err != nil || took > time.Second {
					t.Errorf("%s: %s %s: %v after %v", name, own, demand, err, took)
				}
			}
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("%d connections to the engine, the kubelet or the API server", n)
	}
}

// To validate a configuration opens nothing: whoever opened one of the pipes that it names would wait.
func TestPLUGIN7_PipesAreNotOpened(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	pipe := filepath.Join(t.TempDir(), "config.json")
	must(t, syscall.Mkfifo(pipe, 0o600))
	w.env["SIGSTORE_ROOT_FILE"], w.env["REGISTRY_AUTH_FILE"], w.env["DOCKER_CONFIG"] = pipe, pipe, filepath.Dir(pipe)
	more := map[string]string{
		"docker": fmt.Sprintf("docker_socket_path = %q\npodman_socket_path = %[1]q\n", "unix://"+pipe),
		"k8s":    fmt.Sprintf("kubelet_ca_path = %q\ntoken_path = %[1]q\ncertificate_path = %[1]q\nprivate_key_path = %[1]q\n", pipe),
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for name, s := range w.attestorServers() {
		for _, demand := range demandsOf(pipe, "http://rekor.example") {
			answer, err := s.Validate(ctx, &configv1.ValidateRequest{
				CoreConfiguration: &configv1.CoreConfiguration{TrustDomain: "example.org"}, HclConfiguration: more[name] + demand,
			})
			if err != nil || !answer.GetValid() {
				t.Errorf("%s: %s: %v, %q", name, demand, err, strings.Join(answer.GetNotes(), "; "))
			}
		}
	}
	if _, err := os.Stat(pipe); err != nil {
		t.Error(err)
	}
}
