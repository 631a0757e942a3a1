//go:build e2e

package e2e

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// tufLives is how long the metadata of the stories' repository are valid.
const tufLives = 24 * time.Hour

// tufRepository is a TUF repository in a folder, with one key for all roles.
type tufRepository struct {
	folder  string
	key     ed25519.PrivateKey
	version int64
}

// startTUF serves a TUF repository until the story ends.
func (w *world) startTUF(ts *testscript.TestScript) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	w.tuf = &tufRepository{folder: ts.MkAbs("tuf-repository"), key: key}
	ts.Check(os.MkdirAll(filepath.Join(w.tuf.folder, "targets"), 0o700))
	ts.Check(w.tuf.root(ts.MkAbs("root.json")))
	ts.Check(w.tuf.publish(ts.MkAbs("trusted_root.json")))
	server := httptest.NewServer(http.FileServer(http.Dir(w.tuf.folder)))
	ts.Defer(server.Close)
	ts.Setenv("TUF_URL", server.URL)
}

// root writes the first root, which nothing replaces.
func (r *tufRepository) root(initial string) error {
	key, err := metadata.KeyFromPublicKey(r.key.Public())
	if err != nil {
		return err
	}
	root := metadata.Root(time.Now().Add(tufLives))
	for _, role := range []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		if err := root.Signed.AddKey(key, role); err != nil {
			return err
		}
	}
	if err := sign(r, root); err != nil {
		return err
	}
	if err := root.ToFile(filepath.Join(r.folder, "1.root.json"), false); err != nil {
		return err
	}
	return root.ToFile(initial, false)
}

// publish makes a new version whose target trusted_root.json is this file.
func (r *tufRepository) publish(file string) error {
	r.version++
	expires := time.Now().Add(tufLives)
	targets := metadata.Targets(expires)
	targets.Signed.Version = r.version
	target, err := metadata.TargetFile().FromFile(file, "sha256")
	if err != nil {
		return err
	}
	targets.Signed.Targets["trusted_root.json"] = target
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// In a consistent snapshot the digest is a part of the name (TUF specification, section 6.2).
	name := filepath.Join(r.folder, "targets", target.Hashes["sha256"].String()+".trusted_root.json")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		return err
	}
	snapshot := metadata.Snapshot(expires)
	snapshot.Signed.Version = r.version
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(r.version)
	stamp := metadata.Timestamp(expires)
	stamp.Signed.Version = r.version
	stamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(r.version)
	if err := write(r, targets, fmt.Sprintf("%d.targets.json", r.version)); err != nil {
		return err
	}
	if err := write(r, snapshot, fmt.Sprintf("%d.snapshot.json", r.version)); err != nil {
		return err
	}
	return write(r, stamp, "timestamp.json")
}

func write[T metadata.Roles](r *tufRepository, m *metadata.Metadata[T], name string) error {
	if err := sign(r, m); err != nil {
		return err
	}
	return m.ToFile(filepath.Join(r.folder, name), false)
}

func sign[T metadata.Roles](r *tufRepository, m *metadata.Metadata[T]) error {
	signer, err := signature.LoadSigner(r.key, crypto.Hash(0))
	if err != nil {
		return err
	}
	_, err = m.Sign(signer)
	return err
}
