//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// inside is the verb of the processes in the namespaces.
const inside = "inside"

// Files of a cluster's folder.
const (
	lockFile    = "lock"    // held as long as the cluster lives; its content is the process that holds it
	readyFile   = "ready"   // there once everything answers
	controlFile = "control" // the socket for "node peer"
	envFile     = "env"
	stateFolder = "state" // in memory
	logFolder   = "log"
	nodeLog     = "log/node.log"
)

// start runs a cluster until ctx ends, or until it ends itself.
func start(ctx context.Context, folder string) error {
	if err := able(); err != nil {
		return err
	}
	for _, hidden := range append([]string{"/run"}, kept...) {
		if folder == hidden || strings.HasPrefix(folder, hidden+"/") {
			return fmt.Errorf("%s: programs in the cluster have a %s of their own; choose another folder", folder, hidden)
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	lock, err := acquire(folder)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := furnish(folder); err != nil {
		return err
	}
	link, err := newLink()
	if err != nil {
		return err
	}
	defer link.remove()
	if err := sweep(); err != nil {
		return err
	}
	group := controlGroup(link.name)
	if err := group.create(); err != nil {
		return errors.Join(denied(err), group.remove())
	}
	err = contain(ctx, link, folder)
	_ = os.Remove(filepath.Join(folder, readyFile))
	return errors.Join(err, group.remove())
}

// furnish makes the folders, and removes what an earlier cluster left.
func furnish(folder string) error {
	for _, name := range []string{readyFile, "manifests", "containerd/verifiers"} {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{stateFolder, logFolder, "manifests", "containerd/verifiers"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// able says what is missing for a cluster.
func able() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: root is needed, for control groups, mounts and network interfaces", errUnable)
	}
	for _, program := range append(programs(), "ip", "iptables", "runc") {
		if _, err := lookPath(program); err != nil {
			return fmt.Errorf("%w: %w", errUnable, err)
		}
	}
	for _, plugin := range []string{"loopback", "ptp", "host-local"} {
		if _, err := lookIn(pluginFolders(), plugin); err != nil {
			return fmt.Errorf("%w: CNI plugin %w", errUnable, err)
		}
	}
	return nil
}

// denied is errUnable where the kernel, asked for what a cluster is made of, says that this process may not.
func denied(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", errUnable, err)
	}
	return err
}

// contain runs the first process of the namespaces. Everything in them ends with it, and it ends with this one.
func contain(ctx context.Context, link *link, folder string) error {
	// The signal at the parent's death is sent when this thread ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	gate, open, err := os.Pipe()
	if err != nil {
		return err
	}
	defer gate.Close()
	defer open.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", inside, link.name, folder)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = gate, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("namespaces: %w", denied(err))
	}
	if err := link.give(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		return errors.Join(err, cmd.Wait())
	}
	_ = open.Close() // the first process reads to the end before it begins
	if err := cmd.Wait(); ctx.Err() == nil {
		return fmt.Errorf("the cluster has ended: %w; see %s", err, filepath.Join(folder, logFolder))
	}
	return nil
}

// acquire takes the folder's lock.
func acquire(folder string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: a cluster runs here already: %w", folder, err)
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	_, err = f.WriteString(strconv.Itoa(os.Getpid()))
	return f, err
}

// detach starts a cluster that outlives this process, and waits until it is ready.
func detach(ctx context.Context, folder string, owner int) error {
	if err := os.MkdirAll(filepath.Join(folder, logFolder), 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(folder, nodeLog))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe", "start", "--owner", strconv.Itoa(owner), folder)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		// The ready file names the process, so that one of an earlier cluster does not count.
		if pid, err := os.ReadFile(filepath.Join(folder, readyFile)); err == nil && string(pid) == strconv.Itoa(cmd.Process.Pid) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			_ = cmd.Process.Signal(syscall.SIGTERM)
			return errors.Join(ctx.Err(), <-ended)
		case err := <-ended:
			return failure(err, log.Name())
		}
	}
}

// outlive returns when a process, which is no child of this one, has ended, or ctx has.
func outlive(ctx context.Context, pid int) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for syscall.Kill(pid, 0) == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// failure is why a detached cluster ended: what it said, and whether that was because it cannot run here.
func failure(ended error, log string) error {
	text, err := os.ReadFile(log)
	if err != nil {
		return errors.Join(ended, err)
	}
	var exit *exec.ExitError
	if errors.As(ended, &exit) && exit.ExitCode() == exitUnable {
		ended = errUnable
	}
	return fmt.Errorf("%w; it said:\n%s", ended, strings.TrimSpace(string(text)))
}

// stop ends the cluster of a folder and waits until nothing of it is left. One that does not run is no error.
func stop(ctx context.Context, folder string) error {
	f, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for signalled := false; ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if !signalled {
			// The holder of the lock wrote the number, and lives, as it holds it.
			text, err := os.ReadFile(f.Name())
			if err != nil {
				return err
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				return fmt.Errorf("%s: %w", f.Name(), err)
			}
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				return err
			}
			signalled = true
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
