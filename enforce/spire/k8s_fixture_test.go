package spire

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/workload"
)

const (
	uid1 = "2c48913c-b29f-11e7-9350-020968147796"
	uid2 = "11111111-2222-3333-4444-555555555555"
	idC  = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
	idI  = "9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961"
)

func inPod(uid, id string) string { return "0::/kubepods/burstable/pod" + uid + "/" + id + "\n" }

// hidden is how a container's cgroup looks from inside another cgroup namespace.
func hidden(id string) string { return "0::/../" + id + "\n" }

// node is a kubelet behind a read-only port.
type node struct {
	server *httptest.Server

	mu      sync.Mutex
	pods    []string
	broken  string   // "500", "half", "hang", or a whole answer
	next    []string // answers that come first, one each
	fetches int
	release chan struct{} // ends what hangs
}

func startNode(t testing.TB, pods ...string) *node {
	t.Helper()
	n := &node{pods: pods, release: make(chan struct{})}
	n.server = httptest.NewServer(n)
	t.Cleanup(n.server.Close)
	t.Cleanup(func() { close(n.release) })
	return n
}

// ServeHTTP implements http.Handler.
func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.fetches++
	answer := n.broken
	if len(n.next) > 0 {
		answer, n.next = n.next[0], n.next[1:]
	}
	pods := strings.Join(n.pods, ",")
	n.mu.Unlock()
	switch answer {
	case "":
		_, _ = io.WriteString(w, `{"kind":"PodList","items":[`+pods+`]}`)
	case "500":
		http.Error(w, "the disk is on fire", http.StatusInternalServerError)
	case "half":
		_, _ = io.WriteString(w, `{"items":[`)
	case "hang":
		select {
		case <-r.Context().Done():
		case <-n.release:
		}
	default:
		_, _ = io.WriteString(w, answer)
	}
}

func (n *node) set(pods ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pods = pods
}

func (n *node) fail(how string, first ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.broken, n.next = how, first
}

func (n *node) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fetches
}

// hcl is a configuration that asks the kubelet often, and a few times.
func (n *node) hcl(more string) string {
	return fmt.Sprintf("kubelet_read_only_port = %s\npoll_retry_interval = \"1ns\"\nmax_poll_attempts = 5\n%s", portOf(n.server), more)
}

func portOf(s *httptest.Server) string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return port
}

// podJSON is a pod as a kubelet lists it, with the statuses of its containers by kind.
func podJSON(uid, name string, statuses map[string][]string) string {
	status := map[string]any{"phase": "Running"}
	for kind, all := range statuses {
		list := []json.RawMessage{}
		for _, one := range all {
			list = append(list, json.RawMessage(one))
		}
		status[kind] = list
	}
	content, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": uid, "name": name, "namespace": "ns"},
		"spec":     map[string]any{"serviceAccountName": "sa", "nodeName": "node-1"}, "status": status,
	})
	if err != nil {
		panic(err)
	}
	return string(content)
}

func statusJSON(name, id, imageID string) string {
	return fmt.Sprintf(`{"name":%q,"containerID":%q,"image":"registry.example/%s:1","imageID":%q,"state":{"running":{}}}`, name, id, name, imageID)
}

// onePod is a pod with a container.
func onePod(uid, name, id string) string {
	return podJSON(uid, name, map[string][]string{"containerStatuses": {statusJSON("main", "containerd://"+id, repo)}})
}

// onePodSelectors are those of onePod(uid, name, …).
func onePodSelectors(uid, name string) []string {
	return append(podOnly(uid, name), "container-name:main", "container-image:registry.example/app@"+repoDigest, "container-image:registry.example/main:1")
}

func podOnly(uid, name string) []string {
	return []string{
		"sa:sa", "ns:ns", "node-name:node-1", "pod-uid:" + uid, "pod-name:" + name, "pod-image-count:1", "pod-init-image-count:0",
		"pod-image:registry.example/app@" + repoDigest, "pod-image:registry.example/main:1",
	}
}

var repoDigest = strings.TrimPrefix(repo, "registry.example/app@")

// cluster is an API server with the files of a service account.
type cluster struct {
	server *httptest.Server
	folder string

	mu      sync.Mutex
	answers map[string]string // by "METHOD URL"; "500" fails
	asked   []string
	reviews []string
}

func startCluster(t testing.TB, answers map[string]string) *cluster {
	t.Helper()
	c := &cluster{folder: t.TempDir(), answers: answers}
	c.server = httptest.NewTLSServer(c)
	t.Cleanup(c.server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate().Raw})
	for name, content := range map[string][]byte{"ca.crt": ca, "token": []byte("secret")} {
		if err := os.WriteFile(filepath.Join(c.folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// ServeHTTP implements http.Handler.
func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key := r.Method + " " + r.URL.String()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, key)
	if len(body) > 0 {
		c.reviews = append(c.reviews, string(body))
	}
	switch answer, known := c.answers[key]; {
	case !known:
		http.NotFound(w, r)
	case answer == "500":
		http.Error(w, "down", http.StatusInternalServerError)
	default:
		_, _ = io.WriteString(w, answer)
	}
}

func (c *cluster) set(key, answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[key] = answer
}

func (c *cluster) requests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.asked...)
}

// kubernetes makes a k8s attestor over processes. verifier and c may be nil.
func kubernetes(p *processes, verifier Verifier, c *cluster) Attestor {
	config := KubernetesConfig{
		Plugin: New(slog.New(slog.DiscardHandler)), Proc: workload.NewProc(p), GOOS: "linux",
		NewVerifier: func(Verification, string) (Verifier, error) { return verifier, nil },
	}
	if c != nil {
		config.ServiceAccount = []string{c.folder}
		config.Getenv = func(name string) string {
			return map[string]string{"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": portOf(c.server)}[name]
		}
	}
	return NewKubernetes(config)
}

// says is an error as a caller sees it.
func says(err error) string {
	if err == nil {
		return "OK"
	}
	s := status.Convert(told(err, nil))
	return s.Code().String() + ": " + s.Message()
}
