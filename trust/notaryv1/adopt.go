package notaryv1

import (
	"context"
	"slices"
)

// load returns what is kept of a repository. Where nothing is, because the policy names another root of trust than before, what was seen under
// the old one counts as far as the new one trusts it too: an edit of a policy must not open the way back to old trust data.
func (a *authority) load(ctx context.Context, key Key) (State, error) {
	kept, err := a.store.Load(ctx, key)
	if err != nil || kept.Server != "" {
		return kept, err
	}
	others, err := a.store.Others(ctx, key)
	if err != nil {
		return State{}, err
	}
	best, version := State{Key: key}, 0
	for _, other := range others {
		s, root := a.adopt(key, other)
		if root > version || root == version && s.Seen.After(best.Seen) {
			best, version = s, root
		}
	}
	if version == 0 {
		return State{}, nil
	}
	return best, nil
}

// adopt returns what was seen under another root of trust as seen under the authority's own, and the version of its current root; 0 if none
// of its roots counts here.
func (a *authority) adopt(key Key, other State) (State, int) {
	for i, content := range slices.Backward(other.Roots) {
		r, err := a.format.reader.root(content)
		if err != nil {
			return State{}, 0
		}
		if _, _, err := a.anchor.holds(r, key.GUN); err != nil {
			continue
		}
		other.Key, other.Roots = key, other.Roots[i:]
		current, err := a.format.reader.root(other.Roots[len(other.Roots)-1])
		if err != nil {
			return State{}, 0
		}
		return other, current.version
	}
	return State{}, 0
}
