package image

import "strings"

// Bucket returns the key under which an index of many patterns files p, so that a reference needs to be tried with the patterns
// of its own few buckets only (see Ref.Buckets). Keys are, from narrow to wide: a whole name, a host and the segments before the
// first wildcard with a slash behind them, a host, the suffix of a host wildcard, and "" for patterns of any host.
func (p Pattern) Bucket() string {
	if p.host == "" || p.host[0] == '.' || len(p.segments) == 0 {
		return p.host
	}
	for i, segment := range p.segments {
		switch {
		case !strings.Contains(segment, "*"):
		case i == 0:
			return p.host
		default:
			return p.host + "/" + strings.Join(p.segments[:i], "/") + "/"
		}
	}
	return p.host + "/" + strings.Join(p.segments, "/")
}

// Buckets appends to keys the keys of all buckets in which a pattern that matches r can be. They are parts of r's name and cost no
// memory of their own.
func (r Ref) Buckets(keys []string) []string {
	if r.name == "" {
		return keys
	}
	keys = append(keys, "", r.name[:r.host], r.name)
	for i := r.host + 1; i < len(r.name); i++ {
		if r.name[i] == '/' {
			keys = append(keys, r.name[:i+1])
		}
	}
	for i := 1; i < r.host; i++ {
		if r.name[i] == '.' {
			keys = append(keys, r.name[i:r.host])
		}
	}
	return keys
}
