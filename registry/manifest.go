package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// acceptManifests lists the kinds of manifests that are understood. Docker's schema 1 is not: its digest is not that of its bytes.
const acceptManifests = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"

var errNoReference = errors.New("no reference")

// Resolve returns what ref names at its registry: a tag's digest by one HEAD request, or by the manifest itself where the registry's
// answer to HEAD has no digest. The digest of a tag is the registry's word, no more; whoever fetches it gets the bytes that it names.
// Of a ref with a digest it says whether it exists. Size is 0 if the registry does not tell it. Mirrors are not asked: they may be behind.
func (c *Client) Resolve(ctx context.Context, ref image.Ref) (trust.Descriptor, error) {
	if ref.IsZero() {
		return trust.Descriptor{}, errNoReference
	}
	s := c.session(ctx, ref, false)
	target := targetOf(ref)
	a, err := s.send(ctx, request{method: http.MethodHead, path: s.path("manifests", target), accept: acceptManifests})
	if err != nil {
		return trust.Descriptor{}, err
	}
	switch a.status {
	case http.StatusOK:
	case http.StatusMethodNotAllowed:
		return s.resolveByContent(ctx, target, ref.Digest())
	default:
		return trust.Descriptor{}, statusError(a, true)
	}
	named, err := image.ParseDigest(a.header.Get("Docker-Content-Digest"))
	if err != nil {
		return s.resolveByContent(ctx, target, ref.Digest())
	}
	if want := ref.Digest(); !want.IsZero() && named != want {
		return trust.Descriptor{}, fmt.Errorf("%s %s: the registry answers for %s", a.method, a.url, named)
	}
	return trust.Descriptor{MediaType: contentType(a.header), Digest: named, Size: max(0, a.length)}, nil
}

func (s *session) resolveByContent(ctx context.Context, target string, want image.Digest) (trust.Descriptor, error) {
	m, err := s.manifest(ctx, target, want)
	if err != nil {
		return trust.Descriptor{}, err
	}
	return trust.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Bytes))}, nil
}

// Manifest implements trust.Source. By digest the mirrors are asked first, by tag only the registry.
func (c *Client) Manifest(ctx context.Context, ref image.Ref) (trust.Manifest, error) {
	if ref.IsZero() {
		return trust.Manifest{}, errNoReference
	}
	if ref.Digest().IsZero() {
		return c.session(ctx, ref, false).manifest(ctx, ref.Tag(), image.Digest{})
	}
	var m trust.Manifest
	err := c.byDigest(ctx, ref, func(ctx context.Context, s *session) (err error) {
		m, err = s.manifest(ctx, ref.Digest().String(), ref.Digest())
		return err
	})
	return m, err
}

// manifest fetches a manifest by one request. want is its digest, or zero if target is a tag.
func (s *session) manifest(ctx context.Context, target string, want image.Digest) (trust.Manifest, error) {
	a, err := s.send(ctx, request{method: http.MethodGet, path: s.path("manifests", target), accept: acceptManifests, limit: trust.MaxManifest})
	if err != nil {
		return trust.Manifest{}, err
	}
	if a.status != http.StatusOK {
		return trust.Manifest{}, statusError(a, true)
	}
	m, err := readManifest(a, want)
	if err != nil {
		return trust.Manifest{}, fmt.Errorf("%s %s: %w", a.method, a.url, err)
	}
	return m, nil
}

// readManifest takes the digest from the bytes. A digest in a header is somebody's claim: it is never used, but where it contradicts
// the bytes, something on the way is broken or lying.
func readManifest(a answer, want image.Digest) (trust.Manifest, error) {
	digest := want
	if digest.IsZero() {
		digest = image.SHA256(a.body)
	}
	if !digest.Fits(a.body) {
		return trust.Manifest{}, fmt.Errorf("the content has the digest %s", image.SHA256(a.body))
	}
	if claim := a.header.Get("Docker-Content-Digest"); claim != "" {
		claimed, err := image.ParseDigest(claim)
		if err != nil {
			return trust.Manifest{}, fmt.Errorf("the digest in the answer's header is malformed: %w", err)
		}
		if !claimed.Fits(a.body) {
			return trust.Manifest{}, fmt.Errorf("the answer's header names the digest %s, the content has %s", claimed, digest)
		}
	}
	mediaType, err := sniff(contentType(a.header), a.body)
	if err != nil && (!want.IsZero() || a.header.Get("Docker-Content-Digest") != "") && !errors.Is(err, errServedAs) {
		err = fmt.Errorf("%w: %w", trust.ErrMalformed, err) // it has its digest, so that is how it was pushed
	}
	if err != nil {
		return trust.Manifest{}, err
	}
	return trust.Manifest{MediaType: mediaType, Digest: digest, Bytes: a.body}, nil
}

// contentType returns the media type of an answer without its parameters, or "".
func contentType(h http.Header) string {
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(mediaType))
}

// targetOf returns what names ref's manifest: its digest if it has one, else its tag.
func targetOf(ref image.Ref) string {
	if d := ref.Digest(); !d.IsZero() {
		return d.String()
	}
	return ref.Tag()
}
