package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

// placed is a running daemon of a node.
type placed struct {
	t    *testing.T
	log  *lines
	stop func() int
}

// startPlaced starts one at a socket, with a policy that denies everything for a reason.
func startPlaced(t *testing.T, socket, reason string, args ...string) *placed {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("who asks is known on Linux only")
	}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	must(t, os.WriteFile(file, fmt.Appendf(nil, "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p}\nspec: {rules: [{images: [\"**\"], deny: %q}]}\n", reason), 0o600))
	p := &placed{t: t, log: &lines{}}
	state := t.TempDir()
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: p.log, getenv: func(string) string { return "" }, now: time.Now, pace: testPace}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() {
		ended <- a.run(ctx, append([]string{"assay", "serve", "node", "--socket", socket, "--policy", file, "--state-dir", state}, args...))
	}()
	p.stop = sync.OnceValue(func() int { cancel(); return <-ended })
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *placed) listens() *placed {
	p.t.Helper()
	(&running{t: p.t, log: p.log}).until("it listens", func() bool { return p.log.find("listening") != nil })
	return p
}

// answers is why the daemon at a socket denies.
func answers(t *testing.T, socket string) string {
	t.Helper()
	digest := "sha256:" + strings.Repeat("a", 64)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a, err := ask.Node(ctx, socket, ask.Question{Name: "registry.example/app@" + digest, Digest: digest, MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 1})
	if err != nil {
		return err.Error()
	}
	return a.Reason
}

// T41: an upgrade of the daemon leaves no moment in which nobody answers: the new one takes the place of the old one, which then ends.
func TestT41_ADaemonTakesThePlaceOfAnother(t *testing.T) {
	folder, err := os.MkdirTemp("", "node")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	socket, health := filepath.Join(folder, "node.sock"), filepath.Join(folder, "health.sock")
	first := startPlaced(t, socket, "by the first").listens()
	if got := answers(t, socket); !strings.Contains(got, "by the first") {
		t.Fatal(got)
	}
	second := startPlaced(t, socket, "by the second")
	if code := second.stop(); code == 0 {
		t.Errorf("a second one takes the socket without being told to\n%s", second.log)
	}
	third := startPlaced(t, socket, "by the third", "--take-over", "--listen-metrics", "unix:"+health).listens()
	if got := answers(t, socket); !strings.Contains(got, "by the third") {
		t.Error(got)
	}
	if code := first.stop(); code != 0 {
		t.Errorf("the first ends with %d\n%s", code, first.log)
	}
	if got := answers(t, socket); !strings.Contains(got, "by the third") {
		t.Errorf("after the end of the first: %s", got)
	}

	third.untilReady(health)
	if r := runAssay(t, "", "probe", "--alive", health); r.code != 0 {
		t.Errorf("got exit %d\n%s", r.code, r.stderr)
	}
	if code := third.stop(); code != 0 {
		t.Errorf("the third ends with %d\n%s", code, third.log)
	}
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket stays: %v", err)
	}
	if r := runAssay(t, "", "probe", "--ready", health); r.code != exitCannotTell {
		t.Errorf("got exit %d\n%s", r.code, r.stderr)
	}
	must(t, os.WriteFile(socket, nil, 0o600))
	if code := startPlaced(t, socket, "x", "--take-over").stop(); code == 0 {
		t.Error("a file is taken for a socket")
	}
}

func (p *placed) untilReady(socket string) {
	p.t.Helper()
	(&running{t: p.t, log: p.log}).until("it is ready", func() bool {
		r := runAssay(p.t, "", "probe", "--ready", socket)
		return r.code == 0 && strings.Contains(r.stdout, "ready")
	})
}

func TestProbeOfAServer(t *testing.T) {
	for args, want := range map[string]string{
		"--ready /x app:1":          "not about an image",
		"--alive /x --kubeconfig y": "not about an image",
		"-n shop":                   "no image to ask for",
		"--ready /x --alive /y":     "ready",
		"":                          "at least one",
	} {
		if r := runAssay(t, "", append([]string{"probe"}, strings.Fields(args)...)...); r.code != exitUsage || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit %d\n%s", args, r.code, r.stderr)
		}
	}
	folder, err := os.MkdirTemp("", "node")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	socket := filepath.Join(folder, "s")
	l, err := (&socketOptions{path: socket, mode: "0600"}).listen()
	must(t, err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "not ready: "+r.URL.Path, http.StatusServiceUnavailable)
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	for args, path := range map[string]string{"--ready": "/readyz", "--alive": "/healthz"} {
		if r := runAssay(t, "", "probe", args, socket); r.code != exitDenied || !strings.Contains(r.stderr, "not ready: "+path) {
			t.Errorf("%s: exit %d\n%s", args, r.code, r.stderr)
		}
	}
}
