package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
	"github.com/assay-dev/assay/policy"
)

// Limits of policies that are objects of a cluster.
const (
	maxTrustPolicies          = 1000             // of the cluster
	maxNamespaceTrustPolicies = 100              // of one namespace
	maxNamespacePolicyBytes   = 256 << 10        // of all in one namespace, as JSON: what is read of them takes many times that
	maxFilesOfPolicy          = 64               // Secrets and ConfigMaps that one policy names
	resourcesTimeout          = 20 * time.Second // for all files that are not known yet
	tenantsTimeout            = 2 * time.Second  // for those of namespaces, once everything was looked at
	resourcesEvery            = time.Minute      // how often everything is looked at without a change
)

// resources is the source of policies that are objects of a cluster. Each object is judged by itself: one that cannot be used takes nothing
// from the others, and not from what was in force of itself.
type resources struct {
	server   *server
	policies *cluster.Policies
	files    *cluster.Files
	own      string // Assay's namespace; "": unknown
	formats  []string
	part     *policyPart
	status   *statusWriter // nil: only read
	copy     *lastGood     // nil: nothing is kept on disk

	known  map[string]*resource // by the ID of the object; run alone touches it
	loaded chan struct{}        // closed when all of them were looked at once
	ready  atomic.Bool          // the same
}

// resource is one object, and what became of it.
type resource struct {
	object  cluster.Policy
	good    *policy.Policy // the last version that could be used; nil: none since the start
	from    document       // what good was made of
	standIn *policy.Policy // where none is good
	verdict                // about the version that is there now
	since   time.Time      // when that was looked at first
	stale   bool           // its trust material was, in the words of this server
	files   map[cluster.FileObject]string
}

// document is what a policy was made of: the object, and the content of what it names.
type document struct {
	object []byte
	files  map[string][]byte
}

// verdict is whether a version of an object can be used. The zero value can.
type verdict struct {
	reason string // a word for the condition
	err    error
}

// Reasons of the condition Accepted.
const (
	reasonAccepted = "Accepted"
	reasonInvalid  = "Invalid"         // the document is wrong
	reasonFile     = "FileUnavailable" // something that it names cannot be read
	reasonName     = "NameTaken"       // a file of --policy has a policy of the same name
	reasonTooMany  = "TooMany"
)

var errPoliciesUnknown = errors.New("the policies of the cluster are not known yet")

// newResources makes the source. Until all objects were looked at, nothing can be told.
func (s *server) newResources(api *cluster.Cluster, own string) (*resources, error) {
	r := &resources{server: s, own: own, formats: formatNames(), known: map[string]*resource{}, loaded: make(chan struct{})}
	var err error
	if r.policies, err = api.Policies(); err != nil {
		return nil, err
	}
	if r.files, err = api.Files(own); err != nil {
		return nil, err
	}
	r.status = &statusWriter{policies: r.policies, log: s.log, now: s.app.now, jitter: s.app.pace.orUsual().jitter, wake: make(chan struct{}, 1)}
	r.part = s.policies.part()
	unknown := policy.StandIn(policy.Source{Name: "the cluster", Object: true}, "", "(of the cluster)", errPoliciesUnknown)
	return r, r.part.use([]*policy.Policy{unknown})
}

// run looks at the objects whenever something of them has changed, until ctx ends.
func (r *resources) run(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { r.policies.Run(ctx) })
	group.Go(func() { r.files.Run(ctx) })
	if r.status != nil {
		group.Go(func() { r.status.run(ctx) })
	}
	ticker := time.NewTicker(resourcesEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.policies.Changed():
		case <-r.files.Changed():
		case <-ticker.C:
		}
		if !r.settle(ctx) {
			return
		}
		if bug := enforce.Guard(func() { r.look(ctx) }); bug != nil {
			r.server.metrics.bugs.Inc()
			r.server.log.Error("bug", "error", bug.Error(), "stack", string(bug.Stack))
		}
	}
}

// settle collects what comes within a moment, so that many changes are one; false: ctx has ended.
func (r *resources) settle(ctx context.Context) bool {
	timer := time.NewTimer(r.server.app.pace.orUsual().settle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-r.policies.Changed():
		case <-r.files.Changed():
		case <-timer.C:
			return true
		}
	}
}

