package workload

import (
	"fmt"
	"regexp"
	"strings"
)

// Cgroup is one entry of /proc/<pid>/cgroup.
type Cgroup struct {
	Hierarchy string // "0" for the second version
	Path      string // from the agent's own cgroup namespace, so that it may begin with /..
}

// parseCgroups reads /proc/<pid>/cgroup.
func parseCgroups(content string) ([]Cgroup, error) {
	var all []Cgroup
	for line := range strings.Lines(content) {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 {
			return nil, fmt.Errorf("invalid cgroup entry, contains %d colon separated fields but expected at least 3: %q", len(fields), line)
		}
		all = append(all, Cgroup{Hierarchy: fields[0], Path: fields[2]})
	}
	return all, nil
}

// idLength is the number of hex digits of a container's ID.
const idLength = 64

var podSegment = regexp.MustCompile(`\bpod([[:xdigit:]]{8}(?:[-_][[:xdigit:]]{4}){3}[-_][[:xdigit:]]{12})\b`)

// pathIDs returns the ID of the container that a path of a cgroup shows, and of its pod; "" for what it does not show. Segments are looked at
// from the end, and an empty one ends that: what is nearest to the process counts.
func pathIDs(path string, pods bool) (container, pod string) {
	for path != "" {
		parent, segment := path, path
		if cut := strings.LastIndexByte(path, '/'); cut >= 0 {
			parent, segment = path[:cut], path[cut+1:]
		} else {
			parent = ""
		}
		if segment == "" {
			return container, ""
		}
		if container == "" {
			at := findID(segment)
			if at < 0 {
				path = parent
				continue
			}
			container, segment = segment[at:at+idLength], segment[:at]
			if !pods {
				return container, ""
			}
		}
		if pod = findPod(segment); pod != "" {
			return container, pod
		}
		path = parent
	}
	return container, ""
}

// findID returns where in a segment 64 hex digits stand that no letter, digit or "_" touches; -1: nowhere.
func findID(segment string) int {
	start := 0
	for i := 0; i <= len(segment); i++ {
		if i < len(segment) && isWord(segment[i]) {
			continue
		}
		if i-start == idLength && isHex(segment[start:i]) {
			return start
		}
		start = i + 1
	}
	return -1
}

// findPod returns the UID of a pod that a segment shows, with dashes.
func findPod(segment string) string {
	if !strings.Contains(segment, "pod") {
		return ""
	}
	m := podSegment.FindStringSubmatch(segment)
	if m == nil {
		return ""
	}
	return strings.ReplaceAll(m[1], "_", "-")
}

func isWord(b byte) bool {
	return b == '_' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

func isHex(s string) bool {
	for i := range len(s) {
		if b := s[i]; !('0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F') {
			return false
		}
	}
	return true
}
