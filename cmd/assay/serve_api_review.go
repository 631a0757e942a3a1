package main

import (
	"log/slog"

	"github.com/spf13/pflag"

	"github.com/assay-dev/assay/enforce/api"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
)

// reviewOptions are the flags of serve api about tokens that a Kubernetes API server knows.
type reviewOptions struct {
	on            bool
	audience      string
	users, groups []string
	kubeconfig    string
	policies      bool // the API server is asked for policies, too
}

// defaultAudience is what tokens are made for that count here. Those that are made for the API server do not: whoever gets one could use it
// there.
const defaultAudience = "assay"

func (o *reviewOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.on, "token-review", false, "answer those whose bearer token a Kubernetes API server knows, and whom --token-user or --token-group names")
	f.StringVar(&o.audience, "token-audience", defaultAudience, "`AUDIENCE` that such tokens are made for")
	f.StringArrayVar(&o.users, "token-user", nil, "`USER` that may ask, such as system:serviceaccount:ci:deployer; may be repeated")
	f.StringArrayVar(&o.groups, "token-group", nil, "`GROUP` whose users may ask, such as system:serviceaccounts:ci; may be repeated")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "`FILE` that says how the API server for --token-review and --policy-resources is reached (default: the pod's service account)")
}

// check refuses command lines that leave open who may ask.
func (o *reviewOptions) check() error {
	named := len(o.users)+len(o.groups) > 0
	switch {
	case !o.on && (named || o.kubeconfig != "" && !o.policies || o.audience != defaultAudience):
		return usageError("--token-user, --token-group, --token-audience and --kubeconfig go with --token-review, the last also with --policy-resources")
	case o.on && !named:
		return withHint(usageError("--token-review: who may ask?"), "name users by --token-user, or groups by --token-group: system:serviceaccounts:NAMESPACE is the service accounts of a namespace")
	case o.on && o.audience == "":
		return usageError("--token-audience: tokens for nobody in particular do not count")
	}
	return nil
}

// open returns the way to be known, nil if it is not wanted.
func (o *reviewOptions) open(log *slog.Logger) (*api.TokenReview, error) {
	if !o.on {
		return nil, nil
	}
	c, err := cluster.Open(o.kubeconfig, log)
	if err != nil {
		return nil, withHint(usageError("--token-review: %w", err), "--kubeconfig names a file; without it, Assay must run in a pod with a service account")
	}
	reviewer, err := c.TokenReviews(o.audience)
	if err != nil {
		return nil, usageError("%w", err)
	}
	return &api.TokenReview{Reviewer: reviewer, Users: o.users, Groups: o.groups}, nil
}
