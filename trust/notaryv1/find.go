package notaryv1

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/assay-dev/assay/trust"
)

// update brings what is kept of one repository up to date. It decides only what to fetch: all that it takes from files is looked at again
// by Check. A file that cannot be read ends the update, and becomes evidence that says so.
type update struct {
	server trust.TrustServer
	key    Key
	needs  []string
	anchor anchor
	reader *reader
	kept   State

	roots  [][]byte
	byRole map[string][]byte
}

// errNoServer says that a source reaches registries alone.
var errNoServer = errors.New("no Notary server can be reached from here")

// errUnreadable ends an update whose evidence is what was fetched so far.
var errUnreadable = errors.New("unreadable")

// run fetches what is new: the timestamp, and what it says has changed (TUF 5.4 to 5.6). A repository that was never seen costs a root
// and a timestamp side by side, the snapshot, and the targets side by side.
func (u *update) run(ctx context.Context) error {
	u.byRole = map[string][]byte{}
	if err := u.begin(ctx); err != nil {
		return err
	}
	meta, err := u.snapshot(ctx)
	if err == nil {
		err = u.rest(ctx, meta)
	}
	if errors.Is(err, errUnreadable) {
		return nil
	}
	return err
}

// begin fetches the timestamp, and the root if none is known. Nothing is published only if that is all that the server says: a fault of
// one request must not hide behind the answer to the other.
func (u *update) begin(ctx context.Context) error {
	names := []string{"timestamp.json", "root.json"}
	if len(u.kept.Roots) > 0 {
		names = names[:1]
	}
	contents := make([][]byte, len(names))
	errs := sideBySide(len(names), func(i int) (err error) {
		contents[i], err = u.fetch(ctx, names[i], maxTop)
		return err
	})
	for _, err := range errs {
		if err != nil && !errors.Is(err, trust.ErrNotFound) {
			return err
		}
	}
	for _, err := range errs {
		if err != nil {
			return trust.Unsigned("%s does not have trust data for %s: %w", u.key.host(), u.key.GUN, err)
		}
	}
	if u.isOlder(contents[0]) {
		// Another question may have seen newer ones since this answer was given: only what is older still is a rollback.
		if r, ok := u.server.(trust.Rereader); ok {
			u.server, _ = r.Anew().(trust.TrustServer)
		}
		again, err := u.fetch(ctx, names[0], maxTop)
		if err != nil {
			return err
		}
		contents[0] = again
	}
	u.byRole[roleTimestamp], u.roots = contents[0], u.kept.Roots
	if len(contents) > 1 {
		u.roots = contents[1:]
	}
	return nil
}

// isOlder reports whether a timestamp has a lower version than the one that was seen last.
func (u *update) isOlder(timestamp []byte) bool {
	floors := u.kept.Floors[roleTimestamp]
	f, err := u.reader.read(timestamp)
	return err == nil && len(floors) > 0 && f.version < floors[0].Version
}

// snapshot gets the snapshot that the timestamp names, and returns what it names.
func (u *update) snapshot(ctx context.Context) (map[string]fileMeta, error) {
	f, err := u.reader.read(u.byRole[roleTimestamp])
	if err != nil {
		return nil, errUnreadable
	}
	named, err := readMeta(f, "Timestamp")
	if err != nil {
		return nil, errUnreadable
	}
	content, err := u.get(ctx, roleSnapshot, named[roleSnapshot])
	if err != nil {
		return nil, err
	}
	u.byRole[roleSnapshot] = content
	if f, err = u.reader.read(content); err != nil {
		return nil, errUnreadable
	}
	meta, err := readMeta(f, "Snapshot")
	if err != nil {
		return nil, errUnreadable
	}
	return meta, nil
}

// rest gets roots and targets, side by side.
func (u *update) rest(ctx context.Context, meta map[string]fileMeta) error {
	roots, contents := u.roots, make([][]byte, len(u.needs))
	errs := sideBySide(1+len(u.needs), func(i int) (err error) {
		if i == len(u.needs) {
			roots, err = u.rootsTo(ctx, meta[roleRoot])
			return err
		}
		if m, found := meta[u.needs[i]]; found {
			contents[i], err = u.get(ctx, u.needs[i], m)
		}
		return err
	})
	if roots != nil {
		u.roots = roots
	}
	for i, name := range u.needs {
		if contents[i] != nil {
			u.byRole[name] = contents[i]
		}
		if errors.Is(errs[i], trust.ErrNotFound) && !u.delegates(name) {
			errs[i] = nil // servers forget the file of a role when a snapshot may still name it
		}
	}
	return worst(errs)
}

// delegates reports whether the files at hand delegate to a role.
func (u *update) delegates(name string) bool {
	all := lineage(name)
	if len(all) == 1 {
		return true
	}
	parent := all[len(all)-2]
	content := u.byRole[parent]
	if content == nil {
		return u.delegates(parent)
	}
	t, err := u.reader.targets(parent, content)
	if err != nil {
		return true
	}
	_, found := t.delegation(name)
	return found
}

// get returns a file that another names, from what is kept if it is that.
func (u *update) get(ctx context.Context, name string, m fileMeta) ([]byte, error) {
	if !m.known() || m.Length < 1 {
		return nil, errUnreadable
	}
	if kept := u.kept.Files[name]; kept != nil && m.fits(kept) == nil {
		return kept, nil
	}
	most := int64(MaxFile)
	if name == roleRoot || name == roleSnapshot {
		most = maxTop
	}
	if m.Length > most {
		return nil, fmt.Errorf("%s of %s: %d bytes, at most %d are read", name, u.key.GUN, m.Length, most)
	}
	content, err := u.fetch(ctx, m.consistent(name), m.Length)
	if err != nil {
		return nil, err
	}
	if err := m.fits(content); err != nil {
		return nil, fmt.Errorf("%s of %s: the server sent another file than it was asked for: %w", name, u.key.GUN, err)
	}
	return content, nil
}

