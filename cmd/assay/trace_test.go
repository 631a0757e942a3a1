package main

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes spans as an OpenTelemetry collector does.
type collector struct {
	url string

	mu    sync.Mutex
	spans []*tracepb.Span
	raw   bytes.Buffer
	down  bool
	asked int
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.down || r.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusBadRequest) // which is not tried again
		return
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	content, err := io.ReadAll(body)
	var request collectorpb.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(content, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.raw.Write(content)
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// tree writes spans with those that made them, outermost first: "POST /v1/verdicts > decide > resolve".
func (c *collector) tree() map[string]*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	byID := map[string]*tracepb.Span{}
	for _, s := range c.spans {
		byID[string(s.SpanId)] = s
	}
	all := map[string]*tracepb.Span{}
	for _, s := range c.spans {
		path := s.Name
		for up := byID[string(s.ParentSpanId)]; up != nil; up = byID[string(up.ParentSpanId)] {
			path = up.Name + " > " + path
		}
		all[path] = s
	}
	return all
}

func attributes(s *tracepb.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.GetAttributes() {
		all[a.Key] = a.Value.GetStringValue()
	}
	return all
}

// traced serves the policy of a stage with traces.
func traced(t *testing.T, s *stage, args ...string) *running {
	t.Helper()
	registries := filepath.Join(t.TempDir(), "registries.yaml")
	must(t, os.WriteFile(registries, fmt.Appendf(nil, "registries:\n- {host: %q, insecurePlainHTTP: true, insecureAllowLoopback: true}\n", s.host), 0o600))
	return serve(t, append([]string{"--policy", s.policy, "--insecure-plain-http", "--registries", registries}, args...)...)
}

// end ends a server, so that all its spans are sent.
func (r *running) end() {
	r.t.Helper()
	r.stop()
	code := <-r.ended
	r.ended <- code
}

const parentTrace, parentSpan = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

func TestTracesShowThePhases(t *testing.T) {
	s, c := newStage(t), newCollector(t)
	r := traced(t, s, "--trace-endpoint", c.url)
	body := fmt.Sprintf(`{"images":[%q]}`, s.host+"/shop/api:1")
	if status, _, answer := r.ask("/v1/verdicts", body, "traceparent", "00-"+parentTrace+"-"+parentSpan+"-01", "Authorization", "Bearer of-a-secret", "X-Request-ID", "story-1"); status != 200 || !strings.Contains(answer, `"allowed":true`) {
		t.Fatalf("got %d %s", status, answer)
	}
	r.end()
	tree := c.tree()
	const request = "POST /v1/verdicts"
	for _, path := range []string{
		request, request + " > decide", request + " > decide > resolve", request + " > decide > resolve > registry HEAD",
		request + " > decide > authority", request + " > decide > authority > find", request + " > decide > authority > find > registry GET",
	} {
		span := tree[path]
		if span == nil {
			t.Errorf("there is no span %s", path)
			continue
		}
		if got := hex.EncodeToString(span.TraceId); got != parentTrace {
			t.Errorf("%s: got trace %s, want that of the request", path, got)
		}
	}
	checked := false
	for path := range tree {
		checked = checked || strings.HasSuffix(path, " > check")
	}
	if !checked {
		t.Errorf("there is no check in %v", tree)
	}
	if t.Failed() {
		for path := range tree {
			t.Log(path)
		}
		return
	}
	if got := hex.EncodeToString(tree[request].ParentSpanId); got != parentSpan {
		t.Errorf("got parent %s, want the caller's", got)
	}
	for path, want := range map[string]map[string]string{
		request:                           {"http.route": "/v1/verdicts", "assay.request_id": "story-1"},
		request + " > decide":             {"assay.image": s.host + "/shop/api:1", "assay.outcome": "allowed", "assay.point": "api"},
		request + " > decide > authority": {"assay.format": "certificate", "assay.outcome": "proved"},
		request + " > decide > resolve > registry HEAD": {"url.full": "http://" + s.host + "/v2/shop/api/manifests/1"},
	} {
		got := attributes(tree[path])
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s: got %q, want %q", path, key, got[key], value)
			}
		}
	}
	if bytes.Contains(c.raw.Bytes(), []byte("of-a-secret")) {
		t.Error("a token is in a trace")
	}
}

