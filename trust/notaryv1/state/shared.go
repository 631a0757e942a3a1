package state

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/assay-dev/assay/trust/notaryv1"
)

// Limits of what is shared.
const (
	MaxShared      = 900 << 10        // bytes of what is shared of one repository: floors and roots, without files
	maxSharedWrite = 10               // attempts to write while others write as well
	sharedFresh    = time.Second      // for so long what was read of a repository is taken to be what is there
	sharedTimeout  = 10 * time.Second // for one look at a repository, for which many may wait
	maxSharedKept  = 4096             // repositories of which that is remembered
)

// Objects keeps small contents for several processes. It is safe for concurrent use.
type Objects interface {
	// Get returns the content of an object and its version; "" if there is none. An error means that nobody can tell.
	Get(ctx context.Context, name string) (content []byte, version string, err error)
	// Group returns the contents of all objects of a group.
	Group(ctx context.Context, group string) ([][]byte, error)
	// Put replaces the content of an object that has a version, or makes one where the version is "". title is for people. swapped is false
	// if somebody else was faster, and then nothing was written.
	Put(ctx context.Context, name, group, title string, content []byte, version string) (next string, swapped bool, err error)
}

// Shared is a notaryv1.Store that several processes share, such as the replicas of a server, so that each notices a rollback of what any of
// them has seen. Floors and roots are shared; files are kept by each process for itself, in a store of its own.
//
// What is shared is read anew for each check, unless it was read less than a second ago: so long after one replica has seen something
// newer, another one may still take the older. Where it cannot be read or written, nobody can tell. A floor that the own store has is never
// lowered by what is shared: whoever takes that away, or lowers it, has to do so in each process too.
type Shared struct {
	own     notaryv1.Store
	objects Objects
	now     func() time.Time
	reading singleflight.Group

	mu   sync.Mutex
	kept map[string]document // by name of the object
}

var _ notaryv1.Store = (*Shared)(nil)

// Share returns a store that shares what own keeps.
func Share(own notaryv1.Store, objects Objects) *Shared {
	return &Shared{own: own, objects: objects, now: time.Now, kept: map[string]document{}}
}

// document is what is shared of a repository, as it was read at a time.
type document struct {
	shared
	version string // "": there is none
	content []byte
	read    time.Time
}

// shared is the JSON of a document.
type shared struct {
	Server string                     `json:"server"`
	GUN    string                     `json:"gun"`
	Anchor string                     `json:"anchor"`
	Floors map[string]notaryv1.Floors `json:"floors"`
	Roots  [][]byte                   `json:"roots"`
	Files  map[string]string          `json:"files"` // SHA-256 by role: of whoever saw them last
}

// Load implements notaryv1.Store.
func (s *Shared) Load(ctx context.Context, k notaryv1.Key) (notaryv1.State, error) {
	own, err := s.own.Load(ctx, k)
	if err != nil {
		return notaryv1.State{}, err
	}
	d, err := s.recent(ctx, k)
	if err != nil {
		return notaryv1.State{}, err
	}
	joined, err := d.join(own, k)
	if err != nil || !d.lags(joined) {
		return joined, err
	}
	// What was seen before anything was shared, or while somebody took away what is shared.
	same := func(s notaryv1.State) (notaryv1.State, error) { return s, nil }
	if err := s.Update(ctx, k, same); err != nil {
		return notaryv1.State{}, err
	}
	return joined, nil
}

// Others implements notaryv1.Store. What is shared suffices for it: a repository of which nothing is kept is one that nobody has seen.
func (s *Shared) Others(ctx context.Context, k notaryv1.Key) ([]notaryv1.State, error) {
	contents, err := s.objects.Group(ctx, repository(k)[:groupLength])
	if err != nil {
		return nil, fmt.Errorf("what is shared of %s: %w", k, err)
	}
	all, err := s.own.Others(ctx, k)
	if err != nil {
		return nil, err
	}
	for _, content := range contents {
		d, err := read(content)
		if err != nil {
			return nil, fmt.Errorf("what is shared of %s: %w", k, err)
		}
		if d.Server == k.Server && d.GUN == k.GUN && d.Anchor != k.Anchor {
			all = append(all, d.state())
		}
	}
	return all, nil
}

// Update implements notaryv1.Store. What is shared is written only if it changes.
func (s *Shared) Update(ctx context.Context, k notaryv1.Key, change func(notaryv1.State) (notaryv1.State, error)) error {
	d, err := s.recent(ctx, k)
	for range maxSharedWrite {
		if err != nil {
			return err
		}
		var done bool
		if done, err = s.swap(ctx, k, d, change); done || err != nil {
			return err
		}
		d, err = s.read(ctx, k)
	}
	return cmp.Or(err, fmt.Errorf("what is shared of %s: others write all the time", k))
}

