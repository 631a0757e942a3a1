package certificate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Name is the key of this format in a policy's authorities.
const Name = "certificate"

// Format returns the format.
func Format() trust.Format { return format{} }

type format struct{}

var _ trust.Format = format{}

// Name implements trust.Format.
func (format) Name() string { return Name }

// Options implements trust.Format; it returns a *Options.
func (format) Options() any { return new(Options) }

// New implements trust.Format.
func (format) New(s trust.Section) (trust.Authority, error) {
	var o Options
	if err := s.Decode(&o); err != nil {
		return nil, err
	}
	a, err := compile(o, s)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// validity says at which time a chain must be valid. The zero value is now.
type validity int

const (
	validNow validity = iota
	validWhenIssued
	validAtTimestamp
)

// authority is the section of a policy, ready to check. It does not change.
type authority struct {
	roots          *x509.CertPool
	rootCerts      []*x509.Certificate // of roots
	intermediates  *x509.CertPool
	described      map[*x509.Certificate]trust.Certificate // of roots and intermediates
	names          binding
	codeSigning    bool // of certificates without an oci:// name too
	validity       validity
	timestampRoots []*x509.Certificate
	maxAge         time.Duration // 0: any
	ignoreDates    bool
	crls           []*revocationList
	denied         denied
	weakened       []string
	unpacker       unpacker
}

var _ trust.Authority = (*authority)(nil)

// Find implements trust.Authority: the artifact under the tag of ref's digest costs two requests, and one more where the tag names an
// index. Find looks into manifests only as far as it must to know what to fetch. A manifest that leads nowhere becomes evidence
// itself, so that Check says why it proves nothing.
func (a *authority) Find(ctx context.Context, src trust.Source, ref image.Ref) (trust.Evidence, error) {
	if ref.Digest().IsZero() {
		return trust.Evidence{}, fmt.Errorf("certificate of %s: the reference has no digest", ref)
	}
	tag := Tag(ref.Digest())
	tagged, err := ref.Tagged(tag)
	if err != nil {
		return trust.Evidence{}, fmt.Errorf("certificate of %s: %w", ref, err)
	}
	m, err := src.Manifest(ctx, tagged)
	if errors.Is(err, trust.ErrNotFound) {
		return trust.Evidence{}, trust.Unsigned("no certificate: %w", err)
	}
	if err != nil {
		return trust.Evidence{}, fmt.Errorf("manifest of the certificate: %w", err)
	}
	layer, m, err := follow(ctx, src, ref, m)
	if trust.IsNo(err) {
		return trust.Evidence{Items: []trust.Item{{Name: tag, MediaType: m.MediaType, Bytes: m.Bytes}}}, nil
	}
	if err != nil {
		return trust.Evidence{}, err
	}
	blob, err := src.Blob(ctx, ref, layer, trust.MaxEvidence)
	if err != nil {
		return trust.Evidence{}, fmt.Errorf("layer of the certificate: %w", err)
	}
	return trust.Evidence{Items: []trust.Item{{Name: tag, MediaType: layer.MediaType, Bytes: blob}}}, nil
}

// follow goes from what the tag names to the layer, through an index if there is one. Beside an error that is a "no" it returns
// the manifest that it is about.
func follow(ctx context.Context, src trust.Source, ref image.Ref, m trust.Manifest) (trust.Descriptor, trust.Manifest, error) {
	d, err := parseDocument(m.MediaType, m.Bytes)
	if err == nil && isIndex(d.MediaType) {
		child, err := d.runnableChild()
		if err != nil {
			return trust.Descriptor{}, m, err
		}
		if m, err = src.Manifest(ctx, ref.At(child.Digest)); err != nil {
			return trust.Descriptor{}, m, fmt.Errorf("manifest of the certificate: %w", err)
		}
	}
	layer, err := Layer(m.MediaType, m.Bytes)
	return layer, m, err
}

// Check implements trust.Authority. Every chain from the certificate to a root is a proof of its own.
func (a *authority) Check(ref image.Ref, ev trust.Evidence, now time.Time) ([]trust.Proof, error) {
	if a.roots == nil || ref.Digest().IsZero() {
		return nil, fmt.Errorf("certificate of %s: nothing to check against", ref)
	}
	if len(ev.Items) == 0 {
		return nil, trust.Untrusted("there is no certificate to check")
	}
	if len(ev.Items) > trust.MaxSignatures {
		ev.Items = ev.Items[:trust.MaxSignatures]
	}
	var proofs []trust.Proof
	var refused refusals
	for _, item := range ev.Items {
		found, err := a.checkItem(ref, item, now)
		refused.add(err)
		proofs = append(proofs, found...)
	}
	if len(proofs) == 0 {
		return nil, refused.err
	}
	return proofs, nil
}

func (a *authority) checkItem(ref image.Ref, item trust.Item, now time.Time) ([]trust.Proof, error) {
	if !isLayer(item.MediaType) {
		return nil, explainManifest(item)
	}
	b, err := a.unpacker.unpack(item.Bytes)
	if err != nil {
		return nil, trust.Untrusted("%w", err)
	}
	return a.checkBundle(ref, b, now)
}

// explainManifest says why a manifest leads to no layer.
func explainManifest(item trust.Item) error {
	d, err := parseDocument(item.MediaType, item.Bytes)
	if err != nil {
		return err
	}
	if isIndex(d.MediaType) {
		if _, err := d.runnableChild(); err != nil {
			return err
		}
	}
	if _, err := Layer(item.MediaType, item.Bytes); err != nil {
		return err
	}
	return trust.Untrusted("manifest of the certificate: came without its layer")
}

// refusals keeps the one error that speaks for several: the first "cannot tell", else the first "no".
type refusals struct{ err error }

func (r *refusals) add(err error) {
	if err == nil {
		return
	}
	if r.err == nil || trust.IsNo(r.err) && !trust.IsNo(err) {
		r.err = err
	}
}
