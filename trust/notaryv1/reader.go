package notaryv1

import (
	"crypto/sha256"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"
)

// reader reads files, and keeps what it read together with which signatures hold. It is safe for concurrent use.
type reader struct {
	files   *otter.Cache[readKey, read]
	reading singleflight.Group // large files take much memory while they are read
	checks  atomic.Int64       // signatures that were checked
}

// readKey names a file by its content and by what it was read as.
type readKey struct {
	as  string // "", "root", or the name of a targets role
	sum [sha256.Size]byte
}

type read struct {
	value any // *file, *rootFile or *targetsFile
	size  int
}

// perFile is what a file costs in memory beside its bytes, which stand in it about twice.
const perFile = 2048

func newReader() *reader {
	return &reader{files: otter.Must(&otter.Options[readKey, read]{
		MaximumWeight: maxFiles,
		Weigher:       func(_ readKey, r read) uint32 { return uint32(2*r.size + perFile) },
		Executor:      func(fn func()) { fn() },
	})}
}

// once returns what was read before, or reads. Whoever wants the same meanwhile waits for it.
func once[T any](r *reader, as string, content []byte, fn func(*file) (T, error)) (T, error) {
	key := readKey{as: as, sum: sha256.Sum256(content)}
	if known, found := r.files.GetIfPresent(key); found {
		return known.value.(T), nil
	}
	value, err, _ := r.reading.Do(as+" "+string(key.sum[:]), func() (any, error) {
		f, err := parseFile(content)
		if err != nil {
			return nil, err
		}
		f.checks = &r.checks
		value, err := fn(f)
		if err == nil {
			r.files.Set(key, read{value: value, size: len(content)})
		}
		return value, err
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return value.(T), nil
}

func (r *reader) read(content []byte) (*file, error) {
	return once(r, "", content, func(f *file) (*file, error) { return f, nil })
}

func (r *reader) root(content []byte) (*rootFile, error) {
	return once(r, roleRoot, content, func(f *file) (*rootFile, error) { return readRoot(f, content) })
}

func (r *reader) targets(name string, content []byte) (*targetsFile, error) {
	return once(r, name, content, func(f *file) (*targetsFile, error) { return readTargets(name, f) })
}
