package workload_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/workload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStarted(t *testing.T) {
	tests := []struct {
		name, stat string
		want       uint64
		err        string
	}{
		{"plain", "7 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20", 4242, ""},
		{"a name of its own choice", "7 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1 (y) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20", 4242, ""},
		{"a name with a line", "7 (x\n) S) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242", 4242, ""},
		{"too few fields", "7 (x) S 1 2 3", 0, "/proc/123/stat: 4 fields after the name are too few"},
		{"no name", "7 S 1 2", 0, "/proc/123/stat: no name in it"},
		{"no number", "7 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 -1 20", 0, "invalid syntax"},
		{"endless", strings.Repeat(" ", 5<<10), 0, "/proc/123/stat: more than 4096 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := workload.NewProc(fstest.MapFS{"proc/123/stat": {Data: []byte(test.stat)}})
			got, err := p.Started(pid)
			if got != test.want || (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %d, %v", got, err)
			}
			if errors.Is(err, workload.ErrProcessGone) {
				t.Error("what cannot be read is not gone")
			}
		})
	}
	if _, err := workload.NewProc(fstest.MapFS{}).Started(pid); !errors.Is(err, workload.ErrProcessGone) {
		t.Errorf("no such process: %v", err)
	}
}

// life is a process table whose process changes while it is looked at.
type life struct {
	fs.FS
	at   string // the file before whose opening
	then func() // this happens
	once sync.Once
}

func (l *life) Open(name string) (fs.File, error) {
	if name == l.at {
		l.once.Do(l.then)
	}
	return l.FS.Open(name)
}

// A number that goes to another process, or a process that ends, while it is looked at, is no answer about the one that asked.
func TestT52_ProcessThatIsAnother(t *testing.T) {
	cgroup := "0::/docker/" + idA + "\n"
	tests := []struct {
		name string
		tree fstest.MapFS
		then func(fstest.MapFS)
		gone bool
	}{
		{"nothing happens", tree(cgroup, "-"), func(fstest.MapFS) {}, false},
		{"the number is another's before the cgroup is read", tree(cgroup, "-"), func(m fstest.MapFS) {
			m["proc/123/stat"] = &fstest.MapFile{Data: []byte(stat(778))}
		}, true},
		{"it ends before the cgroup is read", tree(cgroup, "-"), func(m fstest.MapFS) { clear(m) }, true},
		{"it ends after the cgroup was read", tree(cgroup, "-"), func(m fstest.MapFS) { delete(m, "proc/123/stat") }, true},
		{"it ends, and what was read is broken", tree("half", "-"), func(m fstest.MapFS) { delete(m, "proc/123/stat") }, true},
		{"it ends, and what was read contradicts", tree("1:x:/docker/"+idA+"\n2:y:/docker/"+idT+"\n", "-"), func(m fstest.MapFS) { delete(m, "proc/123/stat") }, true},
		{"it is in no container and ends", tree("0::/\n", "-"), func(m fstest.MapFS) { clear(m) }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			place, err := locate(t, &life{FS: test.tree, at: "proc/123/cgroup", then: func() { test.then(test.tree) }}, workload.LocatorConfig{})
			if errors.Is(err, workload.ErrProcessGone) != test.gone || !test.gone && err != nil || test.gone && place.ContainerID != "" {
				t.Errorf("got %+v, %v", place, err)
			}
		})
	}
	t.Run("a container without a start", func(t *testing.T) {
		m := tree(cgroup, "-")
		delete(m, "proc/123/stat")
		if place, err := locate(t, m, workload.LocatorConfig{}); !errors.Is(err, workload.ErrProcessGone) {
			t.Errorf("got %+v, %v", place, err)
		}
	})
}

func TestNoProcess(t *testing.T) {
	if place, err := locate(t, fstest.MapFS{}, workload.LocatorConfig{}); err != nil || place.ContainerID != "" {
		t.Errorf("got %+v, %v", place, err)
	}
}

// hanging is a process table that answers when it is told to.
type hanging struct {
	release chan struct{}
	open    atomic.Int32
}

func (h *hanging) Open(string) (fs.File, error) {
	h.open.Add(1)
	<-h.release
	return nil, fs.ErrNotExist
}

