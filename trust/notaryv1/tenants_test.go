package notaryv1

import (
	"fmt"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust/trusttest"
)

// tenant is a section of a namespace's policy.
type tenant struct {
	trusttest.Section
	namespace string
}

func (t tenant) Namespace() string { return t.namespace }

func (w *world) tenant(t *testing.T, namespace string, o Options) *authority {
	t.Helper()
	a, err := w.format.(*format).compile(o, tenant{namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// T38, T43: what a namespace's policy has Assay see goes into no store of the installation, where it would stay for ever, and would be looked
// through for each new root of trust. It is a floor for policies of that namespace all the same.
func TestT38_TenantsFillNoStore(t *testing.T) {
	r := newRepository()
	w := newWorld(pinned(r))
	w.serve(r)
	old := r.Files()
	a := w.tenant(t, "team", w.options)
	if _, err := w.decide(t, a, app); err != nil {
		t.Fatal(err)
	}
	r.Refresh()
	w.serve(r)
	if _, err := w.decide(t, a, app); err != nil {
		t.Fatal(err)
	}
	if states := w.store.(*Memory).states; len(states) != 0 {
		t.Errorf("the store of the installation keeps %d repositories for a tenant", len(states))
	}
	w.serveFiles(r.GUN, old)
	proofs, err := w.decide(t, w.tenant(t, "team", w.options), app)
	wantNoWith(t, proofs, err, "rollback")
	if _, err := w.decide(t, w.tenant(t, "bank", w.options), app); err != nil {
		t.Errorf("what one namespace has seen is a floor in another: %v", err)
	}
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Errorf("and in the cluster's: %v", err)
	}
	if states := w.store.(*Memory).states; len(states) != 1 {
		t.Errorf("the store of the installation keeps %d repositories for the cluster", len(states))
	}
}

func TestT43_TenantStoreForgets(t *testing.T) {
	var m tenantStore
	put := func(gun string, at time.Time, size int) {
		t.Helper()
		err := m.Update(t.Context(), Key{Server: server, GUN: gun}, func(s State) (State, error) {
			s.Seen, s.Files = at, map[string][]byte{"root": make([]byte, size)}
			return s, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxTenantStates + 2 {
		put(fmt.Sprint(i), now.Add(time.Duration(i)*time.Second), 1)
	}
	if _, kept := m.states[Key{Server: server, GUN: "1"}]; kept || len(m.states) != maxTenantStates {
		t.Errorf("%d are kept, the oldest too: %v", len(m.states), kept)
	}
	put("large", now, maxTenantBytes)
	if _, kept := m.states[Key{Server: server, GUN: "large"}]; !kept || len(m.states) != 1 {
		t.Errorf("%d are kept, the latest too: %v", len(m.states), kept)
	}
}
