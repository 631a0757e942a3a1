package api

import (
	"sync"
	"time"

	"github.com/assay-dev/assay/enforce"
)

// maxClients is how many clients have an allowance of their own; those beyond share one.
const maxClients = 10_000

// limiter gives each client an allowance of images that fills with time. A full one is enough for one request of the largest size.
type limiter struct {
	rate, full float64
	now        func() time.Time

	mu      sync.Mutex
	clients map[string]*allowance
}

type allowance struct {
	left float64
	at   time.Time
}

func newLimiter(rate int, now func() time.Time) *limiter {
	return &limiter{rate: float64(rate), full: max(float64(rate), enforce.MaxImages), now: now, clients: map[string]*allowance{}}
}

// take takes n off a client's allowance and returns 0, or how long to wait until there is as much.
func (l *limiter) take(client string, n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	a := l.of(client, now)
	a.left = min(l.full, a.left+max(0, now.Sub(a.at).Seconds())*l.rate)
	a.at = now
	want := min(float64(n), l.full)
	if a.left < want {
		return max(time.Millisecond, time.Duration((want-a.left)/l.rate*float64(time.Second)))
	}
	a.left -= want
	return 0
}

// of returns a client's allowance. Allowances that are full again are forgotten when there are too many.
func (l *limiter) of(client string, now time.Time) *allowance {
	if a, found := l.clients[client]; found {
		return a
	}
	if len(l.clients) >= maxClients {
		for name, a := range l.clients {
			if a.left+now.Sub(a.at).Seconds()*l.rate >= l.full {
				delete(l.clients, name)
			}
		}
	}
	if len(l.clients) >= maxClients {
		client = ""
		if a, found := l.clients[client]; found {
			return a
		}
	}
	a := &allowance{left: l.full, at: now}
	l.clients[client] = a
	return a
}
