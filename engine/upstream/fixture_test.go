package upstream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/upstream"
	"github.com/assay-dev/assay/engine/wire"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that a test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

// witness is a format that vouches for images by the names of their repositories, and counts how often it is asked.
type witness struct {
	clock   *clock
	asked   *atomic.Int64
	version *atomic.Int64
	ends    *atomic.Int64 // nanoseconds after the clock at which proofs end; 0: never
}

func (witness) Name() string { return "witness" }
func (witness) Options() any { return &struct{}{} }
func (f witness) New(s trust.Section) (trust.Authority, error) {
	var none struct{}
	return f, s.Decode(&none)
}
func (f witness) Version() string { return strings.Repeat("v", int(f.version.Load())) }

func (f witness) Find(_ context.Context, _ trust.Source, ref image.Ref) (trust.Evidence, error) {
	f.asked.Add(1)
	switch {
	case strings.Contains(ref.Repository(), "unsigned"):
		return trust.Evidence{}, trust.ErrUnsigned
	case strings.Contains(ref.Repository(), "outage"):
		return trust.Evidence{}, errors.New("the log is down")
	case strings.Contains(ref.Repository(), "panic"):
		panic("find")
	}
	return trust.Evidence{}, nil
}

func (f witness) Check(ref image.Ref, _ trust.Evidence, now time.Time) ([]trust.Proof, error) {
	p := trust.Proof{
		Digest: ref.Digest(), SignedAt: now.Add(-time.Hour).UTC().Truncate(time.Second),
		Signers: []trust.Signer{{Key: "SHA256:k", Names: []string{"a", "b"}, Chain: []trust.Certificate{{Subject: "CN=a", Issuer: "CN=b", Serial: "01"}}}},
	}
	if d := f.ends.Load(); d != 0 {
		p.Expires = f.clock.now().Add(time.Duration(d))
	}
	return []trust.Proof{p}, nil
}

// host is an Assay with an engine of its own.
type host struct {
	engine *engine.Engine
	witness
}

