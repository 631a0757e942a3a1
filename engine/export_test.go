package engine

// AuthorityOf returns an authority that is in force, for comparison; nil if there is none.
func AuthorityOf(e *Engine, policy, name string) any {
	p := e.plan.Load().named(policy)
	if p == nil {
		return nil
	}
	return p.authorities[name]
}
