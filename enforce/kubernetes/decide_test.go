package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/enforcetest"
	"github.com/assay-dev/assay/engine"
)

const (
	good  = "r.example/good:1"
	other = "r.example/good/other:1"
	bad   = "r.example/bad:1"
)

func TestSuite(t *testing.T) {
	for _, path := range []string{"/validate", "/mutate"} {
		t.Run(path[1:], func(t *testing.T) {
			enforcetest.Run(t, enforcetest.Door{Notes: true, Open: func(t *testing.T, p *enforce.Point) enforcetest.Ask {
				l := newLab(t, func(c *Config) { c.Point = p })
				return func(ctx context.Context, image string) enforcetest.Answer {
					req := httptest.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(reviewOf(change{object: pod(image)})))
					w := httptest.NewRecorder()
					l.ServeHTTP(w, req)
					var got reply
					if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
						return enforcetest.Answer{Text: w.Body.String()}
					}
					return enforcetest.Answer{Allowed: got.Response.Allowed, Text: got.Response.Status.Message, Notes: strings.Join(got.Response.Warnings, "\n")}
				}
			}})
		})
	}
}

func TestCSE7_TheBadImageIsNamed(t *testing.T) {
	got := newLab(t, nil).validate(t, change{object: pod(good, bad)})
	if got.Response.Allowed || !strings.Contains(got.Response.Status.Message, bad) || strings.Contains(got.Response.Status.Message, good) {
		t.Errorf("got %+v, want a denial that names %s alone", got.Response, bad)
	}
	if got.Response.Status.Code != http.StatusForbidden || got.Response.Status.Reason != "Forbidden" {
		t.Errorf("got %+v, want Forbidden", got.Response.Status)
	}
}

func TestCSE36_TheWordsOfADenial(t *testing.T) {
	got := newLab(t, nil).validate(t, change{object: pod(bad, good, "r.example/worse:1")}).Response.Status.Message
	want := `Container image r.example/bad:1 invalid: may not run: release: unsigned: nothing is signed
  in container "c0", /spec/containers/0/image
  rule: rules[1] (line 23) of policy production
  next: have the image signed for release, or ask whoever keeps the policy
Container image r.example/worse:1 invalid: may not run: release: unsigned: nothing is signed
  in container "c2", /spec/containers/2/image
  rule: rules[1] (line 23) of policy production
  next: have the image signed for release, or ask whoever keeps the policy`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// everywhere are an object's kinds and places in which an image can be, with %q for it.
var everywhere = []struct {
	name string
	change
}{
	{"container", change{object: `{"spec":{"containers":[{"name":"a","image":%q}]}}`}},
	{"init container", change{object: `{"spec":{"initContainers":[{"name":"a","image":%q}]}}`}},
	{"ephemeral container", change{subresource: "ephemeralcontainers", operation: "UPDATE",
		object: `{"spec":{"containers":[{"name":"a","image":"r.example/good:1"}],"ephemeralContainers":[{"name":"a","image":%q}]}}`,
		old:    `{"spec":{"containers":[{"name":"a","image":"r.example/good:1"}]}}`}},
	{"image volume", change{object: `{"spec":{"volumes":[{"name":"a","image":{"reference":%q}}]}}`}},
	{"DaemonSet", change{group: "apps", kind: "DaemonSet", object: `{"spec":{"template":{"spec":{"containers":[{"name":"a","image":%q}]}}}}`}},
	{"CronJob", change{group: "batch", kind: "CronJob", object: `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{"name":"a","image":%q}]}}}}}}`}},
	{"update", change{operation: "UPDATE", object: `{"spec":{"containers":[{"name":"a","image":%q}]}}`,
		old: `{"spec":{"containers":[{"name":"a","image":"r.example/good:1"}]}}`}},
	{"update without the object before", change{operation: "UPDATE", object: `{"spec":{"containers":[{"name":"a","image":%q}]}}`}},
}

func TestT32_CSE31_DIA34_UnsignedAnywhere(t *testing.T) {
	l := newLab(t, nil)
	for _, test := range everywhere {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{"/validate", "/mutate"} {
				for _, image := range []string{bad, other} {
					c := test.change
					c.object = fmt.Sprintf(c.object, image)
					got := l.post(t, path, reviewOf(c))
					if want := image == other; got.Response.Allowed != want {
						t.Errorf("%s %s: got %+v, want allowed %v", path, image, got.Response, want)
					}
				}
			}
		})
	}
}

