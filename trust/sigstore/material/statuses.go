package material

import (
	"slices"
	"strings"
	"time"
)

// Fetched is one thing that a keeper fetches: a TUF repository, or a key in a key management service.
type Fetched interface {
	// Status says where it comes from and how old it is, by the strictest bound of age that anybody set.
	Status(now time.Time) Status
	// Members lists what is in it; nothing if it may not be used at now.
	Members(now time.Time) []Member
}

var (
	_ Fetched = (*aged)(nil)
	_ Fetched = (*remoteKey)(nil)
)

// Fetched returns everything that sources and keys were made of and that is fetched, in a stable order.
func (k *Keeper) Fetched() []Fetched {
	k.mu.Lock()
	defer k.mu.Unlock()
	type entry struct {
		name string
		Fetched
	}
	var all []entry
	for id, m := range k.mirrors {
		all = append(all, entry{m.name + " " + id, &aged{from: m, maxStale: m.maxStale}})
	}
	for ref, key := range k.keys {
		all = append(all, entry{ref, key})
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	found := make([]Fetched, len(all))
	for i := range all {
		found[i] = all[i].Fetched
	}
	return found
}

// Statuses tells of everything that is fetched, in a stable order.
func (k *Keeper) Statuses(now time.Time) []Status {
	var all []Status
	for _, f := range k.Fetched() {
		all = append(all, f.Status(now))
	}
	return all
}

// Members implements Fetched.
func (a *aged) Members(now time.Time) []Member {
	r, err := a.Root(now)
	if err != nil {
		return nil
	}
	return r.Members()
}

// Members implements Fetched: the key alone.
func (r *remoteKey) Members(now time.Time) []Member {
	k, err := r.Key(now)
	if err != nil {
		return nil
	}
	return []Member{{Kind: "key", URL: r.ref.String(), Key: k.Fingerprint, Type: keyType(k.Public)}}
}
