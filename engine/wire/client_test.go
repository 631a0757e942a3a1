package wire_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/wire"
)

// ask asks a server that answers as it is told.
func ask(t *testing.T, answer http.HandlerFunc, images ...string) ([]engine.Verdict, error) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	c := &wire.Client{HTTP: server.Client(), URL: server.URL}
	reqs := make([]engine.Request, len(images))
	for i := range images {
		reqs[i].Image = images[i]
	}
	return c.Ask(context.Background(), reqs...)
}

// deny answers each question with a no.
func deny(t *testing.T, change func([]engine.Verdict)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		reqs, err := wire.DecodeQuestions(body)
		if err != nil || r.URL.Path != wire.Path || r.Method != http.MethodPost {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		vs := make([]engine.Verdict, len(reqs))
		for i := range reqs {
			vs[i].Image = reqs[i].Image
		}
		change(vs)
		told, err := wire.EncodeVerdicts(vs)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(told)
	}
}

func TestClient(t *testing.T) {
	vs, err := ask(t, deny(t, func(vs []engine.Verdict) { vs[1].Reason = "no" }), "a.example/a", "a.example/b")
	if err != nil || len(vs) != 2 || vs[1].Image != "a.example/b" || vs[1].Reason != "no" || vs[0].Allowed {
		t.Errorf("got %+v, %v", vs, err)
	}
	if vs, err := ask(t, deny(t, func(vs []engine.Verdict) { vs[0], vs[1] = vs[1], vs[0] }), "a.example/a", "a.example/b"); err == nil {
		t.Errorf("T22: verdicts in another order were taken: %+v", vs)
	}
	if _, err := (&wire.Client{URL: "http://127.0.0.1"}).Ask(context.Background(), engine.Request{Image: "a"}); err == nil {
		t.Error("asked with nothing")
	}
}

func TestClientRefuses(t *testing.T) {
	const refusal = `{"error":"who\u001b asks?"}`
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"status":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401); _, _ = io.WriteString(w, refusal) }, `status 401: "who\x1b asks?"`},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502); _, _ = io.WriteString(w, "<html>") }, "status 502"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "status 307"},
		"form":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"form":2,"verdicts":[{}]}`) }, "form 2"},
		"nothing": {func(http.ResponseWriter, *http.Request) {}, "EOF"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for piece := strings.Repeat(" ", 1<<16); ; {
				if _, err := io.WriteString(w, piece); err != nil {
					return
				}
			}
		}, "more than"},
	} {
		if vs, err := ask(t, tt.answer, "a.example/a"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v; want %q", name, vs, err, tt.want)
		}
	}
}
