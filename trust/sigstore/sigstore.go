package sigstore

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// Name is the key of this format in a policy's authorities.
const Name = "sigstore"

// Config is what the format works with.
type Config struct {
	// Material keeps the trust material and the keys in key management services. Without it, sections that need either are refused.
	Material *material.Keeper
	// HTTP asks the logs that policies name as rekorURL. Nil: a client of its own.
	HTTP *http.Client
}

// Format is the format; see New.
type Format struct {
	config Config
}

var _ trust.Format = (*Format)(nil)

// New returns the format.
func New(c Config) *Format {
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: lookupTimeout, CheckRedirect: noRedirect}
	}
	return &Format{config: c}
}

// Name implements trust.Format.
func (*Format) Name() string { return Name }

// Options implements trust.Format; it returns a *Options.
func (*Format) Options() any { return new(Options) }

// New implements trust.Format.
func (f *Format) New(s trust.Section) (trust.Authority, error) {
	var o Options
	if err := s.Decode(&o); err != nil {
		return nil, err
	}
	a, err := f.compile(o, s)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// authority is the section of a policy, ready to check. Only its caches change.
type authority struct {
	demands
	settings      Config
	tags, bundles bool // the shapes that are looked for
	signed        bool // the image itself must be signed
	signer        *signerSet
	sets          []*signerSet // signer, and those of demanded attestations
	demanded      []demand
	annotations   map[string]string
	repository    trust.SignedRepository
	rekorURL      string
	material      material.Source // nil: nothing is asked that it could answer
	warnings      []string
	memo          *memo
	habits        *habits
}

var (
	_ trust.Authority = (*authority)(nil)
	_ trust.Searcher  = (*authority)(nil)
	_ trust.Versioned = (*authority)(nil)
	_ trust.Warner    = (*authority)(nil)
	_ trust.Aging     = (*authority)(nil)
	_ trust.Lapsing   = (*authority)(nil)
)

// prepare makes the caches.
func (a *authority) prepare() {
	a.memo = newMemo()
	a.habits = newHabits()
}

// maxSCTs returns how many certificate transparency logs are needed at most.
func (a *authority) maxSCTs() int {
	most := 0
	for _, s := range a.sets {
		most = max(most, s.scts)
	}
	return most
}

// fulcios returns how many certificate authorities the trust material must have.
func (a *authority) fulcios() int {
	for _, s := range a.sets {
		if s.identities != nil {
			return 1
		}
	}
	return 0
}

// byChain reports whether some signers have certificates of an own authority.
func (a *authority) byChain() bool {
	for _, s := range a.sets {
		if s.pki != nil {
			return true
		}
	}
	return false
}

// Version implements trust.Versioned: the versions of the trust material and of keys that are fetched.
func (a *authority) Version() string {
	version := ""
	if a.material != nil {
		version = a.material.Version()
	}
	for _, s := range a.sets {
		for i := range s.keys {
			if v := s.keys[i].source.Version(); v != "" {
				version += "/" + v
			}
		}
	}
	return version
}

// Warnings implements trust.Warner.
func (a *authority) Warnings(now time.Time) []string {
	if a.material == nil {
		return a.warnings
	}
	if w := a.material.Status(now).Warning; w != "" {
		return append(a.warnings[:len(a.warnings):len(a.warnings)], w)
	}
	return a.warnings
}

// Stale implements trust.Aging: the trust material and the keys that are fetched.
func (a *authority) Stale(now time.Time) []string {
	var old []string
	for _, s := range a.fetched(now) {
		if (s.Stale || s.Err != nil) && !slices.Contains(old, s.Name) {
			old = append(old, s.Name)
		}
	}
	return old
}

// Lapsed implements trust.Lapsing.
func (a *authority) Lapsed(now time.Time) bool {
	return slices.ContainsFunc(a.fetched(now), func(s material.Status) bool { return s.Err != nil })
}

// fetched is the state of the trust material and of the keys.
func (a *authority) fetched(now time.Time) []material.Status {
	var all []material.Status
	if a.material != nil {
		all = append(all, a.material.Status(now))
	}
	for _, set := range a.sets {
		for i := range set.keys {
			all = append(all, set.keys[i].source.Status(now))
		}
	}
	return all
}

// Find implements trust.Authority.
func (a *authority) Find(ctx context.Context, src trust.Source, ref image.Ref) (trust.Evidence, error) {
	return a.Search(ctx, src, ref, func(trust.Evidence) bool { return false })
}

// root returns the trust material to use, and its version; nil where none is needed.
func (a *authority) root(now time.Time) (*material.Root, error) {
	if a.material == nil {
		return nil, nil
	}
	return a.material.Root(now)
}
