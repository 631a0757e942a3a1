//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// pluginSockets is where every dockerd of a machine looks for plugins that it does not manage.
const pluginSockets = "/run/docker/plugins"

// storyPlugin begins the names of the stories' plugins, so that what a broken run left behind can be told from everything else.
const storyPlugin = "assay-story-"

// pluginSpecs is where it looks for files that say where the socket of a plugin is.
const pluginSpecs = "/etc/docker/plugins"

const pluginUsage = "usage: plugin name VAR | spec VAR SOCKET | allow NAME | await NAME | asks METHOD PATH [FILE [TYPE]] | sends FILE | swaps CONTAINER OTHER"

// pluginCount makes names that no other story of this run has.
var pluginCount atomic.Int32

// cmdPlugin is
//
//	plugin name VAR      sets $VAR to a name for an authorization plugin, which no other story has, and $VAR_SOCKET to where dockerd looks
//	                     for its socket
//	plugin spec VAR SOCKET
//	                     sets $VAR to such a name, of which a file tells dockerd that its socket is another one
//	plugin allow NAME    serves a plugin of such a name that allows everything
//	plugin await NAME    waits until somebody listens for it
//	plugin asks METHOD PATH [FILE [TYPE]]
//	                     sends a request to dockerd as it is, without a client that knows better; prints the status and the answer
//	plugin sends FILE    the same with all of the request in a file
//	plugin swaps CONTAINER OTHER
//	                     starts a container by its name, again and again, while another one takes its name and gives it back; prints which of
//	                     them started
func cmdPlugin(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "plugin", neg)
	switch {
	case len(args) == 2 && args[0] == "name":
		name := newPluginName()
		ts.Check(os.MkdirAll(pluginSockets, 0o755))
		forgetPlugins()
		ts.Setenv(args[1], name)
		ts.Setenv(args[1]+"_SOCKET", pluginSocket(name))
		ts.Defer(func() { _ = os.Remove(pluginSocket(name)) }) // whoever listened may have removed it
	case len(args) == 3 && args[0] == "spec":
		name := newPluginName()
		ts.Check(os.MkdirAll(pluginSpecs, 0o755))
		forgetSpecs()
		ts.Setenv(args[1], name)
		spec := pluginSpec(name)
		ts.Check(os.WriteFile(spec, []byte("unix://"+args[2]+"\n"), 0o644))
		ts.Defer(func() { ts.Check(os.Remove(spec)) })
	case len(args) == 2 && args[0] == "allow":
		allowAll(ts, args[1])
	case len(args) == 2 && args[0] == "await":
		awaitPlugin(ts, args[1])
	case len(args) >= 3 && len(args) <= 5 && args[0] == "asks":
		askDockerd(ts, args[1], args[2], args[3:])
	case len(args) == 2 && args[0] == "sends":
		sendDockerd(ts, args[1])
	case len(args) == 3 && args[0] == "swaps":
		startWhileRenaming(ts, args[1], args[2])
	default:
		ts.Fatalf(pluginUsage)
	}
}

func newPluginName() string {
	return fmt.Sprintf("%s%d-%d", storyPlugin, os.Getpid(), pluginCount.Add(1))
}

func pluginSpec(name string) string { return filepath.Join(pluginSpecs, name+".spec") }

// forgetSpecs removes the files of stories whose run has ended.
func forgetSpecs() {
	left, _ := filepath.Glob(pluginSpec(storyPlugin + "*")) // the pattern is good
	for _, spec := range left {
		var pid, count int
		if _, err := fmt.Sscanf(filepath.Base(spec), storyPlugin+"%d-%d.spec", &pid, &count); err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = os.Remove(spec) // another story may have been quicker
		}
	}
}

func pluginSocket(name string) string { return filepath.Join(pluginSockets, name+".sock") }

func awaitPlugin(ts *testscript.TestScript, name string) {
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", pluginSocket(name))
		if err == nil {
			ts.Check(conn.Close())
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("plugin %s: %v", name, err)
		}
	}
}

// forgetPlugins removes the sockets of stories at which nobody listens any more.
func forgetPlugins() {
	left, _ := filepath.Glob(pluginSocket(storyPlugin + "*")) // the pattern is good
	for _, socket := range left {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			_ = os.Remove(socket) // another story may have been quicker
			continue
		}
		_ = conn.Close()
	}
}

// allowAll serves an authorization plugin that allows everything, until the story ends.
func allowAll(ts *testscript.TestScript, name string) {
	listener, err := net.Listen("unix", pluginSocket(name))
	ts.Check(err)
	answer := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.docker.plugins.v1.1+json")
		var told any = map[string]any{"Allow": true}
		if r.URL.Path == "/Plugin.Activate" {
			told = map[string]any{"Implements": []string{"authz"}}
		}
		_ = json.NewEncoder(w).Encode(told)
	}
	server := &http.Server{Handler: http.HandlerFunc(answer)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // it is closed
	}()
	ts.Defer(func() {
		_ = server.Close()
		<-done
	})
}

// maxDockerdAnswer is the most that is read of an answer of dockerd.
const maxDockerdAnswer = 1 << 20

// askDockerd sends a request whose path and query are not touched. Who reads a large body only in part may close the connection before all of
// it was sent: what counts is the answer.
func askDockerd(ts *testscript.TestScript, method, path string, more []string) {
	conn, err := net.Dial("unix", ts.Getenv("DOCKER_SOCKET"))
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(readyWithin)))
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n", method, path)
	body := ""
	if len(more) > 0 {
		body = ts.ReadFile(more[0])
		mediaType := "application/json"
		if len(more) > 1 {
			mediaType = more[1]
		}
		head += fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n", mediaType, len(body))
	}
	_, err = io.WriteString(conn, head+"\r\n")
	ts.Check(err)
	_, _ = io.WriteString(conn, body) // see above
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	ts.Check(err)
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxDockerdAnswer))
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d %s\n", resp.StatusCode, content)
}

// sample is the program of sample images, built once.
var sample = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "assay-sample")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "hello")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "./hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s", out), err)
	}
	return os.ReadFile(file)
})

// cmdSample is "sample FILE...": each becomes the program of sample images, which needs nothing else in an image: with arguments it prints
// these, as echo does, and ends; without, it says hello and waits to be stopped.
func cmdSample(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "sample", neg)
	program, err := sample()
	ts.Check(err)
	for _, name := range args {
		file := ts.MkAbs(name)
		ts.Check(os.MkdirAll(filepath.Dir(file), 0o755))
		ts.Check(os.WriteFile(file, program, 0o755))
	}
}
