package kubernetes

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const digest = "sha256:4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865"

// change is what a review is about.
type change struct {
	version     string // of the review; "": v1
	group, kind string // "": Pod
	resource    string
	subresource string
	namespace   string // "": shop; "-": none
	operation   string // "": CREATE
	object, old string
}

// reviewOf writes a review as an API server does.
func reviewOf(c change) []byte {
	namespace := cmp.Or(c.namespace, "shop")
	if namespace == "-" {
		namespace = ""
	}
	return fmt.Appendf(nil, `{"kind":"AdmissionReview","apiVersion":%q,"request":{"uid":"uid-1","kind":{"group":%q,"version":"v1","kind":%q},`+
		`"resource":{"group":%q,"version":"v1","resource":%q},"subResource":%q,"name":"x","namespace":%q,"operation":%q,`+
		`"userInfo":{"username":"admin","groups":["system:masters"]},"object":%s,"oldObject":%s,"dryRun":false,"options":{}}}`,
		cmp.Or(c.version, reviewV1), c.group, cmp.Or(c.kind, "Pod"), c.group, cmp.Or(c.resource, "pods"), c.subresource, namespace,
		cmp.Or(c.operation, "CREATE"), cmp.Or(c.object, "null"), cmp.Or(c.old, "null"))
}

// pod is a pod with images.
func pod(images ...string) string {
	var containers []string
	for i, image := range images {
		containers = append(containers, fmt.Sprintf(`{"name":"c%d","image":%q}`, i, image))
	}
	return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","namespace":"shop"},"spec":{"containers":[` + strings.Join(containers, ",") + `]}}`
}

// decider vouches for images with "good" in their name, pins them, and counts what it was asked.
type decider struct {
	mu    sync.Mutex
	asked []engine.Request
	say   func(req engine.Request) engine.Verdict
}

func (d *decider) Decide(_ context.Context, req engine.Request) engine.Verdict {
	d.mu.Lock()
	d.asked = append(d.asked, req)
	d.mu.Unlock()
	if d.say != nil {
		return d.say(req)
	}
	if !strings.Contains(req.Image, "good") {
		return engine.Verdict{Image: req.Image, Decision: engine.Decision{
			Policy: "production", Mode: "enforce", Rule: "rules[1] (line 23)", Outcome: engine.Denied, Reason: "release: unsigned: nothing is signed",
			Authorities: []engine.Attestation{{Authority: "release", Format: "sigstore", Standing: engine.Unsigned, Reason: "nothing is signed"}},
		}}
	}
	v := engine.Verdict{Image: req.Image, Allowed: true, Decision: engine.Decision{Policy: "production", Mode: "enforce", Outcome: engine.Allowed}}
	v.Pin = req.Image
	if !strings.Contains(req.Image, "@") {
		v.Pin += "@" + digest
	}
	return v
}

// labels are those of namespaces; of others nobody knows.
type labels map[string]map[string]string

func (l labels) Labels(_ context.Context, namespace string) (map[string]string, error) {
	if found, ok := l[namespace]; ok {
		return found, nil
	}
	return nil, errors.New("namespaces \"" + namespace + "\" not found")
}

// lab is a Handler and who decides for it.
type lab struct {
	*Handler
	*decider
}

func newLab(t testing.TB, edit func(*Config)) lab {
	t.Helper()
	d := &decider{}
	c := Config{Point: &enforce.Point{Decider: d}, Namespaces: labels{"shop": {"team": "shop"}, "kube-system": nil}}
	if edit != nil {
		edit(&c)
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return lab{Handler: h, decider: d}
}

// reply is what the API server gets.
type reply struct {
	Code       int
	Body       string
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Response   struct {
		UID     string `json:"uid"`
		Allowed bool   `json:"allowed"`
		Status  struct {
			Message string `json:"message"`
			Reason  string `json:"reason"`
			Code    int    `json:"code"`
		} `json:"status"`
		PatchType        *string           `json:"patchType"`
		Patch            []byte            `json:"patch"`
		AuditAnnotations map[string]string `json:"auditAnnotations"`
		Warnings         []string          `json:"warnings"`
	} `json:"response"`
}

func (l lab) post(t testing.TB, path string, body []byte) reply {
	t.Helper()
	w := httptest.NewRecorder()
	l.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
	got := reply{Code: w.Code, Body: w.Body.String()}
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
	}
	return got
}

func (l lab) validate(t testing.TB, c change) reply { return l.post(t, "/validate", reviewOf(c)) }

// patched is a pod, as a text, after the patch of a reply.
func patched(t *testing.T, object string, r reply) string {
	t.Helper()
	var root any
	if err := json.Unmarshal([]byte(object), &root); err != nil {
		t.Fatal(err)
	}
	var steps []struct {
		Op, Path string
		Value    any
	}
	if len(r.Response.Patch) > 0 {
		if err := json.Unmarshal(r.Response.Patch, &steps); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range steps {
		names := strings.Split(step.Path[1:], "/")
		at := root
		for _, name := range names[:len(names)-1] {
			at = child(at, name)
		}
		last := unescape(names[len(names)-1])
		in, ok := at.(map[string]any)
		if !ok {
			t.Fatalf("%s: no object there", step.Path)
		}
		if step.Op == "test" {
			if in[last] != step.Value {
				t.Fatalf("%s: got %v, want %v", step.Path, in[last], step.Value)
			}
			continue
		}
		in[last] = step.Value
	}
	out, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func child(of any, name string) any {
	switch of := of.(type) {
	case map[string]any:
		return of[unescape(name)]
	case []any:
		i, err := strconv.Atoi(name)
		if err == nil && i < len(of) {
			return of[i]
		}
	}
	return nil
}
