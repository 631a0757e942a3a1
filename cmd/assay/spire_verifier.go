package main

import "github.com/assay-dev/assay/enforce/spire"

// spireVerifier makes what a configuration demands of images. Each attestor has one of its own, which keeps what it has learned over its
// configurations.
func (a *app) spireVerifier(p *spire.Plugin) spire.NewVerifier {
	return (&spireDemands{app: a, plugin: p}).newVerifier
}
