package main

import (
	"context"
	"net"
	"net/http"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/wire"
)

// openNode returns who asks the daemon at a socket. (node.Open takes its place.)
func (a *app) openNode(socket string) enforce.Decider {
	return &nodeStandIn{wire.Client{URL: "http://node", HTTP: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}}}
}

type nodeStandIn struct{ wire.Client }

// Decide implements enforce.Decider.
func (n *nodeStandIn) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	vs, err := n.Ask(ctx, req)
	if err != nil {
		return engine.Verdict{Image: req.Image, Decision: engine.Decision{Outcome: engine.CouldNotTell, Reason: err.Error()}}
	}
	return vs[0]
}

func nodeAway(v *engine.Verdict) bool { return v.Outcome == engine.CouldNotTell }