func TestT33_WhoMakesAnObjectIsNotBelieved(t *testing.T) {
	for name, metadata := range map[string]string{
		"owner":     `"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"x","uid":"7","controller":true}]`,
		"labels":    `"labels":{"sighup.io/webhook":"ignore","assay.dev/exempt":"true"}`,
		"namespace": `"namespace":"kube-system"`,
	} {
		t.Run(name, func(t *testing.T) { wantDeniedWith(t, metadata) })
	}
}

func TestT34_VerdictsInAnnotationsAreNotRead(t *testing.T) {
	wantDeniedWith(t, `"annotations":{"assay.dev/verdict":"allowed"}`)
}

func TestCSE34_TheMarkIsNotRead(t *testing.T) {
	wantDeniedWith(t, `"annotations":{"opa-notary-connector.sighup.io/processed":"true"}`)
}

// wantDeniedWith wants a bad image denied whatever its object says of itself.
func wantDeniedWith(t *testing.T, metadata string) {
	t.Helper()
	l := newLab(t, func(c *Config) { c.Exempt = []string{"kube-system"}; c.SighupAnnotation = true })
	for _, path := range []string{"/validate", "/mutate"} {
		got := l.post(t, path, reviewOf(change{object: `{"metadata":{` + metadata + `},"spec":{"containers":[{"image":"` + bad + `"}]}}`}))
		if got.Response.Allowed {
			t.Errorf("%s: got an object that is allowed", path)
		}
	}
}

func TestT35_LabelsComeFromTheCluster(t *testing.T) {
	l := newLab(t, nil)
	l.validate(t, change{object: pod(good)})
	if len(l.asked) != 1 {
		t.Fatalf("got %d questions, want 1", len(l.asked))
	}
	q := l.asked[0]
	if diff := cmp.Diff(map[string]string{"team": "shop"}, q.NamespaceLabels); diff != "" || q.Namespace != "shop" || !q.HasNamespace || q.Point != "kubernetes" {
		t.Errorf("got %+v", q)
	}
}

func TestT35_ExemptNamespaces(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Exempt = []string{"kube-system"} })
	got := l.validate(t, change{namespace: "kube-system", object: pod(bad)})
	if !got.Response.Allowed || got.Response.AuditAnnotations["exempt"] == "" {
		t.Errorf("got %+v, want it allowed, and noted", got.Response)
	}
	if got := l.validate(t, change{namespace: "-", object: pod(bad)}); got.Response.Allowed {
		t.Error("an object without a namespace is allowed")
	}
}

func TestT36_T5_UnknownNamespaceIsCannotTell(t *testing.T) {
	l := newLab(t, nil)
	got := l.validate(t, change{namespace: "new", object: pod(good)})
	if got.Response.Allowed || got.Response.Status.Code != http.StatusServiceUnavailable || !strings.Contains(got.Response.Status.Message, "could not tell") {
		t.Errorf("got %+v, want it denied as cannot tell", got.Response)
	}
	if len(l.asked) > 0 {
		t.Errorf("got %d questions, want none", len(l.asked))
	}
}

func TestT37_OnlyEqualImagesAreNotJudgedAnew(t *testing.T) {
	const finalizers = `"metadata":{"finalizers":["x/y"],"labels":{"a":"b"}},`
	template := func(before, replicas, image string) string {
		return `{` + before + `"spec":{"replicas":` + replicas + `,"template":{"spec":{"containers":[{"name":"a","image":"` + image + `"}]}}}}`
	}
	plain := template(finalizers, "3", bad)
	tests := []struct {
		name, object string
		allowed      bool
	}{
		{"nothing", plain, true},
		{"labels and finalizers", template("", "3", bad), true},
		{"scaled down", template(finalizers, "0", bad), true},
		{"deletion", template(`"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},`, "3", bad), true},
		{"image and finalizers", template("", "3", "r.example/worse:1"), false},
		{"image and scaled down", template(finalizers, "0", "r.example/worse:1"), false},
		{"image and deletion", template(`"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},`, "3", "r.example/worse:1"), false},
		{"another spelling", template(finalizers, "3", "r.example:443/bad:1"), false},
		{"the same image in another place", `{"spec":{"template":{"spec":{"initContainers":[{"name":"a","image":"` + bad + `"}]}}}}`, false},
		{"one more of the same", `{"spec":{"template":{"spec":{"containers":[{"image":"` + bad + `"},{"image":"` + bad + `"}]}}}}`, false},
		{"to a good image", template(finalizers, "3", good), true},
	}
	l := newLab(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := l.validate(t, change{group: "apps", kind: "Deployment", operation: "UPDATE", object: test.object, old: plain})
			if got.Response.Allowed != test.allowed {
				t.Errorf("got %+v, want allowed %v", got.Response, test.allowed)
			}
		})
	}
}

