package material

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// maxNote is how many bytes are read of the file that says when a copy was proved.
const maxNote = 64 << 10

// rootHistory is the folder with the versions of root.json, which the layout of cosign does not keep.
const rootHistory = "root_history"

// folder is a copy of a TUF repository on disk, in the layout of cosign initialize: metadata without versions in their names, targets
// in a folder of their own, and beside the folder a note of when it was proved.
type folder struct{ path string }

// note is the content of the note.
type note struct {
	LastTimestamp time.Time `json:"lastTimestamp"`
}

func (f *folder) notePath() string { return f.path + ".json" }

// load reads a copy and proves it as of the time at which it was last proved. It returns nil if there is no copy.
func (f *folder) load(first []byte, now time.Time) (*proved, time.Time, error) {
	const attempts = 3 // another process may be writing
	var err error
	for range attempts {
		var p *proved
		var at time.Time
		if p, at, err = f.loadOnce(first, now); err == nil {
			return p, at, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, time.Time{}, err
}

func (f *folder) loadOnce(first []byte, now time.Time) (*proved, time.Time, error) {
	dir, err := os.OpenRoot(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	defer dir.Close()
	at, err := f.provedAt(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, nil // a folder that something else was begun in
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	if at.After(now.Add(clockSlack)) {
		return nil, time.Time{}, fmt.Errorf("was proved to be current at %s, and the clock says %s; set the clock", stamp(at), stamp(now))
	}
	p, err := prove(context.Background(), first, nil, &disk{dir}, at)
	if err != nil {
		return nil, time.Time{}, err
	}
	return p, at, nil
}

// provedAt returns when the copy was last proved: what the note says, but never after its timestamp ended, which is signed.
func (f *folder) provedAt(dir *os.Root) (time.Time, error) {
	content, err := readFile(dir, "timestamp.json", maxTimestamp)
	if err != nil {
		return time.Time{}, err
	}
	timestamp, err := metadata.Timestamp().FromBytes(content)
	if err != nil {
		return time.Time{}, fmt.Errorf("timestamp.json: %w", err)
	}
	at, err := f.noted(dir)
	if err != nil {
		return time.Time{}, err
	}
	if end := timestamp.Signed.Expires; at.After(end) {
		at = end
	}
	return at, nil
}

// noted returns what the note says; without one, when timestamp.json was written.
func (f *folder) noted(dir *os.Root) (time.Time, error) {
	file, err := os.Open(f.notePath())
	if err == nil {
		defer file.Close()
		content, err := readUpTo(file, maxNote)
		if err != nil {
			return time.Time{}, fmt.Errorf("%s: %w", f.notePath(), err)
		}
		var n note
		if err := json.Unmarshal(content, &n); err != nil {
			return time.Time{}, fmt.Errorf("%s: %w", f.notePath(), err)
		}
		if !n.LastTimestamp.IsZero() {
			return n.LastTimestamp, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, err
	}
	info, err := dir.Stat("timestamp.json")
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// save writes what was proved. Each file is replaced as a whole, the one that names all others last, and one process writes at a time.
func (f *folder) save(p *proved, at time.Time) error {
	if err := os.MkdirAll(filepath.Join(f.path, rootHistory), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(f.path, "targets"), 0o700); err != nil {
		return err
	}
	unlock, err := lock(f.path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	dir, err := os.OpenRoot(f.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if f.newer(dir, p) {
		return nil
	}
	for _, version := range slices.Sorted(maps.Keys(p.roots)) {
		if err := replaceFile(dir, historyName(version), p.roots[version]); err != nil {
			return err
		}
	}
	if err := replaceFile(dir, "root.json", p.root); err != nil {
		return err
	}
	if err := replaceFile(dir, "targets/"+target, p.target); err != nil {
		return err
	}
	for _, role := range slices.Sorted(maps.Keys(p.roles)) {
		if err := replaceFile(dir, fileName(role), p.roles[role]); err != nil {
			return err
		}
	}
	if err := replaceFile(dir, "snapshot.json", p.snapshot); err != nil {
		return err
	}
	if err := replaceFile(dir, "timestamp.json", p.timestamp); err != nil {
		return err
	}
	return f.writeNote(at)
}

// newer reports whether another process wrote something newer meanwhile.
func (f *folder) newer(dir *os.Root, p *proved) bool {
	content, err := readFile(dir, "timestamp.json", maxTimestamp)
	if err != nil {
		return false
	}
	timestamp, err := metadata.Timestamp().FromBytes(content)
	return err == nil && timestamp.Signed.Version > p.versions.timestamp && f.proves(dir, p)
}

// proves reports whether the copy on disk is good, by the root of p.
func (f *folder) proves(dir *os.Root, p *proved) bool {
	at, err := f.provedAt(dir)
	if err != nil {
		return false
	}
	_, err = prove(context.Background(), p.root, nil, &disk{dir}, at)
	return err == nil
}

func (f *folder) writeNote(at time.Time) error {
	content, err := json.Marshal(note{LastTimestamp: at.UTC()})
	if err != nil {
		return err
	}
	dir, err := os.OpenRoot(filepath.Dir(f.notePath()))
	if err != nil {
		return err
	}
	defer dir.Close()
	return replaceFile(dir, filepath.Base(f.notePath()), content)
}

func historyName(version int64) string {
	return rootHistory + "/" + strconv.FormatInt(version, 10) + ".root.json"
}

// replaceFile writes a file so that readers see the old content or the new one, also after a crash.
func replaceFile(dir *os.Root, name string, content []byte) error {
	const temporary = ".assay-new" // writers hold the lock, so that one name is enough
	file, err := dir.OpenFile(name+temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return errors.Join(err, dir.Remove(name+temporary))
	}
	return dir.Rename(name+temporary, name)
}

// readFile reads a file of a folder, up to a limit.
func readFile(dir *os.Root, name string, limit int64) ([]byte, error) {
	file, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := readUpTo(file, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return content, nil
}

// disk is a copy on disk, read as a TUF repository.
type disk struct{ dir *os.Root }

var _ repository = (*disk)(nil)

func (d *disk) read(name string, limit int64) ([]byte, error) {
	content, err := readFile(d.dir, name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, errAbsent)
	}
	return content, err
}

// root returns a version from the history, or root.json if it is that version.
func (d *disk) root(_ context.Context, version int64) ([]byte, error) {
	content, err := d.read(historyName(version), maxRootFile)
	if !errors.Is(err, errAbsent) {
		return content, err
	}
	newest, err := d.read("root.json", maxRootFile)
	if err != nil {
		return nil, err
	}
	parsed, err := metadata.Root().FromBytes(newest)
	switch {
	case err != nil:
		return nil, fmt.Errorf("root.json: %w", err)
	case parsed.Signed.Version == version:
		return newest, nil
	case parsed.Signed.Version > version:
		return nil, fmt.Errorf("root.json has version %d, and version %d, which leads to it from the one that is trusted, is missing", parsed.Signed.Version, version)
	}
	return nil, errAbsent
}

func (d *disk) role(_ context.Context, name string, _, limit int64) ([]byte, error) {
	return d.read(fileName(name), limit)
}

func (d *disk) target(_ context.Context, name, _ string, limit int64) ([]byte, error) {
	return d.read("targets/"+name, limit)
}
