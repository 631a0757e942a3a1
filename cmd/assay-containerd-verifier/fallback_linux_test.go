package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

// Only a verdict that allows the very image and digest, with an exit code that says so too, allows.
func TestT51_FallbackVerdicts(t *testing.T) {
	full := name + "@" + digest
	no := func(more string) string { return verdict(full, digest, false, more) }
	rows := []struct {
		name, out string
		exit      int
		code      int
		want      string
	}{
		{"allowed", allowing(), 0, exitAllowed, full + ": allowed (without the node daemon)"},
		{"allowed with a warning", verdict(full, digest, true, `,"outcome":"denied","warnings":["policy shop would stop this image"]`), 0, exitAllowed, "warning: policy shop would"},
		{"denied", no(`,"outcome":"denied","reason":"nobody vouches"`), 1, exitDenied, "may not run: nobody vouches"},
		{"could not tell", no(`,"outcome":"could-not-tell","reason":"registry away"`), 2, exitCannotTell, "could not tell whether it may run: registry away"},
		{"bug", no(`,"outcome":"bug","reason":"broken"`), 70, exitBug, "Assay broke down: broken"},
		{"a wrong policy", "", 64, exitCannotTell, "exit code 64: assay: policy.yaml is wrong"},
		{"no verdict", "", 0, exitBug, "no JSON object"},
		{"something else", "fine", 0, exitBug, "no JSON object"},
		{"cut", allowing()[:20], 0, exitBug, "no JSON object"},
		{"two verdicts", allowing() + allowing(), 0, exitBug, "something after"},
		{"two of which one allows", no("") + "\n" + allowing(), 0, exitBug, "something after"},
		{"allowed twice", strings.Replace(allowing(), `"allowed":true`, `"allowed":false,"allowed":true`, 1), 0, exitBug, "twice"},
		{"allowed in capitals", strings.Replace(allowing(), `"allowed":true`, `"Allowed":true`, 1), 0, exitBug, "no field"},
		{"allowed as a text", strings.Replace(allowing(), `true`, `"true"`, 1), 0, exitBug, "allowed:"},
		{"not allowed, and exit code 0", no(`,"outcome":"denied"`), 0, exitBug, "two things"},
		{"allowed, and exit code 1", allowing(), 1, exitBug, "two things"},
		{"allowed, and exit code 2", allowing(), 2, exitBug, "two things"},
		{"nothing of allowed", strings.Replace(allowing(), `"allowed":true,`, ``, 1), 0, exitBug, "two things"},
		{"another image", verdict("registry.example/other@"+digest, digest, true, ""), 0, exitBug, "verdict is about"},
		{"another digest", verdict(full, otherDigest, true, ""), 0, exitBug, "verdict is about " + otherDigest},
		{"no digest", strings.Replace(allowing(), `"digest":"`+digest+`",`, ``, 1), 0, exitBug, "verdict is about"},
		{"one in its place", verdict(full, otherDigest, true, `,"pin":"registry.example/app@`+otherDigest+`"`), 0, exitDenied, otherDigest + " is to run in its place"},
		{"a child", verdict(full, otherDigest, true, `,"child":true`), 0, exitDenied, "only " + otherDigest},
		{"a child that is the same", verdict(full, digest, true, `,"child":true`), 0, exitDenied, "only "},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			out := w.write("out", row.out, 0o600)
			w.script(fmt.Sprintf("echo 'assay: policy.yaml is wrong' >&2; cat %s; exit %d", out, row.exit))
			line, code := w.run(containerdArgs(name, digest)...)
			if code != row.code || !strings.Contains(line, row.want) {
				t.Errorf("got %d, %q, want %d with %q", code, line, row.code, row.want)
			}
			if !strings.Contains(w.stderr.String(), "assay: fallback: policy.yaml is wrong\n") {
				t.Errorf("got %q on standard error", w.stderr.String())
			}
		})
	}
}

