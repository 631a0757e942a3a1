package workload

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

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

// PodmanPlace is whose container of Podman a process runs in.
type PodmanPlace struct {
	Rootless bool   // of a user, not of root
	UID      uint32 // of the user; of meaning only where Rootless
}

var userSlice = regexp.MustCompile(`/user-([0-9]+)\.slice/`)

// podmanPlace tells whose container a path of Podman's is. What does not fit a user's number is root's.
func podmanPlace(path string) (place PodmanPlace, fits bool) {
	m := userSlice.FindStringSubmatch(path)
	if m == nil {
		return PodmanPlace{}, true
	}
	uid, err := strconv.ParseUint(m[1], 10, 32)
	if err != nil {
		return PodmanPlace{}, false
	}
	return PodmanPlace{Rootless: true, UID: uint32(uid)}, true
}

// ForeignManager reports whether the container is surely another manager's than the kubelet's, as far as paths can tell: Docker's or Podman's
// beside it. In doubt it is not.
func (p Place) ForeignManager() bool {
	if p.ContainerID == "" || p.PodUID != "" {
		return false
	}
	seen := false
	for _, c := range p.Cgroups {
		if showsPod(c.Path) {
			return false
		}
		if id, _ := pathIDs(c.Path, false); id != p.ContainerID {
			continue
		}
		if strings.HasPrefix(c.Path, "/..") || !foreign(c.Path, p.ContainerID) {
			return false
		}
		seen = true
	}
	return seen
}

// anyPod is the UID of a pod however it is spelled: with dashes, "_" or nothing between its groups.
var anyPod = regexp.MustCompile(`pod[[:punct:]]?[[:xdigit:]]{8}(?:[[:punct:]]?[[:xdigit:]]{4}){3}[[:punct:]]?[[:xdigit:]]{12}(?:[^[:xdigit:]]|$)`)

func showsPod(path string) bool {
	return strings.Contains(path, "/kubepods") || strings.HasPrefix(path, "kubepods") || anyPod.MatchString(path)
}

// foreign reports whether the segment with the ID, or the one that it lies in, is one that only other managers make.
func foreign(path, id string) bool {
	segments := strings.Split(path, "/")
	for i := len(segments) - 1; i > 0; i-- {
		at := findID(segments[i])
		if at < 0 || segments[i][at:at+idLength] != id {
			continue
		}
		own, parent := segments[i], segments[i-1]
		return own == "docker-"+id+".scope" || otherManager(own) || otherManager(parent)
	}
	return false
}

func otherManager(segment string) bool {
	return segment == "docker" || segment == "machine.slice" || segment == "user.slice" ||
		strings.HasPrefix(segment, "libpod") || strings.HasPrefix(segment, "user-") && strings.HasSuffix(segment, ".slice")
}
