package image

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// defaultPort is the port that a canonical host does not show.
const defaultPort = "443"

// maxHost is the longest host without its port, in characters (RFC 1035, section 2.3.4, without the dot at the end). With it the
// canonical form of whatever Parse accepts stays under MaxReference.
const maxHost = 253

// looksLikeHost reports whether the first segment of a name is a registry rather than a part of a Docker Hub repository.
func looksLikeHost(segment string) bool {
	if strings.ContainsAny(segment, ".:[") || segment == "localhost" {
		return true
	}
	for i := range len(segment) {
		if c := segment[i]; c >= 0x80 || 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

// canonicalHost returns the one spelling of a registry's host and port.
func canonicalHost(s string) (string, error) {
	name, port, err := splitPort(s)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(name, "[") {
		name, err = canonicalIPv6(name)
	} else {
		name, err = canonicalName(name)
	}
	if err != nil {
		return "", err
	}
	if len(name) > maxHost {
		return "", fmt.Errorf("host: %d characters, at most %d are allowed", len(name), maxHost)
	}
	if port == "" || port == defaultPort {
		switch name {
		case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
			return dockerHub, nil
		}
		if !strings.ContainsAny(name, ".:") && name != "localhost" {
			return "", fmt.Errorf("host %q: a host without a dot and without a port of its own would be read as a part of a Docker Hub name", clip(s))
		}
		return name, nil
	}
	return name + ":" + port, nil
}

func splitPort(s string) (name, port string, err error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return s, "", nil
	}
	name, port = s[:i], s[i+1:]
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return "", "", fmt.Errorf("host %q: port %q is no number from 1 to 65535", clip(s), clip(port))
	}
	return name, port, nil
}

func canonicalIPv6(s string) (string, error) {
	inner, ok := strings.CutSuffix(strings.TrimPrefix(s, "["), "]")
	addr, err := netip.ParseAddr(inner)
	if !ok || err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", fmt.Errorf("host %q: not an IPv6 address in brackets without a zone", clip(s))
	}
	if addr.Is4In6() {
		return "", fmt.Errorf("host %q: write the IPv4 address %s", clip(s), addr.Unmap())
	}
	return "[" + addr.String() + "]", nil
}

func canonicalName(s string) (string, error) {
	if s == "" {
		return "", errors.New("the host of the registry is empty")
	}
	if strings.Contains(s, ":") {
		// Two ports, of which the canonical form would drop one only, so that the rest missed the rule for the host.
		return "", fmt.Errorf("host %q: more than one colon", clip(s))
	}
	name := strings.ToLower(s)
	if needsIDNA(name) {
		ascii, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return "", fmt.Errorf("host %q: %w", clip(s), err)
		}
		name = ascii
	}
	if strings.HasSuffix(name, ".") {
		return "", fmt.Errorf("host %q: ends in a dot", clip(s))
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if !endsInNumber(last) {
		return name, nil
	}
	// Resolvers read 127.1, 0x7f.1 and 0177.0.0.1 as addresses, each in its own way: only the plain form is an address here.
	if addr, err := netip.ParseAddr(name); err != nil || !addr.Is4() {
		return "", fmt.Errorf("host %q: ends in a number but is no IPv4 address of four decimal numbers", clip(s))
	}
	return name, nil
}

func needsIDNA(name string) bool {
	for i := range len(name) {
		if name[i] >= 0x80 {
			return true
		}
	}
	return strings.HasPrefix(name, "xn--") || strings.Contains(name, ".xn--")
}

// endsInNumber reports whether a label is a number to some resolver, however large it is.
func endsInNumber(label string) bool {
	if hex, found := strings.CutPrefix(label, "0x"); found {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return label != "" && strings.Trim(label, "0123456789") == ""
}
