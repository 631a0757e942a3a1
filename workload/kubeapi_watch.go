package workload

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Limits of what is kept of an API server's objects.
const (
	maxWatched   = 64              // objects that are watched; others are asked about each time
	watchedTTL   = 5 * time.Minute // how long an object is kept at most: a server that has gone silent is noticed then
	watchBegins  = 5 * time.Second // for a watch to begin
	watchMessage = 1               // bytes of a change that are read: it ends the watch, whatever it says
)

// watchedObject is an object that is known until its watch ends.
type watchedObject struct {
	object Object
	began  bool // the server watches: from now on what is kept counts
}

// watchObject returns the metadata of an object, from memory where nothing has changed it. An object is asked for, then watched from the
// version that was answered; the first word of the server, or the end of the watch, whatever the reason, forgets it. So nothing
// has to be made of what a watch says.
func (a *KubeAPI) watchObject(ctx context.Context, kind Kind, namespace, name string) (Object, error) {
	path := kind.path(namespace, name)
	a.mu.Lock()
	w := a.watched[path]
	if w != nil && w.began {
		defer a.mu.Unlock()
		return w.object, nil
	}
	a.mu.Unlock()
	p, err := a.pod(ctx, path, metadataOnly)
	if err != nil {
		return Object{}, err
	}
	if p.version != "" {
		a.startWatch(path, kind.path(namespace, "")+"?"+url.Values{
			"watch": {"true"}, "fieldSelector": {"metadata.name=" + name}, "resourceVersion": {p.version},
			"timeoutSeconds": {"300"},
		}.Encode(), p.object())
	}
	return p.object(), nil
}

func (a *KubeAPI) startWatch(path, watch string, o Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watched[path] != nil || len(a.watched) >= maxWatched || a.ctx.Err() != nil {
		return
	}
	w := &watchedObject{object: o}
	a.watched[path] = w
	a.busy.Add(1)
	a.config.Go("watch of an object", func() {
		defer a.busy.Done()
		defer a.endWatch(path)
		a.watch(watch, w)
	})
}

func (a *KubeAPI) endWatch(path string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.watched, path)
}

// watch returns when the object may have changed.
func (a *KubeAPI) watch(path string, w *watchedObject) {
	ctx, cancel := context.WithTimeout(a.ctx, watchedTTL)
	defer cancel()
	resp, err := a.beginWatch(ctx, cancel, path)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	a.mu.Lock()
	w.began = true
	a.mu.Unlock()
	_, _ = resp.Body.Read(make([]byte, watchMessage))
}

// beginWatch gives up what does not begin in time. The context goes on to be that of the watch.
func (a *KubeAPI) beginWatch(ctx context.Context, giveUp func(), path string) (*http.Response, error) {
	begun := make(chan struct{})
	defer close(begun)
	a.config.Go("beginning of a watch", func() {
		timer := time.NewTimer(watchBegins)
		defer timer.Stop()
		select {
		case <-timer.C:
			giveUp()
		case <-begun:
		}
	})
	return a.send(ctx, http.MethodGet, path, metadataOnly, nil)
}
