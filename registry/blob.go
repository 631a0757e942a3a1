package registry

import (
	"context"
	"fmt"
	"net/http"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Blob implements trust.Source, by one request. Only the registry and its mirrors are asked; the addresses that a descriptor may
// carry for foreign layers are not even read.
func (c *Client) Blob(ctx context.Context, ref image.Ref, d trust.Descriptor, limit int64) ([]byte, error) {
	switch {
	case ref.IsZero():
		return nil, errNoReference
	case d.Digest.IsZero():
		return nil, fmt.Errorf("%s: a blob without a digest", ref.Name())
	case d.Size < 0 || d.Size > limit:
		return nil, fmt.Errorf("%s: blob %s: its manifest says %d bytes, at most %d are read", ref.Name(), d.Digest, d.Size, limit)
	}
	var content []byte
	err := c.byDigest(ctx, ref, func(ctx context.Context, s *session) (err error) {
		content, err = s.blob(ctx, d)
		return err
	})
	return content, err
}

func (s *session) blob(ctx context.Context, d trust.Descriptor) ([]byte, error) {
	a, err := s.send(ctx, request{method: http.MethodGet, path: s.path("blobs", d.Digest.String()), digest: d.Digest.String(), limit: d.Size})
	if err != nil {
		return nil, err
	}
	switch {
	case a.status != http.StatusOK:
		return nil, statusError(a, false)
	case int64(len(a.body)) != d.Size && d.Digest.Fits(a.body):
		return nil, fmt.Errorf("%s %s: %w: it has %d bytes, its manifest says %d", a.method, a.url, trust.ErrMalformed, len(a.body), d.Size)
	case int64(len(a.body)) != d.Size:
		return nil, fmt.Errorf("%s %s: the content has %d bytes, its manifest says %d", a.method, a.url, len(a.body), d.Size)
	case !d.Digest.Fits(a.body):
		return nil, fmt.Errorf("%s %s: the content has the digest %s", a.method, a.url, image.SHA256(a.body))
	}
	return a.body, nil
}
