package sigstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/statement"
)

// Annotations by which evidence is put in order. They are anybody's word: nothing is proved by them.
const (
	annotationCreated       = "org.opencontainers.image.created"
	annotationBundleType    = "dev.sigstore.bundle.predicateType"
	annotationPredicateType = "predicateType"
)

// Tag returns the tag under which cosign keeps what is about an image: "sha256-<hex>.sig" for signatures, ".att" for attestations.
func Tag(d image.Digest, suffix string) string {
	return strings.Replace(d.String(), ":", "-", 1) + "." + suffix
}

// tagged lists the layers of the manifests under the tags of the image's digest.
func (s *search) tagged(ctx context.Context) (list, error) {
	var suffixes []string
	if s.signed {
		suffixes = append(suffixes, "sig")
	}
	if len(s.demanded) > 0 {
		suffixes = append(suffixes, "att")
	}
	lists := make([]list, len(suffixes))
	group, ctx := newSideBySide(ctx)
	for i, suffix := range suffixes {
		group.Go(func() (err error) {
			lists[i], err = s.layersUnder(ctx, suffix)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return list{}, err
	}
	var all list
	for _, l := range lists {
		all.candidates = append(all.candidates, l.candidates...)
		all.left += l.left
	}
	return all, nil
}

// layersUnder lists the layers of the manifest under a tag of the image's digest, the last added first.
func (s *search) layersUnder(ctx context.Context, suffix string) (list, error) {
	tag := Tag(s.ref.Digest(), suffix)
	tagged, err := s.ref.Tagged(tag)
	if err != nil {
		return list{}, nil //nolint:nilerr // longer than a tag may be, as for sha512: nothing can be there
	}
	m, err := s.src.Manifest(ctx, tagged)
	if errors.Is(err, trust.ErrNotFound) {
		return list{}, nil
	}
	var doc *manifest
	if err == nil {
		doc, err = readManifest(m)
		if err != nil {
			err = fmt.Errorf("%w: %w", trust.ErrMalformed, err)
		}
	}
	switch {
	case errors.Is(err, trust.ErrMalformed):
		// Something is published, and it proves nothing.
		return list{candidates: []candidate{{name: "." + suffix, err: err}}}, nil
	case err != nil:
		return list{}, fmt.Errorf("manifest %s: %w", tag, err)
	}
	var all []candidate
	for i, l := range slices.Backward(doc.Layers) {
		if d, ok := s.descriptor(&l); ok && s.wants(l.Annotations[annotationPredicateType]) {
			all = append(all, candidate{descriptor: d, kind: s.kindOf(l.Annotations[annotationPredicateType]), name: fmt.Sprintf(".%s[%d]", suffix, i)})
		}
	}
	s.promote(all)
	return cut(all), nil
}

// promote brings signatures to the front whose certificate is for somebody who counts: where there are very many, what is plainly by
// somebody else must not take their place.
func (s *search) promote(all []candidate) {
	if len(all) <= trust.MaxSignatures || !s.signer.byCertificate() {
		return
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(s.rank(a), s.rank(b)) })
}

// rank is 0 for a candidate whose certificate names somebody who counts.
func (s *search) rank(c candidate) int {
	certs, err := parseCertificates(c.descriptor.Annotations[annotationCertificate])
	if err != nil || len(certs) == 0 {
		return 1
	}
	v := verifier{set: s.signer}
	if _, err := v.owner(certs[0]); err != nil {
		return 1
	}
	return 0
}

// cut keeps as many candidates as are looked at of each type of predicate, so that many of one type do not take the place of another.
func cut(all []candidate) list {
	kept := all[:0:0]
	seen := map[string]int{}
	for _, c := range all {
		if seen[c.kind]++; seen[c.kind] <= trust.MaxSignatures {
			kept = append(kept, c)
		}
	}
	return list{candidates: kept, left: len(all) - len(kept)}
}

// wants reports whether evidence that says it is of a type can be of use. One that does not say may be.
func (a *authority) wants(predicateType string) bool {
	switch predicateType {
	case "":
		return true
	case statement.CosignSign:
		return a.signed
	}
	return slices.ContainsFunc(a.demanded, func(d demand) bool {
		return d.fits(predicateType) || d.fits(statement.TypeOf(predicateType))
	})
}

// kindOf returns the type under which evidence is counted: where any type is asked for, inventing types must not make room for more.
func (a *authority) kindOf(predicateType string) string {
	if predicateType != "" && predicateType != statement.CosignSign && slices.ContainsFunc(a.demanded, func(d demand) bool { return d.predicateType == anyPredicate }) {
		return anyPredicate
	}
	return predicateType
}

// referrers lists the manifests that refer to the image and may hold evidence, the newest first. An incomplete list is used as far as
// it goes: what it proves stays proved.
func (s *search) referrers(ctx context.Context) (list, error) {
	descriptors, err := s.src.Referrers(ctx, s.ref)
	if errors.Is(err, trust.ErrMalformed) {
		return list{candidates: []candidate{{name: "list of referrers", err: err}}}, nil
	}
	if err != nil && len(descriptors) == 0 {
		return list{}, fmt.Errorf("referrers of %s: %w", s.ref.Digest(), err)
	}
	all, errManifests := s.candidates(ctx, descriptors)
	if errManifests != nil {
		return list{}, errManifests
	}
	few := len(all) <= trust.MaxSignatures // then all are looked at, and the order of the list is the best guess
	slices.SortStableFunc(all, func(a, b candidate) int {
		if c := created(b).Compare(created(a)); c != 0 || few {
			return c
		}
		return strings.Compare(a.descriptor.Digest.String(), b.descriptor.Digest.String()) // whatever order the registry lists them in
	})
	l := cut(all)
	l.err = err
	return l, nil
}

// candidates returns what of a list may be evidence, the last entry first: where nothing tells times, clients have added to the end. Lists
// under the fallback tag often tell neither types nor times; if there is much, the manifests are asked, which do.
func (s *search) candidates(ctx context.Context, descriptors []trust.Descriptor) ([]candidate, error) {
	var all []candidate
	for _, d := range slices.Backward(descriptors) {
		if isReferrer(d.ArtifactType) {
			all = append(all, candidate{descriptor: d, refers: true, name: "bundle " + d.Digest.Hex()[:12]})
		}
	}
	if len(all) > trust.MaxSignatures {
		if err := s.annotate(ctx, all); err != nil {
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(c candidate) bool { return !s.wants(c.descriptor.Annotations[annotationBundleType]) })
	for i := range all {
		all[i].kind = s.kindOf(all[i].descriptor.Annotations[annotationBundleType])
	}
	return all, nil
}

// maxAnnotated bounds how many manifests are read to learn what they are about.
const maxAnnotated = 256

// annotate reads the manifests of candidates of which the list tells nothing, and keeps what they say.
func (s *search) annotate(ctx context.Context, all []candidate) error {
	group, ctx := newSideBySide(ctx)
	group.SetLimit(batch)
	read := 0
	for i := range all {
		c := &all[i]
		if len(c.descriptor.Annotations) > 0 || read == maxAnnotated {
			continue
		}
		read++
		group.Go(func() error {
			m, err := s.src.Manifest(ctx, s.ref.At(c.descriptor.Digest))
			switch {
			case err != nil && !provesNothing(err):
				return fmt.Errorf("manifest of %s: %w", c.name, err)
			case err != nil:
				c.err = err
				return nil
			}
			c.manifest = &m
			if doc, err := readManifest(m); err == nil {
				c.descriptor.Annotations = doc.Annotations
			}
			return nil
		})
	}
	return group.Wait()
}

func created(c candidate) time.Time {
	t, err := time.Parse(time.RFC3339, c.descriptor.Annotations[annotationCreated])
	if err != nil {
		return time.Time{}
	}
	return t
}

// isReferrer reports whether a manifest of an artifact type may hold evidence. Some registries tell the type of the configuration
// in place of the artifact's, and some tell none.
func isReferrer(artifactType string) bool {
	switch artifactType {
	case "", "application/vnd.oci.empty.v1+json", typeStatement,
		"application/vnd.dev.cosign.artifact.sig.v1+json", "application/vnd.dev.cosign.artifact.att.v1+json",
		"application/vnd.oci.image.config.v1+json":
		return true
	}
	return isBundle(artifactType)
}

// manifest is what is read of an image manifest (OCI image specification, manifest.md).
type manifest struct {
	MediaType string            `json:"mediaType"`
	Subject   *layer            `json:"subject"`
	Layers    []layer           `json:"layers"`
	Manifests []json.RawMessage `json:"manifests"`

	Annotations map[string]string `json:"annotations"`
}

type layer struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

// descriptor returns the descriptor of a layer that is evidence in a shape that the policy allows.
func (a *authority) descriptor(l *layer) (trust.Descriptor, bool) {
	d, err := image.ParseDigest(l.Digest)
	if err != nil || !isEvidence(l.MediaType) || !a.bundles && isBundle(l.MediaType) || !a.tags && !isBundle(l.MediaType) {
		return trust.Descriptor{}, false
	}
	return trust.Descriptor{MediaType: l.MediaType, Digest: d, Size: l.Size, Annotations: l.Annotations}, true
}

// readManifest reads a manifest, and refuses one that could be read as an index too.
func readManifest(m trust.Manifest) (*manifest, error) {
	var doc manifest
	if err := json.Unmarshal(m.Bytes, &doc); err != nil {
		return nil, fmt.Errorf("malformed manifest: %w", err)
	}
	switch {
	case doc.Manifests != nil:
		return nil, errors.New("an index where a manifest is wanted")
	case doc.MediaType != "" && m.MediaType != "" && doc.MediaType != m.MediaType:
		return nil, fmt.Errorf("manifest of type %q was served as %q", clip(doc.MediaType), clip(m.MediaType))
	}
	return &doc, nil
}

// evidenceLayers returns the layers with evidence of a manifest that refers to the image.
func (s *search) evidenceLayers(m trust.Manifest) ([]trust.Descriptor, error) {
	doc, err := readManifest(m)
	if err != nil {
		return nil, err
	}
	if doc.Subject == nil || doc.Subject.Digest != s.ref.Digest().String() {
		return nil, errors.New("does not refer to the image")
	}
	var all []trust.Descriptor
	for i := range doc.Layers {
		if d, ok := s.descriptor(&doc.Layers[i]); ok {
			all = append(all, d)
		}
	}
	switch {
	case len(all) == 0:
		return nil, errors.New("holds no evidence")
	case len(all) > maxLayers:
		return nil, fmt.Errorf("%d layers with evidence, at most %d are looked at", len(all), maxLayers)
	}
	return all, nil
}

// maxLayers bounds the layers with evidence of one manifest that refers to an image; cosign writes one.
const maxLayers = 4
