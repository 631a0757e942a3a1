package notaryv1

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Key names what is kept of one repository.
type Key struct {
	Server string // URL of the Notary server
	GUN    string // name of the repository there
	// Anchor names the root of trust under which the repository was seen: what one policy trusts must not raise the floors of another.
	Anchor string
}

// String implements fmt.Stringer.
func (k Key) String() string { return k.Server + "/v2/" + k.GUN }

// host returns the server's host and port, as messages name it.
func (k Key) host() string {
	u, err := url.Parse(k.Server)
	if err != nil {
		return k.Server
	}
	return u.Host
}

// State is what is kept of one repository: the highest versions that were seen, and the files that were verified last. The zero State
// has seen nothing.
type State struct {
	Key
	Floors map[string]Floors `json:"floors,omitempty"` // by role
	Seen   time.Time         `json:"seen,omitzero"`    // when the server last answered with what is kept here
	Roots  [][]byte          `json:"roots,omitempty"`  // from the one that the policy trusts to the current one
	Files  map[string][]byte `json:"files,omitempty"`  // by role
}

// Root returns the SHA-256 of the root that was seen last, in hex; nothing if none was.
func (s State) Root() string {
	if len(s.Roots) == 0 {
		return ""
	}
	sum := sha256.Sum256(s.Roots[len(s.Roots)-1])
	return hex.EncodeToString(sum[:])
}

// Store keeps states. It is safe for concurrent use, and by several processes where it outlives one.
//
// What Load returns and what change gets and returns is not written to.
type Store interface {
	// Load returns what is kept under a key; the zero State if nothing ever was. An error means that nobody can tell.
	Load(ctx context.Context, k Key) (State, error)
	// Others returns what is kept of the same repository under other roots of trust.
	Others(ctx context.Context, k Key) ([]State, error)
	// Update replaces what is kept under a key, and only there, by what change makes of it. Nobody else's update comes between: change may be called
	// again with what another has written. If change fails, nothing is written, and its error is returned.
	Update(ctx context.Context, k Key, change func(State) (State, error)) error
}

// Memory is a Store for one process. Its zero value is empty and ready.
type Memory struct {
	mu     sync.Mutex
	states map[Key]State
}

var _ Store = (*Memory)(nil)

// Load implements Store.
func (m *Memory) Load(_ context.Context, k Key) (State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[k], nil
}

// Others implements Store.
func (m *Memory) Others(_ context.Context, k Key) ([]State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var others []State
	for other, s := range m.states {
		if other != k && other.Server == k.Server && other.GUN == k.GUN {
			others = append(others, s)
		}
	}
	return others, nil
}

// Update implements Store.
func (m *Memory) Update(_ context.Context, k Key, change func(State) (State, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed, err := change(m.states[k])
	if err != nil {
		return err
	}
	if m.states == nil {
		m.states = map[Key]State{}
	}
	changed.Key = k
	m.states[k] = changed
	return nil
}

// advance makes of what is kept what it is after files were verified. Somebody else may have seen newer files meanwhile: then these are a
// rollback.
func (r *repository) advance(kept State, f files, seen time.Time) (State, error) {
	next := State{Key: kept.Key, Seen: seen, Floors: map[string]Floors{}, Files: map[string][]byte{}}
	maps.Copy(next.Floors, kept.Floors)
	for name, floor := range r.floors {
		if before, found := kept.Floors[name].of(floor.Signers); found && floor.Version < before.Version {
			return State{}, fmt.Errorf("%s of %s: version %d is older than version %d, which was seen meanwhile: a rollback", name, r.gun, floor.Version, before.Version)
		}
		next.Floors[name] = kept.Floors[name].with(floor)
	}
	if root := kept.Root(); root != r.past.Root && !slices.ContainsFunc(r.roots, func(one *rootFile) bool { return rootSum(one) == root }) {
		return State{}, fmt.Errorf("root of %s: another root was seen meanwhile, which version %d does not follow", r.gun, r.current().version)
	}
	next.Roots = f.roots[r.first:]
	for name, content := range kept.Files {
		if meta, found := r.meta[name]; found && meta.fits(content) == nil {
			next.Files[name] = content
		}
	}
	maps.Copy(next.Files, f.byRole)
	if kept.Seen.After(seen) {
		next.Seen = kept.Seen
	}
	return next, nil
}

// knows reports whether a state has all that was verified just now.
func (s State) knows(r *repository, f files) bool {
	if len(s.Roots) == 0 || !bytes.Equal(s.Roots[len(s.Roots)-1], f.roots[len(f.roots)-1]) {
		return false
	}
	for name, content := range f.byRole {
		if !bytes.Equal(s.Files[name], content) {
			return false
		}
	}
	for name, floor := range r.floors {
		if all := s.Floors[name]; len(all) == 0 || all[0] != floor {
			return false
		}
	}
	return true
}
