package upstream_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/upstream"
	"github.com/assay-dev/assay/engine/wire"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// T23: what the upstream says is what the host itself would have said, cold and warm, and it costs the host nothing.
func TestT23_SameAsAlone(t *testing.T) {
	for name, spec := range map[string]string{"enforce": simple, "warn": "  mode: warn\n" + simple, "audit": "  mode: audit\n" + simple} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, spec, spec)
			f.up.ends.Store(int64(time.Hour))
			f.own.ends.Store(int64(time.Hour))
			images := []string{
				f.push("app/a", "1", "a"), f.registry.Host() + "/app/a:1", f.push("app/unsigned", "1", "b"), f.push("allow/a", "1", "c"),
				f.push("deny/a", "1", "d"), f.push("other/a", "1", "e"),
			}
			for _, name := range images {
				for kind, change := range map[string]func(*engine.Request){
					"plain": func(*engine.Request) {}, "content": func(r *engine.Request) { r.Content = true }, "every": func(r *engine.Request) { r.Every = true },
					"rests": func(r *engine.Request) { r.Rests, r.Signed = true, true },
				} {
					req := question(name)
					change(&req)
					want := f.own.engine.Decide(context.Background(), req)
					for _, round := range []string{"cold", "warm"} {
						got := f.decider.Decide(context.Background(), req)
						f.wantSame(name+" "+kind+" "+round, got, want)
						if got.Cached != (round == "warm") || got.Duration.Total < 0 {
							t.Errorf("%s %s %s: cached %v, %v", name, kind, round, got.Cached, got.Duration)
						}
					}
				}
			}
		})
	}
}

// An upstream that is asked leaves the host with nothing to do.
func TestTheHostAsksNobodyElse(t *testing.T) {
	f := newFleet(t, simple, simple)
	good, unsigned := f.push("app/a", "1", "a"), f.push("app/unsigned", "1", "b")
	for range 3 {
		if v := f.decide(good); !v.Allowed {
			t.Error(v.String())
		}
		if v := f.decide(unsigned); v.Allowed || v.Outcome != engine.Denied {
			t.Error(v.String())
		}
	}
	f.wantAsked(2, 0)
	f.wantResults(append(repeat(upstream.Remembered, 4), upstream.Counted, upstream.Counted)...)
	f.wantSame("no name", f.decide("not a name"), f.alone(simple, question("not a name")))
	f.wantAsked(0, 0)
}

