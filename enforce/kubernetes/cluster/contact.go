package cluster

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// listTimeout bounds one list: an API server that takes a request and does not answer must not look like one that is asked.
const listTimeout = 30 * time.Second

// contact knows whether a watch stands. While one does, the API server tells of changes, and connections that are dead are noticed by the
// client; what counts is how long there was none. The zero value has begun never.
type contact struct {
	mu    sync.Mutex
	open  int
	since time.Time // when the API server was last heard, or when somebody began to ask
}

// heard notes that the API server answered, or that somebody begins to ask.
func (c *contact) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
}

// silence returns how long ago the API server was last heard; 0 while a watch stands, or before anybody began to ask.
func (c *contact) silence() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open > 0 || c.since.IsZero() {
		return 0
	}
	return time.Since(c.since)
}

// lister returns lists and watches whose success c is told of, and whose errors failed is.
func (c *contact) lister(lw *cache.ListWatch, failed func(error)) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			brief, cancel := context.WithTimeout(ctx, listTimeout)
			defer cancel()
			list, err := lw.ListWithContextFunc(brief, options)
			if err != nil {
				if ctx.Err() == nil {
					failed(err)
				}
				return nil, err
			}
			c.heard()
			return list, nil
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			w, err := lw.WatchFuncWithContext(ctx, options)
			if err != nil {
				if ctx.Err() == nil {
					failed(err)
				}
				return nil, err
			}
			return c.standing(w), nil
		},
	}
}

// standing is a watch that stands until it is stopped, which whoever reads it does at its end.
func (c *contact) standing(w watch.Interface) watch.Interface {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	return &noted{Interface: w, end: sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open--
		c.since = time.Now()
	})}
}

// noted is a watch whose end is told.
type noted struct {
	watch.Interface
	end func()
}

// Stop implements watch.Interface.
func (n *noted) Stop() {
	n.Interface.Stop()
	n.end()
}
