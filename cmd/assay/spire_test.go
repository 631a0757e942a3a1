package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Without the agent's cookie, an attestor says what it is and how it is meant to be started.
func TestPLUGIN1_NotStartedByAnAgent(t *testing.T) {
	a := &app{}
	for _, attestor := range a.spireAttestors() {
		r := runAssay(t, "", "spire", attestor.name)
		if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "This binary is a plugin. These are not meant to be executed directly.\n") {
			t.Errorf("%s: exit code %d\n%s%s", attestor.name, r.code, r.stdout, r.stderr)
		}
		for _, want := range []string{`WorkloadAttestor "` + attestor.name + `"`, "plugin_cmd", "plugin_args", "assay spire " + attestor.name + " --help"} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("%s: no %s in %s", attestor.name, want, r.stderr)
			}
		}
		// A value that is nearly the cookie is none.
		for _, cookie := range []string{"workloadattestor", "WorkloadAttestor "} {
			r := runWith(t, map[string]string{"WorkloadAttestor": cookie}, "spire", attestor.name)
			if r.code != 1 {
				t.Errorf("%s with the cookie %q: exit code %d", attestor.name, cookie, r.code)
			}
		}
	}
}

func TestSpireInstall(t *testing.T) {
	folder := t.TempDir()
	target := filepath.Join(folder, "assay")
	must(t, os.WriteFile(target, []byte("an older one"), 0o600))
	r := runAssay(t, "", "spire", "install", folder)
	content, err := os.ReadFile(target)
	must(t, err)
	sum := sha256.Sum256(content)
	if want := hex.EncodeToString(sum[:]) + "  " + target + "\n"; r.code != 0 || r.stdout != want {
		t.Errorf("exit code %d: %s%s, want %s", r.code, r.stdout, r.stderr, want)
	}
	info, err := os.Stat(target)
	must(t, err)
	own, err := os.Executable()
	must(t, err)
	self, err := os.ReadFile(own)
	must(t, err)
	if info.Mode().Perm() != 0o755 || !slices.Equal(content, self) {
		t.Errorf("a copy of %d bytes with the mode %v", len(content), info.Mode())
	}
	entries, err := os.ReadDir(folder)
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	for _, nowhere := range []string{filepath.Join(folder, "nowhere"), target} {
		if r := runAssay(t, "", "spire", "install", nowhere); r.code != 2 || r.stdout != "" || !strings.Contains(r.stderr, "assay: ") {
			t.Errorf("%s: exit code %d: %s%s", nowhere, r.code, r.stdout, r.stderr)
		}
	}
	// What is wrong, where, and what to do; and never a copy where nobody looks for one.
	away := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(away, "taken", installedName()), 0o755))
	t.Chdir(away)
	for name, want := range map[string]struct {
		code int
		text string
	}{
		"":        {exitUsage, "FOLDER is empty"},
		"missing": {exitCannotTell, "missing: no such folder"},
		"taken":   {exitCannotTell, filepath.Join("taken", installedName()) + ": is a folder"},
	} {
		if r := runAssay(t, "", "spire", "install", name); r.code != want.code || r.stdout != "" || !strings.Contains(r.stderr, want.text) {
			t.Errorf("%q: %+v", name, r)
		}
	}
	if left, err := filepath.Glob(filepath.Join(away, "*")); err != nil || len(left) != 1 {
		t.Errorf("%q, %v", left, err)
	}
	if r := runAssay(t, "", "__complete", "spire", "install", ""); !strings.Contains(r.stdout, ":16") { // folders
		t.Errorf("%+v", r)
	}
	if r := runAssay(t, "", "spire", "install"); r.code != 64 {
		t.Errorf("without a folder: exit code %d", r.code)
	}
}
