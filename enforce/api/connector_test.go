package api_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/api"
	"github.com/assay-dev/assay/enforce/enforcetest"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
)

var hexadecimal = strings.Repeat("0f", 32)

func digest(t *testing.T, text string) image.Digest {
	t.Helper()
	d, err := image.ParseDigest(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var somebody = []engine.Attestation{{Authority: "jenkins", Format: "notaryv1", Standing: engine.Proved}}

func allowed(authorities []engine.Attestation) engine.Decision {
	return engine.Decision{Policy: "p", Mode: "enforce", Rule: "rules[0] (line 1)", Outcome: engine.Allowed, Authorities: authorities}
}

// What is vouched for comes back with its digest, a rule that allows without looking gives {}.
func TestCSE12_CheckImageAllows(t *testing.T) {
	d := digest(t, "sha256:"+hexadecimal)
	vouched := `{"sha256":"` + hexadecimal + `","image":"registry.example/app:1@sha256:` + hexadecimal + `"}`
	rows := []struct {
		name string
		v    engine.Verdict
		want string
	}{
		{"vouched for", engine.Verdict{Canonical: "registry.example/app:1", Digest: d, Pin: "registry.example/app:1@" + d.String(), Allowed: true, Decision: allowed(somebody)}, vouched},
		{"vouched for, asked with tag and digest", engine.Verdict{Canonical: "registry.example/app:1@" + d.String(), Digest: d, Allowed: true, Decision: allowed(somebody)}, vouched},
		{"vouched for, and the policy keeps tags", engine.Verdict{Canonical: "registry.example/app:1", Digest: d, Allowed: true, Decision: allowed(somebody)}, vouched},
		{"asked with a digest only", engine.Verdict{Canonical: "registry.example:5000/app@" + d.String(), Digest: d, Allowed: true, Decision: allowed(somebody)},
			`{"sha256":"` + hexadecimal + `","image":"registry.example:5000/app:latest@sha256:` + hexadecimal + `"}`},
		{"vouched for by the word of a further policy", engine.Verdict{Canonical: "registry.example/app:1", Digest: d, Allowed: true, Decision: allowed(nil), Also: []engine.Decision{allowed(somebody)}}, vouched},
		{"a rule allows, by its digest", engine.Verdict{Canonical: "registry.example/app:1", Digest: d, Pin: "registry.example/app:1@" + d.String(), Allowed: true, Decision: allowed(nil)}, vouched},
		{"a rule allows", engine.Verdict{Canonical: "registry.example/app:1", Allowed: true, Decision: allowed(nil)}, `{}`},
		{"a policy warns", engine.Verdict{Canonical: "registry.example/app:1", Digest: d, Allowed: true, Decision: engine.Decision{Mode: "warn", Outcome: engine.Denied, Authorities: somebody}}, `{}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := mustPost(t, server(t, api.Config{Point: fixed(row.v), Connector: true}).URL+"/checkImage", `{"image":"registry.example/app:1"}`)
			if r.status != 200 || r.body != row.want || r.header.Get("Content-Type") != "application/json; charset=utf-8" {
				t.Errorf("got %d %s (%s), want 200 %s", r.status, r.body, r.header.Get("Content-Type"), row.want)
			}
		})
	}
}

// A digest that the answer cannot carry must not become a name without a digest.
func TestCSE12_OtherDigestsAreNoAnswer(t *testing.T) {
	d := digest(t, "sha512:"+strings.Repeat("0f", 64))
	v := engine.Verdict{Canonical: "registry.example/app:1", Digest: d, Pin: "registry.example/app:1@" + d.String(), Allowed: true, Decision: allowed(somebody)}
	r := mustPost(t, server(t, api.Config{Point: fixed(v), Connector: true}).URL+"/checkImage", `{"image":"registry.example/app:1"}`)
	if r.status != 400 || !strings.Contains(r.body, "no sha256") {
		t.Errorf("got %d %s", r.status, r.body)
	}
}

// Whatever may not run, or was not understood, has a text.
func TestCSE13_CheckImageDenies(t *testing.T) {
	denied := func(reason string) engine.Verdict {
		return engine.Verdict{Decision: engine.Decision{Policy: "p", Mode: "enforce", Rule: "rules[0] (line 1)", Outcome: engine.Denied, Reason: reason}}
	}
	unclear := denied("client is offline: notary.example:4443: connection refused")
	unclear.Outcome = engine.CouldNotTell
	bug := denied("bug: broken")
	bug.Outcome = engine.Bug
	unmatched := denied("no rule speaks about registry.example/app:1")
	unmatched.Rule = ""
	const body = `{"image":"registry.example/app:1"}`
	rows := []struct {
		name, body string
		decider    enforce.Decider
		status     int
		want       string // the whole answer, or its beginning
	}{
		{"no such data", body, enforcetest.Fixed(denied("notary.example:4443 does not have trust data for registry.example/app")), 400, `{"error":"notary.example:4443 does not have trust data for registry.example/app"}`},
		{"no rule", body, enforcetest.Fixed(unmatched), 400, `{"error":"No repository matched"}`},
		{"a rule with the words", body, enforcetest.Fixed(denied("No repository matched")), 400, `{"error":"No repository matched"}`},
		{"no policy", body, enforcetest.Fixed(engine.Verdict{Decision: engine.Decision{Reason: "no policy speaks about it"}}), 400, `{"error":"no policy speaks about it"}`},
		{"could not tell", body, enforcetest.Fixed(unclear), 400, `{"error":"could not tell, try again: client is offline: notary.example:4443: connection refused"}`},
		{"a bug", body, enforcetest.Fixed(bug), 500, `{"error":"bug in assay: bug: broken"}`},
		{"a panic", body, panicking{}, 500, `{"error":"bug in assay: bug: broken"}`},
		{"a verdict without a word", body, enforcetest.Fixed(engine.Verdict{}), 400, `{"error":"registry.example/app:1 may not run"}`},
		{"an empty image", `{"image":""}`, nil, 400, `{"error":"No repository matched"}`},
		{"no image", `{}`, nil, 400, `{"error":"No repository matched"}`},
		{"no body", ``, nil, 400, `{"error":"the body is empty"}`},
		{"no JSON", `{`, nil, 400, `{"error":"the body is no JSON object: `},
		{"a wrong type", `{"image":1}`, nil, 400, `{"error":"the body is no JSON object: `},
		{"a list", `[]`, nil, 400, `{"error":"the body is no JSON object: `},
		{"too large", `{"image":"` + strings.Repeat("a", 2<<20) + `"}`, nil, 413, `{"error":"the body has more than 2097152 bytes"}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := &enforce.Point{Decider: row.decider}
			if row.decider == nil {
				p.Decider = enforcetest.Fixed(engine.Verdict{Allowed: true})
			}
			r := mustPost(t, server(t, api.Config{Point: p, Connector: true}).URL+"/checkImage", row.body)
			var answer struct{ Error string }
			if err := json.Unmarshal([]byte(r.body), &answer); err != nil || answer.Error == "" || r.status != row.status || !strings.HasPrefix(r.body, row.want) {
				t.Errorf("got %d %s, want %d %s", r.status, r.body, row.status, row.want)
			}
		})
	}
}

type panicking struct{}

func (panicking) Decide(context.Context, engine.Request) engine.Verdict { panic("broken") }

// Fields that the connector did not know are ignored, as it did.
func TestCSE13_OtherFieldsAreIgnored(t *testing.T) {
	asked := &asking{}
	s := server(t, api.Config{Point: &enforce.Point{Decider: asked}, Connector: true})
	r := mustPost(t, s.URL+"/checkImage", `{"image":"registry.example/app:1","namespace":"x"}`)
	if r.status != 200 || len(asked.requests) != 1 || asked.requests[0].Image != "registry.example/app:1" || asked.requests[0].Point != "api" {
		t.Errorf("got %d %s, asked %+v", r.status, r.body, asked.requests)
	}
}

func TestCSE14_Healthz(t *testing.T) {
	s := server(t, api.Config{Point: fixed(engine.Verdict{}), Connector: true})
	for path, want := range map[string]string{"/healthz": "200 this is fine", "/checkImage": "404 {\"error\":\"POST /checkImage is all that there is\"}"} {
		resp, err := s.Client().Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := strings.TrimSpace(resp.Status[:3]) + " " + string(body); err != nil || got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// Where it is not switched on, nobody answers as the connector.
func TestConnectorIsOff(t *testing.T) {
	s := server(t, api.Config{Point: fixed(engine.Verdict{Allowed: true})})
	if r := mustPost(t, s.URL+"/checkImage", `{"image":"a"}`); r.status != 404 {
		t.Errorf("got %d, want 404", r.status)
	}
}
