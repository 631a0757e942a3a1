//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// How long peers may take.
const (
	readyWithin = 30 * time.Second
	stopWithin  = 20 * time.Second
)

// process is a peer that runs.
type process struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when it has ended
	stop sync.Once
}

// start runs a peer until the story ends. Its output goes to a file in the story's folder.
func start(ts *testscript.TestScript, logName, program string, args ...string) *process {
	path, err := find(ts, program)
	ts.Check(err)
	log, err := os.OpenFile(ts.MkAbs(logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	cmd.Stdout = log
	cmd.Stderr = log
	ts.Check(cmd.Start())
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how a peer ends tells nothing: it is always killed
	}()
	ts.Defer(p.end)
	return p
}

// end stops the peer, gently at first.
func (p *process) end() {
	p.stop.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		select {
		case <-p.done:
		case <-time.After(stopWithin):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		_ = p.log.Close()
	})
}

// kill stops the peer as a power cut does.
func (p *process) kill() {
	p.stop.Do(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		_ = p.log.Close()
	})
}

// await asks until the peer is ready, has ended, or took too long.
func (p *process) await(ready func() error) error {
	deadline := time.Now().Add(readyWithin)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s has ended:\n%s", p.cmd.Path, p.output())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready: %w\n%s", p.cmd.Path, err, p.output())
		}
	}
}

func (p *process) output() string {
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// freePort returns a port of the loopback interface that nobody uses now.
func freePort(ts *testscript.TestScript) int {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}
