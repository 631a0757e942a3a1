package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/assay-dev/assay/enforce/containerd/health"
)

// builtVerifier is the verifier, built once for all tests that install it.
var builtVerifier = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "verifier")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, "built")
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", program, verifierPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return out, err
	}
	return os.ReadFile(program)
})

// verifiers is a folder for verifiers that nobody else can write to, and a verifier to install.
type verifiers struct {
	*testing.T
	root, folder, from, file string
	content                  []byte
}

func newVerifiers(t *testing.T) *verifiers {
	t.Helper()
	content, err := builtVerifier()
	if err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	root := t.TempDir()
	for up := root; up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		must(t, os.Chmod(up, 0o755))
	}
	v := &verifiers{T: t, root: root, folder: filepath.Join(root, "assay", "verifiers"), from: filepath.Join(root, "downloaded"), content: content}
	v.file = filepath.Join(v.folder, verifierName)
	must(t, os.WriteFile(v.from, content, 0o600))
	return v
}

func (v *verifiers) install(flags ...string) result {
	v.Helper()
	return runAssay(v.T, "", append([]string{"containerd", "install", "--bin-dir", v.folder, "--from", v.from}, flags...)...)
}

// installed checks what is there: the verifier alone, root's or whose this process is, and whole.
func (v *verifiers) installed() {
	v.Helper()
	entries, err := os.ReadDir(v.folder)
	must(v.T, err)
	content, err := os.ReadFile(v.file)
	if err != nil || len(entries) != 1 || !bytes.Equal(content, v.content) {
		v.Errorf("got %v, %d bytes, %v", entries, len(content), err)
	}
	for _, name := range []string{v.folder, v.file} {
		info, err := os.Lstat(name)
		must(v.T, err)
		if uid := info.Sys().(*syscall.Stat_t).Uid; info.Mode().Perm() != 0o755 || uid != uint32(os.Geteuid()) {
			v.Errorf("%s: got %v of user %d", name, info.Mode(), uid)
		}
	}
	if above, err := os.ReadDir(filepath.Dir(v.folder)); err != nil || len(above) != 1 {
		v.Errorf("beside the folder: got %v, %v", above, err)
	}
}

func TestContainerdInstall(t *testing.T) {
	v := newVerifiers(t)
	r := v.install()
	if r.code != 0 || !strings.Contains(r.stderr, "assay: installed "+v.file+", sha256 ") || !strings.Contains(r.stderr, "assay doctor containerd") {
		t.Errorf("got %d\n%s", r.code, r.stderr)
	}
	v.installed()
	s, err := health.ReadSettings([]byte(r.stdout))
	if err != nil || s.Folder() != v.folder || s.Max() >= 0 || s.Version != 3 {
		t.Fatalf("got %+v, %v\n%s", s, err, r.stdout)
	}
	for _, b := range health.Bypasses() {
		if !strings.Contains(r.stdout, b.Name) {
			t.Errorf("the settings do not warn of %s", b.Name)
		}
	}
	if r := v.install(); r.code != 0 || !strings.Contains(r.stderr, "there already: ") {
		t.Errorf("again: got %d\n%s", r.code, r.stderr)
	}
	v.installed()
}

// What was there is replaced, whatever it was, and its rights are put in order.
func TestT51_InstallReplaces(t *testing.T) {
	rows := map[string]func(v *verifiers) error{
		"an older one": func(v *verifiers) error { return os.WriteFile(v.file, []byte("older"), 0o755) },
		"a longer one": func(v *verifiers) error { return os.WriteFile(v.file, append(bytes.Clone(v.content), 0), 0o755) },
		"one that others can write": func(v *verifiers) error {
			return firstError(os.WriteFile(v.file, v.content, 0o755), os.Chmod(v.file, 0o777))
		},
		"one that cannot be run": func(v *verifiers) error { return os.WriteFile(v.file, v.content, 0o600) },
		"a link":                 func(v *verifiers) error { return os.Symlink(v.from, v.file) },
		"a link to nothing":      func(v *verifiers) error { return os.Symlink("/nowhere", v.file) },
		"a folder that others can write": func(v *verifiers) error {
			return firstError(os.WriteFile(v.file, v.content, 0o755), os.Chmod(v.folder, 0o777))
		},
		"what was left in the middle": func(v *verifiers) error {
			return os.WriteFile(v.file+".new123", []byte("half"), 0o600)
		},
	}
	for name, prepare := range rows {
		t.Run(name, func(t *testing.T) {
			v := newVerifiers(t)
			must(t, os.MkdirAll(v.folder, 0o755))
			must(t, prepare(v))
			if r := v.install(); r.code != 0 {
				t.Errorf("got %d\n%s", r.code, r.stderr)
			}
			v.installed()
		})
	}
}

