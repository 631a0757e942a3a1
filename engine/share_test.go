package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/shared"
	"github.com/assay-dev/assay/engine/shared/sharedtest"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

// noticeboard is an engine.Shared in memory, which does what it is told and can lie.
type noticeboard struct {
	mu      sync.Mutex
	kept    map[engine.SharedKey]engine.SharedAnswer
	asked   int
	refused []string
	lie     func(engine.SharedKey) (engine.SharedAnswer, bool) // in the place of what was kept
}

func (n *noticeboard) Recall(_ context.Context, key engine.SharedKey) (engine.SharedAnswer, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.lie != nil {
		return n.lie(key)
	}
	a, found := n.kept[key]
	return a, found
}

func (n *noticeboard) Keep(key engine.SharedKey, a engine.SharedAnswer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kept == nil {
		n.kept = map[engine.SharedKey]engine.SharedAnswer{}
	}
	n.kept[key] = a
}

func (n *noticeboard) Refused(_ engine.SharedKey, why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = append(n.refused, why.Error())
}

// told returns how often it was asked, what it keeps, and why some of it was refused, since the last call; what it keeps stays.
func (n *noticeboard) told() (asked, kept int, refused string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	asked, kept, refused = n.asked, len(n.kept), strings.Join(n.refused, "; ")
	n.asked, n.refused = 0, nil
	return asked, kept, refused
}

// any is some answer that it keeps.
func (n *noticeboard) any() engine.SharedAnswer {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.kept {
		return a
	}
	return engine.SharedAnswer{}
}

// replica starts another engine beside those that share, with the same policy and a memory of its own.
func (w *world) replica(spec string, with engine.Shared, change ...func(*engine.Config)) *engine.Engine {
	w.Helper()
	w.use(spec, append(change, func(c *engine.Config) { c.Shared = with })...)
	return w.engine
}

// comparable is a verdict in JSON without what may differ: how long it took, and whether it was known.
func comparable(t testing.TB, v engine.Verdict) string {
	t.Helper()
	v.Duration, v.Cached = engine.Duration{}, false
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	proofs := ""
	for _, a := range v.Authorities {
		for _, p := range a.Proofs {
			one, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			proofs += "\n" + string(one)
		}
	}
	return string(text) + proofs
}

// Two replicas: what the first proved, the second says without asking a registry, and with the same words.
func TestT27_TheSecondReplicaAsksNoRegistry(t *testing.T) {
	w := newWorld(t)
	n := &noticeboard{}
	first, second := w.replica(simple, n), w.replica(simple, n)
	ref := w.image("app/api", "1", "a").String()
	w.sign(w.right, image.MustParse(ref))
	w.engine = first
	v := w.want(ref, engine.Allowed)
	if v.Cached {
		t.Error("the first says that it asked nobody")
	}
	w.server.ResetRequests()
	w.engine = second
	again := w.want(ref, engine.Allowed)
	w.wantRequests(0)
	if diff := cmp.Diff(comparable(t, v), comparable(t, again)); diff != "" || !again.Cached {
		t.Errorf("cached %v\n%s", again.Cached, diff)
	}
	n.told()
	w.want(ref, engine.Allowed)
	if asked, _, _ := n.told(); asked != 0 {
		t.Errorf("the cache was asked %d times about what this process knows", asked)
	}
}

// The cache is asked inside of the one question that is under way.
func TestT27_EqualQuestionsAskTheSharedCacheOnce(t *testing.T) {
	w := newWorld(t)
	n := &noticeboard{}
	first := w.replica(simple, n)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.want(ref.String(), engine.Allowed)
	kept := n.any()
	gate, asked := make(chan struct{}), make(chan struct{}, 100)
	second := w.replica(simple, n)
	n.lie = func(engine.SharedKey) (engine.SharedAnswer, bool) {
		asked <- struct{}{}
		<-gate
		return kept, true
	}
	_ = first
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if v := second.Decide(t.Context(), request(ref.String())); !v.Allowed {
				t.Error(v.String())
			}
		})
	}
	<-asked
	close(gate)
	wait.Wait()
	if len(asked) > 0 {
		t.Errorf("the cache was asked %d times more", len(asked))
	}
}

