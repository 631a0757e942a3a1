package engine

import (
	"fmt"
	"slices"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// A namespace's policy is written by whoever may write in that namespace, and can only tighten: its opinion is never the one that an
// image needs, it is not asked before a policy of the cluster has one, it names no digest that was not asked for, and a verdict that
// allows is a policy of the cluster's.

// Formats look by this interface for whose policy it is.
var _ trust.OfNamespace = (*policy.Section)(nil)

// tightens reports whether p is a namespace's policy.
func (p *planned) tightens() bool { return p.Namespace != "" }

// clusterFirst puts the policies of the cluster before those of namespaces.
func clusterFirst(policies []*planned) {
	slices.SortStableFunc(policies, func(a, b *planned) int {
		switch {
		case a.tightens() == b.tightens():
			return 0
		case b.tightens():
			return -1
		}
		return 1
	})
}

// counts reports whether an opinion is the one that an image needs. That of a policy which cannot be used is not, whatever its mode:
// nobody knows that it has one.
func (o *opinion) counts() bool {
	return o.Outcome != NoOpinion && !o.from.tightens() && o.from.Unusable == nil
}

// opinions asks every policy in scope, those of the cluster first. unheard is a namespace's policy that was not asked because none of them
// has an opinion: nobody would hear its answer, and it must not choose to which hosts requests go.
func (q *question) opinions(p *plan, req Request, into []opinion) (all []opinion, unheard *planned) {
	all = into
	spoken := false
	for _, one := range p.policies {
		switch {
		case !one.InScope(req.Request):
		case !one.tightens():
			all = append(all, q.ask(one))
			spoken = spoken || all[len(all)-1].counts()
		case !spoken:
			return all, one
		default:
			o := q.ask(one)
			q.keepToAsked(&o, all)
			all = append(all, o)
		}
	}
	return all, nil
}

// keepToAsked denies where a namespace's policy would have another digest run than the one that was asked for, unless a policy of the
// cluster replaces it in the same way.
func (q *question) keepToAsked(o *opinion, others []opinion) {
	if o.mode != policy.Enforce || o.Outcome != Allowed || o.about.IsZero() {
		return
	}
	for i := range others {
		if c := &others[i]; c.counts() && c.mode == policy.Enforce && c.about == o.about {
			return
		}
	}
	d, err := q.digest()
	switch {
	case err != nil:
		o.fail(fmt.Errorf("%s: %w", q.ref, err))
	case d != o.about:
		o.deny(fmt.Sprintf("a policy of a namespace can only tighten, and this one would run %s in place of %s", o.about, d))
		o.about, o.digest, o.child, o.pin = image.Digest{}, image.Digest{}, false, false
	}
}

// silence is the verdict where no policy that counts has an opinion. Where one cannot be used, nobody can tell whether it has.
func (q *question) silence(opinions []opinion, unheard *planned) Verdict {
	for i := range opinions {
		if o := &opinions[i]; o.from.Unusable != nil {
			return Verdict{Decision: o.Decision, cause: o.cause}
		}
	}
	reason := "no policy speaks about " + q.ref.String()
	for i := range opinions {
		if missed := opinions[i].Reason; missed != "" {
			reason += "; " + missed
		}
	}
	if unheard != nil {
		reason = fmt.Sprintf("no policy of the cluster speaks about %s, and %s can only tighten", q.ref, unheard.Name)
	}
	return Verdict{Decision: Decision{Outcome: Denied, Reason: reason}}
}
