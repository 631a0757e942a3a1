package policy

import (
	"errors"
	"fmt"
	"time"

	"github.com/assay-dev/assay/image"
)

// ErrNeedsTag says that a rule can only be tried by asking the registry what a tag stands for, and that the query has no way to.
var ErrNeedsTag = errors.New("the registry must be asked what the tag stands for")

// ErrNeedsTime says that a rule has an end and that the query has no time.
var ErrNeedsTime = errors.New("the time must be known")

// Query is an image to find the rule of.
type Query struct {
	Ref image.Ref
	Now time.Time // decides whether rules with an end still match
	// TagDigest returns the digest that Ref's tag stands for now. It is called at most once, and only if name and tag of a pattern
	// fit and the rest depends on it. nil: Match fails with ErrNeedsTag where it would be called.
	TagDigest func() (image.Digest, error)
	// Local reports whether the image was made on the host as a rule's Local says. nil: it was not, or nobody can tell, and no such rule
	// speaks about it.
	Local func(*Rule) (bool, error)
}

// Match returns the first rule in the order of the document that speaks about an image, and its index; nil and -1 if none does.
//
// A rule speaks about an image if one of its patterns or expressions fits and its time has not passed. A pattern without tag and
// digest looks at the name only. A pattern's tag must fit the reference's tag, and where the reference has a digest too, the tag must
// stand for that digest; a reference by digest alone has no tag and fits no such pattern. A pattern's digest must equal the
// reference's, or that for which its tag stands.
//
// A rule about images that were made on the host speaks about the image if Local says so.
//
// An error means that it cannot tell: TagDigest's or Local's own, ErrNeedsTag or ErrNeedsTime.
func (p *Policy) Match(q Query) (rule *Rule, index int, err error) {
	m := matcher{query: q}
	return m.match(p)
}

// matcher is one run of Match.
type matcher struct {
	query     Query
	tests     int // patterns and expressions that were tried
	resolved  bool
	tagDigest image.Digest
}

func (m *matcher) match(p *Policy) (*Rule, int, error) {
	var lists [maxBuckets][]item
	x := p.index
	if x == nil { // a Policy that was not made by Parse: slow, but its rules count
		x = newIndex(p.Rules)
	}
	candidates := x.candidates(m.query.Ref, lists[:0])
	for {
		next, found := candidates.next()
		if !found {
			return nil, -1, nil
		}
		rule := &p.Rules[next.rule]
		if !rule.Until.IsZero() && m.query.Now.IsZero() {
			return nil, -1, fmt.Errorf("%s: rule with an end: %w", p.Place(rule.Line), ErrNeedsTime)
		}
		if rule.passed(m.query.Now) {
			continue
		}
		fits, err := m.fits(rule, next)
		if err != nil {
			if errors.Is(err, ErrNeedsTag) {
				err = fmt.Errorf("%s: rule with a tag or a digest: %w", p.Place(rule.Line), err)
			}
			return nil, -1, err
		}
		if fits {
			return rule, int(next.rule), nil
		}
	}
}

func (m *matcher) fits(rule *Rule, at item) (bool, error) {
	m.tests++
	switch at.kind {
	case byRegExp:
		return m.fitsRegExp(rule.RegExps[at.index])
	case byLocal:
		if m.query.Local == nil {
			return false, nil
		}
		return m.query.Local(rule)
	}
	return m.fitsPattern(rule.Images[at.index])
}

func (m *matcher) fitsPattern(p image.Pattern) (bool, error) {
	ref, want := m.query.Ref, p.Digest()
	switch {
	case !p.MatchName(ref):
		return false, nil
	case p.Tag() != "" && (ref.Tag() == "" || !p.MatchTag(ref.Tag())):
		return false, nil
	case !want.IsZero() && !ref.Digest().IsZero() && want != ref.Digest():
		return false, nil
	}
	if !want.IsZero() && ref.Digest().IsZero() {
		return m.tagIs(want)
	}
	if p.Tag() != "" {
		return m.tagFits()
	}
	return true, nil
}

func (m *matcher) fitsRegExp(e image.RegExp) (bool, error) {
	switch {
	case e.MatchName(m.query.Ref):
		return true, nil
	case e.MatchTagged(m.query.Ref):
		return m.tagFits()
	}
	return false, nil
}

// tagFits reports whether the tag of the reference is the image that was asked for. Beside a digest it is only if it stands for
// that digest: otherwise anybody could write a trusted tag beside a foreign digest.
func (m *matcher) tagFits() (bool, error) {
	if m.query.Ref.Digest().IsZero() {
		return true, nil
	}
	return m.tagIs(m.query.Ref.Digest())
}

func (m *matcher) tagIs(want image.Digest) (bool, error) {
	if !m.resolved {
		if m.query.TagDigest == nil {
			return false, ErrNeedsTag
		}
		d, err := m.query.TagDigest()
		if err != nil {
			return false, err
		}
		m.tagDigest, m.resolved = d, true
	}
	return m.tagDigest == want, nil
}
