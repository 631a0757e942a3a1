package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/api"
	"github.com/assay-dev/assay/enforce/enforcetest"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/wire"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// question is one that another Assay asks.
func question(name string) engine.Request {
	return engine.Request{Image: name, Rests: true, Request: policy.Request{Point: "kubernetes", Namespace: "n", HasNamespace: true, NamespaceLabels: map[string]string{"a": "b"}}}
}

// The suite at POST /v1/decisions, asked by another Assay.
func TestDecisionsSuite(t *testing.T) {
	enforcetest.Run(t, enforcetest.Door{Notes: true, Open: func(t *testing.T, p *enforce.Point) enforcetest.Ask {
		s := server(t, api.Config{Point: p})
		c := &wire.Client{HTTP: s.Client(), URL: s.URL}
		return func(ctx context.Context, name string) enforcetest.Answer {
			vs, err := c.Ask(ctx, question(name))
			if err != nil {
				return enforcetest.Answer{Text: err.Error()}
			}
			text := fmt.Sprintf("%.2000s", vs[0].String())
			return enforcetest.Answer{Allowed: vs[0].Allowed, Text: enforce.Plain(text), Notes: strings.Join(vs[0].Warnings, "\n")}
		}
	}})
}

// recording keeps what a decider is asked.
type recording struct {
	decider enforce.Decider
	mu      sync.Mutex
	asked   []engine.Request
}

func (r *recording) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, req)
	return r.decider.Decide(ctx, req)
}

// full is a verdict with about everything in it that goes from one Assay to another.
func full(t *testing.T) engine.Verdict {
	t.Helper()
	v := sample(t)
	at := time.Unix(1_800_000_000, 0).UTC()
	attested, log := []trust.Attested{{PredicateType: "p", Signer: "s", SignedAt: at}}, []trust.LogEntry{{ID: "l", Index: 1, IntegratedTime: at, SignedEntryTimestamp: []byte("t")}}
	v.Authorities = []engine.Attestation{{
		Authority: "ci", Format: "sigstore", Standing: engine.Proved, Digest: v.Digest, Signer: "s", Role: "r", Names: []string{"a", "b"}, Issuer: "i", Serial: "01", Key: "k",
		Signature: []byte("s"), SignedAt: at, Expires: at, Log: log, Attested: attested, Weakened: []string{"w"}, Cosigners: []engine.Cosigner{{Signer: "c", Role: "r", Key: "k"}},
		Proofs: []trust.Proof{{Digest: v.Digest, SignedAt: at, Expires: at, Log: log, Weakened: []string{"w"}, Attested: attested, Signers: []trust.Signer{{
			Key: "k", Identity: trust.Identity{Issuer: "i", Subject: "s"}, Names: []string{"a"}, Chain: []trust.Certificate{{Subject: "s", Issuer: "i", Serial: "01", Key: "k"}},
			Role: "r", SignedAt: at, Under: []string{"u"}, Signature: []byte("s"),
		}}}}, Missed: "one",
	}}
	v.Chain, v.ChainError = []engine.Link{{Platform: "linux/amd64", Index: v.Digest, Manifest: v.Digest, Config: v.Digest}}, "x"
	v.Basis, v.Until, v.Ends, v.Duration = "b", at, at, engine.Duration{Total: 1, Resolve: 2, Evidence: 3}
	return v
}

// What is asked is what the point is asked, and what it says is what comes back.
func TestDecisions(t *testing.T) {
	d := &recording{decider: enforcetest.Fixed(full(t))}
	s := server(t, api.Config{Point: &enforce.Point{Decider: d}})
	c := &wire.Client{HTTP: s.Client(), URL: s.URL}
	const name = "registry.example/app:1"
	asked := question(name)
	asked.Content, asked.Every, asked.Signed, asked.Platform = true, true, true, "linux/amd64"
	vs, err := c.Ask(t.Context(), asked, asked)
	if err != nil {
		t.Fatal(err)
	}
	want := full(t)
	want.Image = name
	comparing := cmp.Options{cmpopts.IgnoreUnexported(engine.Verdict{}, engine.Request{}), cmp.Comparer(func(a, b image.Digest) bool { return a == b }), cmpopts.IgnoreTypes(trust.Logins{})}
	if d := cmp.Diff([]engine.Verdict{want, want}, vs, comparing); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]engine.Request{asked, asked}, d.asked, comparing); d != "" {
		t.Error(d)
	}
}

