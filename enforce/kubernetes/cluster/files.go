package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// MaxFileObjects is how many Secrets and ConfigMaps of one namespace policies may name: each is a watch of its own.
const MaxFileObjects = 200

// maxTenantFile is how many bytes a Secret or ConfigMap has that is read of a namespace other than Assay's own: it stays in memory.
const maxTenantFile = 256 << 10

// FileObject names a Secret or a ConfigMap.
type FileObject struct {
	Namespace string
	Kind      string // "secret" or "configmap"
	Name      string
}

// String is for messages.
func (o FileObject) String() string { return o.Kind + " " + o.Name + " of namespace " + o.Namespace }

var fileResources = map[string]schema.GroupVersionResource{
	"secret":    {Version: "v1", Resource: "secrets"},
	"configmap": {Version: "v1", Resource: "configmaps"},
}

// Files knows the content of exactly those Secrets and ConfigMaps that somebody asked for. For each it needs to be allowed to list and watch
// that object by its name.
type Files struct {
	client  dynamic.Interface // for Assay's own namespace
	others  dynamic.Interface // for all others, so that what they have watched holds up nothing of the own
	own     string            // Assay's own namespace
	changes chan struct{}

	mu      sync.Mutex
	ctx     context.Context // of Run; nil: it does not run
	ended   bool
	watched map[FileObject]*fileWatch
	group   sync.WaitGroup
}

type fileWatch struct {
	*latest[fileContent]
	stop context.CancelFunc
}

// fileContent is what is kept of a Secret or ConfigMap.
type fileContent struct {
	version string // its hash: the API server's number can stand for another content after a restore
	data    map[string][]byte
	large   bool // more than is kept; then data is empty
}

// Files prepares the watches; own is the namespace of Assay itself.
func (c *Cluster) Files(own string) (*Files, error) {
	client, err := c.watchClient()
	if err != nil {
		return nil, err
	}
	others, err := c.watchClient()
	if err != nil {
		return nil, err
	}
	return &Files{client: client, others: others, own: own, changes: make(chan struct{}, 1), watched: map[FileObject]*fileWatch{}}, nil
}

// Run watches until ctx ends. What is asked for before it waits.
func (f *Files) Run(ctx context.Context) {
	f.mu.Lock()
	f.ctx = ctx
	for _, w := range f.watched {
		f.begin(w)
	}
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.group.Wait()
}

// Changed has an item after some file may have changed, one for many changes.
func (f *Files) Changed() <-chan struct{} { return f.changes }

func (f *Files) notify() {
	select {
	case f.changes <- struct{}{}:
	default:
	}
}

// begin starts a watch, if Run does. mu is held.
func (f *Files) begin(w *fileWatch) {
	if f.ctx == nil || f.ended {
		return
	}
	ctx, cancel := context.WithCancel(f.ctx)
	w.stop = cancel
	f.group.Go(func() {
		defer cancel()
		w.run(ctx)
	})
}

// watch returns the watch of an object, which it starts if there is none.
func (f *Files) watch(o FileObject) (*fileWatch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.watched[o]; w != nil {
		return w, nil
	}
	beside := 0
	for other := range f.watched {
		if other.Namespace == o.Namespace {
			beside++
		}
	}
	if beside >= MaxFileObjects {
		return nil, fmt.Errorf("%v: policies name more than %d Secrets and ConfigMaps of this namespace", o, MaxFileObjects)
	}
	client, reading := f.others, readTenantFile
	if o.Namespace == f.own {
		client, reading = f.client, readFile
	}
	w := &fileWatch{latest: &latest[fileContent]{
		what: o.String(), lists: listsOf(client.Resource(fileResources[o.Kind]).Namespace(o.Namespace), o.Name),
		read: reading, changed: f.notify, answered: make(chan struct{}),
	}, stop: func() {}}
	f.watched[o] = w
	f.begin(w)
	return w, nil
}

