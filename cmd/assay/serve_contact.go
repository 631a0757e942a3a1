package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// contacts are the watches by which a server knows its cluster. When one breaks, what is known goes on being used, and that is told.
type contacts struct {
	log     *slog.Logger
	metrics *serverMetrics
	watches []*watchedCluster
}

// watchedCluster is one watch.
type watchedCluster struct {
	what    string
	silence func() time.Duration // 0 while it stands
	warned  bool
}

// Limits of the silence of a watch.
const (
	maxSilence   = 5 * time.Minute  // after which what is known may be old
	silenceEvery = 10 * time.Second // how often it is looked at
)

// watch adds a watch, before run.
func (c *contacts) watch(what string, silence func() time.Duration) {
	c.watches = append(c.watches, &watchedCluster{what: what, silence: silence})
}

// run looks after the watches until ctx ends.
func (c *contacts) run(ctx context.Context) {
	every(ctx, silenceEvery, c.look)
}

// look warns of a watch that has been silent for long, once, and says when it is back.
func (c *contacts) look() {
	for _, w := range c.watches {
		silence := w.silence()
		switch {
		case silence > maxSilence && !w.warned:
			c.log.Warn("the API server has not told of this for long; what was known goes on being used", "what", w.what, "silence", silence.Round(time.Second).String())
		case silence == 0 && w.warned:
			c.log.Info("the API server tells again", "what", w.what)
		}
		w.warned = silence > maxSilence || w.warned && silence > 0
	}
}

// measure puts how long watches have been silent into the metrics.
func (c *contacts) measure() {
	for _, w := range c.watches {
		silence, stale := w.silence(), 0.0
		if silence > maxSilence {
			stale = 1
		}
		c.metrics.silence.WithLabelValues(w.what).Set(silence.Seconds())
		c.metrics.silent.WithLabelValues(w.what).Set(stale)
	}
}

// knowledge is something without which nothing can be told.
type knowledge struct {
	what  string
	known func() bool
}

// knowing is not ready before everything is known.
func knowing(ready http.Handler, all ...knowledge) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, k := range all {
			if !k.known() {
				http.Error(w, "not ready: "+k.what+" are not known yet", http.StatusServiceUnavailable)
				return
			}
		}
		ready.ServeHTTP(w, r)
	})
}