func TestDecisionsRefuse(t *testing.T) {
	d := &recording{decider: enforcetest.Fixed(sample(t))}
	tokens := &api.Tokens{}
	open, closed := server(t, api.Config{Point: &enforce.Point{Decider: d}, Rate: 1}), server(t, api.Config{Point: &enforce.Point{Decider: d}, Tokens: tokens})
	const good = `{"form":1,"questions":[{"image":"a","point":"api"}]}`
	for name, tt := range map[string]struct {
		url, body string
		status    int
		text      string
	}{
		"nobody":            {closed.URL, good, 401, "who asks?"},
		"another point":     {open.URL, strings.Replace(good, `"api"`, `"spire"`, 1), 400, `questions[0].point: \"spire\" is none; there are kubernetes, api`},
		"no point":          {open.URL, strings.Replace(good, `"api"`, `""`, 1), 400, "point"},
		"a long namespace":  {open.URL, strings.Replace(good, `"api"`, `"api","namespace":"`+strings.Repeat("n", 254)+`"`, 1), 400, "namespace"},
		"another form":      {open.URL, strings.Replace(good, `1`, `2`, 1), 400, "form 2"},
		"an unknown field":  {open.URL, strings.Replace(good, `"image"`, `"logins":[],"image"`, 1), 400, "logins"},
		"what Assay writes": {open.URL, strings.Replace(good, `"point":"api"`, `"point":"api","point":"api"`, 1), 400, "not what Assay writes"},
		"nothing":           {open.URL, "", 400, "empty"},
		"too many":          {open.URL, `{"form":1,"questions":[` + strings.Repeat(`{"image":"a","point":"api"},`, 1000) + `{"image":"a","point":"api"}]}`, 400, "1001 questions"},
		"too large":         {open.URL, strings.Replace(good, `"a"`, `"`+strings.Repeat("a", 2<<20)+`"`, 1), 413, "bytes"},
	} {
		if r := mustPost(t, tt.url+wire.Path, tt.body); r.status != tt.status || !strings.Contains(r.body, tt.text) {
			t.Errorf("%s: got %d %.300s; want %d with %q", name, r.status, r.body, tt.status, tt.text)
		}
	}
	if len(d.asked) > 0 {
		t.Errorf("decided about %v", d.asked)
	}
	thousand := `{"form":1,"questions":[` + strings.Repeat(`{"image":"a","point":"api"},`, 999) + `{"image":"a","point":"api"}]}`
	for _, want := range []int{200, 429} {
		if r := mustPost(t, open.URL+wire.Path, thousand); r.status != want {
			t.Errorf("got %d, want %d: %.300s", r.status, want, r.body)
		}
	}
	if r := mustPost(t, open.URL+wire.Path, good, "Origin", "http://evil.example"); r.status != 401 {
		t.Errorf("a page in a browser: got %d", r.status)
	}
}

// chosen answers with a verdict for each image.
type chosen map[string]engine.Verdict

func (c chosen) Decide(_ context.Context, req engine.Request) engine.Verdict {
	v := c[req.Image]
	v.Image = req.Image
	return v
}

// T46: a verdict that cannot be told is a bug of that image alone. A whole answer that fails would have clients take the server for being away.
func TestT46_OneVerdictThatCannotBeTold(t *testing.T) {
	const good, bad, long = "registry.example/app:1", "registry.example/bad:1", "registry.example/long:1"
	endless := full(t)
	endless.Warnings = []string{strings.Repeat("w", wire.MaxVerdict)}
	s := server(t, api.Config{Point: &enforce.Point{Decider: chosen{good: full(t), bad: sample(t), long: endless}}}) // sample: somebody vouches without a proof
	c := &wire.Client{HTTP: s.Client(), URL: s.URL}
	whole := question(good)
	whole.Content = true
	vs, err := c.Ask(t.Context(), question(bad), whole, question(long))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []engine.Outcome{engine.Bug, engine.Allowed, engine.Bug} {
		if vs[i].Outcome != want || vs[i].Allowed != (want == engine.Allowed) {
			t.Errorf("%s: got %s", vs[i].Image, vs[i].String())
		}
	}
}

// The document describes what is asked and answered.
func TestOpenAPIOfDecisions(t *testing.T) {
	s := server(t, api.Config{Point: fixed(full(t))})
	resp, err := s.Client().Get(s.URL + "/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	document, err := jsonschema.UnmarshalJSON(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	asked := question("registry.example/app:1")
	asked.Content, asked.Every, asked.Signed, asked.Platform = true, true, true, "linux/amd64"
	body, err := wire.EncodeQuestions([]engine.Request{asked})
	if err != nil {
		t.Fatal(err)
	}
	r := mustPost(t, s.URL+wire.Path, string(body))
	failed := server(t, api.Config{Point: &enforce.Point{Decider: enforcetest.Fixed(engine.Verdict{Decision: engine.Decision{Outcome: engine.Bug, Reason: "bug: x"}})}})
	for at, text := range map[string]string{
		"requestBody/content/application~1json/schema":   string(body),
		"responses/200/content/application~1json/schema": r.body,
		"responses/400/content/application~1json/schema": mustPost(t, s.URL+wire.Path, "{}").body,
	} {
		schema, err := compiler.Compile("openapi.json#/paths/~1v1~1decisions/post/" + at)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{text, strings.Replace(text, `{"form"`, `{"forms"`, 1)} {
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); (err != nil) != strings.Contains(text, `"forms"`) {
				t.Errorf("%s: %v in %s", at, err, text)
			}
		}
	}
	if r := mustPost(t, failed.URL+wire.Path, string(body)); r.status != http.StatusOK || !strings.Contains(r.body, `"outcome":"bug"`) {
		t.Errorf("got %d %s", r.status, r.body)
	}
	// Every property of a verdict was there, so that none is described that nobody writes.
	schemas := document.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)
	for _, name := range []string{"wireAuthority", "wireProof", "wireSigner", "wireLogEntry", "wireAttested"} {
		for property := range schemas[name].(map[string]any)["properties"].(map[string]any) {
			if property != "reason" && !strings.Contains(r.body, `"`+property+`"`) {
				t.Errorf("%s.%s is in no verdict", name, property)
			}
		}
	}
}
