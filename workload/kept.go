package workload

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// Limits of what is remembered of an engine.
const (
	maxKept     = 64 << 20 // bytes, of containers and of images each
	keptFor     = time.Minute
	absentFor   = time.Second
	keptAtLeast = 256 // bytes that an entry costs beside what it says
)

// kept remembers answers. Those who ask for the same at once share one request, which ends when the last of them has left. It is safe for
// concurrent use.
type kept[V any] struct {
	name  string
	start func(name string, fn func())
	now   func() time.Time
	ask   func(ctx context.Context, key string) (V, error)
	size  func(V) int
	max   int // bytes

	mu      sync.Mutex
	entries map[string]*list.Element // of keptEntry[V]
	order   list.List                // the ones used last come first
	held    int                      // bytes
	asking  map[string]*asking[V]
}

type keptEntry[V any] struct {
	key   string
	value V
	err   error // ErrAbsent or nil
	size  int
	until time.Time
}

// asking is one request and who waits for it.
type asking[V any] struct {
	cancel  context.CancelFunc
	done    chan struct{}
	value   V
	err     error
	waiters int  // guarded by the mutex of all
	stale   bool // what comes was true before something happened: not to be kept. Guarded likewise
}

func newKept[V any](c DockerConfig, name string, ask func(context.Context, string) (V, error), size func(V) int) *kept[V] {
	return &kept[V]{
		name: "docker " + name, start: c.Go, now: c.Now, ask: ask, size: size, max: maxKept,
		entries: map[string]*list.Element{}, asking: map[string]*asking[V]{},
	}
}

// get returns what is remembered, or asks.
func (k *kept[V]) get(ctx context.Context, key string) (V, error) {
	k.mu.Lock()
	if e, ok := k.look(key); ok {
		k.mu.Unlock()
		return e.value, e.err
	}
	a := k.asking[key]
	if a == nil {
		a = k.begin(key)
	}
	a.waiters++
	k.mu.Unlock()
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		k.leave(key, a)
		var none V
		return none, context.Cause(ctx)
	}
}

func (k *kept[V]) look(key string) (keptEntry[V], bool) {
	at := k.entries[key]
	if at == nil {
		return keptEntry[V]{}, false
	}
	e := at.Value.(keptEntry[V])
	if !k.now().Before(e.until) {
		k.drop(at)
		return keptEntry[V]{}, false
	}
	k.order.MoveToFront(at)
	return e, true
}

func (k *kept[V]) begin(key string) *asking[V] {
	ctx, cancel := context.WithTimeout(context.Background(), dockerTimeout)
	a := &asking[V]{cancel: cancel, done: make(chan struct{}), err: errors.New(k.name + ": panic")}
	k.asking[key] = a
	k.start(k.name, func() {
		defer k.end(key, a) // also where ask panics
		a.value, a.err = k.ask(ctx, key)
	})
	return a
}

// end keeps an answer and tells it to those who wait.
func (k *kept[V]) end(key string, a *asking[V]) {
	k.mu.Lock()
	if k.asking[key] == a {
		delete(k.asking, key)
		k.keep(key, a)
	}
	k.mu.Unlock()
	close(a.done)
	a.cancel()
}

func (k *kept[V]) keep(key string, a *asking[V]) {
	e := keptEntry[V]{key: key, value: a.value, size: keptAtLeast + len(key)}
	switch {
	case a.stale:
		return
	case a.err == nil:
		e.size += k.size(a.value)
		e.until = k.now().Add(keptFor)
	case errors.Is(a.err, ErrAbsent):
		e.err = a.err
		e.until = k.now().Add(absentFor)
	default:
		return // an outage is never remembered
	}
	if at := k.entries[key]; at != nil {
		k.drop(at)
	}
	k.entries[key] = k.order.PushFront(e)
	k.held += e.size
	for k.held > k.max {
		k.drop(k.order.Back())
	}
}

func (k *kept[V]) drop(at *list.Element) {
	e := k.order.Remove(at).(keptEntry[V])
	delete(k.entries, e.key)
	k.held -= e.size
}

// leave ends a request that nobody waits for any more.
func (k *kept[V]) leave(key string, a *asking[V]) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a.waiters--
	if a.waiters > 0 {
		return
	}
	a.cancel()
	if k.asking[key] == a {
		delete(k.asking, key)
	}
}

// forget drops what of is true of, and keeps no answer that is on its way to a key of which it is true without a value.
func (k *kept[V]) forget(of func(key string, v V) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var next *list.Element
	for at := k.order.Front(); at != nil; at = next {
		next = at.Next()
		if e := at.Value.(keptEntry[V]); of(e.key, e.value) {
			k.drop(at)
		}
	}
	for key, a := range k.asking {
		var unknown V
		a.stale = a.stale || of(key, unknown)
	}
}