// What could not be told is an error, and long texts are cut.
func TestTracesOfTrouble(t *testing.T) {
	s, c := newStage(t), newCollector(t)
	r := traced(t, s, "--trace-endpoint", c.url+"/v1/traces")
	down := s.cases[7].image
	long := "registry.example/" + strings.Repeat("x/", 400) + "a"
	r.ask("/v1/verdicts", fmt.Sprintf(`{"images":[%q]}`, down))
	r.ask("/v1/verdicts", fmt.Sprintf(`{"images":[%q]}`, long))
	r.end()
	troubled := false
	for _, span := range c.spans {
		if span.Name == "decide" && attributes(span)["assay.outcome"] == "could-not-tell" {
			troubled = span.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR && span.Status.Message != ""
		}
		for key, value := range attributes(span) {
			if len(value) > maxTraceText {
				t.Errorf("%s: %s has %d bytes", span.Name, key, len(value))
			}
		}
	}
	if !troubled {
		t.Error("no decision has an error")
	}
}

func TestTracesAreSampled(t *testing.T) {
	s, c := newStage(t), newCollector(t)
	r := traced(t, s, "--trace-endpoint", c.url, "--trace-sample", "0")
	body := fmt.Sprintf(`{"images":[%q]}`, s.host+"/shop/api:1")
	r.ask("/v1/verdicts", body)
	r.ask("/v1/verdicts", body, "traceparent", "00-"+parentTrace+"-"+parentSpan+"-00")
	r.ask("/v1/verdicts", body, "traceparent", "nonsense")
	r.ask("/v1/verdicts", body, "traceparent", "00-"+parentTrace+"-"+parentSpan+"-01")
	r.end()
	requests := 0
	for _, span := range c.spans {
		if span.Name == "POST /v1/verdicts" {
			requests++
		}
	}
	if requests != 1 {
		t.Errorf("got %d requests traced, want the one that asked for it", requests)
	}
}

// A collector that takes nothing is told of in the log, and changes no answer.
func TestTracesThatCannotBeSent(t *testing.T) {
	s, c := newStage(t), newCollector(t)
	c.down = true
	r := traced(t, s, "--trace-endpoint", c.url)
	if status, _, answer := r.ask("/v1/verdicts", fmt.Sprintf(`{"images":[%q]}`, s.host+"/shop/api:1")); status != 200 || !strings.Contains(answer, `"allowed":true`) {
		t.Errorf("got %d %s", status, answer)
	}
	r.end()
	if c.asked == 0 || r.log.find("traces could not be sent") == nil {
		t.Errorf("asked %d times, and the log says nothing of it:\n%s", c.asked, r.log)
	}
}

func TestTraceFlags(t *testing.T) {
	for name, args := range map[string][]string{
		"no URL": {"--trace-endpoint", "localhost:4318"}, "another scheme": {"--trace-endpoint", "grpc://localhost:4317"}, "no host": {"--trace-endpoint", "http://"},
		"a secret": {"--trace-endpoint", "https://user:secret@collector.example"}, "a query": {"--trace-endpoint", "https://collector.example?token=secret"},
		"too often": {"--trace-endpoint", "http://localhost:4318", "--trace-sample", "1.5"}, "no number": {"--trace-endpoint", "http://localhost:4318", "--trace-sample", "NaN"},
	} {
		r := runAssay(t, "", append([]string{"serve", "api", "--policy", "x", "--listen", "127.0.0.1:0", "--insecure-plain-http"}, args...)...)
		if r.code != exitUsage || !strings.Contains(r.stderr, "--trace-") || strings.Contains(r.stderr, "secret@") {
			t.Errorf("%s: exit %d: %s", name, r.code, r.stderr)
		}
	}
}
