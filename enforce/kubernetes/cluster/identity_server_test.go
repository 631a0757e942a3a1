package cluster

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/kubernetes/cluster/clustertest"
)

// What own certificates are made of, in the tests.
const (
	secretObjects = "/api/v1/secrets"
	mutating      = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
	validating    = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"

	ownNamespace     = "assay-system"
	ownSecret        = "certs"
	ownConfiguration = "assay"
)

// certificatesServer is an API server that remembers what configurations trusted, and forbids to look at any object without its name.
type certificatesServer struct {
	*clustertest.Server
	t          *testing.T
	kubeconfig string

	mu      sync.Mutex
	secrets int                  // how often the Secret was stored
	history map[string][]trusted // of each kind of configuration
}

// trusted is what a configuration trusted since a moment.
type trusted struct {
	since   time.Time
	bundles [][]byte
}

func newCertificatesServer(t *testing.T) *certificatesServer {
	t.Helper()
	a := &certificatesServer{Server: clustertest.New(t), t: t, history: map[string][]trusted{}}
	a.kubeconfig = a.Kubeconfig()
	a.Stored(a.remember)
	a.forbid("")
	return a
}

func (a *certificatesServer) cluster(log *slog.Logger) *Cluster {
	a.t.Helper()
	c, err := Open(a.kubeconfig, log)
	if err != nil {
		a.t.Fatal(err)
	}
	c.config.QPS = -1 // tests do not wait for each other
	return c
}

// forbid forbids a method as well.
func (a *certificatesServer) forbid(method string) {
	a.Fault(func(r *http.Request) int {
		named := strings.HasPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
		if r.Method == method || r.Method == http.MethodGet && !named {
			return http.StatusForbidden
		}
		return 0
	})
}

func (a *certificatesServer) remember(collection, _ string, o clustertest.Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if collection == secretObjects {
		a.secrets++
		return
	}
	now := trusted{since: time.Now()}
	for n := range o["webhooks"].([]any) {
		text, _ := clientConfig(o, n)["caBundle"].(string)
		bundle, _ := base64.StdEncoding.DecodeString(text)
		now.bundles = append(now.bundles, bundle)
	}
	a.history[collection] = append(a.history[collection], now)
}

func clientConfig(configuration clustertest.Object, n int) map[string]any {
	return configuration["webhooks"].([]any)[n].(map[string]any)["clientConfig"].(map[string]any)
}

// configure makes a webhook configuration with so many webhooks, which trust nobody.
func (a *certificatesServer) configure(collection string, webhooks int) {
	a.t.Helper()
	kind := map[string]string{mutating: "MutatingWebhookConfiguration", validating: "ValidatingWebhookConfiguration"}[collection]
	var all []string
	for n := range webhooks {
		all = append(all, fmt.Sprintf(`{"name":"w%d","clientConfig":{}}`, n))
	}
	a.Put(collection, fmt.Sprintf(`{"apiVersion":"admissionregistration.k8s.io/v1","kind":%q,"metadata":{"name":%q},"webhooks":[%s]}`,
		kind, ownConfiguration, strings.Join(all, ",")))
}

// trusts returns what a configuration trusts, as every API server knows that is not slower than lag.
func (a *certificatesServer) trusts(collection string, lag time.Duration) [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	heard := time.Now().Add(-lag)
	for _, then := range slices.Backward(a.history[collection]) {
		if !then.since.After(heard) {
			return then.bundles
		}
	}
	return nil
}

// secret returns what stands in the Secret.
func (a *certificatesServer) secret() map[string][]byte {
	object := a.Get(secretObjects, ownNamespace, ownSecret)
	if object == nil {
		return nil
	}
	data := map[string][]byte{}
	for key, text := range object["data"].(map[string]any) {
		data[key], _ = base64.StdEncoding.DecodeString(text.(string))
	}
	return data
}

// written returns how often the Secret was stored.
func (a *certificatesServer) written() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.secrets
}
