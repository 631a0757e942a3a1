package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/api"
	"github.com/assay-dev/assay/enforce/node"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/shared"
	"github.com/assay-dev/assay/engine/shared/sharedtest"
	"github.com/assay-dev/assay/engine/upstream"
	"github.com/assay-dev/assay/engine/wire"
	"github.com/assay-dev/assay/policy"
)

// parityWay is another way to a verdict than an engine of one's own.
type parityWay struct {
	name, text string
	open       func(w *parityWorld, mode, set string) (ask enforce.Decider, used func() bool)
}

// parityWays are all that there are. Each is asked what the points are asked.
var parityWays = []parityWay{
	{"node daemon", "`POST /v1/decisions` at the socket of `assay serve node`, as SPIRE's agent and `assay verify --node` ask", (*parityWorld).byNode},
	{"upstream", "`POST /v1/decisions` of `assay serve api`, which a node daemon asks first", (*parityWorld).byUpstream},
	{"shared cache", "an engine that knows nothing yet, whose cache holds what another one has proved", (*parityWorld).byShared},
}

func (w *parityWorld) byNode(mode, set string) (enforce.Decider, func() bool) {
	d := w.desk(mode, set)
	c := node.Open(d.node())
	w.Cleanup(c.Close)
	return c, func() bool { return len(d.take()) > 0 }
}

// byUpstream asks an upstream; what that has denied or allowed must have counted.
func (w *parityWorld) byUpstream(mode, set string) (enforce.Decider, func() bool) {
	other, own := w.desk(mode, set), w.desk(mode, set)
	p, err := api.New(api.Config{Point: other.point, Points: policy.Points(), InsecureNoAuth: true, Rate: 1 << 20, Now: other.app.now})
	must(w.TB, err)
	mux := http.NewServeMux()
	for pattern, h := range p.Routes() {
		mux.Handle(pattern, h)
	}
	server := httptest.NewServer(mux)
	transport := &http.Transport{}
	w.Cleanup(func() { transport.CloseIdleConnections(); server.Close() })
	client := wire.Client{HTTP: &http.Client{Transport: transport}, URL: server.URL}
	var counted, remembered atomic.Int64
	up := upstream.New(upstream.Config{
		Ask: func(ctx context.Context, req engine.Request) (engine.Verdict, error) {
			verdicts, err := client.Ask(ctx, req)
			if err != nil {
				return engine.Verdict{}, err
			}
			return verdicts[0], nil
		},
		Alone: own.engine, Basis: own.engine.Basis, Now: own.app.now,
		Observe: func(r upstream.Result) {
			switch r {
			case upstream.Counted:
				counted.Add(1)
			case upstream.Remembered:
				remembered.Add(1)
			}
		},
	})
	return up, func() bool { return counted.Load() > 0 && remembered.Load() > 0 }
}

// byShared has one engine prove everything, and another one recall it.
func (w *parityWorld) byShared(mode, set string) (enforce.Decider, func() bool) {
	server := sharedtest.New(w.TB, "", nil)
	address, err := shared.ParseAddress(server.URL())
	must(w.TB, err)
	keys, err := shared.ParseKeys([]byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))))
	must(w.TB, err)
	var hits, kept atomic.Int64
	open := func() *shared.Cache {
		c, err := shared.New(shared.Config{Address: address, Program: "test", Now: w.demands.app.now, Count: func(e shared.Event) {
			switch e {
			case shared.Hit:
				hits.Add(1)
			case shared.Kept:
				kept.Add(1)
			}
		}}, shared.Settings{Keys: keys})
		must(w.TB, err)
		w.Cleanup(c.Close)
		return c
	}
	first := w.sharing(mode, set, open())
	for _, f := range w.fixtures {
		if f.set == set {
			first.engine.Decide(context.Background(), parityRequest(f))
		}
	}
	proves := set == paritySigned || set == paritySeveral // in the others nobody's word counts, and nothing can be kept
	if proves {
		w.until("something is kept", func() bool { return kept.Load() > 0 })
	}
	return w.sharing(mode, set, open()).engine, func() bool { return hits.Load() > 0 == proves }
}

func parityRequest(f *parityFixture) engine.Request {
	return engine.Request{Image: f.image, Request: policy.Request{Point: "api"}}
}

// byWays asks every fixture in all other ways, cold and warm.
func (w *parityWorld) byWays(mode, set string, reference func(*parityFixture) *parityAnswer) {
	w.Helper()
	for _, way := range parityWays {
		decider, used := way.open(w, mode, set)
		r := &parityRun{parityDesk: &parityDesk{parityWorld: w, mode: mode}, name: way.name}
		for _, when := range []string{"cold", "warm"} {
			for _, f := range w.fixtures {
				if f.set == set {
					r.same(f, when, &parityAnswer{verdicts: []engine.Verdict{decider.Decide(context.Background(), parityRequest(f))}}, reference(f))
				}
			}
		}
		if !used() {
			w.Errorf("%s, %s, %s: it was not used", mode, way.name, set)
		}
	}
}
