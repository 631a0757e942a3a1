package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// MaxObjectContent is the most that an object of Objects can have, in bytes: a ConfigMap has 1 MiB at most.
const MaxObjectContent = 1 << 20

// maxGrouped is the most objects of one group that are listed.
const maxGrouped = 64

// What Assay writes on the ConfigMaps that it keeps things in.
const (
	managedLabel  = "app.kubernetes.io/managed-by"
	kindLabel     = "assay.dev/kind"
	groupLabel    = "assay.dev/group"
	titleMark     = "assay.dev/title" // an annotation
	contentMember = "content"
)

// Objects keeps contents in ConfigMaps of one namespace, which several processes share. It needs to be allowed to get, list, create and
// update ConfigMaps there. Whoever else may write them can put anything in their place.
type Objects struct {
	client dynamic.ResourceInterface
	kind   string
}

// Objects prepares to keep contents of a kind, which is one word for people. Nothing is asked yet.
func (c *Cluster) Objects(namespace, kind string) (*Objects, error) {
	client, err := dynamic.NewForConfig(c.unhurried())
	if err != nil {
		return nil, fmt.Errorf("client of Kubernetes: %w", err)
	}
	maps := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	return &Objects{client: client.Resource(maps).Namespace(namespace), kind: kind}, nil
}

// Get returns the content of an object and its version as the API server has them now; "" if there is none.
func (o *Objects) Get(ctx context.Context, name string) (content []byte, version string, err error) {
	found, err := o.client.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, "", nil
	case err != nil:
		return nil, "", fmt.Errorf("configmap %s: %w", name, err)
	}
	content, err = o.content(found)
	return content, found.GetResourceVersion(), err
}

// Group returns the contents of all objects of a group.
func (o *Objects) Group(ctx context.Context, group string) ([][]byte, error) {
	list, err := o.client.List(ctx, metav1.ListOptions{LabelSelector: kindLabel + "=" + o.kind + "," + groupLabel + "=" + group, Limit: maxGrouped + 1})
	if err != nil {
		return nil, fmt.Errorf("configmaps of %s: %w", o.kind, err)
	}
	if len(list.Items) > maxGrouped {
		return nil, fmt.Errorf("configmaps of %s: more than %d in one group", o.kind, maxGrouped)
	}
	var contents [][]byte
	for i := range list.Items {
		content, err := o.content(&list.Items[i])
		if err != nil {
			return nil, err
		}
		contents = append(contents, content)
	}
	return contents, nil
}

// Put replaces the content of an object that has a version, or makes one where the version is "". The group is a label's value, the title
// is for people. swapped is false if somebody else was faster, and then nothing was written.
func (o *Objects) Put(ctx context.Context, name, group, title string, content []byte, version string) (next string, swapped bool, err error) {
	if len(content) > MaxObjectContent {
		return "", false, fmt.Errorf("configmap %s: %d bytes, at most %d can be kept", name, len(content), MaxObjectContent)
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{
			"name":        name,
			"labels":      map[string]any{managedLabel: "assay", kindLabel: o.kind, groupLabel: group},
			"annotations": map[string]any{titleMark: title},
		},
		"data": map[string]any{contentMember: string(content)},
	}}
	var written *unstructured.Unstructured
	if version == "" {
		written, err = o.client.Create(ctx, object, metav1.CreateOptions{})
	} else {
		object.SetResourceVersion(version)
		written, err = o.client.Update(ctx, object, metav1.UpdateOptions{})
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), version != "" && apierrors.IsNotFound(err):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("configmap %s: %w", name, err)
	}
	return written.GetResourceVersion(), true, nil
}

// content returns what an object holds. One of another kind is an error: its name was taken.
func (o *Objects) content(object *unstructured.Unstructured) ([]byte, error) {
	text, found, err := unstructured.NestedString(object.Object, "data", contentMember)
	if err != nil || !found || object.GetLabels()[kindLabel] != o.kind {
		return nil, fmt.Errorf("configmap %s: is not one of Assay's for %s", object.GetName(), o.kind)
	}
	return []byte(text), nil
}
