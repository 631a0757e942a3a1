package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/policy"
)

// pace is how often servers look at what can have changed. Zero fields stand for the usual times; tests do not wait for them.
type pace struct {
	// files is how often files are looked at. What changed must be the same at two looks one after another before it counts: a file that is
	// written in place is empty first, and then half.
	files  time.Duration
	settle time.Duration // how long changes of policies that are objects are collected before they are looked at
	jitter time.Duration // in which one of several servers is likely to be the first to write a status
}

var usualPace = pace{files: time.Second, settle: 250 * time.Millisecond, jitter: time.Second}

// orUsual fills in what was not set.
func (p pace) orUsual() pace {
	return pace{
		files:  cmp.Or(p.files, usualPace.files),
		settle: cmp.Or(p.settle, usualPace.settle),
		jitter: cmp.Or(p.jitter, usualPace.jitter),
	}
}

// readFunc reads a file up to a limit, as readLimited does.
type readFunc func(name string, limit int64) ([]byte, error)

// readFile is a file as it was read.
type readFile struct {
	content []byte
	limit   int64
	err     error
}

// reading is what one load has read, so that it is known when it changes.
type reading struct {
	held   *reading // what was read before and held still; everything else is read from disk. nil: everything
	paths  []string // whose listing counts
	listed []string
	failed error // of the listing
	files  map[string]readFile
}

// list returns the files that paths name, folders being listed.
func (r *reading) list(paths []string) ([]string, error) {
	r.paths = paths
	if r.held != nil && r.held.paths != nil {
		r.listed, r.failed = r.held.listed, r.held.failed
	} else {
		r.listed, r.failed = policyFiles(paths)
	}
	return r.listed, r.failed
}

// readPlain is readLimited for plain files. To open a pipe waits for whoever writes to it, and all that is watched would wait with it.
func readPlain(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is no plain file, and cannot be read again when it changes", name)
	}
	return readLimited(name, limit)
}

// file reads a file of at most limit bytes, like readPlain.
func (r *reading) file(name string, limit int64) ([]byte, error) {
	var f readFile
	found := false
	if r.held != nil {
		f, found = r.held.files[name]
	}
	if !found || f.limit < limit {
		f = readFile{limit: limit}
		f.content, f.err = readPlain(name, limit)
	}
	if r.files == nil {
		r.files = map[string]readFile{}
	}
	r.files[name] = f
	return f.content, f.err
}

// again reads what was read before as it is now, and files that are listed since.
func (r *reading) again() *reading {
	now := &reading{}
	if r.paths != nil {
		for _, name := range first(now.list(r.paths)) {
			_, _ = now.file(name, policy.MaxPolicy) // an error is part of what was read
		}
	}
	for name, f := range r.files {
		_, _ = now.file(name, f.limit)
	}
	return now
}

func first(files []string, _ error) []string { return files }

// sum tells two readings apart.
func (r *reading) sum() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %v\n", r.listed, r.failed)
	for _, name := range slices.Sorted(maps.Keys(r.files)) {
		f := r.files[name]
		fmt.Fprintf(h, "%q %x %v\n", name, sha256.Sum256(f.content), f.err)
	}
	return string(h.Sum(nil))
}

// watched is something in force that is made of files, and made anew when they change.
type watched struct {
	what string // in the log and in metrics
	load func(*reading) error
	last *reading // of the last load, also of one in vain
	seen string   // the sum of a change that was seen at the last look
}

// fileWatcher keeps what is made of files as the files are.
type fileWatcher struct {
	log     *slog.Logger
	loaded  func(what string, err error) // is told of each load
	watches []*watched
}

// watch loads something for the first time, and keeps it in mind.
func (l *fileWatcher) watch(what string, load func(*reading) error) error {
	w := &watched{what: what, load: load, last: &reading{}}
	if err := load(w.last); err != nil {
		return usageError("%w", err)
	}
	l.watches = append(l.watches, w)
	l.loaded(what, nil)
	return nil
}

// watch has a server watch something.
func (s *server) watch(what string, load func(*reading) error) error {
	s.fileWatcher.log, s.loaded = s.log, s.metrics.loaded
	return s.fileWatcher.watch(what, load)
}

// keepWatch looks at the files until ctx ends.
func (s *server) keepWatch(ctx context.Context) {
	every(ctx, s.app.pace.orUsual().files, s.look)
}

// every does something again and again until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do()
		}
	}
}

// look loads anew what has changed and held still since the last look.
func (l *fileWatcher) look() {
	for _, w := range l.watches {
		now := w.last.again()
		sum := now.sum()
		switch {
		case sum == w.last.sum():
			w.seen = ""
		case sum != w.seen:
			w.seen = sum
		default:
			w.seen = ""
			l.reload(w, now)
		}
	}
}

func (l *fileWatcher) reload(w *watched, now *reading) {
	next := &reading{held: now}
	var err error
	if bug := enforce.Guard(func() { err = w.load(next) }); bug != nil {
		err = bug
	}
	l.loaded(w.what, err)
	// What the load did not come to, because of an error before it, is watched as well.
	for name, f := range now.files {
		if _, found := next.files[name]; !found && err != nil {
			_, _ = next.file(name, f.limit)
		}
	}
	next.held = nil
	w.last = next
	if err == nil {
		l.log.Info("read again, and in force", "what", w.what)
		return
	}
	l.log.Error("cannot be used; what was in force before stays", "what", w.what, "error", strings.TrimSpace(err.Error()))
}
