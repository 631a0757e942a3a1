package image

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Pattern matches canonical references: a host, a path, and perhaps a tag and a digest. It is anchored at both ends.
//
//	registry.example/prod/api           one repository
//	registry.example/prod/*             every repository one segment below prod
//	registry.example/prod/**            every repository below prod
//	registry.example/**/web             web at any depth
//	*.example/**                        every repository of every host below example
//	**/web, **                          web at any depth of any host; everything
//	registry.example/prod/api:v1.*      tags that begin with v1.
//	registry.example/prod/api@sha256:…  one image
//
// "*" stands for any characters inside one segment of the path or inside the tag; "**" is a whole segment and stands for any
// number of them: at least one at the end of a pattern, perhaps none elsewhere. A host wildcard "*." stands for one or more whole
// labels. A host that has no port stands for port 443. Names without a host are Docker Hub's, as in a reference.
type Pattern struct {
	text     string
	host     string   // exact host, or a suffix that begins with "." (host wildcard), or "" (any host)
	segments []string // of the path, or nil: any path
	tag      string
	digest   Digest
}

// ParsePattern reads a pattern.
func ParsePattern(s string) (Pattern, error) {
	p, err := parsePattern(s)
	if err != nil {
		return Pattern{}, fmt.Errorf("pattern %q: %w", clip(s), err)
	}
	return p, nil
}

func parsePattern(s string) (Pattern, error) {
	switch {
	case s == "":
		return Pattern{}, errors.New("is empty")
	case len(s) > MaxReference:
		return Pattern{}, fmt.Errorf("%d bytes, at most %d are allowed", len(s), MaxReference)
	case !utf8.ValidString(s):
		return Pattern{}, errors.New("is not UTF-8")
	}
	p := Pattern{text: s}
	named, digestText, hasDigest := strings.Cut(s, "@")
	if hasDigest {
		d, err := ParseDigest(digestText)
		if err != nil {
			return Pattern{}, err
		}
		p.digest = d
	}
	path, err := p.parseHost(named)
	if err != nil {
		return Pattern{}, err
	}
	if i := strings.LastIndexByte(path, ':'); i > strings.LastIndexByte(path, '/') {
		p.tag, path = path[i+1:], path[:i]
		if err := checkPatternTag(p.tag); err != nil {
			return Pattern{}, err
		}
	}
	if p.host == dockerHub && !strings.Contains(path, "/") && path != "**" {
		path = officialImage + path
	}
	p.segments = strings.Split(path, "/")
	return p, checkSegments(p.segments)
}

// parseHost reads the host of a pattern and returns the path behind it.
func (p *Pattern) parseHost(s string) (path string, err error) {
	first, rest, found := strings.Cut(s, "/")
	bare, _, _ := strings.Cut(first, ":")
	switch {
	case bare == "**":
		// Any host: the "**" is about host and path together, so that "**/web" is web in every registry.
		switch {
		case !found:
			return s, nil
		case first != "**":
			return "", fmt.Errorf(`host %q: "**" stands for any host and port and takes no port of its own`, first)
		}
		return "**/" + rest, nil
	case !found && bare == "*":
		return "", errors.New(`"*" stays inside one segment; write "**" for every image, or "docker.io/library/*"`)
	case !found && strings.Contains(bare, ".") && looksLikeHost(first):
		return "", fmt.Errorf("a host without a path; write %q for all of that registry", first+"/**")
	case !found || !looksLikeHost(first) && !strings.Contains(first, "*"):
		p.host = dockerHub
		return s, nil
	}
	p.host, err = patternHost(first)
	return rest, err
}

// patternHost reads a host, or a host wildcard, which it returns as a suffix that begins with a dot.
func patternHost(s string) (string, error) {
	suffix, wild := strings.CutPrefix(s, "*.")
	if strings.Contains(suffix, "*") {
		return "", fmt.Errorf(`host %q: a wildcard stands for whole labels on the left, as in "*.example.com", and "**" for any host`, s)
	}
	if !wild {
		host, err := canonicalHost(s)
		if err == nil && !validHost(host) {
			err = fmt.Errorf("host %q: is malformed", s)
		}
		return host, err
	}
	// A label in the wildcard's place makes a host of it, which is then read like any other.
	host, err := canonicalHost("x." + suffix)
	if err == nil && !validHost(host) {
		err = fmt.Errorf("host %q: is malformed", s)
	}
	return strings.TrimPrefix(host, "x"), err
}

