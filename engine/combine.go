package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
)

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

// combine makes one verdict: the decision shown first is the worst that stops the image, or else the worst of all. A policy without an
// opinion does not count, but one must have an opinion. One of a namespace counts only where it stops the image.
func (q *question) combine(opinions []opinion, unheard *planned) Verdict {
	first, allowed := -1, true
	for i := range opinions {
		o := &opinions[i]
		stops := o.mode == policy.Enforce && o.Outcome != Allowed
		switch {
		case !o.counts() && !stops, o.Outcome == NoOpinion:
		case first < 0, stops && allowed:
			first, allowed = i, !stops
		case stops == !allowed && rank(o.Outcome) > rank(opinions[first].Outcome):
			first = i
		}
	}
	if first < 0 {
		return q.silence(opinions, unheard)
	}
	v := Verdict{Decision: opinions[first].Decision, Allowed: allowed, cause: opinions[first].cause}
	for i := range opinions {
		o := &opinions[i]
		v.Warnings = appendNew(v.Warnings, o.warnings)
		if allowed && o.mode == policy.Warn && o.Outcome != Allowed && o.Outcome != NoOpinion {
			v.Warnings = append(v.Warnings, fmt.Sprintf("policy %s would stop this image: %s: %s", o.Policy, o.Outcome, o.Reason))
		}
		if i != first && o.Outcome != NoOpinion {
			v.Also = append(v.Also, o.Decision)
		}
	}
	q.settle(&v, &opinions[first], opinions)
	q.last(opinions)
	return v
}

// appendNew appends the texts that are not in the list yet.
func appendNew(list, texts []string) []string {
	for _, t := range texts {
		if !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return list
}

// settle names the digest of the verdict, on which all policies that enforce must agree: the image's own, or one child of it. Policies
// that warn or audit have no say in what runs.
func (q *question) settle(v *Verdict, first *opinion, opinions []opinion) {
	v.Digest = q.known()
	if !v.Allowed {
		if !first.about.IsZero() { // perhaps one that would have taken the place of the one asked for
			v.Digest = first.about
		}
		return
	}
	pin := false
	var chosen *opinion
	for i := range opinions {
		o := &opinions[i]
		if o.mode != policy.Enforce || o.Outcome == NoOpinion {
			continue
		}
		pin, q.enforced = pin || o.pin, true
		switch {
		case o.about.IsZero():
		case chosen == nil, o.about == chosen.about && o.child && !chosen.child:
			chosen = o
		case o.about != chosen.about || o.child && o.digest != chosen.digest:
			v.deny(o, fmt.Sprintf("policies vouch for different digests: %s and %s", chosen.digest, o.digest))
			return
		}
	}
	q.vouched = first.digest
	if q.byTrust && v.Digest.IsZero() && !q.enforced { // by trust data alone, and nothing was to be stopped
		v.Digest = first.about
	}
	if chosen == nil {
		return
	}
	q.vouched = chosen.digest
	if o, reason := q.objection(chosen.digest, opinions); o != nil {
		v.deny(o, reason)
		return
	}
	v.Digest, v.Child = chosen.digest, chosen.child
	if pin && v.Digest != q.ref.Digest() {
		v.Pin = q.ref.Pinned(v.Digest).String()
	}
}

func (v *Verdict) deny(o *opinion, reason string) {
	v.Decision = o.Decision
	v.Allowed, v.Outcome, v.Reason, v.cause = false, Denied, reason, nil
}

// objection finds a policy whose rules say something else about the digest that is to run than about the one that was asked for: the
// digest decides, so a rule against it must not be passed by asking for another one.
func (q *question) objection(d image.Digest, opinions []opinion) (*opinion, string) {
	if d == q.known() {
		return nil, ""
	}
	standsFor := func() (image.Digest, error) { return d, nil }
	for i := range opinions {
		o := &opinions[i]
		if o.mode != policy.Enforce {
			continue
		}
		if r := o.from.revokedDigest(d); r != nil {
			return o, r.String()
		}
		rule, index, err := o.from.Match(policy.Query{Ref: q.ref.Pinned(d), Now: q.now, TagDigest: standsFor})
		switch {
		case err != nil:
			return o, err.Error()
		case rule == nil && o.from.Unmatched == policy.IgnoreUnmatched:
		case rule == nil:
			return o, "no rule speaks about " + d.String()
		case index != o.index && rule.Allow != "":
			o.ends = soonest(o.ends, rule.Until)
		case index != o.index:
			return o, strings.TrimSuffix(fmt.Sprintf("%s speaks about %s: %s", o.from.rules[index].name, d, rule.Deny), ": ")
		}
	}
	return nil, ""
}