// look puts in force what is good of the objects as they are now, and what was good of the others.
func (r *resources) look(ctx context.Context) {
	objects, complete := r.policies.List()
	if !complete {
		return
	}
	reading, cancel := context.WithTimeout(ctx, resourcesTimeout)
	defer cancel()
	clusterFirst(objects)
	next := make(map[string]*resource, len(objects))
	wanted := map[cluster.FileObject]bool{}
	taken, used := r.part.others(), map[string]usage{}
	patient := !r.ready.Load() // else what the cluster's policies say does not wait for files of namespaces
	for i := range objects {
		o := &objects[i]
		if o.Namespace != "" && !patient {
			patient = true // for as long as this one bound says
			reading, cancel = context.WithTimeout(reading, tenantsTimeout)
			defer cancel()
		}
		used[o.Namespace] = used[o.Namespace].with(o)
		x := r.judge(reading, o, taken[o.Path()], used[o.Namespace])
		next[o.ID()] = x
		for file := range x.files {
			wanted[file] = true
		}
	}
	if ctx.Err() != nil {
		return // the files of some could not be read because the server ends
	}
	r.known = next
	r.files.Keep(wanted)
	if err := r.part.use(r.inForce(objects)); err != nil { // somebody took a name just now, or a bug
		r.server.log.Error("policies of the cluster cannot be used; what was in force before stays", "error", enforce.Plain(err.Error()))
		return
	}
	r.decides()
	r.tell(objects)
	r.keep(objects)
}

// decides says that all policies of the cluster are in force, by what the API server tells or by a copy of it.
func (r *resources) decides() {
	if !r.ready.Swap(true) {
		close(r.loaded)
	}
}

// clusterFirst puts the policies of the cluster before those of namespaces.
func clusterFirst(objects []cluster.Policy) {
	slices.SortStableFunc(objects, func(a, b cluster.Policy) int {
		return cmp.Compare(min(len(a.Namespace), 1), min(len(b.Namespace), 1))
	})
}

// usage is how many policies a namespace has up to one, and how many bytes they take.
type usage struct{ objects, bytes int }

func (u usage) with(o *cluster.Policy) usage { return usage{u.objects + 1, u.bytes + len(o.JSON)} }

// inForce returns what decides for the objects, each by a version of itself or by what stands for it. Of those that are too many for a
// namespace, one stands for all.
func (r *resources) inForce(objects []cluster.Policy) []*policy.Policy {
	var all []*policy.Policy
	full := map[string]bool{}
	for i := range objects {
		x := r.known[objects[i].ID()]
		if x.reason == reasonTooMany {
			if full[x.object.Namespace] {
				continue
			}
			full[x.object.Namespace] = true
		}
		all = append(all, x.inForce())
	}
	return all
}

// inForce returns what decides for an object.
func (x *resource) inForce() *policy.Policy {
	if x.good != nil && x.standIn == nil {
		return x.good
	}
	return x.standIn
}

// judge decides about an object as it is now. file is where another policy of its name comes from, if there is one; used is what its namespace
// has up to it.
func (r *resources) judge(ctx context.Context, o *cluster.Policy, file string, used usage) *resource {
	old := r.known[o.ID()]
	if old != nil && old.object.UID != o.UID {
		old = nil // it was deleted, and made again: what was good of the other says nothing of this one
	}
	early := r.early(o, file, used)
	if old != nil && bytes.Equal(old.object.JSON, o.JSON) && sameVerdict(old.verdict, early) && r.sameFiles(old) {
		old.object = *o
		return old
	}
	x := &resource{object: *o, verdict: early, since: r.server.app.now(), files: map[cluster.FileObject]string{}}
	if old != nil {
		x.good, x.from = old.good, old.from
	}
	source := policy.Source{Name: o.ID(), Data: o.JSON, Object: true}
	if x.err == nil {
		r.try(ctx, x, source)
	}
	x.stand(source)
	if x.err != nil && (old == nil || old.err == nil || old.err.Error() != x.err.Error()) {
		r.server.log.Error("policy cannot be used", "policy", o.ID(), "generation", o.Generation, "before", x.before(), "error", enforce.Plain(x.err.Error()))
	}
	return x
}

