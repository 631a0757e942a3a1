package spire

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/workload"
)

// startPauses are waited for an engine to say that a container runs which has a process already: it starts, or was started again.
var startPauses = [...]time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}

// container returns what an engine says of the container that a place names, if the process is in it: in the cgroup of its first process, or below.
// What is kept of a container may be of its time before it was started again, so that the engine is asked anew before anything is refused.
func (d *dockerState) container(ctx context.Context, from containers, place workload.Place) (workload.RunningContainer, error) {
	for i := 0; ; i++ {
		container, err := from.Running(ctx, place.ContainerID)
		if err != nil {
			return workload.RunningContainer{}, err
		}
		flaw := d.inside(ctx, container, place)
		if flaw == nil {
			return container, nil
		}
		if i == len(startPauses) || i > 0 && meaningOf(flaw) == enforce.No { // more time changes nothing
			return workload.RunningContainer{}, flaw
		}
		if err := waited(ctx, startPauses[i]); err != nil {
			return workload.RunningContainer{}, err
		}
		from.Forget(place.ContainerID)
	}
}

// inside says what keeps a process from being in a container.
func (d *dockerState) inside(ctx context.Context, container workload.RunningContainer, place workload.Place) error {
	if container.First == nil {
		return nil // no engine that is known does so
	}
	if *container.First <= 0 {
		return fmt.Errorf("container %q does not run", place.ContainerID)
	}
	inside, err := d.locator.Inside(ctx, place, *container.First)
	switch {
	case err != nil:
		return locating(ctx, err)
	case !inside:
		text := fmt.Sprintf("the cgroup of the process has the name of container %q, but is not in the container's", place.ContainerID)
		return Refuse(enforce.No, codes.FailedPrecondition, text)
	}
	return nil
}

// waited waits, unless the context ends before.
func waited(ctx context.Context, pause time.Duration) error {
	if pause == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
