package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
)

// The conditions of policies, and how long they wait for each other.
const (
	conditionAccepted = "Accepted"
	conditionFresh    = "TrustMaterialFresh"

	fetchGrace = time.Minute      // in which material of a new version may be on its way
	staleHold  = 10 * time.Minute // for which "False" of another server stands
)

// tell puts into the log, the metrics and the status of the objects what became of them.
func (r *resources) tell(objects []cluster.Policy) {
	count := map[[2]string]int{}
	for _, kind := range []string{cluster.TrustPolicy, cluster.NamespaceTrustPolicy} {
		for _, state := range []string{"accepted", "last-good", "unusable"} {
			count[[2]string{kind, state}] = 0
		}
	}
	var wanted []wantedStatus
	for i := range objects {
		o := &objects[i]
		x := r.known[o.ID()]
		count[[2]string{o.Kind, x.state()}]++
		if r.status == nil {
			continue
		}
		if conditions := r.conditions(o, x); !o.Has(conditions) {
			wanted = append(wanted, wantedStatus{object: *o, conditions: conditions})
		}
	}
	for key, n := range count {
		r.server.metrics.policies.WithLabelValues(key[0], key[1]).Set(float64(n))
	}
	if r.status != nil {
		r.status.want(wanted)
	}
}

// state is a word for metrics.
func (x *resource) state() string {
	switch {
	case x.err == nil:
		return "accepted"
	case x.standIn == nil:
		return "last-good"
	}
	return "unusable"
}

// conditions returns what the status of an object is to say. It is a matter of the object and of what it names, not of what this server
// remembers: all servers are to say the same.
func (r *resources) conditions(o *cluster.Policy, x *resource) []cluster.Condition {
	accepted := cluster.Condition{Type: conditionAccepted, Status: cluster.True, Reason: reasonAccepted, Message: "in force", ObservedGeneration: o.Generation}
	if x.err != nil {
		accepted.Status, accepted.Reason = cluster.False, x.reason
		accepted.Message = x.err.Error() + "\nThe version that was accepted before goes on deciding. A server that has started since knows none, and cannot tell about images in scope."
	}
	return []cluster.Condition{accepted, r.freshness(o, x)}
}

// freshness is the condition TrustMaterialFresh. Servers can differ in it, since each fetches for itself: it is False where one of them has
// something old, and none says otherwise too soon.
func (r *resources) freshness(o *cluster.Policy, x *resource) cluster.Condition {
	c := cluster.Condition{Type: conditionFresh, Status: cluster.True, Reason: "Fresh", Message: "nothing is out of date", ObservedGeneration: o.Generation}
	if x.err != nil {
		c.Status, c.Reason, c.Message = cluster.Unknown, "NotAccepted", "this version is not in force"
		return c
	}
	now := r.server.app.now()
	there, found := o.Condition(conditionFresh)
	found = found && there.ObservedGeneration == o.Generation && there.Status != cluster.Unknown
	old := r.server.engine.Stale(x.good.Name)
	switch {
	case len(old) == 0 && found && there.Status == cluster.False && !x.stale && now.Sub(there.Since) < staleHold:
		return there
	case len(old) == 0:
		x.stale = false
		return c
	case now.Sub(x.since) < fetchGrace && found:
		return there
	case now.Sub(x.since) < fetchGrace:
		c.Status, c.Reason, c.Message = cluster.Unknown, "Fetching", "trust material is being fetched"
		return c
	}
	x.stale = true
	slices.Sort(old)
	c.Status, c.Reason = cluster.False, "Stale"
	c.Message = "should have been refreshed, and was not: " + strings.Join(old, "; ")
	return c
}

// wantedStatus is the conditions that an object is to have.
type wantedStatus struct {
	object     cluster.Policy
	conditions []cluster.Condition
}

// statusWriter writes the status of objects, each at most once for each time that something else is wanted. Several servers want the same:
// who comes first writes, and the others see it or are told by the API server that they are late. None of them leads.
type statusWriter struct {
	policies *cluster.Policies
	log      *slog.Logger
	now      func() time.Time
	jitter   time.Duration
	wake     chan struct{}

	mu     sync.Mutex
	wanted []wantedStatus
	failed string // what was logged last
}

// want replaces what is wanted.
func (w *statusWriter) want(all []wantedStatus) {
	w.mu.Lock()
	w.wanted = all
	w.mu.Unlock()
	if len(all) == 0 {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx ends.
func (w *statusWriter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		timer := time.NewTimer(rand.N(w.jitter))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		w.mu.Lock()
		wanted := w.wanted
		w.wanted = nil
		w.mu.Unlock()
		if len(wanted) > 0 {
			w.write(ctx, wanted)
		}
	}
}

// write writes what is still to be written. What another change has overtaken is left to the look that it brings about.
func (w *statusWriter) write(ctx context.Context, wanted []wantedStatus) {
	objects, _ := w.policies.List()
	current := make(map[string]*cluster.Policy, len(objects))
	for i := range objects {
		current[objects[i].ID()] = &objects[i]
	}
	for _, one := range wanted {
		o := current[one.object.ID()]
		if o == nil || o.UID != one.object.UID || o.Generation != one.object.Generation || ctx.Err() != nil {
			continue
		}
		err := w.policies.SetStatus(ctx, o, one.conditions, w.now())
		switch {
		case err == nil, errors.Is(err, cluster.ErrChanged), ctx.Err() != nil:
		case err.Error() != w.failed:
			w.failed = err.Error()
			w.log.Warn("status cannot be written; what is in force is another matter", "error", enforce.Plain(err.Error()))
		}
	}
}