// rootsTo returns the roots up to the one that a snapshot names: each version from one that is kept, or that the policy trusts by itself
// (TUF 5.3.3).
func (u *update) rootsTo(ctx context.Context, want fileMeta) ([][]byte, error) {
	last := u.roots[len(u.roots)-1]
	if want.fits(last) != nil {
		var err error
		if last, err = u.get(ctx, roleRoot, want); err != nil {
			return nil, err
		}
	}
	current, err := u.reader.root(last)
	if err != nil {
		return [][]byte{last}, errUnreadable
	}
	if kept := u.keptRoots(current.version); kept != nil {
		between, err := u.versions(ctx, kept.version+1, current.version)
		if err != nil && !errors.Is(err, trust.ErrNotFound) {
			return nil, err
		}
		roots := append(slices.Clone(u.kept.Roots), between...)
		if newest := u.kept.Roots[len(u.kept.Roots)-1]; !bytes.Equal(newest, last) {
			roots = append(roots, last)
		}
		return roots, nil
	}
	return u.back(ctx, current, last)
}

// keptRoots returns the newest root that is kept, if the current one can follow it.
func (u *update) keptRoots(version int) *rootFile {
	if len(u.kept.Roots) == 0 {
		return nil
	}
	kept, err := u.reader.root(u.kept.Roots[len(u.kept.Roots)-1])
	if err != nil || kept.version > version {
		return nil
	}
	return kept
}

// versions fetches the roots from one version to another, without the last.
func (u *update) versions(ctx context.Context, from, to int) ([][]byte, error) {
	if to-from > maxRoots {
		return nil, fmt.Errorf("root of %s: %d versions are between the one that was seen last and the current one, and at most %d are followed; name the current root in the policy", u.key.GUN, to-from, maxRoots)
	}
	contents := make([][]byte, max(0, to-from))
	errs := sideBySide(len(contents), func(i int) (err error) {
		contents[i], err = u.fetch(ctx, fmt.Sprintf("%d.root.json", from+i), maxTop)
		return err
	})
	if err := worst(errs); err != nil {
		return nil, err
	}
	return contents, nil
}

// back goes to older roots until one counts by itself. Where none does, the current root is all the evidence there is.
func (u *update) back(ctx context.Context, current *rootFile, content []byte) ([][]byte, error) {
	roots := [][]byte{content}
	for r := current; len(roots) < maxRoots; {
		if _, _, err := u.anchor.holds(r, u.key.GUN); err == nil {
			slices.Reverse(roots)
			return roots, nil
		}
		if r.version == 1 {
			break
		}
		older, err := u.fetch(ctx, fmt.Sprintf("%d.root.json", r.version-1), maxTop)
		if errors.Is(err, trust.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		before, err := u.reader.root(older)
		if err != nil || before.version != r.version-1 {
			break
		}
		roots, r = append(roots, older), before
	}
	return [][]byte{content}, nil
}

func (u *update) fetch(ctx context.Context, name string, limit int64) ([]byte, error) {
	if u.server == nil {
		return nil, errNoServer
	}
	content, err := u.server.TrustData(ctx, u.key.Server, u.key.GUN, name, limit)
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s of %s: more than %d bytes", name, u.key.GUN, limit)
	}
	return content, nil
}

// evidence puts together what was fetched with what was seen before.
func (u *update) evidence() (trust.Evidence, error) {
	return evidence(past{Floors: u.kept.Floors, Root: u.kept.Root()}, u.roots, u.byRole)
}

// bridge puts together what is kept, for a time in which the server does not answer.
func (s State) bridge(grace time.Duration) (trust.Evidence, error) {
	return evidence(past{Floors: s.Floors, Root: s.Root(), Seen: s.Seen, Until: s.Seen.Add(grace)}, s.Roots, s.Files)
}

func evidence(p past, roots [][]byte, byRole map[string][]byte) (trust.Evidence, error) {
	first, err := p.item()
	if err != nil {
		return trust.Evidence{}, err
	}
	items := []trust.Item{first}
	for _, content := range roots {
		items = append(items, trust.Item{Name: itemName(roleRoot), MediaType: itemType, Bytes: content})
	}
	for _, name := range slices.Sorted(maps.Keys(byRole)) {
		items = append(items, trust.Item{Name: itemName(name), MediaType: itemType, Bytes: byRole[name]})
	}
	return trust.Evidence{Items: items}, nil
}

// nameOf names evidence by all of its content.
func nameOf(ev trust.Evidence) [sha256.Size]byte {
	h := sha256.New()
	for _, item := range ev.Items {
		sum := sha256.Sum256(item.Bytes)
		fmt.Fprintf(h, "%q %s\n", item.Name, hex.EncodeToString(sum[:]))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// covers reports whether a state has what is needed, so that it can stand for the server.
func (s State) covers(needs []string, r *reader) bool {
	f, err := r.read(s.Files[roleSnapshot])
	if err != nil || len(s.Roots) == 0 || s.Files[roleTimestamp] == nil {
		return false
	}
	meta, err := readMeta(f, "Snapshot")
	if err != nil {
		return false
	}
	for _, name := range needs {
		if _, named := meta[name]; named && s.Files[name] == nil {
			return false
		}
	}
	return true
}
