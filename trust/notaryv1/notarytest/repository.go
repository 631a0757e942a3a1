// Package notarytest makes the trust data of repositories as Notary clients and servers do, and as attackers would.
package notarytest

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/assay-dev/assay/image"
)

// Names of the roles that every repository has.
const (
	Root      = "root"
	Timestamp = "timestamp"
	Snapshot  = "snapshot"
	Targets   = "targets"
	Releases  = "targets/releases"
)

// Role is a role with its file. Whatever is changed in it counts from the next Files on.
type Role struct {
	Keys      []*Key // that may sign
	Threshold int
	Signers   []*Key // that do sign
	Version   int
	Expires   time.Time
	Paths     []string                // of a delegation: prefixes of the names that it may sign
	Targets   map[string]image.Digest // of a targets role, by tag
	Unlisted  bool                    // the snapshot does not name the file: nothing was published yet
	// Edit changes the signed part before it is signed; File the whole file afterwards.
	Edit func(signed map[string]any)
	File func([]byte) []byte
}

// Repository is the trust data of one repository. It is not safe for concurrent use.
type Repository struct {
	GUN   string
	Roles map[string]*Role
	Made  time.Time // when it was made, for certificates
	// Hashes are the algorithms of the hashes of files and targets: "sha256" and "sha512" by default.
	Hashes []string

	olderRoots map[int][]byte
	made       map[string][]byte // files by what they say and who signs: what did not change is not signed anew
}

// Lifetimes are those of Notary's own metadata.
const (
	day  = 24 * time.Hour
	year = 365 * day
)

// New makes a repository whose targets are empty, with a P-256 key for each role.
func New(gun string, made time.Time) *Repository {
	root := NewKey("P-256").Certified(gun, made.Add(-time.Hour), made.Add(10*year))
	r := &Repository{GUN: gun, Made: made, Roles: map[string]*Role{}, Hashes: []string{"sha256", "sha512"}, olderRoots: map[int][]byte{}, made: map[string][]byte{}}
	r.add(Root, root, made.Add(10*year))
	r.add(Timestamp, NewKey("P-256"), made.Add(14*day))
	r.add(Snapshot, NewKey("P-256"), made.Add(3*year))
	r.add(Targets, NewKey("P-256"), made.Add(3*year))
	return r
}

func (r *Repository) add(name string, key *Key, expires time.Time) *Role {
	role := &Role{Keys: []*Key{key}, Signers: []*Key{key}, Threshold: 1, Version: 1, Expires: expires, Paths: []string{""}, Targets: map[string]image.Digest{}}
	r.Roles[name] = role
	return role
}

// Delegate lets keys sign a role below targets, with a threshold of 1; without keys it gets a new one.
func (r *Repository) Delegate(name string, keys ...*Key) *Role {
	if len(keys) == 0 {
		keys = []*Key{NewKey("P-256")}
	}
	role := r.add(name, keys[0], r.Made.Add(3*year))
	role.Keys, role.Signers = keys, keys
	r.bump(name[:strings.LastIndexByte(name, '/')])
	return role
}

// Sign has a role sign a digest under a tag.
func (r *Repository) Sign(role, tag string, d image.Digest) {
	r.Roles[role].Targets[tag] = d
	r.bump(role)
}

// Revoke takes a tag out of a role.
func (r *Repository) Revoke(role, tag string) {
	delete(r.Roles[role].Targets, tag)
	r.bump(role)
}

// bump counts the versions of a role up, and of those that speak of it.
func (r *Repository) bump(name string) {
	r.Roles[name].Version++
	r.Refresh()
	r.Roles[Snapshot].Version++
}

// Refresh has the server sign a new timestamp.
func (r *Repository) Refresh() { r.Roles[Timestamp].Version++ }

// RotateRoot makes a new version of the root with other keys, signed by them and by the old ones. Without keys only the version changes.
func (r *Repository) RotateRoot(keys ...*Key) {
	root := r.Roles[Root]
	r.olderRoots[root.Version] = r.file(Root, r.rootDocument())
	if len(keys) > 0 {
		root.Signers = append(slices.Clone(keys), root.Keys...)
		root.Keys = keys
	}
	r.bump(Root)
}

