package notaryv1

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/assay-dev/assay/trust"
)

// repository is the trust data of one repository, verified but for what depends on the time.
type repository struct {
	gun     string
	past    past
	roots   []*rootFile // from one that the policy trusts to the current one
	first   int         // which of the files given as roots the first of roots was
	targets map[string]*targetsRole
	absent  map[string]string // roles that were needed and have signed nothing: why
	windows []window
	floors  map[string]Floor
	meta    map[string]fileMeta // of the snapshot
	support []string            // fingerprints of the keys that signed root, timestamp and snapshot
}

// targetsRole is a targets file that was verified.
type targetsRole struct {
	role
	file    *targetsFile
	signers []*key       // keys of the role that have signed, at least as many as its threshold
	way     []delegation // that led to it, from targets on
	under   []string     // fingerprints of the keys above it
}

// verifier goes through the client's workflow of the TUF specification (section 5), on files that were fetched before.
type verifier struct {
	anchor anchor
	gun    string
	needs  []string // targets roles that are looked at, with those above them
	files  files
	reader *reader
	repo   *repository
}

// verify checks the trust data of a repository whole. Whatever does not hold is a "no".
func (v *verifier) verify() (*repository, error) {
	v.repo = &repository{
		gun: v.gun, past: v.files.past, targets: map[string]*targetsRole{}, absent: map[string]string{}, floors: map[string]Floor{},
	}
	if err := v.updateRoot(); err != nil {
		return nil, trust.Untrusted("root of %s: %w", v.gun, err)
	}
	snapshot, err := v.verifyTimestamp()
	if err != nil {
		return nil, trust.Untrusted("timestamp of %s: %w", v.gun, err)
	}
	meta, err := v.verifySnapshot(snapshot)
	if err != nil {
		return nil, trust.Untrusted("snapshot of %s: %w", v.gun, err)
	}
	v.repo.meta = meta
	for _, name := range v.needs {
		if err := v.verifyTargets(name, meta); err != nil {
			return nil, trust.Untrusted("%s of %s: %w", name, v.gun, err)
		}
	}
	return v.repo, nil
}

// current returns the root that holds.
func (r *repository) current() *rootFile { return r.roots[len(r.roots)-1] }

// updateRoot goes from the last root that the policy trusts by itself to the current one (TUF 5.3), and notes how long that holds (TUF
// 5.3.10). Certificates must be valid that sign now; a root that others follow need not be any more.
//
// Whatever the policy trusts, the current root follows the one that was seen last: a key that was replaced since, or one of several that
// had to agree, could make a root that counts by itself.
func (v *verifier) updateRoot() error {
	roots, err := v.readRoots()
	if err != nil {
		return err
	}
	if err := v.raise(roleRoot, roots[len(roots)-1].file, role{}); err != nil {
		return err
	}
	seen, err := v.seenRoot(roots)
	if err != nil {
		return err
	}
	first, signers, windows, err := v.trustedRoot(roots)
	if err != nil {
		return err
	}
	v.support(signers)
	for i := min(first, seen) + 1; i < len(roots); i++ {
		by, own, err := succeeds(roots[i-1], roots[i], v.gun)
		switch {
		case err != nil && v.files.past.Root != "":
			return fmt.Errorf("version %d: %w; %s", roots[i].version, err, anew)
		case err != nil:
			return fmt.Errorf("version %d: %w", roots[i].version, err)
		}
		if i > first {
			v.support(by)
			v.support(own)
			windows = rootWindows(own)
		}
	}
	v.repo.roots, v.repo.first = roots[first:], first
	v.repo.windows = append(v.repo.windows, windows...)
	v.expires("the root", v.repo.current().file)
	return nil
}

// seenRoot returns which root was seen last, the current one if none was.
func (v *verifier) seenRoot(roots []*rootFile) (int, error) {
	if v.files.past.Root == "" {
		return len(roots) - 1, nil
	}
	i := slices.IndexFunc(roots, func(r *rootFile) bool { return rootSum(r) == v.files.past.Root })
	if i < 0 {
		return 0, errors.New("it does not follow the one that was seen before; " + anew)
	}
	return i, nil
}

func (v *verifier) support(signers []*key) {
	for _, k := range signers {
		v.repo.support = append(v.repo.support, k.fingerprint)
	}
}

