package engine

import (
	"errors"
	"fmt"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// plan is the policies with their authorities made. It does not change.
type plan struct {
	policies []*planned
}

// planned is one policy of a plan.
type planned struct {
	*policy.Policy
	hash        string
	authorities map[string]*authority
	rules       []plannedRule
	revoked     []revocation
	byDigest    bool // some revocation is about a digest alone
}

// plannedRule is what the engine needs to know of a rule beside the policy's own words.
type plannedRule struct {
	name   string       // for the verdict
	leaves []*authority // the authorities whose word counts, each once
}

// authority is a named authority of a policy.
type authority struct {
	trust.Authority
	name, format string
	key          string // names the authority in caches: policy hash and name
}

func compile(policies []*policy.Policy, formats []trust.Format) (*plan, error) {
	byName := map[string]trust.Format{}
	for _, f := range formats {
		byName[f.Name()] = f
	}
	p := &plan{}
	files := map[string]string{}
	var errs []error
	for _, doc := range policies {
		if first, found := files[doc.Name]; found {
			errs = append(errs, fmt.Errorf("%s: policy %q has the name of the one in %s; give it another metadata.name", doc.File, doc.Name, first))
			continue
		}
		files[doc.Name] = doc.File
		one, err := compileOne(doc, byName)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.policies = append(p.policies, one)
	}
	return p, errors.Join(errs...)
}

func compileOne(doc *policy.Policy, formats map[string]trust.Format) (*planned, error) {
	p := &planned{Policy: doc, authorities: map[string]*authority{}}
	var errs []error
	for _, a := range doc.Authorities {
		format, found := formats[a.Format]
		if !found {
			errs = append(errs, a.Section.Errorf("", "unknown format %q", a.Format))
			continue
		}
		made, err := format.New(a.Section)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.authorities[a.Name] = &authority{Authority: made, name: a.Name, format: a.Format}
	}
	for _, r := range doc.Revoked {
		revoked, err := newRevocation(doc.File, r)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.revoked = append(p.revoked, revoked)
		p.byDigest = p.byDigest || revoked.digestAlone()
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	// Only now: sections have read their files, which are part of the hash.
	p.hash = doc.Hash()
	for _, a := range p.authorities {
		a.key = p.hash + "/" + a.name
	}
	return p, p.planRules()
}

func (p *planned) planRules() error {
	for i := range p.Rules {
		r := &p.Rules[i]
		rule := plannedRule{name: fmt.Sprintf("rules[%d] (line %d)", i, r.Line)}
		if r.Require != nil {
			seen := map[string]bool{}
			if err := p.leaves(r.Require, seen, &rule.leaves); err != nil {
				return fmt.Errorf("%s:%d: %w", p.File, r.Line, err)
			}
		}
		p.rules = append(p.rules, rule)
	}
	return nil
}

// leaves collects the authorities of a tree in the order of the document.
func (p *planned) leaves(r *policy.Requirement, seen map[string]bool, into *[]*authority) error {
	if r.Authority == "" {
		for i := range r.Of {
			if err := p.leaves(&r.Of[i], seen, into); err != nil {
				return err
			}
		}
		return nil
	}
	a, found := p.authorities[r.Authority]
	if !found {
		return fmt.Errorf("unknown authority %q", r.Authority)
	}
	if !seen[r.Authority] {
		seen[r.Authority] = true
		*into = append(*into, a)
	}
	return nil
}
