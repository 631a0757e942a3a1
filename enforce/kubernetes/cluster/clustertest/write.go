package clustertest

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
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

// operation is one of a JSON patch whose values are texts.
type operation struct {
	Op, Path, Value string
}

// patchJSON makes all changes of a JSON patch to an object, or none.
func (s *Server) patchJSON(w http.ResponseWriter, r *http.Request, t target) {
	var operations []operation
	content, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil || json.Unmarshal(content, &operations) != nil {
		answer(w, http.StatusBadRequest, "want a JSON patch of texts")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := keyOf(t.collection, t.namespace, t.name)
	present, found := s.objects[key]
	if !found {
		answer(w, http.StatusNotFound, t.name+" not found")
		return
	}
	var o Object
	_ = json.Unmarshal(encode(present), &o) // it came from JSON
	for _, one := range operations {
		if !one.do(o) {
			answer(w, http.StatusUnprocessableEntity, one.Op+" "+one.Path+": cannot be done")
			return
		}
	}
	s.store("MODIFIED", key, o)
	_, _ = w.Write(encode(o))
}

// do tests or sets what the path points to; false: it cannot.
func (p operation) do(o Object) bool {
	steps := strings.Split(strings.TrimPrefix(p.Path, "/"), "/")
	last := len(steps) - 1
	var at any = o
	for _, step := range steps[:last] {
		at = inside(at, step)
	}
	holder, ok := at.(map[string]any)
	switch {
	case !ok:
		return false
	case p.Op == "test":
		return textOf(holder[steps[last]]) == p.Value
	case p.Op != "add":
		return false
	}
	holder[steps[last]] = p.Value
	return true
}

// inside is what an object or a list has under a name or number; nil if nothing.
func inside(at any, step string) any {
	switch at := at.(type) {
	case map[string]any:
		return at[step]
	case []any:
		if n, err := strconv.Atoi(step); err == nil && n >= 0 && n < len(at) {
			return at[n]
		}
	}
	return nil
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
