package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
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

// opinion is what one policy decided, and about which digest.
type opinion struct {
	Decision
	mode     policy.Mode
	digest   image.Digest
	child    bool // digest is a child of the index that was asked about
	pin      bool
	warnings []string
	cause    error
}

// decide asks every policy in scope. All that enforce must allow, and at least one must have an opinion.
func (q *question) decide(p *plan, req Request) Verdict {
	var few [2]opinion
	opinions := few[:0]
	for _, one := range p.policies {
		if !one.InScope(req.Request) {
			continue
		}
		o := q.ask(one)
		if o.Outcome == NoOpinion {
			continue
		}
		opinions = append(opinions, o)
	}
	if len(opinions) == 0 {
		return Verdict{Decision: Decision{Outcome: Denied, Reason: "no policy speaks about " + q.ref.String()}}
	}
	return q.combine(opinions)
}

// rank orders outcomes: the highest of several decides.
func rank(o Outcome) int {
	switch o {
	case Allowed:
		return 0
	case CouldNotTell:
		return 1
	case Bug:
		return 2
	}
	return 3
}

// combine makes one verdict: the decision shown first is the worst that stops the image, or else the worst of all.
func (q *question) combine(opinions []opinion) Verdict {
	first, allowed := 0, true
	for i, o := range opinions {
		stops := o.mode == policy.Enforce && o.Outcome != Allowed
		switch {
		case stops && allowed:
			first, allowed = i, false
		case stops == !allowed && rank(o.Outcome) > rank(opinions[first].Outcome):
			first = i
		}
	}
	v := Verdict{Decision: opinions[first].Decision, Allowed: allowed, cause: opinions[first].cause}
	for i, o := range opinions {
		v.Warnings = append(v.Warnings, o.warnings...)
		if allowed && o.Outcome != Allowed && o.mode == policy.Warn {
			v.Warnings = append(v.Warnings, fmt.Sprintf("policy %s would stop this image: %s: %s", o.Policy, o.Outcome, o.Reason))
		}
		if i != first {
			v.Also = append(v.Also, o.Decision)
		}
	}
	q.settle(&v, opinions)
	return v
}

// settle names the digest of the verdict, on which all policies must agree: the image's own, or one child of it.
func (q *question) settle(v *Verdict, opinions []opinion) {
	pin := false
	var chosen opinion
	for _, o := range opinions {
		pin = pin || o.pin && o.Outcome == Allowed
		switch {
		case o.digest.IsZero() || o.digest == chosen.digest:
		case chosen.digest.IsZero(), o.child && !chosen.child:
			chosen = o
		case o.child == chosen.child:
			v.Allowed = false
			v.Outcome, v.Reason = Denied, fmt.Sprintf("policies vouch for different digests: %s and %s", chosen.digest, o.digest)
			return
		}
	}
	v.Digest = chosen.digest
	if v.Digest.IsZero() {
		v.Digest = q.known()
	}
	if v.Allowed && v.Outcome == Allowed && pin && v.Digest != q.ref.Digest() {
		v.Pin = q.ref.Pinned(v.Digest).String()
	}
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
	o := opinion{mode: p.Mode, Decision: Decision{Policy: p.Name, Mode: p.Mode.String(), Outcome: Denied}}
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
	o.Rule = p.rules[index].name
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
		o.digest = d
		if q.isTakenBack(p, d, o) {
			return
		}
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
	return e.naming.do(q.deadline(), ref, half(q.deadline()), func(ctx context.Context) (image.Digest, error) {
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

// half returns half of the time that is left, so that one slow phase leaves time for the next.
func half(ctx context.Context) time.Duration {
	deadline, found := ctx.Deadline()
	if !found {
		return DefaultTimeout / 2
	}
	return max(time.Until(deadline)/2, time.Millisecond)
}