func validHost(host string) bool {
	name, _, err := parsePath(host, "x")
	return err == nil && name == host+"/x"
}

func checkPatternTag(tag string) error {
	if tag == "" {
		return errors.New("a colon without a tag after it")
	}
	if !patternTag.MatchString(tag) {
		return fmt.Errorf("tag %q: letters, digits, '_', '.', '-' and '*' only", clip(tag))
	}
	return nil
}

var (
	patternTag     = regexp.MustCompile(`^[A-Za-z0-9_*][A-Za-z0-9_.*-]{0,127}$`)
	patternSegment = regexp.MustCompile(`^[a-z0-9._*-]+$`)
)

func checkSegments(segments []string) error {
	for _, segment := range segments {
		switch {
		case segment == "":
			return errors.New("an empty path segment")
		case segment == "**":
		case strings.Contains(segment, "**"):
			return fmt.Errorf(`segment %q: "**" stands for whole segments and must be one`, segment)
		case segment != strings.ToLower(segment):
			return fmt.Errorf("segment %q: repositories are in lower case", segment)
		case !patternSegment.MatchString(segment):
			return fmt.Errorf("segment %q: letters, digits, '.', '_', '-' and '*' only", segment)
		}
	}
	return nil
}

// MatchName reports whether registry and repository of r fit; tag and digest are not looked at.
func (p Pattern) MatchName(r Ref) bool {
	switch {
	case r.name == "" || p.text == "":
		return false
	case p.host == "":
	case p.host[0] == '.':
		if registry := r.Registry(); len(registry) <= len(p.host) || !strings.HasSuffix(registry, p.host) {
			return false
		}
	case p.host != r.Registry():
		return false
	}
	return matchSegments(p.segments, r.Repository())
}

// Tag returns the pattern's tag, which may have wildcards, or "".
func (p Pattern) Tag() string { return p.tag }

// MatchTag reports whether a tag fits; every tag fits a pattern without one.
func (p Pattern) MatchTag(tag string) bool {
	return p.tag == "" || tag != "" && Glob(p.tag, tag)
}

// Digest returns the pattern's digest, or the zero Digest.
func (p Pattern) Digest() Digest { return p.digest }

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// matchSegments matches a path with a pattern's segments. It goes back to the last "**" only, so that its cost is bounded by the
// product of both lengths.
func matchSegments(pattern []string, path string) bool {
	restart, restartPath := -1, ""
	i := 0
	for path != "" {
		segment, rest := cutSegment(path)
		switch {
		case i < len(pattern) && pattern[i] == "**":
			if i == len(pattern)-1 {
				return true
			}
			restart, restartPath = i+1, path
			i++
			continue
		case i < len(pattern) && Glob(pattern[i], segment):
			i, path = i+1, rest
			continue
		case restart < 0:
			return false
		}
		_, restartPath = cutSegment(restartPath)
		i, path = restart, restartPath
	}
	return i == len(pattern)
}

func cutSegment(path string) (first, rest string) {
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return path, ""
}

// Glob reports whether the whole of text fits a pattern in which "*" stands for any number of characters, slashes too. It goes back to
// the last "*" only, so that its cost is bounded by the product of both lengths.
func Glob(pattern, text string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(text) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && pattern[i] == text[j]:
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}

// RegExp is a regular expression (RE2) over canonical references. It must match the whole of a name, or of a name and its tag.
type RegExp struct {
	re *regexp.Regexp
}

// ParseRegExp compiles an expression and anchors it at both ends.
func ParseRegExp(s string) (RegExp, error) {
	// Compiled alone first: "a)|(b" would break out of the group that anchors it.
	if _, err := CompileRegExp(s); err != nil {
		return RegExp{}, fmt.Errorf("expression %q: %w", clip(s), err)
	}
	re, err := regexp.Compile(`\A(?:` + s + `)\z`)
	if err != nil {
		return RegExp{}, fmt.Errorf("expression %q: %w", clip(s), err)
	}
	return RegExp{re: re}, nil
}

// MatchName reports whether registry and repository of r, without tag and digest, are matched whole.
func (e RegExp) MatchName(r Ref) bool {
	return e.re != nil && r.name != "" && e.re.MatchString(r.name)
}

// MatchTagged reports whether "name:tag" of r is matched whole.
func (e RegExp) MatchTagged(r Ref) bool {
	return e.re != nil && r.tag != "" && e.re.MatchString(r.name+":"+r.tag)
}
