package spire

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/workload"
)

// process returns the selectors of a process. May asks about its pod, once it is known, and nil asks nothing.
func (k *kubernetesState) process(ctx context.Context, pid int32, may func(context.Context, *workload.Pod) error) ([]string, error) {
	if k.kubelet == nil {
		return nil, Refuse(enforce.CannotTell, codes.FailedPrecondition, errNoKubelet.Error())
	}
	place, err := k.locator.Locate(ctx, pid)
	if err != nil {
		return nil, locating(ctx, err)
	}
	if place.ContainerID == "" {
		return nil, nil
	}
	at, err := k.poll(ctx, pid, place)
	if err != nil || at.pod == nil {
		return nil, err
	}
	if err := k.owned(ctx, place); err != nil {
		return nil, err
	}
	if place.ForeignManager() { // by what nobody could forge
		k.node.foreign.Store(true)
	}
	if may != nil {
		if err := may(ctx, at.pod); err != nil {
			return nil, err
		}
	}
	values, err := k.selectors(ctx, at)
	if err != nil {
		return nil, err
	}
	if err := same(k.proc, pid, place.Started); err != nil {
		return nil, err
	}
	return values, nil
}

// owned makes sure that the cgroup which named a pod's container lies where the kubelet makes some, and not in what a user, another container or a
// virtual machine was given, where anybody calls cgroups as they like.
func (k *kubernetesState) owned(ctx context.Context, place workload.Place) error {
	realm, err := k.locator.Realm(ctx, place)
	switch {
	case err != nil:
		return locating(ctx, err)
	case realm != "":
		text := fmt.Sprintf("container %q is a pod's, but the cgroup of the process lies in %q, which is no kubelet's", place.ContainerID, realm)
		return Refuse(enforce.No, codes.FailedPrecondition, enforce.Plain(text))
	}
	return nil
}

// errNotYet says that a list does not have what is looked for: another one may.
var errNotYet = errors.New("no selectors found after max poll attempts")

// poll asks the kubelet for list after list until one has the container. No pod and no error: the container is no pod's.
func (k *kubernetesState) poll(ctx context.Context, pid int32, place workload.Place) (found, error) {
	before := k.kubelet.value.Begun()
	var seen uint64
	last := errNotYet
	for attempt := 1; attempt <= k.settings.MaxPollAttempts; attempt++ {
		list, err := k.kubelet.value.Pods(ctx, seen)
		if ctx.Err() != nil {
			return found{}, k.givenUp(ctx, last)
		}
		if err != nil {
			last = err
			continue
		}
		seen = list.Number
		at, err := k.match(list, place)
		if !errors.Is(err, errNotYet) {
			return at, err
		}
		if err := same(k.proc, pid, place.Started); err != nil {
			return found{}, err // nobody needs an answer any more
		}
		last = errNotYet
		switch flawed := list.Flawed(); {
		case flawed != nil && place.PodUID == "":
			last = undecodable(flawed)
		case list.Number > before && k.noPods(list, place):
			k.plugin.Log().Debug("The container is no pod's", "container_id", place.ContainerID)
			return found{}, nil
		}
		k.plugin.Log().Debug("Container not found yet", "container_id", place.ContainerID, "pod_uid", place.PodUID, "attempt", attempt)
	}
	return found{}, k.givenUp(ctx, last)
}

// givenUp is the error of a call that has found nothing: the kubelet's last word, if it did not answer.
func (k *kubernetesState) givenUp(ctx context.Context, last error) error {
	switch {
	case errors.Is(last, errNotYet) && ctx.Err() != nil, errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(last, errNotYet):
		return Refuse(enforce.CannotTell, codes.DeadlineExceeded, last.Error())
	}
	return Refuse(enforce.CannotTell, codes.Unavailable, enforce.Plain(last.Error()))
}

// match looks for a place in a list. Where the pod is known no other one is looked at: a pod shows in the path of the kernel's own
// making, a container in what the runtime says.
func (k *kubernetesState) match(list *workload.PodList, place workload.Place) (found, error) {
	at := list.ByContainer(place.ContainerID)
	if place.PodUID != "" {
		return k.matchPod(list, place, at)
	}
	switch len(at) {
	case 0:
		return found{}, errNotYet
	case 1:
		return k.use(found{at[0].Pod, at[0].Container}, place)
	}
	return found{}, Refuse(enforce.CannotTell, codes.Internal, "two pods found with same container Id")
}

func (k *kubernetesState) matchPod(list *workload.PodList, place workload.Place, at []workload.PodContainer) (found, error) {
	pod, known := list.ByUID(place.PodUID)
	if !known {
		return found{}, errNotYet
	}
	for _, one := range at {
		if one.Pod == pod {
			return k.use(found{pod, one.Container}, place)
		}
	}
	if k.settings.DisableContainerSelectors && k.verifier == nil {
		return k.use(found{pod: pod}, place)
	}
	if pod.Flaw != nil {
		return found{}, Refuse(enforce.CannotTell, codes.Unavailable, undecodable(pod).Error())
	}
	return found{}, errNotYet
}

// use takes what was found, unless it cannot be used, or not yet: an image that has to be proved must be known.
func (k *kubernetesState) use(at found, place workload.Place) (found, error) {
	switch {
	case at.pod.Flaw != nil:
		return found{}, Refuse(enforce.CannotTell, codes.Unavailable, undecodable(at.pod).Error())
	case k.verifier != nil && at.container.ImageID == "":
		return found{}, errNotYet
	}
	return at, nil
}

func undecodable(pod *workload.Pod) error {
	return fmt.Errorf("unable to decode pod info from kubelet response: %s", enforce.Plain(pod.Flaw.Error()))
}

// noPods reports whether a container that a list does not have is surely no pod's, so that it is not worth while to wait for it. The list
// must be one that was asked for when the container ran already.
func (k *kubernetesState) noPods(list *workload.PodList, place workload.Place) bool {
	return place.ForeignManager() && !k.node.foreign.Load() && list.Skipped == 0 && len(list.Malformed) == 0 && list.Flawed() == nil
}
