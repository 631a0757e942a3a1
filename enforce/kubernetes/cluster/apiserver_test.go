package cluster

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// apiServer keeps objects as an API server does: with versions, conflicts and watches. Its only selector is that by name.
type apiServer struct {
	t      *testing.T
	url    string
	ending chan struct{}

	mu      sync.Mutex
	version int
	objects map[string]map[string]any // by path
	watches map[chan event]string     // what they watch: a path
	writes  map[string]int            // which were made, by path
	refuse  string                    // a method that is forbidden
	history map[string][]trusted
}

type event struct {
	Type   string         `json:"type"`
	Object map[string]any `json:"object"`
}

// trusted is what a configuration trusted since a moment.
type trusted struct {
	since   time.Time
	bundles [][]byte
}

const (
	secretPath     = "/api/v1/namespaces/assay-system/secrets/certs"
	mutatingPath   = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/assay"
	validatingPath = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/assay"
)

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	a := &apiServer{
		t: t, ending: make(chan struct{}), objects: map[string]map[string]any{}, watches: map[chan event]string{}, writes: map[string]int{},
		history: map[string][]trusted{},
	}
	server := httptest.NewServer(a)
	a.url = server.URL
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(a.ending) })
	return a
}

func (a *apiServer) cluster(log *slog.Logger) *Cluster {
	return &Cluster{config: &rest.Config{Host: a.url, QPS: -1}, log: log}
}

// ServeHTTP implements http.Handler.
func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	name, selected := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
	switch {
	case r.Method == a.forbidden():
		status(w, http.StatusForbidden, "Forbidden")
	case r.Method == http.MethodGet && !selected:
		status(w, http.StatusForbidden, "Forbidden") // to look at others
	case r.URL.Query().Get("sendInitialEvents") == "true":
		status(w, http.StatusUnprocessableEntity, "Invalid")
	case r.URL.Query().Get("watch") != "":
		a.watch(w, r, path.Join(r.URL.Path, name))
	case r.Method == http.MethodGet:
		a.list(w, path.Join(r.URL.Path, name))
	default:
		a.write(w, r)
	}
}

func (a *apiServer) forbidden() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refuse
}

func status(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code)
}

func (a *apiServer) list(w http.ResponseWriter, at string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	items := []any{}
	if object, found := a.objects[at]; found {
		items = append(items, object)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "List", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": strconv.Itoa(a.version)}, "items": items,
	})
}

func (a *apiServer) watch(w http.ResponseWriter, r *http.Request, at string) {
	events := make(chan event, 1000)
	a.mu.Lock()
	since, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if object, found := a.objects[at]; found && versionOf(object) > since {
		events <- event{"ADDED", object}
	}
	a.watches[events] = at
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.watches, events)
	}()
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case <-a.ending:
			return
		case <-r.Context().Done():
			return
		case e := <-events:
			_ = json.NewEncoder(w).Encode(e)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func versionOf(object map[string]any) int {
	n, _ := strconv.Atoi(object["metadata"].(map[string]any)["resourceVersion"].(string))
	return n
}

// write creates, updates or patches, if nobody was faster.
func (a *apiServer) write(w http.ResponseWriter, r *http.Request) {
	var body any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		a.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	at := r.URL.Path
	object, _ := body.(map[string]any)
	if r.Method == http.MethodPost {
		at = path.Join(at, object["metadata"].(map[string]any)["name"].(string))
	}
	present, found := a.objects[at]
	switch {
	case r.Method == http.MethodPost && found:
		status(w, http.StatusConflict, "AlreadyExists")
		return
	case r.Method != http.MethodPost && !found:
		status(w, http.StatusNotFound, "NotFound")
		return
	case r.Method == http.MethodPut && versionOf(object) != versionOf(present):
		status(w, http.StatusConflict, "Conflict")
		return
	case r.Method == http.MethodPatch:
		if object = patched(present, body.([]any)); object == nil {
			status(w, http.StatusUnprocessableEntity, "Invalid")
			return
		}
	}
	a.writes[at]++
	a.put(at, object)
	_ = json.NewEncoder(w).Encode(object)
}

