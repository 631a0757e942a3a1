package notaryv1

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// Join returns what two who look at one repository have seen together: of each signer of a role the highest version, and the roots of the
// one who saw more of them. So no floor of one is lowered by the other. The files are s's. It is an error if neither one's roots follow the
// other's: then somebody was shown another repository, or has written to what is kept.
func (s State) Join(other State) (State, error) {
	switch {
	case len(other.Floors) == 0 && len(other.Roots) == 0:
		return s, nil
	case len(s.Floors) == 0 && len(s.Roots) == 0:
		joined := other
		joined.Key, joined.Files, joined.Seen = s.Key, s.Files, s.Seen
		return joined, nil
	}
	joined := s
	switch {
	case follows(other.Roots, s.Roots):
		joined.Roots = other.Roots
	case !follows(s.Roots, other.Roots):
		return State{}, fmt.Errorf("root of %s: two roots were seen of which neither follows the other", s.GUN)
	}
	joined.Floors = maps.Clone(other.Floors)
	for role, mine := range s.Floors {
		joined.Floors[role] = mine.join(other.Floors[role])
	}
	return joined, nil
}

// follows reports whether roots have the last one of others among them.
func follows(roots, others [][]byte) bool {
	if len(others) == 0 {
		return true
	}
	last := others[len(others)-1]
	return slices.ContainsFunc(roots, func(one []byte) bool { return bytes.Equal(one, last) })
}

// join returns the highest floor of each signer, those of other first: it has seen what its latest signers are.
func (f Floors) join(other Floors) Floors {
	joined := slices.Clone(other)
	for _, floor := range f {
		i := slices.IndexFunc(joined, func(one Floor) bool { return one.Signers == floor.Signers })
		switch {
		case i >= 0:
			joined[i].Version = max(joined[i].Version, floor.Version)
		case len(joined) < maxFloors:
			joined = append(joined, floor)
		}
	}
	return joined
}
