package main

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

func TestConfig(t *testing.T) {
	w := newWorld(t)
	c, err := readConfig(w.path("none"), "")
	if err != nil || c.socket != "/run/assay/node.sock" || time.Duration(c.timeout) != 9*time.Second || !slices.Equal(c.fallback, defaultFallback) {
		t.Errorf("got %+v, %v", c, err)
	}
	w.write("config.json", `{}`, 0o644)
	if again, err := readConfig(w.path("config.json"), ""); err != nil || again.socket != c.socket || again.timeout != c.timeout || !slices.Equal(again.fallback, c.fallback) {
		t.Errorf("got %+v, %v", again, err)
	}
	w.write("config.json", `{"socket": "/tmp/s", "timeout": "20s", "fallback": ["/bin/assay", "verify"]}`, 0o600)
	c, err = readConfig(w.path("none"), w.path("config.json"))
	if err != nil || c.socket != "/tmp/s" || time.Duration(c.timeout) != 20*time.Second || !slices.Equal(c.fallback, []string{"/bin/assay", "verify"}) {
		t.Errorf("got %+v, %v", c, err)
	}
	w.write("config.json", `{"fallback": []}`, 0o600)
	if c, err = readConfig(w.path("config.json"), ""); err != nil || len(c.fallback) != 0 {
		t.Errorf("got %+v, %v", c, err)
	}
}

// A configuration that says something else than it seems, or that somebody else can have written, refuses.
func TestT51_ConfigsThatAreRefused(t *testing.T) {
	rows := []struct {
		name, content, want string
		mode                os.FileMode
	}{
		{"empty", "", "no JSON object", 0o600},
		{"no JSON", "socket=/tmp/s", "no JSON object", 0o600},
		{"a list", "[]", "no JSON object", 0o600},
		{"null", "null", "no JSON object", 0o600},
		{"an unknown field", `{"sockets": "/tmp/s"}`, `"sockets" is no field`, 0o600},
		{"another spelling", `{"Socket": "/tmp/s"}`, `"Socket" is no field`, 0o600},
		{"a field twice", `{"fallback": [], "fallback": ["/bin/true"]}`, "twice", 0o600},
		{"something after", `{} {}`, "something after", 0o600},
		{"null for a list", `{"fallback": null}`, "fallback is null", 0o600},
		{"a text for a list", `{"fallback": "/bin/true"}`, "fallback:", 0o600},
		{"a path from here", `{"fallback": ["assay", "verify"]}`, "no absolute path", 0o600},
		{"an empty word", `{"fallback": [""]}`, "no absolute path", 0o600},
		{"a null", `{"fallback": ["/bin/a\u0000b"]}`, "no command line", 0o600},
		{"a socket from here", `{"socket": "node.sock"}`, "no absolute path", 0o600},
		{"no socket", `{"socket": ""}`, "no absolute path", 0o600},
		{"a number for a time", `{"timeout": 9}`, "timeout:", 0o600},
		{"no unit", `{"timeout": "9"}`, "timeout:", 0o600},
		{"no time", `{"timeout": "0s"}`, "timeout: 0s", 0o600},
		{"less than no time", `{"timeout": "-9s"}`, "timeout: -9s", 0o600},
		{"for ever", `{"timeout": "1000h"}`, "timeout: 1000h", 0o600},
		{"written by the group", `{}`, "written by others", 0o660},
		{"written by all", `{}`, "written by others", 0o602},
		{"too large", `{"socket": "/` + strings.Repeat("a", ask.MaxConfig) + `"}`, "more than 65536", 0o600},
	}
	for _, row := range rows {
		w := newWorld(t)
		w.write("config.json", row.content, row.mode)
		line, code := w.run(containerdArgs(name, digest)...)
		if code != exitCannotTell || !strings.Contains(line, row.want) || w.fellBack() != "" {
			t.Errorf("%s: got %d, %q", row.name, code, line)
		}
	}
}

func TestT51_FilesThatAreNoConfig(t *testing.T) {
	rows := map[string]struct {
		prepare func(w *world) error
		want    string
	}{
		"a folder": {func(w *world) error { return os.Mkdir(w.path("config.json"), 0o700) }, "is no file"},
		"a pipe":   {func(w *world) error { return syscall.Mkfifo(w.path("config.json"), 0o600) }, "is no file"},
		"a circle": {func(w *world) error { return os.Symlink("config.json", w.path("config.json")) }, "symbolic links"},
		"somebody else's": {func(w *world) error {
			w.write("config.json", "{}", 0o644)
			return os.Chown(w.path("config.json"), 65534, -1)
		}, "belongs to user 65534"},
		"somebody else's behind a link": {func(w *world) error {
			w.write("other.json", "{}", 0o644)
			if err := os.Chown(w.path("other.json"), 65534, -1); err != nil {
				return err
			}
			return os.Symlink("other.json", w.path("config.json"))
		}, "belongs to user 65534"},
	}
	for what, row := range rows {
		w := newWorld(t)
		err := os.Remove(w.path("config.json"))
		if err == nil {
			err = row.prepare(w)
		}
		if os.Geteuid() != 0 && strings.HasPrefix(what, "somebody") {
			continue // only root can give files away
		}
		if err != nil {
			t.Fatal(err)
		}
		if line, code := w.run(containerdArgs(name, digest)...); code != exitCannotTell || !strings.Contains(line, row.want) {
			t.Errorf("%s: got %d, %q", what, code, line)
		}
	}
}

// A file that is named must be there; else a typing error would be the defaults.
func TestT51_NamedConfig(t *testing.T) {
	w := newWorld(t)
	w.verifier.getenv = func(name string) string {
		return map[string]string{"ASSAY_CONTAINERD_VERIFIER_CONFIG": w.path("mistyped.json")}[name]
	}
	if line, code := w.run(containerdArgs(name, digest)...); code != exitCannotTell || !strings.Contains(line, "mistyped.json: no such file") {
		t.Errorf("got %d, %q", code, line)
	}
	w = newWorld(t)
	w.verifier.getenv = func(string) string { return w.path("config.json") }
	w.verifier.file = w.path("none")
	if line, code := w.run(containerdArgs(name, digest)...); code != exitAllowed {
		t.Errorf("got %d, %q", code, line)
	}
}

// What an operator copies says what holds without it.
func TestConfigOfDeploy(t *testing.T) {
	content, err := os.ReadFile("../../deploy/containerd/containerd-verifier.json")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	got, err := readConfig(w.write("config.json", string(content), 0o600), "")
	want, _ := readConfig(w.path("none"), "")
	if err != nil || got.socket != want.socket || got.timeout != want.timeout || !slices.Equal(got.fallback, want.fallback) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
