package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// watchRate is how many requests a second the watches may begin with, and watchBurst how many at once: each file is a watch of its own.
const (
	watchRate  = 50
	watchBurst = 100
)

// The kinds of policies, and the names of their resources in requests.
const (
	TrustPolicy          = "TrustPolicy"
	NamespaceTrustPolicy = "NamespaceTrustPolicy"
)

var policyResources = map[string]schema.GroupVersionResource{
	TrustPolicy:          {Group: "assay.dev", Version: "v1", Resource: "trustpolicies"},
	NamespaceTrustPolicy: {Group: "assay.dev", Version: "v1", Resource: "namespacetrustpolicies"},
}

// Policy is a policy as the API server has it. It must not be written to.
type Policy struct {
	Kind       string
	Namespace  string // "" for a TrustPolicy
	Name       string
	UID        string // another one for an object that was deleted and made again
	Generation int64  // counts the changes of the spec
	Version    string // of the whole object, for SetStatus
	Created    time.Time
	JSON       []byte      // the object without its status, and without all of its metadata but name and namespace
	Conditions []Condition // of its status, as far as they can be read
}

// ID names the object among all policies.
func (p *Policy) ID() string { return p.Kind + " " + p.Path() }

// Path is NAMESPACE/NAME, or NAME where there is no namespace.
func (p *Policy) Path() string {
	if p.Namespace == "" {
		return p.Name
	}
	return p.Namespace + "/" + p.Name
}

// Policies knows all policies of the cluster. It needs to be allowed to list and watch them, and to patch their status.
type Policies struct {
	client  dynamic.Interface // for the status, with the client's usual rate
	watches []*latest[Policy]
	changes chan struct{}
}

// Policies prepares the watch.
func (c *Cluster) Policies() (*Policies, error) {
	watching, err := c.watchClient()
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return nil, fmt.Errorf("client of Kubernetes: %w", err)
	}
	p := &Policies{client: client, changes: make(chan struct{}, 1)}
	for _, kind := range []string{TrustPolicy, NamespaceTrustPolicy} {
		p.watches = append(p.watches, &latest[Policy]{
			what: policyResources[kind].Resource, lists: listsOf(watching.Resource(policyResources[kind]), ""),
			read: readPolicy(kind), changed: p.notify, log: c.log, answered: make(chan struct{}),
		})
	}
	return p, nil
}

// watchClient returns a client that may begin many watches at once.
func (c *Cluster) watchClient() (dynamic.Interface, error) {
	config := rest.CopyConfig(c.config)
	config.QPS, config.Burst = watchRate, watchBurst
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of Kubernetes: %w", err)
	}
	return client, nil
}

// Run watches until ctx ends.
func (p *Policies) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, w := range p.watches {
		group.Go(func() { w.run(ctx) })
	}
	group.Wait()
}

// Changed has an item after policies, their status or what is known about the watch may have changed, one for many changes.
func (p *Policies) Changed() <-chan struct{} { return p.changes }

func (p *Policies) notify() {
	select {
	case p.changes <- struct{}{}:
	default:
	}
}

// List returns all policies, the oldest first, and whether these are all: before the first list of both kinds nobody knows.
func (p *Policies) List() (all []Policy, complete bool) {
	complete = true
	for _, w := range p.watches {
		some, listed := w.all()
		all = append(all, some...)
		complete = complete && listed
	}
	slices.SortFunc(all, func(a, b Policy) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID(), b.ID()))
	})
	return all, complete
}

// Silence returns how long ago the API server last told of policies; 0 while the watches stand.
func (p *Policies) Silence() time.Duration {
	longest := time.Duration(0)
	for _, w := range p.watches {
		longest = max(longest, w.contact.silence())
	}
	return longest
}

// readPolicy keeps of an object what counts.
func readPolicy(kind string) func(*unstructured.Unstructured) Policy {
	return func(o *unstructured.Unstructured) Policy {
		p := Policy{
			Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), UID: string(o.GetUID()), Generation: o.GetGeneration(),
			Version: o.GetResourceVersion(), Created: o.GetCreationTimestamp().Time, Conditions: readConditions(o),
		}
		document := map[string]any{}
		for key, value := range o.Object {
			document[key] = value
		}
		delete(document, "status")
		metadata := map[string]any{"name": p.Name}
		if p.Namespace != "" {
			metadata["namespace"] = p.Namespace
		}
		document["metadata"] = metadata
		var err error
		if p.JSON, err = json.Marshal(document); err != nil {
			p.JSON = nil // which no parser takes; what was read as JSON can be written as JSON
		}
		return p
	}
}
