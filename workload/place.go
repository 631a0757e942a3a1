package workload

import "errors"

var (
	// ErrConflict says that what is known of a process names two containers or two pods.
	ErrConflict = errors.New("names more than one container")
	// ErrProcessGone says that the process is not there, or not the same any more.
	ErrProcessGone = errors.New("the process has ended")
	// ErrMatchers says that the error is one of the legacy matchers, whose errors have no meaning of their own for whoever asked.
	ErrMatchers = errors.New("legacy matchers")
)

// Place is where a process runs. The zero Place is no container.
type Place struct {
	ContainerID string // as the cgroup writes it; "": in no container
	PodUID      string // in its form with dashes; "": in no pod, or the path does not tell
	Cgroups     []Cgroup
	Started     uint64       // clock ticks since the machine started: with its number, the identity of a process. On Windows, 100 ns since 1601
	Podman      *PodmanPlace // nil: not a container of Podman
}

// Cgroup is one entry of /proc/<pid>/cgroup.
type Cgroup struct {
	Hierarchy   string // "0" for the second version
	Controllers string
	Path        string
}

// PodmanPlace is whose container of Podman a process runs in.
type PodmanPlace struct {
	Rootless bool
	UID      uint32 // of the user; of meaning only where Rootless
}

// ForeignManager reports whether the container is surely another manager's than the kubelet's, as far as paths can tell.
func (p Place) ForeignManager() bool { return false }
