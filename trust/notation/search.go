package notation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Annotations by which signatures are put in order. They are anybody's word: nothing is proved by them.
const (
	annotationCreated    = "org.opencontainers.image.created"
	annotationThumbprint = "io.cncf.notary.x509chain.thumbprint#S256"
)

// Find implements trust.Authority.
func (a *authority) Find(ctx context.Context, src trust.Source, ref image.Ref) (trust.Evidence, error) {
	return a.Search(ctx, src, ref, func(trust.Evidence) bool { return false })
}

// search is one look for the signatures of an image.
type search struct {
	*authority
	src   trust.Source
	ref   image.Ref
	asked map[string]bool // certificates whose revocation servers were asked
	heard map[string]bool // answers that are in the evidence already
	bytes int             // of these
}

// Search implements trust.Searcher. One signature costs three requests, of which the first is shared with other formats that ask for what
// refers to the image.
func (a *authority) Search(ctx context.Context, src trust.Source, ref image.Ref, enough func(trust.Evidence) bool) (trust.Evidence, error) {
	if ref.Digest().IsZero() {
		return trust.Evidence{}, fmt.Errorf("signature of %s: the reference has no digest", ref)
	}
	s := &search{authority: a, src: src, ref: ref, asked: map[string]bool{}, heard: map[string]bool{}}
	candidates, incomplete, err := s.candidates(ctx)
	if err != nil {
		return trust.Evidence{}, err
	}
	var ev trust.Evidence
	if len(candidates) > trust.MaxSignatures {
		ev.Left = len(candidates) - trust.MaxSignatures
		candidates = candidates[:trust.MaxSignatures]
	}
	budget := int64(maxFetched)
	for part := range slices.Chunk(candidates, batch) {
		found, err := s.fetch(ctx, part, &budget, &ev.Left)
		if err != nil {
			return trust.Evidence{}, err
		}
		if len(found) == 0 {
			continue
		}
		ev.Items = append(ev.Items, found...)
		if enough(ev) {
			return ev, nil
		}
	}
	switch {
	case incomplete != nil:
		return trust.Evidence{}, incomplete
	case len(ev.Items) == 0 && ev.Left == 0:
		return trust.Evidence{}, trust.Unsigned("no Notary Project signature refers to the image")
	}
	return ev, nil
}

// candidates lists the manifests that refer to the image and may be signatures: those first whose annotations speak of a trusted
// certificate, then the newest. A list that is not whole is used as far as it goes; incomplete says that it is not.
func (s *search) candidates(ctx context.Context) (all []trust.Descriptor, incomplete, err error) {
	listed, err := s.src.Referrers(ctx, s.ref)
	if errors.Is(err, trust.ErrMalformed) {
		return nil, nil, trust.Untrusted("list of what refers to the image: %w", err)
	}
	if err != nil {
		incomplete = fmt.Errorf("referrers of %s: %w", s.ref.Digest(), err)
		if len(listed) == 0 {
			return nil, nil, incomplete
		}
	}
	for _, d := range slices.Backward(listed) { // where nothing tells times, clients have added to the end
		if d.ArtifactType == typeSignature || d.ArtifactType == "" {
			all = append(all, d)
		}
	}
	slices.SortStableFunc(all, func(x, y trust.Descriptor) int {
		return cmp.Or(cmp.Compare(s.rank(x), s.rank(y)), created(y).Compare(created(x)), strings.Compare(x.Digest.String(), y.Digest.String()))
	})
	return all, incomplete, nil
}

// rank is 0 for a signature that says it is of a trusted certificate, 1 for another, and 2 for what may be none.
func (s *search) rank(d trust.Descriptor) int {
	var thumbprints []string
	text := d.Annotations[annotationThumbprint]
	if len(text) <= maxManifest && json.Unmarshal([]byte(text), &thumbprints) == nil && slices.ContainsFunc(thumbprints, func(t string) bool { return s.thumbprints[t] }) {
		return 0
	}
	if d.ArtifactType == typeSignature {
		return 1
	}
	return 2
}

