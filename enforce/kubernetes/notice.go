package kubernetes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
)

// Reasons of Events.
const (
	reasonDenied      = "ImageDenied"
	reasonUndecided   = "ImageNotDecided"    // it could not be told, and was denied
	reasonWouldRefuse = "ImageWouldBeDenied" // by a policy that only warns or audits
)

// notice has Events written about what was refused, and what would have been. An object that is allowed passes both paths and is told of
// once, by the one that comes last, when it has a uid by which people find its Events. Dry runs leave nothing behind.
func (h *Handler) notice(r *review, verdicts map[string]*engine.Verdict, refused []denied, mutates bool) {
	if h.config.Events == nil || r.dryRun || r.namespace == "" {
		return
	}
	var about objectRef
	tell := func(reason, image, policy, note string) {
		if about.kind == "" {
			about = r.noticed()
		}
		m := matter{namespace: r.namespace, object: about, reason: reason, image: bounded(image, maxEventNote), policy: policy}
		h.config.Events.tell(happening{matter: m, note: bounded(note, maxEventNote)})
	}
	if len(refused) > 0 {
		for _, d := range refused[:min(len(refused), maxRefused)] {
			reason, note := d.event()
			tell(reason, d.image.Text, d.verdict.Policy, note)
		}
		return
	}
	if mutates {
		return
	}
	told := 0
	for text, v := range verdicts {
		for _, d := range wouldRefuse(v) {
			if told++; told <= maxRefused {
				tell(reasonWouldRefuse, text, d.Policy, fmt.Sprintf("Container image %s%s would be denied by policy %s (%s): %s", enforce.Plain(text), in(r.containers(text)), d.Policy, d.Mode, d.Reason))
			}
		}
	}
}

func in(containers string) string {
	if containers == "" {
		return ""
	}
	return " (" + containers + ")"
}

// event is the reason and the text of an Event about an image that may not run.
func (d *denied) event() (reason, note string) {
	v := d.verdict
	reason, what := reasonDenied, "may not run"
	if m := enforce.Of(v); m == enforce.CannotTell || m == enforce.Bug {
		reason, what = reasonUndecided, "could not be decided about"
	}
	by := ""
	if v.Policy != "" {
		by = " by policy " + v.Policy
	}
	return reason, fmt.Sprintf("Container image %s%s %s%s: %s; next: %s", enforce.Plain(d.image.Text), in(d.image.Container), what, by, enforce.Reason(v), enforce.Next(v))
}

// wouldRefuse returns the decisions of policies that would refuse if they enforced.
func wouldRefuse(v *engine.Verdict) []*engine.Decision {
	var all []*engine.Decision
	one := func(d *engine.Decision) {
		if (d.Mode == "warn" || d.Mode == "audit") && d.Outcome != engine.Allowed && d.Outcome != engine.NoOpinion {
			all = append(all, d)
		}
	}
	one(&v.Decision)
	for i := range v.Also {
		one(&v.Also[i])
	}
	return all
}

// heading is what is read of an object to find where people look for its Events. Nothing is decided by it.
type heading struct {
	apiVersion, name, generateName, uid string
	owner                               objectRef // its controller, by its own word
}

// noticed is the object whose Events people look at: the one that made this one, or this one.
//
// Whoever makes an object can name any owner in it, and would have Assay write under the names of others. Only Kubernetes' own controllers
// are believed, whose name is the API server's word; and an Event is always of the namespace of the object.
func (r *review) noticed() objectRef {
	var h heading
	s := &scanner{data: r.object.raw}
	_ = h.read(s) // what was read before an error is there
	if ofController(r.user) && ownerKind(h.owner) {
		return h.owner
	}
	o := objectRef{apiVersion: bounded(h.apiVersion, maxObjectName), kind: r.kind.kind, name: h.name, uid: bounded(h.uid, maxObjectName)}
	for _, name := range []string{r.name, strings.TrimSuffix(h.generateName, "-"), "unnamed"} {
		if o.name == "" {
			o.name = name
		}
	}
	o.name = bounded(o.name, maxObjectName)
	return o
}

// ofController reports whether a user is one of Kubernetes' own controllers.
func ofController(user string) bool {
	return user == "system:kube-controller-manager" || strings.HasPrefix(user, "system:serviceaccount:kube-system:")
}

// ownerKind reports whether an owner is something that makes pods, or makes what makes them, and is named as a whole.
func ownerKind(o objectRef) bool {
	if o.name == "" || len(o.name) > maxObjectName || o.uid == "" || len(o.uid) > maxObjectName || len(o.apiVersion) > maxObjectName {
		return false
	}
	group, _, found := strings.Cut(o.apiVersion, "/")
	if !found {
		group = ""
	}
	return slices.Contains([]kindKey{
		{"", "ReplicationController"}, {"apps", "Deployment"}, {"apps", "ReplicaSet"}, {"apps", "StatefulSet"}, {"apps", "DaemonSet"}, {"batch", "Job"}, {"batch", "CronJob"},
	}, kindKey{group, o.kind})
}

func (h *heading) read(s *scanner) error {
	return s.object(func(name []byte) (err error) {
		switch string(name) {
		case "apiVersion":
			h.apiVersion, err = s.text()
		case "metadata":
			err = h.metadata(s)
		default:
			err = s.skip()
		}
		return err
	})
}

func (h *heading) metadata(s *scanner) error {
	if s.null() {
		return nil
	}
	return s.object(func(name []byte) (err error) {
		switch string(name) {
		case "name":
			h.name, err = s.text()
		case "generateName":
			h.generateName, err = s.text()
		case "uid":
			h.uid, err = s.text()
		case "ownerReferences":
			if !s.null() {
				err = s.list(func(int) error { return h.reference(s) })
			}
		default:
			err = s.skip()
		}
		return err
	})
}

func (h *heading) reference(s *scanner) error {
	var o objectRef
	controller := false
	err := s.object(func(name []byte) (err error) {
		switch string(name) {
		case "apiVersion":
			o.apiVersion, err = s.text()
		case "kind":
			o.kind, err = s.text()
		case "name":
			o.name, err = s.text()
		case "uid":
			o.uid, err = s.text()
		case "controller":
			controller, err = s.truth()
		default:
			err = s.skip()
		}
		return err
	})
	if controller {
		h.owner = o
	}
	return err
}