func (f *fleet) host(spec string) *host {
	f.t.Helper()
	h := &host{witness: witness{clock: f.clock, asked: &atomic.Int64{}, version: &atomic.Int64{}, ends: &atomic.Int64{}}}
	var err error
	h.engine, err = engine.New(engine.Config{
		Policies: f.policies(spec), Formats: []trust.Format{h.witness}, Source: f.client, Tags: f.client, Now: f.clock.now, Timeout: 5 * time.Second,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return h
}

func (f *fleet) policies(spec string) []*policy.Policy {
	f.t.Helper()
	data := "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p}\nspec:\n  authorities: {w: {witness: {}}}\n" + strings.ReplaceAll(spec, "%HOST%", f.registry.Host())
	p, err := policy.Parse(policy.Source{Name: "p.yaml", Data: []byte(data)}, []string{"witness"})
	if err != nil {
		f.t.Fatalf("%v in\n%s", err, data)
	}
	return []*policy.Policy{p}
}

const simple = `
  rules:
  - {images: ["%HOST%/allow/**"], allow: ours}
  - {images: ["%HOST%/deny/**"], deny: theirs}
  - {images: ["%HOST%/app/**"], require: w}
`

// fleet is a registry, an Assay that others ask first, and one that asks it.
type fleet struct {
	t        testing.TB
	clock    *clock
	registry *registrytest.Server
	client   *registry.Client
	up, own  *host
	server   *httptest.Server
	decider  *upstream.Decider

	mu      sync.Mutex
	asked   []engine.Request                             // of the upstream
	answer  func(http.ResponseWriter) bool               // answers in its place, where it returns true
	verdict func(v *engine.Verdict)                      // changes what it says
	results map[upstream.Result]int                      // that were observed
	ask     func(engine.Request) (engine.Verdict, error) // in place of a client
}

// newFleet makes one whose two sides have a policy with the specs.
func newFleet(t testing.TB, up, own string, change ...func(*upstream.Config)) *fleet {
	t.Helper()
	f := &fleet{t: t, clock: &clock{}, registry: registrytest.New(t, registrytest.Options{}), results: map[upstream.Result]int{}}
	f.clock.at.Store(time.Now().Truncate(time.Second).UnixNano())
	client, err := registry.New(registry.Config{LoopbackHTTP: true, Retries: -1, RequestTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	f.client = client
	f.up, f.own = f.host(up), f.host(own)
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.server.Close)
	asking := &wire.Client{HTTP: f.server.Client(), URL: f.server.URL}
	c := upstream.Config{
		Ask: func(ctx context.Context, req engine.Request) (engine.Verdict, error) {
			if f.ask != nil {
				return f.ask(req)
			}
			vs, err := asking.Ask(ctx, req)
			if err != nil {
				return engine.Verdict{}, err
			}
			return vs[0], nil
		},
		Alone: f.own.engine, Basis: f.own.engine.Basis, Now: f.clock.now,
		Observe: func(r upstream.Result) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.results[r]++
		},
	}
	for _, one := range change {
		one(&c)
	}
	f.decider = upstream.New(c)
	return f
}

// serve is the upstream.
func (f *fleet) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	reqs, err := wire.DecodeQuestions(body)
	if err != nil {
		f.t.Error(err)
		return
	}
	f.mu.Lock()
	f.asked = append(f.asked, reqs...)
	answer, change := f.answer, f.verdict
	f.mu.Unlock()
	if answer != nil && answer(w) {
		return
	}
	vs := make([]engine.Verdict, len(reqs))
	for i := range reqs {
		vs[i] = f.up.engine.Decide(r.Context(), reqs[i])
		if change != nil {
			change(&vs[i])
		}
	}
	told, err := wire.EncodeVerdicts(vs)
	if err != nil {
		w.WriteHeader(500)
		return
	}
	_, _ = w.Write(told)
}

// push pushes an image and returns its reference by digest.
func (f *fleet) push(repository, tag, seed string) string {
	f.t.Helper()
	return f.registry.Host() + "/" + repository + "@" + f.registry.PushImage(repository, tag, "linux/amd64", seed).String()
}

func question(name string) engine.Request {
	return engine.Request{Image: name, Request: policy.Request{Point: "cli"}}
}

func (f *fleet) decide(name string) engine.Verdict {
	return f.decider.Decide(context.Background(), question(name))
}

// alone is what a host says that asks nobody, and has never been asked anything.
func (f *fleet) alone(spec string, req engine.Request) engine.Verdict {
	f.t.Helper()
	return f.host(spec).engine.Decide(context.Background(), req)
}

var comparing = cmp.Options{
	cmpopts.IgnoreUnexported(engine.Verdict{}), cmpopts.IgnoreFields(engine.Verdict{}, "Cached", "Duration"),
	cmp.Comparer(func(a, b image.Digest) bool { return a == b }),
}

// wantSame compares two verdicts in everything but their times and whether something was fetched for them.
func (f *fleet) wantSame(what string, got, want engine.Verdict) {
	f.t.Helper()
	if d := cmp.Diff(want, got, comparing); d != "" {
		f.t.Errorf("%s: the verdict is not the one of deciding alone: %s", what, d)
	}
}

// wantResults compares what was observed since the last call, in words.
func (f *fleet) wantResults(want ...upstream.Result) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := map[upstream.Result]int{}
	for _, r := range want {
		counts[r]++
	}
	if d := cmp.Diff(counts, f.results); d != "" {
		f.t.Errorf("results: %s", d)
	}
	f.results = map[upstream.Result]int{}
}

// wantAsked compares how often the upstream and the witness of the own host were asked since the last call.
func (f *fleet) wantAsked(upstream, own int) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) != upstream || int(f.own.asked.Load()) != own {
		f.t.Errorf("the upstream was asked %d times, the own witness %d times; want %d and %d", len(f.asked), f.own.asked.Load(), upstream, own)
	}
	f.asked = nil
	f.own.asked.Store(0)
}

func (f *fleet) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}
