package spire

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/spire/proto/broker"
	"github.com/assay-dev/assay/workload"
)

// Type URLs of references.
const (
	referenceTypes  = "type.googleapis.com/spiffe.broker."
	typePID         = referenceTypes + "WorkloadPIDReference"
	typeObject      = referenceTypes + "KubernetesObjectReference"
	coreGroup       = "core"
	impersonateVerb = "impersonate-via-spire"
)

// AttestReference implements State.
func (k *kubernetesState) AttestReference(ctx context.Context, reference *anypb.Any, callers []string) ([]string, error) {
	if reference == nil {
		return nil, status.Error(codes.InvalidArgument, "workload reference must be provided")
	}
	caller, err := k.caller(callers)
	if err != nil {
		return nil, err
	}
	switch reference.GetTypeUrl() {
	case typePID:
		var r broker.WorkloadPIDReference
		if err := reference.UnmarshalTo(&r); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "unable to unmarshal PID reference: %v", err)
		}
		return k.process(ctx, r.GetPid(), func(ctx context.Context, pod *workload.Pod) error {
			return k.review(ctx, caller, podsKind, pod.Namespace, pod.Name)
		})
	case typeObject:
		var r broker.KubernetesObjectReference
		if err := reference.UnmarshalTo(&r); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "unable to unmarshal object reference: %v", err)
		}
		return k.object(ctx, caller, &r)
	}
	return nil, status.Errorf(codes.InvalidArgument, "unsupported reference type: %s", enforce.Plain(reference.GetTypeUrl()))
}

// caller returns the broker that asks; nil: the agent itself does.
func (k *kubernetesState) caller(ids []string) (*Broker, error) {
	const text = "unable to determine broker caller identity: %v"
	switch {
	case len(ids) == 0:
		return nil, nil
	case len(ids) > 1:
		return nil, Refuse(enforce.No, codes.Internal, fmt.Sprintf(text, "multiple broker caller SPIFFE IDs provided"))
	}
	id := ids[0]
	if err := checkSPIFFEID(id); err != nil {
		return nil, Refuse(enforce.No, codes.Internal, fmt.Sprintf(text, err))
	}
	if k.settings.Broker == nil {
		return nil, Refuse(enforce.No, codes.Internal, "broker configuration missing")
	}
	i := slices.IndexFunc(k.settings.Broker.Brokers, func(b Broker) bool { return b.ID == id })
	if i < 0 {
		return nil, status.Errorf(codes.PermissionDenied, "broker %q is not configured", id)
	}
	return &k.settings.Broker.Brokers[i], nil
}

var podsKind = workload.Kind{Plural: "pods", Group: coreGroup, Version: "v1", Kind: "Pod", Namespaced: true}

// object returns the selectors of an object.
func (k *kubernetesState) object(ctx context.Context, caller *Broker, r *broker.KubernetesObjectReference) ([]string, error) {
	if text := flawOf(r); text != "" {
		return nil, status.Error(codes.InvalidArgument, text)
	}
	kind, err := k.kind(ctx, r.GetType())
	if err != nil {
		return nil, err
	}
	if key := r.GetKey(); key != nil {
		switch {
		case kind.Namespaced && key.GetNamespace() == "":
			return nil, status.Error(codes.InvalidArgument, "namespace is required when name is set for a namespaced resource")
		case !kind.Namespaced && key.GetNamespace() != "":
			return nil, status.Error(codes.InvalidArgument, "namespace must be empty for cluster-scoped resource")
		}
	}
	if kind == podsKind {
		return k.podReference(ctx, caller, r)
	}
	o, err := k.resolve(ctx, kind, r)
	if err != nil {
		return nil, err
	}
	if err := k.review(ctx, caller, kind, o.Namespace, o.Name); err != nil {
		return nil, err
	}
	return objectSelectors(kind, o), nil
}

// flawOf says what a reference lacks, or nothing.
func flawOf(r *broker.KubernetesObjectReference) string {
	switch {
	case r.GetType() == nil:
		return "object reference is missing type"
	case r.GetType().GetPlural() == "":
		return "object reference type is missing plural"
	case r.GetType().GetGroup() == "":
		return "object reference type is missing group"
	case r.GetKey() == nil && r.GetUid() == "":
		return "object reference is missing key and UID"
	case r.GetKey() != nil && r.GetKey().GetName() == "":
		return "object reference key is missing name"
	}
	return ""
}

func (k *kubernetesState) kind(ctx context.Context, t *broker.KubernetesObjectType) (workload.Kind, error) {
	if t.GetPlural() == podsKind.Plural && t.GetGroup() == podsKind.Group {
		return podsKind, nil
	}
	kind, err := k.api.value.Kind(ctx, t.GetPlural(), t.GetGroup())
	switch {
	case errors.Is(err, workload.ErrNoKind):
		text := fmt.Sprintf("unknown Kubernetes resource %.256s.%.256s: %v", t.GetPlural(), t.GetGroup(), err)
		return kind, status.Error(codes.InvalidArgument, enforce.Plain(text))
	case err != nil:
		return kind, fmt.Errorf("resource %.256s.%.256s: %w", t.GetPlural(), t.GetGroup(), err)
	}
	return kind, nil
}

// resolve returns the object that a reference names. Key and UID, where both are given, must agree.
func (k *kubernetesState) resolve(ctx context.Context, kind workload.Kind, r *broker.KubernetesObjectReference) (workload.Object, error) {
	key := r.GetKey()
	name := kind.Plural + "." + kind.Group + " " + path(key.GetNamespace(), key.GetName())
	var o workload.Object
	var err error
	if key != nil {
		o, err = k.api.value.Object(ctx, kind, key.GetNamespace(), key.GetName())
	} else {
		name = kind.Plural + "." + kind.Group + " with UID " + r.GetUid()
		o, err = k.api.value.ObjectByUID(ctx, kind, r.GetUid())
	}
	switch {
	case errors.Is(err, workload.ErrNoObject):
		return o, status.Error(codes.NotFound, enforce.Plain(name+" not found"))
	case err != nil:
		return o, err
	case r.GetUid() != "" && o.UID != r.GetUid():
		return o, status.Error(codes.NotFound, enforce.Plain(fmt.Sprintf("%s has UID %s, expected %s", name, o.UID, r.GetUid())))
	}
	return o, nil
}

func path(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// review asks the API server whether a broker may ask about an object, where that is demanded.
func (k *kubernetesState) review(ctx context.Context, caller *Broker, kind workload.Kind, namespace, name string) error {
	if caller == nil || k.settings.Broker.Permissive {
		return nil
	}
	allowed, err := k.api.value.Allowed(ctx, workload.Review{User: caller.ID, Verb: impersonateVerb, Kind: kind, Namespace: namespace, Name: name})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return Refuse(enforce.CannotTell, codes.Internal, enforce.Plain(fmt.Sprintf("unable to check Kubernetes authorization for broker: %v", err)))
	case !allowed:
		return status.Error(codes.PermissionDenied,
			"Kubernetes authorizer does not allow the broker to use impersonate-via-spire for the referenced object")
	}
	return nil
}
