package engine_test

import (
	"context"
	"testing"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/shared"
	"github.com/assay-dev/assay/engine/shared/sharedtest"
)

// BenchmarkDecideWarm is an equal question asked again: parsing the name, finding the rule, and evaluating what was remembered.
func BenchmarkDecideWarm(b *testing.B) {
	w := newWorld(b)
	w.use(simple)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	for name, asked := range map[string]string{"digest": ref.String(), "tag": w.server.Host() + "/app/api:1"} {
		b.Run(name, func(b *testing.B) {
			w.want(asked, engine.Allowed)
			ctx, req := context.Background(), request(asked)
			b.ReportAllocs()
			for b.Loop() {
				if v := w.engine.Decide(ctx, req); !v.Allowed {
					b.Fatal(v.Reason)
				}
			}
		})
	}
}

// BenchmarkDecideCold is the first question about an image with a digest: two requests over loopback, and the checks.
func BenchmarkDecideCold(b *testing.B) {
	w := newWorld(b)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	for b.Loop() {
		b.StopTimer()
		w.use(simple)
		b.StartTimer()
		w.want(ref.String(), engine.Allowed)
	}
}

// BenchmarkDecideWarmWithLogins is the same question by somebody with a login of their own that fits.
func BenchmarkDecideWarmWithLogins(b *testing.B) {
	w := newWorld(b)
	w.use(simple)
	ref := w.image("app/api", "1", "seed")
	w.sign(w.right, ref)
	l := login(b, w.server.Host(), "ann", "a")
	if v := w.decideAs(l, ref.String()); !v.Allowed {
		b.Fatal(v.String())
	}
	b.ReportAllocs()
	for b.Loop() {
		if v := w.decideAs(l, ref.String()); !v.Allowed || !v.Cached {
			b.Fatal(v.String())
		}
	}
}

// BenchmarkDecideShared is the first question of a replica about an image that another one has decided about: the cache is asked over
// loopback, and no registry. BenchmarkDecideCold is the same without a cache.
func BenchmarkDecideShared(b *testing.B) {
	w := newWorld(b)
	s := sharedtest.New(b, "", nil)
	now := func(c *shared.Config) { c.Now = w.clock.now }
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.replica(simple, w.cacheAt(s, now))
	w.want(ref.String(), engine.Allowed)
	s.Await(1)
	cache := w.cacheAt(s, now)
	w.replica(simple, cache)
	w.want(ref.String(), engine.Allowed) // connected
	w.server.ResetRequests()
	for b.Loop() {
		b.StopTimer()
		w.replica(simple, cache)
		b.StartTimer()
		w.want(ref.String(), engine.Allowed)
	}
	w.wantRequests(0)
}
