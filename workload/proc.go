package workload

import (
	"errors"
	"io/fs"
)

// Proc is the process table of the kernel. It is safe for concurrent use.
type Proc struct {
	// Go starts goroutines; nil: with one that recovers from panics. To be set before the first use.
	Go func(name string, fn func())

	fsys fs.FS
}

// NewProc makes a Proc of the folder below which proc/<pid>/… lies.
func NewProc(fsys fs.FS) *Proc { return &Proc{fsys: fsys} }

// Started returns when a process started, in clock ticks since the machine started. ErrProcessGone: there is none. It takes a second at most.
func (p *Proc) Started(pid int32) (uint64, error) { return 0, errors.New("not yet") }
