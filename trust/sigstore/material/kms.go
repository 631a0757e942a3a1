package material

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// remoteKey is a public key in a key management service.
type remoteKey struct {
	ref      *url.URL
	provider Provider
	cache    string // folder of the copy; empty: none
	maxStale time.Duration
	now      func() time.Time

	mu   sync.Mutex // held by whoever changes held
	held atomic.Pointer[heldKey]
}

var (
	_ KeySource = (*remoteKey)(nil)
	_ refreshed = (*remoteKey)(nil)
)

// heldKey is what is known of a key now. It does not change.
type heldKey struct {
	key         *Key // nil: nothing
	asOf        time.Time
	refused     error // why the copy on disk is not used
	unsaved     error // why there is none
	lastAttempt time.Time
	lastErr     error
}

// KMS returns a public key in a key management service. It is fetched by Prepare, Refresh and Run, never where it is used.
func (k *Keeper) KMS(ref string) (KeySource, error) {
	u, err := url.Parse(ref)
	if err != nil || u.Scheme == "" || u.Host+u.Path+u.Opaque == "" {
		return nil, fmt.Errorf("%q is no reference to a key; write hashivault://name", clip(ref))
	}
	if u.User != nil {
		return nil, errors.New("the reference to a key holds credentials; remove them")
	}
	provider := k.config.KMS[u.Scheme]
	if provider == nil {
		return nil, fmt.Errorf("%s: this program has no key management service %q; it has: %s", clip(ref), clip(u.Scheme), k.schemes())
	}
	if u.Scheme == VaultScheme && vaultKeyName(u) == "" {
		return nil, fmt.Errorf("%q is no reference to a key in Vault; write hashivault://name", clip(ref))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.keys[ref]; key != nil {
		return key, nil
	}
	key := &remoteKey{ref: u, provider: provider, maxStale: k.config.MaxStale, now: k.config.Now}
	if k.config.Cache != "" {
		key.cache = filepath.Join(k.config.Cache, "kms")
	}
	key.load()
	k.keys[ref] = key
	k.notify()
	return key, nil
}

func (k *Keeper) schemes() string {
	if len(k.config.KMS) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(k.config.KMS)), ", ")
}

// copied is a copy on disk.
type copied struct {
	Ref  string    `json:"ref"`
	AsOf time.Time `json:"asOf"`
	PEM  string    `json:"pem"`
}

func (r *remoteKey) file() string {
	sum := sha256.Sum256([]byte(r.ref.String()))
	return hex.EncodeToString(sum[:]) + ".json"
}

// load reads the copy on disk. Nothing proves it but who may write there, so that a copy others may write is refused.
func (r *remoteKey) load() {
	h := &heldKey{}
	defer func() { r.held.Store(h) }()
	if r.cache == "" {
		return
	}
	content, err := readOwn(r.cache, r.file())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		h.refused = err
		return
	}
	var c copied
	if err := json.Unmarshal(content, &c); err != nil || c.Ref != r.ref.String() {
		h.refused = errors.New("is damaged")
		return
	}
	if h.key, h.refused = ParseKey([]byte(c.PEM)); h.refused == nil {
		h.asOf = c.AsOf
	}
}

// readOwn reads a file of a folder, neither of which others may write.
func readOwn(folder, name string) ([]byte, error) {
	dir, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for _, of := range []string{".", name} {
		info, err := dir.Stat(of)
		if err != nil {
			return nil, err
		}
		if info.Mode().Perm()&0o022 != 0 {
			return nil, fmt.Errorf("%s: others may write it (%s)", filepath.Join(folder, of), info.Mode())
		}
	}
	return readFile(dir, name, maxKey)
}

func (r *remoteKey) save(key *Key, at time.Time) error {
	if r.cache == "" {
		return nil
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public)
	if err != nil {
		return err
	}
	content, err := json.Marshal(copied{
		Ref: r.ref.String(), AsOf: at.UTC(), PEM: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})),
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.cache, 0o700); err != nil {
		return err
	}
	unlock, err := lock(r.cache + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	dir, err := os.OpenRoot(r.cache)
	if err != nil {
		return err
	}
	defer dir.Close()
	return replaceFile(dir, r.file(), content)
}

// refresh asks the service. A panic of a provider is an error: it must not end the process that asks in the background.
func (r *remoteKey) refresh(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, defaultRequestTimeout)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	h := *r.held.Load()
	h.lastAttempt = r.now()
	key, err := r.ask(ctx)
	if h.lastErr = err; err == nil {
		h.key, h.asOf, h.refused = key, h.lastAttempt, nil
		h.unsaved = r.save(key, h.asOf)
	}
	r.held.Store(&h)
	if err != nil {
		return fmt.Errorf("%s: %w", r.ref, err)
	}
	return nil
}

func (r *remoteKey) ask(ctx context.Context) (key *Key, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			key, err = nil, fmt.Errorf("bug: %v", caught)
		}
	}()
	return r.provider(ctx, r.ref)
}

// due implements refreshed.
func (r *remoteKey) due(now time.Time) bool {
	h := r.held.Load()
	return h.key == nil || now.Sub(h.asOf) > renewAfter
}

func (r *remoteKey) empty() bool { return r.held.Load().key == nil }

// renew is the next step for people who have no key that is fresh.
func (r *remoteKey) renew() string {
	return "assay trust update --key " + r.ref.String() + " fetches it"
}

func (r *remoteKey) label() string { return r.ref.String() }

// Name implements KeySource.
func (r *remoteKey) Name() string { return r.ref.String() }

// Version implements KeySource.
func (r *remoteKey) Version() string {
	if h := r.held.Load(); h.key != nil {
		return h.key.Fingerprint
	}
	return ""
}

// Key implements KeySource.
func (r *remoteKey) Key(now time.Time) (*Key, error) {
	h := r.held.Load()
	if err := r.usable(h, now); err != nil {
		return nil, fmt.Errorf("key %s: %w", r.ref, err)
	}
	return h.key, nil
}

func (r *remoteKey) usable(h *heldKey, now time.Time) error {
	switch {
	case h.key != nil:
		return checkAge(h.asOf, now, r.maxStale, r.renew())
	case h.lastErr != nil:
		return fmt.Errorf("%w; %s", h.lastErr, r.renew())
	case h.refused != nil:
		return fmt.Errorf("the copy on disk is not used: %w; %s", h.refused, r.renew())
	}
	return fmt.Errorf("%w; %s", errNeverFetched, r.renew())
}

// Status implements KeySource.
func (r *remoteKey) Status(now time.Time) Status {
	h := r.held.Load()
	s := Status{
		Name: r.ref.String(), Kind: KindKMS, Version: r.Version(), AsOf: h.asOf, MaxStale: r.maxStale,
		Err: r.usable(h, now), LastAttempt: h.lastAttempt, LastError: h.lastErr, Unsaved: h.unsaved,
	}
	if h.key != nil {
		s.Age = now.Sub(h.asOf)
		s.Stale = s.Age > staleAfter
	}
	switch {
	case s.Err != nil:
		s.Warning = fmt.Sprintf("key %s: %v", r.ref, s.Err)
	case s.Stale:
		s.Warning = fmt.Sprintf("key %s: was last read %s ago; %s", r.ref, days(s.Age), r.renew())
		if h.lastErr != nil {
			s.Warning += fmt.Sprintf(" (the last attempt: %v)", h.lastErr)
		}
	case h.unsaved != nil:
		s.Warning = fmt.Sprintf("key %s: cannot be kept on disk: %v", r.ref, h.unsaved)
	}
	return s
}
