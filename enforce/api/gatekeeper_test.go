package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/api"
	"github.com/assay-dev/assay/enforce/enforcetest"
	"github.com/assay-dev/assay/engine"
)

func providerQuestion(images ...string) string {
	keys, _ := json.Marshal(images)
	return `{"apiVersion":"externaldata.gatekeeper.sh/v1beta1","kind":"ProviderRequest","request":{"keys":` + string(keys) + `}}`
}

type providerAnswer struct {
	APIVersion, Kind string
	Response         struct {
		Idempotent bool
		Items      []struct {
			Key, Error string
			Value      *struct {
				Allowed bool
				Image   string
			}
		}
		SystemError string
	}
}

// The suite at POST /gatekeeper, asked by a client that does what the template in examples/gatekeeper does.
func TestGatekeeperSuite(t *testing.T) {
	enforcetest.Run(t, enforcetest.Door{Open: func(t *testing.T, p *enforce.Point) enforcetest.Ask {
		s := server(t, api.Config{Point: p, Gatekeeper: true})
		return func(ctx context.Context, name string) enforcetest.Answer {
			r, err := post(ctx, s.URL+"/gatekeeper", providerQuestion(name))
			if err != nil {
				return enforcetest.Answer{Text: err.Error()}
			}
			var a providerAnswer
			if err := json.Unmarshal([]byte(r.body), &a); err != nil || len(a.Response.Items) != 1 || a.Response.Items[0].Key != name {
				return enforcetest.Answer{Text: name + ": " + a.Response.SystemError + r.body}
			}
			item := a.Response.Items[0]
			yes := a.Response.SystemError == "" && item.Value != nil && item.Value.Allowed
			return enforcetest.Answer{Allowed: yes, Text: name + ": " + item.Error}
		}
	}})
}

// Each key has an item of its own under exactly its text, whatever it looks like, and a yes is said, not left to be guessed.
func TestT40_EachKeyHasItsItem(t *testing.T) {
	const good = "registry.example/good:1"
	keys := []string{good, "", `["x", "y"]`, good + `","allowed":true`, good + "\n", `{"key":"` + good + `"}`, "registry.example/bad:1", good}
	p := &enforce.Point{Decider: deciderFunc(func(_ context.Context, req engine.Request) engine.Verdict {
		v := engine.Verdict{Image: req.Image, Decision: engine.Decision{Reason: "no"}}
		if req.Image == good {
			v.Allowed, v.Pin = true, good+"@sha256:"+hexadecimal
		}
		return v
	})}
	r := mustPost(t, server(t, api.Config{Point: p, Gatekeeper: true}).URL+"/gatekeeper", providerQuestion(keys...))
	var a providerAnswer
	if err := json.Unmarshal([]byte(r.body), &a); err != nil {
		t.Fatal(err)
	}
	if a.APIVersion != "externaldata.gatekeeper.sh/v1beta1" || a.Kind != "ProviderResponse" || a.Response.SystemError != "" || a.Response.Idempotent {
		t.Errorf("got %+v", a)
	}
	var got []string
	for _, item := range a.Response.Items {
		got = append(got, item.Key)
		yes := item.Value != nil && item.Value.Allowed && item.Error == "" && item.Value.Image == good+"@sha256:"+hexadecimal
		no := item.Value == nil && item.Error != ""
		if yes != (item.Key == good) || no == yes {
			t.Errorf("%q: got %+v %q", item.Key, item.Value, item.Error)
		}
	}
	if d := cmp.Diff(keys, got); d != "" {
		t.Error(d)
	}
}

type deciderFunc func(context.Context, engine.Request) engine.Verdict

func (d deciderFunc) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	return d(ctx, req)
}

