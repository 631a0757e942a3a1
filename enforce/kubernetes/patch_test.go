package kubernetes

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPin(t *testing.T) {
	deployment := change{group: "apps", kind: "Deployment", object: `{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"` + good + `"}]}}}}`}
	tests := []struct {
		name string
		pin  Pin
		change
		want string // of the patch
	}{
		{"a pod", "", change{object: pod(good)}, steps("/spec/containers/0/image", good)},
		{"each image of a pod", PinPods, change{object: `{"spec":` + strings.ReplaceAll(podWithAll, "r.example/", "r.example/good/") + `}`},
			steps("/spec/containers/0/image", "r.example/good/app:1", "/spec/containers/1/image", "r.example/good/two:1",
				"/spec/initContainers/0/image", "r.example/good/init:1", "/spec/ephemeralContainers/0/image", "r.example/good/debug:1",
				"/spec/volumes/1/image/reference", "r.example/good/model:1")},
		{"a pod that is pinned", PinPods, change{object: pod(good + "@" + digest)}, ""},
		{"a deployment", PinPods, deployment, ""},
		{"a deployment, with all", PinAll, deployment, steps("/spec/template/spec/containers/0/image", good)},
		{"never", PinNever, change{object: pod(good)}, ""},
		{"a denied pod", PinPods, change{object: pod(good, bad)}, ""},
		{"an update: only what is new", PinPods, change{operation: "UPDATE", object: pod(good, other), old: pod(good, "r.example/good/before:1")},
			steps("/spec/containers/1/image", other)},
		{"an update without new images", PinPods, change{operation: "UPDATE", object: pod(good), old: pod(good)}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, func(c *Config) { c.Pin = test.pin })
			got := l.post(t, "/mutate", reviewOf(test.change))
			if string(got.Response.Patch) != test.want {
				t.Errorf("got  %s\nwant %s", got.Response.Patch, test.want)
			}
			if got := l.validate(t, test.change); len(got.Response.Patch) > 0 || got.Response.PatchType != nil {
				t.Errorf("/validate answers with a patch: %s", got.Response.Patch)
			}
		})
	}
}

// steps is the patch that pins images, given as path and text in turn.
func steps(pathsAndTexts ...string) string {
	var all []string
	for i := 0; i < len(pathsAndTexts); i += 2 {
		path, text := pathsAndTexts[i], pathsAndTexts[i+1]
		all = append(all, fmt.Sprintf(`{"op":"test","path":%q,"value":%q},{"op":"replace","path":%q,"value":%q}`, path, text, path, text+"@"+digest))
	}
	return "[" + strings.Join(all, ",") + "]"
}

func TestPinTouchesNothingElseAndIsIdempotent(t *testing.T) {
	l := newLab(t, nil)
	object := strings.Replace(pod(good), `"name":"x"`, `"name":"x","annotations":{"a":"<b>"},"labels":{"big":"9007199254740993"}`, 1)
	once := patched(t, object, l.post(t, "/mutate", reviewOf(change{object: object})))
	want := canonical(t, strings.Replace(object, good, good+"@"+digest, 1))
	if diff := cmp.Diff(want, once); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if got := l.post(t, "/mutate", reviewOf(change{object: once})); !got.Response.Allowed || got.Response.PatchType != nil {
		t.Errorf("the second time: got %+v, want no patch", got.Response)
	}
}

func canonical(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestCSE32_CustomKindIsDecidedAndPinned(t *testing.T) {
	tenant := func(image string) change {
		return change{group: "minio.min.io", kind: "Tenant", resource: "tenants", object: `{"spec":{"image":"` + image + `","pools":[]}}`}
	}
	l := newLab(t, func(c *Config) {
		c.Pin, c.Kinds = PinAll, []Kind{{Group: "minio.min.io", Kind: "Tenant", Paths: []string{"/spec/image"}}}
	})
	if got := l.post(t, "/mutate", reviewOf(tenant(good))); string(got.Response.Patch) != steps("/spec/image", good) {
		t.Errorf("got %s", got.Response.Patch)
	}
	if got := l.validate(t, tenant(bad)); got.Response.Allowed || !strings.Contains(got.Response.Status.Message, "in /spec/image\n") {
		t.Errorf("got %+v", got.Response)
	}
}

func TestCSE33_AnnotationsAreKept(t *testing.T) {
	l := newLab(t, func(c *Config) { c.SighupAnnotation = true })
	for name, annotations := range map[string]map[string]string{
		"none": nil, "empty": {}, "others": {"a": "1", "b/c": "2"}, "its own": {sighupAnnotation: "false"},
	} {
		t.Run(name, func(t *testing.T) {
			metadata := map[string]any{"name": "x"}
			want := map[string]string{sighupAnnotation: "true"}
			if annotations != nil {
				metadata["annotations"] = annotations
				for key, value := range annotations {
					if key != sighupAnnotation {
						want[key] = value
					}
				}
			}
			text, err := json.Marshal(map[string]any{"metadata": metadata, "spec": map[string]any{"containers": []any{map[string]any{"image": good}}}})
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Metadata struct{ Annotations map[string]string }
			}
			if err := json.Unmarshal([]byte(patched(t, string(text), l.post(t, "/mutate", reviewOf(change{object: string(text)})))), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.Metadata.Annotations); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
	if got := newLab(t, nil).post(t, "/mutate", reviewOf(change{object: pod(good)})); strings.Contains(string(got.Response.Patch), "annotations") {
		t.Errorf("got %s without being asked for it", got.Response.Patch)
	}
}

func TestT25_WhatIsAddedLaterIsDecided(t *testing.T) {
	l := newLab(t, nil)
	object := pod(good)
	first := l.post(t, "/mutate", reviewOf(change{object: object}))
	final := strings.Replace(patched(t, object, first), `"containers":[`, `"containers":[{"name":"sidecar","image":"`+bad+`"},`, 1)
	got := l.validate(t, change{object: final})
	if !first.Response.Allowed || got.Response.Allowed || !strings.Contains(got.Response.Status.Message, `container "sidecar"`) {
		t.Errorf("got %+v after %+v", got.Response, first.Response)
	}
}
