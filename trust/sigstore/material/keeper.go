package material

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/tuf"
)

// PublicGoodMirror is the TUF repository of Sigstore's public good instance.
const PublicGoodMirror = tuf.DefaultMirror

// Config says where material is kept and how it is fetched. The zero value keeps it in memory and can fetch the public good instance.
type Config struct {
	Cache     string                                // folder of copies on disk, in the layout of cosign initialize; empty: memory only
	Default   Default                               // what the installation gives
	Transport http.RoundTripper                     // nil: an own one
	Proxy     func(*http.Request) (*url.URL, error) // of the own transport; nil: none
	UserAgent string                                //
	Now       func() time.Time                      // nil: time.Now
	MaxStale  time.Duration                         // of fetched material for which nothing else is said; 0: DefaultMaxStale
	Log       *slog.Logger                          // of what happens in the background; nil: nothing is logged
	KMS       map[string]Provider                   // by the scheme of references, such as "hashivault"
}

// Provider returns the public key of a key management service that ref names. It obeys ctx.
type Provider func(ctx context.Context, ref *url.URL) (*Key, error)

// TUF is a TUF repository that has a trusted_root.json.
type TUF struct {
	Mirror   string // http or https URL
	Root     []byte // the first root.json that is trusted
	RootName string // of the file with it, for messages; or empty
}

// Check says what is wrong with a repository's description; it connects to nothing.
func (t TUF) Check() error {
	_, err := t.check()
	return err
}

// check returns the URL in the form in which URLs are compared.
func (t TUF) check() (string, error) {
	mirror, err := checkMirror(t.Mirror)
	if err != nil {
		return "", err
	}
	name := t.RootName
	if name == "" {
		name = "TUF repository " + mirror + ": the first root.json that is trusted"
	}
	return mirror, checkFirstRoot(name, t.Root)
}

// Keeper keeps the trust material of a process: each kind once, refreshed by Run or Refresh. It is safe for concurrent use.
type Keeper struct {
	config    Config
	fetcher   *fetcher
	installed *installed

	mu      sync.Mutex
	mirrors map[string]*mirror
	keys    map[string]*remoteKey
	wake    chan struct{} // has a value after something was added
}

// New checks a configuration whole, and everything that the installation gives. It reads the cache; it connects to nothing.
func New(c Config) (*Keeper, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxStale < 0 {
		return nil, fmt.Errorf("trust material: MaxStale %s is negative", c.MaxStale)
	}
	c.MaxStale = cmp.Or(c.MaxStale, DefaultMaxStale)
	k := &Keeper{
		config: c, fetcher: newFetcher(c),
		mirrors: map[string]*mirror{}, keys: map[string]*remoteKey{}, wake: make(chan struct{}, 1),
	}
	var err error
	if k.installed, err = c.Default.read(); err != nil {
		return nil, err
	}
	return k, nil
}

// PublicGood returns the material of Sigstore's public good instance: the newer of the copy on disk and the one in the program.
func (k *Keeper) PublicGood(maxStale time.Duration) Source {
	return k.aged(k.mirror(k.publicGood(k.shared(PublicGoodMirror))), maxStale)
}

// TUF returns the material of a TUF repository. Equal repositories with equal first roots share one copy.
func (k *Keeper) TUF(t TUF, maxStale time.Duration) (Source, error) {
	mirror, err := t.check()
	if err != nil {
		return nil, err
	}
	if mirror == PublicGoodMirror && string(t.Root) == string(PublicGoodRoot()) {
		return k.PublicGood(maxStale), nil
	}
	var own *folder
	if k.config.Cache != "" {
		// Two URLs can have one name in the shared layout, and who writes a policy does not choose what others find there.
		own = &folder{path: filepath.Join(k.config.Cache, folderName(mirror)+"-"+repositoryID(mirror, t.Root)[:16])}
	}
	return k.aged(k.mirror(origin{name: mirror, first: t.Root, own: own, other: k.shared(mirror), renew: renewPolicy}), maxStale), nil
}

// Next steps, by who names a repository.
const (
	renewDefault = "assay trust update fetches it"
	renewPolicy  = "assay trust update --policy FILE fetches it"
)

