package spire

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/assay-dev/assay/enforce"
)

// Limits of what was logged and not yet written.
const (
	maxUnwritten = 1 << 20     // bytes; what comes then is lost, and counted
	writeWait    = time.Second // for a line to be written, unless an earlier one still waits
)

// lines writes whole lines, one at a time and in order. An agent that does not read them holds nobody who logs.
type lines struct {
	out io.Writer

	mu      sync.Mutex
	waiting []unwritten
	bytes   int // of waiting, with the one that is being written
	lost    int
	writing bool // a goroutine writes
	stuck   bool // it has taken too long: nobody waits for it
}

type unwritten struct {
	line []byte
	done chan struct{} // closed when it was written
}

// write hands a line over and waits a moment for it to be written.
func (l *lines) write(line []byte) {
	next := unwritten{line, make(chan struct{})}
	l.mu.Lock()
	if l.bytes+len(line) > maxUnwritten {
		l.lost++
		l.mu.Unlock()
		return
	}
	l.waiting, l.bytes = append(l.waiting, next), l.bytes+len(line)
	if !l.writing {
		l.writing = true
		start(func() { _ = enforce.Guard(l.writeAll) }) // where nothing can be written, nothing can be said of it
	}
	stuck := l.stuck
	l.mu.Unlock()
	if stuck {
		return
	}
	late := time.NewTimer(writeWait)
	defer late.Stop()
	select {
	case <-next.done:
	case <-late.C:
		l.mu.Lock()
		l.stuck = l.writing
		l.mu.Unlock()
	}
}

// writeAll writes what waits, until there is nothing more.
func (l *lines) writeAll() {
	for {
		next, more := l.next()
		if !more {
			return
		}
		l.writeOne(next)
	}
}

// writeOne writes a line. One that cannot be written is gone.
func (l *lines) writeOne(next unwritten) {
	defer close(next.done)
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bytes -= len(next.line)
	}()
	_ = enforce.Guard(func() { _, _ = l.out.Write(next.line) })
}

func (l *lines) next() (unwritten, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 && l.lost > 0 {
		text := fmt.Sprintf("%d lines of the log are lost: nobody has read the ones before", l.lost)
		l.lost = 0
		line := []byte(`{"@level":"` + levelName(slog.LevelWarn) + `","@message":"` + text + `","@timestamp":"` + time.Now().Format(timestamps) + "\"}\n")
		l.bytes += len(line)
		return unwritten{line, make(chan struct{})}, true
	}
	if len(l.waiting) == 0 {
		l.waiting, l.writing, l.stuck = nil, false, false
		return unwritten{}, false
	}
	first := l.waiting[0]
	l.waiting = l.waiting[1:]
	return first, true
}
