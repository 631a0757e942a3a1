package main

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
)

// policySet is all policies that a server decides by. Each source of policies has a part of it, and gives that part anew when it changes:
// together they are one set, in which no two policies have one name.
type policySet struct {
	engine *engine.Engine
	log    *slog.Logger

	mu     sync.Mutex
	parts  []*policyPart // in the order of the sources
	warned []string      // by what is in force
}

// policyPart is what one source gives.
type policyPart struct {
	set      *policySet
	policies []*policy.Policy
}

// part adds an empty part.
func (s *policySet) part() *policyPart {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &policyPart{set: s}
	s.parts = append(s.parts, p)
	return p
}

// use puts policies in the place of those that the part had, all of them or none. The other parts stay as they are.
func (p *policyPart) use(policies []*policy.Policy) error {
	s := p.set
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*policy.Policy
	for _, part := range s.parts {
		if part == p {
			all = append(all, policies...)
			continue
		}
		all = append(all, part.policies...)
	}
	if err := s.engine.Use(all); err != nil {
		return err
	}
	s.tell(p.policies, policies, all)
	p.policies = policies
	return nil
}

// others returns where the policies of the other parts come from, by their names.
func (p *policyPart) others() map[string]string {
	p.set.mu.Lock()
	defer p.set.mu.Unlock()
	from := map[string]string{}
	for _, part := range p.set.parts {
		if part == p {
			continue
		}
		for _, one := range part.policies {
			from[one.Name] = one.File
		}
	}
	return from
}

// tell logs what is in force since now, and what there is to say about it.
func (s *policySet) tell(before, now, all []*policy.Policy) {
	was := map[string]string{}
	for _, p := range before {
		was[p.Name] = p.Hash()
	}
	for _, p := range now {
		if was[p.Name] != p.Hash() {
			s.log.Info("policy in force", "policy", p.Name, "mode", p.Mode.String(), "hash", p.Hash())
		}
		delete(was, p.Name)
	}
	for name := range was {
		s.log.Info("policy no longer in force", "policy", name)
	}
	warnings := append(policyWarnings(all), s.engine.Warnings()...)
	for _, w := range warnings {
		if !slices.Contains(s.warned, w) {
			s.log.Warn("policy", "warning", enforce.Plain(w))
		}
	}
	s.warned = warnings
}

// policySource adds a source that is made of files: load reads them, for the first time now, and again when they change.
func (s *server) policySource(what string, load func(*reading) ([]*policy.Policy, error)) error {
	part := s.policies.part()
	return s.watch(what, func(r *reading) error {
		policies, err := load(r)
		if err != nil {
			return err
		}
		return part.use(policies)
	})
}

// readPolicies reads what --policy names.
func (o *serveOptions) readPolicies(r *reading) ([]*policy.Policy, error) {
	return r.policies(o.policies)
}

// policies reads the policies that paths name.
func (r *reading) policies(paths []string) ([]*policy.Policy, error) {
	files, err := r.list(paths)
	if err != nil {
		return nil, err
	}
	return readPolicies(files, r.file)
}
