package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/enforce/kubernetes"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/trust/notaryv1"
	"github.com/assay-dev/assay/trust/notaryv1/state"
)

// clusterStateOptions are the flags of serve kubernetes about what is read and kept in the cluster beside namespaces.
type clusterStateOptions struct {
	pullSecrets  bool
	sharedFloors bool
}

func clusterStateFlags(cmd *cobra.Command) *clusterStateOptions {
	o := &clusterStateOptions{}
	f := cmd.Flags()
	f.BoolVar(&o.pullSecrets, "pull-secrets", false, "ask registries with the pull secrets of pods and of their service accounts; needs to get secrets and serviceaccounts in the namespaces of the pods")
	f.BoolVar(&o.sharedFloors, "shared-floors", false, "share with other replicas what was seen of Notary servers, in ConfigMaps of the own namespace; needs to get, list, create and update them there")
	return o
}

// pulling knows the pull secrets of objects.
type pulling struct{ *cluster.PullSecrets }

var _ kubernetes.Logins = pulling{}

// Logins implements kubernetes.Logins.
func (p pulling) Logins(ctx context.Context, q kubernetes.Puller) (engine.Logins, error) {
	return p.PullSecrets.Logins(ctx, q.Namespace, q.Accounts, q.Secrets)
}

// logins is who knows pull secrets; nil if that is not wanted.
func (o *clusterStateOptions) logins(api *cluster.Cluster) (kubernetes.Logins, error) {
	if !o.pullSecrets {
		return nil, nil
	}
	secrets, err := api.PullSecrets()
	return pulling{secrets}, err
}

// lateStore is a store that comes to be after the engine that uses it, and before anybody asks that.
type lateStore struct{ notaryv1.Store }

// store has the server keep for itself what it shares later: in the folder that was named, or else in memory.
func (o *clusterStateOptions) store(a *app, serve *serveOptions) {
	switch {
	case !o.sharedFloors:
	case serve.stateDir != "" || a.getenv("ASSAY_STATE_DIR") != "":
		serve.seen = &lateStore{a.seenIn(serve.stateDir)}
	default:
		serve.seen = &lateStore{new(notaryv1.Memory)}
	}
}

// share has the replicas share what the server keeps.
func (o *clusterStateOptions) share(serve *serveOptions, api *cluster.Cluster, namespace string) error {
	switch {
	case !o.sharedFloors:
		return nil
	case namespace == "":
		return withHint(usageError("--shared-floors: the own namespace is not known"), "outside of a pod, give --own-namespace")
	}
	objects, err := api.Objects(namespace, "floors")
	if err != nil {
		return err
	}
	serve.seen.Store = state.Share(serve.seen.Store, objects)
	return nil
}
