package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust/sigstore/material"
)

// trustAt runs a command line of assay trust at a time, with an environment.
func trustAt(t *testing.T, at time.Time, env map[string]string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(name string) string { return env[name] }, now: func() time.Time { return at }}
	code := a.run(context.Background(), append([]string{"assay", "trust"}, args...))
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// embedded is when the copy in the program is fresh.
var embedded = time.Date(2026, 5, 13, 0, 0, 0, 0, time.UTC)

func TestTrustShow(t *testing.T) {
	r := trustAt(t, embedded, nil, "show")
	for _, want := range []string{
		"source        embedded: " + material.PublicGoodMirror, "copy in the program, of 2026-05-12", "usable until  2027-05-12",
		"fulcio", "https://rekor.sigstore.dev", "ECDSA P-256", "(not now)",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("lacks %q\n%s", want, r.stdout)
		}
	}
	if r.code != exitAllowed {
		t.Errorf("got exit %d\n%s", r.code, r.stderr)
	}
	r = trustAt(t, embedded, nil, "show", "-o", "json")
	var v struct {
		Source, Kind, Version string
		Stale                 bool
		Members               []struct{ Kind, Key string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || v.Kind != "embedded" || len(v.Version) != 16 || v.Stale || len(v.Members) < 5 {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestTrustShowFile(t *testing.T) {
	file := filepath.Join("..", "..", "trust", "sigstore", "material", "embedded", "trusted_root.json")
	r := trustAt(t, embedded.AddDate(20, 0, 0), nil, "show", "--trusted-root", file)
	if r.code != exitAllowed || !strings.Contains(r.stdout, "given, does not age") || !strings.Contains(r.stderr, "no certificate authority (Fulcio) counts for what is signed now") {
		t.Errorf("got exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{bad, bad + ".not"} {
		if r := trustAt(t, embedded, nil, "show", "--trusted-root", name); r.code != exitUsage || !strings.Contains(r.stderr, name) {
			t.Errorf("%s: got exit %d\n%s", name, r.code, r.stderr)
		}
	}
}

func TestTrustCheck(t *testing.T) {
	rows := []struct {
		name  string
		after time.Duration
		want  int
		says  string
	}{
		{"fresh", 0, exitAllowed, ""},
		{"stale", 10 * 24 * time.Hour, exitDenied, "(the copy in the program): last proved to be current 11 days ago; it is used until 2027-05-12"},
		{"too old", 400 * 24 * time.Hour, exitCannotTell, "at most 365 days are allowed; assay trust update"},
		{"clock set back", -3 * 24 * time.Hour, exitCannotTell, "set the clock"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := trustAt(t, embedded.Add(row.after), nil, "check")
			if r.code != row.want || !strings.Contains(r.stderr, row.says) {
				t.Errorf("got exit %d, want %d\n%s%s", r.code, row.want, r.stdout, r.stderr)
			}
		})
	}
}

func TestTrustCheckEnding(t *testing.T) {
	at := time.Date(2031, 9, 20, 0, 0, 0, 0, time.UTC) // two weeks before the last authority of the file ends
	file := filepath.Join("..", "..", "trust", "sigstore", "material", "embedded", "trusted_root.json")
	r := trustAt(t, at, nil, "check", "--trusted-root", file)
	if r.code != exitDenied || !strings.Contains(r.stderr, "no certificate authority (Fulcio) counts for what will be signed in 30 days") {
		t.Errorf("got exit %d\n%s", r.code, r.stderr)
	}
}

func TestTrustEnvironment(t *testing.T) {
	folder := t.TempDir()
	junk := filepath.Join(folder, "junk")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name string
		env  map[string]string
		want string
	}{
		{"no such file", map[string]string{"SIGSTORE_ROOT_FILE": folder + "/none"}, "SIGSTORE_ROOT_FILE"},
		{"junk certificates", map[string]string{"SIGSTORE_ROOT_FILE": junk}, "SIGSTORE_ROOT_FILE (" + junk + ")"},
		{"junk key", map[string]string{"SIGSTORE_REKOR_PUBLIC_KEY": junk}, "SIGSTORE_REKOR_PUBLIC_KEY"},
		{"junk CT key", map[string]string{"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": junk}, "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE"},
		{"junk time stamps", map[string]string{"SIGSTORE_TSA_CERTIFICATE_FILE": junk}, "SIGSTORE_TSA_CERTIFICATE_FILE"},
		{"mirror without root", map[string]string{"TUF_MIRROR": "https://tuf.example"}, "TUF_ROOT_JSON"},
		{"junk root", map[string]string{"TUF_MIRROR": "https://tuf.example", "TUF_ROOT_JSON": junk}, "TUF_ROOT_JSON (" + junk + ")"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := trustAt(t, embedded, row.env, "show")
			if r.code != exitUsage || !strings.Contains(r.stderr, row.want) {
				t.Errorf("got exit %d\n%s", r.code, r.stderr)
			}
		})
	}
	r := trustAt(t, embedded, map[string]string{"HOME": folder}, "check")
	if r.code != exitAllowed || r.stdout == "" {
		t.Errorf("an empty home: got exit %d\n%s", r.code, r.stderr)
	}
}

func TestTrustUsage(t *testing.T) {
	rows := [][]string{
		{"show", "-o", "xml"}, {"check", "more"}, {"update", "--timeout", "0s"}, {"init", "--timeout", "-1s"}, {"init", "--mirror", "https://tuf.example"},
		{"init", "--root", "/does/not/exist"}, {"nonsense"},
	}
	for _, args := range rows {
		if r := trustAt(t, embedded, nil, args...); r.code != exitUsage || r.stderr == "" {
			t.Errorf("%q: got exit %d\n%s", args, r.code, r.stderr)
		}
	}
}

func TestTrustUpdateFails(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	folder := t.TempDir()
	root := filepath.Join(folder, "root.json")
	if err := os.WriteFile(root, material.PublicGoodRoot(), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"TUF_MIRROR": server.URL, "TUF_ROOT_JSON": root, "HOME": folder}
	r := trustAt(t, embedded, env, "update")
	if r.code != exitCannotTell || !strings.Contains(r.stderr, "assay: fetching "+server.URL) || !strings.Contains(r.stderr, "no such file") {
		t.Errorf("got exit %d\n%s", r.code, r.stderr)
	}
	r = trustAt(t, embedded, nil, "init", "--mirror", server.URL, "--root", root, "--cache", filepath.Join(folder, "cache"))
	if r.code != exitCannotTell {
		t.Errorf("got exit %d\n%s", r.code, r.stderr)
	}
	if _, err := os.Stat(filepath.Join(folder, "cache", "remote.json")); err == nil {
		t.Error("a mirror that cannot be fetched became the default")
	}
	blocked := filepath.Join(folder, "file")
	must(t, os.WriteFile(blocked, nil, 0o600))
	if r = trustAt(t, embedded, nil, "init", "--mirror", server.URL, "--root", root, "--cache", blocked); r.code != exitCannotTell || !strings.Contains(r.stderr, "hint: name another folder with --cache") {
		t.Errorf("got exit %d\n%s", r.code, r.stderr)
	}
	if r = trustAt(t, embedded, nil, "init", "--mirror", server.URL, "--root", root); r.code != exitCannotTell || !strings.Contains(r.stderr, "no folder") {
		t.Errorf("got exit %d\n%s", r.code, r.stderr)
	}
}

func TestTrustUpdateGiven(t *testing.T) {
	file := filepath.Join("..", "..", "trust", "sigstore", "material", "embedded", "trusted_root.json")
	r := trustAt(t, embedded, map[string]string{"SIGSTORE_ROOT_FILE": file}, "update")
	if r.code != exitAllowed || !strings.Contains(r.stdout, "given, nothing to fetch") {
		t.Errorf("got exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestTrustChanges(t *testing.T) {
	from := embedded
	a := material.Member{Kind: "rekor", URL: "https://a.example", Key: "aa", From: from}
	ended := a
	ended.Until = from.AddDate(0, 1, 0)
	b := material.Member{Kind: "tsa", Subject: "CN=b", Key: "bb"}
	got := strings.Join(changed([]material.Member{a, b}, []material.Member{ended, {Kind: "ct", URL: "https://c.example", Key: "cc"}}), "\n")
	want := `  ~ rekor https://a.example aa, valid 2026-05-13 to 2026-06-13, was valid from 2026-05-13
  + ct https://c.example cc, valid always
  - tsa CN=b bb, valid always`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