func TestOperations(t *testing.T) {
	l := newLab(t, nil)
	for operation, want := range map[string]bool{"DELETE": true, "CONNECT": true, "CREATE": false, "UPDATE": false, "PATCH": false, "create": false} {
		got := l.validate(t, change{operation: operation, object: pod(bad)})
		if got.Response.Allowed != want {
			t.Errorf("%s: got allowed %v, want %v", operation, got.Response.Allowed, want)
		}
	}
	if got := l.validate(t, change{operation: "DELETE", kind: "Thing", group: "example.org", old: `{}`}); !got.Response.Allowed {
		t.Errorf("DELETE of an unknown kind: got %+v, want it allowed", got.Response)
	}
	if got := l.validate(t, change{operation: "CREATE", object: pod(bad), old: pod(bad)}); got.Response.Allowed {
		t.Error("CREATE beside an equal object is allowed")
	}
	if got := l.validate(t, change{operation: "CREATE"}); got.Response.Allowed {
		t.Error("CREATE of nothing is allowed")
	}
}

func TestUnknownKinds(t *testing.T) {
	thing := change{group: "example.org", kind: "Thing", resource: "things", object: `{"spec":{"image":"` + bad + `"}}`}
	got := newLab(t, nil).validate(t, thing)
	if got.Response.Allowed || !strings.Contains(got.Response.Status.Message, "example.org/Thing") || !strings.Contains(got.Response.Status.Message, "take things out of the rules of the webhook") {
		t.Errorf("got %+v, want a denial that names the rule to mend", got.Response)
	}
	got = newLab(t, func(c *Config) { c.InsecureAllowUnknownKinds = true }).validate(t, thing)
	if !got.Response.Allowed || got.Response.AuditAnnotations["unknown-kind"] != "example.org/Thing" {
		t.Errorf("got %+v, want it allowed, and noted", got.Response)
	}
	for _, kind := range []string{"Binding", "Deployment"} { // Deployment without its group is no Deployment
		if got := newLab(t, nil).validate(t, change{kind: kind, object: `{}`}); got.Response.Allowed != (kind == "Binding") {
			t.Errorf("%s: got %+v", kind, got.Response)
		}
	}
}

func TestCSE35_DIA28_BothVersions(t *testing.T) {
	l := newLab(t, nil)
	for _, version := range []string{"admission.k8s.io/v1", "admission.k8s.io/v1beta1"} {
		for _, image := range []string{good, bad} {
			got := l.post(t, "/mutate", reviewOf(change{version: version, object: pod(image)}))
			if got.APIVersion != version || got.Kind != "AdmissionReview" || got.Response.UID != "uid-1" || got.Response.Allowed != (image == good) {
				t.Errorf("%s %s: got %+v", version, image, got)
			}
			if (got.Response.PatchType != nil) != (image == good) {
				t.Errorf("%s %s: got patch %s", version, image, got.Response.Patch)
			}
		}
	}
	if got := l.validate(t, change{version: "admission.k8s.io/v2", object: pod(good)}); got.Response.Allowed {
		t.Error("a version that nobody knows is allowed")
	}
}

func TestUnreadableReviews(t *testing.T) {
	l := newLab(t, nil)
	whole := string(reviewOf(change{object: pod(good)}))
	tests := []struct {
		name, body string
		code       int
	}{
		{"no JSON", "hello", http.StatusBadRequest},
		{"nothing", "", http.StatusBadRequest},
		{"no request", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, http.StatusBadRequest},
		{"a null request", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":null}`, http.StatusBadRequest},
		{"another kind", strings.Replace(whole, `"AdmissionReview"`, `"ConversionReview"`, 1), http.StatusBadRequest},
		{"no uid", strings.Replace(whole, `"uid":"uid-1",`, "", 1), http.StatusBadRequest},
		{"trailing data", whole + "{}", http.StatusOK},
		{"cut", whole[:len(whole)-2], http.StatusOK},
		{"two objects", strings.Replace(whole, `"oldObject":`, `"object":`, 1), http.StatusOK},
		{"two lists of containers", strings.Replace(whole, `"spec":{`, `"spec":{"containers":[],`, 1), http.StatusOK},
		{"two images", strings.Replace(whole, `"image":`, `"image":"`+bad+`","image":`, 1), http.StatusOK},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := l.post(t, "/validate", []byte(test.body))
			if got.Code != test.code || got.Response.Allowed {
				t.Errorf("got %d %s", got.Code, got.Body)
			}
			if test.code == http.StatusOK && (got.Response.UID != "uid-1" || !strings.Contains(got.Response.Status.Message, "cannot read")) {
				t.Errorf("got %+v, want a denial with uid and reason", got.Response)
			}
		})
	}
	if len(l.asked) > 0 {
		t.Errorf("got %d questions, want none", len(l.asked))
	}
}

