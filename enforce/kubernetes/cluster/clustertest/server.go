// Package clustertest is an API server in memory, with faults: it lists, watches and patches objects as a real one does, as far as Assay asks.
package clustertest

import (
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// User is who everybody is, in the words of the server.
const User = "system:serviceaccount:assay:assay"

// Object is an object as JSON has it.
type Object = map[string]any

// Server is an API server. Its zero value is not ready; see New.
type Server struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex
	version  int
	expired  int // watches from before are gone
	objects  map[string]Object
	events   []event
	requests []string // METHOD path?query
	changed  chan struct{}
	cut      chan struct{} // closed to end all watches
	fault    func(*http.Request) int
	stored   func(collection, name string, o Object)
}

type event struct {
	version int
	key     string
	kind    string
	object  json.RawMessage
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{t: t, version: 1, objects: map[string]Object{}, changed: make(chan struct{}), cut: make(chan struct{})}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(func() {
		s.CutWatches()
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// Kubeconfig writes a file that says how the server is reached, and returns its name.
func (s *Server) Kubeconfig() string {
	s.t.Helper()
	folder := s.t.TempDir()
	ca, file := filepath.Join(folder, "ca.pem"), filepath.Join(folder, "kubeconfig")
	s.write(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	s.write(file, fmt.Appendf(nil, "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]\n"+
		"users: [{name: u, user: {token: t}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n", s.URL, ca))
	return file
}

func (s *Server) write(name string, content []byte) {
	if err := os.WriteFile(name, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Fault has f answer requests with a status, before the server does; 0 is none.
func (s *Server) Fault(f func(*http.Request) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Stored has f see each object as it is stored, one after the other. f must neither keep it nor ask the server.
func (s *Server) Stored(f func(collection, name string, o Object)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = f
}

// CutWatches ends all watches, as a server does that restarts.
func (s *Server) CutWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.cut)
	s.cut = make(chan struct{})
}

// Expire forgets all that happened, so that watches from before are gone (410), and ends all watches.
func (s *Server) Expire() {
	s.mu.Lock()
	s.version++
	s.expired, s.events = s.version, nil
	s.mu.Unlock()
	s.CutWatches()
}

// Count returns how many requests there were with a method and a part of path and query.
func (s *Server) Count(method, part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.HasPrefix(r, method+" ") && strings.Contains(r, part) {
			n++
		}
	}
	return n
}

// Put stores an object, given as JSON, under the path of its kind: "/apis/assay.dev/v1/trustpolicies".
func (s *Server) Put(collection, text string) {
	s.t.Helper()
	var o Object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		s.t.Fatalf("%v: %s", err, text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	meta := o["metadata"].(map[string]any)
	key := keyOf(collection, textOf(meta["namespace"]), textOf(meta["name"]))
	old, found := s.objects[key]
	kind := "ADDED"
	meta["uid"], meta["generation"], meta["creationTimestamp"] = fmt.Sprintf("uid-%d", s.version), 1, time.Now().UTC().Format(time.RFC3339)
	if found {
		kind = "MODIFIED"
		was := old["metadata"].(map[string]any)
		meta["uid"], meta["creationTimestamp"], meta["generation"] = was["uid"], was["creationTimestamp"], was["generation"]
		if sum(old["spec"]) != sum(o["spec"]) {
			meta["generation"] = generationOf(was) + 1
		}
		if old["status"] != nil {
			o["status"] = old["status"]
		}
	}
	s.store(kind, key, o)
}

// Change does to an object that is there what somebody else does, beside all versions.
func (s *Server) Change(collection, namespace, name string, how func(Object)) {
	s.t.Helper()
	o := s.Get(collection, namespace, name)
	if o == nil {
		s.t.Fatalf("%s: there is no %s", collection, name)
	}
	how(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store("MODIFIED", keyOf(collection, namespace, name), o)
}

// Delete removes an object.
func (s *Server) Delete(collection, namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := keyOf(collection, namespace, name)
	o := s.objects[key]
	s.store("DELETED", key, o)
	delete(s.objects, key)
}

// Get returns an object as it is now; nil if there is none.
func (s *Server) Get(collection, namespace, name string) Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[keyOf(collection, namespace, name)]
	if o == nil {
		return nil
	}
	var clone Object
	if err := json.Unmarshal(encode(o), &clone); err != nil {
		s.t.Fatal(err)
	}
	return clone
}

// store keeps an object and tells the watches. mu is held.
func (s *Server) store(kind, key string, o Object) {
	s.version++
	o["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(s.version)
	s.objects[key] = o
	s.events = append(s.events, event{version: s.version, key: key, kind: kind, object: encode(o)})
	if s.stored != nil && kind != "DELETED" {
		parts := strings.Split(key, "|")
		s.stored(parts[0], parts[2], o)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// keyOf is COLLECTION|NAMESPACE|NAME; collections have no namespace in their path.
func keyOf(collection, namespace, name string) string {
	return collection + "|" + namespace + "|" + name
}

// generationOf is that of an object that Put stored, or that came as JSON.
func generationOf(meta map[string]any) int {
	switch n := meta["generation"].(type) {
	case int:
		return n
	case float64:
		return int(n)
	}
	return 0
}

func textOf(v any) string { s, _ := v.(string); return s }

func sum(v any) string { return fmt.Sprintf("%x", sha256.Sum256(encode(v))) }

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
