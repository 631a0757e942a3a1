// Package memory keeps on disk what the point docker allowed, so that images whose content was decided before still start when the registry
// or a trust server is down, also after a restart.
//
// It is a package of its own because the point itself does no I/O but to the daemon at whose door it stands, and because of the lock.
//
// What is kept counts for the same content under the same name on the same basis (policies and trust material) and until its proofs end,
// or until MaxAge after it was decided last. Only what was allowed is kept: a "no" and a "cannot tell" never. Who may write to the file can
// make anything start, so that it must belong to the user who runs Assay and be nobody else's to write; nothing else vouches for it. A file
// that cannot be read or trusted is "nothing is remembered": that denies, and never lets anything start.
package memory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/assay-dev/assay/atomicfile"
	"github.com/assay-dev/assay/enforce/docker"
	"github.com/assay-dev/assay/image"
)

// Limits of what is kept.
const (
	DefaultMaxAge = 7 * 24 * time.Hour // how long it counts after it was decided last, if its proofs do not end sooner
	MaxEntries    = 4096               // names of images; the oldest are forgotten
	MaxFile       = 16 << 20           // bytes of the file
	maxText       = 1 << 10            // bytes of each text in it
	maxLockWait   = 2 * time.Second    // for another process that is about to write
)

const (
	lockRetry = 2 * time.Millisecond
	slack     = time.Minute // by so much a clock may go back: several are never quite alike
	renewals  = 64          // what is kept is written anew after this part of MaxAge
	fileName  = "decided.json"
)

// Options are the settings of a Memory. The zero value has the defaults.
type Options struct {
	MaxAge time.Duration    // 0: DefaultMaxAge
	Now    func() time.Time // the clock; nil: time.Now
	Log    *slog.Logger     // is told of a file that is not used; nil: nobody is told
}

// Memory is a docker.Memory in a file of a folder. It is safe for concurrent use by several processes; what another one keeps is seen when
// something is written.
type Memory struct {
	folder string
	o      Options

	mu      sync.Mutex
	entries map[key]entry
	seen    time.Time // the latest time that was seen: a clock that is set back does not bring back what has ended
}

var _ docker.Memory = (*Memory)(nil)

// key is what is known: a content under a name.
type key struct{ name, content string }

func keyOf(d docker.Decided) key { return key{d.Name, d.Content.String()} }

// Open reads what is kept in a folder, which is made when something is kept for the first time. It never fails: what cannot be read is not
// remembered.
func Open(folder string, o Options) *Memory {
	if o.MaxAge <= 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := &Memory{folder: folder, o: o}
	m.entries, m.seen = m.load()
	return m
}

func (m *Memory) file() string { return filepath.Join(m.folder, fileName) }

// load returns what the file keeps; nothing if it cannot be used.
func (m *Memory) load() (map[key]entry, time.Time) {
	content, err := read(m.folder, m.file())
	var d document
	if err == nil {
		d, err = decode(content)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			m.o.Log.Warn("what was decided before is not remembered", "file", m.file(), "error", err.Error())
		}
		return map[key]entry{}, time.Time{}
	}
	entries := make(map[key]entry, len(d.Entries))
	for _, e := range d.Entries {
		entries[e.key()] = e
	}
	return entries, d.Seen
}

// Known implements docker.Memory.
func (m *Memory) Known(_ context.Context, d docker.Decided, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, found := m.entries[keyOf(d)]
	if !found || e.Basis != d.Basis || now.Add(slack).Before(m.seen) || now.Add(slack).Before(e.Decided) { // none is kept without a basis
		return false
	}
	m.saw(now)
	return !m.over(&e)
}

// saw notes a time.
func (m *Memory) saw(now time.Time) {
	if now.After(m.seen) {
		m.seen = now
	}
}

// over reports whether an entry no longer counts at the latest time that was seen.
func (m *Memory) over(e *entry) bool {
	return !m.seen.Before(e.Decided.Add(m.o.MaxAge)) || !e.Ends.IsZero() && !m.seen.Before(e.Ends)
}

