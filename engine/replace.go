package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// replacement returns the digest that takes the place of whatever stands beside the image's tag: the one for which the tag is signed, or
// where nobody signed it, the one that the registry names. told is false if o is decided because nobody can name one.
func (q *question) replacement(p *planned, plan *plannedRule, o *opinion) (d image.Digest, told bool) {
	d, told = q.signed(p, plan, o)
	how := "is signed"
	if told && d.IsZero() {
		d, told = q.told(o, q.tag)
		how = "stands"
	}
	if given := q.ref.Digest(); told && !given.IsZero() && given != d {
		o.warnings = append(o.warnings, fmt.Sprintf("insecureReplace: digest %s is replaced by %s, for which the tag %s", given, d, how))
	}
	return d, told
}

// named returns the digest for which the image's tag is signed. Where nobody signed it, o is denied by that if only authorities that name tags
// have a say; else the registry's word counts.
func (q *question) named(p *planned, rule *policy.Rule, plan *plannedRule, o *opinion) (d image.Digest, told bool) {
	d, told = q.signed(p, plan, o)
	if !told || !d.IsZero() {
		return d, told
	}
	if len(plan.naming) == len(plan.leaves) {
		if h := q.hearNames(p, plan); p.holds(rule, h) == no { // who was asked a moment ago is remembered
			o.warnings, o.Authorities = h.warnings(o.warnings, q.now), h.attestations(plan)
			o.deny(h.refusal(plan))
			return image.Digest{}, false
		}
	}
	return q.told(o, q.tag)
}

// signed returns the digest for which the image's tag is signed, by the word of a rule's authorities that name what tags stand for; zero if
// they all say that it is not. told is false if o is decided by what they said: two digests cannot both run, and where one of them
// could not tell, nobody knows what it would have named.
func (q *question) signed(p *planned, plan *plannedRule, o *opinion) (d image.Digest, told bool) {
	if len(plan.naming) == 0 {
		return image.Digest{}, true
	}
	start := q.engine.config.Now()
	defer func() { q.resolving += q.engine.config.Now().Sub(start) }()
	h := q.hearNames(p, plan)
	defer func() {
		if !told {
			o.warnings, o.Authorities = h.warnings(o.warnings, q.now), h.attestations(plan)
		}
	}()
	var first *authority
	clear := true
	for _, a := range plan.naming {
		switch f := h.said(a); {
		case f.standing == Unclear:
			clear = false
		case f.standing != Proved: // says no: another one may name a digest
		case first == nil:
			first, d = a, f.proofs[0].Digest
		case f.proofs[0].Digest != d:
			o.deny(fmt.Sprintf("Incompatible digest for tag %s: %s by %s, %s by %s", q.ref.Tag(), d, first.name, f.proofs[0].Digest, a.name))
			return image.Digest{}, false
		}
	}
	if !clear {
		o.fail(h.unclear(plan))
	}
	return d, clear
}

// hearNames asks the authorities of a rule that name what tags stand for about the image's tag, side by side. What each names is heard
// only if it also proves it, so that a revoked signer has no say in what runs.
func (q *question) hearNames(p *planned, plan *plannedRule) *hearing {
	h := newHearing(plan)
	note := func(a *authority, f *finding) {
		if f.standing != Proved || p.revokedDigest(f.proofs[0].Digest) == nil {
			f = p.judge(f)
		} // else the image is what was taken back, and is denied as such
		h.note(a, f)
	}
	var open []*authority
	for _, a := range plan.naming {
		if f, found := q.engine.recallName(a, q.ref, a.logins(q.all, q.ref), q.engine.config.Now()); found {
			note(a, f)
			continue
		}
		open = append(open, a)
	}
	if len(open) == 0 {
		return h
	}
	q.cached = false
	ask := func(ctx context.Context, src trust.Source, a *authority) finding {
		logins := a.logins(q.all, q.ref)
		d, err := q.engine.name(ctx, src, a, q.ref, logins)
		if err != nil {
			return refused(err)
		}
		return q.engine.consult(ctx, src, a, q.ref.Pinned(d), logins, false)
	}
	for a, f := range q.askAll(q.deadline(), open, ask) {
		note(a, f)
	}
	return h
}

// recallName returns what an authority said before about the digest that it names for ref's tag, if both still hold.
func (e *Engine) recallName(a *authority, ref image.Ref, logins trust.Logins, now time.Time) (*finding, bool) {
	t, found := e.recallTag(a.asked(ref.Pinned(image.Digest{}), logins, false), now)
	switch {
	case !found:
		return nil, false
	case t.err != nil:
		f := refused(t.err)
		return &f, true
	}
	return e.recall(a, ref.Pinned(t.digest), logins, false, now)
}

// recallTag returns what an authority said before of a tag, if it still holds.
func (e *Engine) recallTag(key answerKey, now time.Time) (tagged, bool) {
	t, found := e.signed.GetIfPresent(key)
	return t, found && now.Before(t.until)
}

// name asks an authority for which digest ref's tag is signed, whatever digest stands beside it, and remembers it as shortly as what the
// registry says of tags.
func (e *Engine) name(ctx context.Context, src trust.Source, a *authority, ref image.Ref, logins trust.Logins) (image.Digest, error) {
	ref = ref.Pinned(image.Digest{})
	key := a.asked(ref, logins, false)
	ctx = trust.WithLogins(ctx, logins)
	ctx, span := e.span(ctx, "name")
	d, err := e.signing.do(ctx, key, e.config.Timeout/2, func(ctx context.Context) (image.Digest, error) {
		if t, found := e.recallTag(key, e.config.Now()); found { // who was asked a moment ago has answered
			return t.digest, t.err
		}
		d, err := a.resolver.Resolve(ctx, src, ref, e.config.Now())
		if err == nil && d.IsZero() {
			err = errors.New("no digest was named")
		}
		if told := err == nil || trust.IsNo(err); told && e.config.TagTTL > 0 && a.asked(ref, logins, false) == key {
			e.signed.Set(key, tagged{digest: d, err: err, until: e.config.Now().Add(e.config.TagTTL)})
		}
		return d, err
	})
	ended(span, err)
	return d, err
}
