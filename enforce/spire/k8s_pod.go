package spire

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/spire/proto/broker"
	"github.com/assay-dev/assay/workload"
)

// podReference returns the selectors of a pod that is named by key or UID. It names no container, so there are none of images; where a proof is
// demanded, it is of every one.
func (k *kubernetesState) podReference(ctx context.Context, caller *Broker, r *broker.KubernetesObjectReference) ([]string, error) {
	pod, err := k.findPod(ctx, caller, podName{r.GetKey().GetNamespace(), r.GetKey().GetName(), r.GetUid()})
	if err != nil {
		return nil, err
	}
	if pod.Flaw != nil {
		return nil, Refuse(enforce.CannotTell, codes.Unavailable, undecodable(pod).Error())
	}
	if err := k.review(ctx, caller, podsKind, pod.Namespace, pod.Name); err != nil {
		return nil, err
	}
	labels, err := k.namespaceLabels(ctx, pod)
	if err != nil {
		return nil, err
	}
	if k.verifier != nil {
		if err := k.verifyPod(ctx, pod, labels); err != nil {
			return nil, err
		}
	}
	return append(podSelectors(pod), pairs("ns-label:", labels)...), nil
}

// podName is how a reference names a pod: by namespace and name, by UID, or by both.
type podName struct{ namespace, name, uid string }

func (n podName) String() string {
	if n.name == "" {
		return "pod with UID " + n.uid
	}
	return "pod " + path(n.namespace, n.name)
}

// agrees reports whether a pod that was found is the one that is meant.
func (n podName) agrees(pod *workload.Pod) error {
	if n.uid == "" || pod.UID == n.uid {
		return nil
	}
	return status.Error(codes.NotFound, enforce.Plain(fmt.Sprintf("%s has UID %s, expected %s", n, pod.UID, n.uid)))
}

// in looks for the pod in a list.
func (n podName) in(list *workload.PodList) *workload.Pod {
	if n.name == "" {
		pod, _ := list.ByUID(n.uid)
		return pod
	}
	for _, pod := range list.Pods() {
		if pod.Namespace == n.namespace && pod.Name == n.name {
			return pod
		}
	}
	return nil
}

// findPod asks the kubelet, and then, for those who may ask about the whole cluster, the API server. Where there is no kubelet to be asked, the
// agent itself may.
func (k *kubernetesState) findPod(ctx context.Context, caller *Broker, name podName) (*workload.Pod, error) {
	if k.kubelet == nil {
		if caller != nil && !caller.Cluster {
			return nil, Refuse(enforce.CannotTell, codes.FailedPrecondition, errNoKubelet.Error())
		}
		return k.clusterPod(ctx, name)
	}
	pod, err := k.nodePod(ctx, name)
	switch {
	case err == nil && pod != nil:
		if err = name.agrees(pod); err == nil {
			return pod, nil
		}
	case err == nil:
		err = status.Error(codes.NotFound, enforce.Plain(name.String()+" not found on agent node"))
	}
	if caller == nil || !caller.Cluster || ctx.Err() != nil {
		return nil, err
	}
	return k.clusterPod(ctx, name)
}

// nodePod looks for a pod in the last list, and then in one that is asked for now. Nil: it is not there.
func (k *kubernetesState) nodePod(ctx context.Context, name podName) (*workload.Pod, error) {
	before := k.kubelet.value.Begun()
	for newer := uint64(0); ; newer = before {
		list, err := k.kubelet.value.Pods(ctx, newer)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, Refuse(enforce.CannotTell, codes.Unavailable, enforce.Plain(err.Error()))
		}
		pod := name.in(list)
		if pod != nil && name.agrees(pod) == nil || list.Number > before {
			return pod, nil
		}
	}
}

func (k *kubernetesState) clusterPod(ctx context.Context, name podName) (*workload.Pod, error) {
	ask := func() (*workload.Pod, error) { return k.api.value.Pod(ctx, name.namespace, name.name) }
	if name.name == "" {
		ask = func() (*workload.Pod, error) { return k.api.value.PodByUID(ctx, name.uid) }
	}
	pod, err := ask()
	switch {
	case errors.Is(err, workload.ErrNoObject):
		return nil, status.Error(codes.NotFound, enforce.Plain(name.String()+" not found"))
	case err != nil:
		return nil, err
	}
	return pod, name.agrees(pod)
}

// verifyPod demands a proof of every container of a pod. One whose image is not known yet is not proved.
func (k *kubernetesState) verifyPod(ctx context.Context, pod *workload.Pod, labels map[string]string) error {
	if len(pod.Containers) == 0 {
		return Refuse(enforce.CannotTell, codes.Unavailable, enforce.Plain(tryAgain+"no container of pod "+path(pod.Namespace, pod.Name)+" is known yet"))
	}
	proved := map[string]bool{}
	for _, containers := range [][]workload.ContainerStatus{pod.Containers, pod.Init, pod.Ephemeral} {
		for i := range containers {
			c := &containers[i]
			if c.ImageID == "" {
				text := fmt.Sprintf("%sthe image of container %s of pod %s is not known yet", tryAgain, c.Name, path(pod.Namespace, pod.Name))
				return Refuse(enforce.CannotTell, codes.Unavailable, enforce.Plain(text))
			}
			if proved[c.ImageID] {
				continue
			}
			if _, err := k.verifier.Verify(ctx, k.subject(found{pod, c}, labels)); err != nil {
				return err
			}
			proved[c.ImageID] = true
		}
	}
	return nil
}
