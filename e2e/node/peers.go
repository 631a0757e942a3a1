//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	nodeName     = "node"
	apiPort      = 6443
	registryPort = 5000
	notaryPort   = 4443
)

// How long programs may take.
const (
	readyWithin = 60 * time.Second
	stopWithin  = 10 * time.Second
)

// peer is one program of the cluster.
type peer struct {
	name  string
	args  []string
	path  []string     // folders where its own helpers are looked for first
	ready func() error // nil: once it runs
	after string       // who must be ready before
	lazy  bool         // started by "node peer start" only

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// programs are the names of all peers.
func programs() []string {
	var all []string
	for _, p := range (&cluster{}).list() {
		all = append(all, p.name)
	}
	return append(all, "ctr", "containerd-shim-runc-v2")
}

// searchPath is where programs are: the peers that were built, before what a distribution has of the same name, then those of PATH, and
// the folders that an administrator has.
func searchPath() []string {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	built := filepath.Join(cache, "assay-peers", "bin")
	return slices.Concat([]string{built}, filepath.SplitList(os.Getenv("PATH")), []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"})
}

func lookPath(program string) (string, error) { return lookIn(searchPath(), program) }

// pluginFolders are where containerd looks for what connects pods, as its configuration says.
func pluginFolders() []string { return []string{"/usr/lib/cni", "/opt/cni/bin"} }

func lookIn(folders []string, program string) (string, error) {
	for _, folder := range folders {
		if path, err := exec.LookPath(filepath.Join(folder, program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w; e2e/peers/install installs it", program, exec.ErrNotFound)
}

// start starts the program, if it does not run, and waits until it is ready.
func (p *peer) start(folder string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	path, err := lookPath(p.name)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(folder, logFolder, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) // it may start again
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(path, p.args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "PATH="+strings.Join(slices.Concat(p.path, searchPath()), string(os.PathListSeparator)))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait() // that it has ended is what counts
	}()
	return p.await()
}

func (p *peer) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *peer) await() error {
	if p.ready == nil {
		return nil
	}
	for deadline := time.Now().Add(readyWithin); ; {
		err := p.ready()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready: %w", p.name, err)
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s has ended; see its log", p.name)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// end stops the program with a signal, and with SIGKILL if that takes too long.
func (p *peer) end(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Kill() // it may have ended just now
		<-p.done
	}
	return nil
}
