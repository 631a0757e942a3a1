package main

import (
	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/workload"
)

const spireDockerHelp = `Be the workload attestor docker of a SPIRE agent: the selectors of a process are
those of its container and its image, of Docker and of Podman.
`

const spireDockerExamples = `
  # agent.conf: selectors only
  WorkloadAttestor "docker" {
      plugin_cmd  = "/opt/assay/assay"
      plugin_args = ["spire", "docker"]
      plugin_data {}
  }

  # agent.conf: only for images that a policy allows
  WorkloadAttestor "docker" {
      plugin_cmd  = "/opt/assay/assay"
      plugin_args = ["spire", "docker"]
      plugin_data { policy = "/etc/assay/policies" }
  }`

func (a *app) spireDocker() spireAttestor {
	return spireAttestor{
		name: "docker", short: "Be the workload attestor of Docker's and Podman's containers", help: spireDockerHelp, examples: spireDockerExamples,
		make: func(p *spire.Plugin, proc *workload.Proc) spire.Attestor {
			return spire.NewDocker(spire.DockerConfig{Plugin: p, Proc: proc, NewVerifier: a.spireVerifier(p)})
		},
	}
}
