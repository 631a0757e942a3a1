package notaryv1

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/assay-dev/assay/trust"
)

// Limits of what is kept for the policies of one namespace: repositories, and bytes of their roots and files.
const (
	maxTenantStates = 256
	maxTenantBytes  = 8 << 20
)

// tenants keeps what was seen for policies of namespaces: apart for each of these, in memory, and not for ever. Whoever writes such a policy
// chooses servers and roots of trust, and each new one is something new to keep: in the store of the installation it would stay for good,
// and be in the way of the installation's own. The zero value is empty and ready.
type tenants struct {
	mu     sync.Mutex
	stores map[string]*tenantStore
}

// store returns that of a namespace.
func (t *tenants) store(namespace string) Store {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stores == nil {
		t.stores = map[string]*tenantStore{}
	}
	if t.stores[namespace] == nil {
		t.stores[namespace] = &tenantStore{}
	}
	return t.stores[namespace]
}

// storeFor returns the store for a section, and the namespace of its policy; "" is one of the installation.
func (f *format) storeFor(s trust.Section) (Store, string) {
	if n, ok := s.(trust.OfNamespace); ok && n.Namespace() != "" {
		return f.tenants.store(n.Namespace()), n.Namespace()
	}
	return f.store, ""
}

// tenantStore is a Memory that forgets what was not seen for the longest time.
type tenantStore struct{ Memory }

// Update implements Store.
func (m *tenantStore) Update(ctx context.Context, k Key, change func(State) (State, error)) error {
	if err := m.Memory.Update(ctx, k, change); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	bytes := 0
	for _, s := range m.states {
		bytes += s.size()
	}
	if len(m.states) <= maxTenantStates && bytes <= maxTenantBytes {
		return nil
	}
	oldest := make([]State, 0, len(m.states))
	for _, s := range m.states {
		oldest = append(oldest, s)
	}
	slices.SortFunc(oldest, func(a, b State) int { return cmp.Or(a.Seen.Compare(b.Seen), cmp.Compare(a.GUN, b.GUN)) })
	for _, s := range oldest {
		if len(m.states) <= maxTenantStates && bytes <= maxTenantBytes {
			break
		}
		if s.Key != k { // what was just seen stays, however large it is: limits of files bound that
			bytes -= s.size()
			delete(m.states, s.Key)
		}
	}
	return nil
}

// size is about how many bytes a state takes.
func (s State) size() int {
	n := 1 << 10
	for _, content := range s.Roots {
		n += len(content)
	}
	for _, content := range s.Files {
		n += len(content)
	}
	return n
}
