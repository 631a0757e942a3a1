package spire

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/assay-dev/assay/enforce"
)

// Plugin is what the parts of one plugin share: its log, its goroutines and its counters. A plugin that has died is never started again,
// so that nothing in it may end the process.
type Plugin struct {
	log    *slog.Logger
	counts counts
}

// New makes the shared part of a plugin, which logs to log; see NewLog.
func New(log *slog.Logger) *Plugin { return &Plugin{log: log} }

// Log is where the plugin logs.
func (p *Plugin) Log() *slog.Logger { return p.log }

// Go starts a goroutine. It is the only one that does, in this package and for what it uses: a panic is logged and counted, and ends fn
// alone. Name says in the log what fn does. Who waits for fn has to be told by a deferred call.
func (p *Plugin) Go(name string, fn func()) {
	start(func() { _ = p.Guard(name, fn) }) // Guard has logged it
}

// start starts a goroutine of something that does not panic.
func start(fn func()) { go fn() }

// Guard calls fn. A panic is a bug, which is logged and counted, and is the only error. Name says in the log what fn does.
func (p *Plugin) Guard(name string, fn func()) error {
	caught := enforce.Guard(fn)
	if caught == nil {
		return nil
	}
	p.log.Error("bug", "in", name, "meaning", enforce.Bug.String(), "error", caught.Error(), "stack", string(caught.Stack))
	p.Count("bugs", "in", name)
	return errBug
}

// unary answers a call whose handler panics.
func (p *Plugin) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	bug := p.Guard(info.FullMethod, func() { answer, err = handler(ctx, req) })
	if bug != nil {
		return nil, bug
	}
	return answer, err
}

// stream ends a stream whose handler panics.
func (p *Plugin) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	bug := p.Guard(info.FullMethod, func() { err = handler(server, stream) })
	if bug != nil {
		return bug
	}
	return err
}
