package workload

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// PodmanTemplate is where the sockets of users' Podmans are.
type PodmanTemplate struct{ before, after string }

// ParsePodmanTemplate reads a host with one %d for the number of the user; %% is a percent sign. An error is the cause alone, without the name
// of a key.
func ParsePodmanTemplate(text string) (PodmanTemplate, error) {
	return PodmanTemplate{}, errors.New("not yet")
}

// Host returns the host of a user's Podman.
func (t PodmanTemplate) Host(uid uint32) string { return "" }

// PodmanConfig is where Podman is asked.
type PodmanConfig struct {
	Host     string // of root's, "unix:///run/podman/podman.sock"
	Template string // of users', "unix:///run/user/%d/podman/podman.sock"
	Go       func(name string, fn func())
	Now      func() time.Time
	Sleep    func(context.Context, time.Duration) error
	Log      *slog.Logger
}

// Podman has one client for each socket of Podman, for as long as it is used. It is safe for concurrent use.
type Podman struct{}

// OpenPodman makes a Podman. Nothing is asked yet. An error is that of the template, in the words of the page of compatibility.
func OpenPodman(c PodmanConfig) (*Podman, error) { return nil, errors.New("not yet") }

// At returns the client for a place. It needs no Close, and must not be kept.
func (p *Podman) At(place PodmanPlace) (*Docker, error) { return nil, errors.New("not yet") }

// Close closes all clients.
func (p *Podman) Close() {}
