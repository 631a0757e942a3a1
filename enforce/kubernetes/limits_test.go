package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
)

// The API server's shortest time-out is a second. A decider that does not heed the deadline must not use up all of it: a review without an
// answer is what failurePolicy says, and that may be to allow.
func TestCSE30_AnswersBeforeTheShortestTimeout(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	l := newLab(t, nil)
	l.say = func(engine.Request) engine.Verdict {
		<-stop
		return engine.Verdict{Allowed: true}
	}
	start := time.Now()
	got := l.post(t, "/validate?timeout=1s", reviewOf(change{object: pod(bad)}))
	if took := time.Since(start); got.Response.Allowed || got.Response.Status.Code != http.StatusServiceUnavailable || took > 950*time.Millisecond {
		t.Errorf("got %+v after %v, want it denied as cannot tell a moment before a second has passed", got.Response, took)
	}
}

// manyVolumes is a pod's worth of images, all different. Mutating webhooks see objects before the API server has validated them.
func manyVolumes(n, from int) string {
	var b strings.Builder
	b.WriteString(`{"spec":{"volumes":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"v","image":{"reference":"r.example/good:%06d"}}`, i+from)
	}
	b.WriteString(`]}}`)
	return b.String()
}

// What an object with very many images costs grows with their number, not with its square: whoever may make a pod must not keep Assay busy
// until the API server gives up on it.
func TestT47_VeryManyImages(t *testing.T) {
	const many = 50_000
	l := newLab(t, nil)
	same := manyVolumes(many, 0)
	tests := map[string]struct {
		change
		allowed bool
	}{
		"create":    {change{object: same}, false},
		"update":    {change{operation: "UPDATE", object: same, old: manyVolumes(many, 1)}, false},
		"unchanged": {change{operation: "UPDATE", object: same, old: same}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			got := l.validate(t, test.change)
			if took := time.Since(start); got.Response.Allowed != test.allowed || took > 2*time.Second {
				t.Errorf("got allowed %v, %q after %v, want allowed %v within two seconds",
					got.Response.Allowed, got.Response.Status.Message, took, test.allowed)
			}
		})
	}
	if len(l.asked) > 0 {
		t.Errorf("got %d questions, want none", len(l.asked))
	}
}

// Whoever writes an object may write its members in another order. What is compared are places, not the order.
func TestT37_ImagesInAnotherOrder(t *testing.T) {
	const before = `{"spec":{"containers":[{"name":"a","image":"r.example/bad:1"}],"initContainers":[{"name":"b","image":"r.example/bad:2"}]}}`
	const after = `{"spec":{"initContainers":[{"name":"b","image":%q}],"containers":[{"name":"a","image":%q}]}}`
	l := newLab(t, nil)
	tests := []struct {
		initial, image string
		allowed        bool
	}{
		{"r.example/bad:2", "r.example/bad:1", true},
		{"r.example/bad:1", "r.example/bad:2", false},
		{"r.example/bad:2", "r.example/bad:2", false},
		{"r.example/bad:3", "r.example/bad:1", false},
	}
	for _, test := range tests {
		got := l.validate(t, change{operation: "UPDATE", object: fmt.Sprintf(after, test.initial, test.image), old: before})
		if got.Response.Allowed != test.allowed {
			t.Errorf("init container %s, container %s: got %+v, want allowed %v", test.initial, test.image, got.Response, test.allowed)
		}
	}
}

// Any pod can talk to the webhook. The uid and the namespace that it makes up stand in a line of the log for each image, and the namespace in
// the path of a request to the API server.
func TestT42_MadeUpNames(t *testing.T) {
	longest := 0
	l := newLab(t, func(c *Config) {
		c.Namespaces = anyNamespace{}
		c.Point.Record = func(id string, req engine.Request, _ *engine.Verdict) {
			longest = max(longest, len(id), len(req.Namespace))
		}
	})
	long := strings.Repeat("x", 1000)
	got := l.post(t, "/validate", bytes.Replace(reviewOf(change{object: pod(good)}), []byte("uid-1"), []byte(long), 1))
	if !got.Response.Allowed || got.Response.UID != long {
		t.Errorf("a long uid: got %+v, want an answer with it", got.Response)
	}
	for _, namespace := range []string{long, "../nodes", "shop/../bank", "a b", "Shop", "shop%2f", "shop\n", "."} {
		got := l.validate(t, change{namespace: namespace, object: pod(good)})
		if got.Response.Allowed || got.Response.Status.Code != http.StatusBadRequest {
			t.Errorf("namespace %.20q: got %+v, want BadRequest", namespace, got.Response.Status)
		}
	}
	for _, namespace := range []string{"a", "shop-1", strings.Repeat("x", 63)} {
		if got := l.validate(t, change{namespace: namespace, object: pod(good)}); !got.Response.Allowed {
			t.Errorf("namespace %s: got %+v", namespace, got.Response)
		}
	}
	if longest > 64 {
		t.Errorf("got %d bytes of somebody else's in the log, want 64 at most", longest)
	}
}

// anyNamespace knows every namespace.
type anyNamespace struct{}

func (anyNamespace) Labels(context.Context, string) (map[string]string, error) { return nil, nil }

