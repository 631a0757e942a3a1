package upstream

import (
	"sync"
	"time"
)

// Limits of asking another Assay that does not answer.
const (
	maxFailures = 3                // one after another, before it is left alone
	firstPause  = time.Second      // for which it is left alone; doubled each time that it is asked in vain
	maxPause    = 30 * time.Second // at most
)

// breaker leaves the other Assay alone while it is away, so that not each question waits for it in vain. After a pause one question tries it.
type breaker struct {
	mu      sync.Mutex
	failed  int // one after another
	pause   time.Duration
	until   time.Time
	probing bool
}

// change is what an answer changed.
type change int

const (
	same change = iota
	opened
	closed
)

// ask reports whether a question may be asked, and whether it is the one that tries.
func (b *breaker) ask(now time.Time) (probe, may bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failed < maxFailures:
		return false, true
	case b.probing || now.Before(b.until):
		return false, false
	}
	b.probing = true
	return true, true
}

// answered notes what came of a question that was asked.
func (b *breaker) answered(now time.Time, probe, away bool) change {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
	open := b.failed >= maxFailures
	switch {
	case !away:
		b.failed, b.pause = 0, 0
		if open {
			return closed
		}
		return same
	case open && !probe:
		return same // it was asked before it was left alone
	}
	if b.failed++; b.failed < maxFailures {
		return same
	}
	b.pause = min(max(2*b.pause, firstPause), maxPause)
	b.until = now.Add(b.pause)
	if open {
		return same
	}
	return opened
}
