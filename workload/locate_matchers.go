package workload

import (
	"fmt"
	"slices"
	"strings"
)

// matcher is a pattern for whole paths of cgroups, by its components: "*" is any one, "<id>" is any one too, and the ID. It is no regular
// expression.
type matcher []string

const (
	anyComponent = "*"
	idComponent  = "<id>"
)

type matchers []matcher

// parseMatchers reads patterns. Two that could match the same path are an error: nobody could say which of them counts.
func parseMatchers(patterns []string) (matchers, error) {
	var all matchers
	for _, pattern := range patterns {
		m := matcher(strings.Split(pattern, "/"))
		ids := 0
		for _, component := range m {
			if component == idComponent {
				ids++
			}
		}
		if ids != 1 {
			return nil, fmt.Errorf("pattern %q must contain the container id token %q exactly once", pattern, idComponent)
		}
		all = append(all, m)
	}
	return all, all.ambiguous(patterns)
}

func (all matchers) ambiguous(patterns []string) error {
	var found []string
	for i, m := range all {
		for j := range i {
			if m.overlaps(all[j]) {
				found = append(found, patterns[i], patterns[j])
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	slices.Sort(found)
	return fmt.Errorf("dockerfinder: patterns must not be ambiguous: %q", slices.Compact(found))
}

// overlaps reports whether a path could match both.
func (m matcher) overlaps(other matcher) bool {
	if len(m) != len(other) {
		return false
	}
	for i := range m {
		if m[i] != other[i] && !isWild(m[i]) && !isWild(other[i]) {
			return false
		}
	}
	return true
}

func isWild(component string) bool { return component == anyComponent || component == idComponent }

// match returns the ID that a path shows.
func (m matcher) match(path string) (id string, ok bool) {
	if strings.Count(path, "/")+1 != len(m) {
		return "", false
	}
	for _, component := range m {
		var segment string
		segment, path, _ = strings.Cut(path, "/")
		switch component {
		case anyComponent:
		case idComponent:
			id = segment
		case segment:
		default:
			return "", false
		}
	}
	return id, true
}

// place applies the patterns to all entries. Its errors have no meaning but their text.
func (all matchers) place(cgroups []Cgroup) (Place, error) {
	var place Place
	for _, c := range cgroups {
		for _, m := range all {
			id, ok := m.match(c.Path)
			switch {
			case !ok:
			case id == "":
				return Place{}, matcherError(&placeError{text: "workloadattestor/docker: a pattern matched, but no container id was found"})
			case place.ContainerID == "":
				place.ContainerID = id
			case place.ContainerID != id:
				return Place{}, matcherError(conflicting(fmt.Sprintf("workloadattestor/docker: multiple container IDs found in cgroups (%s, %s)", place.ContainerID, id)))
			}
		}
	}
	return place, nil
}

func matcherError(err error) error {
	return &placeError{text: err.Error(), kinds: []error{ErrMatchers, err}}
}