// A "no" and "cannot tell" are nobody's business but this process's, and so is what logins opened, what raises floors, and what may not be all.
func TestT27_WhatIsNotShared(t *testing.T) {
	t.Run("no and cannot tell", func(t *testing.T) {
		w := newWorld(t)
		n := &noticeboard{}
		w.replica(simple, n)
		unsigned, untrusted, away := w.image("app/a", "1", "a"), w.image("app/b", "1", "b"), w.image("app/c", "1", "c")
		w.sign(w.other, untrusted)
		w.sign(w.right, away)
		w.server.SetFault(func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/app/c/") }, registrytest.Status(503, nil, "down"))
		w.want(unsigned.String(), engine.Denied)
		w.want(untrusted.String(), engine.Denied)
		w.want(away.String(), engine.CouldNotTell)
		if asked, kept, _ := n.told(); kept != 0 || asked != 3 {
			t.Errorf("%d answers were kept, and %d questions asked", kept, asked)
		}
	})
	t.Run("logins", func(t *testing.T) {
		w := tenants(t)
		n := &noticeboard{}
		w.replica(simple, n)
		ref := w.image("app/private", "1", "a")
		w.sign(w.right, ref)
		if v := w.decideAs(login(t, w.server.Host(), "ann", "a"), ref.String()); !v.Allowed {
			t.Fatal(v.String())
		}
		if asked, kept, _ := n.told(); asked+kept != 0 {
			t.Errorf("asked %d times, %d kept", asked, kept)
		}
	})
	spec := "\n  authorities: {ci: {scripted: {}}}\n  rules: [{images: [\"**\"], require: ci}]\n"
	for name, c := range map[string]struct {
		format trust.Format
		asked  int
	}{
		"one that shares": {sharing{}, 1},
		"floors":          {remembering{}, 0},
		"learned alone":   {learning{true}, 0},
		"not learned":     {learning{false}, 1},
		"old material":    {lapsing{ending: ending{ends: time.Now().Add(time.Hour), version: new(atomic.Int64)}, until: time.Now().Add(time.Minute)}, 0},
		"fresh material":  {lapsing{ending: ending{ends: time.Now().Add(time.Hour), version: new(atomic.Int64)}, until: time.Now().Add(time.Hour)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := &noticeboard{}
			e := engineOf(t, spec, c.format, n)
			if v := e.Decide(t.Context(), request("registry.example/a@"+fixedDigest)); !v.Allowed {
				t.Fatal(v.String())
			}
			if asked, kept, _ := n.told(); asked != c.asked || kept != c.asked {
				t.Errorf("asked %d times, %d kept; want %d of each", asked, kept, c.asked)
			}
		})
	}
	t.Run("not all", func(t *testing.T) {
		n := &noticeboard{}
		e := engineOf(t, spec, partial{}, n)
		req := request("registry.example/a@" + fixedDigest)
		req.Every = true
		v := e.Decide(t.Context(), req)
		if !v.Allowed || v.Authorities[0].Missed == "" {
			t.Fatalf("%s, missed %q", v.String(), v.Authorities[0].Missed)
		}
		if _, kept, _ := n.told(); kept != 0 {
			t.Error("what may not be all was kept")
		}
	})
}

// engineOf makes an engine of one policy in one format, with no registry.
func engineOf(t testing.TB, spec string, f trust.Format, with engine.Shared) *engine.Engine {
	t.Helper()
	p, err := policy.Parse(policy.Source{Name: "p.yaml", Data: []byte("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p}\nspec:" + spec)}, []string{"scripted"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{Policies: []*policy.Policy{p}, Formats: []trust.Format{f}, Source: noRegistry{}, Tags: noRegistry{}, Shared: with})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// sharing is a format that vouches for everything.
type sharing struct{ scripted }

func (sharing) New(s trust.Section) (trust.Authority, error) {
	a := &actor{}
	err := s.Decode(&a.script)
	a.Signers = []string{"a"}
	return a, err
}

// remembering is the same with floors.
type remembering struct{ scripted }

type floors struct{ actor }

func (remembering) New(s trust.Section) (trust.Authority, error) {
	a := &floors{}
	err := s.Decode(&a.script)
	a.Signers = []string{"a"}
	return a, err
}

func (*floors) Remember(context.Context, image.Ref, trust.Evidence, time.Time) error { return nil }

// learning is the same with knowledge of the process's own, or without.
type learning struct{ own bool }

type learned struct {
	actor
	own bool
}

func (learning) Name() string { return scripted{}.Name() }
func (learning) Options() any { return scripted{}.Options() }
func (f learning) New(s trust.Section) (trust.Authority, error) {
	a := &learned{own: f.own}
	err := s.Decode(&a.script)
	a.Signers = []string{"a"}
	return a, err
}

func (a *learned) Unshared() bool { return a.own }

// partial finds a proof, and then cannot say whether there are more.
type partial struct{ scripted }

type half struct{ actor }

func (partial) New(s trust.Section) (trust.Authority, error) {
	a := &half{}
	err := s.Decode(&a.script)
	a.Signers = []string{"a"}
	return a, err
}

func (*half) Search(_ context.Context, _ trust.Source, _ image.Ref, enough func(trust.Evidence) bool) (trust.Evidence, error) {
	if enough(trust.Evidence{}) {
		return trust.Evidence{}, nil
	}
	return trust.Evidence{}, errOutage
}

// Whatever a cache returns is held against the clock, the question and the revocations, as if it had been checked here.
func TestT27_WhatIsRecalledIsHeldAgainstTheQuestion(t *testing.T) {
	w := newWorld(t)
	n := &noticeboard{}
	w.replica(simple, n)
	ref, other := w.image("app/api", "1", "a"), w.image("app/api", "2", "b")
	cert := w.sign(w.right, ref)
	w.sign(w.right, other)
	w.want(other.String(), engine.Allowed)
	foreign := n.any()
	n.kept = nil
	w.want(ref.String(), engine.Allowed)
	good := n.any()
	revoking := simple + "  revoked: [{key: " + quoted(trust.Fingerprint(cert.RawSubjectPublicKeyInfo)) + ", reason: lost}]\n"
	now := w.clock.now()
	for name, c := range map[string]struct {
		change func(*engine.SharedAnswer)
		spec   string
		why    string // "": it counts
		want   engine.Outcome
	}{
		"as it was kept":      {func(*engine.SharedAnswer) {}, simple, "", engine.Allowed},
		"nothing":             {func(a *engine.SharedAnswer) { *a = engine.SharedAnswer{} }, simple, "it says nothing", engine.Denied},
		"no proofs":           {func(a *engine.SharedAnswer) { a.Proofs = nil }, simple, "it says nothing", engine.Denied},
		"no time":             {func(a *engine.SharedAnswer) { a.Checked = time.Time{} }, simple, "it says nothing", engine.Denied},
		"no end":              {func(a *engine.SharedAnswer) { a.Until = time.Time{} }, simple, "it says nothing", engine.Denied},
		"another image":       {func(a *engine.SharedAnswer) { a.Proofs = foreign.Proofs }, simple, "another image", engine.Denied},
		"one of another":      {func(a *engine.SharedAnswer) { a.Proofs = append(a.Proofs, foreign.Proofs...) }, simple, "another image", engine.Denied},
		"a zero proof":        {func(a *engine.SharedAnswer) { a.Proofs = []trust.Proof{{}} }, simple, "another image", engine.Denied},
		"nobody":              {func(a *engine.SharedAnswer) { a.Proofs[0].Signers = nil }, simple, "names no signer", engine.Denied},
		"a proof that ended":  {func(a *engine.SharedAnswer) { a.Proofs[0].Expires = now }, simple, "out of date", engine.Denied},
		"out of date":         {func(a *engine.SharedAnswer) { a.Until = now }, simple, "out of date", engine.Denied},
		"of long ago":         {func(a *engine.SharedAnswer) { a.Checked = now.Add(-engine.DefaultTTL) }, simple, "out of date", engine.Denied},
		"of the future":       {func(a *engine.SharedAnswer) { a.Checked = now.Add(31 * time.Second) }, simple, "in the future", engine.Denied},
		"a clock beside ours": {func(a *engine.SharedAnswer) { a.Checked = now.Add(29 * time.Second) }, simple, "", engine.Allowed},
		"revoked":             {func(*engine.SharedAnswer) {}, revoking, "revoked: lost", engine.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			lie := engine.SharedAnswer{Checked: good.Checked, Until: good.Until, Proofs: append([]trust.Proof(nil), good.Proofs...)}
			c.change(&lie)
			liar := &noticeboard{lie: func(engine.SharedKey) (engine.SharedAnswer, bool) { return lie, true }}
			w.server.SetFault(func(r *http.Request) bool { return c.why != "" && strings.Contains(r.URL.Path, "/manifests/") }, registrytest.Status(404, nil, "gone"))
			w.replica(c.spec, liar)
			w.want(ref.String(), c.want)
			if _, kept, refused := liar.told(); !strings.Contains(refused, c.why) || c.why == "" && refused != "" || kept != 0 {
				t.Errorf("refused %q, want %q; %d kept", refused, c.why, kept)
			}
		})
	}
	w.server.SetFault(nil, nil)
}

// An entry that claims to hold for ever holds as long as it would have held where it was made; and recalling it does not make it last.
func TestT27_WhatIsRecalledDoesNotLastLonger(t *testing.T) {
	w := newWorld(t)
	n := &noticeboard{}
	w.replica(simple, n)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.want(ref.String(), engine.Allowed)
	for key, a := range n.kept {
		a.Until = a.Until.Add(365 * 24 * time.Hour)
		n.kept[key] = a
	}
	w.server.ResetRequests()
	w.clock.advance(engine.DefaultTTL - time.Second)
	for range 2 { // one after the other: the second could have it from the first
		w.replica(simple, n)
		w.want(ref.String(), engine.Allowed)
		w.wantRequests(0)
	}
	held := w.engine
	w.clock.advance(time.Second)
	w.server.SetFault(func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }, registrytest.Status(404, nil, "gone"))
	w.want(ref.String(), engine.Denied)
	w.replica(simple, n)
	w.want(ref.String(), engine.Denied)
	w.engine = held
	if _, _, refused := n.told(); !strings.Contains(refused, "out of date") {
		t.Errorf("got %q", refused)
	}
}

// T27: a clock that is set back does not make last longer what came with times of another clock.
func TestT27_WhatWasRecalledEndsWhenTheClockIsSetBack(t *testing.T) {
	w := newWorld(t)
	n := &noticeboard{}
	w.replica(simple, n)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.want(ref.String(), engine.Allowed)
	w.replica(simple, n)
	w.want(ref.String(), engine.Allowed)
	w.clock.advance(-time.Hour)
	w.server.SetFault(func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }, registrytest.Status(404, nil, "gone"))
	w.want(ref.String(), engine.Denied)
}