// Files returns everything that a server has: each file under its plain name and under those of its hashes, and each version of the root.
func (r *Repository) Files() map[string][]byte {
	files := map[string][]byte{}
	put := func(name string, content []byte) {
		sum := sha256.Sum256(content)
		long := sha512.Sum512(content)
		files[name+".json"] = content
		files[name+"."+hex.EncodeToString(sum[:])+".json"] = content
		files[name+"."+hex.EncodeToString(long[:])+".json"] = content
	}
	meta := map[string]any{}
	root := r.file(Root, r.rootDocument())
	for version, content := range r.olderRoots {
		files[fmt.Sprintf("%d.root.json", version)] = content
	}
	files[fmt.Sprintf("%d.root.json", r.Roles[Root].Version)] = root
	put(Root, root)
	meta[Root] = r.meta(root)
	for name, role := range r.Roles {
		if name != Targets && !strings.HasPrefix(name, Targets+"/") || role.Unlisted {
			continue
		}
		content := r.file(name, r.targetsDocument(name))
		put(name, content)
		meta[name] = r.meta(content)
	}
	snapshot := r.file(Snapshot, map[string]any{"_type": "Snapshot", "meta": meta})
	put(Snapshot, snapshot)
	put(Timestamp, r.file(Timestamp, map[string]any{"_type": "Timestamp", "meta": map[string]any{Snapshot: r.meta(snapshot)}}))
	return files
}

func (r *Repository) rootDocument() map[string]any {
	keys, roles := map[string]any{}, map[string]any{}
	for _, name := range []string{Root, Timestamp, Snapshot, Targets} {
		role := r.Roles[name]
		roles[name] = map[string]any{"keyids": list(keys, role.Keys), "threshold": role.Threshold}
	}
	return map[string]any{"_type": "Root", "consistent_snapshot": false, "keys": keys, "roles": roles}
}

func (r *Repository) targetsDocument(name string) map[string]any {
	targets := map[string]any{}
	for tag, d := range r.Roles[name].Targets {
		hash, err := hex.DecodeString(d.Hex())
		must(err)
		targets[tag] = map[string]any{"length": 528, "hashes": map[string]any{d.Algorithm(): hash}}
	}
	keys, roles := map[string]any{}, []any{}
	for _, child := range slices.Sorted(maps.Keys(r.Roles)) {
		rest, below := strings.CutPrefix(child, name+"/")
		if !below || strings.Contains(rest, "/") {
			continue
		}
		role := r.Roles[child]
		roles = append(roles, map[string]any{"name": child, "keyids": list(keys, role.Keys), "threshold": role.Threshold, "paths": role.Paths})
	}
	return map[string]any{"_type": "Targets", "targets": targets, "delegations": map[string]any{"keys": keys, "roles": roles}}
}

// list puts keys among those of a file and returns their IDs.
func list(into map[string]any, keys []*Key) []string {
	ids := []string{}
	for _, k := range keys {
		into[k.ID()] = k.wire()
		ids = append(ids, k.ID())
	}
	return ids
}

// file signs a document.
func (r *Repository) file(name string, signed map[string]any) []byte {
	role := r.Roles[name]
	signed["version"] = role.Version
	signed["expires"] = role.Expires.UTC().Format(time.RFC3339Nano)
	if role.Edit != nil {
		role.Edit(signed)
	}
	key := name + "\x00" + string(Canonical(signed))
	for _, k := range role.Signers {
		key += "\x00" + k.ID() + k.Method + k.SignAs
	}
	content, found := r.made[key]
	if !found {
		content = Sign(signed, role.Signers...)
		r.made[key] = content
	}
	if role.File != nil {
		content = role.File(content)
	}
	return content
}

// Sign makes a file of a signed part and signatures on it.
func Sign(signed any, keys ...*Key) []byte {
	plain := Canonical(signed)
	signatures := []any{}
	for _, k := range keys {
		signatures = append(signatures, k.sign(plain))
	}
	return Canonical(map[string]any{"signed": json.RawMessage(plain), "signatures": signatures})
}

// Canonical writes a value as signatures are made over it.
func Canonical(value any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	must(e.Encode(value))
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func (r *Repository) meta(content []byte) map[string]any {
	hashes := map[string]any{}
	for _, algorithm := range r.Hashes {
		switch algorithm {
		case "sha256":
			sum := sha256.Sum256(content)
			hashes[algorithm] = sum[:]
		case "sha512":
			sum := sha512.Sum512(content)
			hashes[algorithm] = sum[:]
		}
	}
	return map[string]any{"length": len(content), "hashes": hashes}
}