func created(d trust.Descriptor) time.Time {
	t, err := time.Parse(time.RFC3339, d.Annotations[annotationCreated])
	if err != nil {
		return time.Time{}
	}
	return t
}

// envelope is where a signature is kept, or why there is none.
type envelope struct {
	name  string
	layer trust.Descriptor
	none  bool  // it is no signature at all
	err   error // it proves nothing
}

// fetch goes from manifests to signatures, and to what revocation servers say of those who count.
func (s *search) fetch(ctx context.Context, part []trust.Descriptor, budget *int64, left *int) ([]trust.Item, error) {
	envelopes := make([]envelope, len(part))
	err := sideBySide(ctx, len(part), func(ctx context.Context, i int) (err error) {
		envelopes[i], err = s.resolve(ctx, part[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	var kept []envelope
	for _, e := range envelopes {
		switch size := e.layer.Size; {
		case e.none:
			continue
		case e.err == nil && (size <= 0 || size > maxEnvelope):
			e.err = fmt.Errorf("%d bytes, at most %d are looked at", size, maxEnvelope)
		case e.err == nil && size > *budget:
			*left++
			continue
		case e.err == nil:
			*budget -= size
		}
		kept = append(kept, e)
	}
	items := make([]trust.Item, len(kept))
	err = sideBySide(ctx, len(kept), func(ctx context.Context, i int) (err error) {
		items[i], err = s.item(ctx, kept[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	return append(items, s.lookUp(ctx, items)...), ctx.Err()
}

// sideBySide calls fn for each of n numbers, all at once, and returns the first error; the others are told to stop.
func sideBySide(ctx context.Context, n int, fn func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := fn(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// provesNothing reports whether an error says that there is no such content, or none that can be read: whoever may push can do that, and
// it must not stop others.
func provesNothing(err error) bool {
	return errors.Is(err, trust.ErrNotFound) || errors.Is(err, trust.ErrMalformed)
}

// manifest is what is read of the manifest of a signature (OCI image specification, manifest.md).
type manifest struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Config       layer             `json:"config"`
	Subject      *layer            `json:"subject"`
	Layers       []layer           `json:"layers"`
	Manifests    []json.RawMessage `json:"manifests"`
}

type layer struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// resolve goes from a manifest to the one layer of a signature.
func (s *search) resolve(ctx context.Context, d trust.Descriptor) (envelope, error) {
	e := envelope{name: d.Digest.Hex()[:12]}
	if d.Size > maxManifest {
		e.err = fmt.Errorf("manifest of %d bytes, at most %d are looked at", d.Size, maxManifest)
		return e, nil
	}
	m, err := s.src.Manifest(ctx, s.ref.At(d.Digest))
	if err != nil && !provesNothing(err) {
		return e, fmt.Errorf("manifest of signature %s: %w", e.name, err)
	}
	var doc manifest
	if err == nil && len(m.Bytes) > maxManifest {
		err = fmt.Errorf("manifest of %d bytes, at most %d are looked at", len(m.Bytes), maxManifest)
	}
	if err == nil {
		if err = json.Unmarshal(m.Bytes, &doc); err != nil {
			err = fmt.Errorf("malformed manifest: %w", err)
		}
	}
	if err != nil {
		e.err, e.none = err, d.ArtifactType != typeSignature
		return e, nil
	}
	if doc.ArtifactType != typeSignature && doc.Config.MediaType != typeSignature {
		e.none, e.err = d.ArtifactType != typeSignature, errors.New("the manifest is not that of a signature")
		return e, nil
	}
	e.layer, e.err = doc.envelope(m.MediaType, s.ref.Digest())
	return e, nil
}

// envelope returns the layer with the signature of an image.
func (m *manifest) envelope(served string, subject image.Digest) (trust.Descriptor, error) {
	switch {
	case m.Manifests != nil:
		return trust.Descriptor{}, errors.New("an index where a manifest is wanted")
	case m.MediaType != "" && served != "" && m.MediaType != served:
		return trust.Descriptor{}, fmt.Errorf("manifest of type %q was served as %q", clip(m.MediaType), clip(served))
	case m.Subject == nil || m.Subject.Digest != subject.String():
		return trust.Descriptor{}, errors.New("the manifest does not refer to the image")
	case len(m.Layers) != maxLayers:
		return trust.Descriptor{}, fmt.Errorf("the manifest has %d layers, want %d", len(m.Layers), maxLayers)
	case !isEnvelope(m.Layers[0].MediaType):
		return trust.Descriptor{}, fmt.Errorf("%q is no type of signatures", clip(m.Layers[0].MediaType))
	}
	digest, err := image.ParseDigest(m.Layers[0].Digest)
	if err != nil {
		return trust.Descriptor{}, err
	}
	return trust.Descriptor{MediaType: m.Layers[0].MediaType, Digest: digest, Size: m.Layers[0].Size}, nil
}

// item fetches a signature.
func (s *search) item(ctx context.Context, e envelope) (trust.Item, error) {
	if e.err != nil {
		return trust.Item{Name: e.name, MediaType: typeUnreadable, Bytes: []byte(e.err.Error())}, nil
	}
	content, err := s.src.Blob(ctx, s.ref, e.layer, maxEnvelope)
	switch {
	case err != nil && provesNothing(err):
		return trust.Item{Name: e.name, MediaType: typeUnreadable, Bytes: []byte(err.Error())}, nil
	case err != nil:
		return trust.Item{}, fmt.Errorf("signature %s: %w", e.name, err)
	}
	return trust.Item{Name: e.name, MediaType: e.layer.MediaType, Bytes: content}, nil
}

// lookUp asks revocation servers about the certificates of signatures that would count. A certificate of anybody else is asked nothing: it
// could name any server.
func (s *search) lookUp(ctx context.Context, items []trust.Item) []trust.Item {
	if s.revocation == insecureSkip {
		return nil
	}
	var questions []question
	for _, item := range items {
		questions = append(questions, s.questions(item)...)
	}
	found := make([][]trust.Item, len(questions))
	var wg sync.WaitGroup
	places := make(chan struct{}, batch)
	for i, q := range questions {
		wg.Go(func() {
			places <- struct{}{}
			found[i] = s.servers.ask(ctx, q)
			<-places
		})
	}
	wg.Wait()
	var all []trust.Item
	for _, item := range slices.Concat(found...) {
		key := item.MediaType + " " + item.Annotations[annotationAbout] + " " + item.Annotations[annotationServer]
		if s.heard[key] { // one list for several certificates
			continue
		}
		s.heard[key] = true
		if s.bytes += len(item.Bytes); s.bytes > maxAnswers {
			item.MediaType, item.Bytes = typeNoAnswer, []byte("the answers of revocation servers are too long")
		}
		all = append(all, item)
	}
	return all
}

// questions returns the certificates of a signature whose servers were not asked yet.
func (s *search) questions(item trust.Item) []question {
	made, err := open(item.MediaType, item.Bytes)
	if err != nil {
		return nil
	}
	anchor, err := s.authentic(s.ref, made)
	if err != nil {
		return nil
	}
	var all []question
	for i := 0; i <= anchor && i < len(made.chain)-1; i++ {
		all = append(all, question{made.chain[i], made.chain[i+1]})
	}
	if len(s.tsa) > 0 && made.scheme == schemeX509 {
		if stamped, err := s.stamp(made); err == nil {
			for i := 0; i < len(stamped.chain)-1; i++ {
				all = append(all, question{stamped.chain[i], stamped.chain[i+1]})
			}
		}
	}
	var fresh []question
	for _, q := range all {
		key := about(q.cert)
		if s.asked[key] || len(s.asked) == maxQuestions || len(q.cert.OCSPServer)+len(q.cert.CRLDistributionPoints) == 0 {
			continue
		}
		s.asked[key] = true
		fresh = append(fresh, q)
	}
	return fresh
}