// A file system that hangs hangs nobody, and what hangs in it does not become more and more.
func TestHangingProc(t *testing.T) {
	h := &hanging{release: make(chan struct{})}
	var started sync.WaitGroup
	p := workload.NewProc(h)
	p.Go = func(_ string, fn func()) { started.Go(fn) }
	l, err := workload.NewLocator(workload.LocatorConfig{Proc: p})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var asking sync.WaitGroup
	for range 100 {
		asking.Go(func() {
			if _, err := l.Locate(ctx, pid); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
	asking.Wait()
	if n := h.open.Load(); n > 64 {
		t.Errorf("%d hang", n)
	}
	alone := workload.NewProc(h)
	alone.Go = p.Go
	if _, err := alone.Started(pid); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a deadline of the caller: %v", err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	close(h.release)
	started.Wait()
	if _, err := l.Locate(t.Context(), pid); err != nil {
		t.Errorf("after that: %v", err)
	}
}

type panicking struct{}

func (panicking) Open(string) (fs.File, error) { panic("a bug") }

// A panic is an error at once, and goes where the caller's own goroutines recover.
func TestPanicInProc(t *testing.T) {
	p := workload.NewProc(panicking{})
	recovered := make(chan any, 1)
	p.Go = func(_ string, fn func()) {
		go func() {
			defer func() { recovered <- recover() }()
			fn()
		}()
	}
	if _, err := p.Started(pid); err == nil || errors.Is(err, workload.ErrProcessGone) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if got := <-recovered; got != "a bug" {
		t.Errorf("recovered %v", got)
	}
	p.Go = nil
	if _, err := p.Started(pid); err == nil {
		t.Error("a panic is no answer")
	}
}

// unreadable is a file that the kernel does not let be read to its end.
type unreadable struct{ err error }

func (u unreadable) Open(name string) (fs.File, error)  { return u, nil }
func (u unreadable) Stat() (fs.FileInfo, error)         { return nil, u.err }
func (u unreadable) Read([]byte) (int, error)           { return 0, u.err }
func (u unreadable) Close() error                       { return nil }
func (u unreadable) ReadDir(int) ([]fs.DirEntry, error) { return nil, io.EOF }

func TestReadErrors(t *testing.T) {
	if _, err := workload.NewProc(unreadable{syscall.ESRCH}).Started(pid); !errors.Is(err, workload.ErrProcessGone) {
		t.Errorf("a process that ended after its file was opened: %v", err)
	}
	if _, err := workload.NewProc(unreadable{fs.ErrPermission}).Started(pid); err == nil || errors.Is(err, workload.ErrProcessGone) {
		t.Errorf("a file that may not be read: %v", err)
	}
	_, err := locate(t, tree(strings.Repeat("0::/\n", 100<<10), "-"), workload.LocatorConfig{})
	if err == nil || err.Error() != "unable to obtain cgroups: /proc/123/cgroup: more than 262144 bytes" {
		t.Errorf("an endless cgroup file: %v", err)
	}
}

// The trees that were recorded of containers give what their engines say.
func TestDOCKER1_K8S1_Recorded(t *testing.T) {
	ids, err := filepath.Glob("testdata/proc/*/id")
	if err != nil || len(ids) < 4 {
		t.Fatalf("%q, %v", ids, err)
	}
	for _, file := range ids {
		folder := filepath.Dir(file)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			stats, err := filepath.Glob(folder + "/proc/*/stat")
			if err != nil || len(stats) != 1 {
				t.Fatalf("%q, %v", stats, err)
			}
			number, err := strconv.Atoi(filepath.Base(filepath.Dir(stats[0])))
			if err != nil {
				t.Fatal(err)
			}
			for _, pods := range []bool{false, true} {
				l, err := workload.NewLocator(workload.LocatorConfig{Proc: workload.NewProc(os.DirFS(folder)), Pods: pods})
				if err != nil {
					t.Fatal(err)
				}
				place, err := l.Locate(t.Context(), int32(number))
				if err != nil || place.ContainerID != strings.TrimSpace(string(want)) || place.PodUID != "" || place.Started == 0 {
					t.Errorf("got %+v, %v", place, err)
				}
				podman := filepath.Base(folder) == "podman"
				if (place.Podman != nil) != podman || place.ForeignManager() != (filepath.Base(folder) != "docker-parent") {
					t.Errorf("Podman %v, foreign %v", place.Podman, place.ForeignManager())
				}
			}
		})
	}
}

// The process table of this machine can be read.
func TestRealProc(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no /proc here")
	}
	p := workload.NewProc(os.DirFS("/"))
	l, err := workload.NewLocator(workload.LocatorConfig{Proc: p, Pods: true})
	if err != nil {
		t.Fatal(err)
	}
	own := int32(os.Getpid())
	place, err := l.Locate(t.Context(), own)
	if err != nil || place.Started == 0 || len(place.Cgroups) == 0 {
		t.Errorf("got %+v, %v", place, err)
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	number := int32(child.Process.Pid)
	if started, err := p.Started(number); err != nil || started < place.Started {
		t.Errorf("a child started at %d, before its parent at %d: %v", started, place.Started, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	if _, err := p.Started(number); !errors.Is(err, workload.ErrProcessGone) {
		t.Errorf("a process that has ended: %v", err)
	}
	if place, err := l.Locate(t.Context(), number); err != nil || place.ContainerID != "" {
		t.Errorf("a process that has ended is in %+v, %v", place, err)
	}
}

func BenchmarkLocate(b *testing.B) {
	for name, cgroup := range map[string]string{"one": "0::/docker/" + idA + "\n", "eleven": controllers("/kubepods.slice/kubepods-pod" + podP + ".slice/docker-" + idI + ".scope")} {
		b.Run(name, func(b *testing.B) {
			l, err := workload.NewLocator(workload.LocatorConfig{Proc: workload.NewProc(tree(cgroup, "-")), Pods: true})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Locate(b.Context(), pid); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
