package clustertest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// put makes an object (POST), or replaces one whose version is the one that the new one names (PUT).
func (s *Server) put(w http.ResponseWriter, r *http.Request, t target) {
	var o Object
	content, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil || json.Unmarshal(content, &o) != nil {
		answer(w, http.StatusBadRequest, "want an object")
		return
	}
	meta, _ := o["metadata"].(map[string]any)
	if t.name == "" {
		t.name = textOf(meta["name"])
	}
	meta["namespace"] = t.namespace
	s.mu.Lock()
	defer s.mu.Unlock()
	key := keyOf(t.collection, t.namespace, t.name)
	old, found := s.objects[key]
	kind := "ADDED"
	switch {
	case r.Method == http.MethodPost && found:
		answerAs(w, http.StatusConflict, "AlreadyExists", t.name+" already exists")
		return
	case r.Method == http.MethodPut && !found:
		answer(w, http.StatusNotFound, t.name+" not found")
		return
	case r.Method == http.MethodPut && meta["resourceVersion"] != old["metadata"].(map[string]any)["resourceVersion"]:
		answer(w, http.StatusConflict, "the object has been modified")
		return
	case r.Method == http.MethodPut:
		kind = "MODIFIED"
	}
	s.store(kind, key, o)
	_, _ = w.Write(encode(o))
}

// labelled reports whether an object has the labels that a request asks for, as NAME=VALUE,….
func labelled(r *http.Request, o Object) bool {
	selector := r.URL.Query().Get("labelSelector")
	if selector == "" {
		return true
	}
	meta, _ := o["metadata"].(map[string]any)
	labels, _ := meta["labels"].(map[string]any)
	for _, one := range strings.Split(selector, ",") {
		name, value, _ := strings.Cut(one, "=")
		if textOf(labels[name]) != value {
			return false
		}
	}
	return true
}
