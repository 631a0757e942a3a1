package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// ErrChanged says that an object is another one than it was when it was looked at: what is to be written has to be thought over.
var ErrChanged = errors.New("the object has changed")

// maxConditionText is how long the message of a condition may be, in bytes.
const maxConditionText = 4 << 10

// Condition is one condition of an object's status.
type Condition struct {
	Type               string
	Status             bool // True or False; what is not known is False
	Reason             string
	Message            string
	ObservedGeneration int64     // of the spec that it is about
	Since              time.Time // when Status changed last; of a condition that is to be written it is of no account
}

// says reports whether two conditions say the same, whenever they began to.
func (c Condition) says(other Condition) bool {
	c.Since, other.Since = time.Time{}, time.Time{}
	return c == other
}

// Has reports whether p has these conditions, in whatever order. Others that it may have are not Assay's.
func (p *Policy) Has(conditions []Condition) bool {
	for _, c := range conditions {
		if !slices.ContainsFunc(p.Conditions, bounded(c).says) {
			return false
		}
	}
	return true
}

// Condition returns a condition of p by its type; found is false if there is none.
func (p *Policy) Condition(name string) (c Condition, found bool) {
	i := slices.IndexFunc(p.Conditions, func(c Condition) bool { return c.Type == name })
	if i < 0 {
		return Condition{}, false
	}
	return p.Conditions[i], true
}

// bounded cuts a message that is too long to be read.
func bounded(c Condition) Condition {
	if len(c.Message) > maxConditionText {
		c.Message = strings.ToValidUTF8(c.Message[:maxConditionText-len("…")], "") + "…"
	}
	return c
}

// SetStatus writes conditions into the status of p, in one request, and only if p has not changed since it was listed: else the error is
// ErrChanged. If p has these conditions already, nothing is asked. The times of conditions whose status stays are kept.
func (p *Policies) SetStatus(ctx context.Context, policy *Policy, conditions []Condition, now time.Time) error {
	if policy.Has(conditions) {
		return nil
	}
	patch := map[string]any{
		"metadata": map[string]any{"resourceVersion": policy.Version},
		"status":   map[string]any{"conditions": policy.written(conditions, now)},
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("status of %s: %w", policy.ID(), err)
	}
	resource := p.client.Resource(policyResources[policy.Kind]).Namespace(policy.Namespace)
	_, err = resource.Patch(ctx, policy.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: "assay"}, "status")
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return ErrChanged
	case err != nil:
		return fmt.Errorf("status of %s: %w", policy.ID(), err)
	}
	return nil
}

// written returns the conditions as they are to stand in the status, beside those of others.
func (p *Policy) written(conditions []Condition, now time.Time) []metav1.Condition {
	var all []metav1.Condition
	for _, c := range conditions {
		c = bounded(c)
		if old, found := p.Condition(c.Type); found && old.Status == c.Status && !old.Since.IsZero() {
			c.Since = old.Since
		} else {
			c.Since = now
		}
		all = append(all, c.wire())
	}
	for _, c := range p.Conditions {
		if !slices.ContainsFunc(conditions, func(own Condition) bool { return own.Type == c.Type }) {
			all = append(all, c.wire())
		}
	}
	return all
}

func (c Condition) wire() metav1.Condition {
	status := metav1.ConditionFalse
	if c.Status {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{
		Type: c.Type, Status: status, Reason: c.Reason, Message: c.Message, ObservedGeneration: c.ObservedGeneration,
		LastTransitionTime: metav1.NewTime(c.Since.UTC().Truncate(time.Second)),
	}
}

// readConditions reads what there is of conditions. Nothing is decided by them.
func readConditions(o *unstructured.Unstructured) []Condition {
	list, found, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil || !found {
		return nil
	}
	var all []Condition
	for _, item := range list {
		var c metav1.Condition
		fields, ok := item.(map[string]any)
		if !ok || runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &c) != nil {
			return nil
		}
		all = append(all, Condition{
			Type: c.Type, Status: c.Status == metav1.ConditionTrue, Reason: c.Reason, Message: c.Message,
			ObservedGeneration: c.ObservedGeneration, Since: c.LastTransitionTime.Time,
		})
	}
	return all
}
