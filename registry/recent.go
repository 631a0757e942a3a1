package registry

// recent is a map of bounded size that drops what was not used for longest. Names of images come from strangers: without a bound,
// each new name would cost memory for good. The zero limit keeps nothing; the caller locks.
type recent[K comparable, V any] struct {
	limit   int
	drop    func(V) // called with what is dropped; nil: nothing to do
	entries map[K]*entry[V]
	tick    uint64
}

type entry[V any] struct {
	value V
	used  uint64
}

// get returns the value of key, made by create if there is none.
func (r *recent[K, V]) get(key K, create func() V) V {
	r.tick++
	if e, found := r.entries[key]; found {
		e.used = r.tick
		return e.value
	}
	if r.entries == nil {
		r.entries = map[K]*entry[V]{}
	}
	if len(r.entries) >= r.limit {
		r.dropOldest()
	}
	e := &entry[V]{value: create(), used: r.tick}
	r.entries[key] = e
	return e.value
}

func (r *recent[K, V]) dropOldest() {
	var oldest K
	least := r.tick
	for key, e := range r.entries {
		if e.used <= least {
			oldest, least = key, e.used
		}
	}
	if e, found := r.entries[oldest]; found {
		delete(r.entries, oldest)
		if r.drop != nil {
			r.drop(e.value)
		}
	}
}
