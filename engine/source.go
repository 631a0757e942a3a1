package engine

import (
	"context"
	"fmt"

	"github.com/maypok86/otter/v2"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// cachedSource keeps what was fetched by digest: it cannot change. It is keyed by repository too, so that what one repository's
// credentials opened is not served to somebody who asks about another one; and by the logins of whoever asks, for the same reason.
type cachedSource struct {
	trust.Source
	contents *otter.Cache[contentKey, trust.Manifest]
}

var (
	_ trust.Source      = (*cachedSource)(nil)
	_ trust.TrustServer = (*cachedSource)(nil)
)

type contentKey struct {
	name   string
	digest image.Digest
	logins string
}

// overhead is what an entry of the cache costs beside its bytes.
const overhead = 512

func newCachedSource(src trust.Source, maxBytes int) *cachedSource {
	return &cachedSource{Source: src, contents: otter.Must(&otter.Options[contentKey, trust.Manifest]{
		MaximumWeight: uint64(maxBytes),
		Weigher:       func(_ contentKey, m trust.Manifest) uint32 { return uint32(len(m.Bytes) + overhead) },
		Executor:      func(fn func()) { fn() },
	})}
}

// Manifest implements trust.Source.
func (s *cachedSource) Manifest(ctx context.Context, ref image.Ref) (trust.Manifest, error) {
	logins := loginsFor(ctx, ref)
	if m, found := s.get(ref, ref.Digest(), logins); found && m.MediaType != "" {
		return m, nil
	}
	m, err := s.Source.Manifest(ctx, ref)
	if err != nil {
		return trust.Manifest{}, err
	}
	s.put(ref, m, logins)
	return m, nil
}

// Blob implements trust.Source.
func (s *cachedSource) Blob(ctx context.Context, ref image.Ref, d trust.Descriptor, limit int64) ([]byte, error) {
	logins := loginsFor(ctx, ref)
	if m, found := s.get(ref, d.Digest, logins); found && int64(len(m.Bytes)) == d.Size && d.Size <= limit {
		return m.Bytes, nil
	}
	content, err := s.Source.Blob(ctx, ref, d, limit)
	if err != nil {
		return nil, err
	}
	s.put(ref, trust.Manifest{Digest: d.Digest, Bytes: content}, logins)
	return content, nil
}

// TrustData implements trust.TrustServer. Nothing of it is kept: what is current changes, and what was must not come back.
func (s *cachedSource) TrustData(ctx context.Context, server, gun, name string, limit int64) ([]byte, error) {
	return trustData(ctx, s.Source, server, gun, name, limit)
}

func trustData(ctx context.Context, src trust.Source, server, gun, name string, limit int64) ([]byte, error) {
	servers, ok := src.(trust.TrustServer)
	if !ok {
		return nil, fmt.Errorf("%s of %s at %s: Notary servers cannot be reached from here", name, gun, server)
	}
	return servers.TrustData(ctx, server, gun, name, limit)
}

// loginsFor returns the key of the logins with which ref's repository is asked in ctx.
func loginsFor(ctx context.Context, ref image.Ref) string {
	return trust.LoginsOf(ctx).For(ref.Registry(), ref.Repository()).Key()
}

// get verifies what it reads: memory that was written to by mistake must not become evidence.
func (s *cachedSource) get(ref image.Ref, d image.Digest, logins string) (trust.Manifest, bool) {
	if d.IsZero() {
		return trust.Manifest{}, false
	}
	m, found := s.contents.GetIfPresent(contentKey{ref.Name(), d, logins})
	return m, found && d.Fits(m.Bytes)
}

func (s *cachedSource) put(ref image.Ref, m trust.Manifest, logins string) {
	if m.Digest.Fits(m.Bytes) {
		s.contents.Set(contentKey{ref.Name(), m.Digest, logins}, m)
	}
}