// stand puts in the place of a version that cannot be used what stands for it, where nothing good is known.
func (x *resource) stand(source policy.Source) {
	switch {
	case x.reason == reasonName: // two policies of one name cannot be told apart in verdicts
		x.good = nil
		x.standIn = policy.StandIn(source, x.object.Namespace, x.object.ID(), x.err)
	case x.reason == reasonTooMany:
		x.good = nil
		x.standIn = policy.StandIn(policy.Source{Name: x.object.ID(), Object: true}, x.object.Namespace, x.object.Name, x.err)
	case x.good == nil:
		x.standIn = policy.StandIn(source, x.object.Namespace, x.object.Name, x.err)
	}
}

// before says what decides in place of a version that cannot be used.
func (x *resource) before() string {
	if x.standIn == nil {
		return "what was in force of it stays"
	}
	return "nothing of it is in force: nobody can tell about the images that it speaks about"
}

// early is what can be said about an object before it is read.
func (r *resources) early(o *cluster.Policy, file string, used usage) verdict {
	limit, where := maxTrustPolicies, "the cluster"
	if o.Namespace != "" {
		limit, where = maxNamespaceTrustPolicies, "namespace "+o.Namespace
	}
	switch {
	case used.objects > limit:
		return verdict{reasonTooMany, fmt.Errorf("%s has more than %d policies of this kind, of which this is not one of the oldest", where, limit)}
	case o.Namespace != "" && used.bytes > maxNamespacePolicyBytes:
		return verdict{reasonTooMany, fmt.Errorf("%s has more than %d bytes of policies, to which the oldest of them come", where, maxNamespacePolicyBytes)}
	case file != "":
		return verdict{reasonName, fmt.Errorf("the policy in %s has this name; give one of the two another", file)}
	}
	return verdict{}
}

// sameVerdict reports whether what can be said early is what was said before.
func sameVerdict(before, early verdict) bool {
	if before.reason != reasonName && before.reason != reasonTooMany {
		return early.err == nil
	}
	return before.reason == early.reason && before.err.Error() == early.err.Error()
}

func (r *resources) sameFiles(x *resource) bool {
	for file, version := range x.files {
		if r.files.Version(file) != version {
			return false
		}
	}
	return true
}

// try reads an object, and what it names.
func (r *resources) try(ctx context.Context, x *resource, source policy.Source) {
	missing := false
	read := map[string][]byte{} // a version means the same whenever it is compiled
	source.ReadFile = func(name string) ([]byte, error) {
		if content, found := read[name]; found {
			return content, nil
		}
		content, err := r.readFile(ctx, x, name)
		if err != nil {
			missing = true
			return nil, err
		}
		read[name] = content
		return content, nil
	}
	var p *policy.Policy
	bug := enforce.Guard(func() {
		if p, x.err = policy.Parse(source, r.formats); x.err == nil {
			x.err = r.server.engine.Check(p)
		}
	})
	switch {
	case bug != nil:
		x.reason, x.err = reasonInvalid, bug
	case x.err != nil && missing:
		x.reason = reasonFile
	case x.err != nil:
		x.reason = reasonInvalid
	default:
		x.good, x.from = p, document{source.Data, read}
	}
}

// readFile reads what an object names in place of a file, from its own namespace, or from Assay's if it has none.
func (r *resources) readFile(ctx context.Context, x *resource, name string) ([]byte, error) {
	f, err := policy.ParseObjectFile(name)
	if err != nil {
		return nil, err
	}
	o := cluster.FileObject{Namespace: x.object.Namespace, Kind: f.Kind, Name: f.Name}
	if o.Namespace == "" {
		o.Namespace = r.own
	}
	if o.Namespace == "" {
		return nil, fmt.Errorf("%s: Assay does not know its own namespace; --own-namespace names it", name)
	}
	if _, known := x.files[o]; !known && len(x.files) >= maxFilesOfPolicy {
		return nil, fmt.Errorf("%s: a policy names at most %d Secrets and ConfigMaps", name, maxFilesOfPolicy)
	}
	content, version, err := r.files.Read(ctx, o, f.Key)
	if before, again := x.files[o]; again && before != version {
		version = "changed while it was read" // so that it is read once more
	}
	x.files[o] = version
	return content, err
}
