package spire

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/assay-dev/assay/enforce/spire/proto/metricsv1"
)

// Limits of what is counted.
const (
	maxCounters  = 256         // counters with different names or labels
	countTimeout = time.Second // for one message to the agent
	countEvery   = time.Second // how often the agent is told
)

// dialer reaches the agent's own services.
type dialer func() (grpc.ClientConnInterface, error)

// metricsService is the agent's service of counters, and metricsBroker where go-plugin's broker has it.
const (
	metricsService = "spire.hostservice.common.metrics.v1.Metrics"
	metricsBroker  = 1
)

// counts is what was counted and not yet told to the agent.
type counts struct {
	mu      sync.Mutex
	pending map[string]*counted
}

type counted struct {
	name   string
	labels []string
	n      int
}

// Count implements Meter. In the agent the counter is called assay.NAME. It is for few names and labels: beyond a bound, nothing is counted.
func (p *Plugin) Count(name string, labels ...string) {
	if p == nil {
		return
	}
	key := name + "\x00" + strings.Join(labels, "\x00")
	c := &p.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := c.pending[key]
	if entry == nil {
		if len(c.pending) >= maxCounters {
			return
		}
		if c.pending == nil {
			c.pending = map[string]*counted{}
		}
		entry = &counted{name: name, labels: append([]string(nil), labels...)}
		c.pending[key] = entry
	}
	entry.n++
}

// take returns what was counted since it was last called.
func (c *counts) take() map[string]*counted {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.pending
	c.pending = nil
	return taken
}

// tell sends what was counted to the agent. What cannot be sent is lost.
func (p *Plugin) tell(ctx context.Context, agent metricsv1.MetricsClient) {
	for _, entry := range p.counts.take() {
		request := &metricsv1.IncrCounterRequest{Key: []string{"assay", entry.name}, Val: float32(entry.n)}
		for i := 0; i+1 < len(entry.labels); i += 2 {
			request.Labels = append(request.Labels, &metricsv1.Label{Name: entry.labels[i], Value: entry.labels[i+1]})
		}
		ctx, cancel := context.WithTimeout(ctx, countTimeout)
		_, err := agent.IncrCounter(ctx, request)
		cancel()
		if err != nil {
			p.log.Debug("the agent did not take a counter", "counter", entry.name, "error", err)
			return
		}
	}
}

// keepTelling tells the agent what is counted until ctx ends. The agent is reached by dial, which may take its time, or fail: that costs
// the counters, and nothing else.
func (p *Plugin) keepTelling(ctx context.Context, dial dialer) {
	conn, err := dial()
	if err != nil {
		p.log.Warn("the agent cannot be told what is counted", "error", err)
		return
	}
	if c, ok := conn.(io.Closer); ok {
		defer c.Close()
	}
	agent := metricsv1.NewMetricsClient(conn)
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.tell(ctx, agent)
		}
	}
}
