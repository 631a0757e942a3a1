package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Limits of what is asked of an API server.
const (
	kubeAPITimeout    = 10 * time.Second // for one request
	maxKubeAPIAnswer  = 4 << 20          // bytes of an answer that is no list
	maxKubeAPIRefusal = 4 << 10          // bytes of an answer that is an error
	maxKubeAPIText    = 512              // bytes of it in our error
	maxKubeAPIName    = 512              // bytes of a name that is asked about
	kubeAPIPage       = 500              // objects of one page of a list
	maxKubeAPIPages   = 400              // pages in which an object is looked for by its UID
	maxKubeAPIKinds   = 256              // kinds of objects that are remembered
	kubeAPIKindTTL    = 10 * time.Minute // how long they are
)

// Errors of an API server's answers. Any other error: it could not be told.
var (
	// ErrNoObject says that there is no such object in the cluster.
	ErrNoObject = errors.New("not found")
	// ErrNoKind says that the cluster has no such kind of objects.
	ErrNoKind = errors.New("the server has no such resource")
)

// KubeAPIConfig says where the API server is and how to be known to it. It is that of a pod's service account.
type KubeAPIConfig struct {
	// Host and Port are what a pod finds in KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. Without a host every call fails.
	Host, Port string
	// ServiceAccount are folders with ca.crt and token, of which the first counts where they exist. Empty: the two where Linux has them.
	ServiceAccount []string
	// ReloadInterval is after how long the next request reads the files again; 0: a minute.
	ReloadInterval time.Duration
	// Watch keeps the metadata of objects by name for as long as the server does not report a change.
	Watch bool
	// Go starts a goroutine whose panic must not end the process. Nil: one is logged.
	Go func(name string, fn func())

	dial dialFunc // nil: the network's
}

// KubeAPI asks a Kubernetes API server. It only reads, and asks for reviews. It is safe for concurrent use.
type KubeAPI struct {
	config KubeAPIConfig
	base   string

	ctx    context.Context
	cancel context.CancelFunc
	busy   sync.WaitGroup

	mu      sync.Mutex
	files   *serverFiles
	kinds   map[string]knownKind
	watched map[string]*watchedObject
}

// NewKubeAPI makes a client. It reads no file and connects to nothing before the first call.
func NewKubeAPI(c KubeAPIConfig) *KubeAPI {
	if c.Go == nil {
		c.Go = guarded
	}
	if c.ReloadInterval <= 0 {
		c.ReloadInterval = defaultKubeletFiles
	}
	if c.Port == "" {
		c.Port = "443"
	}
	a := &KubeAPI{config: c, base: "https://" + net.JoinHostPort(c.Host, c.Port), kinds: map[string]knownKind{}, watched: map[string]*watchedObject{}}
	a.files = &serverFiles{config: KubeletConfig{
		Host: c.Host, ServiceAccount: c.ServiceAccount, ReloadInterval: c.ReloadInterval, dial: c.dial, server: "API server",
	}}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// Close ends what is watched, and waits for its end.
func (a *KubeAPI) Close() {
	a.cancel()
	a.busy.Wait()
	a.files.close()
}

// Object is the metadata of an object.
type Object struct {
	UID, Name, Namespace string
	Labels               map[string]string
	Owners               []Owner
}

var (
	namespaceKind = Kind{Plural: "namespaces", Group: coreGroup, Version: "v1", Kind: "Namespace"}
	podKind       = Kind{Plural: "pods", Group: coreGroup, Version: "v1", Kind: "Pod", Namespaced: true}
)

// NamespaceLabels returns the labels of a namespace: an empty map, and never nil, where it has none.
func (a *KubeAPI) NamespaceLabels(ctx context.Context, name string) (map[string]string, error) {
	o, err := a.Object(ctx, namespaceKind, "", name)
	if err == nil && o.Labels == nil {
		o.Labels = map[string]string{}
	}
	return o.Labels, err
}

// Pod returns a pod by its name. ErrNoObject: there is none.
func (a *KubeAPI) Pod(ctx context.Context, namespace, name string) (*Pod, error) {
	if err := plainNames(namespace, name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoObject, err)
	}
	return a.pod(ctx, podKind.path(namespace, name), "application/json")
}

