//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/assay-dev/assay/enforce"
	point "github.com/assay-dev/assay/enforce/kubernetes"
	"github.com/assay-dev/assay/engine"
)

// noImages are fields with "image" in their names, or in the name of the object that they are in, that name no image of a container.
var noImages = map[string]string{
	"imagePullPolicy": "when to pull",
	"pullPolicy":      "when to pull",
	"name":            "of imagePullSecrets",
	"rbd.image":       "a block device of Ceph",
}

// schema is what is looked at of a schema of OpenAPI 3.
type schema struct {
	Ref                  string             `json:"$ref"`
	Type                 string             `json:"type"`
	AllOf                []schema           `json:"allOf"`
	Properties           map[string]*schema `json:"properties"`
	Items                *schema            `json:"items"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`
	Kinds                []struct {
		Group, Version, Kind string
	} `json:"x-kubernetes-group-version-kind"`
}

// everyImage takes the schemas that the API server publishes, builds an object for each field of it that holds an image, and wants the point
// to see that image. A field of a newer Kubernetes that the point does not know fails here.
func (k *kubernetes) everyImage() {
	var index struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	k.get("/openapi/v3", &index)
	h, err := point.New(point.Config{Point: &enforce.Point{Decider: nobody{}}, Namespaces: anywhere{}})
	k.ts.Check(err)
	seen := map[string]int{}
	for path, at := range index.Paths {
		if !strings.HasPrefix(path, "api/") && !strings.HasPrefix(path, "apis/") {
			continue
		}
		var document struct {
			Components struct{ Schemas map[string]*schema }
		}
		k.get(at.ServerRelativeURL, &document)
		for _, s := range document.Components.Schemas {
			if len(s.Kinds) != 1 || s.Properties["metadata"] == nil || strings.HasSuffix(s.Kinds[0].Kind, "List") {
				continue
			}
			w := schemaWalk{schemas: document.Components.Schemas}
			w.walk(s, nil, nil)
			for _, field := range w.found {
				seen[s.Kinds[0].Group+"/"+s.Kinds[0].Kind]++
				if complaint := ask(h, s.Kinds[0].Group, s.Kinds[0].Kind, field); complaint != "" {
					k.ts.Fatalf("%s %s: %s", path, s.Kinds[0].Kind, complaint)
				}
			}
		}
	}
	for _, kind := range []string{"/Pod", "/PodTemplate", "/ReplicationController", "apps/Deployment", "apps/ReplicaSet", "apps/StatefulSet", "apps/DaemonSet",
		"batch/Job", "batch/CronJob"} {
		if seen[kind] != 4 {
			k.ts.Fatalf("%s: found %d fields for images, want 4: does the search still work?", kind, seen[kind])
		}
	}
	k.ts.Logf("fields for images, by kind: %v", seen)
}

func (k *kubernetes) get(path string, into any) {
	body, err := fetch(k.url+path, k.token)
	k.ts.Check(err)
	k.ts.Check(json.Unmarshal(body, into))
}

// schemaWalk finds the fields of a schema that hold an image; an index of a list is written "0".
type schemaWalk struct {
	schemas map[string]*schema
	found   [][]string
}

func (w *schemaWalk) walk(s *schema, path, above []string) {
	for s != nil && (s.Ref != "" || len(s.AllOf) == 1) {
		if s.Ref == "" {
			s = &s.AllOf[0]
			continue
		}
		name := strings.TrimPrefix(s.Ref, "#/components/schemas/")
		if slices.Contains(above, name) {
			return
		}
		above = append(slices.Clone(above), name)
		s = w.schemas[name]
	}
	if s == nil {
		return
	}
	if s.Type == "string" && holdsImage(path) {
		w.found = append(w.found, path)
	}
	for name, property := range s.Properties {
		if len(path) == 0 && (name == "status" || name == "metadata") {
			continue
		}
		w.walk(property, append(slices.Clone(path), name), above)
	}
	if s.Items != nil {
		w.walk(s.Items, append(slices.Clone(path), "0"), above)
	}
}

func holdsImage(path []string) bool {
	var names []string
	for _, name := range path {
		if name != "0" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return false
	}
	last, parent := names[len(names)-1], ""
	if len(names) > 1 {
		parent = names[len(names)-2]
	}
	if noImages[last] != "" || noImages[parent+"."+last] != "" {
		return false
	}
	return strings.Contains(strings.ToLower(last), "image") || strings.Contains(strings.ToLower(parent), "image")
}

// ask has the point decide about an object with an image in one field, and wants it to name that field.
func ask(h http.Handler, group, kind string, field []string) string {
	var value any = "registry.example/unsigned:1"
	for _, name := range slices.Backward(field) {
		if name == "0" {
			value = []any{value}
			continue
		}
		value = map[string]any{name: value}
	}
	review := map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": map[string]any{
		"uid": "1", "kind": map[string]any{"group": group, "version": "v1", "kind": kind}, "operation": "CREATE", "object": value,
	}}
	body, err := json.Marshal(review)
	if err != nil {
		return err.Error()
	}
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/validate", bytes.NewReader(body)))
	pointer := "/" + strings.Join(field, "/")
	var got struct {
		Response struct {
			Allowed bool
			Status  struct{ Message string }
		}
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || got.Response.Allowed || !strings.Contains(got.Response.Status.Message, "in "+pointer) {
		return fmt.Sprintf("%s holds an image, and the point does not look there: %s", pointer, answer.Body)
	}
	return ""
}

// nobody vouches for anything.
type nobody struct{}

func (nobody) Decide(_ context.Context, req engine.Request) engine.Verdict {
	return engine.Verdict{Image: req.Image, Decision: engine.Decision{Reason: "nobody vouches"}}
}

// anywhere is a cluster without labels.
type anywhere struct{}

func (anywhere) Labels(context.Context, string) (map[string]string, error) { return nil, nil }
