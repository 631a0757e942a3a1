package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// PushBlob stores a blob in ref's repository, unless it is there already. It is verified by the registry, which is told its digest.
func (c *Client) PushBlob(ctx context.Context, ref image.Ref, content []byte) error {
	if ref.IsZero() {
		return errNoReference
	}
	s := c.session(ctx, ref, true)
	digest := image.SHA256(content)
	a, err := s.send(ctx, request{method: http.MethodHead, path: s.path("blobs", digest.String())})
	switch {
	case err != nil:
		return err
	case a.status == http.StatusOK && (a.length < 0 || a.length == int64(len(content))):
		return nil
	case a.status != http.StatusOK && a.status != http.StatusNotFound:
		return statusError(a, false)
	}
	a, err = s.send(ctx, request{method: http.MethodPost, path: s.path("blobs", "uploads/"), body: []byte{}})
	if err != nil {
		return err
	}
	if a.status != http.StatusAccepted {
		return statusError(a, false)
	}
	r, err := s.uploadTo(a, digest)
	if err != nil {
		return fmt.Errorf("%s %s: %w", a.method, a.url, err)
	}
	r.body = nonNil(content)
	if a, err = s.send(ctx, r); err != nil {
		return err
	}
	if a.status != http.StatusCreated && a.status != http.StatusNoContent {
		return statusError(a, false)
	}
	return nil
}

// uploadTo makes the request that ends an upload, to the place that the registry named. A place at another host is refused: our
// token and the content would go there.
func (s *session) uploadTo(a answer, digest image.Digest) (request, error) {
	base := &url.URL{Scheme: s.endpoint.scheme, Host: s.endpoint.host, Path: s.path("blobs", "uploads/")}
	location := a.header.Get("Location")
	u, err := base.Parse(location)
	if location == "" || err != nil {
		return request{}, errors.New("the registry names no place for the upload")
	}
	if !sameOrigin(base, u) || u.User != nil {
		return request{}, fmt.Errorf("the registry names a place for the upload at %s, which is refused", clean(u.Host))
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return request{}, errors.New("the registry names a malformed place for the upload")
	}
	query.Set("digest", digest.String())
	return request{method: http.MethodPut, path: u.Path, query: query.Encode(), contentType: "application/octet-stream", limit: maxErrorBody}, nil
}

// PushManifest stores a manifest under ref's tag, or under its digest if it has no tag. A digest in ref must be the content's. What
// the registry says it has stored must be the content as well.
func (c *Client) PushManifest(ctx context.Context, ref image.Ref, mediaType string, content []byte) error {
	target := ref.Tag()
	switch {
	case ref.IsZero():
		return errNoReference
	case len(content) > trust.MaxManifest:
		return fmt.Errorf("%s: the manifest has %d bytes, at most %d are allowed", ref, len(content), trust.MaxManifest)
	case !ref.Digest().IsZero() && !ref.Digest().Fits(content):
		return fmt.Errorf("%s: the manifest has the digest %s", ref, image.SHA256(content))
	}
	if target == "" {
		target = ref.Digest().String()
	}
	s := c.session(ctx, ref, true)
	a, err := s.send(ctx, request{
		method: http.MethodPut, path: s.path("manifests", target), contentType: mediaType, body: nonNil(content), limit: maxErrorBody,
	})
	if err != nil {
		return err
	}
	if a.status != http.StatusCreated {
		return statusError(a, false)
	}
	if claim := a.header.Get("Docker-Content-Digest"); claim != "" {
		claimed, err := image.ParseDigest(claim)
		if err != nil || !claimed.Fits(content) {
			return fmt.Errorf("%s %s: the registry says that it stored %q, not %s", a.method, a.url, clean(claim), image.SHA256(content))
		}
	}
	return nil
}

// nonNil makes an empty body of none, so that a Content-Length is sent.
func nonNil(content []byte) []byte {
	if content == nil {
		return []byte{}
	}
	return content
}
