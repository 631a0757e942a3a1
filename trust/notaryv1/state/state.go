// Package state keeps on disk what was seen of the trust data of repositories, so that no restart forgets it.
//
// Each repository has a file of its own, named by a hash: names of repositories never become names of files. A file is replaced
// whole and reaches the disk before an answer relies on it; a lock beside it lets several processes share the folder. A file that cannot
// be read is an error and never "nothing was seen": that would let a server go back to any version.
package state

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/assay-dev/assay/atomicfile"
	"github.com/assay-dev/assay/trust/notaryv1"
)

// MaxState is the size of the largest file that is read, in bytes: the metadata of a repository, with a third more for base64.
const MaxState = 64 << 20

// lockWait is how long somebody waits for another process that is about to write.
const (
	lockWait  = 10 * time.Second
	lockRetry = 2 * time.Millisecond
)

const suffix = ".json"

// Folder is a notaryv1.Store in a folder of the file system. It is safe for concurrent use by several processes.
type Folder struct {
	path string
}

var _ notaryv1.Store = (*Folder)(nil)

// Open returns the store in a folder, which is made when something is written for the first time. Where no folder is given, nothing can
// be kept, and that is an error of each call: who forgets what was seen cannot notice a rollback.
func Open(path string) *Folder { return &Folder{path: path} }

var errNoFolder = errors.New("there is no folder that could keep what was seen of trust data; name one by --state-dir or ASSAY_STATE_DIR")

// Load implements notaryv1.Store.
func (f *Folder) Load(_ context.Context, k notaryv1.Key) (notaryv1.State, error) {
	if f.path == "" {
		return notaryv1.State{}, errNoFolder
	}
	return f.read(f.file(k), k)
}

// Others implements notaryv1.Store.
func (f *Folder) Others(_ context.Context, k notaryv1.Key) ([]notaryv1.State, error) {
	all, err := f.list(func(name string) bool { return strings.HasPrefix(name, repository(k)) })
	return slices.DeleteFunc(all, func(s notaryv1.State) bool {
		return s.Key == k || s.Server != k.Server || s.GUN != k.GUN
	}), err
}

// Update implements notaryv1.Store.
func (f *Folder) Update(ctx context.Context, k notaryv1.Key, change func(notaryv1.State) (notaryv1.State, error)) error {
	if f.path == "" {
		return errNoFolder
	}
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return err
	}
	release, err := f.lock(ctx, k)
	if err != nil {
		return err
	}
	defer release()
	before, err := f.read(f.file(k), k)
	if err != nil {
		return err
	}
	after, err := change(before)
	if err != nil {
		return err
	}
	after.Key = k
	return write(f.file(k), after)
}

// List returns what is kept of all repositories, by server and name. What cannot be read is an error, beside the rest.
func (f *Folder) List() ([]notaryv1.State, error) {
	return f.list(func(string) bool { return true })
}

// list reads the files whose names are wanted.
func (f *Folder) list(wanted func(name string) bool) ([]notaryv1.State, error) {
	if f.path == "" {
		return nil, errNoFolder
	}
	entries, err := os.ReadDir(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var states []notaryv1.State
	errs := []error{err}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), suffix) || !wanted(e.Name()) {
			continue
		}
		s, err := f.read(filepath.Join(f.path, e.Name()), notaryv1.Key{})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		states = append(states, s)
	}
	slices.SortFunc(states, func(a, b notaryv1.State) int {
		return strings.Compare(a.String()+"\x00"+a.Anchor, b.String()+"\x00"+b.Anchor)
	})
	return states, errors.Join(errs...)
}

// Forget takes away what is kept under a key, so that the repository is seen as if for the first time.
func (f *Folder) Forget(ctx context.Context, k notaryv1.Key) error {
	release, err := f.lock(ctx, k)
	if err != nil {
		return err
	}
	defer release()
	return os.Remove(f.file(k))
}

func (f *Folder) file(k notaryv1.Key) string {
	sum := sha256.Sum256([]byte(k.Anchor))
	return filepath.Join(f.path, repository(k)+hex.EncodeToString(sum[:16])+suffix)
}

// repository is what the names of all files of a repository begin with.
func repository(k notaryv1.Key) string {
	sum := sha256.Sum256([]byte(k.Server + "\x00" + k.GUN))
	return hex.EncodeToString(sum[:]) + "-"
}

// lock waits until nobody else is about to write under a key. The lock ends with the process that holds it.
func (f *Folder) lock(ctx context.Context, k notaryv1.Key) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	l := flock.New(f.file(k)+".lock", flock.SetPermissions(0o600))
	if _, err := l.TryLockContext(ctx, lockRetry); err != nil {
		return nil, fmt.Errorf("%s: %w", l.Path(), err)
	}
	return func() { _ = l.Close() }, nil
}

// read returns what a file keeps. want is the key that it must be kept under, or zero.
func (f *Folder) read(name string, want notaryv1.Key) (notaryv1.State, error) {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return notaryv1.State{}, nil
	}
	if err != nil {
		return notaryv1.State{}, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, MaxState+1))
	if err == nil && len(content) > MaxState {
		err = fmt.Errorf("larger than %d bytes", MaxState)
	}
	var s notaryv1.State
	if err == nil {
		err = json.Unmarshal(content, &s)
	}
	if err == nil && (s.Server == "" || want != notaryv1.Key{} && s.Key != want) {
		err = errors.New("it is about another repository")
	}
	if err != nil {
		return notaryv1.State{}, fmt.Errorf("%s: %w; restore it from a backup, or remove it if the server is known to be up to date", name, err)
	}
	return s, nil
}

// write replaces a file whole.
func write(name string, s notaryv1.State) error {
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if len(content) > MaxState {
		return fmt.Errorf("%s: %d bytes, at most %d can be kept", name, len(content), MaxState)
	}
	return atomicfile.Write(name, content)
}
