package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
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

type knownKind struct {
	kind  Kind
	until time.Time
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

// Kind is a kind of objects, as the server knows it.
type Kind struct {
	Plural  string
	Group   string // "core" for the one without a name
	Version string
	Kind    string
	// Namespaced is that its objects are in namespaces.
	Namespaced bool
}

// APIVersion is group and version as manifests write them.
func (k Kind) APIVersion() string {
	if k.Group == coreGroup {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

// coreGroup is how references call the group without a name.
const coreGroup = "core"

func (k Kind) path(namespace, name string) string {
	path := "/apis/" + url.PathEscape(k.Group) + "/" + url.PathEscape(k.Version)
	if k.Group == coreGroup {
		path = "/api/" + url.PathEscape(k.Version)
	}
	if namespace != "" {
		path += "/namespaces/" + url.PathEscape(namespace)
	}
	path += "/" + url.PathEscape(k.Plural)
	if name != "" {
		path += "/" + url.PathEscape(name)
	}
	return path
}

var (
	namespaceKind = Kind{Plural: "namespaces", Group: coreGroup, Version: "v1", Kind: "Namespace"}
	podKind       = Kind{Plural: "pods", Group: coreGroup, Version: "v1", Kind: "Pod", Namespaced: true}
)

// NamespaceLabels returns the labels of a namespace.
func (a *KubeAPI) NamespaceLabels(ctx context.Context, name string) (map[string]string, error) {
	o, err := a.Object(ctx, namespaceKind, "", name)
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

// Kind returns what the server knows of a kind by its plural, such as "pods", and its group, which is "core" for the one without a name.
// What it knows is remembered for some minutes. ErrNoKind: nothing.
func (a *KubeAPI) Kind(ctx context.Context, plural, group string) (Kind, error) {
	if err := plainNames(plural, group); err != nil {
		return Kind{}, fmt.Errorf("%w: %w", ErrNoKind, err)
	}
	key := plural + "." + group
	if k, known := a.rememberedKind(key); known {
		return k, nil
	}
	versions, err := a.versions(ctx, group)
	if err != nil {
		return Kind{}, err
	}
	for _, version := range versions {
		k, found, err := a.kindOf(ctx, plural, group, version)
		if err != nil {
			return Kind{}, err
		}
		if found {
			a.rememberKind(key, k)
			return k, nil
		}
	}
	return Kind{}, ErrNoKind
}

// versions returns the versions of a group, the preferred one first.
func (a *KubeAPI) versions(ctx context.Context, group string) ([]string, error) {
	if group == coreGroup {
		return []string{"v1"}, nil
	}
	var answer struct {
		PreferredVersion struct{ Version string }
		Versions         []struct{ Version string }
	}
	err := a.ask(ctx, http.MethodGet, "/apis/"+url.PathEscape(group), "application/json", nil, decodeInto(&answer))
	switch {
	case errors.Is(err, ErrNoObject):
		return nil, ErrNoKind
	case err != nil:
		return nil, err
	}
	versions := []string{answer.PreferredVersion.Version}
	for _, v := range answer.Versions {
		if v.Version != versions[0] {
			versions = append(versions, v.Version)
		}
	}
	for _, v := range versions {
		if err := plainNames(v); err != nil {
			return nil, fmt.Errorf("versions of %s: %w", group, err)
		}
	}
	return versions, nil
}

func (a *KubeAPI) kindOf(ctx context.Context, plural, group, version string) (Kind, bool, error) {
	k := Kind{Plural: plural, Group: group, Version: version}
	k.Plural = ""
	var answer struct {
		Resources []struct {
			Name, Kind string
			Namespaced bool
		}
	}
	err := a.ask(ctx, http.MethodGet, strings.TrimSuffix(k.path("", ""), "/"), "application/json", nil, decodeInto(&answer))
	switch {
	case errors.Is(err, ErrNoObject):
		return Kind{}, false, nil
	case err != nil:
		return Kind{}, false, err
	}
	for _, r := range answer.Resources {
		if r.Name == plural {
			k.Plural, k.Kind, k.Namespaced = plural, r.Kind, r.Namespaced
			return k, true, nil
		}
	}
	return Kind{}, false, nil
}

func (a *KubeAPI) rememberedKind(key string) (Kind, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, known := a.kinds[key]
	return k.kind, known && time.Now().Before(k.until)
}

func (a *KubeAPI) rememberKind(key string, k Kind) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kinds) >= maxKubeAPIKinds {
		clear(a.kinds)
	}
	a.kinds[key] = knownKind{k, time.Now().Add(kubeAPIKindTTL)}
}

// plainNames refuses what could mean another path than it says.
func plainNames(names ...string) error {
	for _, name := range names {
		if name == "" || name == "." || name == ".." || len(name) > maxKubeAPIName || strings.ContainsAny(name, "/%?#\\") {
			return fmt.Errorf("%.64q is no name of Kubernetes", name)
		}
	}
	return nil
}

func decodeInto(v any) func(io.Reader) error {
	return func(body io.Reader) error {
		content, err := io.ReadAll(io.LimitReader(body, maxKubeAPIAnswer+1))
		switch {
		case err != nil:
			return err
		case len(content) > maxKubeAPIAnswer:
			return fmt.Errorf("longer than %d bytes", maxKubeAPIAnswer)
		}
		return json.Unmarshal(content, v)
	}
}

// ask makes one request and reads its answer. ErrNoObject: the server says 404.
func (a *KubeAPI) ask(ctx context.Context, method, path, accept string, body []byte, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, kubeAPITimeout)
	defer cancel()
	resp, err := a.send(ctx, method, path, accept, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := read(resp.Body); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// send makes one request. The answer is a good one, and its body is the caller's to close.
func (a *KubeAPI) send(ctx context.Context, method, path, accept string, body []byte) (*http.Response, error) {
	if a.config.Host == "" {
		return nil, errors.New("not in a cluster: KUBERNETES_SERVICE_HOST is not set")
	}
	client, token, err := a.current()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusCreated:
		return resp, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, ErrNoObject
	}
	return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, statusText(resp.Body))
}

// statusText is what the server says of an error.
func statusText(body io.Reader) string {
	content, _ := io.ReadAll(io.LimitReader(body, maxKubeAPIRefusal))
	var answer struct{ Message string }
	text := string(content)
	if json.Unmarshal(content, &answer) == nil && answer.Message != "" {
		text = answer.Message
	}
	return strings.TrimSpace(text[:min(len(text), maxKubeAPIText)])
}

func (a *KubeAPI) current() (*http.Client, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.files.current(time.Now())
}
