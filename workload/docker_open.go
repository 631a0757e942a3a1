package workload

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// DockerConfig is which engine is asked, and how. The zero value of every field but Host is a sensible one.
type DockerConfig struct {
	Host    string  // unix:///path, tcp://host:port, http://…, https://…; on Windows also npipe:////./pipe/name
	Version string  // of the API, "1.45"; "": what both sides speak, 1.40 to 1.55
	Owner   *uint32 // who must own the unix socket and listen there; nil: anybody
	// Go starts goroutines; nil: with one that recovers from panics.
	Go    func(name string, fn func())
	Now   func() time.Time                           // nil: the clock
	Sleep func(context.Context, time.Duration) error // nil: sleeps; returns early with the cause of the context
	Log   *slog.Logger                               // nil: nothing is logged
}

// OpenDocker makes a client that keeps what it has learned of running containers. Nothing is asked yet. An error is that of the configuration,
// in the words of the page of compatibility.
func OpenDocker(c DockerConfig) (*Docker, error) { return nil, errors.New("not yet") }
