//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A pipe in the place of a file holds up nothing: it is no plain file, and what was in force stays.
func TestCSE37_APipeIsNoFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	var loaded []string
	s := &server{metrics: newServerMetrics(), log: newTestLog()}
	must(t, os.WriteFile(file, []byte("one"), 0o600))
	must(t, s.watch("policies", func(r *reading) error {
		content, err := r.file(file, 100)
		if err == nil {
			loaded = append(loaded, string(content))
		}
		return err
	}))
	must(t, os.Remove(file))
	must(t, syscall.Mkfifo(file, 0o600))
	for range 3 {
		s.look() // without a writer, to open the pipe would wait for ever
	}
	if _, err := readPlain(file, 100); err == nil || !strings.Contains(err.Error(), "no plain file") {
		t.Errorf("got %v", err)
	}
	must(t, os.Remove(file))
	must(t, os.WriteFile(file, []byte("two"), 0o600))
	for range 3 {
		s.look()
	}
	if got := strings.Join(loaded, ", "); got != "one, two" {
		t.Errorf("got %q", got)
	}
}
