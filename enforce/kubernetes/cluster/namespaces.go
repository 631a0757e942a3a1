package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

// requestTimeout bounds the one request for a namespace that the watch has not told of yet.
const requestTimeout = 2 * time.Second

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// Namespaces knows the labels of all namespaces. It needs to be allowed to get, list and watch them, and nothing else.
type Namespaces struct {
	client   metadata.Interface
	informer cache.SharedIndexInformer
	contact  contact
}

// Namespaces prepares the watch.
func (c *Cluster) Namespaces() (*Namespaces, error) {
	client, err := metadata.NewForConfig(c.unhurried())
	if err != nil {
		return nil, fmt.Errorf("client of Kubernetes: %w", err)
	}
	n := &Namespaces{client: client}
	n.informer = cache.NewSharedIndexInformer(n.listWatch(client), &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	if err := n.informer.SetTransform(onlyLabels); err != nil {
		return nil, fmt.Errorf("watch of namespaces: %w", err)
	}
	return n, nil
}

// Run watches until ctx ends.
func (n *Namespaces) Run(ctx context.Context) {
	n.contact.heard()
	n.informer.RunWithContext(ctx)
}

// Silence returns how long ago the API server last told of namespaces; 0 while the watch stands. The labels that were known before go on
// being used.
func (n *Namespaces) Silence() time.Duration { return n.contact.silence() }

// Ready reports whether all namespaces were seen once.
func (n *Namespaces) Ready() bool { return n.informer.HasSynced() }

// Labels returns the labels of a namespace. It is an error not to know them: before the first list is there, and for a namespace of
// which neither the watch nor the API server knows.
func (n *Namespaces) Labels(ctx context.Context, namespace string) (map[string]string, error) {
	if !n.Ready() {
		return nil, errors.New("the namespaces of the cluster are not known yet")
	}
	found, exists, err := n.informer.GetStore().GetByKey(namespace)
	if err != nil {
		return nil, err
	}
	if exists {
		return labels(found)
	}
	// A namespace and the first pods in it are often made in one go, and the watch is a moment behind.
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	fresh, err := n.client.Resource(namespaces).Get(ctx, namespace, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return fresh.Labels, nil
}

func labels(object any) (map[string]string, error) {
	m, err := meta.Accessor(object)
	if err != nil {
		return nil, err
	}
	return m.GetLabels(), nil
}

// onlyLabels drops what nobody asks for, so that large annotations of namespaces are not kept in memory.
func onlyLabels(object any) (any, error) {
	full, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: full.Name, UID: full.UID, ResourceVersion: full.ResourceVersion, Labels: full.Labels,
	}}, nil
}
