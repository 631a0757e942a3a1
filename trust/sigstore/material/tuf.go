package material

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// Limits of a TUF repository.
const (
	maxRoots     = 256     // versions of root.json after the first one that is trusted
	maxRootFile  = 1 << 20 // bytes of root.json
	maxTimestamp = 1 << 20 // bytes of timestamp.json
	maxRole      = 5 << 20 // bytes of snapshot.json, targets.json and of delegated roles
	maxRoles     = 32      // roles of targets that are looked at
)

// target is the file of a TUF repository that holds its trust material.
const target = "trusted_root.json"

// errAbsent says that a repository does not have a file.
var errAbsent = errors.New("no such file")

// repository is where TUF files are read from. Its errors are errAbsent, or say that it could not be told.
type repository interface {
	// root returns a version of root.json.
	root(ctx context.Context, version int64) ([]byte, error)
	// role returns the metadata of another role; version is 0 where names carry none.
	role(ctx context.Context, name string, version, limit int64) ([]byte, error)
	// target returns a target; hash is empty where names carry none.
	target(ctx context.Context, name, hash string, limit int64) ([]byte, error)
}

// files are the files of a repository that was proved.
type files struct {
	roots     map[int64][]byte // versions after the first one that is trusted
	root      []byte           // the newest
	timestamp []byte
	snapshot  []byte
	roles     map[string][]byte
	target    []byte

	versions versions
}

// versions are what may never go back (T28).
type versions struct{ root, timestamp, snapshot, targets int64 }

// proved is what a repository says, proved at a time.
type proved struct {
	*files
	expires time.Time // of the timestamp
}

// session is one run of the TUF client workflow: root, timestamp, snapshot, targets.
type session struct {
	ctx  context.Context
	from repository
	old  *files // what was proved before, or nil
	tm   *trustedmetadata.TrustedMetadata
	got  *files
}

// prove follows a repository from the first root that is trusted to its trust material, as of a time. What was proved before is a floor:
// nothing may be older. Whatever the library stumbles over is an error.
func prove(ctx context.Context, first []byte, old *files, from repository, at time.Time) (p *proved, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			p, err = nil, fmt.Errorf("malformed metadata: %v", caught)
		}
	}()
	tm, err := trustedmetadata.New(first)
	if err != nil {
		return nil, fmt.Errorf("first root: %w", err)
	}
	tm.RefTime = at
	s := &session{ctx: ctx, from: from, old: old, tm: tm, got: &files{roots: map[int64][]byte{}, root: first, roles: map[string][]byte{}}}
	for _, step := range []func() error{s.roots, s.timestamp, s.snapshot, s.material} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	s.conclude()
	return &proved{files: s.got, expires: tm.Timestamp.Signed.Expires}, nil
}

// checkFirstRoot says, by the name of the file, whether a root.json can be the first one that is trusted.
func checkFirstRoot(name string, content []byte) error {
	if err := firstRootFault(content); err != nil {
		return fmt.Errorf("%s: is no root.json of a TUF repository (%w); give the one that its operator handed out", name, err)
	}
	return nil
}

// firstRootFault says what is wrong with a root.json.
func firstRootFault(content []byte) (err error) {
	defer func() {
		if caught := recover(); caught != nil {
			err = fmt.Errorf("malformed metadata: %v", caught)
		}
	}()
	switch {
	case len(content) == 0:
		return errors.New("it is empty")
	case len(content) > maxRootFile:
		return fmt.Errorf("more than %d bytes", maxRootFile)
	}
	_, err = trustedmetadata.New(content)
	return err
}

