package workload

import (
	"context"
	"time"
)

// What tests look at from outside.
var (
	ParseCgroups = parseCgroups
	PathIDs      = pathIDs
	LegacyIDs    = legacyIDs
	MountRoots   = mountRoots
	ParseStarted = parseStarted
	Guarded      = guarded
)

// PauseEvents replaces how the client waits before it follows events again.
func (d *Docker) PauseEvents(pause func(context.Context, time.Duration) error) {
	d.events.pause = pause
}

// PauseTidying replaces how the clients wait before they close what is idle.
func (p *Podman) PauseTidying(pause func(context.Context, time.Duration) error) { p.pause = pause }

// Clients returns how many sockets have a client.
func (p *Podman) Clients() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.clients)
}

// Held returns how many bytes are remembered of containers.
func (d *Docker) Held() int {
	d.containers.mu.Lock()
	defer d.containers.mu.Unlock()
	return d.containers.held
}

// LimitMemory replaces how many bytes may be remembered of containers, and returns how many it were.
func (d *Docker) LimitMemory(limit int) int {
	was := d.containers.max
	d.containers.max = limit
	return was
}

// Remembered returns how many answers are kept, of containers and of images.
func (d *Docker) Remembered() (containers, images int) {
	d.containers.mu.Lock()
	defer d.containers.mu.Unlock()
	d.images.mu.Lock()
	defer d.images.mu.Unlock()
	return len(d.containers.entries), len(d.images.entries)
}

// MatchID applies one legacy matcher to a path.
func MatchID(pattern, path string) (id string, ok bool) {
	all, err := parseMatchers([]string{pattern})
	if err != nil {
		return "", false
	}
	return all[0].match(path)
}

// Waiting returns how many wait for a container.
func (d *Docker) Waiting(id string) int {
	d.containers.mu.Lock()
	defer d.containers.mu.Unlock()
	if a := d.containers.asking[id]; a != nil {
		return a.waiters
	}
	return 0
}

// Stale reports whether what is on its way of a container will not be kept.
func (d *Docker) Stale(id string) bool {
	d.containers.mu.Lock()
	defer d.containers.mu.Unlock()
	a := d.containers.asking[id]
	return a != nil && a.stale
}
