package notaryv1

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/assay-dev/assay/image"
)

// Roles at the top, which every repository has (TUF 2.1).
const (
	roleRoot      = "root"
	roleTimestamp = "timestamp"
	roleSnapshot  = "snapshot"
	roleTargets   = "targets"
)

// file is a metadata file, read but not verified (TUF 4.2): its signed part in bytes, and the signatures on it.
type file struct {
	plain      []byte            // the signed part in canonical form, over which signatures are made
	sum        [sha256.Size]byte // of plain
	signatures []signature
	kind       string // _type
	version    int
	expires    time.Time
	fields     map[string][]byte // of the signed part, as JSON
	checks     *atomic.Int64     // counts the signatures that are checked; nil: nobody counts

	mu    sync.Mutex
	known map[string]bool // signatures that were checked, by key and signature: whether they hold
}

// parseFile reads the envelope of a file, and what every type has.
func parseFile(content []byte) (*file, error) {
	if len(content) > MaxFile {
		return nil, fmt.Errorf("%d bytes, at most %d are read", len(content), MaxFile)
	}
	plain, err := canonical(content)
	if err != nil {
		return nil, err
	}
	f := &file{known: map[string]bool{}}
	envelope := members(plain)
	f.plain, f.fields = envelope["signed"], members(envelope["signed"])
	if f.fields == nil {
		return nil, errors.New("it has no signed part")
	}
	if f.signatures, err = readSignatures(envelope["signatures"]); err != nil {
		return nil, err
	}
	f.sum = sha256.Sum256(f.plain)
	return f, f.head()
}

// head reads what the signed parts of all types have (TUF 4.3).
func (f *file) head() error {
	if err := f.field("_type", &f.kind); err != nil {
		return err
	}
	if err := f.field("version", &f.version); err != nil {
		return err
	}
	if f.version < 1 {
		return fmt.Errorf("version %d, versions begin with 1", f.version)
	}
	return f.field("expires", &f.expires)
}

// field reads a field of the signed part, which must be there.
func (f *file) field(name string, into any) error {
	raw, found := f.fields[name]
	if !found || string(raw) == "null" {
		return fmt.Errorf("%s: is absent", name)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s: %w", name, plainJSON(err))
	}
	return nil
}

// plainJSON keeps names of Go types out of messages.
func plainJSON(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("a %s stands where something else should", wrong.Value)
	}
	return err
}

// is checks the type of a file.
func (f *file) is(kind string) error {
	if f.kind != kind {
		return fmt.Errorf("it is of the type %q, want %q", clip(f.kind), kind)
	}
	return nil
}

// wireRole is a role of a root, or a delegation without its name and paths.
type wireRole struct {
	KeyIDs    []string `json:"keyids"`
	Threshold int      `json:"threshold"`
}

// role is who may sign a file: keys, each once, and how many of them must.
type role struct {
	name      string
	keys      []*key
	threshold int
}

// readKeys reads a list of keys, each at most once. A key that cannot be read is an error only where a role needs it: files may list keys
// of kinds that are not known here.
func readKeys(wire map[string]wireKey) (func(id string) (*key, error), error) {
	if len(wire) > maxKeys {
		return nil, fmt.Errorf("%d keys, at most %d are allowed", len(wire), maxKeys)
	}
	keys := make(map[string]func() (*key, error), len(wire))
	for id, w := range wire {
		keys[id] = sync.OnceValues(func() (*key, error) { return parseKey(id, w) })
	}
	return func(id string) (*key, error) {
		parse, found := keys[id]
		if !found {
			return nil, fmt.Errorf("key %.12s: is not listed", clip(id))
		}
		return parse()
	}, nil
}

