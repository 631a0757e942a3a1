package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// How many requests about Events are sent in a second, in the long run and at once.
const (
	eventsPerSecond = 5
	eventsAtOnce    = 25
)

var events = schema.GroupVersionResource{Version: "v1", Resource: "events"}

// Events writes Events. It needs to be allowed to create and patch them.
type Events struct {
	client dynamic.Interface
	gone   error
}

// Events prepares it. gone is what Patch returns, among others, for an Event that is not there.
func (c *Cluster) Events(gone error) (*Events, error) {
	config := rest.CopyConfig(c.config)
	config.QPS, config.Burst = eventsPerSecond, eventsAtOnce
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of Kubernetes: %w", err)
	}
	return &Events{client: client, gone: gone}, nil
}

// Create stores an Event, which is given as JSON.
func (e *Events) Create(ctx context.Context, namespace string, event []byte) error {
	object := map[string]any{}
	if err := json.Unmarshal(event, &object); err != nil {
		return err
	}
	_, err := e.client.Resource(events).Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	return err
}

// Patch merges JSON into an Event.
func (e *Events) Patch(ctx context.Context, namespace, name string, patch []byte) error {
	_, err := e.client.Resource(events).Namespace(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: %w", e.gone, err)
	}
	return err
}
