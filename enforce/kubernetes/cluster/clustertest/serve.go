package clustertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// target is what a request is about.
type target struct {
	collection, namespace, name, subresource string
}

// targetOf reads /api/v1/… and /apis/GROUP/VERSION/….
func targetOf(path string) (t target, ok bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	prefix := 2
	if parts[0] == "apis" {
		prefix = 3
	}
	if len(parts) <= prefix {
		return t, false
	}
	base, rest := "/"+strings.Join(parts[:prefix], "/"), parts[prefix:]
	if rest[0] == "namespaces" && len(rest) > 2 {
		t.namespace, rest = rest[1], rest[2:]
	}
	t.collection = base + "/" + rest[0]
	if len(rest) > 1 {
		t.name = rest[1]
	}
	if len(rest) > 2 {
		t.subresource = rest[2]
	}
	return t, true
}

// holds reports whether a key is of what t is about; name is that of a field selector.
func (t target) holds(key, name string) bool {
	parts := strings.Split(key, "|")
	return parts[0] == t.collection && (t.namespace == "" || parts[1] == t.namespace) && (name == "" || parts[2] == name)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	fault := s.fault
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	t, ok := targetOf(r.URL.Path)
	if !ok {
		answer(w, http.StatusNotFound, "the server could not find the requested resource")
		return
	}
	if fault != nil {
		if code := fault(r); code != 0 {
			answer(w, code, fmt.Sprintf("%s %q is forbidden: User %q cannot list resource in the namespace %q", t.collection, t.name, User, t.namespace))
			return
		}
	}
	switch {
	case r.Method == http.MethodPatch && r.Header.Get("Content-Type") == "application/json-patch+json":
		s.patchJSON(w, r, t)
	case r.Method == http.MethodPatch:
		s.patch(w, r, t)
	case r.Method == http.MethodPost, r.Method == http.MethodPut:
		s.put(w, r, t)
	case r.Method != http.MethodGet:
		answer(w, http.StatusMethodNotAllowed, "not here")
	case r.URL.Query().Get("sendInitialEvents") == "true":
		answer(w, http.StatusUnprocessableEntity, "no lists as watches here")
	case r.URL.Query().Get("watch") != "":
		s.watch(w, r, t)
	case t.name != "":
		s.get(w, t)
	default:
		s.list(w, r, t)
	}
}

var statusReasons = map[int]string{
	http.StatusForbidden: "Forbidden", http.StatusNotFound: "NotFound", http.StatusConflict: "Conflict", http.StatusGone: "Expired",
	http.StatusUnprocessableEntity: "Invalid", http.StatusInternalServerError: "InternalError", http.StatusServiceUnavailable: "ServiceUnavailable",
}

func answer(w http.ResponseWriter, code int, text string) {
	answerAs(w, code, statusReasons[code], text)
}

func answerAs(w http.ResponseWriter, code int, reason, text string) {
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"message":%q,"code":%d}`, reason, text, code)
}

func selected(r *http.Request) string {
	return strings.TrimPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, t target) {
	s.mu.Lock()
	items := []Object{}
	for key, o := range s.objects {
		if t.holds(key, selected(r)) && labelled(r, o) {
			items = append(items, o)
		}
	}
	kind, version := "List", "v1"
	if t.collection == "/api/v1/namespaces" {
		kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
	}
	body := encode(Object{"kind": kind, "apiVersion": version, "metadata": Object{"resourceVersion": fmt.Sprint(s.version)}, "items": items})
	s.mu.Unlock()
	_, _ = w.Write(body)
}

func (s *Server) get(w http.ResponseWriter, t target) {
	o := s.Get(t.collection, t.namespace, t.name)
	if o == nil {
		answer(w, http.StatusNotFound, t.name+" not found")
		return
	}
	_, _ = w.Write(encode(o))
}

// watch sends what happens since a version, until the client goes or watches are cut.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, t target) {
	since, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	s.mu.Lock()
	expired, cut := since < s.expired, s.cut
	s.mu.Unlock()
	if expired {
		answer(w, http.StatusGone, "too old resource version")
		return
	}
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	for {
		s.mu.Lock()
		changed := s.changed
		for _, e := range s.events {
			if e.version > since && t.holds(e.key, selected(r)) {
				fmt.Fprintf(w, `{"type":%q,"object":%s}`+"\n", e.kind, e.object)
			}
		}
		since = max(since, s.version)
		s.mu.Unlock()
		_ = flush.Flush()
		select {
		case <-changed:
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// patch merges into the status of an object, if its version is the one that the patch names.
func (s *Server) patch(w http.ResponseWriter, r *http.Request, t target) {
	var body struct {
		Metadata struct{ ResourceVersion string }
		Status   Object
	}
	content, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || json.Unmarshal(content, &body) != nil || t.subresource != "status" {
		answer(w, http.StatusBadRequest, "want a merge patch of a status")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := keyOf(t.collection, t.namespace, t.name)
	o, found := s.objects[key]
	switch {
	case !found:
		answer(w, http.StatusNotFound, t.name+" not found")
		return
	case body.Metadata.ResourceVersion != o["metadata"].(map[string]any)["resourceVersion"]:
		answer(w, http.StatusConflict, "the object has been modified")
		return
	}
	status, _ := o["status"].(map[string]any)
	if status == nil {
		status = Object{}
	}
	for name, value := range body.Status {
		status[name] = value
	}
	o["status"] = status
	s.store("MODIFIED", key, o)
	_, _ = w.Write(encode(o))
}
