package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/kubernetes"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster/clustertest"
	"github.com/assay-dev/assay/engine"
)

// apiServer is an API server with namespaces that have their name as the label team.
func apiServer(t *testing.T, namespaces ...string) (kubeconfig string) {
	t.Helper()
	s := clustertest.New(t)
	for _, name := range namespaces {
		putNamespace(s, name, name)
	}
	return s.Kubeconfig()
}

func putNamespace(s *clustertest.Server, name, team string) {
	s.Put("/api/v1/namespaces", fmt.Sprintf(`{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"name":%q,"labels":{"team":%q}}}`, name, team))
}

// admitted asks about a pod in a namespace.
func (r *running) admitted(namespace, image string, headers ...string) (bool, string) {
	r.t.Helper()
	_, _, body := r.ask("/validate?timeout=5s", fmt.Sprintf(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"group":"",`+
		`"version":"v1","kind":"Pod"},"name":"x","userInfo":{"username":"jane"},"namespace":%q,"operation":"CREATE","object":{"spec":{"containers":[{"name":"a","image":%q}]}}}}`, namespace, image), headers...)
	var got struct {
		Response struct {
			UID     string
			Allowed bool
			Status  struct{ Message string }
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Response.UID == "" {
		return false, body
	}
	return got.Response.Allowed, got.Response.Status.Message
}

const labelled = `apiVersion: assay.dev/v1
kind: TrustPolicy
metadata: {name: shops}
spec:
  scope: {namespaces: {selector: {matchLabels: {team: shop}}}}
  rules:
  - {images: ["registry.example/shop/**"], allow: for the test}
