package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/policy"
)

// T51: what the verifier goes by without a daemon is on the node itself, and is replaced only by what can be used.
func TestT51_FallbackIsOnTheNode(t *testing.T) {
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	put := func(name, content string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(in(name)), 0o755))
		must(t, os.WriteFile(in(name), []byte(content), 0o600))
	}
	const policyText = "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: own}\nspec:\n  authorities: {ci: {certificate: {rootsFiles: [ci.pem], san: required}}}\n  rules: [{images: [\"registry.example/assay\"], require: ci}]\n"
	// As Kubernetes brings files: behind links, of which a hidden one changes.
	put("map/..1/own.yaml", policyText)
	put("map/..1/ci.pem", string(newAuthority(t, "ci").pem))
	must(t, os.Symlink("..1", in("map/..data")))
	must(t, os.Symlink("..data/own.yaml", in("map/own.yaml")))
	must(t, os.Symlink("..data/ci.pem", in("map/ci.pem")))
	put("registries/registries.yaml", "registries:\n- {host: registry.example, caFile: ca.pem}\n")
	put("registries/ca.pem", string(newAuthority(t, "tls").pem))
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: &out, getenv: func(string) string { return "" }, now: time.Now}
	install := func() error {
		return a.containerdFallback(&containerdFallback{
			policies: in("map"), registries: in("registries/registries.yaml"), folder: in("to"), config: in("etc/verifier.json"), socket: "/run/assay/node.sock",
		})
	}
	must(t, install())
	var config verifierConfig
	content, err := os.ReadFile(in("etc/verifier.json"))
	must(t, err)
	must(t, json.Unmarshal(content, &config))
	want := []string{in("to/assay"), "verify", "--point", "containerd", "--policy", in("to/policies"), "-o", "json", "--registries", in("to/registries/registries.yaml")}
	if config.Socket != "/run/assay/node.sock" || !slices.Equal(config.Fallback, want) {
		t.Errorf("got %+v", config)
	}
	for name, mode := range map[string]os.FileMode{"to/assay": 0o755, "to/policies/own.yaml": 0o600, "to/policies/ci.pem": 0o600, "to/registries/ca.pem": 0o600, "etc/verifier.json": 0o644} {
		info, err := os.Lstat(in(name))
		if err != nil || !info.Mode().IsRegular() || runtime.GOOS != "windows" && info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	// What is there can be used from there, and by itself.
	r := runAssay(t, "", append(slices.Clone(config.Fallback[1:]), "registry.example/other:1")...)
	if r.code != exitDenied || !strings.Contains(r.stdout, `"allowed":false`) {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}

	// The next version has other files; those before are gone.
	put("map/..2/next.yaml", strings.Replace(strings.Replace(policyText, "name: own", "name: next", 1), "ci.pem", "next.pem", 1))
	put("map/..2/next.pem", string(newAuthority(t, "ci").pem))
	for _, name := range []string{"map/..data", "map/own.yaml", "map/ci.pem"} {
		must(t, os.Remove(in(name)))
	}
	must(t, os.Symlink("..2/next.yaml", in("map/next.yaml")))
	must(t, os.Symlink("..2/next.pem", in("map/next.pem")))
	must(t, install())
	if files, err := plainFiles(in("to/policies")); err != nil || !slices.Equal(files, []string{"next.pem", "next.yaml"}) {
		t.Errorf("got %q, %v", files, err)
	}

	// Where others can write, what is there would be theirs.
	must(t, os.Chmod(in("to"), 0o777))
	put("map/..2/next.pem", string(newAuthority(t, "other").pem))
	whole, err := os.ReadFile(in("to/policies/next.pem"))
	must(t, err)
	if code := a.report(install()); code != exitDenied || !strings.Contains(out.String(), "can be written by others") {
		t.Errorf("got exit %d\n%s", code, &out)
	}
	if after, err := os.ReadFile(in("to/policies/next.pem")); err != nil || !bytes.Equal(after, whole) {
		t.Errorf("got %s, %v", after, err)
	}
	must(t, os.Chmod(in("to"), 0o755))

	// One that cannot be used changes nothing.
	before, err := os.ReadFile(in("to/policies/next.yaml"))
	must(t, err)
	put("map/..2/next.yaml", strings.Replace(string(before), "require", "reqire", 1))
	if code := a.report(install()); code != exitUsage {
		t.Errorf("got exit %d\n%s", code, &out)
	}
	if after, err := os.ReadFile(in("to/policies/next.yaml")); err != nil || !bytes.Equal(after, before) {
		t.Errorf("got %s, %v", after, err)
	}
	put("map/..2/next.yaml", string(before))
	put("registries/registries.yaml", "registries:\n- {host: registry.example, caFlie: ca.pem}\n")
	if code := a.report(install()); code != exitUsage {
		t.Errorf("settings of registries: got exit %d\n%s", code, &out)
	}
	if after, err := os.ReadFile(in("to/registries/registries.yaml")); err != nil || strings.Contains(string(after), "caFlie") {
		t.Errorf("got %s, %v", after, err)
	}
}

