package trusttest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Source is a trust.Source that keeps what it serves in memory. Its zero value is empty and ready; it is safe for concurrent use.
type Source struct {
	mu        sync.Mutex
	manifests map[string]trust.Manifest // by repository and tag or digest
	blobs     map[string][]byte         // by repository and digest
	referrers map[string]referrers      // by repository and subject
	trustData map[string][]byte         // by server, name and file
	requests  int
	failAt    int
	fault     error
}

// referrers are descriptors by their digest.
type referrers map[image.Digest]trust.Descriptor

var (
	_ trust.Source      = (*Source)(nil)
	_ trust.TrustServer = (*Source)(nil)
)

// PutManifest stores a manifest in ref's repository, under its digest and, if ref has one, under ref's tag. It returns the digest.
func (s *Source) PutManifest(ref image.Ref, mediaType string, content []byte) image.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.manifests == nil {
		s.manifests = map[string]trust.Manifest{}
	}
	m := trust.Manifest{MediaType: mediaType, Digest: image.SHA256(content), Bytes: content}
	s.manifests[key(ref, m.Digest.String())] = m
	if ref.Tag() != "" {
		s.manifests[key(ref, ref.Tag())] = m
	}
	return m.Digest
}

// PutBlob stores a blob in ref's repository and returns its digest.
func (s *Source) PutBlob(ref image.Ref, content []byte) image.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blobs == nil {
		s.blobs = map[string][]byte{}
	}
	d := image.SHA256(content)
	s.blobs[key(ref, d.String())] = content
	return d
}

// PutReferrer lists d among the referrers of ref's digest, whatever is stored under d's digest and whatever that says. It takes the place
// of what Referrers would make of a stored manifest. A manifest that names its subject is listed without it.
func (s *Source) PutReferrer(ref image.Ref, d trust.Descriptor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key(ref, ref.Digest().String())
	if s.referrers == nil {
		s.referrers = map[string]referrers{}
	}
	if s.referrers[k] == nil {
		s.referrers[k] = referrers{}
	}
	s.referrers[k][d.Digest] = d
}

// PutTrustData stores a file of the trust data that a server keeps under gun; nil takes it away.
func (s *Source) PutTrustData(server, gun, name string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trustData == nil {
		s.trustData = map[string][]byte{}
	}
	if content == nil {
		delete(s.trustData, fileKey(server, gun, name))
		return
	}
	s.trustData[fileKey(server, gun, name)] = content
}

// FailAt makes the request with number n, counted from 1, fail with err, and starts to count anew. With n = 0 none fails.
func (s *Source) FailAt(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.failAt, s.fault = 0, n, err
}

// Requests returns how many requests there were since the last FailAt.
func (s *Source) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Manifest implements trust.Source.
func (s *Source) Manifest(ctx context.Context, ref image.Ref) (trust.Manifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.request(ctx); err != nil {
		return trust.Manifest{}, err
	}
	name := ref.Tag()
	if !ref.Digest().IsZero() {
		name = ref.Digest().String()
	}
	m, found := s.manifests[key(ref, name)]
	if !found {
		return trust.Manifest{}, fmt.Errorf("GET https://%s/v2/%s/manifests/%s: MANIFEST_UNKNOWN: manifest unknown; map[Tag:%s]: %w",
			ref.Registry(), ref.Repository(), name, name, trust.ErrNotFound)
	}
	m.Bytes = append([]byte(nil), m.Bytes...)
	return m, nil
}

// Blob implements trust.Source.
func (s *Source) Blob(ctx context.Context, ref image.Ref, d trust.Descriptor, limit int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.request(ctx); err != nil {
		return nil, err
	}
	blob, found := s.blobs[key(ref, d.Digest.String())]
	switch size := int64(len(blob)); {
	case !found:
		return nil, fmt.Errorf("blob %s: %w", d.Digest, trust.ErrNotFound)
	case size != d.Size:
		return nil, fmt.Errorf("blob %s: %w: %d bytes, the descriptor says %d", d.Digest, trust.ErrMalformed, size, d.Size)
	case size > limit:
		return nil, fmt.Errorf("blob %s: %d bytes, at most %d are allowed", d.Digest, size, limit)
	}
	return append([]byte(nil), blob...), nil
}

// Referrers implements trust.Source. The list has another order each time: registries promise none.
func (s *Source) Referrers(ctx context.Context, ref image.Ref) ([]trust.Descriptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.request(ctx); err != nil {
		return nil, err
	}
	listed := s.referrers[key(ref, ref.Digest().String())]
	list := slices.Collect(maps.Values(listed))
	for k, m := range s.manifests {
		var body struct {
			ArtifactType string            `json:"artifactType"`
			Annotations  map[string]string `json:"annotations"`
			Subject      struct {
				Digest string `json:"digest"`
			} `json:"subject"`
		}
		if _, found := listed[m.Digest]; found || k != key(ref, m.Digest.String()) || json.Unmarshal(m.Bytes, &body) != nil || body.Subject.Digest != ref.Digest().String() {
			continue
		}
		list = append(list, trust.Descriptor{
			MediaType: m.MediaType, ArtifactType: body.ArtifactType, Digest: m.Digest, Size: int64(len(m.Bytes)), Annotations: body.Annotations,
		})
	}
	return list, nil
}

// TrustData implements trust.TrustServer.
func (s *Source) TrustData(ctx context.Context, server, gun, name string, limit int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.request(ctx); err != nil {
		return nil, err
	}
	content, found := s.trustData[fileKey(server, gun, name)]
	switch {
	case !found:
		return nil, fmt.Errorf("GET %s/v2/%s/_trust/tuf/%s: METADATA_NOT_FOUND: %w", server, gun, name, trust.ErrNotFound)
	case int64(len(content)) > limit:
		return nil, fmt.Errorf("GET %s/v2/%s/_trust/tuf/%s: more than %d bytes", server, gun, name, limit)
	}
	return append([]byte(nil), content...), nil
}

// request counts a request and says whether it fails.
func (s *Source) request(ctx context.Context) error {
	s.requests++
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.requests == s.failAt {
		return s.fault
	}
	return nil
}

func key(ref image.Ref, name string) string { return ref.Name() + "\x00" + name }

func fileKey(server, gun, name string) string { return server + "\x00" + gun + "\x00" + name }
