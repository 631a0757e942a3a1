//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What cannot be written is said before anything is decided; devices are not replaced by files.
func TestMetricsFileMustBeReplaceable(t *testing.T) {
	s := newStage(t)
	folder := t.TempDir()
	// A pipe stands for devices: what a broken check replaces here must not be one of this machine's.
	pipe, link := filepath.Join(folder, "pipe.prom"), filepath.Join(folder, "link.prom")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(s.policy, link); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{pipe, link, folder, filepath.Join(folder, "nowhere", "assay.prom"), filepath.Join(s.policy, "assay.prom")} {
		s.server.ResetRequests()
		r := runAssay(t, "", "verify", "-p", s.policy, "--metrics-file", file, s.host+"/shop/api:1")
		if r.code != exitUsage || !strings.Contains(r.stderr, "assay: --metrics-file: ") || len(s.server.Requests()) != 0 {
			t.Errorf("%s: got exit %d\n%s", file, r.code, r.stderr)
		}
	}
}
