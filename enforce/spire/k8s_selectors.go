package spire

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/workload"
)

// selectors returns the values of a process's pod and container, and of the proofs of its image.
func (k *kubernetesState) selectors(ctx context.Context, at found) ([]string, error) {
	values := podSelectors(at.pod)
	if at.container != nil && !k.settings.DisableContainerSelectors {
		values = append(values, containerSelectors(at.container)...)
	}
	labels, err := k.namespaceLabels(ctx, at.pod)
	if err != nil {
		return nil, err
	}
	values = append(values, pairs("ns-label:", labels)...)
	if k.verifier == nil {
		return values, nil
	}
	proofs, err := k.verifier.Verify(ctx, k.subject(at, labels))
	if err != nil {
		return nil, err
	}
	return append(values, proofs...), nil
}

// namespaceLabels returns the labels of a pod's namespace; nil: nobody wants to know them.
func (k *kubernetesState) namespaceLabels(ctx context.Context, pod *workload.Pod) (map[string]string, error) {
	if !k.settings.NamespaceLabels {
		return nil, nil
	}
	labels, err := k.api.value.NamespaceLabels(ctx, pod.Namespace)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		text := fmt.Sprintf("unable to get namespace labels for %q: %v", pod.Namespace, err)
		return nil, Refuse(enforce.CannotTell, codes.Internal, enforce.Plain(text))
	}
	return labels, nil
}

// subject is what is to be proved of a container. Old selectors of proofs begin with its ID, unless there are none of containers.
func (k *kubernetesState) subject(at found, labels map[string]string) Subject {
	s := Subject{Image: at.container.ImageID, Namespace: at.pod.Namespace, NamespaceLabels: labels, HasNamespace: true}
	if !k.settings.DisableContainerSelectors {
		s.ContainerID = at.container.ContainerID
	}
	return s
}

// podSelectors returns the values for a pod, in the order that is documented. It adds nothing, and leaves out nothing that is empty:
// registration entries of others are compared with exactly these.
func podSelectors(pod *workload.Pod) []string {
	values := []string{
		"sa:" + pod.ServiceAccount,
		"ns:" + pod.Namespace,
		"node-name:" + pod.Node,
		"pod-uid:" + pod.UID,
		"pod-name:" + pod.Name,
		"pod-image-count:" + strconv.Itoa(len(pod.Containers)),
		"pod-init-image-count:" + strconv.Itoa(len(pod.Init)),
	}
	values = append(values, images("pod-image:", pod.Containers)...)
	values = append(values, images("pod-init-image:", pod.Init)...)
	values = append(values, pairs("pod-label:", pod.Labels)...)
	for _, o := range sortedOwners(pod.Owners) {
		values = append(values, "pod-owner:"+o.Kind+":"+o.Name, "pod-owner-uid:"+o.Kind+":"+o.UID)
	}
	return values
}

func containerSelectors(c *workload.ContainerStatus) []string {
	return append([]string{"container-name:" + c.Name}, images("container-image:", []workload.ContainerStatus{*c})...)
}

// images returns the names and IDs of the images of some containers, each once: container by container, and sorted within one.
func images(prefix string, containers []workload.ContainerStatus) []string {
	var values []string
	seen := map[string]bool{}
	for _, c := range containers {
		for _, image := range []string{min(c.Image, c.ImageID), max(c.Image, c.ImageID)} {
			if !seen[image] {
				values = append(values, prefix+image)
			}
			seen[image] = true
		}
	}
	return values
}

func pairs(prefix string, labels map[string]string) []string {
	values := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		values = append(values, prefix+key+":"+labels[key])
	}
	return values
}

func sortedOwners(owners []workload.Owner) []workload.Owner {
	return slices.SortedStableFunc(slices.Values(owners), func(a, b workload.Owner) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
}

// objectSelectors returns the values for an object of which nothing but its metadata is known.
func objectSelectors(kind workload.Kind, o workload.Object) []string {
	values := []string{
		"uid:" + o.UID,
		"resource:" + kind.Plural + "." + kind.Group,
		"plural:" + kind.Plural,
		"group:" + kind.Group,
		"version:" + kind.Version,
		"apiVersion:" + kind.APIVersion(),
		"kind:" + kind.Kind,
		"name:" + o.Name,
	}
	key := o.Name
	if o.Namespace != "" {
		values = append(values, "namespace:"+o.Namespace)
		key = o.Namespace + "/" + o.Name
	}
	values = append(values, "key:"+key)
	values = append(values, pairs("label:", o.Labels)...)
	for _, owner := range sortedOwners(o.Owners) {
		values = append(values, ownerSelectors("owner", owner)...)
		if owner.Controller {
			values = append(values, ownerSelectors("controller", owner)...)
		}
	}
	return values
}

func ownerSelectors(role string, o workload.Owner) []string {
	group, _, found := strings.Cut(o.APIVersion, "/")
	if !found {
		group = coreGroup
	}
	of := group + "/" + o.Kind + "/"
	return []string{role + "-key:" + of + o.Name, role + "-uid:" + of + o.UID}
}