// publicGood is the origin of the public good instance's material.
func (k *Keeper) publicGood(own *folder) origin {
	o := origin{name: PublicGoodMirror, first: PublicGoodRoot(), own: own, start: embeddedRoot, renew: renewPolicy}
	if k.installed.publicGood() {
		o.other, o.renew = k.installed.cache(PublicGoodMirror), renewDefault
	}
	return o
}

func (k *Keeper) aged(m *mirror, maxStale time.Duration) *aged {
	if maxStale <= 0 {
		maxStale = k.config.MaxStale
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if m.maxStale == 0 || maxStale < m.maxStale {
		m.maxStale = maxStale
	}
	return &aged{from: m, maxStale: maxStale}
}

// shared returns the folder that cosign uses for a mirror.
func (k *Keeper) shared(mirror string) *folder {
	if k.config.Cache == "" {
		return nil
	}
	return sharedFolder(k.config.Cache, mirror)
}

func sharedFolder(cache, mirror string) *folder {
	return &folder{path: filepath.Join(cache, folderName(mirror))}
}

// mirror returns the one that keeps a repository, with its copy on disk if there is a good one.
func (k *Keeper) mirror(o origin) *mirror {
	id := repositoryID(o.name, o.first)
	if o.own != nil {
		id += o.own.path
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if m := k.mirrors[id]; m != nil {
		return m
	}
	m := newMirror(k, o)
	k.mirrors[id] = m
	k.notify()
	return m
}

// notify tells Run that something was added.
func (k *Keeper) notify() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// repositoryID tells repositories apart.
func repositoryID(mirror string, first []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %s", len(mirror), mirror, first)
	return hex.EncodeToString(h.Sum(nil))
}

// folderName is the name of a mirror's folder in the layout of cosign initialize.
func folderName(mirror string) string { return tuf.URLToPath(mirror) }

// checkMirror returns the URL of a mirror in the form in which URLs are compared.
func checkMirror(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("TUF repository %q is no http or https URL; write https://tuf.example", clip(text))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("TUF repository %s: credentials, query and fragment have no place in its URL; remove them", u.Redacted())
	case slices.Contains(strings.Split(u.Path, "/"), ".."):
		return "", fmt.Errorf("TUF repository %q: the path leaves itself; remove the dots", clip(text))
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// refreshed is what a keeper refreshes.
type refreshed interface {
	refresh(ctx context.Context) error
	// due reports whether there is nothing to use, not even a copy on disk, or what was fetched is old.
	due(now time.Time) bool
	// empty reports whether there is nothing to use.
	empty() bool
	label() string
}

// all returns what is refreshed, in a stable order.
func (k *Keeper) all() []refreshed {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found []refreshed
	for _, m := range k.mirrors {
		found = append(found, m)
	}
	for _, key := range k.keys {
		found = append(found, key)
	}
	slices.SortFunc(found, func(a, b refreshed) int { return strings.Compare(a.label(), b.label()) })
	return found
}

// renewWait is how long Prepare waits for the renewal of what can be used as it is.
const renewWait = 2 * time.Second

// Prepare fetches what there is no copy of, and what was fetched more than a day ago; for the latter it does not wait long, since there
// may be no network. It is for programs that decide once and end. After an error the sources can be used: what was held before stays in
// use, and where there was nothing, they cannot tell. Statuses says which.
func (k *Keeper) Prepare(ctx context.Context) error {
	now := k.config.Now()
	briefly, cancel := context.WithTimeout(ctx, renewWait)
	defer cancel()
	return refreshAll(slices.DeleteFunc(k.all(), func(r refreshed) bool { return !r.due(now) }), func(r refreshed) context.Context {
		if r.empty() {
			return ctx
		}
		return briefly
	})
}

// Refresh fetches everything that can be fetched, now.
func (k *Keeper) Refresh(ctx context.Context) error {
	return refreshAll(k.all(), func(refreshed) context.Context { return ctx })
}

// refreshAll refreshes side by side, each in a context of its own. What hangs does not keep others waiting.
func refreshAll(all []refreshed, patience func(refreshed) context.Context) error {
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, r := range all {
		ctx := patience(r)
		group.Go(func() { errs[i] = refreshSafely(ctx, r) })
	}
	group.Wait()
	return errors.Join(errs...)
}
