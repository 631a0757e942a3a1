package engine

import (
	"context"
	"testing"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// counted serves one content for every question and counts them.
type counted struct {
	trust.Source
	content []byte
	asked   int
}

func (s *counted) Manifest(_ context.Context, ref image.Ref) (trust.Manifest, error) {
	s.asked++
	return trust.Manifest{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: image.SHA256(s.content), Bytes: s.content}, nil
}

func (s *counted) Blob(context.Context, image.Ref, trust.Descriptor, int64) ([]byte, error) {
	s.asked++
	return s.content, nil
}

func newCounted() (*counted, *cachedSource, image.Ref) {
	s := &counted{content: []byte(`{"schemaVersion":2}`)}
	return s, newCachedSource(s, DefaultContents), image.MustParse("registry.example/app@" + image.SHA256(s.content).String())
}

// T13: memory that was written to by mistake does not become evidence.
func TestT13_CachedContentIsVerifiedOnRead(t *testing.T) {
	s, cached, ref := newCounted()
	m, err := cached.Manifest(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	m.Bytes[0] = 'x'
	s.content = []byte(`{"schemaVersion":2}`)
	m, err = cached.Manifest(context.Background(), ref)
	if err != nil || !ref.Digest().Fits(m.Bytes) || s.asked != 2 {
		t.Errorf("got %q after %d requests, error %v", m.Bytes, s.asked, err)
	}
}

// T26: what one repository's credentials opened is not served for another repository.
func TestT26_CachedContentStaysInItsRepository(t *testing.T) {
	s, cached, ref := newCounted()
	other := image.MustParse("registry.example/other@" + ref.Digest().String())
	d := trust.Descriptor{Digest: ref.Digest(), Size: int64(len(s.content))}
	for i, row := range []struct {
		ref  image.Ref
		want int
	}{{ref, 1}, {ref, 1}, {other, 2}, {other, 2}} {
		if _, err := cached.Blob(context.Background(), row.ref, d, trust.MaxEvidence); err != nil {
			t.Fatal(err)
		}
		if s.asked != row.want {
			t.Errorf("question %d: got %d requests, want %d", i, s.asked, row.want)
		}
	}
}

// A limit is not widened by what is in memory.
func TestCachedBlobsKeepLimits(t *testing.T) {
	s, cached, ref := newCounted()
	d := trust.Descriptor{Digest: ref.Digest(), Size: int64(len(s.content))}
	for range 2 {
		if _, err := cached.Blob(context.Background(), ref, d, d.Size-1); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked != 2 {
		t.Errorf("got %d requests, want the registry asked each time, since it refuses by its limit", s.asked)
	}
}

// T26: what one asker's login opened is not served to another asker, nor to one without a login.
func TestT26_CachedContentStaysWithItsLogins(t *testing.T) {
	s, cached, ref := newCounted()
	as := func(user string) context.Context {
		one, err := trust.ReadDockerConfig([]byte(`{"auths":{"registry.example":{"username":"` + user + `","password":"x"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		l, err := trust.NewLogins(nil, one...)
		if err != nil {
			t.Fatal(err)
		}
		return trust.WithLogins(context.Background(), l)
	}
	for i, row := range []struct {
		ctx  context.Context
		want int
	}{{as("ann"), 1}, {as("ann"), 1}, {as("bob"), 2}, {context.Background(), 3}, {context.Background(), 3}, {as("bob"), 3}} {
		if _, err := cached.Manifest(row.ctx, ref); err != nil {
			t.Fatal(err)
		}
		if s.asked != row.want {
			t.Errorf("question %d: %d requests, want %d", i, s.asked, row.want)
		}
	}
}
