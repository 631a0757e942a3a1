package spire

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/assay-dev/assay/workload"
)

// processes is a process table of the kernel that changes while it is read.
type processes struct {
	mu    sync.Mutex
	files fstest.MapFS
}

// Open implements fs.FS.
func (p *processes) Open(name string) (fs.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.files.Open(name)
}

// set says in which cgroups a process runs, and when it started.
func (p *processes) set(pid int32, started uint64, cgroups string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.files == nil {
		p.files = fstest.MapFS{}
	}
	folder := fmt.Sprintf("proc/%d/", pid)
	p.files[folder+"stat"] = &fstest.MapFile{Data: fmt.Appendf(nil, "%d (a) b) S 1 %s%d %s\n", pid, strings.Repeat("0 ", 17), started, strings.TrimSpace(strings.Repeat("0 ", 30)))}
	p.files[folder+"cgroup"] = &fstest.MapFile{Data: []byte(cgroups)}
}

// setOwn says in which cgroups the attestor runs.
func (p *processes) setOwn(cgroups string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files["proc/self/cgroup"] = &fstest.MapFile{Data: []byte(cgroups)}
}

// end takes a process away.
func (p *processes) end(pid int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.files, fmt.Sprintf("proc/%d/stat", pid))
	delete(p.files, fmt.Sprintf("proc/%d/cgroup", pid))
}

// daemon is an engine on a unix socket.
type daemon struct {
	socket string

	mu         sync.Mutex
	containers map[string]string // ID → JSON; "500" fails
	images     map[string]string
	asked      map[string]int // how often, by kind and name: "containers/…"
	listeners  map[chan string]bool
	stop       chan struct{}
}

func startDaemon(t testing.TB) *daemon {
	t.Helper()
	return startDaemonAt(t, filepath.Join(t.TempDir(), "docker.sock"))
}

func startDaemonAt(t testing.TB, socket string) *daemon {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{
		socket: socket, containers: map[string]string{}, images: map[string]string{}, asked: map[string]int{}, listeners: map[chan string]bool{},
		stop: make(chan struct{}),
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: d}}
	s.Start()
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(d.stop) })
	return d
}

// host is how a configuration names the engine.
func (d *daemon) host() string { return "unix://" + d.socket }

// ServeHTTP implements http.Handler.
func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	if version, rest, found := strings.Cut(path, "/"); found && strings.HasPrefix(version, "v1.") {
		path = rest
	}
	w.Header().Set("Api-Version", "1.45")
	switch {
	case path == "_ping":
		_, _ = io.WriteString(w, "OK")
	case path == "events":
		d.events(w, r)
	case strings.HasPrefix(path, "containers/"):
		d.answer(w, path, d.containers)
	case strings.HasPrefix(path, "images/"):
		d.answer(w, path, d.images)
	default:
		http.NotFound(w, r)
	}
}

func (d *daemon) answer(w http.ResponseWriter, path string, from map[string]string) {
	kind, name, _ := strings.Cut(strings.TrimSuffix(path, "/json"), "/")
	d.mu.Lock()
	d.asked[kind+"/"+name]++
	content, found := from[name]
	d.mu.Unlock()
	switch {
	case !found:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"message":"No such %s: %s"}`, strings.TrimSuffix(kind, "s"), name)
	case content == "500":
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"message":"the disk is on fire"}`)
	default:
		_, _ = io.WriteString(w, content)
	}
}

// events sends what happens until the asker has gone.
func (d *daemon) events(w http.ResponseWriter, r *http.Request) {
	lines := make(chan string, 1024)
	d.mu.Lock()
	d.listeners[lines] = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.listeners, lines)
	}()
	flush := w.(http.Flusher)
	w.WriteHeader(http.StatusOK)
	flush.Flush()
	for {
		select {
		case line := <-lines:
			_, _ = io.WriteString(w, line+"\n")
			flush.Flush()
		case <-r.Context().Done():
			return
		case <-d.stop:
			return
		}
	}
}

// run adds a container with its image.
func (d *daemon) run(id, container string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.containers[id] = container
}

func (d *daemon) image(id, image string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.images[id] = image
}

// kill ends a container, and says so.
func (d *daemon) kill(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.containers, id)
	for _, action := range []string{"die", "destroy"} {
		line, _ := json.Marshal(map[string]any{
			"Type": "container", "Action": action, "status": action, "id": id, "Actor": map[string]any{"ID": id}, "time": 1, "timeNano": 1,
		})
		for listener := range d.listeners {
			select {
			case listener <- string(line):
			default:
			}
		}
	}
}

// count returns how often things of a kind were asked for.
func (d *daemon) count(kind string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for name, times := range d.asked {
		if strings.HasPrefix(name, kind+"/") {
			n += times
		}
	}
	return n
}

// verifierFunc is a Verifier.
type verifierFunc func(context.Context, Subject) ([]string, error)

// Verify implements Verifier.
func (f verifierFunc) Verify(ctx context.Context, s Subject) ([]string, error) { return f(ctx, s) }

// Close implements Verifier.
func (f verifierFunc) Close() {}

// attestor makes a docker attestor over processes. verifier may be nil.
func attestor(p *processes, verifier Verifier) *dockerAttestor {
	return NewDocker(DockerConfig{
		Plugin: New(slog.New(slog.DiscardHandler)), Proc: workload.NewProc(p), GOOS: "linux",
		NewVerifier: func(Verification, string) (Verifier, error) { return verifier, nil },
	}).(*dockerAttestor)
}

// configured makes the state of a configuration, and closes it when the test ends.
func configured(t testing.TB, a Attestor, hcl string) State {
	t.Helper()
	s, err := configure(a, hcl, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func configure(a Attestor, hcl string, previous State) (State, error) {
	settings, n := a.Read(hcl)
	for _, note := range n {
		if note.Problem {
			return nil, fmt.Errorf("problem: %s", note.Text)
		}
	}
	return a.Make(settings, "example.org", previous)
}
