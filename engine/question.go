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
	plan   *plan
	parent context.Context // the asker's
	ref    image.Ref
	now    time.Time

	all    trust.Logins // of the asker
	logins trust.Logins // those of them that fit the image, with which alone its registry is asked

	ctx    context.Context // parent with the deadline; nil until something must be fetched
	cancel context.CancelFunc

	made *made // nil: the image is not known to have been made on the host

	// Side by side, so that they cost a warm question one word.
	byTrust  bool // what trust data name for a tag counts: Request.Signed
	every    bool // all proofs are wanted: Request.Every
	resolved bool // the tag was resolved, or could not be
	enforced bool // a policy that enforces allows, whatever one that does not says
	cached   bool

	tagDigest image.Digest
	tagErr    error

	memory *memo // what was fetched for this question; nil until something must be fetched

	vouched     image.Digest // that may run by an allowed verdict, also where its policy only warns or audits; zero: none was asked for
	basis       string       // as it was before anybody was asked
	until, ends time.Time    // of what an allowed verdict rests on

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

	until, ends time.Time // of what it rests on, where it allows: when it must be asked for again, and when it no longer holds; zero: never
}

// decide asks every policy in scope. All that enforce must allow, and at least one of the cluster must have an opinion.
func (q *question) decide(p *plan, req Request) Verdict {
	if len(p.policies) == 0 {
		reason := "there is no policy at all, so that nobody's word counts; a TrustPolicy has to be applied that speaks about " + q.ref.String()
		return Verdict{Decision: Decision{Outcome: Denied, Reason: reason}}
	}
	if o, found := q.outright(p, req); found {
		return q.combine([]opinion{o}, nil)
	}
	vague := p.unclear(req.Request)
	if vague != nil && vague.Mode == policy.Enforce {
		return q.vague(vague, req)
	}
	var few [2]opinion
	opinions, unheard := q.opinions(p, req, few[:0])
	v := q.combine(opinions, unheard)
	if vague != nil && v.Policy == "" { // it could be the one that speaks
		return q.vague(vague, req)
	}
	return v
}

// unclear returns a policy of which nobody can say whether it speaks about a request; one that enforces, if there is such a one.
func (p *plan) unclear(r policy.Request) (found *planned) {
	for _, one := range p.policies {
		switch {
		case !one.Unclear(r):
		case one.Mode == policy.Enforce:
			return one
		case found == nil:
			found = one
		}
	}
	return found
}

// ErrNamespaceLabels is of the cause of a verdict that could not be told because nobody knows the labels of the namespace.
var ErrNamespaceLabels = errors.New("chooses namespaces by their labels")

// vague is the verdict where it cannot be told whether a policy speaks about the request. Nobody is asked: the policy could forbid that.
func (q *question) vague(p *planned, req Request) Verdict {
	err := fmt.Errorf("%s: policy %s %w, and those of %s are not known here", q.ref, p.Name, ErrNamespaceLabels, req.Namespace)
	return Verdict{Decision: Decision{Policy: p.Name, Mode: p.Mode.String(), Outcome: CouldNotTell, Reason: err.Error()}, cause: err}
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
		if one.Unusable != nil {
			return q.ask(one), true // perhaps it keeps away from this host
		}
		rule, _, err := one.Match(policy.Query{Ref: q.ref, Now: q.now, Local: q.offline(one)})
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
	if q.made == nil {
		return q.askBy(p, nil)
	}
	l := look{question: q, policy: p}
	o := q.askBy(p, l.rule)
	l.settle(&o)
	return o
}

// askBy has one policy decide, with what local says of rules about images that were made on the host.
func (q *question) askBy(p *planned, local func(*policy.Rule) (bool, error)) opinion {
	o := opinion{mode: p.Mode, from: p, index: -1, Decision: Decision{Policy: p.Name, Mode: p.Mode.String(), Outcome: Denied}}
	if p.Unusable != nil {
		o.fail(fmt.Errorf("policy %s cannot be used: %w", p.Name, p.Unusable))
		return o
	}
	rule, index, err := p.Match(policy.Query{Ref: q.ref, Now: q.now, TagDigest: q.tag, Local: local})
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
	o.ends = rule.Until
	if rule.Deny != "" {
		o.Reason = rule.Deny
		return o
	}
	if rule.Allow != "" {
		q.allow(p, rule, &o)
		return o
	}
	if q.made != nil {
		o.deny("nobody can vouch for an image that no registry has; a local rule before this one could allow it")
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
	key := tagKey{ref, q.logins.Key()}
	if t, found := e.tags.GetIfPresent(key); found && q.now.Before(t.until) {
		return t.digest, nil
	}
	q.cached = false
	ctx, span := e.span(q.deadline(), "resolve")
	d, err := e.naming.do(ctx, key, e.config.Timeout/2, func(ctx context.Context) (image.Digest, error) {
		if t, found := e.tags.GetIfPresent(key); found && e.config.Now().Before(t.until) { // it was asked a moment ago
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
			e.tags.Set(key, tagged{digest: d.Digest, until: e.config.Now().Add(e.config.TagTTL)})
		}
		return d.Digest, nil
	})
	ended(span, err)
	return d, err
}
