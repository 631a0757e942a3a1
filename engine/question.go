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

// question is one decision under way.
type question struct {
	engine *Engine
	parent context.Context // the asker's
	ref    image.Ref
	now    time.Time

	ctx    context.Context // parent with the deadline; nil until something must be fetched
	cancel context.CancelFunc

	resolved  bool // the tag was resolved, or could not be
	tagDigest image.Digest
	tagErr    error

	memory *memo // what was fetched for this question; nil until something must be fetched

	cached             bool
	resolving, hearing time.Duration
}

// deadline returns the context in which the question is answered. It is made only when something must be fetched.
func (q *question) deadline() context.Context {
	if q.ctx == nil {
		q.ctx, q.cancel = context.WithTimeoutCause(q.parent, q.engine.config.Timeout, q.engine.late)
	}
	return q.ctx
}

func (q *question) end() {
	if q.cancel != nil {
		q.cancel()
	}
}

// source returns the registry as this question sees it.
func (q *question) source() trust.Source {
	if q.memory == nil {
		q.memory = newMemo(q.engine.source, q.engine.config.Timeout)
	}
	return q.memory
}

// opinion is what one policy decided, and about which digest.
type opinion struct {
	Decision
	mode     policy.Mode
	from     *planned
	index    int          // of the rule
	about    image.Digest // that was decided about, before a child took its place
	digest   image.Digest
	child    bool // digest is a child of the index that was asked about
	pin      bool
	warnings []string
	cause    error
}

// decide asks every policy in scope. All that enforce must allow, and at least one of the cluster must have an opinion.
func (q *question) decide(p *plan, req Request) Verdict {
	if o, found := q.outright(p, req); found {
		return q.combine([]opinion{o}, nil)
	}
	var few [2]opinion
	opinions, unheard := q.opinions(p, req, few[:0])
	return q.combine(opinions, unheard)
}

// outright returns the opinion of a policy that denies by the image's name alone, where several policies are asked: no other policy may
// then send a request to a host that the first one keeps away from.
func (q *question) outright(p *plan, req Request) (opinion, bool) {
	if len(p.policies) < 2 {
		return opinion{}, false
	}
	for _, one := range p.policies {
		if one.Mode != policy.Enforce || !one.InScope(req.Request) {
			continue
		}
		rule, _, err := one.Match(policy.Query{Ref: q.ref, Now: q.now})
		if err != nil || rule != nil && rule.Deny == "" || rule == nil && one.Unmatched == policy.IgnoreUnmatched {
			continue
		}
		return q.ask(one), true
	}
	return opinion{}, false
}

// known returns the digest of the image without asking anybody.
func (q *question) known() image.Digest {
	if d := q.ref.Digest(); !d.IsZero() {
		return d
	}
	return q.tagDigest
}

// ask has one policy decide.
func (q *question) ask(p *planned) opinion {
	o := opinion{mode: p.Mode, from: p, index: -1, Decision: Decision{Policy: p.Name, Mode: p.Mode.String(), Outcome: Denied}}
	rule, index, err := p.Match(policy.Query{Ref: q.ref, Now: q.now, TagDigest: q.tag})
	switch {
	case err != nil:
		o.fail(fmt.Errorf("%s: %w", q.ref, err))
		return o
	case rule == nil && p.Unmatched == policy.IgnoreUnmatched:
		o.Outcome = NoOpinion
		return o
	case rule == nil:
		o.Reason = "no rule speaks about " + q.ref.String()
		return o
	}
	o.index, o.Rule = index, p.rules[index].name
	if rule.Deny != "" {
		o.Reason = rule.Deny
		return o
	}
	if rule.Allow != "" {
		q.allow(p, rule, &o)
		return o
	}
	q.require(p, rule, &p.rules[index], &o)
	return o
}

func (o *opinion) fail(err error) {
	o.Outcome, o.Reason, o.cause = CouldNotTell, err.Error(), err
	var bug *BugError
	if errors.As(err, &bug) {
		o.Outcome = Bug
	}
}

func (o *opinion) deny(reason string) { o.Outcome, o.Reason = Denied, reason }

// allow lets an image pass by a rule's word, unless its digest was revoked. The digest is asked for only if that can matter.
func (q *question) allow(p *planned, rule *policy.Rule, o *opinion) {
	if p.byDigest {
		d, err := q.digest()
		if err != nil {
			o.fail(fmt.Errorf("%s: %w", q.ref, err))
			return
		}
		if q.isTakenBack(p, d, o) {
			return
		}
	}
	// What the tag stood for was part of the decision: it must not stand for something else when the image is pulled.
	if d := q.known(); !d.IsZero() {
		o.about, o.digest, o.pin = d, d, q.ref.Digest().IsZero()
	}
	o.Outcome, o.Reason = Allowed, rule.Allow
}

// digest returns the digest of the image: the reference's own, or what its tag stands for.
func (q *question) digest() (image.Digest, error) {
	if d := q.ref.Digest(); !d.IsZero() {
		return d, nil
	}
	return q.tag()
}

// tag returns the digest that the tag stands for; it is resolved once for a question.
func (q *question) tag() (image.Digest, error) {
	if q.resolved {
		return q.tagDigest, q.tagErr
	}
	start := q.engine.config.Now()
	q.tagDigest, q.tagErr = q.resolve()
	q.resolved = true
	q.resolving += q.engine.config.Now().Sub(start)
	return q.tagDigest, q.tagErr
}

func (q *question) resolve() (image.Digest, error) {
	e := q.engine
	ref := q.ref.Pinned(image.Digest{}) // the tag alone
	if t, found := e.tags.GetIfPresent(ref); found && q.now.Before(t.until) {
		return t.digest, nil
	}
	q.cached = false
	return e.naming.do(q.deadline(), ref, e.config.Timeout/2, func(ctx context.Context) (image.Digest, error) {
		if t, found := e.tags.GetIfPresent(ref); found && e.config.Now().Before(t.until) { // it was asked a moment ago
			return t.digest, nil
		}
		d, err := e.config.Tags.Resolve(ctx, ref)
		switch {
		case err != nil:
			return image.Digest{}, err
		case d.Digest.IsZero():
			return image.Digest{}, errors.New("the registry named no digest")
		}
		if e.config.TagTTL > 0 {
			e.tags.Set(ref, tagged{digest: d.Digest, until: e.config.Now().Add(e.config.TagTTL)})
		}
		return d.Digest, nil
	})
}