// Whoever had the file or the folder before keeps nothing of it: not a file that was opened for writing, whose content is what was to be installed.
func TestT51_InstallLeavesNobodyAHandle(t *testing.T) {
	v := newVerifiers(t)
	must(t, os.MkdirAll(v.folder, 0o755))
	must(t, firstError(os.WriteFile(v.file, v.content, 0o755), os.Chmod(v.file, 0o777)))
	held, err := os.OpenFile(v.file, os.O_RDWR, 0)
	must(t, err)
	defer held.Close()
	if r := v.install(); r.code != 0 {
		t.Errorf("got %d\n%s", r.code, r.stderr)
	}
	_, err = held.WriteAt([]byte("#!/bin/sh\nexit 0\n"), 0)
	must(t, err)
	v.installed()
}

// Nothing is given to root, and no mode changed, in a folder where somebody else writes: what is there could be another thing by then.
func TestT51_InstallTouchesNothingWhereOthersWrite(t *testing.T) {
	v := newVerifiers(t)
	must(t, os.MkdirAll(v.folder, 0o700))
	must(t, firstError(os.Chmod(v.folder, 0o700), os.Chmod(filepath.Dir(v.folder), 0o777)))
	if r := v.install(); r.code != exitDenied {
		t.Errorf("got %d\n%s", r.code, r.stderr)
	}
	if info, err := os.Stat(v.folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A folder of somebody else becomes root's, where root installs.
func TestT51_InstallTakesTheFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	v := newVerifiers(t)
	must(t, os.MkdirAll(v.folder, 0o755))
	must(t, os.WriteFile(v.file, v.content, 0o755))
	must(t, os.Chown(v.file, 65534, 65534))
	must(t, os.Chown(v.folder, 65534, 65534))
	if r := v.install(); r.code != 0 {
		t.Errorf("got %d\n%s", r.code, r.stderr)
	}
	v.installed()
}

// A folder with anything else in it is none for the verifier, unless that is meant.
func TestT51_InstallBesideOthers(t *testing.T) {
	v := newVerifiers(t)
	must(t, os.MkdirAll(v.folder, 0o755))
	must(t, os.WriteFile(filepath.Join(v.folder, "a-note\x1b"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(v.folder, ".hidden"), nil, 0o755))
	r := v.install()
	if r.code != exitDenied || !strings.Contains(r.stderr, "there is also .hidden, a-note\uFFFD") || r.stdout != "" {
		t.Errorf("got %d\n%s", r.code, r.stderr)
	}
	if _, err := os.Lstat(v.file); err == nil {
		t.Error("it was installed")
	}
	r = v.install("--beside", "-o", "json")
	var got installed
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 0 || !got.Changed || len(got.Others) != 2 || len(got.Findings) != 2 || got.Verifier != v.file {
		t.Errorf("got %d, %+v, %v\n%s", r.code, got, err, r.stderr)
	}
	if s, err := health.ReadSettings([]byte(got.Settings)); err != nil || s.Folder() != v.folder {
		t.Errorf("got %+v, %v", s, err)
	}
}

// Where somebody else decides what is in the folder, nothing is installed.
func TestT51_InstallWhereOthersWrite(t *testing.T) {
	rows := map[string]struct {
		prepare func(v *verifiers) error
		want    string
	}{
		"the folder above":  {func(v *verifiers) error { return os.Chmod(filepath.Dir(v.folder), 0o777) }, "can be written by others"},
		"far above":         {func(v *verifiers) error { return os.Chmod(v.root, 0o775) }, "can be written by others"},
		"somebody's":        {func(v *verifiers) error { return os.Chown(filepath.Dir(v.folder), 65534, -1) }, "is owned by user 65534"},
		"a link":            {func(v *verifiers) error { return os.Symlink(v.root, v.folder) }, "is a link"},
		"a link to nothing": {func(v *verifiers) error { return os.Symlink("/nowhere", v.folder) }, "is a link"},
		"a file":            {func(v *verifiers) error { return os.WriteFile(v.folder, nil, 0o600) }, "is no folder"},
		"a link on the way": {func(v *verifiers) error {
			open := filepath.Join(v.root, "open")
			v.folder = filepath.Join(v.root, "link", "verifiers")
			return firstError(os.Mkdir(open, 0o755), os.Chmod(open, 0o777), os.Symlink(open, filepath.Join(v.root, "link")))
		}, "can be written by others"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			if name == "somebody's" && os.Geteuid() != 0 {
				t.Skip("only root can give files away")
			}
			v := newVerifiers(t)
			must(t, os.MkdirAll(filepath.Dir(v.folder), 0o755))
			must(t, row.prepare(v))
			r := v.install()
			if r.code != exitDenied || r.stdout != "" || !strings.Contains(r.stderr, row.want) {
				t.Errorf("got %d\n%s", r.code, r.stderr)
			}
			if _, err := os.Lstat(filepath.Join(v.folder, verifierName)); err == nil {
				t.Error("it was installed")
			}
		})
	}
}

// Another program in the verifier's place would refuse all images, or allow them.
func TestT51_InstallAnotherProgram(t *testing.T) {
	folder := t.TempDir()
	other := filepath.Join(folder, "other")
	if out, err := exec.Command("go", "build", "-o", other, "../../e2e/hello").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	script := filepath.Join(folder, "script")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\nexit 0\n"), 0o755))
	cut := filepath.Join(folder, "cut")
	must(t, os.WriteFile(cut, newVerifiers(t).content[:1000], 0o755))
	for from, want := range map[string]string{
		other: "is not Assay's verifier", script: "is not Assay's verifier", cut: "is not Assay's verifier", filepath.Join(folder, "none"): "no such file", folder: "is a directory",
	} {
		v := newVerifiers(t)
		r := runAssay(t, "", "containerd", "install", "--bin-dir", v.folder, "--from", from)
		if r.code == 0 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: got %d\n%s", from, r.code, r.stderr)
		}
		if _, err := os.Lstat(v.folder); err == nil {
			t.Errorf("%s: the folder was made", from)
		}
	}
}

