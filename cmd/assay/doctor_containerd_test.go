//go:build unix

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-dev/assay/enforce/containerd/ask"
	"github.com/assay-dev/assay/enforce/containerd/health/healthtest"
)

// guardedContainerd is a containerd as far as doctor looks at it: what runs, its settings, its folder of verifiers, and a node daemon.
type guardedContainerd struct {
	*healthtest.Containerd
	t        *testing.T
	settings string // a dump of enforce/containerd/health/testdata
	change   func(dump string) string
	folder   string
	verifier string
	fallback int // exit code of the verifier where there is no daemon
	node     ask.Answer
	away     bool // the daemon
}

// doctor runs doctor with flags that are added.
func (g *guardedContainerd) doctor(flags ...string) result {
	g.t.Helper()
	root := g.t.TempDir()
	for up := root; up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		must(g.t, os.Chmod(up, 0o755))
	}
	g.folder, g.verifier = filepath.Join(root, "verifiers"), filepath.Join(root, verifierName)
	must(g.t, os.Mkdir(g.folder, 0o755))
	program := fmt.Sprintf("#!/bin/sh\necho assay: nobody is here\nexit %d\n", g.fallback)
	for _, name := range []string{g.verifier, filepath.Join(g.folder, verifierName)} {
		must(g.t, os.WriteFile(name, []byte(program), 0o755))
	}
	content, err := os.ReadFile("../../enforce/containerd/health/testdata/dumps/" + g.settings + ".toml")
	must(g.t, err)
	dump := strings.ReplaceAll(string(content), "/opt/containerd/image-verifier/bin", g.folder)
	if g.change != nil {
		dump = g.change(dump)
	}
	file := filepath.Join(root, "dump.toml")
	must(g.t, os.WriteFile(file, []byte(dump), 0o600))
	socket := filepath.Join(root, "none.sock")
	if !g.away {
		socket = g.daemon()
	}
	return runAssay(g.t, "", append([]string{"doctor", "containerd", "--containerd-socket", g.Start(g.t), "--dump", file, "--verifier", g.verifier,
		"--verifier-config", filepath.Join(root, "none.json"), "--node", socket}, flags...)...)
}

// daemon answers as a node daemon does.
func (g *guardedContainerd) daemon() (socket string) {
	socket = filepath.Join(g.t.TempDir(), "node.sock")
	l, err := net.Listen("unix", socket)
	must(g.t, err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(g.node.Encode()) })}
	go func() { _ = s.Serve(l) }() // it ends by Close
	g.t.Cleanup(func() { _ = s.Close() })
	return socket
}

