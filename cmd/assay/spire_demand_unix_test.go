//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/assay-dev/assay/registry/registrytest"
)

// A configuration waits for nobody who writes to a pipe.
func TestDOCKER13_PipesAreNoTrustMaterial(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	w.env["SIGSTORE_ROOT_FILE"] = filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(w.env["SIGSTORE_ROOT_FILE"], 0o600))
	if text := w.refuse("docker", dev()); !strings.Contains(text, "is no plain file") {
		t.Error(text)
	}
}
