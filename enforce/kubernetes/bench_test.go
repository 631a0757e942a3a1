package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
)

// largePod is a pod of some 10 KB with six containers, as they are in clusters: most of it is environment, probes and managed fields.
func largePod() string {
	var containers []string
	for i := range 6 {
		var env []string
		for j := range 12 {
			env = append(env, fmt.Sprintf(`{"name":"SETTING_%02d","valueFrom":{"configMapKeyRef":{"name":"settings","key":"setting-%02d"}}}`, j, j))
		}
		containers = append(containers, fmt.Sprintf(`{"name":"c%d","image":"r.example/good/app%d:1.2.%d@%s","ports":[{"containerPort":8080,"protocol":"TCP"}],"env":[%s],`+
			`"resources":{"limits":{"cpu":"500m","memory":"256Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},`+
			`"livenessProbe":{"httpGet":{"path":"/healthz","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10},`+
			`"imagePullPolicy":"IfNotPresent","terminationMessagePath":"/dev/termination-log","securityContext":{"runAsNonRoot":true}}`,
			i, i, i, digest, strings.Join(env, ",")))
	}
	return `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","namespace":"shop","uid":"7","creationTimestamp":null,"labels":{"app":"shop"},` +
		`"managedFields":[{"manager":"kubectl","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:containers":{` +
		strings.TrimSuffix(strings.Repeat(`"k:{\"name\":\"c0\"}":{".":{},"f:env":{},"f:image":{},"f:name":{},"f:resources":{}},`, 1), ",") + `}}}}]},` +
		`"spec":{"containers":[` + strings.Join(containers, ",") + `],"restartPolicy":"Always","serviceAccountName":"shop"},"status":{}}`
}

// quiet takes answers without the network, so that what is compared is the work of the point.
type quiet struct{ header http.Header }

func (q *quiet) Header() http.Header         { return q.header }
func (q *quiet) Write(p []byte) (int, error) { return len(p), nil }
func (q *quiet) WriteHeader(int)             {}

func serve(b *testing.B, h http.Handler, body []byte) {
	req, err := http.NewRequest(http.MethodPost, "/validate?timeout=10s", nil)
	if err != nil {
		b.Fatal(err)
	}
	w, reader := &quiet{header: http.Header{}}, bytes.NewReader(body)
	req.Body = io.NopCloser(reader)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		h.ServeHTTP(w, req)
	}
}

// warm vouches at once, as an engine does that was asked before.
type warm struct{}

func (warm) Decide(_ context.Context, req engine.Request) engine.Verdict {
	return engine.Verdict{Image: req.Image, Pin: req.Image, Allowed: true, Decision: engine.Decision{Outcome: engine.Allowed}}
}

func warmLab(b *testing.B) lab {
	return newLab(b, func(c *Config) { c.Point = &enforce.Point{Decider: warm{}} })
}

// BenchmarkValidateWarm is a review of a pod, through the handler; what the engine needs for an answer that it remembers is measured there.
func BenchmarkValidateWarm(b *testing.B) {
	l := warmLab(b)
	body := reviewOf(change{object: largePod()})
	if got := l.post(b, "/validate", body); !got.Response.Allowed {
		b.Fatalf("got %+v", got.Response)
	}
	serve(b, l, body)
}

// BenchmarkFloorValidateWarm is the least that a point does that looks at the images: one pass over the review with encoding/json for the
// fields that are needed, and an answer.
func BenchmarkFloorValidateWarm(b *testing.B) {
	type containers []struct{ Name, Image string }
	type needed struct {
		APIVersion string `json:"apiVersion"`
		Request    struct {
			UID       string `json:"uid"`
			Namespace string `json:"namespace"`
			Operation string `json:"operation"`
			Object    struct {
				Spec struct {
					Containers          containers `json:"containers"`
					InitContainers      containers `json:"initContainers"`
					EphemeralContainers containers `json:"ephemeralContainers"`
				} `json:"spec"`
			} `json:"object"`
		} `json:"request"`
	}
	serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.Fatal(err)
		}
		var in needed
		if err := json.Unmarshal(body, &in); err != nil || len(in.Request.Object.Spec.Containers) != 6 {
			b.Fatal(err)
		}
		_, _ = w.Write([]byte(`{"apiVersion":"` + in.APIVersion + `","kind":"AdmissionReview","response":{"uid":"` + in.Request.UID + `","allowed":true}}`))
	}), reviewOf(change{object: largePod()}))
}

// BenchmarkAlwaysAllow decides nothing, the usual way: the types of Kubernetes, and encoding/json.
func BenchmarkAlwaysAllow(b *testing.B) {
	serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.Fatal(err)
		}
		var review admissionv1.AdmissionReview
		var pod corev1.Pod
		if err := json.Unmarshal(body, &review); err != nil {
			b.Fatal(err)
		}
		if err := json.Unmarshal(review.Request.Object.Raw, &pod); err != nil || len(pod.Spec.Containers) != 6 {
			b.Fatal(err)
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		review.Request = nil
		out, err := json.Marshal(&review)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = w.Write(out)
	}), reviewOf(change{object: largePod()}))
}

func TestBenchmarkedPodIsOfTheUsualSize(t *testing.T) {
	if got := len(reviewOf(change{object: largePod()})); got < 9_000 || got > 12_000 {
		t.Errorf("got %d bytes, want some 10 000", got)
	}
}
