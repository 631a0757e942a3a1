package main

import "github.com/assay-dev/assay/enforce/spire"

// spireVerifier makes what the configurations of an attestor demand of images.
func (a *app) spireVerifier(p *spire.Plugin) spire.NewVerifier {
	return (&spireDemands{app: a, plugin: p}).newVerifier
}
