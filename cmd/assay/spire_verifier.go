package main

import (
	"errors"

	"github.com/assay-dev/assay/enforce/spire"
)

// spireVerifier makes what a configuration demands of images.
func (a *app) spireVerifier(*spire.Plugin) spire.NewVerifier {
	return func(spire.Verification, string) (spire.Verifier, error) {
		return nil, errors.New("this program cannot demand proofs of images")
	}
}
