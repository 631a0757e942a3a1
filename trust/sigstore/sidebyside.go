package sigstore

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// sideBySide is a group whose panics are those of whoever waits, who has a guard: on a goroutine of its own one would end the process.
type sideBySide struct {
	*errgroup.Group
	end    context.CancelFunc
	caught atomic.Pointer[any] // the first panic
}

// newSideBySide makes a group. The context ends with the first error or panic, and when all have been waited for.
func newSideBySide(ctx context.Context) (*sideBySide, context.Context) {
	ctx, end := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	return &sideBySide{Group: group, end: end}, ctx
}

// Go calls fn on a goroutine.
func (s *sideBySide) Go(fn func() error) {
	s.Group.Go(func() error {
		defer func() {
			if p := recover(); p != nil {
				s.caught.CompareAndSwap(nil, &p)
				s.end()
			}
		}()
		return fn()
	})
}

// Wait waits for all, and returns the first error.
func (s *sideBySide) Wait() error {
	err := s.Group.Wait()
	s.end()
	if p := s.caught.Load(); p != nil {
		panic(*p)
	}
	return err
}
