package spire

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/assay-dev/assay/image"
)

// references returns what is asked about, in order: those that the subject brings, or what its image ID names. An error is a "no".
func (d *demanded) references(s *Subject) ([]string, error) {
	references := s.References
	if len(references) == 0 && d.Kind == "k8s" {
		one, err := ofImageID(s.Image)
		if err != nil {
			return nil, err
		}
		references = []string{one}
	}
	if len(references) == 0 {
		return nil, errors.New(noDigests + s.Image)
	}
	if d.Kind == "k8s" && !d.old() {
		return references, nil // a tag is resolved, and the digest proved
	}
	for _, reference := range references {
		if !strings.Contains(reference, "@") {
			return nil, fmt.Errorf("image %s has no digest, and a tag is not looked up: it can name another image by now", reference)
		}
	}
	return references, nil
}

// ofImageID returns the reference in a kubelet's imageID. One that names an image of the node's own was never published, so that nobody can
// have vouched for it anywhere; and no registry may be asked, which would take the word before the hash for a name.
func ofImageID(id string) (string, error) {
	bare := strings.TrimPrefix(strings.TrimPrefix(id, "docker-pullable://"), "docker://")
	switch {
	case bare == "":
		return "", errors.New("the kubelet names no image yet")
	case isHash(strings.TrimPrefix(strings.ToLower(bare), "sha256:")):
		return "", fmt.Errorf("%s names a configuration on the node, not an image that was published; no registry was asked", id)
	}
	return bare, nil
}

// isHash reports 64 hex digits.
func isHash(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// skipList is the images that pass without a proof, by all that they are compared with.
type skipList map[string]bool

func newSkipList(images []string) skipList {
	list := skipList{}
	for _, one := range images {
		if one == "" {
			continue
		}
		list[one] = true
		if ref, err := image.Parse(one); err == nil && !ref.Digest().IsZero() {
			list[ref.String()] = true
		}
	}
	return list
}

// has reports whether an image is on the list: by the runtime's own string, by a reference, or by a digest alone. What the image of a Docker
// container was called at its start is not compared: whoever starts containers chooses it. Its digests are.
func (l skipList) has(s *Subject, references []string, kind string) bool {
	if len(l) == 0 {
		return false
	}
	if kind == "k8s" && s.Image != "" && l[s.Image] {
		return true
	}
	if slices.ContainsFunc(s.Content, func(d image.Digest) bool { return l[d.String()] }) {
		return true
	}
	return slices.ContainsFunc(append(references[:len(references):len(references)], s.References...), l.hasReference)
}

func (l skipList) hasReference(reference string) bool {
	if l[reference] && strings.Contains(reference, "@") {
		return true
	}
	ref, err := image.Parse(reference)
	if err != nil || ref.Digest().IsZero() {
		return false
	}
	return l[ref.String()] || l[ref.Digest().String()]
}
