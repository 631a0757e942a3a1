package spire

import (
	"errors"
	"strings"
)

// checkSPIFFEID says what keeps a text from being a SPIFFE ID, or nothing: "spiffe://", a trust domain, and a path that may be empty.
func checkSPIFFEID(id string) error {
	const scheme = "spiffe://"
	if id == "" {
		return errors.New("cannot be empty")
	}
	rest, ok := strings.CutPrefix(id, scheme)
	if !ok {
		return errors.New("scheme is missing or invalid")
	}
	domain, path, found := strings.Cut(rest, "/")
	switch {
	case strings.IndexFunc(domain, notOfTrustDomain) >= 0:
		return errors.New("trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores")
	case domain == "":
		return errors.New("trust domain is missing")
	case !found:
		return nil
	}
	return checkPath(path)
}

// checkPath looks at a path behind its first slash.
func checkPath(path string) error {
	if path == "" || strings.HasSuffix(path, "/") {
		return errors.New("path cannot have a trailing slash")
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case segment == "":
			return errors.New("path cannot contain empty segments")
		case segment == "." || segment == "..":
			return errors.New("path cannot contain dot segments")
		case strings.IndexFunc(segment, notOfPath) >= 0:
			return errors.New("path segment characters are limited to letters, numbers, dots, dashes, and underscores")
		}
	}
	return nil
}

func notOfTrustDomain(r rune) bool {
	return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-' || r == '_')
}

func notOfPath(r rune) bool { return notOfTrustDomain(r) && (r < 'A' || r > 'Z') }