func TestContainerdUsage(t *testing.T) {
	for _, flags := range [][]string{
		{"install", "--bin-dir", ""}, {"install", "--bin-dir", "verifiers"}, {"install", "--bin-dir", "/"}, {"install", "--bin-dir", "/x/.."}, {"install", "-o", "yaml"},
		{"install", "--from", ""}, {"install", "more"}, {"uninstall", "--bin-dir", ""}, {"uninstall", "--bin-dir", "verifiers"}, {"uninstall", "-o", "yaml"}, {"uninstall", "more"},
	} {
		if r := runAssay(t, "", append([]string{"containerd"}, flags...)...); r.code != exitUsage {
			t.Errorf("%v: got %d\n%s", flags, r.code, r.stderr)
		}
	}
}

func TestContainerdUninstall(t *testing.T) {
	v := newVerifiers(t)
	if r := v.install(); r.code != 0 {
		t.Fatal(r.stderr)
	}
	r := runAssay(t, "", "containerd", "uninstall", "--bin-dir", v.folder)
	if r.code != 0 || r.stdout != "removed "+v.file+"\n" || !strings.Contains(r.stderr, "allows every image") {
		t.Errorf("got %d %s\n%s", r.code, r.stdout, r.stderr)
	}
	if _, err := os.Lstat(v.file); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
	must(t, os.WriteFile(filepath.Join(v.folder, "other"), nil, 0o755))
	r = runAssay(t, "", "containerd", "uninstall", "--bin-dir", v.folder, "-o", "json")
	var got struct {
		Verifier           string
		Changed, Unguarded bool
	}
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 0 || got.Changed || got.Unguarded || got.Verifier != v.file {
		t.Errorf("got %d, %+v, %v", r.code, got, err)
	}
	r = runAssay(t, "", "containerd", "uninstall", "--bin-dir", filepath.Join(v.root, "none"))
	if r.code != 0 || !strings.Contains(r.stdout, "not there: ") {
		t.Errorf("got %d %s", r.code, r.stdout)
	}
	must(t, os.Remove(filepath.Join(v.folder, "other")))
	must(t, os.MkdirAll(filepath.Join(v.file, "in the way"), 0o755))
	if r = runAssay(t, "", "containerd", "uninstall", "--bin-dir", v.folder); r.code != exitCannotTell {
		t.Errorf("got %d %s", r.code, r.stderr)
	}
}

// What an operator copies is what install prints.
func TestContainerdSettingsOfDeploy(t *testing.T) {
	content, err := fs.ReadFile(os.DirFS("../../deploy/containerd"), "assay.toml")
	must(t, err)
	if string(content) != containerdSettings(defaultVerifiers) {
		t.Errorf("deploy/containerd/assay.toml is not what assay containerd install prints; it would print\n%s", containerdSettings(defaultVerifiers))
	}
}
