package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
)

// nodePolicyOptions are the flags about policies that are objects of the cluster, of servers that read them and write nothing: their status is
// a matter of assay serve kubernetes.
type nodePolicyOptions struct {
	resources    bool
	kubeconfig   string
	ownNamespace string // empty: not in a pod
}

func (o *nodePolicyOptions) flags(f *pflag.FlagSet) {
	o.flagsBesideKubeconfig(f)
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "`FILE` that says how the API server is reached, for --policy-resources (default: the pod's service account)")
}

// flagsBesideKubeconfig are for a server that has that one for other purposes too.
func (o *nodePolicyOptions) flagsBesideKubeconfig(f *pflag.FlagSet) {
	f.BoolVar(&o.resources, "policy-resources", false, "let the TrustPolicy and NamespaceTrustPolicy objects of the cluster decide, beside --policy; a copy of them is kept in the state folder, for starts without the API server")
	f.StringVar(&o.ownNamespace, "own-namespace", "", "`NAMESPACE` of Assay itself, where Secrets and ConfigMaps are that TrustPolicies name (default: the pod's)")
}

func (o *nodePolicyOptions) check() error {
	for _, one := range []struct{ name, value string }{{"kubeconfig", o.kubeconfig}, {"own-namespace", o.ownNamespace}} {
		if !o.resources && one.value != "" {
			return usageError("--%s without --policy-resources: nobody is asked", one.name)
		}
	}
	return nil
}

// know prepares what --policy-resources asks for, if it was given. folder is the state folder.
func (o *nodePolicyOptions) know(s *server, folder string) (*background, error) {
	b := &background{}
	if !o.resources {
		return b, nil
	}
	if folder = s.app.stateIn(folder); folder == "" {
		return nil, withHint(usageError("--policy-resources: there is no folder for the copy of the policies"), "--state-dir names one, such as /var/lib/assay")
	}
	api, err := cluster.Open(o.kubeconfig, s.log)
	if err != nil {
		return nil, withHint(usageError("%w", err), "--kubeconfig names a file; without it, Assay must run in a pod with a service account")
	}
	if o.ownNamespace == "" {
		o.ownNamespace = podNamespace()
	}
	watches := &contacts{log: s.log, metrics: s.metrics}
	s.metrics.look = append(s.metrics.look, watches.measure)
	b.runs = append(b.runs, watches.run)
	r, err := s.knowPolicies(b, watches, api, o.ownNamespace)
	if err != nil {
		return nil, err
	}
	r.status = nil
	r.copy = &lastGood{file: filepath.Join(folder, "cluster-policies.json"), now: s.app.now}
	s.metrics.look = append(s.metrics.look, func() { s.metrics.copyAge.Set(r.copy.age().Seconds()) })
	s.metrics.registry.MustRegister(s.metrics.copyAge)
	s.needs = b.needs
	r.recall()
	return b, nil
}

// podNamespace is the namespace of the pod that this process is in; "" outside of one.
func podNamespace() string {
	own, err := readLimited(ownNamespaceFile, maxNamespaceFile)
	if err != nil || len(own) > maxNamespaceFile {
		return ""
	}
	return strings.TrimSpace(string(own))
}
