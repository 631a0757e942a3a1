package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/assay-dev/assay/enforce/node"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
)

// nodeHint is the next step where a node's daemon does not answer.
const nodeHint = "is assay serve node running, in a version that goes with this one, and may this user ask (--socket-group, --allow-user)? Without --node, --policy decides here"

// aloneFlags are the flags of verify that say how it decides by itself.
var aloneFlags = []string{"policy", "print-policy", "registries", "docker-config", "keychain", "state-dir"}

// checkNode refuses flags that would decide otherwise than the daemon, which goes by its own.
func (o *verifyOptions) checkNode(flags *pflag.FlagSet) error {
	if o.node == "" {
		if flags.Changed("node") {
			return usageError("--node: is empty; leave it out, or name a socket")
		}
		return nil
	}
	beside := slices.DeleteFunc(slices.Clone(aloneFlags), func(name string) bool { return !flags.Changed(name) })
	for _, f := range o.trust.given() {
		beside = append(beside, f.Name)
	}
	switch {
	case len(beside) > 0:
		return withHint(usageError("--node beside --%s: the daemon decides, by its own policies and settings", beside[0]),
			"leave --node out to decide here, or give the daemon what it shall decide by")
	case !filepath.IsAbs(o.node):
		return usageError("--node %q: want the path of a socket, such as /run/assay/node.sock", o.node)
	}
	return nil
}

// verifyAtNode has the daemon of the node decide.
func (a *app) verifyAtNode(ctx context.Context, o verifyOptions, request policy.Request, args []string) error {
	images, err := a.images(o.imagesFile, args)
	if err != nil {
		return err
	}
	daemon := &nodeDecider{Client: node.Open(o.node), timeout: o.timeout}
	defer daemon.Close()
	verdicts := a.decideAll(ctx, daemon, o, request, images)
	a.writeMetrics(o.metricsFile, verdicts, nil)
	if daemon.away.Load() {
		fmt.Fprintf(a.stderr, "assay: hint: %s\n", nodeHint)
	}
	return a.answer(o.output, verdicts, nil)
}

// nodeDecider is the daemon, with a time for each image, and not for all together.
type nodeDecider struct {
	*node.Client
	timeout time.Duration
	away    atomic.Bool // it has once not answered
}

// Decide implements enforce.Decider.
func (d *nodeDecider) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, fmt.Errorf("no answer within %v", d.timeout))
	defer cancel()
	verdicts, err := d.Ask(ctx, req)
	if err == nil {
		return verdicts[0]
	}
	d.away.Store(true)
	v := engine.Verdict{Image: req.Image, Decision: engine.Decision{Outcome: engine.CouldNotTell, Reason: err.Error()}}
	v.SetErr(err)
	return v
}