func TestT43_LargeReviews(t *testing.T) {
	l := newLab(t, nil)
	padded := func(n int) string {
		return strings.Replace(pod(good), `"name":"x"`, `"name":"x","annotations":{"a":"`+strings.Repeat("a", n)+`"}`, 1)
	}
	large := padded(MaxObject - 1000)
	if got := l.validate(t, change{object: large, old: large, operation: "UPDATE"}); !got.Response.Allowed {
		t.Errorf("two objects below the limit: got %+v", got.Response.Status)
	}
	for name, size := range map[string]int{"an object": MaxObject, "a review": MaxReview} {
		got := l.validate(t, change{object: padded(size)})
		if got.Response.Allowed || got.Response.UID != "uid-1" || got.Response.Status.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s over its limit: got %d %+v, want a denial with the uid", name, got.Code, got.Response)
		}
	}
	endless := &endless{}
	w := httptest.NewRecorder()
	l.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/validate", endless))
	if w.Code != http.StatusBadRequest || endless.read > MaxReview+1<<20 {
		t.Errorf("got %d after %d bytes", w.Code, endless.read)
	}
}

// Whoever can connect can send large bodies; few are held at once, and small reviews do not wait for them.
func TestT42_LargeReviewsWaitForOthers(t *testing.T) {
	l := newLab(t, nil)
	for range maxLarge {
		l.large <- struct{}{}
	}
	large := strings.Replace(pod(good), `"name":"x"`, `"name":"x","annotations":{"a":"`+strings.Repeat("a", smallReview)+`"}`, 1)
	if got := l.post(t, "/validate?timeout=100ms", reviewOf(change{object: large})); got.Response.UID != "uid-1" || got.Response.Allowed ||
		got.Response.Status.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d %s, want a denial with the uid after the deadline", got.Code, got.Body)
	}
	if got := l.validate(t, change{object: pod(good)}); !got.Response.Allowed {
		t.Errorf("a small one: got %+v", got.Response)
	}
	<-l.large
	for range 3 {
		if got := l.validate(t, change{object: large}); !got.Response.Allowed {
			t.Errorf("when there is room: got %+v", got.Response)
		}
	}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestManyImagesAreOneQuestionEach(t *testing.T) {
	l := newLab(t, nil)
	if got := l.validate(t, change{object: pod(good, good, other, good)}); !got.Response.Allowed || len(l.asked) != 2 {
		t.Errorf("got allowed %v after %d questions, want 2", got.Response.Allowed, len(l.asked))
	}
	var many []string
	for i := range enforce.MaxImages + 1 {
		many = append(many, fmt.Sprintf("r.example/good:%d", i))
	}
	got := l.validate(t, change{object: pod(many...)})
	if got.Response.Allowed || len(got.Response.Status.Message) > maxMessage || !strings.Contains(got.Response.Status.Message, "more images") {
		t.Errorf("got allowed %v and %d bytes", got.Response.Allowed, len(got.Response.Status.Message))
	}
}

func TestDeadline(t *testing.T) {
	var left time.Duration
	l := newLab(t, func(c *Config) {
		c.Point = &enforce.Point{Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
			end, _ := ctx.Deadline()
			left = time.Until(end)
			return engine.Verdict{}
		})}
	})
	for query, want := range map[string]time.Duration{
		"": 9500 * time.Millisecond, "?timeout=30s": 29500 * time.Millisecond, "?timeout=1s": 750 * time.Millisecond,
		"?timeout=x": 9500 * time.Millisecond, "?timeout=-1s": 9500 * time.Millisecond, "?timeout=9h": 9500 * time.Millisecond,
	} {
		l.post(t, "/validate"+query, reviewOf(change{object: pod(good)}))
		if left > want || left < want-time.Second/2 {
			t.Errorf("%q: got %v, want %v", query, left, want)
		}
	}
}

type deciderFunc func(context.Context, engine.Request) engine.Verdict

func (d deciderFunc) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	return d(ctx, req)
}