// Read returns the content of one key of an object, and the Version of the object that it is of. From then on the object is watched. An error
// says what is missing and what to do about it, in words that stay the same while nothing changes.
func (f *Files) Read(ctx context.Context, o FileObject, key string) (data []byte, version string, err error) {
	if o.Namespace == "" || fileResources[o.Kind].Resource == "" || o.Name == "" {
		return nil, "", fmt.Errorf("%v: no such file can be named", o)
	}
	w, err := f.watch(o)
	if err != nil {
		return nil, notWatched, err
	}
	content, found, err := w.get(ctx, o.Namespace+"/"+o.Name)
	version = versionOf(content, found, err)
	switch {
	case apierrors.IsForbidden(err):
		return nil, version, f.forbidden(o, err)
	case err != nil:
		return nil, version, fmt.Errorf("%v: %w", o, err)
	case !found:
		return nil, version, fmt.Errorf("%v: there is none", o)
	case content.large:
		return nil, version, fmt.Errorf("%v: it has more than %d bytes in all; put what policies name into one of its own", o, maxTenantFile)
	}
	data, found = content.data[key]
	if !found {
		return nil, version, fmt.Errorf("%v: it has no key %s", o, key)
	}
	return data, version, nil
}

var forbiddenUser = regexp.MustCompile(`User "([^"]+)"`)

// forbidden says what lets Assay read an object.
func (f *Files) forbidden(o FileObject, err error) error {
	user := "the user of Assay"
	if m := forbiddenUser.FindStringSubmatch(err.Error()); m != nil {
		user = m[1]
	}
	resource := fileResources[o.Kind].Resource
	if o.Namespace == f.own {
		return fmt.Errorf("%v: %s may not list and watch it; extend its Role in that namespace", o, user)
	}
	name := "assay-" + o.Kind + "-" + o.Name
	return fmt.Errorf("%v: %s may not list and watch it, unless the namespace says so by a RoleBinding: "+
		"kubectl create role %s -n %s --verb get,list,watch --resource %s --resource-name %s && kubectl create rolebinding %s -n %s --role %s --user %s",
		o, user, name, o.Namespace, resource, o.Name, name, o.Namespace, name, user)
}

// notWatched is the Version of what is not watched.
const notWatched = "not watched"

// Version tells contents of an object apart, and "cannot be read" as well as "is not there" from any content. It is cheap and asks nobody.
func (f *Files) Version(o FileObject) string {
	f.mu.Lock()
	w := f.watched[o]
	f.mu.Unlock()
	if w == nil {
		return notWatched
	}
	return versionOf(w.now(o.Namespace + "/" + o.Name))
}

func versionOf(content fileContent, found bool, err error) string {
	switch {
	case err != nil:
		return "failed: " + err.Error()
	case !found:
		return "absent"
	}
	return "version " + content.version
}

// Keep ends the watches of all objects that are not wanted any more.
func (f *Files) Keep(wanted map[FileObject]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for o, w := range f.watched {
		if !wanted[o] {
			w.stop()
			delete(f.watched, o)
		}
	}
}

// Silence returns how long ago the API server last told of the files of Assay's own namespace; 0 while the watches stand. Those of other
// namespaces do not count, since each namespace decides whether Assay may read them.
func (f *Files) Silence() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	longest := time.Duration(0)
	for o, w := range f.watched {
		if o.Namespace == f.own {
			longest = max(longest, w.contact.silence())
		}
	}
	return longest
}

// readFile keeps the data of a Secret or ConfigMap. What is no base64 where it should be is left out, and so is what has another shape.
func readFile(o *unstructured.Unstructured) fileContent {
	c := fileContent{data: map[string][]byte{}}
	data, _, _ := unstructured.NestedStringMap(o.Object, "data")
	binary, _, _ := unstructured.NestedStringMap(o.Object, "binaryData")
	if o.GetKind() == "Secret" {
		data, binary = nil, data
	}
	for key, text := range data {
		c.data[key] = []byte(text)
	}
	for key, text := range binary {
		if content, err := base64.StdEncoding.DecodeString(text); err == nil {
			c.data[key] = content
		}
	}
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(c.data)) {
		fmt.Fprintf(h, "%d %s %d %s", len(key), key, len(c.data[key]), c.data[key])
	}
	c.version = hex.EncodeToString(h.Sum(nil))
	return c
}

// readTenantFile does so for a namespace that is not Assay's own.
func readTenantFile(o *unstructured.Unstructured) fileContent {
	c, size := readFile(o), 0
	for _, content := range c.data {
		size += len(content)
	}
	if size > maxTenantFile {
		c.data, c.large = nil, true
	}
	return c
}
