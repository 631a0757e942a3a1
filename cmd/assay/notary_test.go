package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

// notaryStage is a registry with a Notary server beside it, an image whose trust data are signed, and a policy that asks for them.
type notaryStage struct {
	t      *testing.T
	server *registrytest.Server
	repo   *notarytest.Repository
	ref    string // registry/app
	digest image.Digest
	policy string
	state  string
}

func newNotaryStage(t *testing.T, extra string) *notaryStage {
	t.Helper()
	s := &notaryStage{t: t, server: registrytest.New(t, registrytest.Options{Notary: true}), state: filepath.Join(t.TempDir(), "state")}
	s.ref = s.server.Host() + "/app"
	s.digest = s.server.PushImage("app", "1", "", "app")
	s.repo = notarytest.New(s.ref, time.Now())
	s.repo.Delegate(notarytest.Releases)
	s.repo.Sign(notarytest.Releases, "1", s.digest)
	s.serve()
	folder := t.TempDir()
	root := filepath.Join(folder, "root.pem")
	if err := os.WriteFile(root, s.repo.Roles[notarytest.Root].Keys[0].Public, 0o600); err != nil {
		t.Fatal(err)
	}
	s.policy = filepath.Join(folder, "policy.yaml")
	document := fmt.Sprintf(`apiVersion: assay.dev/v1
kind: TrustPolicy
metadata: {name: dct}
spec:
  authorities:
    dct:
      notaryv1:
        server: %s
        root: {certificatesFiles: [root.pem]}
        roles: [targets/releases, targets]
%s
  rules:
  - images: ["**"]
    require: dct
`, s.server.URL(), extra)
	if err := os.WriteFile(s.policy, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *notaryStage) serve() {
	for name, content := range s.repo.Files() {
		s.server.PutTrustData(s.ref, name, content)
	}
}

// run runs a command line whose state folder is the stage's.
func (s *notaryStage) run(args ...string) result {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	env := map[string]string{"ASSAY_STATE_DIR": s.state}
	a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(name string) string { return env[name] }, now: time.Now}
	code := a.run(context.Background(), append([]string{"assay"}, args...))
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

func (s *notaryStage) want(r result, code int, texts ...string) {
	s.t.Helper()
	if r.code != code {
		s.t.Errorf("got exit %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(strings.Join(strings.Fields(r.stdout+r.stderr), " "), text) {
			s.t.Errorf("no %q in\n%s%s", text, r.stdout, r.stderr)
		}
	}
}

// trustRequests counts the requests for trust data since it was asked last.
func (s *notaryStage) trustRequests() int {
	n := 0
	for _, r := range s.server.Requests() {
		if strings.Contains(r.Path, "/_trust/") {
			n++
		}
	}
	s.server.ResetRequests()
	return n
}

// What was seen outlives the process: the second run asks for the timestamp alone, and an older server is denied until it is forgotten.
func TestVerifyNotaryV1(t *testing.T) {
	s := newNotaryStage(t, "")
	s.server.ResetRequests()
	s.want(s.run("verify", "-o", "json", "-p", s.policy, s.ref+":1"), exitAllowed)
	if n := s.trustRequests(); n != 5 {
		t.Errorf("cold: %d requests for trust data, want 5", n)
	}
	s.want(s.run("verify", "-o", "json", "-p", s.policy, s.ref+":1"), exitAllowed)
	if n := s.trustRequests(); n != 1 {
		t.Errorf("warm: %d requests for trust data, want 1", n)
	}
	s.want(s.run("verify", "-o", "json", "-p", s.policy, s.ref+"@"+s.digest.String()), exitAllowed)
	s.server.PushImage("app", "2", "", "other")
	s.want(s.run("verify", "-o", "json", "-p", s.policy, s.ref+":2"), exitDenied, "No valid trust data for 2")
	other := s.server.PushImage("other", "1", "", "app")
	s.want(s.run("verify", "-o", "json", "-p", s.policy, s.server.Host()+"/other@"+other.String()), exitDenied, "does not have trust data for "+s.server.Host()+"/other")

	old := s.repo.Files()
	s.repo.Revoke(notarytest.Releases, "1")
	s.serve()
	s.want(s.run("verify", "-o", "json", "-p", s.policy, s.ref+":1"), exitDenied, "No valid trust data for 1")
	for name, content := range old {
		s.server.PutTrustData(s.ref, name, content)
	}
	s.want(s.run("verify", "-o", "json", "-p", s.policy, s.ref+":1"), exitDenied, "rollback", "assay trust forget")

	r := s.run("trust", "seen", "-o", "json")
	var view seenView
	if err := json.Unmarshal([]byte(r.stdout), &view); err != nil || view.GUN != s.ref || view.Server != s.server.URL() || view.Versions["root"] != 1 || view.Seen.IsZero() {
		t.Errorf("seen: %+v, %v\n%s", view, err, r.stdout)
	}
	s.want(s.run("trust", "seen"), 0, s.ref, "targets/releases")
	s.want(s.run("trust", "forget", "registry.example/unknown"), exitUsage, "registry.example/unknown: nothing was seen of it")
	s.want(s.run("trust", "forget", "--server", "https://other.example", s.ref), exitUsage, "nothing was seen of it")
	s.want(s.run("trust", "forget", s.ref), 0, "forgot "+s.server.URL()+"/v2/"+s.ref)
	s.want(s.run("trust", "seen"), 0, "no repository at a Notary server was seen yet")
	s.want(s.run("verify", "-o", "json", "-p", s.policy, s.ref+":1"), exitAllowed)
}

// The registry serves other bytes for a signed tag: the attack that signing exists for.
func TestT22_RegistryMovesASignedTag(t *testing.T) {
	s := newNotaryStage(t, "")
	s.want(s.run("verify", "-o", "json", "-p", s.policy, s.ref+":1"), exitAllowed)
	s.server.PushImage("app", "1", "", "evil")
	s.want(s.run("verify", "-o", "json", "-p", s.policy, s.ref+":1"), exitDenied, "digest changed, new digest: "+s.digest.String())
	s.want(s.run("verify", "-o", "json", "-p", s.policy, s.ref+":1@"+s.digest.String()), exitAllowed)
}

// CSE-29 at the command line: an outage is "could not tell", unless the policy bridges it.
func TestCSE29_ServerDown(t *testing.T) {
	for _, c := range []struct {
		extra string
		code  int
		want  string
	}{
		{"", exitCannotTell, "client is offline"},
		{"        offlineGrace: 1h", exitAllowed, "is down; trust data of"},
	} {
		s := newNotaryStage(t, c.extra)
		pinned := s.ref + ":1@" + s.digest.String()
		s.want(s.run("verify", "-o", "json", "-p", s.policy, pinned), exitAllowed)
		s.server.Close()
		s.want(s.run("verify", "-o", "json", "-p", s.policy, pinned), c.code, c.want)
	}
}

// Without a folder to keep what was seen, a rollback could not be noticed: nobody can tell.
func TestVerifyNotaryV1WithoutAStateFolder(t *testing.T) {
	s := newNotaryStage(t, "")
	r := runAssay(t, "", "verify", "-p", s.policy, s.ref+":1")
	s.want(r, exitCannotTell, "--state-dir")
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(s.run("verify", "-o", "json", "-p", s.policy, "--state-dir", blocked, s.ref+":1"), exitCannotTell, "what was seen of")
	broken := t.TempDir()
	s.want(s.run("verify", "-o", "json", "-p", s.policy, "--state-dir", broken, s.ref+":1"), exitAllowed)
	files, err := filepath.Glob(filepath.Join(broken, "notaryv1", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(s.run("verify", "-o", "json", "-p", s.policy, "--state-dir", broken, s.ref+":1"), exitCannotTell, "unexpected end of JSON input; restore it from a backup")
	s.want(s.run("trust", "seen", "--state-dir", broken), exitCannotTell, files[0])
}

// CSE-26: the check of a policy without signers warns.
func TestCSE26_PolicyCheckWarns(t *testing.T) {
	s := newNotaryStage(t, "")
	content, err := os.ReadFile(s.policy)
	if err != nil {
		t.Fatal(err)
	}
	s.want(s.run("policy", "check", s.policy), 0)
	plain := bytes.Replace(content, []byte("        roles: [targets/releases, targets]\n"), nil, 1)
	if err := os.WriteFile(s.policy, plain, 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(s.run("policy", "check", s.policy), 0, "signers are absent")
}
