package engine

import (
	"slices"
	"time"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// truth is the value of a requirement. The zero value is "no".
type truth int

const (
	no truth = iota
	unknown
	yes
)

// maxAlternatives bounds the sets of signers that are followed for one node of a tree. Beyond it a threshold may be missed, never
// reached wrongly.
const maxAlternatives = 64

// maxSteps bounds the search for distinct signers in one tree, with the same effect.
const maxSteps = 1 << 16

// hearing is what the authorities of a rule said, each once.
type hearing struct {
	leaves []*authority
	found  []*finding // beside leaves; nil: has not said anything
}

func newHearing(plan *plannedRule) *hearing {
	return &hearing{leaves: plan.leaves, found: make([]*finding, len(plan.leaves))}
}

// said returns what an authority said; a rule has few authorities, so that looking through them is quicker than a map.
func (h *hearing) said(a *authority) *finding {
	if i := slices.Index(h.leaves, a); i >= 0 && h.found[i] != nil {
		return h.found[i]
	}
	return &pending
}

func (h *hearing) note(a *authority, f *finding) {
	if i := slices.Index(h.leaves, a); i >= 0 {
		h.found[i] = f
	}
}

// finding is what one authority said about one digest.
type finding struct {
	standing Standing
	proofs   []trust.Proof
	err      error
	missed   error // why there may be more proofs, where all were wanted; nil: there are none
	revoked  *revocation
	checked  time.Time // when evidence began to be looked for
	until    time.Time // it is reused until then; zero: not at all
	recalled bool      // another process looked: nothing was fetched for it here
}

// pending stands for an authority that has not said anything.
var pending = finding{standing: Unasked}

func (f *finding) truth() truth {
	switch f.standing {
	case Proved:
		return yes
	case Unclear, Unasked:
		return unknown
	}
	return no
}

// tree evaluates requirements over what authorities said.
type tree struct {
	policy *planned
	heard  *hearing
	steps  int
}

// holds evaluates what a rule requires over what its authorities said.
func (p *planned) holds(rule *policy.Rule, h *hearing) truth {
	t := tree{policy: p, heard: h}
	return t.eval(rule.Require)
}

func (t *tree) eval(r *policy.Requirement) truth {
	if r.Authority != "" {
		return t.leaf(r).truth()
	}
	held, open := 0, 0
	for i := range r.Of {
		switch t.eval(&r.Of[i]) {
		case yes:
			held++
		case unknown:
			open++
		}
	}
	if r.Distinct && r.AtLeast > 1 {
		whole := held
		if held = t.distinct(r); held < r.AtLeast && t.pending(r) {
			// Somebody who was not heard could be another signer, also in a child that holds already.
			open += whole - held
		}
	}
	switch {
	case r.AtLeast < 1 || r.AtLeast > len(r.Of):
		return no
	case held >= r.AtLeast:
		return yes
	case held+open >= r.AtLeast:
		return unknown
	}
	return no
}

// pending reports whether some authority below r could not be heard.
func (t *tree) pending(r *policy.Requirement) bool {
	if r.Authority != "" {
		return t.leaf(r).truth() == unknown
	}
	return slices.ContainsFunc(r.Of, func(c policy.Requirement) bool { return t.pending(&c) })
}

func (t *tree) leaf(r *policy.Requirement) *finding {
	if a := t.policy.authorities[r.Authority]; a != nil {
		return t.heard.said(a)
	}
	return &finding{standing: Untrusted}
}

// signers is a sorted set of the IDs of signers that together satisfy a requirement; a signer can have several.
type signers []string

func (s signers) meets(other signers) bool {
	return slices.ContainsFunc(s, func(id string) bool { return slices.Contains(other, id) })
}

func (s signers) with(other signers) signers {
	all := slices.Concat(s, other)
	slices.Sort(all)
	return slices.Compact(all)
}

// distinct returns how many children of r hold with no signer in common.
func (t *tree) distinct(r *policy.Requirement) int {
	best := 0
	t.choose(r, 0, 0, nil, func(count int, _ signers) bool {
		best = max(best, count)
		return best >= r.AtLeast
	})
	return best
}

// choose walks the ways to take children of r from index i on so that no signer counts twice; found is told each way and ends the walk
// by returning true.
func (t *tree) choose(r *policy.Requirement, i, count int, used signers, found func(int, signers) bool) bool {
	if found(count, used) {
		return true
	}
	for ; i < len(r.Of) && count+len(r.Of)-i >= r.AtLeast; i++ {
		if t.steps++; t.steps > maxSteps {
			return true
		}
		for _, alternative := range t.alternatives(&r.Of[i]) {
			if alternative.meets(used) {
				continue
			}
			if t.choose(r, i+1, count+1, used.with(alternative), found) {
				return true
			}
		}
	}
	return false
}

// alternatives returns the sets of signers of which each satisfies r; none if r does not hold.
func (t *tree) alternatives(r *policy.Requirement) []signers {
	if r.Authority != "" {
		return leafSigners(t.leaf(r))
	}
	var sets []signers
	if r.Distinct {
		t.choose(r, 0, 0, nil, func(count int, used signers) bool {
			if count == r.AtLeast {
				sets = addSet(sets, used)
			}
			return len(sets) == maxAlternatives
		})
		return sets
	}
	if r.AtLeast == 1 {
		for i := range r.Of {
			for _, s := range t.alternatives(&r.Of[i]) {
				sets = addSet(sets, s)
			}
		}
		return sets
	}
	sets = []signers{nil}
	for i := range r.Of {
		var next []signers
		for _, s := range t.alternatives(&r.Of[i]) {
			for _, before := range sets {
				next = addSet(next, before.with(s))
			}
		}
		sets = next
	}
	return sets
}

func leafSigners(f *finding) []signers {
	if f.standing != Proved {
		return nil
	}
	var sets []signers
	for i := range f.proofs {
		var s signers
		for _, signer := range f.proofs[i].Signers {
			s = append(s, signer.IDs()...)
		}
		slices.Sort(s)
		sets = addSet(sets, slices.Compact(s))
	}
	return sets
}

func addSet(sets []signers, s signers) []signers {
	known := slices.ContainsFunc(sets, func(t signers) bool { return slices.Equal(s, t) })
	if known || len(sets) == maxAlternatives {
		return sets
	}
	return append(sets, s)
}