func TestT51_DoctorContainerd(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("what decides must be root's")
	}
	refuses := healthtest.Refuse(verifierName, "assay: no rule")
	denied := ask.No(ask.Denied, "no rule")
	allowed := ask.Answer{Form: ask.Form, Allowed: true, Meaning: ask.Allowed, Reason: "assay: yes"}
	for _, row := range []struct {
		name   string
		c      *healthtest.Containerd
		images []healthtest.Image
		g      guardedContainerd
		flags  []string
		exit   int
		want   []string
		not    []string
	}{
		{name: "all is well", c: &healthtest.Containerd{Verifier: refuses}, g: guardedContainerd{node: denied, fallback: 1}, exit: exitAllowed,
			want: []string{"ok             plugin", "ok             pulls", "ok             deadline     containerd waits 10s for a verifier, and Assay's takes up to 9s", "ok             folder", "ok             verifier",
				"ok             fallback", "ok             node", "ok             containerd   2.4.2", "ok             running", "ok             canary", "is refused: no rule", "ok             images       none is here"},
			not: []string{"warning", "hint"}},
		{name: "no daemon", c: &healthtest.Containerd{Verifier: refuses}, g: guardedContainerd{away: true, fallback: 1}, exit: exitAllowed,
			want: []string{"warning        node", "decided about by what the verifier runs then", "systemctl status"}},
		{name: "no fallback that works", c: &healthtest.Containerd{Verifier: refuses}, g: guardedContainerd{node: denied, fallback: 2}, exit: exitAllowed,
			want: []string{"warning        fallback", "nobody is here"}},
		{name: "a fallback that allows all", c: &healthtest.Containerd{Verifier: refuses}, g: guardedContainerd{node: denied, fallback: 0}, exit: exitDenied,
			want: []string{"WRONG          fallback"}},
		{name: "a daemon that allows all", c: &healthtest.Containerd{Verifier: refuses}, g: guardedContainerd{node: allowed, fallback: 1}, exit: exitDenied,
			want: []string{"WRONG          node"}},
		{name: "a setting", c: &healthtest.Containerd{}, g: guardedContainerd{settings: "use_local_image_pull", node: denied, fallback: 1}, exit: exitDenied,
			want: []string{"WRONG          pulls        use_local_image_pull", "WRONG          canary", "it was pulled; it was removed again"}},
		{name: "an empty folder", c: &healthtest.Containerd{}, g: guardedContainerd{node: denied, fallback: 1, change: func(dump string) string {
			return strings.ReplaceAll(dump, "/verifiers'", "/nowhere'")
		}}, exit: exitDenied, want: []string{"WRONG          folder", "does not exist", "WRONG          canary"}},
		{name: "nobody is asked", c: &healthtest.Containerd{}, g: guardedContainerd{settings: "none", node: denied, fallback: 1}, exit: exitDenied, want: []string{"WRONG          max_verifiers", "WRONG          verifier"}},
		{name: "disabled", c: &healthtest.Containerd{NotLoaded: true}, g: guardedContainerd{settings: "disabled", node: denied, fallback: 1}, exit: exitDenied,
			want: []string{"WRONG          plugin", "WRONG          running", "WRONG          canary"}, not: []string{"folder"}},
		{name: "an imported image", c: &healthtest.Containerd{Verifier: refuses}, images: []healthtest.Image{{Name: "docker.io/library/x:1", Digest: "sha256:" + strings.Repeat("1", 64)}},
			g: guardedContainerd{node: denied, fallback: 1}, exit: exitDenied, want: []string{"ok             canary", "WRONG          images", "docker.io/library/x:1: no rule"}},
		{name: "an imported image and nobody to ask", c: &healthtest.Containerd{Verifier: refuses}, images: []healthtest.Image{{Name: "docker.io/library/x:1", Digest: "sha256:" + strings.Repeat("1", 64)}},
			g: guardedContainerd{fallback: 1}, flags: []string{"--node", ""}, exit: exitDenied, want: []string{"WRONG          images       no pull brought these"}, not: []string{"  node"}},
		{name: "a pulled image and nobody to ask", c: &healthtest.Containerd{Verifier: refuses}, images: []healthtest.Image{{Name: "docker.io/library/x:1", Digest: "sha256:" + strings.Repeat("1", 64), Labels: map[string]string{"containerd.io/distribution.source.docker.io": "library/x"}}},
			g: guardedContainerd{away: true, fallback: 1}, flags: []string{"--present"}, exit: exitCannotTell, want: []string{"could not tell images       these were pulled"}, not: []string{"no pull brought"}},
		{name: "another verifier refuses", c: &healthtest.Containerd{Verifier: healthtest.Refuse("opa", "no")}, g: guardedContainerd{node: denied, fallback: 1}, exit: exitCannotTell,
			want: []string{"could not tell canary", "refused by opa"}},
		{name: "settings that nobody can read", c: &healthtest.Containerd{Verifier: refuses}, g: guardedContainerd{node: denied, fallback: 1, change: func(string) string { return "x" }}, exit: exitCannotTell,
			want: []string{"could not tell settings", "ok             canary"}},
		{name: "an old containerd", c: &healthtest.Containerd{Verifier: refuses, Number: "2.2.0"}, g: guardedContainerd{node: denied, fallback: 1}, exit: exitAllowed,
			want: []string{"warning        containerd   2.2.0 has CVE-2026-50195"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.g.t, row.g.Containerd = t, row.c
			if row.g.settings == "" {
				row.g.settings = "default"
			}
			for _, i := range row.images {
				row.c.Put(i)
			}
			got := row.g.doctor(row.flags...)
			if got.code != row.exit {
				t.Errorf("got exit %d, want %d", got.code, row.exit)
			}
			for _, want := range row.want {
				if !strings.Contains(got.stdout+got.stderr, want) {
					t.Errorf("lacks %q", want)
				}
			}
			for _, not := range row.not {
				if strings.Contains(got.stdout+got.stderr, not) {
					t.Errorf("has %q", not)
				}
			}
			if t.Failed() {
				t.Logf("%s%s", got.stdout, got.stderr)
			}
		})
	}
}

// The settings are those that containerd itself puts together.
func TestDoctorContainerdReadsSettings(t *testing.T) {
	folder := t.TempDir()
	config, program, socket := filepath.Join(folder, "config.toml"), filepath.Join(folder, "containerd"), filepath.Join(folder, "none.sock")
	must(t, os.WriteFile(program, []byte("#!/bin/sh\ntest \"$*\" = \"--config "+config+" config dump\" || exit 1\necho noise >&2\necho version = 4\n"), 0o755))
	look := func(stdin string, flags ...string) result {
		return runAssay(t, stdin, append([]string{"doctor", "containerd", "--node", "", "--verifier", program, "--containerd-socket"}, flags...)...)
	}
	if got := look("", socket, "--containerd-bin", program, "--containerd-config", config); got.code != exitCannotTell || !strings.Contains(got.stdout, "could not tell settings") ||
		!strings.Contains(got.stdout, "could not tell containerd") {
		t.Errorf("no file: got exit %d %s%s", got.code, got.stdout, got.stderr)
	}
	must(t, os.WriteFile(config, nil, 0o600))
	for name, got := range map[string]result{
		"run":   look("", "", "--containerd-bin", program, "--containerd-config", config),
		"stdin": look("version = 4", "", "--dump", "-"),
	} {
		if got.code != exitDenied || !strings.Contains(got.stdout, "WRONG          plugin") {
			t.Errorf("%s: got exit %d %s%s", name, got.code, got.stdout, got.stderr)
		}
	}
	must(t, os.WriteFile(program, []byte("#!/bin/sh\necho no such setting >&2\nexit 1\n"), 0o755))
	if got := look("", "", "--containerd-bin", program, "--containerd-config", config); got.code != exitCannotTell || !strings.Contains(got.stdout, "no such setting") {
		t.Errorf("a containerd that cannot read them: got exit %d %s%s", got.code, got.stdout, got.stderr)
	}
	for _, flags := range [][]string{{"", "--present"}, {"", "--containerd-bin", ""}} {
		if got := look("", flags...); got.code != exitUsage {
			t.Errorf("%v: got exit %d %s", flags, got.code, got.stderr)
		}
	}
}
