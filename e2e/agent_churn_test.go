//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/enforce/spire/spiretest"
)

// How much is asked while containers come and go.
const (
	churnCalls   = 10_000
	churnCallers = 8
	churnLanes   = 4 // at each of which one container runs after another
	churnEnds    = 8 // containers that have to end meanwhile, at least
	churnWithin  = 50 * time.Second
)

// churn is an engine with containers that come and go, each with a number of its own as a label.
type churn struct {
	containers
	last  atomic.Int64
	ended atomic.Int64
	lanes [churnLanes]atomic.Pointer[churned] // that runs; nil: none does now

	mu     sync.Mutex
	owners map[int32][]string // the labels of those whose process ever had a number
}

// churned is one container.
type churned struct {
	id, label string
	pid       int32
	ending    atomic.Bool
}

// Ten thousand attestations by the program itself, built to notice data races, beside a real engine whose containers start and stop, while it is
// configured anew. Whoever runs on has its own selectors; nobody has those of another container; nothing harms the agent.
func TestT52_ContainersOfAnEngineComeAndGo(t *testing.T) {
	need(t, "dockerd", "docker")
	folder := shortFolder(t)
	c := &churn{containers: containers{t: t, folder: folder, socket: "unix://" + filepath.Join(folder, "docker.sock")}, owners: map[int32][]string{}}
	c.program = []string{"docker", "--host", c.socket}
	c.serve("dockerd", dockerdFlags(folder)...)
	c.importHello("app:1", "one")
	h, err := spiretest.Start(t.Context(), []string{raceProgram(t, folder), "spire", "docker"}, spiretest.Options{
		Env: []string{"TMPDIR=" + folder, "HOME=" + folder, "GORACE=halt_on_error=1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	configure := func(round int64) {
		hcl := fmt.Sprintf("docker_socket_path = %q\ndocker_version = %q", c.socket, []string{"1.40", "1.41"}[round%2])
		if err := h.Configure(t.Context(), agentTrustDomain, hcl); err != nil {
			t.Error(err)
		}
	}
	configure(0)
	for lane := range c.lanes {
		c.replace(lane)
	}
	ctx, cancel := context.WithTimeout(t.Context(), churnWithin)
	defer cancel()
	enough := make(chan struct{})
	var asking, changing sync.WaitGroup
	for lane := range c.lanes {
		if lane == 0 {
			continue // this one runs on
		}
		changing.Go(func() {
			for open(enough) && ctx.Err() == nil {
				c.replace(lane)
			}
		})
	}
	var calls, selectors, none, failed atomic.Int64
	for caller := range churnCallers {
		asking.Go(func() {
			for lane := caller; ctx.Err() == nil && (calls.Load() < churnCalls || c.ended.Load() < churnEnds); lane++ {
				running := c.lanes[lane%churnLanes].Load()
				if running == nil {
					continue
				}
				if n := calls.Add(1); n%1000 == 0 {
					configure(n / 1000)
				}
				before := running.ending.Load()
				got, err := h.Attest(ctx, running.pid)
				switch after := running.ending.Load(); {
				case ctx.Err() != nil:
				case err != nil:
					failed.Add(1)
					if !before && !after || status.Code(err) == codes.Internal {
						t.Errorf("a container that runs %v: %v", !after, err)
					}
				case len(got) == 0:
					none.Add(1)
					if !before && !after {
						t.Error("a container that runs has no selectors")
					}
				default:
					selectors.Add(1)
					if label := got[0]; !c.owned(running.pid, label) {
						t.Errorf("process %d of %s: got %q", running.pid, running.label, got)
					}
				}
			}
		})
	}
	asking.Wait()
	close(enough)
	changing.Wait()
	t.Logf("%d attestations: %d with selectors, %d without, %d failed; %d containers ended", calls.Load(), selectors.Load(), none.Load(), failed.Load(), c.ended.Load())
	if ctx.Err() != nil {
		t.Errorf("only %d attestations and %d ends within %v", calls.Load(), c.ended.Load(), churnWithin)
	}
	stays := c.lanes[0].Load()
	if got, err := h.Attest(t.Context(), stays.pid); err != nil || !slices.Contains(got, stays.label) {
		t.Errorf("the container that ran on: %q, %v", got, err)
	}
	for name := range h.Counters.Values() {
		if strings.Contains(name, "bugs") {
			t.Errorf("counted: %s", name)
		}
	}
	if flaws := h.Log.Flaws(); h.Exited() || len(flaws) > 0 {
		t.Errorf("it has ended: %v; the log could harm an agent: %q", h.Exited(), flaws)
	}
}

// replace ends the container of a lane, if there is one, and starts the next.
func (c *churn) replace(lane int) {
	if old := c.lanes[lane].Load(); old != nil {
		old.ending.Store(true)
		if _, err := c.try("rm", "-f", old.id); err != nil {
			c.t.Error(err)
		}
		c.ended.Add(1)
		c.lanes[lane].Store(nil)
	}
	number := fmt.Sprint(c.last.Add(1))
	next := &churned{label: "label:number:" + number}
	id, err := c.try("run", "-d", "--network", "none", "--entrypoint", "/hello", "--label", "number="+number, "app:1")
	if err != nil {
		c.t.Error(err)
		return
	}
	out, err := c.try("inspect", "--format", "{{.State.Pid}}", id)
	pid, errPID := strconv.ParseInt(out, 10, 32)
	if err != nil || errPID != nil || pid == 0 {
		c.t.Errorf("process %q: %v, %v", out, err, errPID)
		return
	}
	next.id, next.pid = id, int32(pid)
	c.mu.Lock()
	c.owners[next.pid] = append(c.owners[next.pid], next.label)
	c.mu.Unlock()
	c.lanes[lane].Store(next)
}

func (c *churn) owned(pid int32, label string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.owners[pid], label)
}

func open(c <-chan struct{}) bool {
	select {
	case <-c:
		return false
	default:
		return true
	}
}

// raceProgram builds assay so that it ends at a data race. That needs a C compiler; without one it is the program as it is.
func raceProgram(t *testing.T, folder string) string {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		t.Log("no C compiler: data races are NOT looked for")
		return "../bin/assay"
	}
	program := filepath.Join(folder, "assay")
	build := exec.Command("go", "build", "-race", "-o", program, "../cmd/assay")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}
