package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/api"
	"github.com/assay-dev/assay/enforce/enforcetest"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var points = []string{"kubernetes", "api"}

// server serves a point until the test ends.
func server(t *testing.T, c api.Config) *httptest.Server {
	t.Helper()
	c.Points = points
	if c.Tokens == nil && c.ClientCertificates == nil && c.TokenReview == nil {
		c.InsecureNoAuth = true
	}
	p, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for pattern, h := range p.Routes() {
		mux.Handle(pattern, h)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func fixed(v engine.Verdict) *enforce.Point { return &enforce.Point{Decider: enforcetest.Fixed(v)} }

type response struct {
	status int
	header http.Header
	body   string
}

func post(ctx context.Context, url, body string, headers ...string) (response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return response{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(content)}, err
}

func mustPost(t *testing.T, url, body string, headers ...string) response {
	t.Helper()
	r, err := post(t.Context(), url, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The suite at POST /v1/verdicts, asked by a client that does what docs/start/api.md says.
func TestSuite(t *testing.T) {
	enforcetest.Run(t, enforcetest.Door{Notes: true, Open: func(t *testing.T, p *enforce.Point) enforcetest.Ask {
		s := server(t, api.Config{Point: p})
		return func(ctx context.Context, name string) enforcetest.Answer {
			question, _ := json.Marshal(map[string]any{"images": []string{name}})
			r, err := post(ctx, s.URL+"/v1/verdicts", string(question))
			if err != nil {
				return enforcetest.Answer{Text: err.Error()}
			}
			var verdicts []struct {
				Image, Outcome, Reason string
				Allowed                bool
				Warnings               []string
			}
			if err := json.Unmarshal([]byte(r.body), &verdicts); err != nil || r.status != 200 || len(verdicts) != 1 {
				return enforcetest.Answer{Text: r.body}
			}
			v := verdicts[0]
			text := enforce.Plain(fmt.Sprintf("%s: %s: %.1000s", v.Image, strings.ReplaceAll(v.Outcome, "-", " "), v.Reason))
			return enforcetest.Answer{Allowed: v.Allowed, Text: text, Notes: strings.Join(v.Warnings, "\n")}
		}
	}})
}

// The same at POST /checkImage, asked by a client that does what policies of OPA do.
func TestConnectorSuite(t *testing.T) {
	enforcetest.Run(t, enforcetest.Door{Open: func(t *testing.T, p *enforce.Point) enforcetest.Ask {
		s := server(t, api.Config{Point: p, Connector: true})
		return func(ctx context.Context, name string) enforcetest.Answer {
			question, _ := json.Marshal(map[string]string{"image": name})
			r, err := post(ctx, s.URL+"/checkImage", string(question))
			if err != nil {
				return enforcetest.Answer{Text: err.Error()}
			}
			var body struct{ Error string }
			_ = json.Unmarshal([]byte(r.body), &body)
			if r.status == 200 {
				return enforcetest.Answer{Allowed: true}
			}
			return enforcetest.Answer{Text: "Container image " + name + " invalid: " + body.Error}
		}
	}})
}

func TestNewRefuses(t *testing.T) {
	p := fixed(engine.Verdict{})
	for name, c := range map[string]api.Config{
		"nobody may ask":         {Point: p},
		"nothing to decide with": {InsecureNoAuth: true},
		"a negative rate":        {Point: p, InsecureNoAuth: true, Rate: -1},
	} {
		if _, err := api.New(c); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// asking remembers what was asked.
type asking struct{ requests []engine.Request }

func (a *asking) Decide(_ context.Context, req engine.Request) engine.Verdict {
	a.requests = append(a.requests, req)
	return engine.Verdict{Image: req.Image, Allowed: true, Decision: engine.Decision{Outcome: engine.Allowed}}
}

func TestQuestions(t *testing.T) {
	rows := []struct {
		name, body string
		status     int
		want       string // in the error, or the point and namespace that were asked for
	}{
		{"one image", `{"images":["a"]}`, 200, "api -"},
		{"another point", `{"images":["a"],"point":"kubernetes"}`, 200, "kubernetes -"},
		{"a namespace", `{"namespace":"payments","images":["a"]}`, 200, "api payments"},
		{"no body", ``, 400, "the body is empty"},
		{"blanks", " \n", 400, "the body is empty"},
		{"no JSON", `images=a`, 400, "no JSON object"},
		{"half an object", `{"images":["a"]`, 400, "no JSON object"},
		{"a list", `["a"]`, 400, "no JSON object"},
		{"null", `null`, 400, "no JSON object"},
		{"two objects", `{"images":["a"]}{"images":["b"]}`, 400, "something after"},
		{"no images", `{}`, 400, "name at least one"},
		{"an empty list", `{"images":[]}`, 400, "name at least one"},
		{"null for images", `{"images":null}`, 400, "name at least one"},
		{"a text for a list", `{"images":"a"}`, 400, "images: "},
		{"a number for an image", `{"images":[1]}`, 400, "images: "},
		{"an unknown field", `{"images":["a"],"imges":["b"]}`, 400, `"imges" is no field; there are images, namespace, point`},
		{"another spelling", `{"Images":["a"]}`, 400, `"Images" is no field`},
		{"a field twice", `{"images":["a"],"images":["b"]}`, 400, "images: stands twice"},
		{"no such point", `{"images":["a"],"point":"cli"}`, 400, "there are kubernetes, api"},
		{"no point", `{"images":["a"],"point":""}`, 400, "point: "},
		{"an empty namespace", `{"images":["a"],"namespace":""}`, 400, "leave it out"},
		{"a long namespace", `{"images":["a"],"namespace":"` + strings.Repeat("n", 254) + `"}`, 400, "253 bytes"},
		{"too many images", `{"images":[` + strings.TrimSuffix(strings.Repeat(`"a",`, 1001), ",") + `]}`, 400, "at most 1000"},
		{"not UTF-8", "{\"images\":[\"\xff\"]}", 400, "not UTF-8"},
		{"deep", `{"images":` + strings.Repeat("[", 20_000), 400, "images: "},
		{"too large", `{"images":["` + strings.Repeat("a", 2<<20) + `"]}`, 413, "more than 2097152 bytes"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			asked := &asking{}
			s := server(t, api.Config{Point: &enforce.Point{Decider: asked}})
			r := mustPost(t, s.URL+"/v1/verdicts", row.body)
			if r.status != row.status {
				t.Fatalf("got %d %s, want %d", r.status, r.body, row.status)
			}
			if r.status != 200 {
				var e struct{ Error, RequestID string }
				if err := json.Unmarshal([]byte(r.body), &e); err != nil || !strings.Contains(e.Error, row.want) || e.RequestID != r.header.Get("X-Request-ID") || len(asked.requests) > 0 {
					t.Errorf("got %s, want an error with %q, and nothing asked", r.body, row.want)
				}
				return
			}
			got := asked.requests[0].Point + " " + asked.requests[0].Namespace
			if !asked.requests[0].HasNamespace {
				got += "-"
			}
			if got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestOrderOfVerdicts(t *testing.T) {
	var want []string
	for i := range enforce.MaxImages {
		want = append(want, fmt.Sprintf("registry.example/app:%d", i))
	}
	body, _ := json.Marshal(map[string]any{"images": want})
	r := mustPost(t, server(t, api.Config{Point: fixed(engine.Verdict{})}).URL+"/v1/verdicts", string(body))
	var verdicts []struct{ Image string }
	if err := json.Unmarshal([]byte(r.body), &verdicts); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range verdicts {
		got = append(got, v.Image)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func sum(token string) string {
	s := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(s[:])
}

func TestTokens(t *testing.T) {
	tokens := &api.Tokens{}
	if err := tokens.Use([]byte("# holders\n\nci " + sum("secret-1") + "\r\ndeployer " + sum("secret-2") + "\n")); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	refused := map[string]int{}
	s := server(t, api.Config{
		Point: fixed(engine.Verdict{Allowed: true}), Tokens: tokens, Connector: true,
		Log: slog.New(slog.NewTextHandler(&log, nil)), Refused: func(reason string) { refused[reason]++ },
	})
	rows := []struct {
		name, authorization string
		want                int
	}{
		{"the first", "Bearer secret-1", 200},
		{"the second", "bearer  secret-2 ", 200},
		{"none", "", 401},
		{"nobody's", "Bearer secret-3", 401},
		{"an empty one", "Bearer ", 401},
		{"the hash in its place", "Bearer " + sum("secret-1"), 401},
		{"a holder's name", "Bearer ci", 401},
		{"another scheme", "Basic secret-1", 401},
		{"no scheme", "secret-1", 401},
		{"one of a megabyte", "Bearer " + strings.Repeat("x", 5000), 401},
	}
	for _, row := range rows {
		for path, body := range map[string]string{"/v1/verdicts": `{"images":["a"]}`, "/checkImage": `{"image":"a"}`} {
			r := mustPost(t, s.URL+path, body, "Authorization", row.authorization)
			if r.status != row.want || row.want == 401 && (r.header.Get("WWW-Authenticate") == "" || !strings.Contains(r.body, "a bearer token is needed")) {
				t.Errorf("%s at %s: got %d %s, want %d", row.name, path, r.status, r.body, row.want)
			}
		}
	}
	if !strings.Contains(log.String(), `client="token deployer"`) || strings.Contains(log.String(), "secret") {
		t.Errorf("got log %s", log.String())
	}
	if refused[api.Unauthenticated] != 16 {
		t.Errorf("got %v refused, want 16 that are unauthenticated", refused)
	}
	if err := tokens.Use([]byte("ci " + sum("secret-2"))); err != nil {
		t.Fatal(err)
	}
	if r := mustPost(t, s.URL+"/v1/verdicts", `{"images":["a"]}`, "Authorization", "Bearer secret-1"); r.status != 401 {
		t.Errorf("a token that was taken out: got %d, want 401", r.status)
	}
}

// The errors about a file of tokens say nothing of its content, which may be a token; and what was in force stays.
func TestBadTokens(t *testing.T) {
	const secret = "a-token-in-plain"
	many := ""
	for i := range 1001 {
		many += fmt.Sprintf("n%d %s\n", i, sum("x"))
	}
	tokens := &api.Tokens{}
	if err := tokens.Use([]byte("ci " + sum("secret-1"))); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"nothing": "", "comments only": "# " + secret, "a token": secret, "a token with a name": "ci " + secret, "no hex": "ci sha256:" + secret,
		"a short hash": "ci sha256:00ff", "another hash": "ci md5:" + strings.Repeat("0", 64), "three words": "ci " + sum("x") + " " + secret,
		"a name twice": "ci " + sum("x") + "\nci " + sum("y"), "a name with a line of a log": "c\x1bi " + sum("x"), "too many": many, "too long": strings.Repeat("#", 1<<20+1),
	} {
		err := tokens.Use([]byte(file))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	s := server(t, api.Config{Point: fixed(engine.Verdict{Allowed: true}), Tokens: tokens})
	if r := mustPost(t, s.URL+"/v1/verdicts", `{"images":["a"]}`, "Authorization", "Bearer secret-1"); r.status != 200 {
		t.Errorf("the token before: got %d, want 200", r.status)
	}
}

// Tokens that nobody loaded let nobody in.
func TestT5_NoTokensMeanNobody(t *testing.T) {
	s := server(t, api.Config{Point: fixed(engine.Verdict{Allowed: true}), Tokens: &api.Tokens{}})
	for _, authorization := range []string{"", "Bearer ", "Bearer x"} {
		if r := mustPost(t, s.URL+"/v1/verdicts", `{"images":["a"]}`, "Authorization", authorization); r.status != 401 {
			t.Errorf("%q: got %d, want 401", authorization, r.status)
		}
	}
}

func TestRate(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tokens := &api.Tokens{}
	if err := tokens.Use([]byte("a " + sum("a") + "\nb " + sum("b"))); err != nil {
		t.Fatal(err)
	}
	s := server(t, api.Config{Point: fixed(engine.Verdict{}), Tokens: tokens, Rate: 100, Now: func() time.Time { return now }})
	ask := func(who string, images int) response {
		body, _ := json.Marshal(map[string]any{"images": make([]string, images)})
		return mustPost(t, s.URL+"/v1/verdicts", string(body), "Authorization", "Bearer "+who)
	}
	if r := ask("a", 1000); r.status != 200 {
		t.Fatalf("the largest request: got %d", r.status)
	}
	r := ask("a", 250)
	if r.status != 429 || r.header.Get("Retry-After") != "3" || !strings.Contains(r.body, "100 a second") {
		t.Errorf("beyond the rate: got %d, Retry-After %q, %s", r.status, r.header.Get("Retry-After"), r.body)
	}
	if r := ask("b", 1000); r.status != 200 {
		t.Errorf("somebody else: got %d", r.status)
	}
	now = now.Add(3 * time.Second)
	if r := ask("a", 250); r.status != 200 {
		t.Errorf("after Retry-After: got %d", r.status)
	}
	now = now.Add(-time.Hour)
	if r := ask("a", 51); r.status != 429 {
		t.Errorf("after the clock went back: got %d, want 429", r.status)
	}
}

// CSE-17 and T47: the caller's id is in the log line and in the answer, unless it could forge a line.
func TestCSE17_RequestID(t *testing.T) {
	var recorded string
	p := fixed(engine.Verdict{Decision: engine.Decision{Reason: "no"}})
	p.Record = func(o *enforce.Occasion, _ engine.Request, _ *engine.Verdict) { recorded = o.RequestID }
	var log bytes.Buffer
	s := server(t, api.Config{Point: p, Connector: true, Log: slog.New(slog.NewJSONHandler(&log, nil))})
	for path, body := range map[string]string{"/v1/verdicts": `{"images":["a"]}`, "/checkImage": `{"image":"a"}`} {
		const id = "b3b1e3a0-7e0c-4d4e-9a0e-8a9c6b1d2f3a"
		r := mustPost(t, s.URL+path, body, "X-Request-ID", id)
		if r.header.Get("X-Request-ID") != id || recorded != id || !strings.Contains(log.String(), `"requestId":"`+id+`"`) {
			t.Errorf("%s: got %q in the answer, %q recorded, log %s", path, r.header.Get("X-Request-ID"), recorded, log.String())
		}
		for _, given := range []string{"", "a b", strings.Repeat("x", 65), `x","client":"root`} {
			r := mustPost(t, s.URL+path, body, "X-Request-ID", given)
			if got := r.header.Get("X-Request-ID"); got == "" || got == given || got != recorded {
				t.Errorf("%s: %q: got %q, recorded %q", path, given, got, recorded)
			}
		}
		if bad := mustPost(t, s.URL+path, "x", "X-Request-ID", id); bad.header.Get("X-Request-ID") != id {
			t.Errorf("%s: an error: got %q", path, bad.header.Get("X-Request-ID"))
		}
	}
}

// The document describes what is answered, and its verdict is that of docs/reference.
func TestOpenAPI(t *testing.T) {
	s := server(t, api.Config{Point: fixed(sample(t)), Rate: 1})
	resp, err := s.Client().Get(s.URL + "/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	served, err := jsonschema.UnmarshalJSON(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	document := served.(map[string]any)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	paths := document["paths"].(map[string]any)
	responses := paths["/v1/verdicts"].(map[string]any)["post"].(map[string]any)["responses"].(map[string]any)
	tokens := &api.Tokens{}
	closed := server(t, api.Config{Point: fixed(sample(t)), Tokens: tokens})
	broken := server(t, api.Config{Point: &enforce.Point{Decider: enforcetest.Fixed(sample(t)), Record: func(*enforce.Occasion, engine.Request, *engine.Verdict) { panic("broken") }}})
	thousand, _ := json.Marshal(map[string]any{"images": make([]string, 1000)})
	open, err := api.New(api.Config{Point: fixed(sample(t)), InsecureNoAuth: true})
	if err != nil {
		t.Fatal(err)
	}
	overloaded := httptest.NewRecorder() // the server around it has too much to do
	overloaded.Header().Set("Retry-After", "1")
	open.Routes()["POST /v1/verdicts"].(refuser).Refuse(overloaded, httptest.NewRequest(http.MethodPost, "/v1/verdicts", nil), 503, "too much")
	seen := map[string]bool{}
	for _, r := range []response{
		mustPost(t, s.URL+"/v1/verdicts", string(thousand)),
		mustPost(t, s.URL+"/v1/verdicts", string(thousand)),
		mustPost(t, s.URL+"/v1/verdicts", `{}`),
		mustPost(t, s.URL+"/v1/verdicts", `{"images":["`+strings.Repeat("a", 2<<20)+`"]}`),
		mustPost(t, closed.URL+"/v1/verdicts", `{}`),
		newReviewLab(t, nil).ask(t, "jane"),
		mustPost(t, broken.URL+"/v1/verdicts", `{"images":["a"]}`),
		{overloaded.Code, overloaded.Header(), overloaded.Body.String()},
	} {
		status := fmt.Sprint(r.status)
		described, found := responses[status].(map[string]any)
		if !found {
			t.Errorf("%s is not in the document: %s", status, r.body)
			continue
		}
		seen[status] = true
		for name := range described["headers"].(map[string]any) {
			if r.header.Get(name) == "" {
				t.Errorf("%s lacks the header %s", status, name)
			}
		}
		if got := r.header.Get("Content-Type"); !strings.HasPrefix(got, "application/json") {
			t.Errorf("%s: got content type %q", status, got)
		}
		schema, err := compiler.Compile("openapi.json#/paths/~1v1~1verdicts/post/responses/" + status + "/content/application~1json/schema")
		if err != nil {
			t.Fatal(err)
		}
		body, err := jsonschema.UnmarshalJSON(strings.NewReader(r.body))
		if err != nil {
			t.Fatalf("%s: %v: %s", status, err, r.body)
		}
		if err := schema.Validate(body); err != nil {
			t.Errorf("%s: %v", status, err)
		}
	}
	for status := range responses {
		if !seen[status] {
			t.Errorf("nothing answered with %s, which the document has", status)
		}
	}
	for path := range paths {
		if path != "/v1/verdicts" && path != "/v1/decisions" && path != "/v1/openapi.json" {
			t.Errorf("nothing serves %s", path)
		}
	}
	sameSchema(t, document["components"].(map[string]any)["schemas"].(map[string]any))
}

// sameSchema compares the document's verdict with docs/reference/verdict.schema.json, whose parts it has beside it.
func sameSchema(t *testing.T, got map[string]any) {
	t.Helper()
	content, err := os.ReadFile("../../docs/reference/verdict.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var verdict map[string]any
	if err := json.Unmarshal(bytes.ReplaceAll(content, []byte("#/$defs/"), []byte("#/components/schemas/")), &verdict); err != nil {
		t.Fatal(err)
	}
	want := verdict["$defs"].(map[string]any)
	for _, field := range []string{"$defs", "$schema", "$id"} {
		delete(verdict, field)
	}
	want["verdict"] = verdict
	for name := range want {
		a, _ := json.Marshal(want[name])
		b, _ := json.Marshal(got[name])
		if d := cmp.Diff(string(a), string(b)); d != "" {
			t.Errorf("%s: docs/reference has another one:\n%s", name, d)
		}
	}
}

// sample is a verdict with about everything in it.
func sample(t *testing.T) engine.Verdict {
	t.Helper()
	d, err := image.ParseDigest("sha256:" + strings.Repeat("0f", 32))
	if err != nil {
		t.Fatal(err)
	}
	return engine.Verdict{
		Canonical: "registry.example/app:1", Digest: d, Pin: "registry.example/app:1@" + d.String(), Allowed: true,
		Decision: engine.Decision{Policy: "shop", Mode: "enforce", Rule: "rules[0] (line 1)", Outcome: engine.Allowed, Authorities: []engine.Attestation{
			{Authority: "ci", Format: "certificate", Standing: engine.Proved, Digest: d, Signer: "CN=x", SignedAt: time.Unix(0, 0)},
		}},
		Also: []engine.Decision{{Policy: "audit", Mode: "audit", Outcome: engine.Denied, Reason: "no"}}, Warnings: []string{"w"},
	}
}

// A verdict that JSON cannot say is a bug, which has a text as well: here a time for which RFC 3339 has no year.
func TestAnswersThatCannotBeWrittenAreBugs(t *testing.T) {
	late := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	v := engine.Verdict{Allowed: true, Decision: engine.Decision{Outcome: engine.Allowed, Authorities: []engine.Attestation{{Authority: "a", Expires: late}}}}
	refused := ""
	s := server(t, api.Config{Point: fixed(v), Refused: func(reason string) { refused = reason }})
	r := mustPost(t, s.URL+"/v1/verdicts", `{"images":["a"]}`, "X-Request-ID", "me")
	if r.status != 500 || r.body != `{"error":"bug: assay broke down; nothing is allowed by this","requestId":"me"}` || refused != api.Broken {
		t.Errorf("got %d %q, counted as %q", r.status, r.body, refused)
	}
}

// Where everybody is answered, pages in a browser on the same host are not: a name that is made to point at loopback would let any page read
// which images somebody runs.
func TestT42_BrowsersAreNotEverybody(t *testing.T) {
	s := server(t, api.Config{Point: fixed(sample(t)), Connector: true, Gatekeeper: true})
	for _, path := range []string{"/v1/verdicts", "/checkImage", "/gatekeeper"} {
		for _, origin := range []string{"http://evil.example", "null"} {
			if r := mustPost(t, s.URL+path, `{"images":["a"],"image":"a"}`, "Origin", origin); r.status != 401 || !strings.Contains(r.body, "page in a browser") {
				t.Errorf("%s from %s: got %d %s", path, origin, r.status, r.body)
			}
		}
	}
	tokens := &api.Tokens{}
	sum := sha256.Sum256([]byte("secret"))
	if err := tokens.Use([]byte("ci sha256:" + hex.EncodeToString(sum[:]))); err != nil {
		t.Fatal(err)
	}
	known := server(t, api.Config{Point: fixed(sample(t)), Tokens: tokens})
	if r := mustPost(t, known.URL+"/v1/verdicts", `{"images":["a"]}`, "Origin", "http://console.example", "Authorization", "Bearer secret"); r.status != 200 {
		t.Errorf("with a token: got %d %s", r.status, r.body)
	}
}

// Whoever has a network of IPv6 has more addresses than there are allowances.
func TestT43_ANetworkIsOneClient(t *testing.T) {
	p, err := api.New(api.Config{Point: fixed(sample(t)), Points: points, InsecureNoAuth: true, Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	thousand, _ := json.Marshal(map[string]any{"images": make([]string, 1000)})
	h := p.Routes()["POST /v1/verdicts"]
	for _, row := range []struct {
		address string
		want    int
	}{
		{"[2001:db8::1]:1", 200}, {"[2001:db8::2]:1", 429}, {"[2001:db8:0:1::1]:1", 200},
		{"192.0.2.1:1", 200}, {"[::ffff:192.0.2.1]:1", 429}, {"192.0.2.2:1", 200}, {"[fe80::1%eth0]:1", 200}, {"[fe80::2%eth0]:1", 429},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/v1/verdicts", bytes.NewReader(thousand))
		r.RemoteAddr = row.address
		if h.ServeHTTP(w, r); w.Code != row.want {
			t.Errorf("%s: got %d, want %d", row.address, w.Code, row.want)
		}
	}
}
