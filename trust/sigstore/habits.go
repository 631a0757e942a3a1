package sigstore

import (
	"github.com/maypok86/otter/v2"

	"github.com/assay-dev/assay/image"
)

// way is a way of discovery.
type way int

const (
	byTags      way = iota // under tags of the image's digest
	byReferrers            // among what refers to the image
)

// maxHabits bounds how many repositories are remembered.
const maxHabits = 10_000

// habits remembers in which way the evidence of a repository was found last. It saves requests, and decides nothing: a way that does
// not suffice is followed by the other.
type habits struct {
	last *otter.Cache[string, way]
}

func newHabits() *habits {
	return &habits{otter.Must(&otter.Options[string, way]{MaximumSize: maxHabits, Executor: func(fn func()) { fn() }})}
}

func (h *habits) of(ref image.Ref) (way, bool) { return h.last.GetIfPresent(ref.Name()) }

// note remembers a way that sufficed, and forgets what is known where it did not.
func (h *habits) note(ref image.Ref, w way, sufficed bool) {
	if sufficed {
		h.last.Set(ref.Name(), w)
		return
	}
	h.last.Invalidate(ref.Name())
}