// A digest that is allowed only because another one is to run in its place, an index's child, must not be what a pod has in the end.
func TestT25_AnotherDigestIsVouchedFor(t *testing.T) {
	const index = "r.example/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	const child = "r.example/app@" + digest
	const multi = "r.example/app:multi" // a tag of the index
	say := func(req engine.Request) engine.Verdict {
		v := engine.Verdict{Image: req.Image, Allowed: true, Decision: engine.Decision{Policy: "production", Mode: "enforce", Outcome: engine.Allowed}}
		if req.Image != child {
			v.Pin = child
		}
		v.Child = req.Image == multi
		return v
	}
	deploymentOf := func(image string) change {
		return change{group: "apps", kind: "Deployment", object: `{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"` + image + `"}]}}}}`}
	}
	deployment := deploymentOf(index)
	tests := []struct {
		name, path string
		pin        Pin
		change
		allowed bool
	}{
		{"it is put in its place", "/mutate", PinPods, change{object: pod(index)}, true},
		{"it is there in the end", "/validate", PinPods, change{object: pod(child)}, true},
		{"it is not there in the end", "/validate", PinPods, change{object: pod(index)}, false},
		{"nothing is pinned", "/mutate", PinNever, change{object: pod(index)}, false},
		{"a tag, which can move anyway", "/validate", PinPods, change{object: pod("r.example/app:1")}, true},
		{"what makes pods", "/validate", PinPods, deployment, true},
		{"a tag of the index: it is put in its place", "/mutate", PinPods, change{object: pod(multi)}, true},
		{"a tag of the index: nobody put it in its place", "/validate", PinPods, change{object: pod(multi)}, false},
		{"a tag of the index: nothing is pinned", "/mutate", PinNever, change{object: pod(multi)}, false},
		{"a tag of the index in what makes pods", "/validate", PinPods, deploymentOf(multi), true},
		{"an image that an update leaves as it was", "/mutate", PinPods, change{operation: "UPDATE", object: pod(index, child), old: pod(index)}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, func(c *Config) { c.Pin = test.pin })
			l.say = say
			got := l.post(t, test.path, reviewOf(test.change))
			if got.Response.Allowed != test.allowed || !test.allowed && !strings.Contains(got.Response.Status.Message, child) {
				t.Errorf("got %+v, want allowed %v, and the digest that may run", got.Response, test.allowed)
			}
		})
	}
}

// API servers write Kubernetes' own kinds in one shape. In another, images would be where nobody looks.
func TestT32_AnotherShapeIsUnreadable(t *testing.T) {
	l := newLab(t, nil)
	for _, object := range []string{
		`[]`, `"x"`, `7`, `true`, `{"spec":"x"}`, `{"spec":[{"containers":[{"image":"r.example/bad:1"}]}]}`,
		`{"spec":{"containers":"x"}}`, `{"spec":{"containers":{"image":"r.example/bad:1"}}}`, `{"spec":{"containers":{"a":{"image":"r.example/bad:1"}}}}`,
		`{"spec":{"containers":[[{"image":"r.example/bad:1"}]]}}`, `{"spec":{"containers":["r.example/bad:1"]}}`, `{"spec":{"containers":[{"image":7}]}}`,
		`{"spec":{"volumes":[{"image":"r.example/bad:1"}]}}`, `{"spec":{"volumes":[{"image":[{"reference":"r.example/bad:1"}]}]}}`,
	} {
		for _, c := range []change{{object: object}, {operation: "UPDATE", object: object, old: object}} {
			got := l.validate(t, c)
			if got.Response.Allowed || !strings.Contains(got.Response.Status.Message, "cannot read") {
				t.Errorf("%s: got %+v, want that it cannot be read", object, got.Response)
			}
		}
	}
	if got := l.validate(t, change{object: `{"spec":{"initContainers":null,"containers":[{"image":"r.example/good:1"}],"volumes":[{"image":null}]}}`}); !got.Response.Allowed {
		t.Errorf("nulls: got %+v", got.Response)
	}
}

// A request that something before the point sends away is a denial all the same: failurePolicy can be Ignore, and then everything else
// allows.
func TestT43_WhatIsSentAwayIsDenied(t *testing.T) {
	l := newLab(t, func(c *Config) { c.DIA = true })
	whole := reviewOf(change{object: pod(good)})
	refuse := func(method, path string, body io.Reader) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		l.Refuse(w, httptest.NewRequest(method, path, body), http.StatusServiceUnavailable, "too many requests at once")
		return w
	}
	for _, path := range []string{"/validate?timeout=5s", "/mutate", "/verify"} {
		for name, body := range map[string]io.Reader{"whole": bytes.NewReader(whole), "large": io.MultiReader(bytes.NewReader(whole[:len(whole)-100]), &endless{})} {
			w := refuse(http.MethodPost, path, body)
			var got reply
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
				t.Fatalf("%s, %s: got %d %s", path, name, w.Code, w.Body)
			}
			if got.Response.UID != "uid-1" || got.Response.Allowed || got.Response.Status.Code != 503 || got.Response.Status.Message != "too many requests at once" {
				t.Errorf("%s, %s: got %+v", path, name, got)
			}
		}
	}
	stream := &endless{}
	if refuse(http.MethodPost, "/validate", stream); stream.read > maxHead {
		t.Errorf("got %d bytes read, want no more than %d", stream.read, maxHead)
	}
	for _, w := range []*httptest.ResponseRecorder{
		refuse(http.MethodPost, "/validate", strings.NewReader("no review")), refuse(http.MethodGet, "/validate", nil), refuse(http.MethodPost, "/echo", nil),
	} {
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "too many") {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	}
	if len(l.asked) > 0 {
		t.Error("somebody was asked")
	}
}