// readRole reads a role. One key under two IDs is one key, and a threshold that nobody or everybody meets is an error: 0 would ask for no
// signature at all.
func readRole(name string, w wireRole, keyOf func(string) (*key, error)) (role, error) {
	r := role{name: name, threshold: w.Threshold}
	if len(w.KeyIDs) > maxKeys {
		return role{}, fmt.Errorf("role %s: %d keys, at most %d are allowed", name, len(w.KeyIDs), maxKeys)
	}
	for _, id := range w.KeyIDs {
		k, err := keyOf(id)
		if err != nil {
			return role{}, fmt.Errorf("role %s: %w", name, err)
		}
		if !slices.ContainsFunc(r.keys, func(other *key) bool { return other.id == k.id }) {
			r.keys = append(r.keys, k)
		}
	}
	if n := len(r.fingerprints()); r.threshold < 1 || r.threshold > n {
		return role{}, fmt.Errorf("role %s: a threshold of %d with %d different keys", name, r.threshold, n)
	}
	return r, nil
}

// fingerprints returns the different keys of a role, sorted.
func (r role) fingerprints() []string {
	prints := make([]string, len(r.keys))
	for i, k := range r.keys {
		prints[i] = k.fingerprint
	}
	slices.Sort(prints)
	return slices.Compact(prints)
}

// mark names the keys and the threshold of a role, so that a change of either can be told.
func (r role) mark() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", r.threshold, strings.Join(r.fingerprints(), " ")))
	return hex.EncodeToString(sum[:8])
}

// rootFile is a root (TUF 4.3.1).
type rootFile struct {
	*file
	roles map[string]role // the four at the top
	sum   [sha256.Size]byte
}

