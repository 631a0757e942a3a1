package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

var (
	secrets               = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	webhookConfigurations = []schema.GroupVersionResource{
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
	}
)

// single is one object by its name, which is watched without a look at any other: rights on that name suffice.
type single struct {
	client   dynamic.ResourceInterface
	name     string
	informer cache.SharedIndexInformer
}

// newSingle prepares the watch. changed is called whenever something is heard of the object.
func newSingle(client dynamic.ResourceInterface, all dynamic.Interface, name string, changed func()) (*single, error) {
	only := func(options metav1.ListOptions) metav1.ListOptions {
		options.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
		return options
	}
	watched := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, only(options))
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return client.Watch(ctx, only(options))
		},
	}, all)
	s := &single{client: client, name: name, informer: cache.NewSharedIndexInformer(watched, &unstructured.Unstructured{}, 0, cache.Indexers{})}
	_, err := s.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed() }, UpdateFunc: func(any, any) { changed() }, DeleteFunc: func(any) { changed() },
	})
	if err != nil {
		return nil, fmt.Errorf("watch of %s: %w", name, err)
	}
	return s, nil
}

// object returns the object as it was heard of last, which must not be changed; nil if it is not there.
func (s *single) object() *unstructured.Unstructured {
	for _, found := range s.informer.GetStore().List() {
		if object, ok := found.(*unstructured.Unstructured); ok && object.GetName() == s.name {
			return object
		}
	}
	return nil
}

// secretData returns what stands in a Secret, which may be nil. The error is about what cannot be read of it.
func secretData(object *unstructured.Unstructured) (map[string][]byte, error) {
	if object == nil {
		return nil, nil
	}
	texts, _, err := unstructured.NestedStringMap(object.Object, "data")
	if err != nil {
		return nil, errors.New("its data cannot be read") // and is in no log
	}
	data := map[string][]byte{}
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		content, err := base64.StdEncoding.DecodeString(texts[key])
		if err != nil {
			return nil, fmt.Errorf("%s: is not base64", key)
		}
		data[key] = content
	}
	return data, nil
}

// keep puts data in a Secret, if it is still as present, which is nil if it was not there; else the error is a conflict.
func (s *single) keep(ctx context.Context, present *unstructured.Unstructured, data map[string][]byte) error {
	encoded := map[string]any{}
	for key, content := range data {
		encoded[key] = base64.StdEncoding.EncodeToString(content)
	}
	if present != nil {
		changed := present.DeepCopy()
		changed.Object["data"] = encoded
		_, err := s.client.Update(ctx, changed, metav1.UpdateOptions{})
		return err
	}
	made := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": encoded,
		"metadata": map[string]any{"name": s.name, "labels": map[string]any{"app.kubernetes.io/managed-by": "assay"}},
	}}
	_, err := s.client.Create(ctx, made, metav1.CreateOptions{})
	return err
}

// bundles returns what the webhooks of a configuration trust, in their order; nothing if there is no such configuration.
func bundles(object *unstructured.Unstructured) [][]byte {
	if object == nil {
		return nil
	}
	webhooks, _, _ := unstructured.NestedSlice(object.Object, "webhooks") // the API server lets nothing else through
	all := make([][]byte, len(webhooks))
	for n, webhook := range webhooks {
		fields, _ := webhook.(map[string]any)
		text, _, _ := unstructured.NestedString(fields, "clientConfig", "caBundle")
		all[n], _ = base64.StdEncoding.DecodeString(text)
	}
	return all
}

// trust has the webhooks of a configuration trust other bundles, if it is still as present; else the error is a conflict or says that the
// patch is invalid.
func (s *single) trust(ctx context.Context, present *unstructured.Unstructured, bundles map[int][]byte) error {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value string `json:"value"`
	}
	patch := []operation{{"test", "/metadata/resourceVersion", present.GetResourceVersion()}}
	for _, n := range slices.Sorted(maps.Keys(bundles)) {
		patch = append(patch, operation{"add", fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", n), base64.StdEncoding.EncodeToString(bundles[n])})
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = s.client.Patch(ctx, s.name, types.JSONPatchType, text, metav1.PatchOptions{FieldManager: "assay"})
	return err
}