// swap writes what change makes of a document, unless somebody else has written meanwhile.
func (s *Shared) swap(ctx context.Context, k notaryv1.Key, d document, change func(notaryv1.State) (notaryv1.State, error)) (done bool, err error) {
	own, err := s.own.Load(ctx, k)
	if err != nil {
		return false, err
	}
	before, err := d.join(own, k)
	if err != nil {
		return false, err
	}
	after, err := change(before)
	if err != nil {
		return false, err
	}
	after.Key = k
	next := shared{Server: k.Server, GUN: k.GUN, Anchor: k.Anchor, Floors: after.Floors, Roots: after.Roots, Files: sums(after.Files)}
	content, err := json.Marshal(next)
	switch {
	case err != nil:
		return false, err
	case len(content) > MaxShared:
		return false, fmt.Errorf("floors and roots of %s: %d bytes, at most %d can be shared", k, len(content), MaxShared)
	case !bytes.Equal(content, d.content):
		version, swapped, err := s.objects.Put(ctx, objectName(k), repository(k)[:groupLength], k.String(), content, d.version)
		if err != nil {
			return false, fmt.Errorf("what is shared of %s: %w", k, err)
		}
		if !swapped {
			return false, nil
		}
		s.keep(k, document{shared: next, version: version, content: content, read: s.now()})
	}
	return true, s.own.Update(ctx, k, func(meanwhile notaryv1.State) (notaryv1.State, error) {
		return after.Join(meanwhile)
	})
}

// recent returns what was read a moment ago, or reads.
func (s *Shared) recent(ctx context.Context, k notaryv1.Key) (document, error) {
	if d, found := s.recall(k); found {
		return d, nil
	}
	done := s.reading.DoChan(objectName(k), func() (any, error) {
		if d, found := s.recall(k); found { // whoever read a moment ago has ended
			return d, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedTimeout)
		defer cancel()
		return s.read(ctx, k)
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return document{}, r.Err
		}
		return r.Val.(document), nil
	case <-ctx.Done():
		return document{}, context.Cause(ctx)
	}
}

func (s *Shared) recall(k notaryv1.Key) (document, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, found := s.kept[objectName(k)]
	return d, found && s.now().Sub(d.read) < sharedFresh && !s.now().Before(d.read)
}

// read reads what is shared now.
func (s *Shared) read(ctx context.Context, k notaryv1.Key) (document, error) {
	d := document{read: s.now()} // before it is asked for: nothing older than that is in the answer
	var err error
	d.content, d.version, err = s.objects.Get(ctx, objectName(k))
	if err == nil && d.version != "" {
		if d.shared, err = read(d.content); err == nil && (d.Server != k.Server || d.GUN != k.GUN || d.Anchor != k.Anchor) {
			err = errors.New("it is about another repository")
		}
	}
	if err != nil {
		return document{}, fmt.Errorf("what is shared of %s: %w", k, err)
	}
	s.keep(k, d)
	return d, nil
}

func (s *Shared) keep(k notaryv1.Key, d document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, found := s.kept[objectName(k)]; found && known.read.After(d.read) {
		return // it took longer than a later look
	}
	for name := range s.kept {
		if len(s.kept) < maxSharedKept {
			break
		}
		delete(s.kept, name)
	}
	s.kept[objectName(k)] = d
}

// read reads the JSON of a document. What cannot be read is never "nothing was seen".
func read(content []byte) (shared, error) {
	var d shared
	if len(content) > MaxShared {
		return shared{}, fmt.Errorf("larger than %d bytes", MaxShared)
	}
	if err := json.Unmarshal(content, &d); err != nil {
		return shared{}, errors.New("is no JSON of Assay's")
	}
	return d, nil
}

// state is what is shared, as a state without files.
func (d *shared) state() notaryv1.State {
	return notaryv1.State{Key: notaryv1.Key{Server: d.Server, GUN: d.GUN, Anchor: d.Anchor}, Floors: d.Floors, Roots: d.Roots}
}

// join puts together what is shared and what the process keeps for itself. Files that are not those that were seen last are left out: where
// the server is down they must not stand for it.
func (d *document) join(own notaryv1.State, k notaryv1.Key) (notaryv1.State, error) {
	if d.version == "" {
		return own, nil
	}
	own.Key = k
	joined, err := own.Join(d.state())
	if err != nil {
		return notaryv1.State{}, err
	}
	joined.Files = map[string][]byte{}
	for role, content := range own.Files {
		if d.Files[role] == sumOf(content) {
			joined.Files[role] = content
		}
	}
	return joined, nil
}

// lags reports whether what is shared lacks something of a state.
func (d *document) lags(s notaryv1.State) bool {
	if len(s.Floors) == 0 && len(s.Roots) == 0 {
		return false
	}
	return d.version == "" || d.state().Root() != s.Root() || !reflect.DeepEqual(d.Floors, s.Floors)
}

func sums(files map[string][]byte) map[string]string {
	all := make(map[string]string, len(files))
	for role, content := range files {
		all[role] = sumOf(content)
	}
	return all
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// groupLength is the length of a group's name: that of a label's value is limited.
const groupLength = 32

// objectName is the name of a repository's object: hashes, since names of repositories never become names of objects.
func objectName(k notaryv1.Key) string {
	sum := sha256.Sum256([]byte(k.Anchor))
	return "floors-" + repository(k)[:groupLength] + "-" + hex.EncodeToString(sum[:16])
}