// PodByUID returns a pod by its UID, for which all pods of the cluster are looked through. ErrNoObject: there is none.
func (a *KubeAPI) PodByUID(ctx context.Context, uid string) (*Pod, error) {
	return a.find(ctx, podKind, uid, "application/json")
}

const (
	metadataOnly     = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	metadataOnlyList = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

// Object returns the metadata of an object by its name. Namespace is "" for kinds that are in none. ErrNoObject: there is none.
func (a *KubeAPI) Object(ctx context.Context, kind Kind, namespace, name string) (Object, error) {
	names := []string{name}
	if kind.Namespaced {
		names = append(names, namespace)
	}
	if err := plainNames(names...); err != nil {
		return Object{}, fmt.Errorf("%w: %w", ErrNoObject, err)
	}
	if a.config.Watch {
		return a.watchObject(ctx, kind, namespace, name)
	}
	p, err := a.pod(ctx, kind.path(namespace, name), metadataOnly)
	if err != nil {
		return Object{}, err
	}
	return p.object(), nil
}

// ObjectByUID returns the metadata of an object by its UID, for which all objects of the kind are looked through. ErrNoObject: there is none.
func (a *KubeAPI) ObjectByUID(ctx context.Context, kind Kind, uid string) (Object, error) {
	p, err := a.find(ctx, kind, uid, metadataOnlyList)
	if err != nil {
		return Object{}, err
	}
	return p.object(), nil
}

func (p *Pod) object() Object {
	return Object{UID: p.UID, Name: p.Name, Namespace: p.Namespace, Labels: p.Labels, Owners: p.Owners}
}

// pod reads one pod, or the metadata of one object.
func (a *KubeAPI) pod(ctx context.Context, path, accept string) (*Pod, error) {
	var p *Pod
	err := a.ask(ctx, http.MethodGet, path, accept, nil, func(body io.Reader) (err error) {
		p, err = decodePod(io.LimitReader(body, maxKubeAPIAnswer))
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case p.Flaw != nil:
		return nil, fmt.Errorf("%s: %w", path, p.Flaw)
	case p.UID == "":
		return nil, fmt.Errorf("%s: an object without a UID", path)
	}
	return p, nil
}

// find looks for a UID page by page: no API server can be asked for one.
func (a *KubeAPI) find(ctx context.Context, kind Kind, uid, accept string) (*Pod, error) {
	query := url.Values{"limit": {fmt.Sprint(kubeAPIPage)}}
	for range maxKubeAPIPages {
		var list *PodList
		var more string
		err := a.ask(ctx, http.MethodGet, kind.path("", "")+"?"+query.Encode(), accept, nil, func(body io.Reader) (err error) {
			list, more, err = decodePods(body, decodeOptions{completed: true, owners: true})
			return err
		})
		if err != nil {
			return nil, err
		}
		if p, found := list.ByUID(uid); found {
			return p, p.Flaw
		}
		if more == "" {
			return nil, ErrNoObject
		}
		query.Set("continue", more)
	}
	return nil, fmt.Errorf("more than %d objects to look through", maxKubeAPIPages*kubeAPIPage)
}

// Review is a question whether somebody may do something to one object.
type Review struct {
	User, Verb string
	Kind       Kind
	// Namespace and Name are those of the object; Namespace is "" where it is in none.
	Namespace, Name string
}

// Allowed asks the server whether what a review names is allowed. An error means that it was not told.
func (a *KubeAPI) Allowed(ctx context.Context, r Review) (bool, error) {
	group := r.Kind.Group
	if group == coreGroup {
		group = ""
	}
	question, err := json.Marshal(map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
		"spec": map[string]any{"user": r.User, "resourceAttributes": map[string]string{
			"verb": r.Verb, "group": group, "resource": r.Kind.Plural, "namespace": r.Namespace, "name": r.Name,
		}},
	})
	if err != nil {
		return false, err
	}
	var answer struct {
		Status *struct {
			Allowed, Denied bool
			EvaluationError string
		}
	}
	const path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
	if err := a.ask(ctx, http.MethodPost, path, "application/json", question, decodeInto(&answer)); err != nil {
		return false, err
	}
	if answer.Status == nil {
		return false, errors.New("the API server gave no answer")
	}
	return answer.Status.Allowed && !answer.Status.Denied, nil
}
