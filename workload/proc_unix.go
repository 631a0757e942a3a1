//go:build !windows

package workload

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

func (p *Proc) started(pid int32) (uint64, error) {
	content, err := p.read(pid, "stat", maxStat)
	switch {
	case gone(err):
		return 0, fmt.Errorf("process %d: %w", pid, ErrProcessGone)
	case err != nil:
		return 0, err
	}
	started, err := parseStarted(content)
	if err != nil {
		return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return started, nil
}

// gone reports whether an error is that of a file of a process that is not there. The kernel says ESRCH where the process ended after the file
// was opened.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}
