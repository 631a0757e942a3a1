package spire

import (
	"errors"
	"fmt"
	"strings"
)

// maxTrustDomain is the length of the name of a trust domain, in bytes.
const maxTrustDomain = 255

const spiffeScheme = "spiffe://"

// parseTrustDomain returns the name of a trust domain, which may be written as a SPIFFE ID without a path.
func parseTrustDomain(text string) (string, error) {
	name := strings.TrimPrefix(text, spiffeScheme)
	if err := checkTrustDomain(name); err != nil {
		return "", err
	}
	return name, nil
}

func checkTrustDomain(name string) error {
	switch {
	case name == "":
		return errors.New("trust domain is missing")
	case len(name) > maxTrustDomain:
		return fmt.Errorf("trust domain is longer than %d bytes", maxTrustDomain)
	case strings.ContainsFunc(name, notOfTrustDomain):
		return errors.New("trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores")
	}
	return nil
}

// checkSPIFFEID says what keeps a text from being a SPIFFE ID, or nothing: "spiffe://", a trust domain, and a path that may be empty.
func checkSPIFFEID(id string) error {
	if id == "" {
		return errors.New("cannot be empty")
	}
	rest, ok := strings.CutPrefix(id, spiffeScheme)
	if !ok {
		return errors.New("scheme is missing or invalid")
	}
	domain, path, found := strings.Cut(rest, "/")
	if err := checkTrustDomain(domain); err != nil || !found {
		return err
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
