package workload

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// On Windows a container is a job object, and the service that starts containers has handles of all of them.
const (
	jobOwner  = "vmcompute.exe"
	jobType   = "Job"
	jobPrefix = `\Container_`
)

// errSkipHandle says that a handle gives no answer: it denies access, or does not support the question.
var errSkipHandle = errors.New("the handle gives no answer")

// jobTable is what is asked of Windows.
type jobTable interface {
	// processes returns the names of programs by the numbers of their processes.
	processes() (map[uint32]string, error)
	// handles returns all handles of the system.
	handles() ([]systemHandle, error)
	// open makes a handle of another process one of our own.
	open(systemHandle) (jobHandle, error)
}

type systemHandle struct {
	owner uint32 // process
	value uintptr
}

// jobHandle is a handle of our own. An error that is errSkipHandle leaves it out.
type jobHandle interface {
	kind() (string, error)
	contains(pid int32) (bool, error)
	name() (string, error)
	close()
}

// containerOfJobs returns the container that a process runs in; "": in none.
func containerOfJobs(table jobTable, pid int32) (string, error) {
	names, err := jobNames(table, pid)
	switch {
	case err != nil:
		return "", fmt.Errorf("failed to get container ID: %w", err)
	case len(names) > 1:
		return "", fmt.Errorf("failed to get container ID: process has multiple jobs: %v", names)
	case len(names) == 0:
		return "", nil
	}
	return names[0], nil
}

func jobNames(table jobTable, pid int32) ([]string, error) {
	processes, err := table.processes()
	if err != nil {
		return nil, err
	}
	handles, err := table.handles()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, h := range handles {
		if processes[h.owner] != jobOwner {
			continue
		}
		name, err := jobName(table, h, pid)
		switch {
		case errors.Is(err, errSkipHandle):
		case err != nil:
			return nil, err
		case name != "" && !slices.Contains(names, name): // several handles may be of one job
			names = append(names, name)
		}
	}
	return names, nil
}

// jobName returns the name of the container whose job a handle is of, if the process is in it.
func jobName(table jobTable, of systemHandle, pid int32) (string, error) {
	h, err := table.open(of)
	if err != nil {
		return "", err
	}
	defer h.close()
	kind, err := h.kind()
	if err != nil || kind != jobType { // the name of a pipe, say, may not be asked for: that can hang
		return "", err
	}
	inside, err := h.contains(pid)
	if err != nil || !inside {
		return "", err
	}
	name, err := h.name()
	if err != nil {
		return "", err
	}
	id, ok := strings.CutPrefix(name, jobPrefix)
	if !ok {
		return "", nil
	}
	return id, nil
}
