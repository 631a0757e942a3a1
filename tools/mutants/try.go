package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// fate is what became of a mutant. The zero value is not the good one.
type fate int

const (
	broken   fate = iota // it does not compile, its test does not exist, or go could not be run
	survived             // its test passes although the defence is off
	noticed              // its test fails
)

func (f fate) String() string { return [...]string{"BROKEN", "SURVIVED", "noticed"}[f] }

// sound checks that the tests pass while the defences are on: a test that fails anyway proves nothing. go remembers results, so each
// costs time only once.
func sound(ctx context.Context, mutants []mutant) error {
	seen := map[string]bool{}
	for _, m := range mutants {
		if seen[m.Test] {
			continue
		}
		seen[m.Test] = true
		out, err := goTest(ctx, m.Test)
		if err != nil {
			return fmt.Errorf("go test %s fails while the defence is on: %w\n%s", m.Test, err, out)
		}
	}
	return nil
}

// try runs the mutant's test with the defence off.
func try(ctx context.Context, m mutant) (fate, string) {
	scratch, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return broken, err.Error()
	}
	defer os.RemoveAll(scratch)
	overlay, err := writeOverlay(m, scratch)
	if err != nil {
		return broken, err.Error()
	}
	out, err := goTest(ctx, m.Test, "-count=1", "-overlay", overlay)
	return judge(out, err == nil), out
}

// judge tells a test that failed from one that never ran. go test fails for both.
func judge(out string, passed bool) fate {
	ran := strings.Contains(out, "--- FAIL") || strings.Contains(out, "panic: ") || strings.Contains(out, "fatal error: ")
	switch {
	case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
		return broken
	case strings.Contains(out, "no tests to run") && !ran:
		return broken
	case passed:
		return survived
	case !ran:
		return broken
	}
	return noticed
}

func writeOverlay(m mutant, scratch string) (string, error) {
	changed, err := m.apply(os.DirFS("."))
	if err != nil {
		return "", err
	}
	original, err := filepath.Abs(m.File)
	if err != nil {
		return "", err
	}
	replacement := filepath.Join(scratch, "changed.go")
	content, err := json.Marshal(map[string]map[string]string{"Replace": {original: replacement}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(scratch, "overlay.json")
	if err := os.WriteFile(replacement, changed, 0o600); err != nil {
		return "", err
	}
	return overlay, os.WriteFile(overlay, content, 0o600)
}

// goTest runs go test with the words of line. Vet is off: a condition that is always false is the point here.
func goTest(ctx context.Context, line string, flags ...string) (string, error) {
	words, err := split(line)
	if err != nil {
		return "", err
	}
	args := append([]string{"test", "-vet=off", "-failfast"}, flags...)
	out, err := exec.CommandContext(ctx, "go", append(args, words...)...).CombinedOutput()
	return string(out), err
}
