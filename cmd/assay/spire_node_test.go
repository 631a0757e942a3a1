package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/node"
	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry/registrytest"
)

// nodeDaemon answers at a socket with what a point decides, as a node's daemon does.
func nodeDaemon(t testing.TB, point *enforce.Point) (socket string, stop func()) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("who asks is known on Linux only")
	}
	folder, err := os.MkdirTemp("", "node") // a socket's path is short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	socket = filepath.Join(folder, "node.sock")
	l, err := net.Listen("unix", socket)
	must(t, err)
	n, err := node.New(node.Config{Decisions: &node.Decisions{Point: point, Points: policy.Points()}})
	must(t, err)
	s := &http.Server{Handler: n, ConnContext: n.Context}
	go func() { _ = s.Serve(n.Listener(l)) }()
	stop = sync.OnceFunc(func() { _ = s.Close() })
	t.Cleanup(stop)
	return socket, stop
}

// bothWays are a demand by a policy, and one by a daemon that has the same policy.
func (w *spireWorld) bothWays(kind, policy string) (direct, node spire.Verifier) {
	w.Helper()
	made, err := w.demands.decider(spire.Verification{Policy: policy})
	must(w.TB, err)
	w.Cleanup(func() { w.demands.release(made) })
	socket, _ := nodeDaemon(w.TB, made.point)
	return w.demand(kind, spire.Verification{Policy: policy}), w.demand(kind, spire.Verification{Node: socket})
}

// The daemon of a node gives the selectors that its policy gives by itself, and refuses in the same words with the same code: whatever the format.
func TestT52_ANodesSelectorsAreThoseOfItsPolicy(t *testing.T) {
	root, err := filepath.Abs(recordedFile("trusted_root_all.json"))
	must(t, err)
	same := func(w *spireWorld, direct, node spire.Verifier, subjects ...spire.Subject) (selectors int) {
		t.Helper()
		for _, s := range subjects {
			want, wantErr := direct.Verify(t.Context(), s)
			got, gotErr := node.Verify(t.Context(), s)
			if !cmp.Equal(got, want) || status.Code(gotErr) != status.Code(wantErr) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
				t.Errorf("%v:\n%s\ngot  %v\nwant %v", s.References, cmp.Diff(want, got), gotErr, wantErr)
			}
			selectors += len(got)
		}
		return selectors
	}
	for _, recording := range []string{"legacy-keyless", "bundle-keyless", "bundle-keyless-rekor1", "bundle-keyless-github"} {
		w := newSpireWorld(t, registrytest.Options{})
		ref := w.replay(recording)
		file := filepath.Join(t.TempDir(), "policy.yaml")
		must(t, os.WriteFile(file, []byte(fmt.Sprintf(`apiVersion: assay.dev/v1
kind: TrustPolicy
metadata: {name: signed}
spec:
  authorities:
    anybody: {sigstore: {keyless: {identities: [{issuerRegExp: ".*", subjectRegExp: ".*"}]}, trustedRoot: {file: %q}, signedRepository: ignore}}
  rules: [{images: ["**"], require: anybody}]
`, root)), 0o600))
		direct, node := w.bothWays("docker", file)
		if n := same(w, direct, node, of(ref), of(w.image("unsigned"))); n < 5 {
			t.Errorf("%s gives %d selectors", recording, n)
		}
	}
	w := newSpireWorld(t, registrytest.Options{})
	file, right, _ := w.certified("\n  scope: {namespaces: {selector: {matchLabels: {team: a}}}}\n  rules: [{images: [\"**\"], require: right}]")
	direct, node := w.bothWays("k8s", file)
	pod, labelled := podOf(right.String()), podOf(right.String())
	labelled.NamespaceLabels = map[string]string{"team": "a"}
	if n := same(w, direct, node, pod, labelled, podOf(w.image("unsigned").String())); n < 4 {
		t.Errorf("a certificate gives %d selectors", n)
	}
	n := newNotaryStage(t, "")
	w = newSpireWorld(t, registrytest.Options{})
	direct, node = w.bothWays("docker", n.policy)
	if got := same(w, direct, node, of(image.MustParse(n.ref+"@"+n.digest.String())), of(image.MustParse(n.ref+"@"+image.SHA256([]byte("unsigned")).String()))); got != 3 {
		t.Errorf("a Notary server gives %d selectors", got)
	}
	w = newSpireWorld(t, registrytest.Options{})
	file, right, _ = w.certified("\n  mode: audit\n  rules: [{images: [\"**\"], require: right}]")
	direct, node = w.bothWays("docker", file)
	if n := same(w, direct, node, of(right), of(w.image("unsigned"))); n != 0 {
		t.Errorf("audit gives %d selectors", n)
	}
	// What cannot even be asked about passes where a policy that is here says so, and never by a daemon.
	if _, err := direct.Verify(t.Context(), spire.Subject{Image: "local"}); err != nil {
		t.Error(err)
	}
	w.fails(node, spire.Subject{Image: "local"}, codes.PermissionDenied, "no repo digest found for image local")
}

// T52: a daemon that is away, or that says what is no answer, leaves no selector, and the agent is to ask again.
func TestT52_ANodesDaemonThatIsAway(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	file, right, _ := w.certified("\n  rules: [{images: [\"**\"], require: right}]")
	folder, err := os.MkdirTemp("", "node")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	absent := w.demand("docker", spire.Verification{Node: filepath.Join(folder, "none.sock")}) // it may come later
	w.fails(absent, of(right), codes.Unavailable, "could not tell")

	made, err := w.demands.decider(spire.Verification{Policy: file})
	must(t, err)
	t.Cleanup(func() { w.demands.release(made) })
	socket, stop := nodeDaemon(t, made.point)
	v := w.demand("docker", spire.Verification{Node: socket})
	if got := w.passes(v, of(right)); len(got) == 0 {
		t.Error("no selectors")
	}
	stop()
	w.fails(v, of(right), codes.Unavailable, "could not tell")

	for what, answer := range map[string]string{
		"nothing": "", "a page": "<html>", "another form": `{"form":2,"verdicts":[]}`, "no verdict": `{"form":1,"verdicts":[]}`,
	} {
		l, err := net.Listen("unix", filepath.Join(folder, "liar.sock"))
		must(t, err)
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, answer) })}}
		s.Start()
		t.Run(what, func(*testing.T) {
			w.fails(w.demand("docker", spire.Verification{Node: l.Addr().String()}), of(right), codes.Unavailable, "could not tell")
		})
		s.Close()
	}
}

// Only one of the demands can be meant.
func TestANodeBesideAPolicy(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	for _, v := range []spire.Verification{{Node: "/x", Policy: "/y"}, {Node: "/x", Sigstore: dev().Sigstore}} {
		if text := w.refuse("k8s", v); !strings.Contains(text, "only one of [sigstore, policy, node_socket] can be used") {
			t.Error(text)
		}
	}
	start := time.Now()
	w.demand("k8s", spire.Verification{Node: "/run/assay/nobody.sock"})
	if took := time.Since(start); took > time.Second {
		t.Errorf("a configuration waits %v for a daemon", took)
	}
}
