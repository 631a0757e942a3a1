package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// tufServer is a TUF repository with the trust material of the program, behind a web server that counts.
type tufServer struct {
	*httptest.Server
	root string // file with its first root.json

	mu    sync.Mutex
	files map[string][]byte
	asked int
	down  bool
}

// newTUFServer makes a repository as of a time; its timestamp lasts for a month.
func newTUFServer(t *testing.T, at time.Time) *tufServer {
	t.Helper()
	return newTUFServerOf(t, at, embeddedFile)
}

// newTUFServerOf does so with the trust material of a file.
func newTUFServerOf(t testing.TB, at time.Time, file string) *tufServer {
	t.Helper()
	s := &tufServer{root: filepath.Join(t.TempDir(), "root.json"), files: map[string][]byte{}}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err := signature.LoadSigner(private, crypto.Hash(0))
	must(t, err)
	key, err := metadata.KeyFromPublicKey(public)
	must(t, err)
	end := at.AddDate(0, 1, 0)
	root, targets, snapshot, timestamp := metadata.Root(end), metadata.Targets(end), metadata.Snapshot(end), metadata.Timestamp(end)
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		must(t, root.Signed.AddKey(key, role))
	}
	content, err := os.ReadFile(file)
	must(t, err)
	sum := sha256.Sum256(content)
	targets.Signed.Targets["trusted_root.json"] = &metadata.TargetFiles{Length: int64(len(content)), Hashes: metadata.Hashes{"sha256": sum[:]}}
	s.files["targets/"+hex.EncodeToString(sum[:])+".trusted_root.json"] = content
	snapshot.Signed.Meta["targets.json"], timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(1), metadata.MetaFile(1)
	for name, m := range map[string]interface {
		Sign(signature.Signer) (*metadata.Signature, error)
		ToBytes(bool) ([]byte, error)
	}{"1.root.json": root, "1.targets.json": targets, "1.snapshot.json": snapshot, "timestamp.json": timestamp} {
		_, err := m.Sign(signer)
		must(t, err)
		s.files[name], err = m.ToBytes(false)
		must(t, err)
	}
	must(t, os.WriteFile(s.root, s.files["1.root.json"], 0o600))
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

var embeddedFile = filepath.Join("..", "..", "trust", "sigstore", "material", "embedded", "trusted_root.json")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ServeHTTP implements http.Handler.
func (s *tufServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	content, ok := s.files[strings.TrimPrefix(r.URL.Path, "/")]
	switch {
	case s.down:
		w.WriteHeader(http.StatusBadGateway)
	case !ok:
		http.NotFound(w, r)
	default:
		_, _ = w.Write(content)
	}
}

// requests returns how many requests there were since the last call.
func (s *tufServer) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked
	s.asked = 0
	return n
}

func (s *tufServer) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// policyFile writes a policy whose one authority has these lines in its section of sigstore.
func policyFile(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	text := "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p}\nspec:\n  authorities:\n    a:\n      sigstore:\n        " +
		strings.Join(lines, "\n        ") + "\n  rules:\n  - {images: [\"**\"], require: a}\n"
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// policy writes a policy that names the repository.
func (s *tufServer) policy(t *testing.T) string {
	t.Helper()
	return policyFile(t, "keyless: {identities: [{issuer: https://a.example, subject: b}]}",
		fmt.Sprintf("trustedRoot: {tuf: {mirror: %q, rootFile: %q}}", s.URL, s.root))
}
