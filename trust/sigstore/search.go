package sigstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Bounds of a search beside trust.MaxSignatures, which is how many pieces are looked at for each way of discovery.
const (
	maxFetched = 64 << 20 // bytes of evidence that are fetched for one image
	batch      = 8        // requests that are made side by side
)

// search is one look for the evidence of an image.
type search struct {
	*authority
	src      trust.Source
	ref      image.Ref
	enough   func(trust.Evidence) bool
	evidence trust.Evidence
	budget   int64 // bytes that may still be fetched
	found    bool  // something is published
}

// candidate is something that may be evidence, and how to fetch it.
type candidate struct {
	descriptor trust.Descriptor // of a layer, or of a manifest that refers to the image
	refers     bool             // it is such a manifest
	name       string
	kind       string          // type of the predicate, as it says; "" if it does not
	manifest   *trust.Manifest // it was read already
	err        error           // it proves nothing
}

// list is what one way of discovery found: the newest first.
type list struct {
	candidates []candidate
	left       int
	err        error // the list is not whole: what it proves counts, what it lacks cannot be told
}

// Search implements trust.Searcher. Both ways of discovery are asked side by side, and neither stands in for the other when it
// fails. Where evidence of this repository was found in one way before, that way is tried alone first: with the session warm, one
// signature costs two requests and one bundle three. Where it must be known which attestation is the latest, nothing ends early.
func (a *authority) Search(ctx context.Context, src trust.Source, ref image.Ref, enough func(trust.Evidence) bool) (trust.Evidence, error) {
	if ref.Digest().IsZero() {
		return trust.Evidence{}, fmt.Errorf("signature of %s: the reference has no digest", ref)
	}
	s := &search{authority: a, src: src, ref: ref, enough: enough, budget: maxFetched}
	if a.exhaustive() {
		s.enough = func(trust.Evidence) bool { return false }
	}
	done, err := s.run(ctx)
	switch {
	case err != nil:
		return trust.Evidence{}, err
	case !s.found:
		return trust.Evidence{}, s.unsigned()
	case !done && s.rekorURL != "":
		err = s.lookUpAll(ctx)
	}
	return s.evidence, err
}

func (s *search) run(ctx context.Context) (done bool, err error) {
	for _, ways := range s.order(s.ref) {
		if done, err = s.try(ctx, ways); err != nil || done {
			return done, err
		}
	}
	return false, nil
}

func (s *search) unsigned() error {
	switch {
	case !s.bundles:
		return trust.Unsigned("neither signature nor attestation under a tag of the digest")
	case !s.tags:
		return trust.Unsigned("no bundle refers to the image")
	}
	return trust.Unsigned("neither a signature under a tag of the digest nor a bundle that refers to the image")
}

// order returns the ways of discovery in groups: those of one group are asked side by side.
func (a *authority) order(ref image.Ref) [][]way {
	var all []way
	if a.tags {
		all = append(all, byTags)
	}
	if a.bundles {
		all = append(all, byReferrers)
	}
	usual, known := a.habits.of(ref)
	if !known || len(all) < 2 || a.exhaustive() {
		return [][]way{all}
	}
	if usual == byTags {
		return [][]way{{byTags}, {byReferrers}}
	}
	return [][]way{{byReferrers}, {byTags}}
}

// exhaustive reports whether all evidence must be known: which attestation is the latest cannot be told otherwise.
func (a *authority) exhaustive() bool {
	for i := range a.demanded {
		if a.demanded[i].choice != chooseAny {
			return true
		}
	}
	return false
}

