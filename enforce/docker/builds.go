package docker

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/workload"
)

// Limits of what is watched.
const (
	maxMaking  = 1024             // requests at once that make images; beyond it nobody has anything built
	maxTargets = 32               // names that one build gives
	maxBuilder = 256              // bytes of a user's name
	lookAfter  = 10 * time.Second // at what a build has made
)

// Lister is a Daemon that lists what it has: the IDs of all images, those in between the steps of builds too.
type Lister interface {
	Images(ctx context.Context) ([]image.Digest, error)
}

var _ Lister = (*workload.Docker)(nil)

// builds watches who has images made. A user had an image built if it was not on the host when the daemon asked about the user's build, if it
// is behind a name of that build when the daemon tells of its end, and if no request of anybody else that can make or name images was open at
// any time between. What a commit made, the daemon says itself. When in doubt, nobody built it.
//
// Requests that began before the point did are not known. A request that another plugin refuses later is never told of and stays open
// until the daemon starts anew.
type builds struct {
	daemon   Daemon
	builders Builders
	wanted   func() bool
	log      *slog.Logger

	mu   sync.Mutex
	open []*making
	lost bool // more were open than are watched
}

// making is a request under way that can make or name images.
type making struct {
	key     [sha256.Size]byte // of what the daemon says of it, before and after
	by      string            // user, with the way by which the daemon knows the name
	user    string            // "" if nobody was named by a certificate
	commit  bool
	targets []string              // names that a build gives
	before  map[image.Digest]bool // images that were there before; nil: nothing of this counts
	doubted bool                  // somebody else had a request open
	ended   bool
}

// told is what the daemon says when a request has ended.
type told struct {
	request
	ResponseStatusCode int
	ResponseBody       []byte
}

// key is the same for what the daemon says of one request before and after.
func (r *request) key() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q", []string{r.User, r.UserAuthNMethod, r.RequestMethod, r.RequestURI}))
}

// certified returns the name in the certificate of a user that the daemon has verified; "" if there is none.
func certified(user, method string) string {
	if method != "TLS" || len(user) > maxBuilder {
		return ""
	}
	return user
}

// idle reports whether nothing is under way, so that nobody need read what the daemon tells.
func (b *builds) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open) == 0
}

// reset forgets what is under way: the daemon that did it is gone.
func (b *builds) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.doubtAll()
	b.open, b.lost = nil, false
}

func (b *builds) doubtAll() {
	for _, m := range b.open {
		m.doubted = true
	}
}

// begin notes a request that the daemon is about to obey.
func (b *builds) begin(ctx context.Context, c *call) {
	m := &making{
		key: c.key(), by: c.UserAuthNMethod + ":" + c.User,
		user: certified(c.User, c.UserAuthNMethod), commit: c.route.by == "commit",
	}
	if c.route.by == "build" {
		m.targets = targets(c.query["t"])
	}
	if !b.enter(m) || m.user == "" || len(m.targets) == 0 || b.builders == nil || !b.wanted() {
		return
	}
	ids, err := b.images(ctx)
	if err != nil {
		b.log.Warn("nobody will be known to have had this built", "error", err.Error())
		return
	}
	before := make(map[image.Digest]bool, len(ids))
	for _, id := range ids {
		before[id] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	m.before = before
}

// images lists what is on the host.
func (b *builds) images(ctx context.Context) ([]image.Digest, error) {
	if l, ok := b.daemon.(Lister); ok {
		return l.Images(ctx)
	}
	return nil, errors.New("the engine does not list its images")
}

// targets returns the names that a build gives, as the daemon is asked about them.
func targets(texts []string) []string {
	var all []string
	for _, t := range texts[:min(len(texts), maxTargets)] {
		if ref, err := image.Parse(t); err == nil && ref.Digest().IsZero() {
			all = append(all, ref.String())
		}
	}
	return all
}

// enter opens a request, and casts doubt on those of others.
func (b *builds) enter(m *making) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.open) == maxMaking {
		b.lost = true
		b.doubtAll()
		return false
	}
	m.doubted = b.lost
	for _, other := range b.open {
		if other.by != m.by {
			other.doubted, m.doubted = true, true
		}
	}
	b.open = append(b.open, m)
	return true
}

// told ends a request, and remembers who had something built. The request stays open until that is done.
func (b *builds) told(ctx context.Context, t *told) {
	m := b.ending(t.key())
	if m == nil {
		return
	}
	var made []image.Digest
	switch {
	case m.user == "" || b.builders == nil || !b.wanted():
	case m.commit && t.ResponseStatusCode == http.StatusCreated:
		made = committed(t.ResponseBody)
	case m.before != nil && (t.ResponseStatusCode == http.StatusOK || t.ResponseStatusCode == 0): // the daemon forgets that of an answer in pieces
		made = b.behind(ctx, m)
	}
	if doubted := b.leave(m); doubted && !m.commit || len(made) == 0 {
		return
	}
	if err := b.builders.Built(ctx, m.user, made...); err != nil {
		b.log.Warn("who had this built could not be kept", "error", err.Error())
	}
}

// ending returns the oldest open request of a key, for which nobody else looks at the end.
func (b *builds) ending(key [sha256.Size]byte) *making {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.open {
		if m.key == key && !m.ended {
			m.ended = true
			return m
		}
	}
	return nil
}

// leave closes a request, and reports whether somebody else had one open meanwhile.
func (b *builds) leave(m *making) (doubted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.open {
		if other == m {
			b.open = append(b.open[:i], b.open[i+1:]...)
			break
		}
	}
	return m.doubted
}

// behind returns the new images behind the names of a build.
func (b *builds) behind(ctx context.Context, m *making) []image.Digest {
	ctx, cancel := context.WithTimeout(ctx, lookAfter)
	defer cancel()
	var made []image.Digest
	for _, name := range m.targets {
		if found, err := b.daemon.Image(ctx, name); err == nil && !m.before[found.ID] && len(found.Digests) == 0 {
			made = append(made, found.ID)
		}
	}
	return made
}

// committed returns the image that the daemon says it has made of a container.
func committed(body []byte) []image.Digest {
	var answer struct {
		ID image.Digest `json:"Id"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.ID.IsZero() {
		return nil
	}
	return []image.Digest{answer.ID}
}
