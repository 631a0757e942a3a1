package material

import (
	"slices"
	"strings"
	"time"
)

// Statuses tells of everything that is fetched, in a stable order; a bound of age that is a policy's own is not looked at.
func (k *Keeper) Statuses(now time.Time) []Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []Status
	for _, m := range k.mirrors {
		all = append(all, k.aged(m, 0).Status(now))
	}
	for _, key := range k.keys {
		all = append(all, key.Status(now))
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return all
}
