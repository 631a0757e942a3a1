package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Limits of what containerd starts at each pull.
const (
	maxSize  = 10_000_000 // bytes
	maxStart = 20.0       // milliseconds from its start to its answer, where a daemon answers at once
)

// build builds the program as make build does.
func build(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "assay-containerd-verifier")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	info, err := os.Stat(build(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > maxSize {
		t.Errorf("got %d bytes, want at most %d", info.Size(), maxSize)
	}
}

// What the program is made of: the standard library and the one package of questions and answers.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const ours = "github.com/assay-dev/assay/"
	got := strings.Fields(string(out))
	if want := ours + "enforce/containerd/ask " + ours + "cmd/assay-containerd-verifier"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
