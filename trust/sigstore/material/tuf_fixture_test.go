package material

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

var (
	day = 24 * time.Hour
	now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
)

// tufRepo is a TUF repository of a test, with real metadata and real signatures, behind a web server with faults.
type tufRepo struct {
	t      testing.TB
	server *httptest.Server
	signer map[string]signature.Signer
	root   *metadata.Metadata[metadata.RootType]
	first  []byte // root.json, version 1

	timestampFor time.Duration // life of timestamp.json
	version      int64         // of timestamp, snapshot and targets
	extra        func(*metadata.Metadata[metadata.TargetsType])
	roles        map[string]*metadata.Metadata[metadata.TargetsType]

	mu    sync.Mutex
	files map[string][]byte
	fault map[string]http.HandlerFunc // by path; "" is for all
	asked []string
}

func newTUFRepo(t testing.TB) *tufRepo {
	t.Helper()
	r := &tufRepo{
		t: t, signer: map[string]signature.Signer{}, files: map[string][]byte{}, fault: map[string]http.HandlerFunc{}, timestampFor: 7 * day,
		roles: map[string]*metadata.Metadata[metadata.TargetsType]{},
	}
	r.root = metadata.Root(now.Add(1000 * day))
	r.root.Signed.ConsistentSnapshot = true
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		r.newKey(role)
	}
	r.first = r.signRoot()
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

// newKey gives a role another key.
func (r *tufRepo) newKey(role string) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	r.check(err)
	r.signer[role], err = signature.LoadSigner(private, crypto.Hash(0))
	r.check(err)
	key, err := metadata.KeyFromPublicKey(public)
	r.check(err)
	for _, old := range append([]string(nil), r.root.Signed.Roles[role].KeyIDs...) {
		r.check(r.root.Signed.RevokeKey(old, role))
	}
	r.check(r.root.Signed.AddKey(key, role))
}

func (r *tufRepo) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// signRoot publishes the root as it is; more are older signers.
func (r *tufRepo) signRoot(more ...signature.Signer) []byte {
	r.root.ClearSignatures()
	for _, s := range append(more, r.signer[metadata.ROOT]) {
		if s == nil {
			continue
		}
		_, err := r.root.Sign(s)
		r.check(err)
	}
	content, err := r.root.ToBytes(false)
	r.check(err)
	r.put(fmt.Sprintf("%d.root.json", r.root.Signed.Version), content)
	return content
}

// rotateRoot publishes a new version of the root with a new key for a role.
func (r *tufRepo) rotateRoot(role string) {
	old := r.signer[metadata.ROOT]
	r.root.Signed.Version++
	r.newKey(role)
	if role != metadata.ROOT {
		old = nil
	}
	r.signRoot(old)
}

func (r *tufRepo) put(name string, content []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[name] = content
}

func (r *tufRepo) drop(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.files, name)
}

// publish puts a trusted_root.json into the repository, as the next version of everything.
func (r *tufRepo) publish(content []byte, at time.Time) {
	r.version++
	targets := metadata.Targets(at.Add(100 * day))
	targets.Signed.Version = r.version
	if content != nil {
		targets.Signed.Targets[target] = r.targetInfo(content)
	}
	if r.extra != nil {
		r.extra(targets)
	}
	snapshot := metadata.Snapshot(at.Add(50 * day))
	snapshot.Signed.Version = r.version
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(r.version)
	r.sign(metadata.TARGETS, targets, fmt.Sprintf("%d.targets.json", r.version))
	for name, role := range r.roles {
		role.Signed.Version = r.version
		snapshot.Signed.Meta[name+".json"] = metadata.MetaFile(r.version)
		r.sign(name, role, fmt.Sprintf("%d.%s", r.version, fileName(name)))
	}
	signed := r.sign(metadata.SNAPSHOT, snapshot, fmt.Sprintf("%d.snapshot.json", r.version))
	timestamp := metadata.Timestamp(at.Add(r.timestampFor))
	timestamp.Signed.Version = r.version
	meta := metadata.MetaFile(r.version)
	sum := sha256.Sum256(signed)
	meta.Hashes, meta.Length = metadata.Hashes{"sha256": sum[:]}, int64(len(signed))
	timestamp.Signed.Meta["snapshot.json"] = meta
	r.sign(metadata.TIMESTAMP, timestamp, "timestamp.json")
}

func (r *tufRepo) targetInfo(content []byte) *metadata.TargetFiles {
	sum := sha256.Sum256(content)
	r.put("targets/"+hex.EncodeToString(sum[:])+"."+target, content)
	return &metadata.TargetFiles{Length: int64(len(content)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

// signable is metadata of any role.
type signable interface {
	Sign(signature.Signer) (*metadata.Signature, error)
	ToBytes(bool) ([]byte, error)
}

func (r *tufRepo) sign(role string, m signable, name string) []byte {
	_, err := m.Sign(r.signer[role])
	r.check(err)
	content, err := m.ToBytes(false)
	r.check(err)
	r.put(name, content)
	return content
}

// ServeHTTP implements http.Handler.
func (r *tufRepo) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	name := strings.TrimPrefix(request.URL.EscapedPath(), "/")
	r.mu.Lock()
	r.asked = append(r.asked, name)
	content, ok := r.files[name]
	fault := r.fault[name]
	if fault == nil {
		fault = r.fault[""]
	}
	r.mu.Unlock()
	switch {
	case fault != nil:
		fault(w, request)
	case !ok:
		http.NotFound(w, request)
	default:
		_, _ = w.Write(content)
	}
}

func (r *tufRepo) setFault(name string, f http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault[name] = f
}

// requests returns what was asked for since the last call.
func (r *tufRepo) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}

func (r *tufRepo) source() TUF { return TUF{Mirror: r.server.URL, Root: r.first} }

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}
