package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

// From the start of the program to its end, with a daemon that answers at once.
func BenchmarkColdStart(b *testing.B) {
	program, socket := build(b), filepath.Join(b.TempDir(), "node.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: says(ask.Answer{Form: ask.Form, Allowed: true, Meaning: ask.Allowed, Reason: "fine"})}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	config := benchConfig(b, socket)
	var took []time.Duration
	for b.Loop() {
		cmd := exec.Command(program, containerdArgs(name, digest)...)
		cmd.Env = []string{ask.ConfigVariable + "=" + config}
		cmd.Stdin = strings.NewReader(descriptor(digest))
		start := time.Now()
		if out, err := cmd.Output(); err != nil || string(out) != "assay: fine\n" {
			b.Fatalf("got %q, %v", out, err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	median := float64(took[len(took)/2].Microseconds()) / 1000
	b.ReportMetric(median, "ms-median")
	if median > maxStart {
		b.Errorf("got %.1f ms, want at most %.0f", median, maxStart)
	}
}

func benchConfig(b *testing.B, socket string) string {
	b.Helper()
	file := filepath.Join(b.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"socket": "`+socket+`"}`), 0o600); err != nil {
		b.Fatal(err)
	}
	return file
}
