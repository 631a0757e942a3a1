package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/assay-dev/assay/policy"
)

// content puts into a verdict what it rests on, and where that is wanted, which bytes may run.
func (q *question) content(v *Verdict, req Request) {
	if now := q.plan.basis(req.Request, q.now); now == q.basis { // else nobody knows which trust material was used
		v.Basis = now
	}
	if !v.Allowed || v.Outcome != Allowed && !q.enforced {
		return
	}
	if req.Content && q.made == nil {
		q.follow(v, req.Platform)
	}
	v.Until, v.Ends = soonest(q.now.Add(q.engine.config.TTL), q.until), q.ends
}

// rests notes what an opinion rests on, if it allows: all proofs that were heard, since nobody knows without which of them it would still
// be the same.
func (o *opinion) rests(h *hearing) {
	for _, f := range h.found {
		if f != nil && f.standing == Proved {
			o.until, o.ends = soonest(o.until, f.until), soonest(o.ends, f.ends())
		}
	}
}

// last notes the soonest of what the opinions rest on. Those of policies that warn or audit stop nothing, now or later.
func (q *question) last(opinions []opinion) {
	for i := range opinions {
		if o := &opinions[i]; o.mode == policy.Enforce {
			q.until, q.ends = soonest(q.until, o.until), soonest(q.ends, o.ends)
		}
	}
	q.until = soonest(q.until, q.ends)
}

// Basis returns what Verdict.Basis is for a request of which nobody could tell in time: it asks nobody. It is empty where it cannot be told
// what a verdict would rest on.
func (e *Engine) Basis(req policy.Request) string { return e.plan.Load().basis(req, e.config.Now()) }

// basisForm begins each basis, so that another form of it never equals this one.
const basisForm = "assay basis 1\n"

// basis hashes the policies in scope, whole, and the versions of the trust material of all their authorities: which of them a verdict
// rests on can hang on what a tag stands for, and that is not known while nobody can be asked. Revocations are a part of the policies. Trust material that is too old to be used at now
// is nothing to rest on.
func (p *plan) basis(req policy.Request, now time.Time) string {
	var lines []string
	for _, one := range p.policies {
		switch {
		case one.Unclear(req), one.Unusable != nil && one.InScope(req):
			return "" // nobody knows what it would say
		case !one.InScope(req):
			continue
		}
		line := fmt.Sprintf("%d:%s %s", len(one.Name), one.Name, one.hash)
		for _, name := range slices.Sorted(maps.Keys(one.authorities)) {
			a := one.authorities[name]
			if a.lapsing != nil && a.lapsing.Lapsed(now) {
				return ""
			}
			if a.versioned != nil {
				version := a.versioned.Version()
				line += fmt.Sprintf(" %s=%d:%s", name, len(version), version)
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	sum := sha256.New()
	sum.Write([]byte(basisForm))
	for _, line := range lines {
		fmt.Fprintln(sum, line)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Lenient reports whether nothing that a request names would be stopped: some policy of the cluster speaks about the request, and none that
// does enforces. It is for what a point cannot even ask about, such as an image without a name.
func (e *Engine) Lenient(req policy.Request) bool {
	spoken := false
	for _, one := range e.plan.Load().policies {
		speaks := one.InScope(req)
		if one.Mode == policy.Enforce && (speaks || one.Unclear(req)) {
			return false
		}
		spoken = spoken || speaks && one.Namespace == ""
	}
	return spoken
}