// patched is for patches that test the version and add bundles.
func patched(present map[string]any, patch []any) map[string]any {
	object := clone(present)
	for _, step := range patch {
		operation := step.(map[string]any)
		value, where := operation["value"].(string), strings.Split(operation["path"].(string), "/")
		if operation["op"] == "test" {
			if strconv.Itoa(versionOf(present)) != value {
				return nil
			}
			continue
		}
		n, _ := strconv.Atoi(where[2])
		object["webhooks"].([]any)[n].(map[string]any)["clientConfig"].(map[string]any)["caBundle"] = value
	}
	return object
}

func clone(object map[string]any) map[string]any {
	text, _ := json.Marshal(object)
	var copied map[string]any
	_ = json.Unmarshal(text, &copied)
	return copied
}

// put stores and tells. It is called with the lock held.
func (a *apiServer) put(at string, object map[string]any) {
	a.version++
	metadata := object["metadata"].(map[string]any)
	metadata["resourceVersion"], metadata["name"] = strconv.Itoa(a.version), path.Base(at)
	kind := "MODIFIED"
	if _, found := a.objects[at]; !found {
		kind = "ADDED"
	}
	a.objects[at] = object
	if webhooks, found := object["webhooks"]; found {
		now := trusted{since: time.Now()}
		for _, webhook := range webhooks.([]any) {
			text, _ := webhook.(map[string]any)["clientConfig"].(map[string]any)["caBundle"].(string)
			bundle, _ := base64.StdEncoding.DecodeString(text)
			now.bundles = append(now.bundles, bundle)
		}
		a.history[at] = append(a.history[at], now)
	}
	a.tell(at, event{kind, clone(object)})
}

func (a *apiServer) tell(at string, e event) {
	for events, watched := range a.watches {
		if watched == at {
			events <- e
		}
	}
}

// change does to an object what somebody else does, beside all versions; nil deletes it.
func (a *apiServer) change(at string, how func(object map[string]any) map[string]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	object := how(clone(a.objects[at]))
	if object != nil {
		a.put(at, object)
		return
	}
	gone := a.objects[at]
	delete(a.objects, at)
	a.version++
	gone["metadata"].(map[string]any)["resourceVersion"] = strconv.Itoa(a.version)
	a.tell(at, event{"DELETED", gone})
}

// configure makes a webhook configuration with so many webhooks, which trust nobody.
func (a *apiServer) configure(at string, webhooks int) {
	kind := map[string]string{mutatingPath: "MutatingWebhookConfiguration", validatingPath: "ValidatingWebhookConfiguration"}[at]
	a.change(at, func(map[string]any) map[string]any {
		all := []any{}
		for n := range webhooks {
			all = append(all, map[string]any{"name": fmt.Sprintf("w%d", n), "clientConfig": map[string]any{}})
		}
		return map[string]any{"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": map[string]any{}, "webhooks": all}
	})
}

// trusts returns what a configuration trusts, as every API server knows that is not slower than lag.
func (a *apiServer) trusts(at string, lag time.Duration) [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, then := range slices.Backward(a.history[at]) {
		if time.Since(then.since) >= lag {
			return then.bundles
		}
	}
	return nil
}

// secret returns what stands in the Secret.
func (a *apiServer) secret() map[string][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	data := map[string][]byte{}
	object := a.objects[secretPath]
	if object == nil {
		return nil
	}
	for key, text := range maps.All(object["data"].(map[string]any)) {
		data[key], _ = base64.StdEncoding.DecodeString(text.(string))
	}
	return data
}

func (a *apiServer) written(at string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.writes[at]
}

func encoded(content []byte) string { return base64.StdEncoding.EncodeToString(content) }
