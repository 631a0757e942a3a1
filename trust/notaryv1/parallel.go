package notaryv1

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/assay-dev/assay/trust"
)

// sideBySide calls fn with the numbers below n, all at once, and returns their errors. A panic is the caller's: on a goroutine of its own
// it would end the process.
func sideBySide(n int, fn func(int) error) []error {
	errs, panics := make([]error, n), make([]any, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			defer func() { panics[i] = recover() }()
			errs[i] = fn(i)
		})
	}
	wg.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	return errs
}

// worst returns the error that speaks for several: a fault, else that a file cannot be read.
func worst(errs []error) error {
	var one error
	for _, err := range errs {
		if err != nil && (one == nil || errors.Is(one, errUnreadable)) {
			one = err
		}
	}
	return one
}

// flight has equal updates that are under way at once done only once. The zero value is ready.
type flight struct{ group singleflight.Group }

// landed is what came of an update.
type landed struct {
	evidence trust.Evidence
	err      error
	panic    any
}

// do answers by fn, or by the call of fn that is under way. The context of one who leaves does not end the others' call, which has a
// time of its own.
func (f *flight) do(ctx context.Context, name string, fn func(context.Context) (trust.Evidence, error)) (trust.Evidence, error) {
	if ctx.Err() != nil {
		return trust.Evidence{}, context.Cause(ctx)
	}
	done := f.group.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), updateTimeout)
		defer cancel()
		var l landed
		func() {
			defer func() { l.panic = recover() }()
			l.evidence, l.err = fn(ctx)
		}()
		return l, nil
	})
	select {
	case r := <-done:
		l := r.Val.(landed)
		if l.panic != nil {
			panic(l.panic)
		}
		return l.evidence, l.err
	case <-ctx.Done():
		return trust.Evidence{}, context.Cause(ctx)
	}
}
