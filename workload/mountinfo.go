package workload

import (
	"fmt"
	"slices"
	"strings"
)

// mountRoots returns the roots of the cgroup file systems that a mountinfo file shows, but for those that are the root of all.
func mountRoots(content string) ([]string, error) {
	var roots []string
	for line := range strings.Lines(content) {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.Split(line, " ") // an empty one is a source without a name
		separator := slices.Index(fields, "-")
		switch {
		case separator < 0:
			return nil, fmt.Errorf("missing separator in mountinfo line: %q", line)
		case separator < 6:
			return nil, fmt.Errorf("expected at least 6 fields before separator in mountinfo line: %q", line)
		case separator+1 >= len(fields) || fields[separator+1] == "":
			return nil, fmt.Errorf("missing filesystem type in mountinfo line: %q", line)
		}
		if kind := fields[separator+1]; kind != "cgroup" && kind != "cgroup2" {
			continue
		}
		if root := fields[3]; root != "/" {
			roots = append(roots, root)
		}
	}
	return roots, nil
}
