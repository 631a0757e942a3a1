// Package image names container images: references and digests in one canonical form, and the patterns that match them.
//
// Whatever decides about an image parses its name here once; no other package looks at the text of a reference. The package
// does no I/O.
package image

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Digest is the digest of a manifest, an index or a blob: an algorithm and its value in lower-case hexadecimal, as in
// "sha256:…" (OCI image specification, descriptor.md, "Digests"). Only sha256 and sha512 are known.
//
// The zero value is no digest. Digests are comparable with ==.
type Digest struct {
	text string
}

const (
	sha256Prefix = "sha256:"
	sha512Prefix = "sha512:"
)

// ParseDigest reads a digest. The algorithm must be sha256 or sha512, the value complete and in lower case.
func ParseDigest(s string) (Digest, error) {
	algorithm, value, found := strings.Cut(s, ":")
	if !found {
		return Digest{}, fmt.Errorf("digest %q: no algorithm, want sha256:<64 hex digits>", clip(s))
	}
	var want int
	switch algorithm {
	case "sha256":
		want = 2 * sha256.Size
	case "sha512":
		want = 2 * sha512.Size
	default:
		return Digest{}, fmt.Errorf("digest %q: unknown algorithm %q, want sha256 or sha512", clip(s), clip(algorithm))
	}
	if len(value) != want {
		return Digest{}, fmt.Errorf("digest %q: %d digits, %s has %d", clip(s), len(value), algorithm, want)
	}
	for i := range len(value) {
		switch c := value[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f':
		case 'A' <= c && c <= 'F':
			return Digest{}, fmt.Errorf("digest %q: hexadecimal digits must be in lower case", clip(s))
		default:
			return Digest{}, fmt.Errorf("digest %q: %q is no hexadecimal digit", clip(s), value[i:i+1])
		}
	}
	return Digest{text: s}, nil
}

// MustParseDigest is ParseDigest for constants; it panics on an error.
func MustParseDigest(s string) Digest {
	d, err := ParseDigest(s)
	if err != nil {
		panic(err)
	}
	return d
}

// SHA256 returns the sha256 digest of content.
func SHA256(content []byte) Digest {
	sum := sha256.Sum256(content)
	return Digest{text: sha256Prefix + hex.EncodeToString(sum[:])}
}

// Fits reports whether d is the digest of content. The zero Digest fits nothing.
func (d Digest) Fits(content []byte) bool {
	switch d.Algorithm() {
	case "sha256":
		return SHA256(content) == d
	case "sha512":
		sum := sha512.Sum512(content)
		return sha512Prefix+hex.EncodeToString(sum[:]) == d.text
	}
	return false
}

// IsZero reports whether d is no digest.
func (d Digest) IsZero() bool { return d.text == "" }

// Algorithm returns "sha256" or "sha512", and "" for the zero Digest.
func (d Digest) Algorithm() string {
	algorithm, _, _ := strings.Cut(d.text, ":")
	return algorithm
}

// Hex returns the value of d without its algorithm.
func (d Digest) Hex() string {
	_, value, _ := strings.Cut(d.text, ":")
	return value
}

// String returns d as "sha256:…", and "" for the zero Digest.
func (d Digest) String() string { return d.text }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.text), nil }

// UnmarshalText implements encoding.TextUnmarshaler; an empty text is the zero Digest.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Digest{}
		return nil
	}
	parsed, err := ParseDigest(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// shown writes foreign text into a message as it is, and quoted where it could break out of a line or a terminal.
func shown(s string) string {
	s = clip(s)
	for _, c := range s {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return strconv.Quote(s)
		}
	}
	return s
}
