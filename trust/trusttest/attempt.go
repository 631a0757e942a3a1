package trusttest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// attempt is a Source for one attempt to find something: what an attempt before it left under way is not counted here.
//
// With a pace, which needs the clock of a bubble, time passes in requests, so that a test can tell before from after: each takes
// twice the pace, and the one that fails takes it once.
type attempt struct {
	trust.Source
	failAt int64 // number of the request that fails, counted from 1; 0: none
	fault  error
	pace   time.Duration

	requests atomic.Int64
	failed   atomic.Pointer[time.Time] // nil: not yet
}

func (a *attempt) request(ctx context.Context) error {
	n, wait := a.requests.Add(1), 2*a.pace
	if n == a.failAt {
		wait = a.pace
	}
	if wait > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	if n != a.failAt {
		return nil
	}
	now := time.Now()
	a.failed.Store(&now)
	return a.fault
}

// Manifest implements trust.Source.
func (a *attempt) Manifest(ctx context.Context, ref image.Ref) (trust.Manifest, error) {
	if err := a.request(ctx); err != nil {
		return trust.Manifest{}, err
	}
	return a.Source.Manifest(ctx, ref)
}

// Blob implements trust.Source.
func (a *attempt) Blob(ctx context.Context, ref image.Ref, d trust.Descriptor, limit int64) ([]byte, error) {
	if err := a.request(ctx); err != nil {
		return nil, err
	}
	return a.Source.Blob(ctx, ref, d, limit)
}

// Referrers implements trust.Source.
func (a *attempt) Referrers(ctx context.Context, ref image.Ref) ([]trust.Descriptor, error) {
	if err := a.request(ctx); err != nil {
		return nil, err
	}
	return a.Source.Referrers(ctx, ref)
}

// TrustData implements trust.TrustServer, if the source behind does.
func (a *attempt) TrustData(ctx context.Context, server, gun, name string, limit int64) ([]byte, error) {
	if err := a.request(ctx); err != nil {
		return nil, err
	}
	return a.Source.(trust.TrustServer).TrustData(ctx, server, gun, name, limit)
}
