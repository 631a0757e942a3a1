package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/assay-dev/assay/atomicfile"
	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
	"github.com/assay-dev/assay/policy"
)

// Limits of the copy of the cluster's policies that a node keeps.
const (
	maxPolicyCopy = 256 << 20 // bytes of the file
	copyForm      = 1         // another form is not read
)

// lastGood is the copy on disk of what decides of the cluster's policies. A node starts with it where the API server cannot be asked: the API
// server itself may be a pod of that node.
//
// The time of the file is when the API server last said the same. It has what Secrets had that policies name, so that only its owner may
// read it; what somebody else could have written is not read.
type lastGood struct {
	file    string
	now     func() time.Time
	written [sha256.Size]byte         // of the content on disk; zero: unknown
	failed  string                    // to write, as it was logged last
	inForce atomic.Pointer[time.Time] // the time of the copy that decides; nil: the API server has told since
}

// policyCopy is the content of the file.
type policyCopy struct {
	Form     int            `json:"form"`
	Policies []copiedPolicy `json:"policies"`
}

// copiedPolicy is one object. Good is the version that decides, with the content of what it names; without it nobody can tell what the policy
// says, for the reason Error.
type copiedPolicy struct {
	Kind       string            `json:"kind"`
	Namespace  string            `json:"namespace,omitempty"`
	Name       string            `json:"name"`
	UID        string            `json:"uid"`
	Generation int64             `json:"generation"`
	Created    time.Time         `json:"created"`
	Object     []byte            `json:"object"`
	Good       []byte            `json:"good,omitempty"`
	Files      map[string][]byte `json:"files,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	Error      string            `json:"error,omitempty"`
}

// age returns how old the copy is that decides; 0: none does.
func (c *lastGood) age() time.Duration {
	if at := c.inForce.Load(); at != nil {
		return max(c.now().Sub(*at), 0)
	}
	return 0
}

// keep writes what decides for the objects, if it has changed, and else that it was said again.
func (r *resources) keep(objects []cluster.Policy) {
	c := r.copy
	if c == nil {
		return
	}
	if c.inForce.Swap(nil) != nil {
		r.server.log.Info("the policies of the cluster are those that the API server tells again")
	}
	if err := c.write(r.copied(objects), r.policies.Silence() == 0 && r.files.Silence() == 0); err != nil {
		r.server.metrics.loaded("policies-copy", err)
		if text := err.Error(); text != c.failed {
			c.failed = text
			r.server.log.Error("the copy of the cluster's policies cannot be kept; a start without the API server would have the one before, or none", "error", enforce.Plain(text))
		}
		return
	}
	c.failed = ""
	r.server.metrics.loaded("policies-copy", nil)
}

// copied returns what is to be kept, in an order that stays the same.
func (r *resources) copied(objects []cluster.Policy) policyCopy {
	all := policyCopy{Form: copyForm, Policies: make([]copiedPolicy, 0, len(objects))}
	for i := range objects {
		o := &objects[i]
		x := r.known[o.ID()]
		one := copiedPolicy{
			Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, UID: o.UID, Generation: o.Generation, Created: o.Created, Object: o.JSON, Reason: x.reason,
		}
		if x.err != nil {
			one.Error = x.err.Error()
		}
		if x.good != nil && x.standIn == nil {
			one.Good, one.Files = x.from.object, x.from.files
		}
		all.Policies = append(all.Policies, one)
	}
	return all
}

// write writes a copy; current says that the API server stands by it now.
func (c *lastGood) write(all policyCopy, current bool) error {
	content, err := json.Marshal(all)
	switch {
	case err != nil:
		return err
	case len(content) > maxPolicyCopy:
		return fmt.Errorf("%s: the policies of the cluster take %d bytes, which is more than %d", c.file, len(content), maxPolicyCopy)
	}
	if sum := sha256.Sum256(content); sum != c.written || !c.there() {
		if err := os.MkdirAll(filepath.Dir(c.file), 0o700); err != nil {
			return err
		}
		if err := atomicfile.Write(c.file, content); err != nil {
			return err
		}
		c.written = sum
	}
	if !current {
		return nil
	}
	now := c.now()
	return os.Chtimes(c.file, now, now)
}

// there reports whether the file is.
func (c *lastGood) there() bool {
	info, err := os.Lstat(c.file)
	return err == nil && info.Mode().IsRegular()
}

// recall puts the copy in force until the API server tells. Without one, or with one that cannot be read, nobody can tell what the policies of
// the cluster say.
func (r *resources) recall() {
	all, at, err := r.copy.read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.server.log.Info("no copy of the cluster's policies: until the API server tells of them, nobody can tell", "file", r.copy.file)
		return
	case err == nil:
		err = r.obey(all)
	}
	if err != nil {
		r.server.metrics.loaded("policies-copy", err)
		r.server.log.Error("the copy of the cluster's policies cannot be used: until the API server tells of them, nobody can tell", "error", enforce.Plain(err.Error()))
		return
	}
	r.server.metrics.loaded("policies-copy", nil)
	r.copy.inForce.Store(&at)
	r.decides()
	r.server.log.Warn("the policies of the cluster are those of the last good copy, until the API server tells of them", "policies", len(all.Policies), "age", r.copy.age().Round(time.Second).String())
}

// read reads the file, and when the API server last stood by it.
func (c *lastGood) read() (policyCopy, time.Time, error) {
	var all policyCopy
	info, err := os.Lstat(c.file)
	switch {
	case err != nil:
		return all, time.Time{}, err
	case !info.Mode().IsRegular():
		return all, time.Time{}, fmt.Errorf("%s: is no plain file", c.file)
	}
	err = guardedMode(info)
	if err == nil {
		err = ownFile(info)
	}
	if err != nil {
		return all, time.Time{}, fmt.Errorf("%s: %w", c.file, err)
	}
	content, err := readLimited(c.file, maxPolicyCopy)
	if err != nil {
		return all, time.Time{}, err
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil {
		return all, time.Time{}, fmt.Errorf("%s: %w", c.file, err)
	}
	if all.Form != copyForm || d.More() {
		return all, time.Time{}, fmt.Errorf("%s: is no copy of policies of form %d", c.file, copyForm)
	}
	c.written = sha256.Sum256(content)
	return all, info.ModTime(), nil
}

// ofCopy stands for the version of a file that is in a copy only, so that the API server is asked for it as soon as it answers.
const ofCopy = "of a copy"

// obey puts a copy in force.
func (r *resources) obey(all policyCopy) error {
	var objects []cluster.Policy
	copies := make(map[string]copiedPolicy, len(all.Policies))
	for _, one := range all.Policies {
		o := cluster.Policy{
			Kind: one.Kind, Namespace: one.Namespace, Name: one.Name, UID: one.UID, Generation: one.Generation, Created: one.Created, JSON: one.Object,
		}
		if _, twice := copies[o.ID()]; twice || one.Kind != cluster.TrustPolicy && one.Kind != cluster.NamespaceTrustPolicy || (one.Namespace == "") != (one.Kind == cluster.TrustPolicy) {
			return fmt.Errorf("%s: names %q wrongly", r.copy.file, o.ID())
		}
		copies[o.ID()] = one
		objects = append(objects, o)
	}
	clusterFirst(objects)
	next := make(map[string]*resource, len(objects))
	taken, used := r.part.others(), map[string]usage{}
	for i := range objects {
		o := &objects[i]
		used[o.Namespace] = used[o.Namespace].with(o)
		next[o.ID()] = r.copiedResource(o, copies[o.ID()], r.early(o, taken[o.Path()], used[o.Namespace]))
	}
	before := r.known
	r.known = next
	if err := r.part.use(r.inForce(objects)); err != nil {
		r.known = before
		return err
	}
	r.tell(objects)
	return nil
}

// copiedResource is an object as a copy has it. It is looked at anew when the API server tells of it, even if it has not changed.
func (r *resources) copiedResource(o *cluster.Policy, one copiedPolicy, early verdict) *resource {
	x := &resource{object: *o, verdict: early, since: r.server.app.now(), files: map[cluster.FileObject]string{{}: ofCopy}}
	if x.err == nil && one.Good != nil {
		source := policy.Source{Name: o.ID(), Data: one.Good, Object: true, ReadFile: func(name string) ([]byte, error) {
			if content, found := one.Files[name]; found {
				return slices.Clone(content), nil
			}
			return nil, fmt.Errorf("%s: is not in the copy", name)
		}}
		var p *policy.Policy
		p, x.err = policy.Parse(source, r.formats)
		if x.err == nil {
			x.err = r.server.engine.Check(p)
		}
		if x.err == nil {
			x.good, x.from = p, document{one.Good, one.Files}
		} else {
			x.reason = reasonInvalid
		}
	}
	if x.err == nil && one.Error != "" {
		x.verdict = verdict{one.Reason, errors.New(one.Error)}
	}
	if x.err == nil && x.good == nil {
		x.verdict = verdict{reasonInvalid, errors.New("the copy has no version of it")}
	}
	x.stand(policy.Source{Name: o.ID(), Data: o.JSON, Object: true})
	return x
}
