package containerd_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/containerd"
	"github.com/assay-dev/assay/enforce/containerd/ask"
	"github.com/assay-dev/assay/enforce/enforcetest"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	name      = "registry.example/shop/app:1"
	mediaType = "application/vnd.oci.image.index.v1+json"
)

var digest = image.SHA256([]byte("the index"))

// open serves a point at a unix socket until the test ends.
func open(t *testing.T, c containerd.Config) (socket string) {
	t.Helper()
	p, err := containerd.New(c)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for pattern, h := range p.Routes() {
		mux.Handle(pattern, h)
	}
	return serve(t, mux)
}

func serve(t *testing.T, h http.Handler) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "node.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	s.Start()
	t.Cleanup(s.Close)
	return socket
}

func question(name string) ask.Question {
	return ask.Question{Name: name, Digest: digest.String(), MediaType: mediaType, Size: 1234}
}

func mustAsk(t *testing.T, socket string) ask.Answer {
	t.Helper()
	a, err := ask.Node(t.Context(), socket, question(name))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The suite over a unix socket, asked as the verifier asks.
func TestSuite(t *testing.T) {
	enforcetest.Run(t, enforcetest.Door{Notes: true, Asked: asked, Open: func(t *testing.T, p *enforce.Point) enforcetest.Ask {
		socket := open(t, containerd.Config{Point: p})
		return func(ctx context.Context, name string) enforcetest.Answer {
			q := question(name)
			if _, named, ok := strings.Cut(name, "@"); ok {
				q.Digest = named
			}
			a, err := ask.Node(ctx, socket, q)
			if err != nil {
				return enforcetest.Answer{Text: err.Error()}
			}
			if !strings.HasPrefix(a.Reason, "assay: ") || strings.ContainsAny(a.Reason, "\n\r") || len(a.Reason) > 1024 {
				t.Errorf("got reason %q", a.Reason)
			}
			return enforcetest.Answer{Allowed: a.Allowed, Text: a.Reason, Notes: a.Reason}
		}
	}})
}

// asked is what the engine is asked about a name.
func asked(name string) string {
	q := question(name)
	return q.Image()
}

// The words of meanings are the same in the package that may import nothing.
func TestMeanings(t *testing.T) {
	for meaning, want := range map[enforce.Meaning]string{enforce.Yes: ask.Allowed, enforce.No: ask.Denied, enforce.CannotTell: ask.CouldNotTell, enforce.Bug: ask.Bug} {
		if meaning.String() != want {
			t.Errorf("got %q, want %q", meaning, want)
		}
	}
}

// What the package that may import nothing takes is what the others take.
func TestLimitsAgree(t *testing.T) {
	if ask.MaxName != image.MaxReference || ask.MaxSize != trust.MaxManifest {
		t.Errorf("got %d and %d, want %d and %d", ask.MaxName, ask.MaxSize, image.MaxReference, trust.MaxManifest)
	}
	for _, d := range []string{
		"", digest.String(), "sha256:", digest.String()[:70], digest.String() + "0", strings.ToUpper(digest.String()), "sha256:" + strings.ToUpper(digest.Hex()),
		"sha512:" + digest.Hex(), "sha512:" + digest.Hex() + digest.Hex(), "sha384:" + digest.Hex()[:32] + digest.Hex(), "sha256:" + strings.Repeat("g", 64), digest.String() + "\n",
	} {
		q := question(name)
		q.Digest = d
		if _, err := image.ParseDigest(d); (err == nil) != (q.Check() == nil) {
			t.Errorf("%q: got %v, and %v of an image", d, q.Check(), err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := containerd.New(containerd.Config{}); err == nil {
		t.Error("nothing to decide with: got no error")
	}
}

type deciderFunc func(ctx context.Context, req engine.Request) engine.Verdict

func (d deciderFunc) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	return d(ctx, req)
}

// What the engine is asked: the name as it is with the digest, for this point, without a namespace.
func TestQuestion(t *testing.T) {
	var got engine.Request
	var operation string
	p := &enforce.Point{
		Decider: deciderFunc(func(_ context.Context, req engine.Request) engine.Verdict {
			got = req
			return engine.Verdict{Allowed: true}
		}),
		Record: func(o *enforce.Occasion, _ engine.Request, _ *engine.Verdict) { operation = o.Operation },
	}
	socket := open(t, containerd.Config{Point: p})
	for given, want := range map[string]string{
		name:                             name + "@" + digest.String(),
		"registry.example/shop/app":      "registry.example/shop/app@" + digest.String(),
		name + "@" + digest.String():     name + "@" + digest.String(),
		"host:5000/a@" + digest.String(): "host:5000/a@" + digest.String(),
	} {
		if a, err := ask.Node(t.Context(), socket, question(given)); err != nil || !a.Allowed {
			t.Fatalf("%s: got %+v, %v", given, a, err)
		}
		if got.Image != want || got.Point != "containerd" || got.HasNamespace || got.Namespace != "" || operation != "pull" {
			t.Errorf("%s: got %+v for %s", given, got, operation)
		}
	}
}

// A verdict that allows something else than what is pulled allows nothing here.
func TestT51_OnlyWhatIsPulled(t *testing.T) {
	child := image.SHA256([]byte("a child"))
	allowed := engine.Decision{Policy: "shop", Outcome: engine.Allowed}
	rows := map[string]struct {
		v       engine.Verdict
		meaning string
		reason  string
	}{
		"the digest":       {engine.Verdict{Allowed: true, Digest: digest, Decision: allowed}, ask.Allowed, "allowed; policy shop"},
		"none":             {engine.Verdict{Allowed: true, Decision: allowed}, ask.Allowed, "allowed"},
		"a child":          {engine.Verdict{Allowed: true, Child: true, Digest: child, Decision: allowed}, ask.Denied, "only " + child.String()},
		"a child, unsaid":  {engine.Verdict{Allowed: true, Child: true, Decision: allowed}, ask.Denied, "only "},
		"one in its place": {engine.Verdict{Allowed: true, Digest: child, Pin: "registry.example/shop/app@" + child.String(), Decision: allowed}, ask.Denied, "next: pull registry.example/shop/app@" + child.String()},
		"another digest":   {engine.Verdict{Allowed: true, Digest: child, Decision: allowed}, ask.Bug, "the verdict is about"},
	}
	for name, row := range rows {
		a := mustAsk(t, open(t, containerd.Config{Point: &enforce.Point{Decider: enforcetest.Fixed(row.v)}}))
		if a.Meaning != row.meaning || a.Allowed != (row.meaning == ask.Allowed) || !strings.Contains(a.Reason, row.reason) {
			t.Errorf("%s: got %+v", name, a)
		}
	}
}

// The warnings of a policy that warns come first: the line is cut at its end.
func TestWarnings(t *testing.T) {
	v := engine.Verdict{Allowed: true, Warnings: []string{"one", "two\n" + strings.Repeat("ü", 2000)}, Decision: engine.Decision{Policy: "shop", Mode: "warn"}}
	a := mustAsk(t, open(t, containerd.Config{Point: &enforce.Point{Decider: enforcetest.Fixed(v)}}))
	if !a.Allowed || !strings.Contains(a.Reason, "warning: one; warning: two ü") || !strings.HasSuffix(a.Reason, "ü…") || len(a.Reason) > 1000 {
		t.Errorf("got %v %q", a.Allowed, a.Reason)
	}
}

// What is no question is a refusal, and the decider is not asked.
func TestMalformed(t *testing.T) {
	var refused []string
	p := &enforce.Point{Decider: deciderFunc(func(context.Context, engine.Request) engine.Verdict {
		t.Error("the decider was asked")
		return engine.Verdict{Allowed: true}
	})}
	point, err := containerd.New(containerd.Config{Point: p, Refused: func(reason string) { refused = append(refused, reason) }})
	if err != nil {
		t.Fatal(err)
	}
	q := question(name)
	good, err := q.Encode()
	if err != nil {
		t.Fatal(err)
	}
	other := image.SHA256([]byte("other")).String()
	bodies := map[string]string{
		"nothing":            "",
		"no JSON":            "name=x",
		"twice":              string(good) + string(good),
		"a field twice":      strings.Replace(string(good), `"name"`, `"name":"a","name"`, 1),
		"an unknown field":   strings.Replace(string(good), `"name"`, `"nmae":"a","name"`, 1),
		"another form":       strings.Replace(string(good), `"form":1`, `"form":2`, 1),
		"no form":            strings.Replace(string(good), `"form":1,`, ``, 1),
		"another digest":     strings.Replace(string(good), name, name+"@"+other, 1),
		"too long":           strings.Replace(string(good), name, strings.Repeat("a", ask.MaxQuestion), 1),
		"a name like a flag": strings.Replace(string(good), name, "--policy=/tmp/own", 1),
	}
	for what, body := range bodies {
		refused = nil
		w := httptest.NewRecorder()
		point.Routes()["POST "+ask.Path].ServeHTTP(w, httptest.NewRequest(http.MethodPost, ask.Path, strings.NewReader(body)))
		a, err := ask.DecodeAnswer(w.Body.Bytes())
		if err != nil || w.Code != 200 || a.Allowed || a.Meaning != ask.Denied || strings.Join(refused, " ") != containerd.Malformed {
			t.Errorf("%s: got %d %+v, %v, refused %v", what, w.Code, a, err, refused)
		}
	}
}

// brokenBody is a body that breaks whoever reads it.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { panic("broken") }
func (brokenBody) Close() error             { return nil }

var _ io.ReadCloser = brokenBody{}

func TestT47_BugsOfThePointDeny(t *testing.T) {
	var refused string
	point, err := containerd.New(containerd.Config{Point: &enforce.Point{}, Refused: func(reason string) { refused = reason }})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, ask.Path, nil)
	r.Body = brokenBody{}
	point.Routes()["POST "+ask.Path].ServeHTTP(w, r)
	if a, err := ask.DecodeAnswer(w.Body.Bytes()); err != nil || a.Allowed || a.Meaning != ask.Bug || refused != containerd.Broken {
		t.Errorf("got %+v, %v, refused %q", a, err, refused)
	}
}

// Whom the server does not let in gets an answer of this protocol, and the verifier takes it for one.
func TestRefuse(t *testing.T) {
	point, err := containerd.New(containerd.Config{Point: &enforce.Point{}})
	if err != nil {
		t.Fatal(err)
	}
	own, ok := point.Routes()["POST "+ask.Path].(interface {
		Refuse(w http.ResponseWriter, r *http.Request, status int, text string)
	})
	if !ok {
		t.Fatal("the handler has no words of its own")
	}
	socket := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own.Refuse(w, r, http.StatusForbidden, "user 1000 may not ask here")
	}))
	if a := mustAsk(t, socket); a.Allowed || a.Meaning != ask.CouldNotTell || !strings.Contains(a.Reason, "user 1000 may not ask here") {
		t.Errorf("got %+v", a)
	}
}

