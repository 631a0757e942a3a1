package spire

import (
	"log/slog"

	"github.com/assay-dev/assay/enforce"
)

// Plugin is what the parts of one plugin share: its log, its goroutines and its counters. A plugin that has died is never started again,
// so that nothing in it may end the process.
type Plugin struct {
	log    *slog.Logger
	counts chan count // to whoever sends them to the agent
}

// New makes the shared part of a plugin, which logs to log; see NewLog.
func New(log *slog.Logger) *Plugin {
	return &Plugin{log: log, counts: make(chan count, maxCounts)}
}

// Log is where the plugin logs.
func (p *Plugin) Log() *slog.Logger { return p.log }

// Go starts a goroutine. It is the only one that does, in this package and for what it uses: a panic is logged and counted, and ends fn
// alone. Name says in the log what fn does. Who waits for fn has to be told by a deferred call.
func (p *Plugin) Go(name string, fn func()) {
	go p.guard(name, fn)
}

// guard calls fn. A panic is a bug, which is logged and counted.
func (p *Plugin) guard(name string, fn func()) (bug error) {
	if caught := enforce.Guard(fn); caught != nil {
		p.log.Error("bug", "in", name, "meaning", enforce.Bug.String(), "error", caught.Error(), "stack", string(caught.Stack))
		p.Count("bugs", "in", name)
		return caught
	}
	return nil
}
