// Package e2e holds the stories: what Assay promises, told as scripts that run against real peers and read as documentation.
//
// Each file in stories is one story (https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript); make e2e installs the peers and
// runs them. Those in stories/cluster share a cluster with a node (the program node), and run one after another.
// Beside the commands of testscript a story has those of the test files here: registry, dockerd, containerd, agent, vault, notary, sigstore, server,
// kubernetes, pod, container, requests, chart, page, plugin, sample, eventually, offline, layout, ca, digest, capture, exits, fill, verdicts and needs.
package e2e