func readRoot(f *file, content []byte) (*rootFile, error) {
	if err := f.is("Root"); err != nil {
		return nil, err
	}
	var wireKeys map[string]wireKey
	var wireRoles map[string]wireRole
	if err := errors.Join(f.field("keys", &wireKeys), f.field("roles", &wireRoles)); err != nil {
		return nil, err
	}
	keyOf, err := readKeys(wireKeys)
	if err != nil {
		return nil, err
	}
	root := &rootFile{file: f, roles: map[string]role{}, sum: sha256.Sum256(content)}
	for _, name := range []string{roleRoot, roleTimestamp, roleSnapshot, roleTargets} {
		w, found := wireRoles[name]
		if !found {
			return nil, fmt.Errorf("role %s: is absent", name)
		}
		if root.roles[name], err = readRole(name, w, keyOf); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// fileMeta is what one file says of another (TUF 4.4, METAFILES).
type fileMeta struct {
	Length int64             `json:"length"`
	Hashes map[string][]byte `json:"hashes"`
}

// known reports whether there is a hash that can be compared.
func (m fileMeta) known() bool { return len(m.Hashes["sha256"]) > 0 || len(m.Hashes["sha512"]) > 0 }

// fits checks length and all hashes that are known here.
func (m fileMeta) fits(content []byte) error {
	if !m.known() {
		return errors.New("no hash is given that could be compared")
	}
	if m.Length != int64(len(content)) {
		return fmt.Errorf("it has %d bytes, want %d", len(content), m.Length)
	}
	if want := m.Hashes["sha256"]; len(want) > 0 {
		if sum := sha256.Sum256(content); !bytes.Equal(sum[:], want) {
			return fmt.Errorf("it has the SHA-256 %x, want %x", sum, want)
		}
	}
	if want := m.Hashes["sha512"]; len(want) > 0 {
		if sum := sha512.Sum512(content); !bytes.Equal(sum[:], want) {
			return fmt.Errorf("it has another SHA-512 than %x", want)
		}
	}
	return nil
}

// consistent returns the name under which a server keeps exactly the file that m speaks of.
func (m fileMeta) consistent(roleName string) string {
	hash := m.Hashes["sha256"]
	if len(hash) == 0 {
		hash = m.Hashes["sha512"]
	}
	return roleName + "." + hex.EncodeToString(hash) + ".json"
}

// readMeta reads the list of files in a timestamp or a snapshot (TUF 4.3.2 and 4.3.3).
func readMeta(f *file, kind string) (map[string]fileMeta, error) {
	if err := f.is(kind); err != nil {
		return nil, err
	}
	var meta map[string]fileMeta
	if err := f.field("meta", &meta); err != nil {
		return nil, err
	}
	if len(meta) > maxRoles+2 {
		return nil, fmt.Errorf("it speaks of %d files, at most %d are allowed", len(meta), maxRoles+2)
	}
	return meta, nil
}

// targetsFile is targets, at the top or delegated (TUF 4.3.4).
type targetsFile struct {
	*file
	targets     map[string]wireTarget // by tag
	delegations []delegation
	keyOf       func(id string) (*key, error)
}

type wireTarget struct {
	Length int64             `json:"length"`
	Hashes map[string][]byte `json:"hashes"`
}

// delegation is a role that may sign some targets of the one that delegates.
type delegation struct {
	Name string `json:"name"`
	wireRole
	Paths []string `json:"paths"`
}

// readTargets reads the targets of the role called name.
func readTargets(name string, f *file) (*targetsFile, error) {
	if err := f.is("Targets"); err != nil {
		return nil, err
	}
	t := &targetsFile{file: f}
	if err := f.field("targets", &t.targets); err != nil {
		return nil, err
	}
	var wire struct {
		Keys  map[string]wireKey `json:"keys"`
		Roles []delegation       `json:"roles"`
	}
	if raw, found := f.fields["delegations"]; found && string(raw) != "null" {
		if err := f.field("delegations", &wire); err != nil {
			return nil, err
		}
	}
	if len(wire.Roles) > maxRoles {
		return nil, fmt.Errorf("%d delegations, at most %d are allowed", len(wire.Roles), maxRoles)
	}
	seen := map[string]bool{}
	for _, d := range wire.Roles {
		if err := checkDelegated(name, d.Name); err != nil {
			return nil, err
		}
		if seen[d.Name] {
			return nil, fmt.Errorf("delegation %s: is there twice", d.Name)
		}
		seen[d.Name] = true
	}
	t.delegations = wire.Roles
	var err error
	t.keyOf, err = readKeys(wire.Keys)
	return t, err
}

// delegation returns the delegation to a role.
func (t *targetsFile) delegation(name string) (delegation, bool) {
	i := slices.IndexFunc(t.delegations, func(d delegation) bool { return d.Name == name })
	if i < 0 {
		return delegation{}, false
	}
	return t.delegations[i], true
}

// allows reports whether targets called tag may be signed by the role: one of its paths is a prefix of the name.
func (d delegation) allows(tag string) bool {
	return slices.ContainsFunc(d.Paths, func(prefix string) bool { return strings.HasPrefix(tag, prefix) })
}

// digest returns what a target stands for as the digest of a manifest, in one algorithm; zero if the target has none such.
func (t wireTarget) digest(algorithm string) image.Digest {
	hash, found := t.Hashes[algorithm]
	if !found {
		return image.Digest{}
	}
	d, err := image.ParseDigest(algorithm + ":" + hex.EncodeToString(hash))
	if err != nil {
		return image.Digest{}
	}
	return d
}

// checkDelegated refuses names of delegations that are not one step below the delegating role: names become parts of addresses, and a
// role must not speak for another part of the tree.
func checkDelegated(parent, name string) error {
	if err := checkRole(name); err != nil {
		return err
	}
	if rest, found := strings.CutPrefix(name, parent+"/"); !found || strings.Contains(rest, "/") {
		return fmt.Errorf("delegation %q: is not one step below %s", clip(name), parent)
	}
	return nil
}

// checkRole accepts the names of targets roles: "targets", and below it small letters, digits, "-" and "_" between slashes.
func checkRole(name string) error {
	parts := strings.Split(name, "/")
	switch {
	case len(name) > maxRole:
		return fmt.Errorf("role %q: %d bytes, at most %d are allowed", clip(name), len(name), maxRole)
	case parts[0] != roleTargets:
		return fmt.Errorf("role %q: is not %s or below it", clip(name), roleTargets)
	case len(parts)-1 > MaxDepth:
		return fmt.Errorf("role %q: more than %d delegations deep", clip(name), MaxDepth)
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return fmt.Errorf("role %q: names have small letters, digits, - and _ between slashes", clip(name))
		}
	}
	return nil
}

// lineage returns a role and those above it, from targets on.
func lineage(name string) []string {
	var all []string
	for i := range name {
		if name[i] == '/' {
			all = append(all, name[:i])
		}
	}
	return append(all, name)
}
