package spire

import (
	"sync"
	"sync/atomic"
	"time"
)

// current is the state in force. Calls take it and give it back without waiting for anybody; a state that is no longer in force is closed
// when the last call has given it back.
type current struct {
	plugin *Plugin
	held   atomic.Pointer[held]
	open   sync.WaitGroup // states that are not yet closed
}

// held is a state with the number of those who use it: its calls, and one for being in force. At 0 it is closed.
type held struct {
	state    State
	patience time.Duration // of a call
	users    atomic.Int64
}

// take returns the state in force, which the caller has to give back; nil: there is none.
func (c *current) take() *held {
	for {
		h := c.held.Load()
		if h == nil {
			return nil
		}
		// Whoever finds 0 came too late for this one: another is in force by now.
		if n := h.users.Load(); n > 0 && h.users.CompareAndSwap(n, n+1) {
			return h
		}
	}
}

// giveBack ends a use.
func (c *current) giveBack(h *held) {
	if h.users.Add(-1) > 0 {
		return
	}
	c.plugin.Go("close a state", func() {
		defer c.open.Done()
		h.state.Close()
	})
}

// replace puts a state into force; nil: none is any more. Calls in flight end with the one that they began with.
func (c *current) replace(state State) {
	var next *held
	if state != nil {
		next = &held{state: state, patience: patience(state)}
		next.users.Store(1)
		c.open.Add(1)
	}
	if old := c.held.Swap(next); old != nil {
		c.giveBack(old)
	}
}

// patience returns how long a call of a state may take.
func patience(state State) time.Duration {
	if p, ok := state.(Patient); ok && p.Patience() > 0 {
		return p.Patience()
	}
	return CallTimeout
}