// What this process knows to be a "no" does not become a "yes" again by what another one saw before.
func TestT27_ALaterNoIsNotTakenBack(t *testing.T) {
	w := newWorld(t)
	n := &noticeboard{}
	w.replica(simple, n)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.want(ref.String(), engine.Allowed)
	w.clock.advance(time.Minute)
	answer := n.any()
	n.kept = nil
	w.replica(simple, n)
	w.server.SetFault(func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }, registrytest.Status(404, nil, "gone"))
	w.want(ref.String(), engine.Denied) // the cache was emptied
	n.lie = func(engine.SharedKey) (engine.SharedAnswer, bool) { return answer, true }
	for range 3 {
		w.clock.advance(engine.DefaultRefusalTTL)
		w.want(ref.String(), engine.Denied)
	}
	if _, _, refused := n.told(); !strings.Contains(refused, "heard a no since") {
		t.Errorf("got %q", refused)
	}
	// What was seen later counts: somebody signed meanwhile.
	w.clock.advance(engine.DefaultRefusalTTL + time.Minute)
	answer.Checked, answer.Until = w.clock.now(), w.clock.now().Add(time.Minute)
	w.want(ref.String(), engine.Allowed)
}

// A revocation, other roots, other trust material or another question ask anew, though the cache has an answer for the one before.
func TestT27_TheKeyHasAllThatAnAnswerHangsOn(t *testing.T) {
	w := newWorld(t)
	n := &noticeboard{}
	w.replica(simple, n)
	ref := w.image("app/api", "1", "a")
	cert := w.sign(w.right, ref)
	w.want(ref.String(), engine.Allowed)
	revoking := simple + "  revoked: [{key: " + quoted(trust.Fingerprint(cert.RawSubjectPublicKeyInfo)) + ", reason: lost}]\n"
	w.replica(revoking, n)
	w.want(ref.String(), engine.Denied)
	w.replica(strings.Replace(simple, "%RIGHT%", "%OTHER%", 1), n)
	w.want(ref.String(), engine.Denied)
	var keys []engine.SharedKey
	n.lie = func(k engine.SharedKey) (engine.SharedAnswer, bool) {
		keys = append(keys, k)
		return engine.SharedAnswer{}, false
	}
	version := new(atomic.Int64)
	e := engineOf(t, "\n  authorities: {ci: {scripted: {}}}\n  rules: [{images: [\"**\"], require: ci}]\n",
		ending{ends: time.Now().Add(time.Hour), version: version}, n)
	other := "sha256:" + strings.Repeat("2", 64)
	for _, name := range []string{"registry.example/a@" + fixedDigest, "registry.example/a:1@" + fixedDigest, "registry.example/b@" + fixedDigest, "registry.example/a@" + other} {
		e.Decide(t.Context(), request(name))
	}
	version.Add(1)
	e.Decide(t.Context(), request("registry.example/a@"+fixedDigest))
	want := []engine.SharedKey{
		{Name: "registry.example/a", Digest: image.MustParseDigest(fixedDigest)}, // the tag means nothing to the authority: asked once
		{Name: "registry.example/b", Digest: image.MustParseDigest(fixedDigest)},
		{Name: "registry.example/a", Digest: image.MustParseDigest(other)},
		{Name: "registry.example/a", Digest: image.MustParseDigest(fixedDigest), Version: "v"},
	}
	for i := range keys {
		if hash, name, _ := strings.Cut(keys[i].Authority, "/"); len(hash) != 64 || name != "ci" {
			t.Errorf("authority %q", keys[i].Authority)
		}
		keys[i].Authority = ""
	}
	if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(keys)); diff != "" {
		t.Error(diff)
	}
}

