package spire

import (
	"errors"
	"fmt"
	"strings"
)

// maxTrustDomain is the length of the name of a trust domain, in bytes.
const maxTrustDomain = 255

// parseTrustDomain returns the name of a trust domain, which may be written as a SPIFFE ID without a path.
func parseTrustDomain(text string) (string, error) {
	name := strings.TrimPrefix(text, "spiffe://")
	switch {
	case name == "":
		return "", errors.New("trust domain is missing")
	case len(name) > maxTrustDomain:
		return "", fmt.Errorf("trust domain is longer than %d bytes", maxTrustDomain)
	case strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(trustDomainLetters, r) }):
		return "", errors.New("trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores")
	}
	return name, nil
}

const trustDomainLetters = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
