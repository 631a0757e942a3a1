package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-dev/assay/enforce/containerd/health"
)

// canaryRun is what a server told after each of its canaries.
type canaryRun struct {
	log    bytes.Buffer
	waited []time.Duration
	after  []map[string]float64
}

// runCanaries has canaries end as they are given, one after another.
func runCanaries(t *testing.T, every time.Duration, ends ...health.Sighting) *canaryRun {
	t.Helper()
	r := &canaryRun{}
	c := newCanary(every, slog.New(slog.NewTextHandler(&r.log, nil)))
	registry := prometheus.NewRegistry()
	registry.MustRegister(c.last, c.refused)
	c.now = func() time.Time { return time.Unix(int64(1000+len(r.waited)), 0) }
	c.pull = func(ctx context.Context) health.Sighting {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("a pull without a deadline")
		}
		return ends[len(r.waited)]
	}
	c.wait = func(_ context.Context, d time.Duration) error {
		families, err := registry.Gather()
		must(t, err)
		values := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				key := f.GetName()
				for _, l := range m.GetLabel() {
					key += " " + l.GetValue()
				}
				values[key] = m.GetGauge().GetValue()
			}
		}
		r.after, r.waited = append(r.after, values), append(r.waited, d)
		if len(r.waited) == len(ends) {
			return errors.New("the end")
		}
		return nil
	}
	c.run(context.Background())
	return r
}

// A canary that passes is an alarm at once, and a refusal that is long ago is one as well.
func TestT51_CanaryAlarms(t *testing.T) {
	refused, unclear := health.Sighting{Outcome: health.Refused, Text: "no rule"}, health.Sighting{Outcome: health.Unclear, Text: "no containerd"}
	r := runCanaries(t, time.Hour, unclear, unclear, refused, refused, health.Sighting{Text: "it was pulled"}, health.Sighting{Text: "it was pulled"}, refused)
	const name, when = "assay_containerd_canary ", "assay_containerd_canary_refused_timestamp_seconds"
	for i, want := range []map[string]float64{
		{"unclear": 1, when: 0},
		{"unclear": 1, when: 0},
		{"refused": 1, when: 1002},
		{"refused": 1, when: 1003},
		{"passed": 1, when: 1003},
		{"passed": 1, when: 1003},
		{"refused": 1, when: 1006},
	} {
		for _, result := range []string{"passed", "unclear", "refused"} {
			if got := r.after[i][name+result]; got != want[result] {
				t.Errorf("%d: %s is %v, want %v", i, result, got, want[result])
			}
		}
		if got := r.after[i][when]; got != want[when] {
			t.Errorf("%d: the last refusal is at %v, want %v", i, got, want[when])
		}
	}
	for level, want := range map[string]int{"level=WARN": 1, "level=INFO": 2, `level=ERROR msg="containerd pulls what nobody vouched for"`: 2} {
		if got := strings.Count(r.log.String(), level); got != want {
			t.Errorf("%s: %d lines, want %d\n%s", level, got, want, &r.log)
		}
	}
	for i, d := range r.waited {
		usual := time.Hour
		if i < 2 { // nothing was told: it is tried again soon
			usual = time.Minute
		}
		if d < usual-usual/10 || d > usual+usual/10 {
			t.Errorf("waited %v, want about %v", d, usual)
		}
	}
}

// A server that ends is no reason to say that nobody can tell.
func TestCanaryThatEndsWithItsServer(t *testing.T) {
	var log bytes.Buffer
	c := newCanary(time.Hour, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	c.pull = func(ctx context.Context) health.Sighting {
		cancel()
		return health.Sighting{Outcome: health.Unclear}
	}
	c.wait = waitFor
	c.run(ctx)
	if log.Len() > 0 {
		t.Errorf("got %s", &log)
	}
}

func TestCanaryFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--containerd-canary", "/run/c.sock", "--canary-interval", "59s"},
		{"--canary-interval", "2h"},
		{"--containerd-canary", ""},
	} {
		got := runAssay(t, "", append([]string{"serve", "node", "--policy", "none.yaml"}, args...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, "canary") {
			t.Errorf("%v: got exit %d %s", args, got.code, got.stderr)
		}
	}
}
