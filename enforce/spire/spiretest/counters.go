package spiretest

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/assay-dev/assay/enforce/spire/proto/metricsv1"
)

// Counters are the agent's, which remember what was counted.
type Counters struct {
	metricsv1.UnimplementedMetricsServer

	mu      sync.Mutex
	values  map[string]float64
	counted chan struct{} // closed at the next
}

func newCounters() *Counters {
	return &Counters{values: map[string]float64{}, counted: make(chan struct{})}
}

// IncrCounter implements the agent's service.
func (c *Counters) IncrCounter(_ context.Context, r *metricsv1.IncrCounterRequest) (*emptypb.Empty, error) {
	var labels []string
	for _, l := range r.GetLabels() {
		labels = append(labels, l.GetName()+"="+l.GetValue())
	}
	name := strings.Join(r.GetKey(), ".")
	if len(labels) > 0 {
		name += "{" + strings.Join(labels, ",") + "}"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values[name] += float64(r.GetVal())
	close(c.counted)
	c.counted = make(chan struct{})
	return &emptypb.Empty{}, nil
}

// Values returns the counters: assay.NAME{LABEL=VALUE,…}.
func (c *Counters) Values() map[string]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.values)
}

// Await waits until a counter has at least a value.
func (c *Counters) Await(ctx context.Context, name string, value float64) error {
	for {
		c.mu.Lock()
		got, counted := c.values[name], c.counted
		c.mu.Unlock()
		if got >= value {
			return nil
		}
		select {
		case <-counted:
		case <-ctx.Done():
			return fmt.Errorf("%s is %v, want %v; there are %v: %w", name, got, value, c.Values(), ctx.Err())
		}
	}
}
