package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/assay-dev/assay/image"
)

// Limits of a chain.
const (
	maxLinks      = 64 // manifests and indexes that are fetched for one chain
	maxIndexDepth = 4  // indexes inside indexes, the outermost among them
	maxReasons    = 4  // that are given where parts of a chain cannot be had
)

// chain is the links of one verdict, while they are looked for.
type chain struct {
	question *question
	platform string
	index    image.Digest // that was vouched for; zero if a manifest itself was
	links    []Link
	configs  []descriptor // of the links, beside them
	reasons  []string     // why something is no link
	fetched  int
}

// follow puts into a verdict that allows which bytes may run: from its digest, the manifest or index whose bytes have it, and from there
// on what these bytes name. What cannot be had is no link, and changes nothing in the verdict.
func (q *question) follow(v *Verdict, platform string) {
	d := q.vouched
	if d.IsZero() { // a rule lets the image pass by its name
		var err error
		if d, err = q.digest(); err != nil {
			v.ChainError = fmt.Sprintf("%s: %v", q.ref, err)
			return
		}
	}
	if v.Digest.IsZero() {
		v.Digest = d
	}
	c := q.walk(d, platform)
	v.Chain, v.ChainError = c.links, strings.Join(c.reasons, "; ")
}

// walk follows what a digest names.
func (q *question) walk(d image.Digest, platform string) *chain {
	c := &chain{question: q, platform: platform}
	c.enter(descriptor{indexEntry: indexEntry{Digest: d}}, 0)
	if len(c.links) == 0 && len(c.reasons) == 0 {
		c.leave(d, errors.New("the index names no image that runs"))
	}
	return c
}

// enter follows what a descriptor names, depth indexes below the digest of the verdict.
func (c *chain) enter(d descriptor, depth int) {
	doc, err := c.fetch(d)
	switch {
	case err != nil:
		c.leave(d.Digest, err)
	case !doc.isIndex && !isConfigType(doc.config.mediaType):
		c.leave(d.Digest, fmt.Errorf("it is no image: its config is %q", shortened(doc.config.mediaType)))
	case !doc.isIndex:
		link := Link{Index: c.index, Manifest: d.Digest, Config: doc.config.Digest}
		if d.Platform != nil {
			link.Platform = d.Platform.String()
		}
		c.links, c.configs = append(c.links, link), append(c.configs, doc.config)
	case depth == maxIndexDepth:
		c.leave(d.Digest, fmt.Errorf("indexes are nested more than %d deep", maxIndexDepth))
	default:
		if depth == 0 {
			c.index = d.Digest
		}
		c.descend(d.Digest, doc.children, depth)
	}
}

// descend follows the children of an index that run on the platform.
func (c *chain) descend(index image.Digest, children []descriptor, depth int) {
	fitting := 0
	for _, child := range children {
		inner := isIndexType(child.mediaType) && child.Platform == nil // its own children say for what they are
		if child.unrunnable() || !inner && c.platform != "" && !child.fits(c.platform) {
			continue
		}
		fitting++
		if c.fetched == maxLinks {
			c.leave(index, fmt.Errorf("more than %d manifests are in it; a platform narrows that", maxLinks))
			return
		}
		c.enter(child, depth+1)
	}
	if fitting == 0 && c.platform != "" {
		c.leave(index, fmt.Errorf("no child with platform %s", c.platform))
	}
}

// fetch returns the manifest that a descriptor names, if it is what the descriptor says.
func (c *chain) fetch(d descriptor) (document, error) {
	c.fetched++
	m, err := c.question.manifest(c.question.ref.At(d.Digest))
	switch {
	case err != nil:
		return document{}, err
	case d.mediaType != "" && d.mediaType != m.MediaType:
		return document{}, fmt.Errorf("its index calls it %q, and it is %q", shortened(d.mediaType), shortened(m.MediaType))
	case d.size != 0 && d.size != int64(len(m.Bytes)):
		return document{}, fmt.Errorf("it has %d bytes, and its index says %d", len(m.Bytes), d.size)
	}
	return readDocument(m)
}

// leave notes why something is no link.
func (c *chain) leave(d image.Digest, err error) {
	switch {
	case len(c.reasons) < maxReasons:
		c.reasons = append(c.reasons, fmt.Sprintf("%s: %v", d, err))
	case len(c.reasons) == maxReasons:
		c.reasons = append(c.reasons, "and more")
	}
}
