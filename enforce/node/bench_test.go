//go:build linux

package node_test

import (
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/assay-dev/assay/enforce/node"
)

// BenchmarkDecide is what the way to the daemon and back costs, beside the decision: one who asks, and as many as there are processors.
func BenchmarkDecide(b *testing.B) {
	s, err := node.New(node.Config{Decisions: deciding(allowing())})
	if err != nil {
		b.Fatal(err)
	}
	socket := filepath.Join(b.TempDir(), "node.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	h := &http.Server{Handler: s, ConnContext: s.Context, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	defer h.Close()
	go func() { _ = h.Serve(s.Listener(l)) }() // it is closed
	c := node.Open(socket)
	defer c.Close()
	ask := func(b testing.TB) {
		if v := c.Decide(b.Context(), question("cli")); !v.Allowed {
			b.Fatal(v)
		}
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask(b)
		}
	})
	b.Run("several", func(b *testing.B) {
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				ask(b)
			}
		})
	})
}