`

func TestT35_T36_NamespacesComeFromTheCluster(t *testing.T) {
	api := clustertest.New(t)
	putNamespace(api, "shop", "shop")
	putNamespace(api, "bank", "bank")
	api.Fault(func(r *http.Request) int {
		if q := r.URL.Query(); q.Get("watch") != "" && q.Get("sendInitialEvents") == "" {
			<-r.Context().Done() // nobody hears of changes
		}
		return 0
	})
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	replace(t, policy, labelled)
	r := servePoint(t, "kubernetes", "--policy", policy, "--insecure-plain-http", "--kubeconfig", api.Kubeconfig()).untilReady()

	const image = "registry.example/shop/app:1"
	if ok, text := r.admitted("shop", image); !ok {
		t.Errorf("shop: %s", text)
	}
	if ok, text := r.admitted("bank", image); ok || strings.Contains(text, "could not tell") {
		t.Errorf("bank: got allowed %v: %s", ok, text)
	}
	if ok, text := r.admitted("new", image); ok || !strings.Contains(text, "could not tell") {
		t.Errorf("a namespace that nobody knows: got allowed %v: %s", ok, text)
	}
	line := r.log.find("verdict")
	for field, want := range map[string]any{"namespace": "bank", "user": "jane", "operation": "CREATE", "kind": "Pod", "name": "x", "containers": "a"} {
		if line[field] != want {
			t.Errorf("log: %s: got %v, want %v", field, line[field], want)
		}
	}
	if !r.metric(`assay_requests_refused_total{reason="namespace-unknown"} 1`) {
		t.Error("it was not counted")
	}
	// The watch is a moment behind: the namespace is asked for.
	putNamespace(api, "new", "shop")
	if ok, text := r.admitted("new", image); !ok {
		t.Errorf("new: %s", text)
	}
	if ok, text := r.admitted("kube-system", "registry.example/evil:1"); !ok {
		t.Errorf("kube-system: %s", text)
	}
	if got := fmt.Sprint(r.log.find("exempt namespaces: everything in them is allowed")["namespaces"]); got != "[kube-system]" {
		t.Errorf("the log tells %s", got)
	}
}

func TestServeKubernetesNotReady(t *testing.T) {
	// Nobody is there.
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(kubeconfig, []byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"http://127.0.0.1:1\"}}]\n"+
		"contexts: [{name: x, context: {cluster: c, user: u}}]\nusers: [{name: u}]\ncurrent-context: x\n"), 0o600))
	r := servePoint(t, "kubernetes", "--policy", servedPolicy(t, "a"), "--insecure-plain-http", "--kubeconfig", kubeconfig, "--exempt-namespace", "")
	if status, _, body := r.ask("/readyz", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "namespaces") {
		t.Errorf("got %d %s", status, body)
	}
	for _, namespace := range []string{"shop", "kube-system"} {
		if ok, text := r.admitted(namespace, "registry.example/a/app:1"); ok || !strings.Contains(text, "could not tell") {
			t.Errorf("%s: got allowed %v: %s", namespace, ok, text)
		}
	}
}

func TestServeKubernetesUsage(t *testing.T) {
	policy := servedPolicy(t, "a")
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(kubeconfig, []byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"http://127.0.0.1:1\"}}]\n"+
		"contexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n"), 0o600))
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"floors that are shared nowhere", []string{"--kubeconfig", kubeconfig, "--shared-floors"}, "--own-namespace"},
		{"no cluster", nil, "--kubeconfig"},
		{"no such kubeconfig", []string{"--kubeconfig", "nowhere"}, "nowhere"},
		{"a keychain that is not built in", []string{"--keychain", "ecr"}, "make build TAGS=cloudkeychains"},
		{"a kind without a path", []string{"--kind", "example.org/Thing"}, "GROUP/KIND=PATH"},
		{"a kind without a group", []string{"--kind", "Thing=/spec/image"}, "GROUP/KIND=PATH"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := runAssay(t, "", append([]string{"serve", "kubernetes", "--policy", policy, "--insecure-plain-http", "--listen", "127.0.0.1:0"}, row.args...)...)
			if got.code != exitUsage || !strings.Contains(got.stderr, row.want) {
				t.Errorf("got %d %s, want %q", got.code, got.stderr, row.want)
			}
		})
	}
}

// What every server refuses to leave open is refused here too: above all, to serve without TLS because nobody named a certificate.
func TestT42_KubernetesLeavesNothingOpen(t *testing.T) {
	policy := servedPolicy(t, "a")
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"no policy", []string{"--insecure-plain-http"}, "no policy"},
		{"no policy, and a hint", []string{"--insecure-plain-http"}, "--policy-resources"},
		{"no TLS", []string{"--policy", policy}, "no certificate to serve with"},
		{"no TLS, and a hint", []string{"--policy", policy}, "--own-ca"},
		{"a variable that is not set", []string{"--policy", policy, "--tls-cert", "x", "--tls-key", "x", "--client-ca", ""}, "--client-ca: is empty"},
		{"a trust file without a name", []string{"--policy-resources", "--insecure-plain-http", "--trust-file="}, "--trust-file: is empty"},
		{"a key without a certificate", []string{"--policy", policy, "--tls-key", "x"}, "go together"},
		{"plain and TLS", []string{"--policy", policy, "--tls-cert", "x", "--tls-key", "x", "--insecure-plain-http"}, "choose one"},
		{"client certificates in plain", []string{"--policy", policy, "--insecure-plain-http", "--client-ca", "x"}, "need TLS"},
		{"no time", []string{"--policy", policy, "--insecure-plain-http", "--timeout", "0s"}, "--timeout"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := runAssay(t, "", append([]string{"serve", "kubernetes", "--listen", "127.0.0.1:0"}, row.args...)...)
			if got.code != exitUsage || !strings.Contains(got.stderr, row.want) {
				t.Errorf("got exit %d %q, want %d and %q", got.code, got.stderr, exitUsage, row.want)
			}
		})
	}
}

func TestT42_OnlyTheAPIServerIsAnswered(t *testing.T) {
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	servers, clients := newAuthority(t, "servers"), newAuthority(t, "clients")
	servers.issue(t, "server", in("tls.crt"), in("tls.key"))
	replace(t, in("clients.pem"), string(clients.pem))
	r := servePoint(t, "kubernetes", "--policy", servedPolicy(t, "a"), "--kubeconfig", apiServer(t, "shop"),
		"--tls-cert", in("tls.crt"), "--tls-key", in("tls.key"), "--client-ca", in("clients.pem"))
	r.until("it is ready", func() bool { status, _, _ := r.ask("/readyz", ""); return status == http.StatusOK })
	const image = "registry.example/a/app:1"
	if ok, text := r.admitted("shop", image); ok || !strings.Contains(text, "a client certificate is needed") {
		t.Errorf("a stranger: got allowed %v: %s", ok, text)
	}
	cert := clients.issue(t, "kube-apiserver", "", "")
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}}}
	defer transport.CloseIdleConnections()
	r.client = &http.Client{Transport: transport, Timeout: 20 * time.Second}
	if ok, text := r.admitted("shop", image); !ok {
		t.Errorf("the API server: %s", text)
	}
}

// Who is sent away before the point is reached gets a review that denies, with the request's uid: failurePolicy can be Ignore.
func TestT43_TooManyReviewsAreDenied(t *testing.T) {
	s := &server{metrics: newServerMetrics(), log: newTestLog(), clients: &clientAuthorities{}}
	h, err := kubernetes.New(kubernetes.Config{Point: &enforce.Point{Decider: nobody{}}, Namespaces: nobody{}})
	must(t, err)
	served := s.handler(map[string]http.Handler{"/validate": &webhook{Handler: h, server: s}})
	for _, row := range []struct {
		inFlight int64
		code     int
	}{{0, http.StatusUnauthorized}, {maxInFlight, http.StatusServiceUnavailable}} {
		s.inFlight.Store(row.inFlight)
		w := newRecorder()
		served.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/validate", strings.NewReader(
			`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"group":"","version":"v1","kind":"Pod"}}}`)))
		const want = `"uid":"u","allowed":false,"status":{"status":"Failure"`
		if got := w.Body.String(); w.Code != 200 || !strings.Contains(got, want) || !strings.Contains(got, fmt.Sprintf(`"code":%d`, row.code)) {
			t.Errorf("got %d %s, want a denial with the uid and code %d", w.Code, got, row.code)
		}
		if got := s.inFlight.Load(); got != row.inFlight {
			t.Errorf("got %d requests in flight afterwards, want %d", got, row.inFlight)
		}
	}
}

// A panic that the point itself does not catch is a denial as well.
func TestT47_ABugBeforeThePointIsADenial(t *testing.T) {
	s := &server{metrics: newServerMetrics(), log: newTestLog()}
	h, err := kubernetes.New(kubernetes.Config{Point: &enforce.Point{Decider: nobody{}}, Namespaces: nobody{}})
	must(t, err)
	w := newRecorder()
	s.handler(map[string]http.Handler{"/mutate": breaking{h}}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/mutate", strings.NewReader(
		`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u"}}`)))
	if got := w.Body.String(); !strings.Contains(got, `"uid":"u","allowed":false`) || !strings.Contains(got, `"code":500`) {
		t.Errorf("got %d %s", w.Code, got)
	}
}

type breaking struct{ *kubernetes.Handler }

func (breaking) ServeHTTP(http.ResponseWriter, *http.Request) { panic("broken") }

// nobody breaks down when it is asked.
type nobody struct{}

func (nobody) Decide(context.Context, engine.Request) engine.Verdict { panic("asked") }

func (nobody) Labels(context.Context, string) (map[string]string, error) { panic("asked") }
