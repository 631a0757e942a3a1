package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// guardedEngine is a Docker engine, as far as doctor looks at it.
func guardedEngine(t *testing.T, info string, status int, answer string, unasked bool) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	must(t, err)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(unasked)
	s := &httptest.Server{Listener: l, Config: &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /info":
			fmt.Fprint(w, info)
		case "POST /containers/create":
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"message":%q}`, answer)
		case "POST /assay.dev.Canary/Ask": // gRPC
			w.Header().Set("Content-Type", "application/grpc")
		case "PRI *": // one that speaks HTTP/1 only is asked in HTTP/2
			w.WriteHeader(http.StatusNotFound)
		default:
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
	})}}
	s.Start()
	t.Cleanup(s.Close)
	return socket
}

func TestAUTHZ35_DoctorDocker(t *testing.T) {
	const (
		info   = `{"ServerVersion":%q,"LiveRestoreEnabled":%t,"Plugins":{"Authorization":[%s]}}`
		denied = "authorization denied by plugin assay:x86_64: assay.invalid/signed-by-nobody:1: no"
		absent = "No such image: assay.invalid/signed-by-nobody:1"
	)
	for _, row := range []struct {
		name    string
		version string
		live    bool
		plugins string
		status  int
		answer  string
		flags   []string
		unasked bool // gRPC over HTTP/2
		exit    int
		want    []string
		not     []string
	}{
		{name: "all is well", version: "29.3.1", plugins: `"assay:x86_64"`, status: 403, answer: denied, exit: exitAllowed,
			want: []string{"ok             engine       29.3.1", "ok             plugins      assay:x86_64", "ok             canary", "is refused"}, not: []string{"warning", "hint"}},
		{name: "an old engine", version: "20.10.24+dfsg1", plugins: `"registry.example:5000/acme/assay:x86_64"`, status: 403,
			answer: "authorization denied by plugin registry.example:5000/acme/assay:x86_64: no", exit: exitAllowed,
			want: []string{"warning        engine", "CVE-2024-41110", "CVE-2026-34040", "hint: CVE-2026-34040 is mended in 25.0.16, 29.3.1"}},
		{name: "an unknown engine", version: "dev", plugins: `"assay"`, status: 403, answer: "authorization denied by plugin assay: no", exit: exitAllowed,
			want: []string{`"dev" is no release`}},
		{name: "builds pass", version: "29.3.1", plugins: `"assay:x86_64"`, status: 403, answer: denied, unasked: true, exit: exitAllowed,
			want: []string{"warning        builds", "without asking authorization plugins", "hint: what a build made"}},
		{name: "live-restore", version: "29.3.1", live: true, plugins: `"assay:x86_64"`, status: 403, answer: denied, exit: exitAllowed, want: []string{"warning        live-restore"}},
		{name: "no plugin", version: "29.3.1", status: 404, answer: absent, exit: exitDenied,
			want: []string{"WRONG          plugins      the engine asks no authorization plugin", "WRONG          canary", "daemon.json"}},
		{name: "put in by a reload", version: "20.10.24", status: 403, answer: denied, exit: exitAllowed,
			want: []string{"warning        plugins      assay is asked, though the engine does not list it", "ok             canary"}, not: []string{"WRONG"}},
		{name: "another plugin", version: "29.3.1", plugins: `"opa"`, status: 403, answer: "authorization denied by plugin opa: no", exit: exitDenied,
			want: []string{"WRONG          plugins      assay is not among opa", "could not tell canary", "refused by opa"}},
		{name: "a name that only begins like it", version: "29.3.1", plugins: `"assay-other"`, status: 404, answer: absent, exit: exitDenied, want: []string{"is not among assay-other"}},
		{name: "another name", version: "29.3.1", plugins: `"guard:1"`, status: 403, answer: "authorization denied by plugin guard:1: no", flags: []string{"--plugin", "guard"}, exit: exitAllowed,
			want: []string{"ok             canary"}},
		{name: "asked first", version: "29.3.1", plugins: `"assay:x86_64","opa"`, status: 403, answer: denied, exit: exitAllowed, want: []string{"assay:x86_64 is asked before opa"}},
		{name: "asked last", version: "29.3.1", plugins: `"opa","assay:x86_64"`, status: 403, answer: denied, exit: exitAllowed, want: []string{"opa, then assay:x86_64"}},
		{name: "disabled since", version: "29.3.1", plugins: `"assay:x86_64"`, status: 404, answer: absent, exit: exitDenied,
			want: []string{"ok             plugins", "WRONG          canary", "no longer asked"}},
		{name: "down", version: "29.3.1", plugins: `"assay:x86_64"`, status: 500, answer: "plugin assay:x86_64 failed with error: connection refused", exit: exitCannotTell,
			want: []string{"could not tell canary", "connection refused"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			socket := guardedEngine(t, fmt.Sprintf(info, row.version, row.live, row.plugins), row.status, row.answer, row.unasked)
			got := runAssay(t, "", append([]string{"doctor", "docker", "--docker-socket", socket}, row.flags...)...)
			if got.code != row.exit {
				t.Errorf("got exit %d, want %d", got.code, row.exit)
			}
			for _, want := range row.want {
				if !strings.Contains(got.stdout+got.stderr, want) {
					t.Errorf("lacks %q:\n%s%s", want, got.stdout, got.stderr)
				}
			}
			for _, not := range row.not {
				if strings.Contains(got.stdout+got.stderr, not) {
					t.Errorf("has %q:\n%s%s", not, got.stdout, got.stderr)
				}
			}
		})
	}
	got := runAssay(t, "", "doctor", "docker", "--docker-socket", filepath.Join(t.TempDir(), "none"))
	if got.code != exitCannotTell || !strings.Contains(got.stdout, "could not tell engine") {
		t.Errorf("nobody there: got exit %d %s%s", got.code, got.stdout, got.stderr)
	}
}

// What doctor finds can be read by a program: everything of a finding on one line, and nothing beside it.
func TestFindingsAsJSON(t *testing.T) {
	got := runAssay(t, "", "doctor", "docker", "-o", "json", "--docker-socket", filepath.Join(t.TempDir(), "none"))
	var found struct{ About, State, Text, Hint string }
	if err := json.Unmarshal([]byte(got.stdout), &found); err != nil {
		t.Fatalf("%v in %q", err, got.stdout)
	}
	if got.code != exitCannotTell || found.About != "engine" || found.State != "could-not-tell" || found.Text == "" || strings.Contains(got.stderr, "hint") {
		t.Errorf("got exit %d, %+v and %q", got.code, found, got.stderr)
	}
	for _, command := range []string{"docker", "containerd"} {
		if got := runAssay(t, "", "doctor", command, "-o", "yaml"); got.code != exitUsage || !strings.Contains(got.stderr, "want text or json") {
			t.Errorf("doctor %s: got exit %d and %q", command, got.code, got.stderr)
		}
	}
}
