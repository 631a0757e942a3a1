package main

import (
	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/workload"
)

const spireKubernetesHelp = `Be the workload attestor k8s of a SPIRE agent: the selectors of a process are
those of its pod and its container, as the kubelet of the node lists them.

The environment names the node, by default in MY_NODE_NAME, and the API server, in
KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, which every pod has.
`

func (a *app) spireKubernetes() spireAttestor {
	return spireAttestor{
		name: "k8s", short: "Be the workload attestor of a Kubernetes node's containers", help: spireKubernetesHelp,
		make: func(p *spire.Plugin, proc *workload.Proc) spire.Attestor {
			return spire.NewKubernetes(spire.KubernetesConfig{Plugin: p, Proc: proc, NewVerifier: a.spireVerifier(p), Getenv: a.getenv})
		},
	}
}
