package kubernetes

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pod is a pod's spec with an image in each place.
const podWithAll = `{"containers":[{"name":"app","image":"r.example/app:1"},{"image":"r.example/two:1","name":"two"}],` +
	`"initContainers":[{"name":"init","image":"r.example/init:1"}],` +
	`"ephemeralContainers":[{"name":"debug","image":"r.example/debug:1"}],` +
	`"volumes":[{"name":"data","emptyDir":{}},{"name":"model","image":{"pullPolicy":"Always","reference":"r.example/model:1"}}]}`

func imagesBelow(path string) []Image {
	return []Image{
		{path + "/containers/0/image", "app", "r.example/app:1"},
		{path + "/containers/1/image", "two", "r.example/two:1"},
		{path + "/initContainers/0/image", "init", "r.example/init:1"},
		{path + "/ephemeralContainers/0/image", "debug", "r.example/debug:1"},
		{path + "/volumes/1/image/reference", "model", "r.example/model:1"},
	}
}

func TestT32_EveryImageOfEveryKind(t *testing.T) {
	tests := []struct {
		kind   kindKey
		object string // %s: the pod's spec
		path   string
	}{
		{kindKey{"", "Pod"}, `{"metadata":{"name":"x"},"spec":%s}`, "/spec"},
		{kindKey{"", "PodTemplate"}, `{"template":{"spec":%s}}`, "/template/spec"},
		{kindKey{"", "ReplicationController"}, `{"spec":{"replicas":1,"template":{"spec":%s}}}`, "/spec/template/spec"},
		{kindKey{"apps", "Deployment"}, `{"spec":{"template":{"metadata":{},"spec":%s}}}`, "/spec/template/spec"},
		{kindKey{"apps", "ReplicaSet"}, `{"spec":{"template":{"spec":%s}}}`, "/spec/template/spec"},
		{kindKey{"apps", "StatefulSet"}, `{"spec":{"template":{"spec":%s}}}`, "/spec/template/spec"},
		{kindKey{"apps", "DaemonSet"}, `{"spec":{"template":{"spec":%s}}}`, "/spec/template/spec"},
		{kindKey{"batch", "Job"}, `{"spec":{"template":{"spec":%s}}}`, "/spec/template/spec"},
		{kindKey{"batch", "CronJob"}, `{"spec":{"schedule":"@daily","jobTemplate":{"spec":{"template":{"spec":%s}}}}}`, "/spec/jobTemplate/spec/template/spec"},
	}
	kinds := builtin()
	for _, test := range tests {
		t.Run(test.kind.String(), func(t *testing.T) {
			got, err := search(&scanner{data: fmt.Appendf(nil, test.object, podWithAll)}, kinds[test.kind])
			if err != nil || len(got.odd) > 0 || got.absent != "" {
				t.Fatalf("got %+v, %v", got, err)
			}
			if diff := cmp.Diff(imagesBelow(test.path), got.images); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

func TestCustomKinds(t *testing.T) {
	tests := []struct {
		name   string
		paths  []string
		object string
		want   []Image
		err    string
	}{
		{"an image", []string{"/spec/image"}, `{"spec":{"image":"r.example/a:1"}}`, []Image{{"/spec/image", "", "r.example/a:1"}}, ""},
		{"a container", []string{"/spec/backup"}, `{"spec":{"backup":{"name":"b","image":"r.example/a:1"}}}`, []Image{{"/spec/backup/image", "b", "r.example/a:1"}}, ""},
		{"a list of containers", []string{"/spec/sidecars"}, `{"spec":{"sidecars":[{"name":"b","image":"r.example/a:1"}]}}`, []Image{{"/spec/sidecars/0/image", "b", "r.example/a:1"}}, ""},
		{"a list of images", []string{"/spec/images"}, `{"spec":{"images":["r.example/a:1","r.example/b:1"]}}`, []Image{{"/spec/images/0", "", "r.example/a:1"}, {"/spec/images/1", "", "r.example/b:1"}}, ""},
		{"a pod template", []string{"/spec/template"}, `{"spec":{"template":{"spec":` + podWithAll + `}}}`, imagesBelow("/spec/template/spec"), ""},
		{"a pod's spec", []string{"/spec/pod"}, `{"spec":{"pod":` + podWithAll + `}}`, imagesBelow("/spec/pod"), ""},
		{"each item", []string{"/spec/sets/*/image"}, `{"spec":{"sets":[{"image":"r.example/a:1"},{"image":"r.example/b:1"}]}}`,
			[]Image{{"/spec/sets/0/image", "", "r.example/a:1"}, {"/spec/sets/1/image", "", "r.example/b:1"}}, ""},
		{"each member", []string{"/spec/parts/*"}, `{"spec":{"parts":{"a/b":"r.example/a:1","c~d":"r.example/b:1"}}}`,
			[]Image{{"/spec/parts/a~1b", "", "r.example/a:1"}, {"/spec/parts/c~0d", "", "r.example/b:1"}}, ""},
		{"a member with a slash in its name", []string{"/spec/a~1b"}, `{"spec":{"a/b":"r.example/a:1"}}`, []Image{{"/spec/a~1b", "", "r.example/a:1"}}, ""},
		{"a path that leads nowhere", []string{"/spec/imge"}, `{"spec":{"image":"r.example/a:1"}}`, nil, "no image at /spec/imge"},
		{"one that may", []string{"/spec/image?"}, `{"spec":{}}`, []Image{}, ""},
		{"a number", []string{"/spec/image"}, `{"spec":{"image":7}}`, nil, "/spec/image: want the name of an image, not a number"},
		{"an item without an image", []string{"/spec/sets/*/image"}, `{"spec":{"sets":[{"image":"r.example/a:1"},{"replicas":1}]}}`, nil, "no image at /spec/sets/1/image"},
		{"an item that may be without", []string{"/spec/sets/*/image?"}, `{"spec":{"sets":[{"image":"r.example/a:1"},{"replicas":1}]}}`,
			[]Image{{"/spec/sets/0/image", "", "r.example/a:1"}}, ""},
		{"a member without an image", []string{"/spec/parts/*/image"}, `{"spec":{"parts":{"a":{"image":"r.example/a:1"},"b":{}}}}`, nil, "no image at /spec/parts/b/image"},
		{"no items", []string{"/spec/sets/*/image"}, `{"spec":{"sets":[]}}`, nil, "no image at /spec/sets"},
		{"a null", []string{"/spec/image"}, `{"spec":{"image":null}}`, nil, "no image at /spec/image"},
		{"nothing on the way", []string{"/spec/image"}, `{"metadata":{}}`, nil, "no image at /spec"},
		{"an image in parts, where there may be none", []string{"/spec/image?"}, `{"spec":{"image":{"repository":"r.example/a","tag":"1"}}}`, nil, `/spec/image: the name of an image in parts, such as "tag"`},
		{"an image in parts with a name", []string{"/spec/image?"}, `{"spec":{"image":{"name":"r.example/a","tag":"1"}}}`, nil, "the name of an image in parts"},
		{"an image with its registry beside it", []string{"/spec/image"}, `{"spec":{"image":{"registry":"evil.example","image":"r.example/a:1"}}}`, nil, "the name of an image in parts"},
		{"an image in parts in a container", []string{"/spec/backup?"}, `{"spec":{"backup":{"name":"b","image":{"repository":"r.example/a"}}}}`, nil, "/spec/backup/image: want the name of an image, not an object"},
		{"an image in parts in a list", []string{"/spec/images?"}, `{"spec":{"images":["r.example/a:1",{"repository":"r.example/b"}]}}`, nil, "/spec/images/1: the name"},
		{"an object of nobody's shape", []string{"/spec/image?"}, `{"spec":{"image":{"source":"r.example/a:1"}}}`, nil, "/spec/image: want an image, a container"},
		{"a number, where there may be none", []string{"/spec/image?"}, `{"spec":{"image":7}}`, nil, "not a number"},
		{"a list on the way", []string{"/spec/main/image?"}, `{"spec":{"main":[{"image":"r.example/a:1"}]}}`, nil, "/spec/main: want an object, not a list"},
		{"a text for every item", []string{"/spec/sets/*/image?"}, `{"spec":{"sets":"r.example/a:1"}}`, nil, "/spec/sets: want a list or an object, not a text"},
		{"containers by name", []string{"/spec/pod?"}, `{"spec":{"pod":{"containers":{"a":{"image":"r.example/a:1"}}}}}`, nil, "/spec/pod/containers: want a list, not an object"},
		{"what overrides a template", []string{"/spec/template?"}, `{"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}}`, []Image{}, ""},
		{"what overrides a container", []string{"/spec/containers?"}, `{"spec":{"containers":[{"name":"a","resources":{}}]}}`, []Image{}, ""},
		{"empty and null, where there may be none", []string{"/spec/image?", "/spec/kes?", "/spec/pod?"}, `{"spec":{"image":{},"kes":null,"pod":[]}}`, []Image{}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k, err := Kind{Group: "example.org", Kind: "Thing", Paths: test.paths}.compile()
			if err != nil {
				t.Fatal(err)
			}
			d := decoder{kinds: map[kindKey]kind{{"example.org", "Thing"}: k}, maxObject: MaxObject}
			var r review
			err = d.decode(reviewOf(change{group: "example.org", kind: "Thing", object: test.object}), &r)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, r.object.images); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

func TestPathsThatCannotBeMeant(t *testing.T) {
	for _, paths := range [][]string{nil, {"spec/image"}, {"/"}, {""}, {"/spec/image", "/spec/image"}, {"/spec", "/spec/image"}, {"/spec/image", "/spec"},
		{"/spec/*/image", "/spec/main/sidecar?"}, {"/spec/main/sidecar?", "/spec/*/image"}} {
		if _, err := (Kind{Group: "example.org", Kind: "Thing", Paths: paths}).compile(); err == nil {
			t.Errorf("%q: got no error", paths)
		}
	}
}

// What cannot be seen in a custom resource is no reason to keep it: its finalizers can be removed, and it can be deleted. With anything else
// there it is another object.
func TestT37_OddObjectsCanBeDeleted(t *testing.T) {
	thing := func(image, finalizers string) string {
		return `{"metadata":{"finalizers":[` + finalizers + `]},"spec":{"image":` + image + `}}`
	}
	const parts, others, number = `{"repository":"r.example/a","tag":"1"}`, `{"repository":"r.example/a","tag":"2"}`, `7`
	tests := []struct {
		name, operation, object, old string
		allowed                      bool
	}{
		{"it is made", "CREATE", thing(parts, ""), "", false},
		{"its finalizer is removed", "UPDATE", thing(parts, ""), thing(parts, `"x"`), true},
		{"a number's finalizer is removed", "UPDATE", thing(number, ""), thing(number, `"x"`), true},
		{"another tag", "UPDATE", thing(others, ""), thing(parts, ""), false},
		{"a good one before", "UPDATE", thing(parts, ""), thing(`"`+good+`"`, ""), false},
		{"a good one now", "UPDATE", thing(`"`+good+`"`, ""), thing(parts, ""), true},
		{"it is deleted", "DELETE", "", thing(parts, ""), true},
		{"a number is deleted", "DELETE", "", thing(number, ""), true},
	}
	l := newLab(t, func(c *Config) {
		c.Kinds = []Kind{{Group: "example.org", Kind: "Thing", Paths: []string{"/spec/image?"}}}
	})
	for _, test := range tests {
		got := l.validate(t, change{group: "example.org", kind: "Thing", operation: test.operation, object: test.object, old: test.old})
		if got.Response.Allowed != test.allowed {
			t.Errorf("%s: got %+v, want allowed %v", test.name, got.Response, test.allowed)
		}
	}
}

// An object that is too large to be looked at can be deleted: nothing in it will run.
func TestT37_LargeObjectsCanBeDeleted(t *testing.T) {
	l := newLab(t, nil)
	large := strings.Replace(pod(bad), `"name":"x"`, `"name":"x","annotations":{"a":"`+strings.Repeat("a", MaxObject)+`"}`, 1)
	if got := l.validate(t, change{operation: "DELETE", old: large}); !got.Response.Allowed {
		t.Errorf("got %+v", got.Response)
	}
	if got := l.validate(t, change{operation: "UPDATE", object: pod(good), old: large}); got.Response.Allowed {
		t.Error("an update of it is allowed")
	}
}