func (v *verifier) readRoots() ([]*rootFile, error) {
	if len(v.files.roots) == 0 {
		return nil, errors.New("is missing")
	}
	if n := len(v.files.roots); n > maxRoots {
		return nil, fmt.Errorf("%d versions, at most %d are followed; name the current root in the policy", n, maxRoots)
	}
	var roots []*rootFile
	for _, content := range v.files.roots {
		r, err := v.reader.root(content)
		if err != nil {
			return nil, err
		}
		roots = append(roots, r)
	}
	return roots, nil
}

// trustedRoot returns the last of some roots that counts by itself, so that a policy that names a newer root needs no history; and the keys
// that it counts by, and when they hold. On first use only the first one does.
func (v *verifier) trustedRoot(roots []*rootFile) (int, []*key, []window, error) {
	if v.anchor.firstUse {
		roots = roots[:1]
	}
	var why error
	for i, r := range slices.Backward(roots) {
		signers, windows, err := v.anchor.holds(r, v.gun)
		if err == nil {
			return i, signers, windows, nil
		}
		if why == nil {
			why = err
		}
	}
	return 0, nil, nil, why
}

// succeeds decides whether a root may follow another: the version is the next one, and as many keys of both as each asks for have signed
// it (TUF 5.3.4 and 5.3.5). It returns the keys of the one before and those of its own that it counts by.
func succeeds(before, after *rootFile, gun string) (by, own []*key, err error) {
	if after.version != before.version+1 {
		return nil, nil, fmt.Errorf("does not follow version %d", before.version)
	}
	if by, err = after.signedBy(before.roles[roleRoot]); err != nil {
		return nil, nil, fmt.Errorf("by version %d: %w", before.version, err)
	}
	bound := boundTo(after.roles[roleRoot], gun)
	if own, err = after.signedBy(bound); err != nil {
		return nil, nil, err
	}
	return by, lasting(own, bound.threshold), nil
}

// boundTo leaves a root role the keys that are certificates for a repository.
func boundTo(r role, gun string) role {
	r.keys = slices.DeleteFunc(slices.Clone(r.keys), func(k *key) bool { return namesRepository(k, gun) != nil })
	return r
}

// Hints where what was seen before is in the way.
const (
	anew     = "if the repository was set up anew on purpose, assay trust forget lets it begin anew"
	rollback = "a rollback; if the server was restored on purpose, assay trust forget lets it begin anew"
)

// raise refuses a file that is older than one seen before, and notes the floor that it is for others. by is who may sign it; a root's
// floor holds whoever signs (TUF 5.3.5, 5.4.3, 5.5.5, 5.6.4).
func (v *verifier) raise(name string, f *file, by role) error {
	floor := Floor{Version: f.version}
	if by.name != "" {
		floor.Signers = by.mark()
	}
	if before, found := v.files.past.Floors[name].of(floor.Signers); found && f.version < before.Version {
		return fmt.Errorf("version %d is older than version %d, which was seen before: %s", f.version, before.Version, rollback)
	}
	v.repo.floors[name] = floor
	return nil
}

// expires notes when a file ends.
func (v *verifier) expires(what string, f *file) {
	v.repo.windows = append(v.repo.windows, window{what: what, to: f.expires, metadata: true})
}

// verifyTimestamp checks the timestamp and returns what it says of the snapshot (TUF 5.4).
func (v *verifier) verifyTimestamp() (fileMeta, error) {
	f, err := v.signed(roleTimestamp, v.repo.current().roles[roleTimestamp])
	if err != nil {
		return fileMeta{}, err
	}
	meta, err := readMeta(f, "Timestamp")
	if err != nil {
		return fileMeta{}, err
	}
	snapshot, found := meta[roleSnapshot]
	if !found {
		return fileMeta{}, errors.New("it names no snapshot")
	}
	return snapshot, nil
}

// signed reads the file of an online role and checks its signatures and version.
func (v *verifier) signed(name string, by role) (*file, error) {
	content, found := v.files.byRole[name]
	if !found {
		return nil, errors.New("is missing")
	}
	f, err := v.reader.read(content)
	if err != nil {
		return nil, err
	}
	signers, err := f.signedBy(by)
	if err != nil {
		return nil, err
	}
	v.support(signers)
	v.expires("the "+name, f)
	return f, v.raise(name, f, by)
}

