package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// BugError is a panic that was caught. It denies, and is neither a "no" nor a "cannot tell".
type BugError struct {
	Value any
	Stack []byte
}

// Error implements error.
func (e *BugError) Error() string { return fmt.Sprintf("bug: %v", e.Value) }

// flights asks equal questions that are under way at once only once. A question is given up when nobody waits for it any more, not
// when the first who asked leaves.
type flights[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]*flight[V]
}

type flight[V any] struct {
	done    chan struct{}
	waiting int
	cancel  context.CancelFunc
	value   V
	err     error
}

// do answers a question by fn, or by the call of fn that is under way. fn's context ends after limit or when nobody waits.
func (f *flights[K, V]) do(ctx context.Context, key K, limit time.Duration, fn func(context.Context) (V, error)) (V, error) {
	c := f.join(ctx, key, limit, fn)
	select {
	case <-c.done:
		f.leave(key, c)
		return c.value, c.err
	case <-ctx.Done():
		f.leave(key, c)
		var zero V
		return zero, context.Cause(ctx)
	}
}

func (f *flights[K, V]) join(ctx context.Context, key K, limit time.Duration, fn func(context.Context) (V, error)) *flight[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, found := f.calls[key]; found {
		c.waiting++
		return c
	}
	if f.calls == nil {
		f.calls = map[K]*flight[V]{}
	}
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	c := &flight[V]{done: make(chan struct{}), waiting: 1, cancel: cancel}
	f.calls[key] = c
	go f.run(detached, key, c, fn)
	return c
}

func (f *flights[K, V]) run(ctx context.Context, key K, c *flight[V], fn func(context.Context) (V, error)) {
	defer func() {
		if v := recover(); v != nil {
			c.err = &BugError{Value: v, Stack: debug.Stack()}
		}
		f.forget(key, c)
		close(c.done)
		c.cancel()
	}()
	c.value, c.err = fn(ctx)
}

func (f *flights[K, V]) leave(key K, c *flight[V]) {
	f.mu.Lock()
	c.waiting--
	abandoned := c.waiting == 0
	if abandoned && f.calls[key] == c {
		delete(f.calls, key) // under the same lock: nobody may join what is given up
	}
	f.mu.Unlock()
	if abandoned {
		c.cancel()
	}
}

func (f *flights[K, V]) forget(key K, c *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[key] == c {
		delete(f.calls, key)
	}
}
