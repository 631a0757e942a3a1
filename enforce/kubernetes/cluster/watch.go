package cluster

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

func (n *Namespaces) listWatch(client metadata.Interface) cache.ListerWatcher {
	lists := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.Resource(namespaces).List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return client.Resource(namespaces).Watch(ctx, options)
		},
	}
	return cache.ToListWatcherWithWatchListSemantics(n.contact.lister(lists, func(error) {}), client)
}

// listsOf lists and watches the objects of a resource; name chooses one of them, "" all.
func listsOf(client dynamic.ResourceInterface, name string) *cache.ListWatch {
	choose := func(options metav1.ListOptions) metav1.ListOptions {
		if name != "" {
			// In this form a Role that names the object suffices.
			options.FieldSelector = "metadata.name=" + name
		}
		return options
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, choose(options))
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return client.Watch(ctx, choose(options))
		},
	}
}
