package workload

import (
	"context"
	"errors"
	"log/slog"
)

// LocatorConfig is how containers are found. The zero value with a Proc finds those of Docker, by the new rules.
type LocatorConfig struct {
	Proc *Proc
	// Pods looks for pod UIDs too: an entry with one beats those without.
	Pods bool
	// Legacy uses the rules of older versions: Matchers, or for Pods the two forms of paths. Without Pods and Matchers the new rules stay.
	Legacy   bool
	Matchers []string // only with Legacy and without Pods
	// MountinfoFallback believes mountinfo where the cgroups name no container, although a workload shapes its own mounts. Not with the legacy rules.
	MountinfoFallback bool
	OnFallback        func()       // called where mountinfo named a container
	Log               *slog.Logger // nil: nothing is logged
	Verbose           bool         // debug lines with every entry that is looked at
}

// Locator tells in which container a process runs. It is safe for concurrent use.
type Locator struct{ config LocatorConfig }

// NewLocator makes a Locator. An error is that of a configuration, in the words of the page of compatibility.
func NewLocator(c LocatorConfig) (*Locator, error) { return &Locator{config: c}, nil }

// Locate tells in which container a process runs. A Place without ContainerID is none, without an error.
//
// Errors wrap ErrConflict (with the legacy matchers also ErrMatchers), or ErrProcessGone where the process ended, or its number went to
// another one, meanwhile; or the cause of ctx, or context.DeadlineExceeded where the kernel did not answer within a second. Any other: what the
// kernel says cannot be read.
func (l *Locator) Locate(ctx context.Context, pid int32) (Place, error) {
	return Place{}, errors.New("not yet")
}
