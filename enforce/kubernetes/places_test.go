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
			got, err := imagesOf(&scanner{data: fmt.Appendf(nil, test.object, podWithAll)}, kinds[test.kind])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(imagesBelow(test.path), got); diff != "" {
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
		{"a number", []string{"/spec/image"}, `{"spec":{"image":7}}`, nil, "want the name of an image"},
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
