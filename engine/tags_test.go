package engine_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// CSE-18 to CSE-20: beside a digest a tag counts, and only if it is signed for that digest.
func TestCSE18_CSE19_CSE20_TagsBesideDigests(t *testing.T) {
	h := newHarbour(t)
	one, two := h.image("app/api", "1", "one"), h.image("app/api", "2", "two")
	stray := h.image("app/api", "3", "stray")
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest(), "2": two.Digest(), "3": one.Digest()})
	changed := "digest changed, new digest: "
	rows := []struct {
		name, image string
		want        engine.Outcome
		reason      string
	}{
		{"CSE-18 a digest that is signed under some tag", two.String(), engine.Allowed, ""},
		{"CSE-18 a digest that is signed under none", stray.String(), engine.Denied, changed},
		{"CSE-19 tag and digest", h.tagged("app/api", "1", one.Digest()), engine.Allowed, ""},
		{"CSE-19 another spelling", strings.ToUpper(h.server.Host()) + strings.TrimPrefix(h.tagged("app/api", "1", one.Digest()), h.server.Host()), engine.Allowed, ""},
		{"CSE-20 another digest is signed under the tag", h.tagged("app/api", "1", two.Digest()), engine.Denied, changed + one.Digest().String()},
		{"CSE-20 the tag is not signed", h.tagged("app/api", "4", one.Digest()), engine.Denied, `no valid trust data for "4"`},
		{"T24 a tag is what it is signed for", h.server.Host() + "/app/api:1", engine.Allowed, ""},
		{"T24 the registry names another digest than was signed", h.server.Host() + "/app/api:3", engine.Denied, changed + one.Digest().String()},
	}
	for _, row := range rows {
		for _, digests := range []string{"pin", "keep", "required"} {
			t.Run(row.name+", "+digests, func(t *testing.T) {
				h := &harbour{world: h.world, notary: h.notary, files: h.files}
				h.TB = t
				h.use(cargo("dct", "    digest: "+digests+"\n"))
				if digests == "required" && !strings.Contains(row.image, "@") {
					h.want(row.image, engine.Denied)
					return
				}
				for _, round := range []string{"cold", "warm"} {
					if v := h.want(row.image, row.want); !strings.Contains(v.Reason, row.reason) {
						t.Errorf("%s: got reason %q, want %q in it", round, v.Reason, row.reason)
					}
				}
				h.notary.counts()
			})
		}
	}
}

// A tag costs one request to the registry and what the format needs; asked again it costs none.
func TestTagsCostOneRequest(t *testing.T) {
	h := newHarbour(t)
	one := h.image("app/api", "1", "one")
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
	for _, row := range []struct {
		digests            string
		registry, resolves int
		image              string
	}{
		{"pin", 1, 0, h.server.Host() + "/app/api:1"},
		{"insecureReplace", 0, 1, h.server.Host() + "/app/api:1"},
		{"pin", 0, 0, h.tagged("app/api", "1", one.Digest())},
		{"insecureReplace", 0, 1, h.tagged("app/api", "1", one.Digest())},
		{"insecureReplace", 0, 0, one.String()},
	} {
		h.use(cargo("dct", "    digest: "+row.digests+"\n"))
		h.server.ResetRequests()
		h.files.FailAt(0, nil)
		v := h.want(row.image, engine.Allowed)
		h.wantRequests(row.registry)
		h.wantCounts(1, row.resolves)
		if n := h.files.Requests(); n != 1 {
			t.Errorf("%s %s: got %d requests to the Notary server, want 1", row.digests, row.image, n)
		}
		warm := h.want(row.image, engine.Allowed)
		h.wantRequests(0)
		h.wantCounts(0, 0)
		if v.Cached || !warm.Cached || v.Pin != warm.Pin {
			t.Errorf("%s %s: cold: cached %v, pin %q; warm: cached %v, pin %q", row.digests, row.image, v.Cached, v.Pin, warm.Cached, warm.Pin)
		}
	}
}

// T22: two tags of one digest are two questions for an authority that knows tags, and one for all others.
func TestT22_TagIsPartOfTheQuestion(t *testing.T) {
	h := newHarbour(t)
	one := h.image("app/api", "1", "one")
	h.sign(h.right, one)
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
	asked := []struct {
		tag  string
		want engine.Outcome
	}{{"1", engine.Allowed}, {"2", engine.Denied}, {"1", engine.Allowed}, {"2", engine.Denied}}
	h.use(cargo("dct", ""))
	for i, row := range asked {
		h.want(h.tagged("app/api", row.tag, one.Digest()), row.want)
		h.wantCounts(1-i/2, 0)
	}
	h.want(one.String(), engine.Allowed)
	h.wantCounts(1, 0)

	h.use(cargo("right", ""))
	h.server.ResetRequests()
	h.want(h.tagged("app/api", "1", one.Digest()), engine.Allowed)
	h.wantRequests(2)
	h.want(h.tagged("app/api", "2", one.Digest()), engine.Allowed)
	h.want(one.String(), engine.Allowed)
	h.wantRequests(0)
}