func TestT47_PanicIsADenial(t *testing.T) {
	var log bytes.Buffer
	var refused []string
	l := newLab(t, func(c *Config) {
		c.Namespaces, c.Log = broken{}, slog.New(slog.NewTextHandler(&log, nil))
		c.Refused = func(reason string) { refused = append(refused, reason) }
	})
	defer func() {
		if !strings.Contains(log.String(), "broken") || len(refused) != 1 || refused[0] != "bug" {
			t.Errorf("got log %q and %q", &log, refused)
		}
	}()
	got := l.validate(t, change{object: pod(good)})
	if got.Code == http.StatusOK && got.Response.Allowed {
		t.Errorf("got %+v, want a denial", got)
	}
	if got.Response.UID != "uid-1" || got.Response.Status.Code != http.StatusInternalServerError {
		t.Errorf("got %+v, want a denial with the uid", got)
	}
}

type broken struct{}

func (broken) Labels(context.Context, string) (map[string]string, error) { panic("broken") }

func TestWarningsAndAudit(t *testing.T) {
	l := newLab(t, nil)
	l.say = func(req engine.Request) engine.Verdict {
		v := engine.Verdict{Image: req.Image, Allowed: true, Decision: engine.Decision{Policy: "next", Mode: "warn", Outcome: engine.Denied, Reason: "nothing is signed"}}
		v.Warnings = []string{"policy next would stop this image: denied: " + strings.Repeat("é", 300)}
		v.Also = []engine.Decision{{Policy: "later", Mode: "audit", Outcome: engine.CouldNotTell, Reason: "429"}}
		return v
	}
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("r.example/x:%d", i))
	}
	got := l.validate(t, change{object: pod(many...)})
	total := 0
	for _, w := range got.Response.Warnings {
		total += len(w)
		if len(w) > 256 {
			t.Errorf("a warning of %d bytes", len(w))
		}
	}
	if !got.Response.Allowed || total > 4096 || !strings.Contains(got.Response.Warnings[0], "would stop this image") {
		t.Errorf("got %d bytes of warnings: %q", total, got.Response.Warnings)
	}
	if audit := got.Response.AuditAnnotations["would-refuse"]; !strings.HasPrefix(audit, "r.example/x:0: policy later: could-not-tell: 429\n") || len(audit) > maxAnnotation {
		t.Errorf("got %q", audit)
	}
}

func TestWrongRequests(t *testing.T) {
	l := newLab(t, nil)
	for _, test := range []struct {
		method, path string
		code         int
	}{{"GET", "/validate", http.StatusMethodNotAllowed}, {"POST", "/", http.StatusNotFound}, {"POST", "/validate/x", http.StatusNotFound}} {
		w := httptest.NewRecorder()
		l.ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
		if w.Code != test.code {
			t.Errorf("%s %s: got %d, want %d", test.method, test.path, w.Code, test.code)
		}
	}
}

func TestConfig(t *testing.T) {
	point := &enforce.Point{Decider: &decider{}}
	for name, c := range map[string]Config{
		"nothing":         {},
		"no decider":      {Point: &enforce.Point{}, Namespaces: labels{}},
		"no namespaces":   {Point: point},
		"another pin":     {Point: point, Namespaces: labels{}, Pin: "some"},
		"a builtin kind":  {Point: point, Namespaces: labels{}, Kinds: []Kind{{Kind: "Pod", Paths: []string{"/spec/image"}}}},
		"a kind twice":    {Point: point, Namespaces: labels{}, Kinds: []Kind{{"e", "T", []string{"/a"}}, {"e", "T", []string{"/b"}}}},
		"a kind unpathed": {Point: point, Namespaces: labels{}, Kinds: []Kind{{"e", "T", nil}}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// What a real API server sends can be read, and has the images that were asked for.
func TestRecordedReviews(t *testing.T) {
	for name, want := range map[string]int{
		"pod-create": 1, "deployment-create": 1, "cronjob-create": 1, "pod-update": 0, "pod-update-ephemeralcontainers": 2, "scale-update": 0,
	} {
		t.Run(name, func(t *testing.T) {
			body, err := os.ReadFile("testdata/reviews/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			l := newLab(t, nil)
			got := l.post(t, "/validate", body)
			if got.Code != http.StatusOK || len(l.asked) != want || got.Response.Allowed != (want == 0) {
				t.Errorf("got %d questions, allowed %v, want %d: %s", len(l.asked), got.Response.Allowed, want, got.Body)
			}
		})
	}
}
