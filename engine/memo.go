package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// memo asks once for what several authorities of one question ask for. What a tag names, what refers to a digest and what a Notary server
// says can change, so it is forgotten with the question; a failure is too. Content with a digest is the business of the source behind it.
//
// An answer to one question that others wait for as well is looked for in the memo of the one who asked first.
type memo struct {
	source trust.Source
	limit  time.Duration // of one request
	asking flights[fetch, fetched]

	mu    sync.Mutex
	known map[fetch]fetched
}

// fetch is a request, whole: what differs in the repository, the digest or a limit is another one.
type fetch struct {
	kind        fetchKind
	ref         image.Ref
	blob        image.Digest
	file        trustFile
	size, limit int64
}

// trustFile is a file of trust data, where a request asks for one.
type trustFile struct{ server, gun, name string }

type fetchKind int

const (
	fetchManifest fetchKind = iota + 1
	fetchBlob
	fetchReferrers
	fetchTrustData
)

// fetched is what came of a request; blobs and trust data are in manifest.Bytes.
type fetched struct {
	manifest  trust.Manifest
	referrers []trust.Descriptor
	err       error
}

var (
	_ trust.Source      = (*memo)(nil)
	_ trust.TrustServer = (*memo)(nil)
	_ trust.Rereader    = (*memo)(nil)
)

func newMemo(src trust.Source, limit time.Duration) *memo {
	return &memo{source: src, limit: limit, known: map[fetch]fetched{}}
}

// Manifest implements trust.Source.
func (m *memo) Manifest(ctx context.Context, ref image.Ref) (trust.Manifest, error) {
	f, err := m.do(ctx, fetch{kind: fetchManifest, ref: meant(ref)}, func(ctx context.Context) (f fetched) {
		f.manifest, f.err = m.source.Manifest(ctx, ref)
		return f
	})
	return f.manifest, err
}

// Blob implements trust.Source.
func (m *memo) Blob(ctx context.Context, ref image.Ref, d trust.Descriptor, limit int64) ([]byte, error) {
	key := fetch{kind: fetchBlob, ref: ref.At(image.Digest{}), blob: d.Digest, size: d.Size, limit: limit}
	f, err := m.do(ctx, key, func(ctx context.Context) (f fetched) {
		f.manifest.Bytes, f.err = m.source.Blob(ctx, ref, d, limit)
		return f
	})
	return f.manifest.Bytes, err
}

// Referrers implements trust.Source. The list is the caller's, who may sort it.
func (m *memo) Referrers(ctx context.Context, ref image.Ref) ([]trust.Descriptor, error) {
	f, err := m.do(ctx, fetch{kind: fetchReferrers, ref: meant(ref)}, func(ctx context.Context) (f fetched) {
		f.referrers, f.err = m.source.Referrers(ctx, ref)
		return f
	})
	return slices.Clone(f.referrers), err
}

// TrustData implements trust.TrustServer. The bytes are the caller's: no digest would tell that somebody wrote to them.
func (m *memo) TrustData(ctx context.Context, server, gun, name string, limit int64) ([]byte, error) {
	key := fetch{kind: fetchTrustData, file: trustFile{server: server, gun: gun, name: name}, limit: limit}
	f, err := m.do(ctx, key, func(ctx context.Context) (f fetched) {
		f.manifest.Bytes, f.err = trustData(ctx, m.source, server, gun, name, limit)
		return f
	})
	return slices.Clone(f.manifest.Bytes), err
}

// Anew implements trust.Rereader.
func (m *memo) Anew() trust.Source { return m.source }

// meant returns ref without a tag that does not matter beside its digest.
func meant(ref image.Ref) image.Ref {
	if d := ref.Digest(); !d.IsZero() {
		return ref.At(d)
	}
	return ref
}

// do answers a request from memory, by the request that is under way, or by fn.
func (m *memo) do(ctx context.Context, key fetch, fn func(context.Context) fetched) (fetched, error) {
	if f, found := m.recall(key); found {
		return f, f.err
	}
	if ctx.Err() != nil { // nobody waits: a search that has ended sends no more requests
		return fetched{}, context.Cause(ctx)
	}
	return m.asking.do(ctx, key, m.limit, func(ctx context.Context) (fetched, error) {
		if f, found := m.recall(key); found { // the request that was under way a moment ago has ended
			return f, f.err
		}
		f := fn(ctx)
		if f.err == nil || ctx.Err() == nil { // else nobody waited for it any more: that says nothing of the registry
			m.keep(key, f)
		}
		return f, f.err
	})
}

func (m *memo) recall(key fetch) (fetched, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, found := m.known[key]
	if found && f.err == nil && key.kind == fetchManifest && !f.manifest.Digest.Fits(f.manifest.Bytes) {
		return fetched{}, false // memory that was written to by mistake must not become evidence
	}
	return f, found
}

// keep keeps failures, lists, trust data, and what tags name; the rest is kept by the source as long as there is room.
func (m *memo) keep(key fetch, f fetched) {
	if f.err == nil && (key.kind == fetchBlob || !key.ref.Digest().IsZero() && key.kind == fetchManifest) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[key] = f
}