// Keep implements docker.Memory. What is kept already is written anew only when it has become older.
func (m *Memory) Keep(ctx context.Context, d docker.Decided) error {
	now := m.o.Now().Round(0)
	if d.Basis == "" || d.Name == "" || d.Content.IsZero() {
		return errors.New("a decision without name, content or basis")
	}
	e := newEntry(d, now)
	m.mu.Lock()
	defer m.mu.Unlock()
	old, found := m.entries[e.key()]
	if found && old.Basis == e.Basis && old.Ends.Equal(e.Ends) && !now.Before(old.Decided) && now.Sub(old.Decided) < m.o.MaxAge/renewals {
		return nil
	}
	return m.change(ctx, now, func(entries map[key]entry) { entries[e.key()] = e })
}

// Forget implements docker.Memory. Whoever asked may have left: what is denied is forgotten all the same, and where that cannot be written,
// all that the file keeps is.
func (m *Memory) Forget(ctx context.Context, d docker.Decided) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.entries[keyOf(d)]; !found {
		return nil
	}
	delete(m.entries, keyOf(d)) // also if it cannot be written
	err := m.change(context.WithoutCancel(ctx), m.o.Now().Round(0), func(entries map[key]entry) { delete(entries, keyOf(d)) })
	if err != nil {
		err = errors.Join(err, os.Remove(m.file()))
	}
	return err
}

// change writes what edit makes of the file as it is now, without what is over. What is remembered is then what is written.
func (m *Memory) change(ctx context.Context, now time.Time, edit func(map[key]entry)) error {
	if err := os.MkdirAll(m.folder, 0o700); err != nil {
		return err
	}
	release, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	entries, seen := m.load()
	if seen.After(m.seen) {
		m.seen = seen
	}
	m.saw(now)
	for k, e := range entries {
		if m.over(&e) || now.Add(slack).Before(e.Decided) {
			delete(entries, k)
		}
	}
	edit(entries)
	list := newest(entries)
	content, err := encode(document{Seen: now, Entries: list})
	if err != nil {
		return err
	}
	if err := atomicfile.Write(m.file(), content); err != nil {
		return err
	}
	// What has ended is gone, so that a clock which was ahead need not stop anything any more.
	m.seen = now
	m.entries = make(map[key]entry, len(list))
	for _, e := range list {
		m.entries[e.key()] = e
	}
	return nil
}

// newest returns the entries that are kept, the newest first.
func newest(entries map[key]entry) []entry {
	list := make([]entry, 0, len(entries))
	for _, e := range entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b entry) int {
		if c := b.Decided.Compare(a.Decided); c != 0 {
			return c
		}
		return strings.Compare(a.Name+a.Content.String(), b.Name+b.Content.String())
	})
	return list[:min(len(list), MaxEntries)]
}

// lock waits until no other process is about to write. The lock ends with the process that holds it.
func (m *Memory) lock(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, maxLockWait)
	defer cancel()
	l := flock.New(m.file()+".lock", flock.SetPermissions(0o600))
	if _, err := l.TryLockContext(ctx, lockRetry); err != nil {
		return nil, fmt.Errorf("%s: %w", l.Path(), err)
	}
	return func() { _ = l.Close() }, nil
}

// entry is what is kept of one decision.
type entry struct {
	Name    string       `json:"name"`
	Content image.Digest `json:"content"`
	Basis   string       `json:"basis"`
	Decided time.Time    `json:"decided"`
	Ends    time.Time    `json:"ends,omitzero"`
	Policy  string       `json:"policy,omitempty"` // this and what follows is for people
	Rule    string       `json:"rule,omitempty"`
	Signers []string     `json:"signers,omitempty"`
}

func (e *entry) key() key { return key{e.Name, e.Content.String()} }

func newEntry(d docker.Decided, now time.Time) entry {
	e := entry{Name: d.Name, Content: d.Content, Basis: d.Basis, Decided: now.UTC(), Ends: d.Ends.Round(0).UTC(), Policy: cut(d.Policy), Rule: cut(d.Rule)}
	if d.Ends.IsZero() {
		e.Ends = time.Time{}
	}
	for _, s := range d.Signers[:min(len(d.Signers), maxSigners)] {
		e.Signers = append(e.Signers, cut(s))
	}
	return e
}

// cut shortens a text for people.
func cut(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxText)], "")
}