// T51: whoever writes where the fallback is decides what runs as root, and what is decided.
func TestT51_FallbackWhereOthersWrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no containerd with a verifier")
	}
	for _, open := range []string{"to", "to/policies", "to/registries", "etc", "."} {
		folder := t.TempDir()
		in := func(name string) string { return filepath.Join(folder, name) }
		for name, content := range map[string]string{
			"map/own.yaml":               "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: own}\nspec: {rules: [{images: [\"**\"], deny: nobody}]}\n",
			"registries/registries.yaml": "registries:\n- host: registry.example\n  insecureAllowLoopback: true\n",
		} {
			must(t, os.MkdirAll(filepath.Dir(in(name)), 0o755))
			must(t, os.WriteFile(in(name), []byte(content), 0o600))
		}
		must(t, os.MkdirAll(in(open), 0o755))
		must(t, os.Chmod(in(open), 0o777))
		var out bytes.Buffer
		a := &app{stdout: &out, stderr: &out, getenv: func(string) string { return "" }, now: time.Now}
		code := a.report(a.containerdFallback(&containerdFallback{
			policies: in("map"), registries: in("registries/registries.yaml"), folder: in("to"), config: in("etc/verifier.json"), socket: "/run/assay/node.sock",
		}))
		if code != exitDenied || !strings.Contains(out.String(), "can be written by others") {
			t.Errorf("%s: got exit %d\n%s", open, code, &out)
		}
		if _, err := os.Lstat(in("etc/verifier.json")); err == nil {
			t.Errorf("%s: the settings name it", open)
		}
	}
}

// A file that is too long is none: the beginning of one says another thing.
func TestT51_FallbackOfWholeFiles(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(from, "long.pem"), bytes.Repeat([]byte("x\n"), policy.MaxFile/2+1), 0o600))
	if err := copyFolder(from, to); err == nil || !strings.Contains(err.Error(), "long.pem: more than") {
		t.Errorf("got %v", err)
	}
	if files, err := plainFiles(to); err != nil || len(files) > 0 {
		t.Errorf("got %q, %v", files, err)
	}
}

// T51: a program that somebody else has opened for writing is replaced, whatever it is now.
func TestT51_FallbackLeavesNobodyAHandle(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no containerd with a verifier")
	}
	folder := t.TempDir()
	own, err := os.Executable()
	must(t, err)
	content, err := os.ReadFile(own)
	must(t, err)
	name := filepath.Join(folder, "assay")
	must(t, os.WriteFile(name, content, 0o755))
	must(t, os.Chmod(name, 0o777))
	held, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer held.Close()
	must(t, (&containerdFallback{folder: folder}).program())
	_, err = held.WriteAt([]byte("#!/bin/sh\n"), 0)
	must(t, err)
	if after, err := os.ReadFile(name); err != nil || !bytes.Equal(after, content) {
		t.Errorf("got %d bytes, %v", len(after), err)
	}
}
