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

// Nor do credentials.
func TestPLUGIN15_PipesAreNoCredentials(t *testing.T) {
	for name, file := range map[string]string{"DOCKER_CONFIG": "config.json", "REGISTRY_AUTH_FILE": ""} {
		w := newSpireWorld(t, registrytest.Options{})
		folder := t.TempDir()
		pipe := filepath.Join(folder, "config.json")
		must(t, syscall.Mkfifo(pipe, 0o600))
		w.env[name] = filepath.Join(folder, "config.json")
		if file != "" {
			w.env[name] = folder
		}
		if text := w.refuse("docker", dev()); !strings.Contains(text, pipe+": is no plain file") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
