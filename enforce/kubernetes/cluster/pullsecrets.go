package cluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"golang.org/x/sync/singleflight"

	"github.com/assay-dev/assay/trust"
)

// Limits of pull secrets.
const (
	MaxPullAccounts = 8                // service accounts of one object
	MaxPullSecrets  = 32               // secrets with which the images of one object are pulled
	maxPullSecret   = 1 << 20          // bytes of one of them, and of what all of one object say
	maxPullKept     = 4096             // service accounts and secrets that are remembered
	maxPullBytes    = 32 << 20         // what these say, in bytes
	pullTTL         = time.Minute      // how long they are
	pullMissingTTL  = 10 * time.Second // where there is nothing, which somebody may be about to mend
	pullLeast       = 5 * time.Second  // a registry that refuses what was just read does not have it read again
)

// defaultAccount is the service account of a pod that names none.
const defaultAccount = "default"

// PullSecrets knows what the images of pods are pulled with. It needs to be allowed to get secrets and service accounts, each by its name, in
// the namespaces of the pods, and nothing else. It is safe for concurrent use.
//
// Secrets are those that the node would use: of an object that names some, these; else those of its service account, as Kubernetes copies
// them into a pod (https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#add-imagepullsecrets-to-a-service-account).
// They are read in the object's own namespace only. One that is not there counts as none, as for the kubelet; one that cannot be read is
// an error.
type PullSecrets struct {
	client  dynamic.Interface
	now     func() time.Time
	reading singleflight.Group

	mu   sync.Mutex
	kept map[pullKey]pulled
	size int // of what is kept, in bytes
}

// pullKey names a service account or a secret.
type pullKey struct{ resource, namespace, name string }

func (k pullKey) String() string { return k.resource + " " + k.namespace + "/" + k.name }

// pulled is what was read of one of them; nothing if it is not there.
type pulled struct {
	secrets []string      // of a service account
	logins  []trust.Login // of a secret
	size    int           // of what it says, in bytes
	read    time.Time
	until   time.Time
}

// PullSecrets prepares to read pull secrets. Nothing is asked yet.
func (c *Cluster) PullSecrets() (*PullSecrets, error) {
	client, err := dynamic.NewForConfig(c.unhurried())
	if err != nil {
		return nil, fmt.Errorf("client of Kubernetes: %w", err)
	}
	return &PullSecrets{client: client, now: time.Now, kept: map[pullKey]pulled{}}, nil
}

// Logins returns those with which a node would pull the images of an object in a namespace that names service accounts and secrets. When a
// registry takes none of them they are read anew for the next object.
func (p *PullSecrets) Logins(ctx context.Context, namespace string, accounts, secrets []string) (trust.Logins, error) {
	if len(accounts) > MaxPullAccounts {
		return trust.Logins{}, fmt.Errorf("%d service accounts in one object; at most %d are read", len(accounts), MaxPullAccounts)
	}
	used := make([]pullKey, 0, 1+len(secrets))
	if len(secrets) == 0 {
		if len(accounts) == 0 {
			accounts = []string{defaultAccount}
		}
		for _, name := range accounts {
			key := pullKey{"serviceaccounts", namespace, name}
			account, err := p.get(ctx, key)
			if err != nil {
				return trust.Logins{}, err
			}
			used, secrets = append(used, key), append(secrets, account.secrets...)
		}
	}
	if len(secrets) > MaxPullSecrets {
		return trust.Logins{}, fmt.Errorf("%d pull secrets for one object; at most %d are read", len(secrets), MaxPullSecrets)
	}
	var logins []trust.Login
	size := 0
	for i, name := range secrets {
		if slices.Contains(secrets[:i], name) {
			continue
		}
		key := pullKey{"secrets", namespace, name}
		secret, err := p.get(ctx, key)
		if err != nil {
			return trust.Logins{}, err
		}
		if size += secret.size; size > maxPullSecret {
			return trust.Logins{}, fmt.Errorf("the pull secrets of one object have more than the %d bytes that are read", maxPullSecret)
		}
		used, logins = append(used, key), append(logins, secret.logins...)
	}
	return trust.NewLogins(func() { p.drop(used) }, logins...)
}

