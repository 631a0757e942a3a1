package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/registry"
)

const acceptedWithoutALook = "repositories:\n- {name: 'registry\\.example/%s/.*', trust: {enabled: false}}\n"

func TestCSE37_TrustFileIsObeyedAndReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trust.yaml")
	replace(t, file, fmt.Sprintf(acceptedWithoutALook, "a"))
	r := servePoint(t, "kubernetes", "--trust-file", file, "--insecure-plain-http",
		"--kubeconfig", apiServer(t, "shop"))
	r.until("it is ready", func() bool { status, _, _ := r.ask("/readyz", ""); return status == 200 })
	runs := func(team string) bool { ok, _ := r.admitted("shop", "registry.example/"+team+"/app:1"); return ok }
	if !runs("a") {
		t.Error("row 3: trust is not enabled, and the image is denied")
	}
	if ok, text := r.admitted("shop", "registry.example/b/app:1"); ok || !strings.Contains(text, "No repository matched") {
		t.Errorf("row 2: got allowed %v: %s", ok, text)
	}
	if note := fmt.Sprint(r.log.find("trust file: a meaning has changed")["note"]); !strings.Contains(note, "before: ") || !strings.Contains(note, "; now: ") {
		t.Errorf("the log has no changed meaning: %s", note)
	}

	replace(t, file, fmt.Sprintf(acceptedWithoutALook, "b"))
	r.until("the new file is in force", func() bool { return runs("b") && !runs("a") })
	for _, bad := range []string{"", "repositories: []\n", "repositories: [{name: x}]\n", "nonsense: 1\n"} {
		replace(t, file, bad)
		r.until("the bad file is counted", func() bool { return r.metric(`assay_reload_refused{what="trust-file"} 1`) })
		if !runs("b") || runs("a") {
			t.Errorf("%q: what was in force before is not any more", bad)
		}
		replace(t, file, fmt.Sprintf(acceptedWithoutALook, "b"))
		r.until("the good file counts", func() bool { return r.metric(`assay_reload_refused{what="trust-file"} 0`) })
	}
}

// In another mode nothing is denied, and what would be is said.
func TestConvertedMode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trust.yaml")
	replace(t, file, fmt.Sprintf(acceptedWithoutALook, "a"))
	r := serveWith(t, map[string]string{diaRoots: "../../examples/ca/ci.pem", diaSkipVerify: "true"}, "kubernetes", "--trust-file", file, "--dia-environment", "--converted-mode", "warn",
		"--insecure-plain-http", "--kubeconfig", apiServer(t, "shop"))
	r.until("it is ready", func() bool { status, _, _ := r.ask("/readyz", ""); return status == 200 })
	if ok, text := r.admitted("shop", "registry.invalid/b/app:1"); !ok {
		t.Errorf("denied: %s", text)
	}
	// DIA-31: what is allowed while TLS of registries is not checked is counted.
	if !r.metric(`assay_weakened_total{field="DIAWH_REGISTRY_SKIP_VERIFY"} 1`) {
		t.Error("the weakened check was not counted")
	}
	for _, row := range [][]string{{"--converted-mode", "warn", "--policy", servedPolicy(t, "a")}, {"--converted-mode", "off", "--trust-file", file}} {
		got := runAssay(t, "", append([]string{"serve", "kubernetes", "--insecure-plain-http"}, row...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, "--converted-mode") {
			t.Errorf("%v: got exit %d %s", row, got.code, got.stderr)
		}
	}
}

func TestCSE22_StrictIsAFlag(t *testing.T) {
	whole, err := os.ReadFile("../../convert/testdata/trust.yaml")
	must(t, err)
	file := filepath.Join(t.TempDir(), "trust.yaml")
	for _, row := range []struct {
		name, head string
		given      bool
		strict     bool
		want       string
	}{
		{"nobody says", "", false, true, "digest: pin"},
		{"the file says no", "strict: false\n", false, true, "digest: insecureReplace"},
		{"the flag says no", "", true, false, "digest: insecureReplace"},
	} {
		t.Run(row.name, func(t *testing.T) {
			replace(t, file, row.head+string(whole))
			o := &trustFileOptions{app: &app{now: time.Now}, file: file, strict: row.strict, given: row.given}
			result, err := o.convert(&reading{})
			must(t, err)
			if replaced := strings.Contains(string(result.Policy), "insecureReplace"); replaced != strings.Contains(row.want, "insecureReplace") {
				t.Errorf("want %s:\n%s", row.want, result.Policy)
			}
		})
	}
	got := runAssay(t, "", "serve", "kubernetes", "--policy", servedPolicy(t, "a"), "--insecure-plain-http", "--trust-file-strict=false")
	if got.code != exitUsage || !strings.Contains(got.stderr, "without --trust-file") {
		t.Errorf("got exit %d %s", got.code, got.stderr)
	}
}

// The login of a trust server goes to that server's settings only; settings that were written for it count.
func TestCSE40_LoginsOfATrustFile(t *testing.T) {
	o := &trustFileOptions{app: &app{now: time.Now}, file: "../../convert/testdata/trust.yaml"}
	const notary = "notary-server.notary.svc:4443"
	for _, row := range []struct {
		name  string
		given []registry.Settings
		want  registry.Settings
	}{
		{"no settings", nil, registry.Settings{Host: notary, Username: "reader", Password: "not-to-be-shown"}},
		{"a CA", []registry.Settings{{Host: notary, CAFile: "ca.pem"}}, registry.Settings{Host: notary, CAFile: "ca.pem", Username: "reader", Password: "not-to-be-shown"}},
		{"a login", []registry.Settings{{Host: notary, Username: "me", PasswordFile: "p"}}, registry.Settings{Host: notary, Username: "me", PasswordFile: "p"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			all, err := o.registries(&reading{}, row.given)
			must(t, err)
			for _, s := range all {
				if s.Host == notary && (s.Username != row.want.Username || s.Password != row.want.Password || s.PasswordFile != row.want.PasswordFile || s.CAFile != row.want.CAFile) {
					t.Errorf("got %+v", s)
				}
				if s.Host != notary && s.Username != "" {
					t.Errorf("%s has a login", s.Host)
				}
			}
			if len(all) != 2 {
				t.Errorf("got %d hosts, want both of the file", len(all))
			}
		})
	}
}

// No password of the file stands in the log.
func TestCSE40_PasswordsStayOutOfTheLog(t *testing.T) {
	r := servePoint(t, "kubernetes", "--trust-file", "../../convert/testdata/trust.yaml", "--insecure-plain-http",
		"--kubeconfig", apiServer(t))
	if r.log.find("trust file: a check is weaker than it need be") == nil {
		t.Error("the log has no warning about roots that are trusted on first use")
	}
	if strings.Contains(r.log.String(), "not-to-be-shown") {
		t.Error("the log has the password")
	}
}
