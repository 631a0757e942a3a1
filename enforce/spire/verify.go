package spire

import (
	"context"

	"github.com/assay-dev/assay/image"
)

// Subject is the image of a workload whose proof is demanded.
type Subject struct {
	Image           string   // as messages name it
	References      []string // to be tried in this order: "repo@sha256:…" each
	ContainerID     string   // as old selectors name it
	Namespace       string
	NamespaceLabels map[string]string
	HasNamespace    bool
	Content         []image.Digest // what is known of the running bytes; may be empty
}

// Verifier is what does as a configuration demands. It is safe for concurrent use.
type Verifier interface {
	// Verify returns the selectors that the proofs of an image give. An error is a gRPC status. Neither: the image passes without selectors.
	Verify(ctx context.Context, s Subject) (selectors []string, err error)
	// Close lets go of what the verifier has opened.
	Close()
}

// NewVerifier makes what a configuration demands; kind is "docker" or "k8s". Nil, nil: nothing is demanded.
type NewVerifier func(v Verification, kind string) (Verifier, error)
