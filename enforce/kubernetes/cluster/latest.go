package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// latest is what a watch knows of some objects: the last that the API server said of each of them.
type latest[T any] struct {
	what    string // that is watched, for the log
	lists   *cache.ListWatch
	read    func(*unstructured.Unstructured) T
	changed func()       // is told of each change, and of the first failure of several
	log     *slog.Logger // nil: failures are told by whoever reads them
	contact contact

	mu       sync.Mutex
	objects  map[string]T
	listed   bool          // all of them were there once
	failed   error         // of the last list or watch; nil: it went well
	answered chan struct{} // closed at the first list, and at the first failure
}

var _ cache.ReflectorStore = (*latest[int])(nil)

// run watches until ctx ends. Whatever breaks is tried again, at longer and longer intervals of up to half a minute.
func (l *latest[T]) run(ctx context.Context) {
	l.contact.heard()
	lists := cache.ToListWatcherWithWatchListSemantics(l.contact.lister(l.lists, l.fail), plainLists{})
	r := cache.NewReflectorWithOptions(lists, &unstructured.Unstructured{}, l, cache.ReflectorOptions{Name: l.what, TypeDescription: l.what})
	r.RunWithContext(klog.NewContext(ctx, klog.Logger{})) // failures are told here, each once
}

// plainLists says that a list is asked for as such, and not as the beginning of a watch: its errors are then its own.
type plainLists struct{}

// IsWatchListSemanticsUnSupported is asked by Kubernetes' client.
func (plainLists) IsWatchListSemanticsUnSupported() bool { return true }

func (l *latest[T]) fail(err error) {
	l.mu.Lock()
	news := l.failed == nil || l.failed.Error() != err.Error()
	l.failed = err
	l.answer()
	l.mu.Unlock()
	if !news {
		return
	}
	if l.log != nil {
		l.log.Warn("the cluster does not tell", "what", l.what, "error", err.Error())
	}
	l.changed()
}

// answer lets go whoever waits for the first answer. mu is held.
func (l *latest[T]) answer() {
	select {
	case <-l.answered:
	default:
		close(l.answered)
	}
}

// all returns what is known, in no order, and whether that is all.
func (l *latest[T]) all() ([]T, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	objects := make([]T, 0, len(l.objects))
	for _, o := range l.objects {
		objects = append(objects, o)
	}
	return objects, l.listed
}

// get waits for the first answer and returns an object by its key; found is false if there is none. The error says why nobody can tell.
func (l *latest[T]) get(ctx context.Context, key string) (object T, found bool, err error) {
	select {
	case <-l.answered:
	case <-ctx.Done():
		return object, false, errors.New("the cluster has not answered yet")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.listed {
		return object, false, l.failed
	}
	object, found = l.objects[key]
	return object, found, nil
}

// Replace implements cache.ReflectorStore.
func (l *latest[T]) Replace(list []any, _ string) error {
	objects := make(map[string]T, len(list))
	for _, item := range list {
		o, ok := item.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("%s: a %T", l.what, item)
		}
		objects[keyOf(o)] = l.read(o)
	}
	l.mu.Lock()
	l.objects, l.listed, l.failed = objects, true, nil
	l.answer()
	l.mu.Unlock()
	l.changed()
	return nil
}

// Add implements cache.ReflectorStore.
func (l *latest[T]) Add(item any) error { return l.Update(item) }

// Update implements cache.ReflectorStore.
func (l *latest[T]) Update(item any) error {
	return l.change(item, func(key string, o *unstructured.Unstructured) { l.objects[key] = l.read(o) })
}

// Delete implements cache.ReflectorStore.
func (l *latest[T]) Delete(item any) error {
	return l.change(item, func(key string, _ *unstructured.Unstructured) { delete(l.objects, key) })
}

func (l *latest[T]) change(item any, apply func(string, *unstructured.Unstructured)) error {
	o, ok := item.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("%s: a %T", l.what, item)
	}
	l.mu.Lock()
	if l.objects == nil {
		l.objects = map[string]T{}
	}
	apply(keyOf(o), o)
	l.failed = nil
	l.mu.Unlock()
	l.changed()
	return nil
}

// Resync implements cache.ReflectorStore.
func (l *latest[T]) Resync() error { return nil }

func keyOf(o *unstructured.Unstructured) string { return o.GetNamespace() + "/" + o.GetName() }