// The verdict of a replica that recalls what another one proved has the same words as one that was made without a cache, for every format
// and kind of evidence; and so has one whose cache lies, is emptied or is away.
func TestT27_VerdictsAreEqualWithAndWithout(t *testing.T) {
	type question struct {
		name string
		ask  func(w *world) (spec string, ref image.Ref)
	}
	recorded := func(name, authority string) question {
		return question{name + " by " + strings.SplitN(authority, ":", 2)[0], func(w *world) (string, image.Ref) {
			return w.sigstoreSpec(strings.SplitN(authority, ":", 2)[0], authority), w.replay(name)
		}}
	}
	signed := func(name string, by ...func(w *world) *ca) question {
		return question{name, func(w *world) (string, image.Ref) {
			ref := w.image("app/api", "1", "a")
			for _, c := range by {
				w.sign(c(w), ref)
			}
			return simple, ref
		}}
	}
	questions := []question{
		signed("certificate", func(w *world) *ca { return w.right }), signed("certificate of another", func(w *world) *ca { return w.other }), signed("unsigned"),
	}
	for _, authority := range []string{byKey, byOther, byKeyless} {
		for _, name := range []string{"legacy-key-plain", "legacy-keyless", "bundle-key-plain", "bundle-keyless", "mixed"} {
			questions = append(questions, recorded(name, authority))
		}
	}
	for _, q := range questions {
		t.Run(q.name, func(t *testing.T) {
			w := newWorld(t)
			spec, ref := q.ask(w)
			w.use(spec, longer)
			req := engine.Request{Image: ref.String(), Request: policy.Request{Point: "cli"}, Content: true, Every: true}
			alone := w.engine.Decide(t.Context(), req)
			want := comparable(t, alone)
			s := sharedtest.New(t, "", nil)
			now := func(c *shared.Config) { c.Now = w.clock.now }
			first := w.replica(spec, w.cacheAt(s, now), longer)
			compare := func(who string, e *engine.Engine) {
				t.Helper()
				v := e.Decide(t.Context(), req)
				if diff := cmp.Diff(want, comparable(t, v)); diff != "" {
					t.Errorf("%s:\n%s", who, diff)
				}
			}
			compare("the first", first)
			if alone.Outcome == engine.Allowed {
				s.Await(1)
			}
			short := req
			short.Content = false // which is fetched, by its digest
			var v engine.Verdict
			var second *engine.Engine
			for range 20 { // a busy machine may answer too late
				second = w.replica(spec, w.cacheAt(s, now), longer)
				w.server.ResetRequests()
				if v = second.Decide(t.Context(), short); v.Cached || !v.Allowed {
					break
				}
			}
			if known := len(w.server.Requests()) == 0; v.Cached != (alone.Outcome == engine.Allowed) || v.Cached != known {
				t.Errorf("cached %v of %s, %v", v.Cached, v.Outcome, w.server.Requests())
			}
			compare("the second", second)
			s.Change(func(entries map[string]string) {
				for name := range entries {
					entries[name] = strings.Repeat("garbage", 20)
				}
			})
			compare("with garbage", w.replica(spec, w.cacheAt(s, now), longer))
			s.Change(func(entries map[string]string) { clear(entries) })
			compare("emptied", w.replica(spec, w.cacheAt(s, now), longer))
			s.Stop()
			compare("away", w.replica(spec, w.cacheAt(s, now), longer))
		})
	}
}

func longer(c *engine.Config) { c.Timeout = time.Minute }

// cacheAt is a cache of one replica with the world's key.
func (w *world) cacheAt(s *sharedtest.Server, change ...func(*shared.Config)) *shared.Cache {
	w.Helper()
	address, err := shared.ParseAddress(s.URL())
	if err != nil {
		w.Fatal(err)
	}
	c := shared.Config{Address: address, Program: "test"}
	for _, one := range change {
		one(&c)
	}
	cache, err := shared.New(c, shared.Settings{Keys: sharedKeys(w)})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(cache.Close)
	return cache
}

func sharedKeys(t testing.TB) shared.Keys {
	t.Helper()
	k, err := shared.ParseKeys([]byte("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
