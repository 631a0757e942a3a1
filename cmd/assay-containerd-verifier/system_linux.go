package main

import (
	"errors"
	"io/fs"
	"os/exec"
	"syscall"
)

const nonBlocking = syscall.O_NONBLOCK

// isolate puts a command into a process group of its own, so that all of it can be killed, and has the kernel kill the command where this
// program is killed first, as containerd does when its patience is over.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// owner returns the user to whom a file belongs.
func owner(info fs.FileInfo) (uid uint32, err error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.New("it cannot be told to whom it belongs")
	}
	return stat.Uid, nil
}
