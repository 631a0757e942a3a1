package node

import (
	"sync"
	"time"
)

// How much is logged of requests that are refused, of each user of Config.Users and of all others together; of root and the own user all is. The rest
// is counted.
const (
	maxTold   = 10          // lines at once
	tellEvery = time.Second // one more line
)

// quiet says which refusals are logged.
type quiet struct {
	now func() time.Time

	mu sync.Mutex
	of map[holder]*told
}

// told is what was logged of a holder.
type told struct {
	left   int       // lines that may be logged
	since  time.Time // when left was last counted up
	untold int       // lines that were not logged
}

// tell reports whether a line is logged, and how many were not since the last.
func (q *quiet) tell(of holder) (untold int, ok bool) {
	switch of.class {
	case trusted:
		return 0, true
	case stranger:
		of.uid = 0 // there may be any number of them
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	t := q.of[of]
	if t == nil {
		t = &told{left: maxTold, since: now}
		q.of[of] = t
	}
	switch more := now.Sub(t.since) / tellEvery; {
	case more < 0: // the clock was set back
		t.since = now
	case more > 0:
		t.left = int(min(time.Duration(t.left)+more, maxTold))
		t.since = now
	}
	if t.left == 0 {
		t.untold++
		return 0, false
	}
	t.left--
	untold, t.untold = t.untold, 0
	return untold, true
}
