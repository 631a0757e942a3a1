package shared

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// pool is the connections to a cache. They are made in the background, one at a time, so that a question waits for one no longer than it
// wants to, and finds it the next time.
type pool struct {
	dial func(context.Context) (*conn, error) // to a connection that is logged in
	ctx  context.Context                      // of the pool: no connection is made after its end
	end  context.CancelFunc

	mu      sync.Mutex
	idle    []*conn // the one that was used last is the last
	open    int
	era     int      // of the settings
	attempt *attempt // nil: no connection is being made
	more    chan struct{}
	group   sync.WaitGroup
}

// attempt is a connection that is being made.
type attempt struct {
	done chan struct{}
	err  error
}

var (
	errClosed = errors.New("the cache is closed")
	errBusy   = errors.New("all connections are in use") // which says nothing of the cache: those who use them find out
)

func newPool(dial func(context.Context) (*conn, error)) *pool {
	p := &pool{dial: dial, more: make(chan struct{}, 1)}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p
}

// take returns a connection for one use, after which it is put back or dropped.
func (p *pool) take(ctx context.Context) (*conn, error) {
	for {
		c, a, busy := p.next()
		if c != nil {
			return c, nil
		}
		var made chan struct{}
		if a != nil {
			made = a.done
		}
		select {
		case <-made:
			if a.err != nil {
				return nil, a.err
			}
		case <-p.more: // somebody put one back
		case <-p.ctx.Done():
			return nil, errClosed
		case <-ctx.Done():
			if busy {
				return nil, errBusy
			}
			return nil, fmt.Errorf("no connection: %w", context.Cause(ctx))
		}
	}
}

// next returns an unused connection, or how one is being made, if there may be more; busy says that some are in use.
func (p *pool) next() (c *conn, making *attempt, busy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		c := p.idle[last]
		p.idle = p.idle[:last]
		if time.Since(c.used) < idleWait {
			if len(p.idle) > 0 {
				p.tell()
			}
			return c, nil, false
		}
		p.forget(c)
	}
	if p.attempt == nil && p.open < maxConns && p.ctx.Err() == nil {
		p.attempt = &attempt{done: make(chan struct{})}
		p.open++
		a := p.attempt
		p.group.Go(func() { p.connect(a) })
	}
	if p.attempt == nil {
		return nil, nil, true
	}
	return nil, p.attempt, p.open > 1
}

func (p *pool) connect(a *attempt) {
	ctx, cancel := context.WithTimeout(p.ctx, dialWait)
	defer cancel()
	p.mu.Lock()
	era := p.era
	p.mu.Unlock()
	c, err := p.guarded(ctx)
	p.mu.Lock()
	p.attempt = nil
	if err != nil {
		a.err = err
		p.open--
	}
	p.mu.Unlock()
	if err == nil {
		c.era = era
		p.put(c)
	}
	close(a.done)
}

// guarded dials. A panic there, on a goroutine of nobody's, would end the process.
func (p *pool) guarded(ctx context.Context) (c *conn, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("bug: %v", v)
		}
	}()
	return p.dial(ctx)
}

// put gives a connection back.
func (p *pool) put(c *conn) {
	c.used = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil || c.era != p.era {
		p.forget(c)
		return
	}
	p.idle = append(p.idle, c)
	p.tell()
}

// drop closes a connection that is of no use any more, and those that were not used meanwhile: where one broke, others did.
func (p *pool) drop(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(c)
	p.clear()
	p.tell()
}

// tell wakes one of those who wait.
func (p *pool) tell() {
	select {
	case p.more <- struct{}{}:
	default:
	}
}

func (p *pool) clear() {
	for _, c := range p.idle {
		p.forget(c)
	}
	p.idle = nil
}

func (p *pool) forget(c net.Conn) {
	p.open--
	_ = c.Close()
}

// renew closes what is unused, and what is in use after that, so that the settings of now count.
func (p *pool) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.era++
	p.clear()
}

// close ends the pool. Connections in use are closed by those who use them.
func (p *pool) close() {
	p.end()
	p.renew()
	p.group.Wait()
	p.renew() // what was made meanwhile
}
