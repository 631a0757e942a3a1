package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// plan is the policies with their authorities made. It does not change.
type plan struct {
	policies []*planned
	byName   map[string]*planned
	local    bool // some rule is about images that were made on the host, and
	builders bool // about who had them built
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
	naming []*authority // those of them that name what a tag stands for
}

// authority is a named authority of a policy.
type authority struct {
	trust.Authority
	policy       *planned
	name, format string
	key          string           // names the authority in caches: policy hash and name
	searcher     trust.Searcher   // nil: all that is published is looked at
	rememberer   trust.Rememberer // nil: its evidence says nothing of the past
	resolver     trust.Resolver   // nil: it knows no tags
	versioned    trust.Versioned  // nil: the trust material is all in the policy
	warner       trust.Warner     // nil: it has no warnings
	servers      []string         // that are asked beside the registry of an image
	aging        trust.Aging      // nil: nothing of it is fetched
	lapsing      trust.Lapsing    // nil: it can be used at any age
	unshared     bool             // its proofs are of this process alone
}

func newAuthority(p *planned, a *policy.Authority, made trust.Authority) *authority {
	one := &authority{Authority: made, policy: p, name: a.Name, format: a.Format}
	one.searcher, _ = made.(trust.Searcher)
	one.rememberer, _ = made.(trust.Rememberer)
	one.resolver, _ = made.(trust.Resolver)
	one.versioned, _ = made.(trust.Versioned)
	one.warner, _ = made.(trust.Warner)
	if l, ok := made.(trust.Located); ok {
		one.servers = l.Servers()
	}
	one.aging, _ = made.(trust.Aging)
	one.lapsing, _ = made.(trust.Lapsing)
	if u, ok := made.(trust.Unshared); ok {
		one.unshared = u.Unshared()
	}
	return one
}

// about returns ref as the authority is asked about it: the tag beside the digest means something only to one that names what tags
// stand for.
func (a *authority) about(ref image.Ref) image.Ref {
	if a.resolver == nil {
		return ref.At(ref.Digest())
	}
	return ref
}

// logins returns those of an asker with which alone servers are asked on behalf of the authority about ref. Their key is part of the
// question's: a login that is no part of it is never used, so that nobody gets an answer that another one's login opened.
func (a *authority) logins(all trust.Logins, ref image.Ref) trust.Logins {
	if all.IsZero() {
		return all
	}
	some := all.For(ref.Registry(), ref.Repository())
	for _, server := range a.servers {
		some = some.With(all.For(server, ""))
	}
	return some
}

// asked returns the key of a question about ref, with the trust material that is in use now and the logins that ask. every matters only
// where an authority could end its search before it has seen everything.
func (a *authority) asked(ref image.Ref, logins trust.Logins, every bool) answerKey {
	ref = a.about(ref)
	key := answerKey{
		authority: a.key, name: ref.Name(), tag: ref.Tag(), digest: ref.Digest(), logins: logins.Key(), every: every && a.searcher != nil,
	}
	if a.versioned != nil {
		key.version = a.versioned.Version()
	}
	return key
}

func (a *authority) warnings(now time.Time) []string {
	if a.warner == nil {
		return nil
	}
	return a.warner.Warnings(now)
}

// compile makes a plan, with as much of the one before as has not changed.
func compile(policies []*policy.Policy, formats []trust.Format, before *plan) (*plan, error) {
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
		old := before.named(doc.Name)
		if old != nil && old.Policy == doc {
			p.policies = append(p.policies, old)
			continue
		}
		one, err := compileOne(doc, byName)
		switch {
		case err != nil:
			errs = append(errs, err)
			continue
		case old != nil && old.hash == one.hash && old.File == one.File:
			one = old // its authorities remember what they checked
		}
		p.policies = append(p.policies, one)
	}
	p.byName = make(map[string]*planned, len(p.policies))
	for _, one := range p.policies {
		p.byName[one.Name] = one
		for i := range one.Rules {
			if l := one.Rules[i].Local; l != nil {
				p.local, p.builders = true, p.builders || len(l.BuiltBy) > 0
			}
		}
	}
	clusterFirst(p.policies)
	return p, errors.Join(errs...)
}

// named returns the policy of a name; nil if there is none, or no plan.
func (p *plan) named(name string) *planned {
	if p == nil {
		return nil
	}
	return p.byName[name]
}

func compileOne(doc *policy.Policy, formats map[string]trust.Format) (*planned, error) {
	p := &planned{Policy: doc, authorities: map[string]*authority{}}
	var errs []error
	for i := range doc.Authorities {
		a := &doc.Authorities[i]
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
		p.authorities[a.Name] = newAuthority(p, a, made)
	}
	for i, r := range doc.Revoked {
		revoked, err := newRevocation(doc, i, r)
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
		rule := plannedRule{name: ruleName(i, r.Line)}
		if r.Require != nil {
			if err := p.leaves(r.Require, false, &rule.leaves); err != nil {
				return fmt.Errorf("%s: %w", p.Place(r.Line), err)
			}
			for _, a := range rule.leaves {
				if a.resolver != nil {
					rule.naming = append(rule.naming, a)
				}
			}
		}
		p.rules = append(p.rules, rule)
	}
	return nil
}

// ruleName names a rule in verdicts. In an object of a cluster it has no line.
func ruleName(index, line int) string {
	if line == 0 {
		return fmt.Sprintf("rules[%d]", index)
	}
	return fmt.Sprintf("rules[%d] (line %d)", index, line)
}

// leaves collects the authorities of a tree in the order of the document. Below a threshold that counts signers (counted), one proof
// does not suffice: another one could be by the signer who is missing. What an authority found is shared between the rules, so that
// one such rule makes it look at everything for all of them.
func (p *planned) leaves(r *policy.Requirement, counted bool, into *[]*authority) error {
	if r.Authority == "" {
		counted = counted || r.Distinct && r.AtLeast > 1
		for i := range r.Of {
			if err := p.leaves(&r.Of[i], counted, into); err != nil {
				return err
			}
		}
		return nil
	}
	a, found := p.authorities[r.Authority]
	if !found {
		return fmt.Errorf("unknown authority %q", r.Authority)
	}
	if counted {
		a.searcher = nil
	}
	if !slices.Contains(*into, a) {
		*into = append(*into, a)
	}
	return nil
}
