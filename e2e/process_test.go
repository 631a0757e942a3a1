//go:build e2e

package e2e

import (
	"errors"
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
	env := []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	p, err := launch(ts.MkAbs("."), ts.MkAbs(logName), env, path, args...)
	ts.Check(err)
	ts.Defer(p.end)
	return p
}

// launch runs a program in a folder, with its output in a file.
func launch(folder, logFile string, env []string, path string, args ...string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = folder
	cmd.Env = env
	cmd.Stdout = log
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how a peer ends tells nothing: it is always killed
	}()
	return p, nil
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
	ports, err := freePorts(1)
	ts.Check(err)
	return ports[0]
}

// freePorts returns n different ports of the loopback interface that nobody uses now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
