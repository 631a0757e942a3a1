package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// transitServer is Vault's transit engine with one key for all names.
func transitServer(t *testing.T) *httptest.Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{
			"type": "ecdsa-p256", "latest_version": 1, "keys": map[string]any{"1": map[string]any{"public_key": text}},
		}})
	}))
	t.Cleanup(s.Close)
	return s
}

// What a policy names, and a key, are shown, checked and fetched as what the installation gives is.
func TestTrustOfPolicies(t *testing.T) {
	repo, vault := newTUFServer(t, embedded), transitServer(t)
	file := repo.policy(t)
	env := map[string]string{"HOME": t.TempDir(), "VAULT_ADDR": vault.URL, "VAULT_TOKEN": "x"}
	key := []string{"--key", "hashivault://release"}
	rows := []struct {
		name   string
		after  int // days
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"check before", 0, []string{"check", "-p", file}, exitCannotTell, "", "was never fetched; assay trust update --policy FILE fetches it"},
		{"check the key before", 0, append([]string{"check"}, key...), exitCannotTell, "", "assay trust update --key hashivault://release fetches it"},
		{"update", 0, []string{"update", "-p", file}, exitAllowed, repo.URL + ": version ", "fetching " + repo.URL},
		{"update of the key", 0, append([]string{"update"}, key...), exitAllowed, "  + key hashivault://release SHA256:", ""},
		{"update again", 0, append([]string{"update", "-p", file}, key...), exitAllowed, " is current", ""},
		{"check", 0, append([]string{"check", "-p", file}, key...), exitAllowed, "hashivault://release: version ", ""},
		{"show", 0, append([]string{"show", "-p", file}, key...), exitAllowed, "tuf: " + repo.URL, ""},
		{"show as JSON", 0, append([]string{"show", "-p", file, "-o", "json"}, key...), exitAllowed, `"source":"hashivault://release","kind":"kms"`, ""},
		{"check when stale", 20, []string{"check", "-p", file}, exitDenied, repo.URL, "assay trust update --policy FILE fetches it"},
		{"check the key when stale", 20, append([]string{"check"}, key...), exitDenied, "", "assay trust update --key hashivault://release fetches it"},
		{"the installation's is another", 0, []string{"show"}, exitAllowed, "embedded: ", ""},
		{"policy and file", 0, []string{"check", "-p", file, "--trusted-root", embeddedFile}, exitUsage, "", "ask for each of them alone"},
		{"no policy", 0, []string{"update", "-p", file + ".not"}, exitUsage, "", file + ".not"},
		{"no key", 0, []string{"update", "--key", "cosign.pub"}, exitUsage, "", "is no reference to a key"},
		{"a path for a key", 0, []string{"update", "--key", "hashivault://a/b"}, exitUsage, "", "is no reference to a key in Vault"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := trustAt(t, embedded.AddDate(0, 0, row.after), env, row.args...)
			if r.code != row.code || !strings.Contains(r.stdout, row.stdout) || !strings.Contains(r.stderr, row.stderr) {
				t.Errorf("got exit %d, want %d\n%s%s", r.code, row.code, r.stdout, r.stderr)
			}
		})
	}
	given := policyFile(t, "keyless: {identities: [{issuer: https://a.example, subject: b}]}", "trustedRoot: {parts: {rekorKeys: ''}}")
	if r := trustAt(t, embedded, env, "update", "-p", given); r.code != exitUsage {
		t.Errorf("a broken policy: got exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	abs, err := filepath.Abs(embeddedFile)
	must(t, err)
	given = policyFile(t, "keyless: {identities: [{issuer: https://a.example, subject: b}]}", "trustedRoot: {file: "+abs+"}")
	if r := trustAt(t, embedded, env, "update", "-p", given); r.code != exitAllowed || !strings.Contains(r.stdout, "nothing that is fetched") {
		t.Errorf("a file: got exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// What was fetched and could not be kept did not succeed.
func TestTrustUpdateUnkept(t *testing.T) {
	repo, vault := newTUFServer(t, embedded), transitServer(t)
	env := map[string]string{"HOME": t.TempDir(), "VAULT_ADDR": vault.URL, "VAULT_TOKEN": "x", "TUF_MIRROR": repo.URL, "TUF_ROOT_JSON": repo.root}
	blocked := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(blocked, nil, 0o600))
	half := t.TempDir()
	must(t, os.WriteFile(filepath.Join(half, "kms"), nil, 0o600))
	rows := []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"no folder", env, []string{"--cache", blocked}, repo.URL + ": was fetched, and cannot be kept on disk"},
		{"of several", env, []string{"--cache", half, "-p", repo.policy(t), "--key", "hashivault://release"}, "hashivault://release: was fetched, and cannot be kept on disk"},
		{"nowhere to keep it", map[string]string{"TUF_MIRROR": repo.URL, "TUF_ROOT_JSON": repo.root}, nil, "there is no folder to keep it in; give one with --cache"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := trustAt(t, embedded, row.env, append([]string{"update"}, row.args...)...)
			if r.code != exitCannotTell || !strings.Contains(r.stderr, row.want) || strings.Contains(r.stdout, "release") {
				t.Errorf("got exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}

// A file that is no root.json, and a mirror that is no URL, are told before anything is fetched, with the file and the next step.
func TestTrustRootsThatAreNone(t *testing.T) {
	repo := newTUFServer(t, embedded)
	folder := t.TempDir()
	public, other := filepath.Join(folder, "p256.pub"), filepath.Join(folder, "home", ".sigstore", "root")
	must(t, os.WriteFile(public, []byte("-----BEGIN PUBLIC KEY-----\n"), 0o600))
	must(t, os.MkdirAll(other, 0o700))
	must(t, os.WriteFile(filepath.Join(other, "remote.json"), []byte(`{"mirror":"ftp://x"}`), 0o600))
	noRoot := public + ": is no root.json of a TUF repository ("
	file := policyFile(t, "keyless: {identities: [{issuer: https://a.example, subject: b}]}", "trustedRoot: {tuf: {mirror: "+repo.URL+", rootFile: "+public+"}}")
	rows := []struct {
		name string
		env  map[string]string
		args []string
		want []string
	}{
		{"no URL", nil, []string{"init", "--mirror", "not-a-url", "--root", repo.root}, []string{`"not-a-url" is no http or https URL; write `}},
		{"another scheme", nil, []string{"init", "--mirror", "ftp://x", "--root", repo.root}, []string{`"ftp://x" is no http or https URL; write `}},
		{"no root", nil, []string{"init", "--mirror", repo.URL, "--root", public}, []string{noRoot, "; give the one that its operator handed out"}},
		{"no root in the environment", map[string]string{"TUF_MIRROR": repo.URL, "TUF_ROOT_JSON": public}, []string{"update"},
			[]string{"TUF_ROOT_JSON (" + public + "): is no root.json of a TUF repository (", "; give the one that its operator handed out"}},
		{"no root in a policy", nil, []string{"update", "-p", file}, []string{noRoot, "; give the one that its operator handed out"}},
		{"broken remote.json", map[string]string{"HOME": filepath.Join(folder, "home")}, []string{"show"},
			[]string{filepath.Join(other, "remote.json") + ": ", "; assay trust init writes it anew"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := trustAt(t, embedded, row.env, row.args...)
			for _, want := range row.want {
				if r.code != exitUsage || !strings.Contains(r.stderr, want) {
					t.Errorf("got exit %d, want 64 and %q\n%s", r.code, want, r.stderr)
				}
			}
		})
	}
	if n := repo.requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// verifyAt runs assay verify at a time, about an image that is nowhere.
func verifyAt(at time.Time, env map[string]string, args ...string) result {
	var stdout, stderr bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(name string) string { return env[name] }, now: func() time.Time { return at }}
	code := a.run(context.Background(), append([]string{"assay", "verify"}, append(args, "127.0.0.1:1/app:1")...))
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// A run fetches what it needs before it decides: without a word if that goes well, and with a warning where something is stale or missing.
func TestVerifyRenews(t *testing.T) {
	repo := newTUFServer(t, embedded)
	file := repo.policy(t)
	env := map[string]string{"HOME": t.TempDir()}
	rows := []struct {
		name  string
		after int // days
		down  bool
		asks  bool
		want  string // of stderr; empty: nothing of trust material
	}{
		{"first use, mirror down", 0, true, true, "502 Bad Gateway; assay trust update --policy FILE fetches it"},
		{"first use", 0, false, true, ""},
		{"the same day", 0, false, false, ""},
		{"two days later", 2, false, true, ""},
		{"five days later, mirror down", 5, true, true, ""},
		{"twenty days later, mirror down", 20, true, true, "(the last attempt: "},
		{"twenty days later", 20, false, true, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			repo.setDown(row.down)
			repo.requests()
			r := verifyAt(embedded.AddDate(0, 0, row.after), env, "-p", file)
			if asked := repo.requests() > 0; r.code != exitCannotTell || asked != row.asks {
				t.Errorf("got exit %d, asked %v\n%s%s", r.code, asked, r.stdout, r.stderr)
			}
			if said := strings.Count(r.stderr, "trust material"); !strings.Contains(r.stderr, row.want) || (row.want != "") != (said == 1) {
				t.Errorf("trust material was told of %d times\n%s", said, r.stderr)
			}
			if strings.Contains(r.stdout+r.stderr, "trust material: trust material") {
				t.Errorf("told twice in one line\n%s%s", r.stdout, r.stderr)
			}
		})
	}
}

// A mirror that hangs holds a run up for no longer than its time limit.
func TestVerifyWaitsNotForEver(t *testing.T) {
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-ended:
		}
	}))
	defer server.Close()
	defer close(ended)
	repo := newTUFServer(t, embedded)
	repo.URL = server.URL
	began := time.Now()
	r := verifyAt(embedded, map[string]string{"HOME": t.TempDir()}, "-p", repo.policy(t), "--timeout", "300ms")
	if took := time.Since(began); took > 5*time.Second || !strings.Contains(r.stderr, "deadline exceeded") {
		t.Errorf("took %v\n%s", took, r.stderr)
	}
	if prepareTimeout > 10*time.Second {
		t.Errorf("waits %v for trust material", prepareTimeout)
	}
}

// A name that no key of Vault can have is an error of the policy.
func TestVaultNamesAreCheckedAtLoad(t *testing.T) {
	for _, args := range [][]string{{"-p", policyFile(t, "key: {kms: hashivault://a/b}", "insecureIgnoreLog: true")}, {"--key", "hashivault://a/b"}} {
		if r := verifyAt(embedded, nil, args...); r.code != exitUsage || !strings.Contains(r.stderr, "is no reference to a key in Vault; write hashivault://name") {
			t.Errorf("%q: got exit %d\n%s", args, r.code, r.stderr)
		}
	}
}

// A key that cannot be read at the first use is told of once.
func TestVerifyTellsOfKeys(t *testing.T) {
	env := map[string]string{"HOME": t.TempDir(), "VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "x"}
	r := verifyAt(embedded, env, "-p", policyFile(t, "key: {kms: hashivault://release}", "insecureIgnoreLog: true"))
	if n := strings.Count(r.stderr, "hashivault://release: "); n != 1 || !strings.Contains(r.stderr, "; assay trust update --key hashivault://release fetches it") {
		t.Errorf("told %d times\n%s", n, r.stderr)
	}
}
