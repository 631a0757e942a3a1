package policy

import (
	"errors"
	"testing"

	"github.com/assay-dev/assay/image"
)

// T24: beside a digest a tag counts only if it stands for that digest, and a reference by digest alone has no tag.
func TestT24_TagBesideDigest(t *testing.T) {
	p := mustParse(t, rulesDocument(
		images("a.example/tagged:v1"),
		`imagesRegExp: ['a\.example/re:v[0-9]']`,
		images("a.example/pinned@"+digestA.String()),
		images("a.example/both:v1@"+digestA.String()),
		images("a.example/tagged", "a.example/re", "a.example/pinned", "a.example/both"),
	))
	const other = 4
	tests := []struct {
		name, ref string
		tag       image.Digest // what the tag stands for
		want      int
		calls     int
	}{
		{"pattern with tag, tag only", "a.example/tagged:v1", digestA, 0, 0},
		{"pattern with tag, other tag", "a.example/tagged:v2", digestA, other, 0},
		{"pattern with tag, tag stands for the digest", "a.example/tagged:v1@" + digestA.String(), digestA, 0, 1},
		{"pattern with tag, tag has moved", "a.example/tagged:v1@" + digestB.String(), digestA, other, 1},
		{"pattern with tag, other tag beside a digest", "a.example/tagged:v2@" + digestA.String(), digestA, other, 0},
		{"pattern with tag, digest only", "a.example/tagged@" + digestA.String(), digestA, other, 0},
		{"expression, tag only", "a.example/re:v1", digestA, 1, 0},
		{"expression, tag stands for the digest", "a.example/re:v1@" + digestA.String(), digestA, 1, 1},
		{"expression, tag has moved", "a.example/re:v1@" + digestB.String(), digestA, other, 1},
		{"expression, digest only", "a.example/re@" + digestA.String(), digestA, other, 0},
		{"pattern with digest, same digest", "a.example/pinned@" + digestA.String(), digestB, 2, 0},
		{"pattern with digest, same digest, tag has moved", "a.example/pinned:v1@" + digestA.String(), digestB, 2, 0},
		{"pattern with digest, other digest", "a.example/pinned@" + digestB.String(), digestA, other, 0},
		{"pattern with digest, other digest, tag stands for the pattern's", "a.example/pinned:v1@" + digestB.String(), digestA, other, 0},
		{"pattern with digest, tag stands for it", "a.example/pinned:v1", digestA, 2, 1},
		{"pattern with digest, tag stands for another", "a.example/pinned:v1", digestB, other, 1},
		{"pattern with both, tag only", "a.example/both:v1", digestA, 3, 1},
		{"pattern with both, tag stands for another", "a.example/both:v1", digestB, other, 1},
		{"pattern with both, both given", "a.example/both:v1@" + digestA.String(), digestA, 3, 1},
		{"pattern with both, both given, tag has moved", "a.example/both:v1@" + digestA.String(), digestB, other, 1},
		{"pattern with both, digest only", "a.example/both@" + digestA.String(), digestA, other, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			q := Query{Ref: image.MustParse(tt.ref), Now: noon, TagDigest: func() (image.Digest, error) { calls++; return tt.tag, nil }}
			_, got, err := p.Match(q)
			if got != tt.want || err != nil {
				t.Errorf("got rule %d (%v), want %d", got, err, tt.want)
			}
			if calls != tt.calls {
				t.Errorf("the tag was resolved %d times, want %d", calls, tt.calls)
			}
			q.TagDigest = nil
			_, got, err = p.Match(q)
			if needs := errors.Is(err, ErrNeedsTag); needs != (tt.calls > 0) || needs && got != -1 || !needs && got != tt.want {
				t.Errorf("without TagDigest: got rule %d (%v), want ErrNeedsTag: %v", got, err, tt.calls > 0)
			}
		})
	}
}

func TestTagIsResolvedAtMostOnce(t *testing.T) {
	p := mustParse(t, rulesDocument(
		images("a.example/x:v1", "a.example/x:v*", "a.example/*:v1"),
		`imagesRegExp: ['a\.example/x:v1']`,
		images("a.example/x@"+digestB.String()),
	))
	calls := 0
	q := Query{Ref: image.MustParse("a.example/x:v1@" + digestA.String()), Now: noon, TagDigest: func() (image.Digest, error) { calls++; return digestB, nil }}
	if _, got, err := p.Match(q); got != -1 || err != nil || calls != 1 {
		t.Errorf("got rule %d (%v) after %d calls, want none after one", got, err, calls)
	}
}

func TestMatchCannotTell(t *testing.T) {
	p := mustParse(t, rulesDocument(images("a.example/x:v1"), images("**")))
	down := errors.New("registry is down")
	q := Query{Ref: image.MustParse("a.example/x:v1@" + digestA.String()), Now: noon, TagDigest: func() (image.Digest, error) { return image.Digest{}, down }}
	rule, index, err := p.Match(q)
	if rule != nil || index != -1 || err != down {
		t.Errorf("got %v, %d, %v, want no rule and the error itself: a later rule must not decide", rule, index, err)
	}
}

// T48: a policy that decides by name causes no request.
func TestT48_NamesAreMatchedWithoutRequests(t *testing.T) {
	p := mustParse(t, rulesDocument(images("a.example/x:v1", "**/other:v1"), images("a.example/x@"+digestA.String()), `imagesRegExp: ['a\.example/x:v1']`, images("169.254.169.254/**", "**")))
	for _, ref := range []string{"169.254.169.254/latest/meta-data:v1@" + digestA.String(), "evil.example/x:v1", "a.example/x/y:v1@" + digestA.String()} {
		q := Query{Ref: image.MustParse(ref), Now: noon, TagDigest: func() (image.Digest, error) {
			t.Errorf("%s: a request was made", ref)
			return digestA, nil
		}}
		if _, got, err := p.Match(q); got != 3 || err != nil {
			t.Errorf("%s: got rule %d (%v), want 3", ref, got, err)
		}
	}
}
