package workload

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/windows"
)

// stillActive is the exit code of a process that has not ended (STILL_ACTIVE).
const stillActive = 259

// started asks Windows: there is no /proc.
func (p *Proc) started(pid int32) (uint64, error) {
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	switch {
	case errors.Is(err, windows.ERROR_INVALID_PARAMETER): // which is what it says of a number that nobody has
		return 0, fmt.Errorf("process %d: %w", pid, ErrProcessGone)
	case err != nil:
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	defer func() { _ = windows.CloseHandle(process) }()
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(process, &created, &exited, &kernel, &user); err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	var code uint32
	if err := windows.GetExitCodeProcess(process, &code); err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	if code != stillActive { // somebody else may still hold a process that has ended
		return 0, fmt.Errorf("process %d: %w", pid, ErrProcessGone)
	}
	return uint64(created.HighDateTime)<<32 | uint64(created.LowDateTime), nil
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
