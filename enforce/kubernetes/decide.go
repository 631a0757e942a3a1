package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
)

// podKind is the kind that runs.
var podKind = kindKey{kind: "Pod"}

// point is this point's name in policies.
const point = "kubernetes"

// decide reads a review into r and answers it.
func (h *Handler) decide(ctx context.Context, body []byte, r *review, pin bool) answer {
	if len(body) > MaxReview {
		h.config.Refused("too-large")
		_ = h.decoder.decode(body, r) // for the uid only: it must fail, because the end is missing
		return refusal(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("the review of this object has more than %d bytes, and images in the rest of it would not be seen", MaxReview))
	}
	err := h.decoder.decode(body, r)
	switch {
	case r.complete && h.exempt(r):
		return answer{allowed: true, audit: map[string]string{"exempt": "namespace " + r.namespace}}
	case err != nil:
		return h.unread(r, err)
	case r.operation == deletion || r.operation == connection || r.unchanged() || len(r.object.images) == 0:
		return answer{allowed: true}
	}
	logins, err := h.logins(ctx, r)
	if err != nil {
		h.config.Refused("pull-secrets-unknown")
		return refusal(http.StatusServiceUnavailable, fmt.Sprintf(
			"could not tell with which pull secrets images are pulled in namespace %s: %v\nnext: try again when the cause is gone", r.namespace, err))
	}
	requests, err := h.requests(ctx, r, logins)
	if err != nil {
		h.config.Refused("namespace-unknown")
		return refusal(http.StatusServiceUnavailable, fmt.Sprintf(
			"could not tell which policies hold in namespace %s: %v\nnext: try again when the cause is gone", r.namespace, err))
	}
	verdicts := h.config.Point.DecideFor(ctx, r.occasion(), requests...)
	return h.judge(r, requests, verdicts, pin)
}

func (h *Handler) exempt(r *review) bool {
	return r.namespace != "" && slices.Contains(h.config.Exempt, r.namespace)
}

// unread is the answer to a review that cannot be decided about.
func (h *Handler) unread(r *review, err error) answer {
	var unknown *unknownKindError
	var large *largeObjectError
	switch {
	case errors.As(err, &unknown) && h.config.InsecureAllowUnknownKinds:
		return answer{allowed: true, audit: map[string]string{"unknown-kind": unknown.kind.String()}}
	case errors.As(err, &unknown):
		h.config.Refused("kind-unknown")
		return refusal(http.StatusForbidden, fmt.Sprintf(
			"%v, and the webhook's rules send it %s\nnext: ask whoever runs Assay to take %s out of the rules of the webhook, or to name the path of its images",
			err, r.resource, r.resource))
	case errors.As(err, &large):
		h.config.Refused("too-large")
		return refusal(http.StatusRequestEntityTooLarge, err.Error())
	}
	h.config.Refused("unreadable")
	return refusal(http.StatusBadRequest, fmt.Sprintf("Assay cannot read this object: %v", err))
}

// requests asks about each image of the object once. Of more images than are decided about it takes one too many, which denies all of them.
func (h *Handler) requests(ctx context.Context, r *review, logins engine.Logins) ([]engine.Request, error) {
	var labels map[string]string
	if r.namespace != "" {
		var err error
		if labels, err = h.config.Namespaces.Labels(ctx, r.namespace); err != nil {
			return nil, err
		}
		if labels == nil {
			labels = map[string]string{} // it is known that there are none
		}
	}
	requests := make([]engine.Request, 0, min(len(r.object.images), enforce.MaxImages+1))
	for _, i := range r.object.images {
		if slices.ContainsFunc(requests, func(q engine.Request) bool { return q.Image == i.Text }) {
			continue
		}
		if len(requests) > enforce.MaxImages {
			break
		}
		q := engine.Request{Image: i.Text, Logins: logins}
		q.Point = point
		q.Namespace, q.NamespaceLabels, q.HasNamespace = r.namespace, labels, r.namespace != ""
		requests = append(requests, q)
	}
	return requests, nil
}

// maxContainers is how many containers of one image are named in the record.
const maxContainers = 16

// fewImages is how many images are looked through for each of them; of more a table is made.
const fewImages = 32

// occasion is what the record says of a review beside its images.
func (r *review) occasion() *enforce.Occasion {
	return &enforce.Occasion{
		RequestID: enforce.RequestID(r.uid), User: r.user, Operation: string(r.operation), Kind: r.kind.String(), Name: r.name,
		Containers: r.containers,
	}
}

// containers names the containers and volumes that have an image.
func (r *review) containers(image string) string {
	if len(r.object.images) > fewImages {
		if r.users == nil {
			r.users = map[string][]string{}
			for i := range r.object.images {
				one := &r.object.images[i]
				if names := r.users[one.Text]; one.Container != "" && len(names) <= maxContainers {
					r.users[one.Text] = append(names, one.Container)
				}
			}
		}
		return listed(r.users[image])
	}
	var names []string
	for i := range r.object.images {
		if one := &r.object.images[i]; one.Text == image && one.Container != "" {
			names = append(names, one.Container)
		}
	}
	return listed(names)
}

func listed(names []string) string {
	if len(names) > maxContainers {
		return strings.Join(names[:maxContainers], ",") + ",…"
	}
	return strings.Join(names, ",")
}

// judge turns the verdicts into the answer. This is the one place where verdicts become admission.
func (h *Handler) judge(r *review, requests []engine.Request, verdicts []engine.Verdict, pin bool) answer {
	byText := make(map[string]*engine.Verdict, len(verdicts))
	for i := range requests {
		if i < len(verdicts) {
			byText[requests[i].Image] = &verdicts[i]
		}
	}
	var a answer
	var refused []denied
	pins := pin && h.pins(r)
	for n, i := range r.object.images {
		v := byText[i.Text]
		if v == nil {
			v = &engine.Verdict{Image: i.Text}
		}
		if r.kind == podKind && another(i, v) && (!pins || r.operation == update && r.kept(n)) {
			h.config.Refused("not-pinned")
			v = insteadOf(v)
		}
		if enforce.Of(v) != enforce.Yes {
			refused = append(refused, denied{image: i, verdict: v})
		}
		a.tell(i, v)
	}
	h.notice(r, byText, refused, pin)
	if len(refused) > 0 || len(verdicts) != len(requests) {
		a.refuse(refused)
		return a
	}
	a.allowed = true
	if pins {
		a.patch = patch(r, func(i Image) string { return byText[i.Text].Pin }, h.config.SighupAnnotation)
	}
	return a
}

func (h *Handler) pins(r *review) bool {
	switch h.config.Pin {
	case PinAll:
		return true
	case PinPods:
		return r.kind == podKind
	}
	return false
}

// another reports whether an image is allowed only because another digest is to run in place of what its text stands for: the child of an
// index for which alone somebody vouches, or what a rule puts in the place of a digest. Any other tag may stand unpinned: whoever leaves it
// so has it move.
func another(i Image, v *engine.Verdict) bool {
	return v.Allowed && (v.Child || strings.Contains(i.Text, "@")) && v.Pin != "" && v.Pin != i.Text
}

// insteadOf is the denial of an image that nobody replaces by the one that may run in its place: what a pod has is what runs.
func insteadOf(v *engine.Verdict) *engine.Verdict {
	denied := *v
	denied.Allowed, denied.Outcome = false, engine.Denied
	denied.Reason = "somebody vouches for " + v.Pin + " only, which would have to stand here"
	if v.Child {
		denied.Reason += ": it is one platform of what would run"
	}
	return &denied
}