func TestT51_FallbacksThatCannotBeUsed(t *testing.T) {
	rows := map[string]struct{ lines, want string }{
		"killed":             {"kill -9 $$", "signal: killed"},
		"endless":            {"echo '" + allowing() + "'; head -c 3000000 /dev/zero", "more than 1048576"},
		"endless blanks":     {"echo '" + allowing() + "'; yes '' | head -c 3000000", "more than 1048576"},
		"somebody is behind": {"echo '" + allowing() + "'; sleep 1000 &", "left somebody behind"},
	}
	for what, row := range rows {
		w := newWorld(t)
		w.script(row.lines)
		if line, code := w.run(containerdArgs(name, digest)...); code == exitAllowed || !strings.Contains(line, row.want) {
			t.Errorf("%s: got %d, %q", what, code, line)
		}
	}
	w := newWorld(t)
	w.configure("5s", w.path("none"))
	if line, code := w.run(containerdArgs(name, digest)...); code != exitCannotTell || !strings.Contains(line, w.path("none")+": no such file") {
		t.Errorf("got %d, %q", code, line)
	}
	w.write("plain", "", 0o600)
	w = newWorld(t)
	w.configure("5s", w.write("plain", "#!/bin/sh", 0o600))
	if line, code := w.run(containerdArgs(name, digest)...); code != exitCannotTell || !strings.Contains(line, "permission denied") {
		t.Errorf("got %d, %q", code, line)
	}
}

// The arguments of the configuration come first, the image is one word behind them, and standard input is empty.
func TestFallbackIsAsked(t *testing.T) {
	w := newWorld(t)
	w.configure("5s", w.script("cat > "+w.path("in")+"; pwd > "+w.path("where")+"; echo '"+allowing()+"'"), "verify", "a b", "$(id)")
	w.run(containerdArgs(name, digest)...)
	if got, want := w.fellBack(), "verify a b $(id) "+name+"@"+digest; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	in, err := os.ReadFile(w.path("in"))
	where, _ := os.ReadFile(w.path("where"))
	if err != nil || len(in) > 0 || string(where) != "/\n" {
		t.Errorf("got %q, %v in %s", in, err, where)
	}
}

// ended waits until a process is none any more, or only waits to be buried.
func ended(t *testing.T, pid string) {
	t.Helper()
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatalf("got %q for a process", pid)
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %s goes on", pid)
}

// noted waits for a line that a script writes to a file.
func (w *world) noted(name string) string {
	w.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if content, _ := os.ReadFile(w.path(name)); strings.HasSuffix(string(content), "\n") {
			return strings.TrimSpace(string(content))
		}
	}
	w.Fatalf("nothing in %s", name)
	return ""
}

// At the end of the time all that the fallback started is gone.
func TestT46_FallbackIsKilledWithAllThatItStarted(t *testing.T) {
	w := newWorld(t)
	w.configure("1s", w.script("sleep 1000 & echo $! > "+w.path("child")+"; echo $$ > "+w.path("own")+"; wait"))
	start := time.Now()
	line, code := w.run(containerdArgs(name, digest)...)
	if code != exitCannotTell || !strings.Contains(line, "did not answer in time") || time.Since(start) > 3*time.Second {
		t.Errorf("got %d, %q after %v", code, line, time.Since(start))
	}
	ended(t, w.noted("own"))
	ended(t, w.noted("child"))
}

// The fallback ends with the verifier, also where containerd kills that.
func TestT46_FallbackEndsWithTheVerifier(t *testing.T) {
	w := newWorld(t)
	w.configure("60s", w.script("echo $$ > "+w.path("own")+"; exec sleep 1000"))
	cmd := exec.Command("/proc/self/exe", containerdArgs(name, digest)...)
	cmd.Env = []string{asVerifier + "=1", ask.ConfigVariable + "=" + w.path("config.json")}
	cmd.Stdin = strings.NewReader(descriptor(digest))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := w.noted("own")
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("got exit code 0 of a verifier that was killed")
	}
	ended(t, pid)
}