// get returns what is remembered, or reads; whoever wants the same meanwhile waits for it.
func (p *PullSecrets) get(ctx context.Context, key pullKey) (pulled, error) {
	if known, found := p.recall(key); found {
		return known, nil
	}
	done := p.reading.DoChan(key.String(), func() (any, error) {
		if known, found := p.recall(key); found { // whoever read a moment ago has ended
			return known, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		one, err := p.read(ctx, key)
		if err == nil {
			p.keep(key, one)
		}
		return one, err
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return pulled{}, r.Err
		}
		return r.Val.(pulled), nil
	case <-ctx.Done():
		return pulled{}, fmt.Errorf("%v: %w", key, context.Cause(ctx))
	}
}

func (p *PullSecrets) read(ctx context.Context, key pullKey) (pulled, error) {
	now := p.now()
	resource := schema.GroupVersionResource{Version: "v1", Resource: key.resource}
	object, err := p.client.Resource(resource).Namespace(key.namespace).Get(ctx, key.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return pulled{read: now, until: now.Add(pullMissingTTL)}, nil
	case err != nil:
		return pulled{}, fmt.Errorf("%v: %w", key, err)
	}
	one := pulled{read: now, until: now.Add(pullTTL)}
	if key.resource == "serviceaccounts" {
		if one.secrets = secretsOf(object); len(one.secrets) == 0 {
			one.until = now.Add(pullMissingTTL)
		}
	} else {
		one.logins, err = readPullSecret(object)
	}
	if err != nil {
		return pulled{}, fmt.Errorf("%v: %w", key, err)
	}
	for _, name := range one.secrets {
		one.size += len(name)
	}
	for i := range one.logins {
		one.size += len(one.logins[i].Username) + len(one.logins[i].Password) + len(one.logins[i].String())
	}
	return one, nil
}

// secretsOf returns the names of a service account's pull secrets.
func secretsOf(account *unstructured.Unstructured) []string {
	list, _, _ := unstructured.NestedSlice(account.Object, "imagePullSecrets")
	var names []string
	for _, item := range list {
		if one, ok := item.(map[string]any); ok {
			if name, _ := one["name"].(string); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// readPullSecret reads a secret of one of the two types for pull secrets. One of another type has no logins. What cannot be read is an
// error, since the kubelet pulls nothing with it either.
func readPullSecret(secret *unstructured.Unstructured) ([]trust.Login, error) {
	kind, _, _ := unstructured.NestedString(secret.Object, "type")
	var key string
	read := trust.ReadDockerConfig
	switch kind {
	case "kubernetes.io/dockerconfigjson":
		key = ".dockerconfigjson"
	case "kubernetes.io/dockercfg":
		key, read = ".dockercfg", trust.ReadDockerCfg
	default:
		return nil, nil
	}
	text, found, _ := unstructured.NestedString(secret.Object, "data", key)
	if !found {
		return nil, nil
	}
	if base64.StdEncoding.DecodedLen(len(text)) > maxPullSecret+2 {
		return nil, fmt.Errorf("%s has more than the %d bytes that are read", key, maxPullSecret)
	}
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New(key + " is no base64")
	}
	logins, err := read(content)
	if err != nil {
		return nil, fmt.Errorf("%s %w", key, err)
	}
	return logins, nil
}

func (p *PullSecrets) recall(key pullKey) (pulled, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, found := p.kept[key]
	return one, found && p.now().Before(one.until)
}

// keep makes room by what has ended, or else by whatever comes first: whoever may create objects names service accounts.
func (p *PullSecrets) keep(key pullKey, one pulled) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(key)
	full := func() bool { return len(p.kept) >= maxPullKept || p.size+one.size > maxPullBytes }
	if full() {
		now := p.now()
		for other, known := range p.kept {
			if !now.Before(known.until) {
				p.forget(other)
			}
		}
	}
	for other := range p.kept {
		if !full() {
			break
		}
		p.forget(other)
	}
	p.kept[key] = one
	p.size += one.size
}

// forget is called with mu held.
func (p *PullSecrets) forget(key pullKey) {
	p.size -= p.kept[key].size
	delete(p.kept, key)
}

// drop forgets what a registry did not take, unless it was read a moment ago.
func (p *PullSecrets) drop(keys []pullKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range keys {
		if one, found := p.kept[key]; found && !p.now().Before(one.read.Add(pullLeast)) {
			p.forget(key)
		}
	}
}