// That the other one goes by something else is told once, and once more much later: not for each image.
func TestOtherBasisIsTold(t *testing.T) {
	var log bytes.Buffer
	f := newFleet(t, simple, strings.ReplaceAll(simple, "require: w", "deny: never"), func(c *upstream.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	name := f.push("app/a", "1", "a")
	told := func() int { return strings.Count(log.String(), "other policies") }
	for range 3 {
		f.decide(name)
	}
	if got := told(); got != 1 {
		t.Errorf("told %d times:\n%s", got, &log)
	}
	f.clock.advance(11 * time.Minute)
	f.decide(name)
	if got := told(); got != 2 {
		t.Errorf("told %d times:\n%s", got, &log)
	}
}

// T27: an answer that rests on something else is none, and one that was kept is not used any more when something else is in force.
func TestT27_OtherBasis(t *testing.T) {
	const stricter = "  revoked: [{digest: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}]" + simple
	f := newFleet(t, simple, stricter)
	name := f.push("app/a", "1", "a")
	f.wantSame("another policy", f.decide(name), f.alone(stricter, question(name)))
	f.wantAsked(1, 1)
	f.wantResults(upstream.OtherBasis)

	if err := f.own.engine.Use(f.policies(simple)); err != nil {
		t.Fatal(err)
	}
	f.wantSame("the same policy", f.decide(name), f.alone(simple, question(name)))
	f.wantResults(upstream.Counted)
	f.own.version.Add(1) // of the trust material
	f.decide(name)
	f.wantResults(upstream.OtherBasis)
	f.up.version.Add(1)
	f.decide(name)
	f.decide(name)
	f.wantResults(upstream.Counted, upstream.Remembered)
	if err := f.own.engine.Use(f.policies(strings.ReplaceAll(simple, "require: w", "deny: not any more"))); err != nil {
		t.Fatal(err)
	}
	if v := f.decide(name); v.Allowed || v.Reason != "not any more" {
		t.Errorf("with another policy: %s", v.String())
	}
	f.wantResults(upstream.OtherBasis)
}

// T27: the policy changes while the upstream is asked: its answer rests on what was in force before, and does not count.
func TestT27_ChangedMeanwhile(t *testing.T) {
	f := newFleet(t, simple, simple)
	name := f.push("app/a", "1", "a")
	f.verdict = func(*engine.Verdict) {
		if err := f.own.engine.Use(f.policies(strings.ReplaceAll(simple, "require: w", "deny: not any more"))); err != nil {
			t.Error(err)
		}
	}
	if v := f.decide(name); v.Allowed {
		t.Error(v.String())
	}
	f.wantResults(upstream.OtherBasis)
}

// T21: what is taken back here is a no, whatever was kept and whatever the upstream says.
func TestT21_TheHostsRevocationBeats(t *testing.T) {
	f := newFleet(t, simple, simple)
	name := f.push("app/a", "1", "a")
	if v := f.decide(name); !v.Allowed {
		t.Fatal(v.String())
	}
	digest := image.MustParse(name).Digest().String()
	if err := f.own.engine.Use(f.policies("  revoked: [{digest: \"" + digest + "\", reason: bad build}]" + simple)); err != nil {
		t.Fatal(err)
	}
	if v := f.decide(name); v.Allowed || v.Outcome != engine.Denied || !strings.Contains(v.Reason, "bad build") {
		t.Error(v.String())
	}
}

// Where nobody can say what a verdict would rest on, nothing can be compared, and nobody is asked.
func TestT27_WithoutABasis(t *testing.T) {
	spec := "  scope: {namespaces: {selector: {matchLabels: {a: b}}}}" + simple
	f := newFleet(t, spec, spec)
	req := question(f.push("app/a", "1", "a"))
	req.Namespace, req.HasNamespace = "n", true
	got := f.decider.Decide(context.Background(), req)
	f.wantSame("labels that nobody knows", got, f.alone(spec, req))
	if !errors.Is(got.Err(), engine.ErrNamespaceLabels) {
		t.Errorf("got %v", got.Err())
	}
	f.wantAsked(0, 0)

	f = newFleet(t, simple, simple)
	name := f.push("app/a", "1", "a")
	f.verdict = func(v *engine.Verdict) { v.Basis = "" }
	f.wantSame("an answer that rests on nothing", f.decide(name), f.alone(simple, question(name)))
	f.wantResults(upstream.OtherBasis)
}

// T22, T23: an upstream that lies, or that somebody else plays, is not believed.
func TestT22_UpstreamsThatLie(t *testing.T) {
	other := image.SHA256([]byte("other"))
	for name, lie := range map[string]func(*engine.Verdict){
		"another image":          func(v *engine.Verdict) { v.Image = strings.Replace(v.Image, "app/a", "app/b", 1) },
		"another canonical name": func(v *engine.Verdict) { v.Canonical = strings.Replace(v.Canonical, "app/a", "app/b", 1) },
		"another digest":         func(v *engine.Verdict) { v.Digest = other },
		"another pin":            func(v *engine.Verdict) { v.Pin = "other.example/x@" + v.Digest.String() },
		"allowed and nothing else": func(v *engine.Verdict) {
			*v = engine.Verdict{Image: v.Image, Canonical: v.Canonical, Basis: v.Basis, Allowed: true}
		},
		"allowed and denied":       func(v *engine.Verdict) { v.Outcome = engine.Denied },
		"denied and allowed":       func(v *engine.Verdict) { v.Allowed = false },
		"allowed in no mode":       func(v *engine.Verdict) { v.Mode = "" },
		"proved by nothing":        func(v *engine.Verdict) { v.Authorities[0].Proofs = nil },
		"over already":             func(v *engine.Verdict) { v.Ends = time.Now().Add(-time.Hour) },
		"a chain nobody asked for": func(v *engine.Verdict) { v.Chain = []engine.Link{{Manifest: other, Config: other}} },
	} {
		f := newFleet(t, simple, simple)
		asked := f.push("app/a", "1", "a")
		f.ask = func(req engine.Request) (engine.Verdict, error) {
			v := f.up.engine.Decide(context.Background(), req)
			v.Authorities = append([]engine.Attestation(nil), v.Authorities...)
			lie(&v)
			return v, nil
		}
		f.wantSame(name, f.decide(asked), f.alone(simple, question(asked)))
		f.wantResults(upstream.Unusable)
		f.decide(asked)
		f.wantResults(upstream.Unusable) // nothing of it was kept
	}
}

// An upstream that cannot tell, that breaks down, or that answers with something else is as good as none, and does not count as away.
func TestUpstreamsThatDoNotAnswer(t *testing.T) {
	words := func(status int, text string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
			return true
		}
	}
	for name, tt := range map[string]struct {
		prepare func(*fleet)
		want    upstream.Result
	}{
		"cannot tell": {func(f *fleet) {
			f.verdict = func(v *engine.Verdict) {
				*v = engine.Verdict{Image: v.Image, Basis: v.Basis, Decision: engine.Decision{Mode: "enforce", Outcome: engine.CouldNotTell, Reason: "x"}}
			}
		}, upstream.Unclear},
		"bug": {func(f *fleet) {
			f.verdict = func(v *engine.Verdict) {
				*v = engine.Verdict{Image: v.Image, Basis: v.Basis, Decision: engine.Decision{Outcome: engine.Bug, Reason: "bug: x"}}
			}
		}, upstream.Unclear},
		"panic":     {func(f *fleet) { f.ask = func(engine.Request) (engine.Verdict, error) { panic("ask") } }, upstream.Unusable},
		"no JSON":   {func(f *fleet) { f.answer = words(200, "<html>") }, upstream.Unusable},
		"form":      {func(f *fleet) { f.answer = words(200, `{"form":2,"verdicts":[]}`) }, upstream.Unusable},
		"malformed": {func(f *fleet) { f.answer = words(400, `{"error":"x"}`) }, upstream.Away},
		"status":    {func(f *fleet) { f.answer = words(503, "") }, upstream.Away},
		"away":      {func(f *fleet) { f.server.Close() }, upstream.Away},
	} {
		f := newFleet(t, simple, simple)
		asked := f.push("app/a", "1", "a")
		tt.prepare(f)
		f.wantSame(name, f.decide(asked), f.alone(simple, question(asked)))
		f.wantResults(tt.want)
		for range 5 {
			f.decide(asked)
		}
		if name != "status" && name != "away" && f.results[upstream.Skipped] != 0 {
			t.Errorf("%s: the upstream was left alone", name)
		}
	}
}

// Both sides cannot tell: the verdict is that of the host, with its own cause.
func TestBothCannotTell(t *testing.T) {
	f := newFleet(t, simple, simple)
	for repository, want := range map[string]engine.Outcome{"app/outage": engine.CouldNotTell, "app/panic": engine.Bug} {
		asked := f.push(repository, "1", repository)
		got := f.decide(asked)
		f.wantSame(repository, got, f.alone(simple, question(asked)))
		if got.Outcome != want || got.Err() == nil {
			t.Errorf("%s: %s, %v", repository, got.String(), got.Err())
		}
	}
	f.wantAsked(2, 2)
}

// T26: logins, and what is known of an image on a host, are nobody else's business.
func TestT26_NeverSent(t *testing.T) {
	f := newFleet(t, simple, simple)
	asked := f.push("app/a", "1", "a")
	if v := f.decide(asked); !v.Allowed {
		t.Fatal(v.String())
	}
	f.wantAsked(1, 0)
	read, err := trust.ReadDockerConfig([]byte(`{"auths":{"` + f.registry.Host() + `":{"auth":"dTpw"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	with := question(asked)
	if with.Logins, err = trust.NewLogins(nil, read...); err != nil {
		t.Fatal(err)
	}
	f.wantSame("logins", f.decider.Decide(context.Background(), with), f.alone(simple, with))
	f.wantAsked(0, 1)
	local := question(image.MustParse(asked).Digest().String())
	local.Local = &engine.Local{Labels: map[string]string{"a": "b"}}
	f.wantSame("local", f.decider.Decide(context.Background(), local), f.alone(simple, local))
	f.wantAsked(0, 0)
	f.wantResults(upstream.Counted)
}

// T22: a tag that moves is decided about anew, as soon as it would be alone.
func TestT22_TagsThatMove(t *testing.T) {
	f := newFleet(t, simple, simple)
	first := f.push("app/a", "1", "first")
	name := f.registry.Host() + "/app/a:1"
	if v := f.decide(name); v.Digest != image.MustParse(first).Digest() {
		t.Fatal(v.String())
	}
	second := image.MustParse(f.push("app/a", "1", "second")).Digest()
	f.clock.advance(engine.DefaultTagTTL)
	if v := f.decide(name); v.Digest != second || !strings.HasSuffix(v.Pin, second.String()) {
		t.Errorf("got %s, pinned %s; want %s", v.Digest, v.Pin, second)
	}
	f.wantAsked(2, 0)
	f = newFleet(t, simple, simple, func(c *upstream.Config) { c.TagTTL = -1 })
	f.push("app/a", "1", "first")
	for range 2 {
		f.decide(f.registry.Host() + "/app/a:1")
	}
	f.wantAsked(2, 0)
}

// T27: what is kept ends: a yes with its proofs and after the time for proofs, a no after the time for refusals.
func TestT27_KeptAnswersEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		repository string
		ends       time.Duration // of proofs
		want       time.Duration
	}{
		"yes":                   {"app/a", 0, engine.DefaultTTL},
		"yes that ends":         {"app/a", time.Minute, time.Minute},
		"no":                    {"app/unsigned", 0, engine.DefaultRefusalTTL},
		"a rule's word":         {"allow/a", 0, engine.DefaultTTL},
		"a rule's word against": {"deny/a", 0, engine.DefaultRefusalTTL},
	} {
		f := newFleet(t, simple, simple)
		f.up.ends.Store(int64(tt.ends))
		asked := f.push(tt.repository, "1", name)
		f.decide(asked)
		f.clock.advance(tt.want - 1)
		f.decide(asked)
		f.wantAsked(1, 0)
		f.clock.advance(1)
		f.decide(asked)
		f.wantAsked(1, 0)
	}
	// What the upstream has kept for a while is not kept here for the whole time again.
	f := newFleet(t, simple, simple)
	asked := f.push("app/a", "1", "a")
	f.up.engine.Decide(context.Background(), question(asked))
	f.clock.advance(engine.DefaultTTL - time.Minute)
	f.decide(asked)
	f.clock.advance(time.Minute)
	f.decide(asked)
	f.wantAsked(2, 0)
}

// T27: a clock that is set back makes nothing last longer.
func TestT27_AClockThatIsSetBack(t *testing.T) {
	f := newFleet(t, simple, simple)
	asked := f.push("app/a", "1", "a")
	f.decide(asked)
	f.clock.advance(-time.Hour)
	f.decide(asked)
	f.wantAsked(2, 0)
}

// An upstream that does not answer costs its timeout a few times, and then nothing until it is tried again.
func TestAnUpstreamThatHangs(t *testing.T) {
	f := newFleet(t, simple, simple, func(c *upstream.Config) { c.Timeout = 50 * time.Millisecond })
	hang := make(chan struct{})
	f.set(func() { f.answer = func(http.ResponseWriter) bool { <-hang; return true } })
	defer close(hang)
	asked := f.push("app/a", "1", "a")
	for range 10 {
		if v := f.decide(asked); !v.Allowed {
			t.Fatal(v.String())
		}
	}
	f.wantResults(append(repeat(upstream.Away, 3), repeat(upstream.Skipped, 7)...)...)
	f.wantAsked(3, 1) // the own engine remembers
	f.clock.advance(time.Second)
	f.decide(asked)
	f.decide(asked)
	f.wantResults(upstream.Away, upstream.Skipped)
	f.clock.advance(time.Second) // the pause is two seconds now
	f.decide(asked)
	f.wantResults(upstream.Skipped)
	f.clock.advance(time.Second)
	f.set(func() { f.answer = nil })
	f.decide(asked)
	f.decide(asked)
	f.wantResults(upstream.Counted, upstream.Remembered)
	if v := f.decide(f.push("app/b", "1", "b")); !v.Allowed {
		t.Error(v.String())
	}
	f.wantResults(upstream.Counted)
}

func repeat(r upstream.Result, n int) (all []upstream.Result) {
	for range n {
		all = append(all, r)
	}
	return all
}

// Whoever asks has as much time left for deciding alone as was spent on the upstream.
func TestHalfOfTheTimeIsForDecidingAlone(t *testing.T) {
	f := newFleet(t, simple, simple, func(c *upstream.Config) { c.Timeout = time.Second })
	hang := make(chan struct{})
	f.set(func() { f.answer = func(http.ResponseWriter) bool { <-hang; return true } })
	defer close(hang)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if v := f.decider.Decide(ctx, question(f.push("app/a", "1", "a"))); !v.Allowed {
		t.Error(v.String())
	}
	f.wantResults(upstream.Away)
}

// Equal questions at once are one question, also if whoever asked first leaves.
func TestEqualQuestionsAreOne(t *testing.T) {
	f := newFleet(t, simple, simple)
	asked := f.push("app/a", "1", "a")
	const askers = 100
	let, arrived := make(chan struct{}), make(chan struct{}, 1)
	f.set(func() {
		f.answer = func(http.ResponseWriter) bool { arrived <- struct{}{}; <-let; return false }
	})
	first, leave := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { f.decider.Decide(first, question(asked)) })
	<-arrived
	leave()
	for range askers {
		wait.Go(func() {
			if v := f.decide(asked); !v.Allowed {
				t.Error(v.String())
			}
		})
	}
	close(let)
	wait.Wait()
	f.set(func() {
		if len(f.asked) != 1 {
			t.Errorf("the upstream was asked %d times", len(f.asked))
		}
	})
	if got := f.up.asked.Load(); got != 1 {
		t.Errorf("the upstream verified %d times", got)
	}
}

// Questions that differ in anything are not each other's answers.
func TestT27_KeysDiffer(t *testing.T) {
	f := newFleet(t, simple, simple)
	asked := f.push("app/a", "1", "a")
	known := map[string]string{}
	changes := []func(*engine.Request){
		func(*engine.Request) {}, func(r *engine.Request) { r.Point = "api" }, func(r *engine.Request) { r.HasNamespace = true },
		func(r *engine.Request) { r.HasNamespace, r.Namespace = true, "n" }, func(r *engine.Request) { r.HasNamespace, r.NamespaceLabels = true, known },
		func(r *engine.Request) { r.NamespaceLabels = map[string]string{"a": "b"} }, func(r *engine.Request) { r.NamespaceLabels = map[string]string{`a"="b" "c`: "d"} },
		func(r *engine.Request) { r.NamespaceLabels = map[string]string{"a": "b", "c": "d"} },
		func(r *engine.Request) { r.Content = true }, func(r *engine.Request) { r.Signed = true }, func(r *engine.Request) { r.Every = true },
		func(r *engine.Request) { r.Content, r.Platform = true, "linux/amd64" },
	}
	for range 2 {
		for _, change := range changes {
			req := question(asked)
			change(&req)
			if v := f.decider.Decide(context.Background(), req); !v.Allowed || len(v.Chain) > 0 != req.Content {
				t.Errorf("%+v: %s, %d links", req, v.String(), len(v.Chain))
			}
		}
	}
	f.wantAsked(len(changes), 0)
}

// T47: what is kept is bounded by its size, and long questions count as well as long answers.
func TestT47_MemoryIsBounded(t *testing.T) {
	f := newFleet(t, simple, simple, func(c *upstream.Config) { c.Contents = 64 << 10 })
	asked := f.push("app/a", "1", "a")
	req := question(asked)
	req.HasNamespace, req.Namespace = true, "n"
	for i := range 20 {
		req.NamespaceLabels = map[string]string{"long": strings.Repeat("x", 10<<10), "n": strconv.Itoa(i)}
		f.decider.Decide(context.Background(), req)
	}
	remembered := 0
	for i := range 20 {
		req.NamespaceLabels = map[string]string{"long": strings.Repeat("x", 10<<10), "n": strconv.Itoa(i)}
		if f.decider.Decide(context.Background(), req).Cached {
			remembered++
		}
	}
	if remembered > 6 {
		t.Errorf("%d questions of 10 KiB are kept in 64 KiB", remembered)
	}
}

// The round trip of a question that the upstream has an answer for.
func BenchmarkWarm(b *testing.B) {
	f := newFleet(b, simple, simple, func(c *upstream.Config) { c.TTL = time.Nanosecond })
	asked := f.push("app/a", "1", "a")
	f.decide(asked)
	b.ReportAllocs()
	for b.Loop() {
		f.clock.advance(1)
		if v := f.decide(asked); !v.Allowed || v.Cached {
			b.Fatal(v.String())
		}
	}
}

// The same over HTTP/2 and TLS with certificates on both sides.
func BenchmarkWarmTLS(b *testing.B) {
	f := newFleet(b, simple, simple)
	server := httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	server.EnableHTTP2, server.TLS = true, &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	b.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport)
	transport.TLSClientConfig.Certificates = server.TLS.Certificates
	asking := &wire.Client{HTTP: server.Client(), URL: server.URL}
	d := upstream.New(upstream.Config{
		Ask: func(ctx context.Context, req engine.Request) (engine.Verdict, error) {
			vs, err := asking.Ask(ctx, req)
			if err != nil {
				return engine.Verdict{}, err
			}
			return vs[0], nil
		},
		Alone: f.own.engine, Basis: f.own.engine.Basis, Now: f.clock.now, TTL: time.Nanosecond,
	})
	asked := question(f.push("app/a", "1", "a"))
	d.Decide(context.Background(), asked)
	b.ReportAllocs()
	for b.Loop() {
		f.clock.advance(1)
		if v := d.Decide(context.Background(), asked); !v.Allowed || v.Cached {
			b.Fatal(v.String())
		}
	}
	if got := f.own.asked.Load(); got != 0 {
		b.Fatalf("decided alone %d times", got)
	}
}

// A question that was answered before.
func BenchmarkRemembered(b *testing.B) {
	f := newFleet(b, simple, simple)
	asked := f.push("app/a", "1", "a")
	f.decide(asked)
	b.ReportAllocs()
	for b.Loop() {
		if v := f.decide(asked); !v.Cached {
			b.Fatal(v.String())
		}
	}
}