// try lists what some ways of discovery lead to, all of it before anything is fetched, then fetches until it suffices.
func (s *search) try(ctx context.Context, ways []way) (done bool, err error) {
	lists := make([]list, len(ways))
	group, listing := newSideBySide(ctx)
	for i, w := range ways {
		group.Go(func() (err error) {
			lists[i], err = s.list(listing, w)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	for _, l := range lists {
		s.found = s.found || len(l.candidates) > 0
		s.evidence.Left += l.left
	}
	for i, w := range ways {
		if done, err := s.fetchAll(ctx, lists[i].candidates); err != nil || done {
			s.habits.note(s.ref, w, done)
			return done, err
		}
		if lists[i].err != nil {
			return false, lists[i].err
		}
	}
	return false, nil
}

// list asks one way of discovery.
func (s *search) list(ctx context.Context, w way) (list, error) {
	if w == byReferrers {
		return s.referrers(ctx)
	}
	return s.tagged(ctx)
}

// fetchAll fetches candidates, the newest alone, then a batch and then the others, until what there is suffices. To look costs as much
// as there is, so it is done a few times only.
func (s *search) fetchAll(ctx context.Context, candidates []candidate) (done bool, err error) {
	for _, size := range []int{1, batch, len(candidates)} {
		if size = min(size, len(candidates)); size == 0 {
			break
		}
		items, err := s.fetch(ctx, candidates[:size])
		if err != nil {
			return false, err
		}
		candidates = candidates[size:]
		s.evidence.Items = append(s.evidence.Items, items...)
		if s.enough(s.evidence) {
			return true, nil
		}
	}
	return false, nil
}

// fetch fetches some candidates side by side: first the manifests that refer to the image, then the layers with evidence. In which
// order the registry answers changes nothing.
func (s *search) fetch(ctx context.Context, candidates []candidate) ([]trust.Item, error) {
	fetches := make([][]fetch, len(candidates))
	group, manifests := newSideBySide(ctx)
	group.SetLimit(batch)
	for i, c := range candidates {
		if !c.refers || c.err != nil {
			fetches[i] = []fetch{{name: c.name, layer: c.descriptor, err: c.err}}
			continue
		}
		group.Go(func() (err error) {
			fetches[i], err = s.resolve(manifests, c)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := s.affordable(slices.Concat(fetches...))
	items := make([]trust.Item, len(all))
	group, layers := newSideBySide(ctx)
	group.SetLimit(batch)
	for i, f := range all {
		if f.err != nil {
			items[i] = unreadable(f.name, f.err)
			continue
		}
		group.Go(func() (err error) {
			items[i], err = s.layer(layers, f)
			return err
		})
	}
	return items, group.Wait()
}

// affordable returns what may be fetched, in order; what is beyond the budget is left. Manifests were read already, and count too.
func (s *search) affordable(all []fetch) []fetch {
	var kept []fetch
	for _, f := range all {
		s.budget -= f.read
		size := f.layer.Size
		switch {
		case f.err == nil && (size <= 0 || size > trust.MaxEvidence):
			f.err = fmt.Errorf("%d bytes, at most %d are looked at", size, int64(trust.MaxEvidence))
		case f.err == nil && size > s.budget:
			s.evidence.Left++
			continue
		case f.err == nil:
			s.budget -= size
		}
		kept = append(kept, f)
	}
	return kept
}

// fetch is a layer that is to be fetched, or why there is none.
type fetch struct {
	name  string
	layer trust.Descriptor
	read  int64 // bytes of the manifest that led to it
	err   error // it proves nothing
}

// resolve goes from a manifest that refers to the image to its layers with evidence. What the registry does not have, or is no such
// manifest, proves nothing; any other failure means that it cannot be told.
func (s *search) resolve(ctx context.Context, c candidate) ([]fetch, error) {
	m, err := s.manifestOf(ctx, c)
	if err != nil && !provesNothing(err) {
		return nil, fmt.Errorf("manifest of %s: %w", c.name, err)
	}
	var layers []trust.Descriptor
	if err == nil {
		layers, err = s.evidenceLayers(m)
	}
	if err != nil {
		return []fetch{{name: c.name, read: int64(len(m.Bytes)), err: err}}, nil
	}
	fetches := make([]fetch, len(layers))
	for i, l := range layers {
		fetches[i] = fetch{name: c.name, layer: l}
	}
	fetches[0].read = int64(len(m.Bytes))
	return fetches, nil
}

func (s *search) manifestOf(ctx context.Context, c candidate) (trust.Manifest, error) {
	if c.manifest != nil {
		return *c.manifest, nil
	}
	return s.src.Manifest(ctx, s.ref.At(c.descriptor.Digest))
}

// provesNothing reports whether an error says that there is no such content, or none that can be read: whoever may push can do that, and
// it must not stop others.
func provesNothing(err error) bool {
	return errors.Is(err, trust.ErrNotFound) || errors.Is(err, trust.ErrMalformed)
}

// layer fetches the content of a layer.
func (s *search) layer(ctx context.Context, f fetch) (trust.Item, error) {
	content, err := s.src.Blob(ctx, s.ref, f.layer, trust.MaxEvidence)
	if err != nil && provesNothing(err) {
		return unreadable(f.name, err), nil
	}
	if err != nil {
		return trust.Item{}, fmt.Errorf("content of %s: %w", f.name, err)
	}
	return trust.Item{Name: f.name, MediaType: f.layer.MediaType, Annotations: withoutLookedUp(f.layer.Annotations), Bytes: content}, nil
}

// unreadable is an item that proves nothing and says why.
func unreadable(name string, err error) trust.Item {
	return trust.Item{Name: name, MediaType: typeUnreadable, Bytes: []byte(err.Error())}
}
