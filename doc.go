// Package assay is the map of the house; it has no code.
//
// Assay answers whether somebody we trust has vouched for exactly the bytes of a container image. A question goes one way through the
// packages:
//
//		cmd/assay → engine.Decide → policy: which rule → trust: Find evidence → trust: Check it → engine.Verdict
//
//	  - image names images: references and digests in one canonical form, and the patterns that match them.
//	  - policy reads the document that says whose word is needed for which images. It knows no format.
//	  - trust says what a format is: an authority finds evidence, and checks it without I/O.
//	    Each format is a folder below it (sigstore, with its trust material and its statements in folders of their own; notaryv1, with what it keeps, on disk or shared by replicas, and a signer for tests in folders of their own; notation, with signatures for tests in a folder of its own; certificate), trust/formats lists them, and trust/trusttest is the suite that each of them passes.
//	  - spelling finds the word that was meant, for hints.
//	  - registry is the only code that talks to registries and Notary servers; registry/cloud has the logins that clouds give; registry/registrytest is a registry in memory, with faults.
//	  - engine decides: it resolves the digest once, has the evidence found and checked, and answers with a verdict. engine/wire writes questions and verdicts for another process of Assay and reads them, engine/upstream asks such a process first, and engine/shared keeps what was proved in a cache that several processes ask, with a cache for tests in a folder of its own.
//	  - enforce says what an enforcement point is, where a verdict is obeyed, and enforce/enforcetest is the suite that each of them passes.
//	    Each point is a folder below it (api; containerd, with what its verifier asks in containerd/ask, and whether it is asked at all in containerd/health, with a containerd for tests; docker, with what it remembers in a folder of its own; kubernetes; spire, with its protocol in enforce/spire/proto and an agent for tests in enforce/spire/spiretest). enforce/node is the daemon of one host, which serves its points at one unix socket. kubernetes/cluster is the one way to an API server: namespaces, policies as objects, pull secrets, Events, what replicas share; kubernetes/identity has the certificates that a webhook makes for itself.
//	  - workload tells what runs on a host: from a process to its container, and from that to its image, by the word of Docker, Podman or a kubelet.
//	  - release reads the numbers of releases of other programs, of which it is known which flaws they have.
//	  - convert makes policies of other systems' settings, with a report of every meaning that changes.
//	  - sign issues a certificate for a digest and stores it beside the image; sign/local and sign/vault are its authorities.
//	  - atomicfile replaces files whole, for those who keep something on disk.
//	  - cmd/assay is the program: one file for each subcommand, and the only reader of flags and environment. cmd/assay-containerd-verifier is the small one that containerd starts.
//	  - deploy has what brings it into a cluster: deploy/helm/assay, the chart, deploy/image, its image, deploy/docker-plugin, a plugin that Docker manages, deploy/systemd, deploy/containerd, settings of containerd, and deploy/spire, configurations of agents.
//	  - e2e has the stories, with real peers, which e2e/peers builds; e2e/node is a cluster of one node, for stories and for whoever wants to try Assay.
//	  - tools has programs for those who work on Assay: mutants, the ratios of benchmarks, and what a node daemon takes.
//
// An answer has one of three meanings, which are never mixed: no (trust.ErrUnsigned and trust.ErrUntrusted), cannot tell (every other
// error), and bug (a panic). Which package may import which is written, with its reason, in architecture_test.go.
package assay
