package image

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/distribution/reference"
)

// MaxReference is the longest text that Parse looks at, in bytes.
const MaxReference = 1024

const (
	dockerHub     = "docker.io"
	officialImage = "library/"
	defaultTag    = "latest"
)

var errMalformedHost = errors.New("the host of the registry is malformed")

// Ref is a reference: the name of an image in canonical form. Registry and repository are always there, and a tag or a digest or
// both. Two spellings of one name parse to equal values; Refs are comparable with ==. The zero value names nothing.
type Ref struct {
	name   string // registry/repository
	host   int    // length of the registry in name
	tag    string
	digest Digest
}

// Parse reads a reference in any spelling that container tools accept and returns its canonical form: the host in lower case and
// as punycode, the default port 443 removed, Docker Hub's aliases folded into docker.io, "library/" added to Docker Hub's
// single-segment names, and the tag latest added where neither tag nor digest stands.
//
// A text that tools could read in two ways is refused: a trailing dot, a number that is no IP address in the host's place, an
// upper-case first segment that is a host only because it is in upper case. The grammar is that of
// github.com/distribution/reference.
func Parse(s string) (Ref, error) {
	r, err := parse(s)
	if err != nil {
		return Ref{}, fmt.Errorf("could not parse reference: %s: %w", shown(s), err)
	}
	return r, nil
}

// MustParse is Parse for constants; it panics on an error.
func MustParse(s string) Ref {
	r, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return r
}

func parse(s string) (Ref, error) {
	switch {
	case s == "":
		return Ref{}, errors.New("the name is empty")
	case len(s) > MaxReference:
		return Ref{}, fmt.Errorf("%d bytes, at most %d are allowed", len(s), MaxReference)
	case !utf8.ValidString(s):
		return Ref{}, errors.New("is not UTF-8")
	case strings.Contains(s, "://"):
		return Ref{}, errors.New("is a URL; leave out what stands before the registry")
	}
	if isImageID(s) {
		return Ref{}, errors.New("is the ID of a local image to some tools and a name to others; write docker.io/library/… for the name")
	}
	named, digestText, hasDigest := strings.Cut(s, "@")
	var digest Digest
	if hasDigest {
		d, err := ParseDigest(digestText)
		if err != nil {
			return Ref{}, err
		}
		digest = d
	}
	host, path, err := splitHost(named)
	if err != nil {
		return Ref{}, err
	}
	name, tag, err := parsePath(host, path)
	if err != nil {
		return Ref{}, err
	}
	if tag == "" && digest.IsZero() {
		tag = defaultTag
	}
	return Ref{name: name, host: len(host), tag: tag, digest: digest}, nil
}

// isImageID reports whether tools look for s among the IDs of local images before, or instead of, reading it as a name.
func isImageID(s string) bool {
	if _, err := ParseDigest(s); err == nil {
		return true
	}
	_, err := ParseDigest(sha256Prefix + s)
	return err == nil
}

// splitHost cuts the registry off a name and returns it in canonical form with the rest, to which Docker Hub's "library/" was added.
func splitHost(s string) (host, path string, err error) {
	first, rest, found := strings.Cut(s, "/")
	if !found || !looksLikeHost(first) {
		host, path = dockerHub, s
	} else {
		if host, err = canonicalHost(first); err != nil {
			return "", "", err
		}
		path = rest
	}
	if host == dockerHub && !strings.Contains(path, "/") {
		path = officialImage + path
	}
	return host, path, nil
}

func parsePath(host, path string) (name, tag string, err error) {
	parsed, err := reference.Parse(host + "/" + path)
	if err != nil {
		return "", "", explain(path)
	}
	named, ok := parsed.(reference.Named)
	if !ok || reference.Domain(named) != host {
		return "", "", errMalformedHost
	}
	if tagged, ok := parsed.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	return named.Name(), tag, nil
}

// explain says what is wrong with a path that the grammar refuses.
func explain(path string) error {
	repository, tag := path, ""
	if i := strings.LastIndexByte(path, ':'); i > strings.LastIndexByte(path, '/') {
		repository, tag = path[:i], path[i+1:]
		if tag == "" {
			return errors.New("a colon without a tag after it")
		}
	}
	switch {
	case repository == "":
		return errors.New("no repository")
	case strings.ContainsAny(path, " \t\r\n"):
		return errors.New("white space in the name")
	case repository != strings.ToLower(repository):
		return fmt.Errorf("repository %q: must be in lower case", clip(repository))
	case len(repository) > reference.RepositoryNameTotalLengthMax:
		return fmt.Errorf("repository: %d characters, at most %d are allowed", len(repository), reference.RepositoryNameTotalLengthMax)
	case !validRepository(repository):
		return fmt.Errorf("repository %q: segments are letters and digits with single '.', '_', '__' or dashes between them", clip(repository))
	case tag != "":
		return fmt.Errorf("tag %q: at most 128 letters, digits, '_', '.' and '-', and neither '.' nor '-' first", clip(tag))
	}
	return errMalformedHost
}

func validRepository(repository string) bool {
	_, err := reference.WithName("x.example/" + repository)
	return err == nil
}

// Registry returns the host of the registry, with its port if it is not 443: "docker.io", "localhost:5000".
func (r Ref) Registry() string { return r.name[:r.host] }

// Repository returns the repository's path in its registry: "library/alpine".
func (r Ref) Repository() string {
	if r.name == "" {
		return ""
	}
	return r.name[r.host+1:]
}

// Name returns registry and repository: "docker.io/library/alpine".
func (r Ref) Name() string { return r.name }

// Tag returns the tag, or "".
func (r Ref) Tag() string { return r.tag }

// Digest returns the digest, or the zero Digest.
func (r Ref) Digest() Digest { return r.digest }

// IsZero reports whether r names nothing.
func (r Ref) IsZero() bool { return r.name == "" }

// At returns the image of r's repository with digest d, without a tag.
func (r Ref) At(d Digest) Ref { return Ref{name: r.name, host: r.host, digest: d} }

// Pinned returns r with digest d beside its tag.
func (r Ref) Pinned(d Digest) Ref { return Ref{name: r.name, host: r.host, tag: r.tag, digest: d} }

// Tagged returns the image of r's repository with a tag and without a digest. The tag must fit the grammar.
func (r Ref) Tagged(tag string) (Ref, error) {
	tagged, err := Parse(r.name + ":" + tag)
	if err != nil {
		return Ref{}, err
	}
	if tagged.name != r.name || tagged.tag != tag || !tagged.digest.IsZero() {
		return Ref{}, fmt.Errorf("tag %q: is more than a tag", clip(tag))
	}
	return tagged, nil
}

// String returns r in canonical form: name, then ":tag" and "@digest" where they are.
func (r Ref) String() string {
	s := r.name
	if r.tag != "" {
		s += ":" + r.tag
	}
	if !r.digest.IsZero() {
		s += "@" + r.digest.text
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
