package spire

import "sync/atomic"

// kept is something that several states use, one after the other or at once: a client with its cache, which outlives a configuration that
// does not change how it was made.
type kept[T any] struct {
	value T
	key   string
	close func()
	users atomic.Int64
}

// keep begins with one user.
func keep[T any](value T, key string, close func()) *kept[T] {
	k := &kept[T]{value: value, key: key, close: close}
	k.users.Store(1)
	return k
}

// share adds a user, if what is kept was made in the way that a key stands for. It reports whether it did.
func (k *kept[T]) share(key string) bool {
	if k == nil || k.key != key {
		return false
	}
	for {
		n := k.users.Load()
		if n == 0 {
			return false // closed by now
		}
		if k.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release takes a user away. The last one closes.
func (k *kept[T]) release() {
	if k != nil && k.users.Add(-1) == 0 {
		k.close()
	}
}
