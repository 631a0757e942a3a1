package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/assay-dev/assay/enforce/containerd/health"
)

// Times of canaries.
const (
	defaultCanaryInterval = time.Hour
	minCanaryInterval     = time.Minute
	canaryWithin          = time.Minute // one pull, with its removal if it passed
)

// canaryOptions are the flags of a server that has a containerd pull canaries.
type canaryOptions struct {
	containerd string // socket; "": none is pulled
	every      time.Duration
}

func (o *canaryOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.containerd, "containerd-canary", "", "have the containerd at this `SOCKET` pull an image that nobody vouched for, now and then, and tell whether it is refused")
	f.DurationVar(&o.every, "canary-interval", defaultCanaryInterval, "how often, with a tenth more or less; at least "+minCanaryInterval.String())
}

func (o *canaryOptions) check(f *pflag.FlagSet) error {
	if f.Changed("canary-interval") && o.containerd == "" {
		return usageError("--canary-interval is about --containerd-canary: give that as well")
	}
	if o.every < minCanaryInterval {
		return usageError("--canary-interval %v: at least %v", o.every, minCanaryInterval)
	}
	return nil
}

// canary has a containerd pull images that nobody vouched for, and tells what becomes of them.
type canary struct {
	every time.Duration
	pull  func(context.Context) health.Sighting
	wait  func(context.Context, time.Duration) error // until then, or ctx's end
	now   func() time.Time
	log   *slog.Logger

	last    *prometheus.GaugeVec
	refused prometheus.Gauge
	before  health.Outcome
}

// canaries prepares the canaries of a server. nil: none is asked for.
func (s *server) canaries(o *canaryOptions) (run func(context.Context), err error) {
	if o.containerd == "" {
		return nil, nil
	}
	client, err := health.Open(o.containerd)
	if err != nil {
		return nil, usageError("--containerd-canary %s: %w", o.containerd, err)
	}
	c := newCanary(o.every, s.log)
	c.now, c.wait = s.app.now, waitFor
	c.pull = func(ctx context.Context) health.Sighting { return health.Canary(ctx, client, defaultCanaryAddress) }
	s.metrics.registry.MustRegister(c.last, c.refused)
	return func(ctx context.Context) {
		c.run(ctx)
		_ = client.Close() // nothing is asked any more
	}, nil
}

func newCanary(every time.Duration, log *slog.Logger) *canary {
	return &canary{
		every: every, log: log, before: -1,
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "assay_containerd_canary", Help: "1 for what became of the last image that nobody vouched for and containerd was to pull.",
		}, []string{"result"}),
		refused: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "assay_containerd_canary_refused_timestamp_seconds", Help: "When containerd last refused such an image for Assay's word, in Unix time; 0 if it did not yet.",
		}),
	}
}

// run goes on until ctx ends. Where nothing could be told it is tried again soon: this server starts before containerd.
func (c *canary) run(ctx context.Context) {
	for {
		c.once(ctx)
		next := c.every
		if c.before == health.Unclear {
			next = minCanaryInterval
		}
		if c.wait(ctx, spread(next)) != nil {
			return
		}
	}
}

// once pulls one canary.
func (c *canary) once(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, canaryWithin)
	defer cancel()
	s := c.pull(within)
	if ctx.Err() != nil && s.Outcome == health.Unclear {
		return // for that it was not pulled
	}
	for _, o := range []health.Outcome{health.Passed, health.Unclear, health.Refused} {
		value := 0.0
		if o == s.Outcome {
			value = 1
		}
		c.last.WithLabelValues(o.String()).Set(value)
	}
	c.tell(s)
	c.before = s.Outcome
}

// tell logs what became of a canary: what is well, and what nobody could tell, when it is new.
func (c *canary) tell(s health.Sighting) {
	attributes := []any{"image", s.Image, "reason", s.Text}
	switch {
	case s.Outcome == health.Refused:
		c.refused.Set(float64(c.now().Unix()))
		if c.before != health.Refused {
			c.log.Info("containerd refuses what nobody vouched for", attributes...)
		}
	case s.Outcome == health.Unclear:
		if c.before != health.Unclear {
			c.log.Warn("it cannot be told whether containerd refuses what nobody vouched for", append(attributes, "hint", s.Hint)...)
		}
	default:
		c.log.Error("containerd pulls what nobody vouched for", append(attributes, "hint", "assay doctor containerd says why")...)
	}
}

// spread is a time with a tenth more or less, so that the nodes of a fleet do not do it all at once.
func spread(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5)
}

// waitFor waits for a time, or for the end of ctx, which is an error.
func waitFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
