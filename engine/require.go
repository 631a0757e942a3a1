package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// require decides by the word of authorities.
func (q *question) require(p *planned, rule *policy.Rule, plan *plannedRule, o *opinion) {
	digest, told := q.subject(p, rule, plan, o)
	if !told {
		return
	}
	o.about, o.digest = digest, digest
	if rule.Digest == policy.RequireDigest && q.ref.Digest().IsZero() {
		o.deny("the rule requires a reference with a digest; write " + q.ref.Pinned(digest).String())
		return
	}
	if q.isTakenBack(p, digest, o) {
		return
	}
	start := q.engine.config.Now()
	defer func() { q.hearing += q.engine.config.Now().Sub(start) }()
	h := q.hear(p, rule, plan, q.ref.Pinned(digest))
	o.warnings = h.warnings(o.warnings, q.now)
	o.Authorities = h.attestations(plan)
	o.rests(h)
	o.pin = rule.Digest == policy.PinDigest || rule.Digest == policy.InsecureReplaceDigest
	switch p.holds(rule, h) {
	case yes:
		o.Outcome = Allowed
	case unknown:
		o.fail(h.unclear(plan))
	default:
		o.deny(h.refusal(plan))
		q.tryChild(p, rule, plan, o, h)
	}
}

// isTakenBack reports whether o is decided because the image's digest was revoked, or because that could not be told.
func (q *question) isTakenBack(p *planned, d image.Digest, o *opinion) bool {
	r, err := q.takenBack(p, d)
	switch {
	case err != nil:
		o.fail(fmt.Errorf("%s: %w", q.ref, err))
	case r != nil:
		o.deny(r.String())
	}
	return err != nil || r != nil
}

// subject returns the digest that a rule is decided about; told is false if o is decided because nobody can name one.
func (q *question) subject(p *planned, rule *policy.Rule, plan *plannedRule, o *opinion) (d image.Digest, told bool) {
	if rule.Digest == policy.InsecureReplaceDigest && q.ref.Tag() != "" {
		return q.replacement(p, plan, o)
	}
	if q.byTrust && q.ref.Digest().IsZero() && len(plan.naming) > 0 {
		return q.named(p, rule, plan, o)
	}
	return q.told(o, q.digest)
}

// told returns the digest that ask gives; if it gives none, o is decided by that.
func (q *question) told(o *opinion, ask func() (image.Digest, error)) (image.Digest, bool) {
	d, err := ask()
	if err != nil {
		o.fail(fmt.Errorf("%s: %w", q.ref, err))
	}
	return d, err == nil
}

// hear asks the authorities of a rule about ref, side by side, until the rule is satisfied. Where all proofs are wanted, it waits a little
// longer.
func (q *question) hear(p *planned, rule *policy.Rule, plan *plannedRule, ref image.Ref) *hearing {
	h := newHearing(plan)
	var open []*authority
	for _, a := range plan.leaves {
		if f, found := q.engine.recall(a, ref, a.logins(q.all, ref), q.every, q.engine.config.Now()); found {
			h.note(a, p.judge(f))
			continue
		}
		open = append(open, a)
	}
	if len(open) == 0 || !q.every && p.holds(rule, h) == yes {
		return h
	}
	ctx, cancel := context.WithCancelCause(q.deadline())
	wait := patience{cancel: cancel}
	defer wait.end()
	if q.every && p.holds(rule, h) == yes {
		wait.begin()
	}
	ask := func(ctx context.Context, src trust.Source, a *authority) finding {
		return q.engine.consult(ctx, src, a, ref, a.logins(q.all, ref), q.every)
	}
	for a, f := range q.askAll(ctx, open, ask) {
		q.cached = q.cached && f.recalled
		h.note(a, p.judge(f))
		if p.holds(rule, h) != yes {
			continue
		}
		if !q.every {
			break
		}
		wait.begin()
	}
	return h
}

// errEnough is why an authority was not waited for.
var errEnough = fmt.Errorf("the rule holds without it, and it has not answered within %v", EveryWait)

// patience bounds how long authorities are waited for that a rule can do without.
type patience struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func (p *patience) begin() {
	if p.timer == nil {
		p.timer = time.AfterFunc(EveryWait, func() { p.cancel(errEnough) })
	}
}

func (p *patience) end() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.cancel(nil)
}

// askAll asks authorities side by side and yields what each says, as soon as it does. At the end of the loop it gives up on the others.
func (q *question) askAll(ctx context.Context, open []*authority, ask func(context.Context, trust.Source, *authority) finding) iter.Seq2[*authority, *finding] {
	return func(yield func(*authority, *finding) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		type reply struct {
			from *authority
			finding
		}
		replies := make(chan reply, len(open))
		src := q.source()
		for _, a := range open {
			go func() { replies <- reply{a, ask(ctx, src, a)} }()
		}
		for range open {
			r := <-replies
			if !yield(r.from, &r.finding) {
				return
			}
		}
	}
}

// judge takes revoked proofs out of what an authority said.
func (p *planned) judge(f *finding) *finding {
	if f.standing != Proved || len(p.revoked) == 0 {
		return f
	}
	kept, by := p.standing(f.proofs)
	if len(kept) > 0 {
		return &finding{standing: Proved, proofs: kept, missed: f.missed, until: f.until}
	}
	return &finding{standing: Untrusted, err: trust.Untrusted("%s", by), revoked: by}
}

// unclear returns why it could not be told.
func (h *hearing) unclear(plan *plannedRule) error {
	var errs []error
	for _, a := range plan.leaves {
		if f := h.said(a); f.standing == Unclear {
			errs = append(errs, fmt.Errorf("%s: %w", a.name, f.err))
		}
	}
	if len(errs) == 0 {
		return errors.New("not every authority was heard")
	}
	return causes(errs)
}

// causes is several reasons in one line.
type causes []error

// Error implements error.
func (c causes) Error() string {
	texts := make([]string, len(c))
	for i := range c {
		texts[i] = c[i].Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the reasons.
func (c causes) Unwrap() []error { return c }

// refusal says what each authority that does not vouch had to say.
func (h *hearing) refusal(plan *plannedRule) string {
	var reasons []string
	for _, a := range plan.leaves {
		f := h.said(a)
		if f.err != nil {
			reasons = append(reasons, fmt.Sprintf("%s: %s: %s", a.name, f.standing, f.err))
		}
	}
	if len(reasons) == 0 {
		return "too few different signers vouch"
	}
	return strings.Join(reasons, "; ")
}
