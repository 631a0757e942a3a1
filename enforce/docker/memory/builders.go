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

	"github.com/assay-dev/assay/atomicfile"
	"github.com/assay-dev/assay/enforce/docker"
	"github.com/assay-dev/assay/image"
)

const (
	// MaxBuilt is how many images are known by who had them built; those that were built first are forgotten.
	MaxBuilt  = 8192
	builtFile = "built.json"
)

// Builders is a docker.Builders in a file of a folder, which must be nobody else's to write, as that of a Memory. It is safe for concurrent use
// by several processes; what another one adds is seen when something is written.
type Builders struct {
	folder string
	now    func() time.Time
	log    *slog.Logger

	mu    sync.Mutex
	known map[image.Digest]built
}

var _ docker.Builders = (*Builders)(nil)

// built is who had one image built.
type built struct {
	Image image.Digest `json:"image"`
	User  string       `json:"user"`
	At    time.Time    `json:"at"`
}

// builtDocument is the file.
type builtDocument struct {
	Version int     `json:"version"`
	Built   []built `json:"built"`
}

// OpenBuilders reads who is known in a folder, which is made when somebody is remembered for the first time. It never fails: of what cannot be
// read nobody is known. MaxAge of o does not matter.
func OpenBuilders(folder string, o Options) *Builders {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Builders{folder: folder, now: o.Now, log: o.Log}
	b.known = b.load()
	return b
}

func (b *Builders) file() string { return filepath.Join(b.folder, builtFile) }

// load returns what the file keeps; nothing if it cannot be used.
func (b *Builders) load() map[image.Digest]built {
	content, err := read(b.folder, b.file())
	var known map[image.Digest]built
	if err == nil {
		known, err = decodeBuilt(content)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			b.log.Warn("who had images built is not remembered", "file", b.file(), "error", err.Error())
		}
		return map[image.Digest]built{}
	}
	return known
}

// Builder implements docker.Builders.
func (b *Builders) Builder(id image.Digest) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[id].User
}

// Built implements docker.Builders. Whoever asked may have left: what somebody else had built since is not theirs any more. Where that cannot be
// written, nobody is known to have built these images.
func (b *Builders) Built(ctx context.Context, user string, ids ...image.Digest) error {
	if user == "" || len(user) > maxText || slices.ContainsFunc(ids, image.Digest.IsZero) {
		return errors.New("an image or a user without a name")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.change(context.WithoutCancel(ctx), func(known map[image.Digest]built) {
		for _, id := range ids {
			known[id] = built{Image: id, User: user, At: b.now().Round(0).UTC()}
		}
	})
	if err != nil {
		for _, id := range ids {
			delete(b.known, id)
		}
	}
	return err
}

// change writes what edit makes of the file as it is now.
func (b *Builders) change(ctx context.Context, edit func(map[image.Digest]built)) error {
	if err := os.MkdirAll(b.folder, 0o700); err != nil {
		return err
	}
	release, err := lock(ctx, b.file())
	if err != nil {
		return err
	}
	defer release()
	known := b.load()
	edit(known)
	list := latest(known)
	content, err := encodeFile(builtDocument{Version: version, Built: list})
	if err != nil {
		return err
	}
	if err := atomicfile.Write(b.file(), content); err != nil {
		return err
	}
	b.known = make(map[image.Digest]built, len(list))
	for _, one := range list {
		b.known[one.Image] = one
	}
	return nil
}

// latest returns what is kept, the latest first.
func latest(known map[image.Digest]built) []built {
	list := make([]built, 0, len(known))
	for _, one := range known {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b built) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return strings.Compare(a.Image.String(), b.Image.String())
	})
	return list[:min(len(list), MaxBuilt)]
}

// decodeBuilt reads a document. Whatever in it Assay would not have written makes all of it unusable.
func decodeBuilt(content []byte) (map[image.Digest]built, error) {
	var d builtDocument
	if err := decodeFile(content, &d); err != nil {
		return nil, err
	}
	switch {
	case d.Version != version:
		return nil, fmt.Errorf("has the version %d, and %d is read", d.Version, version)
	case len(d.Built) > MaxBuilt:
		return nil, fmt.Errorf("has %d images, and at most %d are kept", len(d.Built), MaxBuilt)
	}
	known := make(map[image.Digest]built, len(d.Built))
	for i, one := range d.Built {
		if _, twice := known[one.Image]; twice || one.Image.IsZero() || one.User == "" || len(one.User) > maxText || one.At.IsZero() {
			return nil, fmt.Errorf("built[%d]: is not as it was written", i)
		}
		known[one.Image] = one
	}
	return known, nil
}
