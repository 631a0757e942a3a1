package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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
type Locator struct {
	config LocatorConfig
	rules  func([]Cgroup) (Place, error)
	// missing says what a process without a cgroup file means.
	missing func(error) error
}

// NewLocator makes a Locator. An error is that of a configuration, in the words of the page of compatibility.
func NewLocator(c LocatorConfig) (*Locator, error) {
	if c.Proc == nil {
		return nil, errors.New("a locator needs a process table")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.Matchers) > 0 && !c.Legacy {
		return nil, errors.New(newLocatorWithMatchers)
	}
	l := &Locator{config: c, missing: func(error) error { return nil }}
	l.rules = func(all []Cgroup) (Place, error) { return l.place(cgroupPaths(all)) }
	switch {
	case c.Legacy && c.Pods:
		l.rules, l.missing = legacyPods, noCgroups
	case c.Legacy && len(c.Matchers) > 0:
		m, err := parseMatchers(c.Matchers)
		if err != nil {
			return nil, err
		}
		l.rules, l.missing = m.place, func(err error) error { return matcherError(noCgroups(err)) }
	}
	return l, nil
}

const newLocatorWithMatchers = "the new container locator and custom cgroup matchers cannot both be used; please open an issue if the new container " +
	"locator fails to locate workload containers in your environment; to continue using custom matchers set use_new_container_locator=false"

func noCgroups(err error) error { return fmt.Errorf("unable to obtain cgroups: %w", err) }

// Locate tells in which container a process runs. A Place without ContainerID is none, without an error.
//
// Errors wrap ErrConflict (with the legacy matchers also ErrMatchers), or ErrProcessGone where the process ended, or its number went to
// another one, meanwhile; or the cause of ctx, or context.DeadlineExceeded where the kernel did not answer within a second of its turn. Any other: what the
// kernel says cannot be read.
func (l *Locator) Locate(ctx context.Context, pid int32) (Place, error) {
	return ask(ctx, l.config.Proc, func() (Place, error) { return l.locate(pid) })
}

// same makes sure that the process is still the one that was looked at.
func (l *Locator) same(pid int32, place Place, before uint64) (Place, error) {
	after, err := l.config.Proc.started(pid)
	switch {
	case err != nil:
		return Place{}, err
	case after != before:
		return Place{}, fmt.Errorf("process %d: another one has its number: %w", pid, ErrProcessGone)
	}
	place.Started = after
	return place, nil
}

// inspect applies the rules to what the kernel says now.
func (l *Locator) inspect(pid int32) (Place, error) {
	content, err := l.config.Proc.read(pid, "cgroup", maxCgroups)
	if gone(err) {
		if err := l.missing(err); err != nil {
			return Place{}, err
		}
		content, err = nil, nil
	}
	if err != nil {
		return Place{}, noCgroups(err)
	}
	all, err := parseCgroups(string(content))
	if err != nil {
		return Place{}, noCgroups(err)
	}
	place, err := l.rules(all)
	if err == nil && place.ContainerID == "" && l.config.MountinfoFallback && !l.config.Legacy {
		place, err = l.fallback(pid)
	}
	if err != nil {
		return Place{}, err
	}
	place.Cgroups = all
	if place.ContainerID != "" {
		place.Podman = l.podman(all)
	}
	return place, nil
}

// fallback asks mountinfo, which a workload can forge: it shapes its own mounts, while the kernel writes the cgroups.
func (l *Locator) fallback(pid int32) (Place, error) {
	content, err := l.config.Proc.read(pid, "mountinfo", maxMountinfo)
	if gone(err) {
		return Place{}, nil
	}
	var roots []string
	if err == nil {
		roots, err = mountRoots(string(content))
	}
	if err != nil {
		return Place{}, fmt.Errorf("failed to parse mount info at %q: %w", fmt.Sprintf("/proc/%d/mountinfo", pid), err)
	}
	place, err := l.place(roots)
	if err == nil && place.ContainerID != "" {
		l.config.Log.Warn("Container ID taken from mountinfo, which a workload can forge", "pid", pid, "container_id", place.ContainerID)
		if l.config.OnFallback != nil {
			l.config.OnFallback()
		}
	}
	return place, err
}

func cgroupPaths(all []Cgroup) []string {
	paths := make([]string, len(all))
	for i, c := range all {
		paths[i] = c.Path
	}
	return paths
}

// place applies the new rules: entries that show no container count for nothing, all others must agree; and those that show a pod, where pods
// are looked for, count alone. So the order of the entries has no meaning.
func (l *Locator) place(paths []string) (Place, error) {
	var with, without Place // what the first entry with a pod showed, and the first without
	var conflict error      // of those without
	last := ""
	for _, path := range paths {
		container, pod := pathIDs(path, l.config.Pods)
		if l.config.Verbose {
			l.config.Log.Debug("Looked at a cgroup entry", "path", path, "container_id", container, "pod_uid", pod)
		}
		if path == last { // controllers of the first version have the same path, mostly
			continue
		}
		last = path
		switch {
		case container == "":
		case pod == "" && without.ContainerID == "":
			without.ContainerID = container
		case pod == "":
			if conflict == nil && container != without.ContainerID {
				conflict = conflicting(fmt.Sprintf("multiple container IDs found (%q, %q)", without.ContainerID, container))
			}
		case with.PodUID == "":
			with = Place{ContainerID: container, PodUID: pod}
		case pod != with.PodUID:
			return Place{}, conflicting(fmt.Sprintf("multiple pod UIDs found (%q, %q)", with.PodUID, pod))
		case container != with.ContainerID:
			return Place{}, conflicting(fmt.Sprintf("multiple container IDs found (%q, %q)", with.ContainerID, container))
		}
	}
	if with.PodUID != "" {
		return with, nil
	}
	return without, conflict
}

// placeError is an error whose text is a contract.
type placeError struct {
	text  string
	kinds []error
}

func (e *placeError) Error() string   { return e.text }
func (e *placeError) Unwrap() []error { return e.kinds }

func conflicting(text string) error { return &placeError{text: text, kinds: []error{ErrConflict}} }

// podman reports whether an entry is one of Podman, and whose.
func (l *Locator) podman(all []Cgroup) *PodmanPlace {
	for _, c := range all {
		if !strings.Contains(c.Path, "libpod-") && !strings.Contains(c.Path, "/libpod/") {
			continue
		}
		place, fits := podmanPlace(c.Path)
		if !fits {
			l.config.Log.Warn("The user of a container of Podman is no number of 32 bits; taking root's", "path", c.Path)
		}
		return &place
	}
	return nil
}