// verifySnapshot checks the snapshot, and that it speaks of the current root: files of two times must not be mixed (TUF 5.5).
func (v *verifier) verifySnapshot(want fileMeta) (map[string]fileMeta, error) {
	content := v.files.byRole[roleSnapshot]
	if content == nil {
		return nil, errors.New("is missing")
	}
	if err := want.fits(content); err != nil {
		return nil, fmt.Errorf("is not the one that the timestamp names: %w", err)
	}
	f, err := v.signed(roleSnapshot, v.repo.current().roles[roleSnapshot])
	if err != nil {
		return nil, err
	}
	meta, err := readMeta(f, "Snapshot")
	if err != nil {
		return nil, err
	}
	root, found := meta[roleRoot]
	if !found {
		return nil, errors.New("it names no root")
	}
	if err := root.fits(v.files.roots[len(v.files.roots)-1]); err != nil {
		return nil, fmt.Errorf("it names another root than the current one: %w", err)
	}
	return meta, nil
}

// verifyTargets checks the targets of one role, after those of the role above it (TUF 5.6). A role that was delegated and has signed
// nothing yet is no error: the snapshot says so. It cannot say so of a file that was seen (TUF 5.5.5): the word of another role would then
// count in its place.
func (v *verifier) verifyTargets(name string, meta map[string]fileMeta) error {
	by, way, above, err := v.delegated(name)
	if err != nil || by.name == "" {
		return err
	}
	want, found := meta[name]
	if !found && name == roleTargets {
		return errors.New("the snapshot does not name it")
	}
	if !found {
		if floor, seen := v.files.past.Floors[name].of(by.mark()); seen {
			return fmt.Errorf("the snapshot does not name it, and version %d was seen before: %s", floor.Version, rollback)
		}
		v.repo.absent[name] = "has signed nothing yet"
		return nil
	}
	content := v.files.byRole[name]
	if content == nil {
		return errors.New("is missing")
	}
	if err := want.fits(content); err != nil {
		return fmt.Errorf("is not the one that the snapshot names: %w", err)
	}
	t, err := v.reader.targets(name, content)
	if err != nil {
		return err
	}
	return v.acceptTargets(&targetsRole{role: by, file: t, way: way, under: above})
}

func (v *verifier) acceptTargets(t *targetsRole) error {
	var err error
	if t.signers, err = t.file.signedBy(t.role); err != nil {
		return err
	}
	if err := v.raise(t.name, t.file.file, t.role); err != nil {
		return err
	}
	v.expires(t.name, t.file.file)
	v.repo.targets[t.name] = t
	return nil
}

// delegated returns who may sign a role, by which delegations, and by whose word. A zero role without an error means that nobody
// delegates to it, or that the one above has signed nothing.
func (v *verifier) delegated(name string) (by role, way []delegation, above []string, err error) {
	if name == roleTargets {
		return v.repo.current().roles[roleTargets], nil, v.repo.support, nil
	}
	all := lineage(name)
	parent := v.repo.targets[all[len(all)-2]]
	if parent == nil {
		v.repo.absent[name] = "is not delegated to"
		return role{}, nil, nil, nil
	}
	d, found := parent.file.delegation(name)
	if !found {
		v.repo.absent[name] = "is not delegated to"
		return role{}, nil, nil, nil
	}
	if by, err = readRole(name, d.wireRole, parent.file.keyOf); err != nil {
		return role{}, nil, nil, fmt.Errorf("delegation: %w", err)
	}
	above = slices.Clone(parent.under)
	for _, k := range parent.signers {
		above = append(above, k.fingerprint)
	}
	return by, append(slices.Clone(parent.way), d), above, nil
}

// target returns what the role has signed under a tag. A name that no delegation on the way allows was not its to sign.
func (t *targetsRole) target(tag string) (wireTarget, bool) {
	found, ok := t.file.targets[tag]
	if !ok || slices.ContainsFunc(t.way, func(d delegation) bool { return !d.allows(tag) }) {
		return wireTarget{}, false
	}
	return found, true
}

// at returns when what the repository says ends, or why it does not hold now.
func (r *repository) at(now time.Time) (time.Time, error) {
	var end time.Time
	for _, w := range r.windows {
		if why := w.holds(now); why != "" {
			return time.Time{}, trust.Untrusted("trust data of %s: %s", r.gun, why)
		}
		if e := w.end(); end.IsZero() || e.Before(end) {
			end = e
		}
	}
	if !r.past.Seen.IsZero() {
		if !now.Before(r.past.Until) {
			return time.Time{}, fmt.Errorf("trust data of %s: the time ended at %s for which an outage of the server is bridged", r.gun, r.past.Until.UTC().Format(time.RFC3339))
		}
		if r.past.Until.Before(end) {
			end = r.past.Until
		}
	}
	return end, nil
}

func rootSum(r *rootFile) string { return hex.EncodeToString(r.sum[:]) }
