package docker_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/docker"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/workload"
)

// FuzzRequest: whatever is asked, nothing panics, and what is allowed names only what was decided about. The decider allows one reference, and
// the reading of the request by Go's own server, which is the engine's, must come to the same one.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ method, uri, kind, length, body string }{
		{"POST", "/v1.41/images/create?fromImage=registry.example%2Fshop%2Fapp&tag=1", "text/plain", "0", ""},
		{"POST", "/images/create?fromImage=" + app + "&tag=" + index.String(), "", "", ""},
		{"POST", "/v1.41/containers/create?name=x", "application/json", "", `{"Image":"` + app + `:1","image":"x"}`},
		{"POST", "//v1.41/%63ontainers/create", "application/json", "9", `{"Image":"` + app + `:1"}`},
		{"POST", "/services/create", "application/json", "", `{"TaskTemplate":{"ContainerSpec":{"Image":"` + app + `@` + index.String() + `"}}}`},
		{"POST", "/containers/web/start?checkpoint=x", "application/x-www-form-urlencoded", "12", "checkpoint=y"},
		{"DELETE", "/plugins/assay?force=1", "", "", ""},
	} {
		f.Add(seed.method, seed.uri, seed.kind, seed.length, seed.body)
	}
	h, err := docker.New(docker.Config{
		Point: &enforce.Point{Decider: deciderFunc(func(_ context.Context, req engine.Request) engine.Verdict {
			ref, err := image.Parse(req.Image)
			return engine.Verdict{Allowed: err == nil && ref.String() == app+":1", Decision: engine.Decision{Outcome: engine.Allowed}}
		})},
		Daemon: &nothing{},
		Routes: map[string]docker.Action{"import": docker.Deny},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, uri, kind, length, body string) {
		headers := map[string]string{}
		if kind != "" {
			headers["Content-Type"] = kind
		}
		if length != "" {
			headers["Content-Length"] = length
		}
		content, err := json.Marshal(asked{RequestMethod: method, RequestURI: uri, RequestBody: []byte(body), RequestHeaders: headers})
		if err != nil {
			t.Skip()
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/AuthZPlugin.AuthZReq", strings.NewReader(string(content))))
		var a answer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("no answer: %v: %s", err, w.Body)
		}
		if strings.Contains(a.Msg, "bug: assay broke down") {
			t.Fatalf("a panic: %s", a.Msg)
		}
		if !a.Allow && a.Msg == "" {
			t.Fatal("denied without a word")
		}
		if a.Allow && method == http.MethodPost {
			sameForTheDaemon(t, uri, kind, body)
		}
	})
}

// nothing is a host without images and containers.
type nothing struct{ docker.Daemon }

func (nothing) Image(context.Context, string) (workload.DockerImage, error) {
	return workload.DockerImage{}, workload.ErrAbsent
}

func (nothing) Container(context.Context, string) (workload.DockerContainer, error) {
	return workload.DockerContainer{}, workload.ErrAbsent
}

// sameForTheDaemon reads an allowed pull or create as the engine does (ParseForm, encoding/json), and wants the reference that is allowed.
func sameForTheDaemon(t *testing.T, uri, kind, body string) {
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		return // the engine answers 400
	}
	r := &http.Request{Method: http.MethodPost, URL: u, Header: http.Header{"Content-Type": {kind}}, Body: http.NoBody}
	if err := r.ParseForm(); err != nil && !strings.HasPrefix(err.Error(), "mime:") {
		return
	}
	var name string
	switch {
	case strings.HasSuffix(u.Path, "/images/create"):
		name = strings.TrimSuffix(r.Form.Get("fromImage"), ":")
		if tag := r.Form.Get("tag"); tag != "" {
			name += ":" + tag
		}
	case strings.HasSuffix(u.Path, "/containers/create"):
		var config struct{ Image string }
		if json.NewDecoder(strings.NewReader(body)).Decode(&config) != nil {
			return
		}
		name = config.Image
	default:
		return
	}
	if ref, err := image.Parse(name); err != nil || ref.String() != app+":1" {
		t.Fatalf("allowed, and the engine would take %q", name)
	}
}