// Whoever asks hears that the daemon decides before it has decided: the image's registry may be slow.
func TestT51_ThePointSaysThatItDecides(t *testing.T) {
	begun := make(chan struct{})
	p := &enforce.Point{Decider: deciderFunc(func(ctx context.Context, _ engine.Request) engine.Verdict {
		select {
		case <-begun:
			return engine.Verdict{Allowed: true}
		case <-ctx.Done():
			return engine.Verdict{}
		}
	}), Timeout: 5 * time.Second}
	ctx := ask.OnBegun(t.Context(), func() { close(begun) })
	if a, err := ask.Node(ctx, open(t, containerd.Config{Point: p}), question(name)); err != nil || !a.Allowed {
		t.Errorf("got %+v, %v", a, err)
	}
}

// A daemon that hangs is given up at the deadline of whoever asks, and its decider hears of it.
func TestT46_DaemonThatHangs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan struct{})
	p := &enforce.Point{Decider: deciderFunc(func(asked context.Context, _ engine.Request) engine.Verdict {
		cancel()
		<-asked.Done()
		close(heard)
		return engine.Verdict{Allowed: true}
	})}
	if a, err := ask.Node(ctx, open(t, containerd.Config{Point: p}), question(name)); err == nil || a.Allowed {
		t.Errorf("got %+v, %v", a, err)
	}
	<-heard
}
