package shared

import (
	"log/slog"
	"sync"
	"time"
)

// outage leaves a cache alone that fails, and says once that it does and once that it is back.
type outage struct {
	what string // that is not done meanwhile, for the log
	log  *slog.Logger
	now  func() time.Time

	mu      sync.Mutex
	failed  int           // in a row
	away    bool          // it was said
	trying  bool          // somebody finds out whether it is back
	pause   time.Duration // between two tries
	resumes time.Time     // when it is tried again
}

// allows reports whether the cache may be used now. Of those who ask while it is away, one in each pause may. Who may says what came of it.
func (o *outage) allows() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed < maxFailures {
		return true
	}
	now := o.now()
	if now.Before(o.resumes) {
		return false
	}
	o.trying, o.resumes = true, now.Add(o.pause)
	return true
}

// worked says that the cache did what it was asked.
func (o *outage) worked() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed, o.trying, o.pause = 0, false, 0
	if o.away {
		o.away = false
		o.log.Info("the shared cache is back", "what", o.what)
	}
}

// broke says that it did not.
func (o *outage) broke(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed++; o.failed < maxFailures {
		return
	}
	if o.trying || !o.away {
		o.trying = false
		o.pause = min(max(2*o.pause, minPause), maxPause)
		o.resumes = o.now().Add(o.pause)
	}
	if !o.away {
		o.away = true
		o.log.Warn("the shared cache does not answer as it should, and is left alone for a while; each process decides by itself", "what", o.what, "error", err.Error())
	}
}

// gone says that the cache is not even there.
func (o *outage) gone(err error) {
	o.mu.Lock()
	o.failed = max(o.failed, maxFailures-1)
	o.mu.Unlock()
	o.broke(err)
}

// isAway reports whether the cache was given up for the time being.
func (o *outage) isAway() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.away
}
