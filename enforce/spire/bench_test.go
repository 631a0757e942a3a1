package spire_test

import (
	"context"
	"os"
	"testing"

	"github.com/assay-dev/assay/enforce/spire/spiretest"
)

// What the protocol costs: one call of an attestor that knows its answer, over the socket, to a process of its own.
func BenchmarkCall(b *testing.B) {
	env := append(os.Environ(), asPlugin)
	h, err := spiretest.Start(context.Background(), []string{os.Args[0]}, spiretest.Options{Env: env})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	if err := h.Configure(context.Background(), "example.org", "v1"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Attest(context.Background(), pidOfThisWorkload); err != nil {
			b.Fatal(err)
		}
	}
}
