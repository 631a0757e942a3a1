package main

import (
	"testing"

	"github.com/assay-dev/assay/registry/registrytest"
)

// BenchmarkSpireVerifyWarm is a proof that was had before: what each attestation of a running container costs beside the container's own facts.
func BenchmarkSpireVerifyWarm(b *testing.B) {
	w := newSpireWorld(b, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	v := w.demand("docker", dev())
	w.passes(v, of(ref))
	b.ReportAllocs()
	for b.Loop() {
		if selectors, err := v.Verify(b.Context(), of(ref)); err != nil || len(selectors) == 0 {
			b.Fatal(err)
		}
	}
}

// BenchmarkSpireVerifyCold is a proof that nobody has asked for yet.
func BenchmarkSpireVerifyCold(b *testing.B) {
	w := newSpireWorld(b, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	for b.Loop() {
		v := w.demand("docker", dev())
		w.passes(v, of(ref))
		v.Close()
	}
}
