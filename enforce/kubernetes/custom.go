package kubernetes

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind says where the images of a custom resource are.
type Kind struct {
	Group string
	Kind  string
	// Paths are JSON pointers to an image, a container, a pod's spec, a pod template, or a list of one of these. "*" as a segment is
	// every item of a list or member of an object. An object in which a path, or an item on it, leads to no image is denied, unless the
	// path ends in "?". What is there and is none of these is denied anyway.
	Paths []string
}

// kind is where the images of a kind are.
type kind struct {
	*place
	custom bool
}

func (k Kind) compile() (kind, error) {
	if k.Kind == "" || len(k.Paths) == 0 {
		return kind{}, errors.New("a kind needs a name and a path to its images")
	}
	root := &place{}
	for _, path := range k.Paths {
		bare, optional := strings.CutSuffix(path, "?")
		if !strings.HasPrefix(bare, "/") || strings.HasSuffix(bare, "/") {
			return kind{}, fmt.Errorf("path %q: want one like /spec/image", path)
		}
		segments := strings.Split(bare[1:], "/")
		for i := range segments {
			segments[i] = unescape(segments[i])
		}
		if err := root.insert(segments, !optional); err != nil {
			return kind{}, fmt.Errorf("path %q: %w", path, err)
		}
	}
	return kind{place: root, custom: true}, nil
}

func unescape(segment string) string {
	return strings.ReplaceAll(strings.ReplaceAll(segment, "~1", "/"), "~0", "~")
}

func escape(segment string) string {
	if !strings.ContainsAny(segment, "~/") {
		return segment
	}
	return strings.ReplaceAll(strings.ReplaceAll(segment, "~", "~0"), "/", "~1")
}

// insert makes p look at the end of a path for everything that can hold images.
func (p *place) insert(segments []string, must bool) error {
	if len(segments) == 0 {
		if !p.nothing() {
			return errors.New("another path leads there, or further")
		}
		*p = *anything()
		p.must = must
		return nil
	}
	if p.image {
		return errors.New("another path ends before")
	}
	p.must = p.must || must
	star := segments[0] == "*"
	if star && len(p.members) > 0 || !star && p.items != nil {
		return errors.New("another path has a * where this one has a name, or a name where this one has a *, and one image could be in both")
	}
	if star {
		if p.items == nil {
			p.items = &place{}
		}
		return p.items.insert(segments[1:], must)
	}
	next := p.member([]byte(segments[0]))
	if next == nil {
		next = &place{}
		p.members = append(p.members, member{segments[0], next})
	}
	return next.insert(segments[1:], must)
}

// anything is an image, a container, a pod's spec, a pod template, or a list of one of these.
func anything() *place {
	one := &place{image: true, named: true, end: true}
	one.members = append(slices.Clone(container.members), podSpec.members...)
	one.members = append(one.members, member{"spec", podSpec})
	many := *one
	many.items = one
	return &many
}
