package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
)

// nodeHint is the next step where a node's daemon does not answer.
const nodeHint = "is assay serve node running, and may this user ask (--socket-group, --allow-user)? Without --node, --policy decides here"

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
	daemon := &patient{Decider: a.openNode(o.node), options: &o}
	verdicts := a.decideAll(ctx, daemon, o, request, images)
	a.writeMetrics(o.metricsFile, verdicts, nil)
	if slices.ContainsFunc(verdicts, func(v engine.Verdict) bool { return nodeAway(&v) }) {
		fmt.Fprintf(a.stderr, "assay: hint: %s\n", nodeHint)
	}
	return a.answer(o.output, verdicts, nil)
}

// patient gives each image the time of --timeout, and not all together.
type patient struct {
	enforce.Decider
	options *verifyOptions
}

// Decide implements enforce.Decider.
func (p *patient) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	ctx, cancel := context.WithTimeoutCause(ctx, p.options.timeout, fmt.Errorf("no answer within %v", p.options.timeout))
	defer cancel()
	return p.Decider.Decide(ctx, req)
}