// CSE-30: a server that hangs is "cannot tell" within the deadline.
func TestCSE30_HangingServer(t *testing.T) {
	h := newHarbour(t)
	one := h.image("app/api", "1", "one")
	for _, digests := range []string{"pin", "insecureReplace"} {
		h.useWith(func(c *engine.Config) {
			c.Source = both{h.client, hanging{}}
			c.Timeout = 300 * time.Millisecond
		}, cargo("dct", "    digest: "+digests+"\n"))
		start := time.Now()
		h.want(h.tagged("app/api", "1", one.Digest()), engine.CouldNotTell)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %v", digests, took)
		}
	}
}

// hanging is a Notary server that never answers.
type hanging struct{}

func (hanging) TrustData(ctx context.Context, _, _, _ string, _ int64) ([]byte, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// A source that reaches no Notary servers is told apart from one where nothing is signed.
func TestNoNotaryServersIsCannotTell(t *testing.T) {
	h := newHarbour(t)
	registries := struct{ trust.Source }{h.client} // and nothing more
	h.useWith(func(c *engine.Config) { c.Source = registries }, cargo("dct", ""))
	one := h.image("app/api", "1", "one")
	if v := h.want(one.String(), engine.CouldNotTell); !strings.Contains(v.Reason, "Notary servers cannot be reached from here") {
		t.Errorf("got %q", v.Reason)
	}
}

// T21: a revocation of a key on whose word a signer's rests is heard, also after a cached allow.
func TestT21_RevokedKeyAbove(t *testing.T) {
	for _, digests := range []string{"pin", "insecureReplace"} {
		h := newHarbour(t)
		one := h.image("app/api", "1", "one")
		h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
		spec := cargo("dct", "    digest: "+digests+"\n")
		h.use(spec)
		tag := h.server.Host() + "/app/api:1"
		h.want(tag, engine.Allowed)
		for key, want := range map[string]engine.Outcome{
			"alice":                   engine.Denied,
			"root of " + firstServer:  engine.Denied,
			"root of " + secondServer: engine.Allowed,
		} {
			p := h.parse("a", spec+"  revoked: [{key: \""+keyOf(key)+"\", reason: laptop stolen}]\n")
			if err := h.engine.Use([]*policy.Policy{p}); err != nil {
				t.Fatal(err)
			}
			for _, round := range []string{"cold", "warm"} {
				if v := h.want(tag, want); want == engine.Denied && !strings.Contains(v.Reason, "laptop stolen") {
					t.Errorf("%s, %s, %s: got %q", digests, key, round, v.Reason)
				}
			}
		}
	}
}

// T9: who signed is not told apart by the keys above.
func TestT9_KeysAboveAreNoSigners(t *testing.T) {
	h := newHarbour(t)
	one := h.image("app/api", "1", "one")
	digest := one.Digest().String()
	h.signTags(secondServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
	h.publishTags(firstServer, "app/api", signedTags{Version: 1, Root: "shared", Tags: map[string]signedTag{"1": {digest, "alice"}, "2": {digest, "bob"}}})
	for require, want := range map[string]engine.Outcome{
		"{atLeast: 2, of: [dct, second]}": engine.Denied,  // alice, under two roots
		"{atLeast: 2, of: [dct, bob]}":    engine.Allowed, // alice and bob, under one root
	} {
		h.use(cargo(require, ""))
		if v := h.decide(one.String()); v.Outcome != want {
			t.Errorf("%s: got %s: %s", require, v.Outcome, v.Reason)
		}
	}
}

// T28: what was seen is remembered after each yes and each no, and counts from then on; after a "cannot tell" nothing is.
func TestT28_WhatWasSeenIsRemembered(t *testing.T) {
	h := newHarbour(t)
	one := h.image("app/api", "1", "one")
	h.use(cargo("dct", ""))
	tag, at := h.server.Host()+"/app/api:1", ":1@"+one.Digest().String()
	tags := map[string]image.Digest{"1": one.Digest()}
	steps := []struct {
		name       string
		version    int
		tags       map[string]image.Digest
		fault      error
		want       engine.Outcome
		remembered string
	}{
		{"a yes", 3, tags, nil, engine.Allowed, at + " v3"},
		{"an outage", 4, tags, errOutage, engine.CouldNotTell, ""},
		{"a no, newer", 5, nil, nil, engine.Denied, at + " v5"},
		{"older than the no", 4, tags, nil, engine.Denied, ""},
		{"a yes, newer", 6, tags, nil, engine.Allowed, at + " v6"},
	}
	for _, step := range steps {
		h.signTags(firstServer, "app/api", step.version, step.tags)
		h.files.FailAt(0, nil)
		if step.fault != nil {
			h.files.FailAt(1, step.fault)
		}
		h.notary.note(func() { h.notary.remembered = nil })
		h.want(tag, step.want)
		if got := strings.Join(h.notary.remembered, ", "); got != step.remembered {
			t.Errorf("%s: remembered %q, want %q", step.name, got, step.remembered)
		}
		h.clock.advance(time.Hour)
	}
	h.notary.note(func() { h.notary.remembered = nil })
	h.want(one.String(), engine.Allowed)
	h.want(one.String(), engine.Allowed)
	if got, want := strings.Join(h.notary.remembered, ", "), "@"+one.Digest().String()+" v6"; got != want {
		t.Errorf("a digest alone: remembered %q, want %q", got, want)
	}
}

// T28: where nothing can be remembered, neither a yes nor a no holds, and it is asked again.
func TestT28_ForgetfulIsCannotTell(t *testing.T) {
	for fault, want := range map[string]engine.Outcome{
		"cannot remember":              engine.CouldNotTell,
		"cannot remember, and says no": engine.CouldNotTell,
		"panic in remember":            engine.Bug,
	} {
		h := newHarbour(t)
		one, two := h.image("app/api", "1", "one"), h.image("app/api", "2", "two")
		h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
		h.use(strings.Replace(cargo("dct", ""), "signer: alice}", "signer: alice, fault: \""+fault+"\"}", 1))
		for _, ref := range []image.Ref{one, two, one, two} {
			v := h.want(ref.String(), want)
			if v.Authorities[0].Standing != engine.Unclear || want == engine.CouldNotTell && !strings.Contains(v.Reason, "dct: what was seen could not be remembered: the disk is full") {
				t.Errorf("%s: got %s, %q", fault, v.Authorities[0].Standing, v.Reason)
			}
		}
		h.wantCounts(4, 0)
	}
}

// T30: a child stands for an index under the tag that was asked for.
func TestT30_ChildUnderTheTag(t *testing.T) {
	h := newHarbour(t)
	index, children := h.index("app/multi", "1", "linux/amd64", "linux/arm64")
	child := children["linux/amd64"]
	rows := []struct {
		name    string
		require string
		tags    map[string]image.Digest
		want    engine.Outcome
		digest  image.Digest
	}{
		{"the index is signed", "dct", map[string]image.Digest{"1": index.Digest()}, engine.Allowed, index.Digest()},
		{"the child is signed", "dct", map[string]image.Digest{"1": child.Digest()}, engine.Allowed, child.Digest()},
		{"the child is signed under another tag", "dct", map[string]image.Digest{"2": child.Digest()}, engine.Denied, index.Digest()},
		{"index and child by two authorities", "[dct, right]", map[string]image.Digest{"1": index.Digest()}, engine.Allowed, child.Digest()},
	}
	h.sign(h.right, child)
	for i, row := range rows {
		h.signTags(firstServer, "app/multi", i+1, row.tags)
		h.use(cargo(row.require, "    platform: linux/amd64\n"))
		if v := h.decide(h.server.Host() + "/app/multi:1"); v.Outcome != row.want || v.Digest != row.digest {
			t.Errorf("%s: got %s %s: %s", row.name, v.Outcome, v.Digest, v.Reason)
		}
	}
}

// CSE-38: a hundred equal questions at once ask the server once.
func TestCSE38_ConcurrentQuestions(t *testing.T) {
	for digests, resolves := range map[string]int{"pin": 0, "insecureReplace": 1} {
		t.Run(digests, func(t *testing.T) {
			h := newHarbour(t)
			one := h.image("app/api", "1", "one")
			h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
			h.useWith(func(c *engine.Config) { c.Source = both{h.client, lagging{h.files}} }, cargo("dct", "    digest: "+digests+"\n"))
			h.server.ResetRequests()
			h.files.FailAt(0, nil)
			var askers sync.WaitGroup
			for range 100 {
				askers.Go(func() {
					if v := h.decide(h.server.Host() + "/app/api:1"); !v.Allowed || v.Digest != one.Digest() {
						t.Errorf("got %s: %s", v.Outcome, v.Reason)
					}
				})
			}
			askers.Wait()
			h.wantRequests(1 - resolves)
			h.wantCounts(1, resolves)
			if n := h.files.Requests(); n > 1+resolves {
				t.Errorf("got %d requests to the Notary server", n)
			}
		})
	}
}

// lagging is a Notary server that takes its time.
type lagging struct{ trust.TrustServer }

func (s lagging) TrustData(ctx context.Context, server, gun, name string, limit int64) ([]byte, error) {
	time.Sleep(200 * time.Millisecond)
	return s.TrustServer.TrustData(ctx, server, gun, name, limit)
}