// roots follows the versions of root.json.
func (s *session) roots() error {
	for n := range int64(maxRoots + 1) {
		version := s.tm.Root.Signed.Version + 1
		content, err := s.nextRoot(version)
		if errors.Is(err, errAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == maxRoots {
			return fmt.Errorf("more than %d versions of root.json after the first one that is trusted; give a newer one", maxRoots)
		}
		if _, err := s.tm.UpdateRoot(content); err != nil {
			return fmt.Errorf("root.json, version %d: %w", version, err)
		}
		s.got.roots[version], s.got.root = content, content
	}
	return nil
}

// nextRoot returns a version of root.json. One that was seen before is not asked for again, and so cannot be kept back either.
func (s *session) nextRoot(version int64) ([]byte, error) {
	if s.old != nil && s.old.roots[version] != nil {
		return s.old.roots[version], nil
	}
	return s.from.root(s.ctx, version)
}

// timestamp reads timestamp.json. An older copy that still counts is loaded first, so that the new one cannot be older; its expiry does
// not matter.
func (s *session) timestamp() error {
	if s.old != nil {
		_, _ = s.tm.UpdateTimestamp(s.old.timestamp) // one that the newest root does not vouch for is no floor
	}
	content, err := s.from.role(s.ctx, metadata.TIMESTAMP, 0, maxTimestamp)
	if err != nil {
		return err
	}
	switch _, err := s.tm.UpdateTimestamp(content); {
	case errors.Is(err, &metadata.ErrEqualVersionNumber{}):
		s.got.timestamp = s.old.timestamp // of two with one version the one that is known counts
	case err != nil:
		return fmt.Errorf("timestamp.json: %w", err)
	default:
		s.got.timestamp = content
	}
	return nil
}

func (s *session) snapshot() error {
	if s.old != nil {
		if _, err := s.tm.UpdateSnapshot(s.old.snapshot, true); err == nil {
			s.got.snapshot = s.old.snapshot
			return nil
		}
	}
	meta := s.tm.Timestamp.Signed.Meta["snapshot.json"]
	if meta == nil {
		return errors.New("timestamp.json names no snapshot.json")
	}
	content, err := s.from.role(s.ctx, metadata.SNAPSHOT, s.version(meta.Version), bounded(meta.Length, maxRole))
	if err != nil {
		return err
	}
	if _, err := s.tm.UpdateSnapshot(content, false); err != nil {
		return fmt.Errorf("snapshot.json: %w", err)
	}
	s.got.snapshot = content
	return nil
}

// version returns the version that stands in a file's name, or 0 if none does.
func (s *session) version(v int64) int64 {
	if s.tm.Root.Signed.ConsistentSnapshot {
		return v
	}
	return 0
}

// bounded returns a length that signed metadata give, within a limit.
func bounded(length, limit int64) int64 {
	if length <= 0 || length > limit {
		return limit
	}
	return length
}

// material finds the target, and reads it.
func (s *session) material() error {
	info, err := s.find()
	if err != nil {
		return err
	}
	if info.Length > maxTrustedRoot {
		return fmt.Errorf("%s has %d bytes, at most %d are read", target, info.Length, maxTrustedRoot)
	}
	if s.old != nil && info.VerifyLengthHashes(s.old.target) == nil {
		s.got.target = s.old.target
		return nil
	}
	hash := ""
	if s.tm.Root.Signed.ConsistentSnapshot {
		hash = prefix(info.Hashes)
	}
	content, err := s.from.target(s.ctx, target, hash, info.Length)
	if err != nil {
		return err
	}
	if err := info.VerifyLengthHashes(content); err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	s.got.target = content
	return nil
}

// prefix returns the hash that stands before a target's name: a repository publishes it under each of them.
func prefix(hashes metadata.Hashes) string {
	if h, ok := hashes["sha256"]; ok {
		return hex.EncodeToString(h)
	}
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		return hex.EncodeToString(hashes[name])
	}
	return ""
}

// edge is a delegation.
type edge struct{ role, parent string }

// find looks for the target in targets.json and, in the order of the delegations, in the roles below.
func (s *session) find() (*metadata.TargetFiles, error) {
	visit := []edge{{metadata.TARGETS, metadata.ROOT}}
	for len(visit) > 0 {
		next := visit[0]
		visit = visit[1:]
		if s.got.roles[next.role] != nil {
			continue
		}
		if len(s.got.roles) == maxRoles {
			return nil, fmt.Errorf("%s is not in the first %d roles", target, maxRoles)
		}
		role, err := s.targets(next)
		if err != nil {
			return nil, err
		}
		if info := role.Signed.Targets[target]; info != nil {
			return info, nil
		}
		below, terminating := delegations(role, next.role)
		if terminating {
			visit = nil
		}
		visit = append(below, visit...)
	}
	return nil, fmt.Errorf("has no target %s", target)
}

// delegations returns the roles below that may have the target; terminating says that no others may have it.
func delegations(role *metadata.Metadata[metadata.TargetsType], name string) (below []edge, terminating bool) {
	if role.Signed.Delegations == nil {
		return nil, false
	}
	for _, d := range role.Signed.Delegations.GetRolesForTarget(target) {
		below = append(below, edge{d.Name, name})
		if d.Terminating {
			return below, true
		}
	}
	return below, false
}

// targets reads the metadata of one role of targets.
func (s *session) targets(e edge) (*metadata.Metadata[metadata.TargetsType], error) {
	if s.old != nil && s.old.roles[e.role] != nil {
		if role, err := s.tm.UpdateDelegatedTargets(s.old.roles[e.role], e.role, e.parent); err == nil {
			s.got.roles[e.role] = s.old.roles[e.role]
			return role, nil
		}
	}
	meta := s.tm.Snapshot.Signed.Meta[e.role+".json"]
	if meta == nil {
		return nil, fmt.Errorf("snapshot.json does not name the role %q", clip(e.role))
	}
	content, err := s.from.role(s.ctx, e.role, s.version(meta.Version), bounded(meta.Length, maxRole))
	if err != nil {
		return nil, err
	}
	role, err := s.tm.UpdateDelegatedTargets(content, e.role, e.parent)
	if err != nil {
		return nil, fmt.Errorf("role %q: %w", clip(e.role), err)
	}
	s.got.roles[e.role] = content
	return role, nil
}

// conclude notes the versions that were proved.
func (s *session) conclude() {
	s.got.versions = versions{
		root: s.tm.Root.Signed.Version, timestamp: s.tm.Timestamp.Signed.Version,
		snapshot: s.tm.Snapshot.Signed.Version, targets: s.tm.Targets[metadata.TARGETS].Signed.Version,
	}
}

// before reports whether a repository went back (T28). A new root may start the other roles again: that is how one recovers from stolen
// keys.
func (v versions) before(seen versions) bool {
	if v.root != seen.root {
		return v.root < seen.root
	}
	return v.timestamp < seen.timestamp || v.snapshot < seen.snapshot || v.targets < seen.targets
}

// fileName is the name of a role's file. It leads nowhere else, whatever the role is called (T29).
func fileName(role string) string { return url.PathEscape(role) + ".json" }
