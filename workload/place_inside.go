package workload

import (
	"context"
	"fmt"
	"strings"
)

// The name of a cgroup is no proof: users have cgroups of their own below user.slice, and so have containers and virtual machines to which
// theirs are writable. They may call one like somebody else's container. What they cannot choose is where it lies.

// Inside reports whether another process, the first one of the container that a place names, has its cgroups at the same places, as far as the segment
// with the container's ID. It is true where no cgroup shows that ID: then something else did. ErrProcessGone: there is no such process.
func (l *Locator) Inside(ctx context.Context, place Place, first int32) (bool, error) {
	want := trunks(place.Cgroups, place.ContainerID)
	if len(want) == 0 {
		return true, nil
	}
	all, err := ask(ctx, l.config.Proc, func() ([]Cgroup, error) { return l.config.Proc.cgroups(fmt.Sprint(first)) })
	if err != nil {
		return false, err
	}
	have := trunks(all, place.ContainerID)
	for hierarchy, trunk := range want {
		if have[hierarchy] != trunk {
			return false, nil
		}
	}
	return true, nil
}

// trunks returns the paths that show an ID, as far as the segment that does, by hierarchy.
func trunks(all []Cgroup, id string) map[string]string {
	found := map[string]string{}
	for _, c := range all {
		at := strings.LastIndex(c.Path, id)
		if id == "" || at < 0 {
			continue
		}
		end := len(c.Path)
		if slash := strings.IndexByte(c.Path[at:], '/'); slash >= 0 {
			end = at + slash
		}
		found[c.Hierarchy] = c.Path[:end]
	}
	return found
}

// Realm returns whose cgroups a place lies in, where it is in those of a user, a container or a virtual machine in which the caller is not itself:
// the segment of the path that says so. "": in nobody's.
func (l *Locator) Realm(ctx context.Context, place Place) (string, error) {
	var found []string
	for _, trunk := range trunks(place.Cgroups, place.ContainerID) {
		segments := strings.Split(trunk, "/")
		for _, segment := range segments[:len(segments)-1] {
			if isRealm(segment) {
				found = append(found, segment)
			}
		}
	}
	if len(found) == 0 {
		return "", nil
	}
	own, err := ask(ctx, l.config.Proc, func() (map[string]bool, error) { return l.config.Proc.ownRealms() })
	if err != nil {
		return "", err
	}
	for _, segment := range found {
		if !own[segment] {
			return segment, nil
		}
	}
	return "", nil
}

// isRealm reports whether a segment of a path is the top of what somebody else than the system may have been given.
func isRealm(segment string) bool {
	return findID(segment) >= 0 || segment == "user.slice" || segment == "machine.slice" || segment == "lxc" ||
		strings.HasPrefix(segment, "user-") && strings.HasSuffix(segment, ".slice") || strings.HasPrefix(segment, "lxc.payload")
}

// ownRealms are those that the caller itself is in.
func (p *Proc) ownRealms() (map[string]bool, error) {
	all, err := p.cgroups("self")
	if err != nil && !gone(err) {
		return nil, err
	}
	own := map[string]bool{}
	for _, c := range all {
		for segment := range strings.SplitSeq(c.Path, "/") {
			own[segment] = own[segment] || isRealm(segment)
		}
	}
	return own, nil
}

// cgroups are those of a process, by its number or as "self".
func (p *Proc) cgroups(process string) ([]Cgroup, error) {
	content, err := p.readOf(process, "cgroup", maxCgroups)
	switch {
	case gone(err):
		return nil, fmt.Errorf("process %s: %w: %w", process, ErrProcessGone, err)
	case err != nil:
		return nil, noCgroups(err)
	}
	all, err := parseCgroups(string(content))
	if err != nil {
		return nil, noCgroups(err)
	}
	return all, nil
}
