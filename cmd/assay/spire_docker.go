package main

import (
	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/workload"
)

const spireDockerHelp = `Be the workload attestor docker of a SPIRE agent: the selectors of a process are
those of its container and its image, of Docker and of Podman.
`

func (a *app) spireDocker() spireAttestor {
	return spireAttestor{
		name: "docker", short: "Be the workload attestor of Docker's and Podman's containers", help: spireDockerHelp,
		make: func(p *spire.Plugin, proc *workload.Proc) spire.Attestor {
			return spire.NewDocker(spire.DockerConfig{Plugin: p, Proc: proc, NewVerifier: a.spireVerifier(p)})
		},
	}
}
