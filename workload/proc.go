package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"time"
)

// Limits of what the kernel is asked.
const (
	maxStat      = 4 << 10   // bytes of /proc/<pid>/stat
	maxCgroups   = 256 << 10 // bytes of /proc/<pid>/cgroup
	maxMountinfo = 4 << 20   // bytes of /proc/<pid>/mountinfo
	maxReading   = 64        // processes that are looked at once
	procTimeout  = time.Second
	procTurn     = 5 * time.Second // how long a look waits for its turn where many are at it
)

// startField is the place of the start time in /proc/<pid>/stat, counted from the one after the name: the 22nd of all.
const startField = 22 - 3

// Proc is the process table of the kernel. It is safe for concurrent use.
type Proc struct {
	// Go starts goroutines; nil: with one that recovers from panics. To be set before the first use.
	Go func(name string, fn func())

	fsys fs.FS
	slot chan struct{} // one for each process that is being looked at
}

// NewProc makes a Proc of the folder below which proc/<pid>/… lies.
func NewProc(fsys fs.FS) *Proc { return &Proc{fsys: fsys, slot: make(chan struct{}, maxReading)} }

// Started returns when a process started, in clock ticks since the machine started (on Windows in units of 100 ns since 1601).
// ErrProcessGone: there is none. It takes a second at most, and waits 5 seconds for its turn.
func (p *Proc) Started(pid int32) (uint64, error) {
	return ask(context.Background(), p, func() (uint64, error) { return p.started(pid) })
}

// turn waits until fewer processes are looked at than may be at once.
func (p *Proc) turn(ctx context.Context) error {
	select {
	case p.slot <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, procTurn)
	defer cancel()
	select {
	case p.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the process table: too many look at it: %w", context.Cause(ctx))
	}
}

// ask waits for what look finds, a second at most once it is its turn: a file system that hangs must not hang whoever asks. What hangs keeps its slot, so that there
// are never many of them.
func ask[T any](ctx context.Context, p *Proc, look func() (T, error)) (T, error) {
	var none T
	if err := p.turn(ctx); err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, procTimeout)
	defer cancel()
	type answer struct {
		found T
		err   error
	}
	answers := make(chan answer, 1)
	start := p.Go
	if start == nil {
		start = guarded
	}
	start("process table", func() {
		a := answer{err: errors.New("the process table: panic")}
		defer func() { <-p.slot; answers <- a }() // also where look panics
		a.found, a.err = look()
	})
	select {
	case a := <-answers:
		return a.found, a.err
	case <-ctx.Done():
		return none, fmt.Errorf("the process table: %w", context.Cause(ctx))
	}
}

// parseStarted reads the start time out of /proc/<pid>/stat. The name of the process is its own choice: only the last ")" ends it.
func parseStarted(content []byte) (uint64, error) {
	end := bytes.LastIndexByte(content, ')')
	if end < 0 {
		return 0, errors.New("no name in it")
	}
	fields := bytes.Fields(content[end+1:])
	if len(fields) <= startField {
		return 0, fmt.Errorf("%d fields after the name are too few", len(fields))
	}
	return strconv.ParseUint(string(fields[startField]), 10, 64)
}

// read returns a file of a process, whose errors name it as people know it: /proc/1/cgroup.
func (p *Proc) read(pid int32, name string, limit int64) ([]byte, error) {
	return p.readOf(strconv.Itoa(int(pid)), name, limit)
}

func (p *Proc) readOf(process, name string, limit int64) ([]byte, error) {
	file := path.Join("proc", process, name)
	f, err := p.fsys.Open(file)
	if err != nil {
		return nil, absolute(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, absolute(err)
	case int64(len(content)) > limit:
		return nil, fmt.Errorf("/%s: more than %d bytes", file, limit)
	}
	return content, nil
}

// absolute writes the path of an error as one that starts at the root.
func absolute(err error) error {
	var failed *fs.PathError
	if errors.As(err, &failed) && !path.IsAbs(failed.Path) {
		return &fs.PathError{Op: failed.Op, Path: "/" + failed.Path, Err: failed.Err}
	}
	return err
}
