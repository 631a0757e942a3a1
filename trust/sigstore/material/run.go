package material

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// Intervals of fetching in the background.
const (
	refreshEvery = 24 * time.Hour
	retryFirst   = time.Minute // after an error; doubled with each further one
	retryMost    = time.Hour
)

// Run refreshes everything at once and then every day, and again soon after errors. It returns when ctx ends, and leaves nothing behind.
func (k *Keeper) Run(ctx context.Context) {
	defer k.fetcher.closeIdle()
	known := map[refreshed]bool{}
	var group sync.WaitGroup
	defer group.Wait()
	for {
		for _, r := range k.all() {
			if !known[r] {
				known[r] = true
				group.Go(func() { k.keepFresh(ctx, r) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		}
	}
}

// keepFresh refreshes one thing until ctx ends.
func (k *Keeper) keepFresh(ctx context.Context, r refreshed) {
	errors := 0
	for {
		wait := jittered(refreshEvery)
		if err := refreshSafely(ctx, r); err != nil && ctx.Err() == nil {
			wait = jittered(min(retryFirst<<min(errors, 10), retryMost))
			errors++
			k.config.Log.Warn("trust material could not be refreshed", "source", r.label(), "error", err, "again", wait.Round(time.Second))
		} else {
			errors = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// refreshSafely refreshes, and makes an error of a panic: nobody above this goroutine could keep it from ending the process.
func refreshSafely(ctx context.Context, r refreshed) (err error) {
	defer func() {
		if caught := recover(); caught != nil {
			err = fmt.Errorf("bug: %v\n%s", caught, debug.Stack())
		}
	}()
	return r.refresh(ctx)
}

// jittered spreads what many processes do at the same intervals.
func jittered(d time.Duration) time.Duration { return d - time.Duration(rand.Int64N(int64(d/5))) }