// What was not understood has an error about all, and an item about none.
func TestT40_ErrorsAreNoItems(t *testing.T) {
	rows := map[string]struct {
		body   string
		status int
		want   string
	}{
		"no body":         {"", 400, "the body is empty"},
		"no JSON":         {"{", 400, "no JSON object"},
		"another version": {strings.Replace(providerQuestion("a"), "v1beta1", "v1alpha1", 1), 400, "want externaldata.gatekeeper.sh/v1beta1"},
		"another kind":    {strings.Replace(providerQuestion("a"), "ProviderRequest", "Review", 1), 400, "want externaldata"},
		"too many keys":   {providerQuestion(make([]string, 1001)...), 400, "at most 1000"},
		"keys of a kind":  {strings.Replace(providerQuestion("a"), `["a"]`, `"a"`, 1), 400, "no JSON object"},
		"no keys":         {providerQuestion(), 200, ""},
	}
	for name, row := range rows {
		r := mustPost(t, server(t, api.Config{Point: fixed(engine.Verdict{Allowed: true}), Gatekeeper: true}).URL+"/gatekeeper", row.body)
		var a providerAnswer
		err := json.Unmarshal([]byte(r.body), &a)
		if err != nil || r.status != row.status || !strings.Contains(a.Response.SystemError, row.want) || len(a.Response.Items) != 0 || row.want == "" && a.Response.SystemError != "" {
			t.Errorf("%s: got %s", name, fmt.Sprint(r.status, " ", r.body))
		}
	}
	if r := mustPost(t, server(t, api.Config{Point: fixed(engine.Verdict{Allowed: true})}).URL+"/gatekeeper", providerQuestion("a")); r.status != 404 {
		t.Errorf("where it is off: got %d, want 404", r.status)
	}
}

type refuser interface {
	Refuse(w http.ResponseWriter, r *http.Request, status int, text string)
}

// Gatekeeper does not look at the status: where a server has too much to do or breaks down, an answer without errors and without a system
// error would be a yes for templates that ask for errors only.
func TestT40_RefusalsAreInTheWordsOfTheDialect(t *testing.T) {
	p, err := api.New(api.Config{Point: fixed(engine.Verdict{Allowed: true}), InsecureNoAuth: true, Gatekeeper: true, Connector: true})
	if err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{
		"POST /gatekeeper": `{"apiVersion":"externaldata.gatekeeper.sh/v1beta1","kind":"ProviderResponse","response":{"idempotent":false,"items":[],` +
			`"systemError":"too much (request me)"}}`,
		"POST /checkImage":  `{"error":"too much"}`,
		"POST /v1/verdicts": `{"error":"too much","requestId":"me"}`,
	} {
		h, ok := p.Routes()[pattern].(refuser)
		if !ok {
			t.Errorf("%s: has no words for it", pattern)
			continue
		}
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("X-Request-ID", "me")
		h.Refuse(w, r, http.StatusServiceUnavailable, "too much")
		if w.Code != http.StatusServiceUnavailable || w.Body.String() != want || w.Header().Get("X-Request-ID") != "me" {
			t.Errorf("%s: got %d %s %v", pattern, w.Code, w.Body, w.Header())
		}
	}
}

// Gatekeeper remembers items for minutes, errors too. What could not be told is no item, so that it is asked again; what was told is one.
func TestT46_WhatCouldNotBeToldIsNotRemembered(t *testing.T) {
	p := &enforce.Point{Decider: deciderFunc(func(_ context.Context, req engine.Request) engine.Verdict {
		v := engine.Verdict{Image: req.Image, Decision: engine.Decision{Reason: req.Image + " says so"}}
		switch {
		case strings.Contains(req.Image, "good"):
			v.Allowed = true
		case strings.Contains(req.Image, "down"):
			v.Outcome = engine.CouldNotTell
		case strings.Contains(req.Image, "broken"):
			panic("broken")
		}
		return v
	})}
	ask := func(keys ...string) (items []string, systemError string) {
		r := mustPost(t, server(t, api.Config{Point: p, Gatekeeper: true}).URL+"/gatekeeper", providerQuestion(keys...))
		var a providerAnswer
		if err := json.Unmarshal([]byte(r.body), &a); err != nil || r.status != 200 {
			t.Fatal(r.status, r.body)
		}
		for _, item := range a.Response.Items {
			items = append(items, item.Key)
		}
		return items, a.Response.SystemError
	}
	items, told := ask("r.example/good", "r.example/down", "r.example/bad")
	if d := cmp.Diff([]string{"r.example/good", "r.example/bad"}, items); d != "" || told != "could not tell, try again: r.example/down says so" {
		t.Errorf("got %v, %q", items, told)
	}
	if items, told = ask("r.example/broken"); len(items) > 0 || !strings.Contains(told, "bug in assay") {
		t.Errorf("got %v, %q", items, told)
	}
	if items, told = ask("r.example/down/1", "r.example/down/2", "r.example/down/3", "r.example/down/4"); len(items) > 0 || !strings.HasSuffix(told, "; and 1 more images") {
		t.Errorf("got %v, %q", items, told)
	}
}
