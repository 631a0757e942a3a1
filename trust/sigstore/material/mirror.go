package material

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// mirror keeps the trust material of one TUF repository.
type mirror struct {
	origin
	from     repository
	now      func() time.Time
	log      *slog.Logger
	maxStale time.Duration // the strictest bound that anybody set; guarded by the keeper's mu

	held atomic.Pointer[held]
	mu   sync.Mutex // held by whoever changes held
	seen *files     // newest that was proved; guarded by mu
}

// origin is where the material of a mirror comes from.
type origin struct {
	name  string                // URL
	first []byte                // root.json
	own   *folder               // copy on disk that is read and written; nil: none
	other *folder               // copy on disk that is read only; nil: none
	start func() (*Root, error) // the copy in the program; nil: none
	renew string                // the next step for people who have nothing that is fresh
}

var _ refreshed = (*mirror)(nil)

// held is what a mirror has now. It does not change.
type held struct {
	root        *Root // nil: nothing
	kind        Kind
	expires     time.Time // of the proof; zero: unknown
	refused     error     // why the copy on disk is not used
	unsaved     error     // why there is none
	lastAttempt time.Time
	lastErr     error
}

// newMirror returns a mirror with what start gives and what the disk has, whichever is newer.
func newMirror(k *Keeper, o origin) *mirror {
	m := &mirror{
		origin: o, now: k.config.Now, log: k.config.Log,
		from: &remote{fetcher: k.fetcher, base: o.name},
	}
	h := held{kind: KindTUF}
	if o.start != nil {
		h.kind = KindEmbedded
		if h.root, h.refused = o.start(); h.refused != nil {
			h.refused = fmt.Errorf("copy in the program: %w", h.refused)
		}
	}
	m.held.Store(&h)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load()
	return m
}

func (m *mirror) label() string { return m.name }

// due implements refreshed. The copy in the program is no reason to connect: where there is no network, nobody waits for one.
func (m *mirror) due(now time.Time) bool {
	h := m.held.Load()
	return h.root == nil || h.kind != KindEmbedded && now.Sub(h.root.AsOf) > renewAfter
}

func (m *mirror) empty() bool { return m.held.Load().root == nil }

// load reads the copies on disk; the one that was proved last is used, if it is newer than what is held. Another process may have
// written it.
func (m *mirror) load() {
	h := *m.held.Load()
	h.refused = nil
	for _, f := range []*folder{m.own, m.other} {
		if f == nil {
			continue
		}
		p, at, err := f.load(m.first, m.now())
		switch {
		case err != nil:
			h.refused = fmt.Errorf("%s: %w", f.path, err)
		case p != nil:
			m.adopt(&h, p, at)
		}
	}
	m.held.Store(&h)
}

// adopt makes what was proved at a time the material to use, unless something newer is in use.
func (m *mirror) adopt(h *held, p *proved, at time.Time) {
	if m.seen != nil && p.versions.before(m.seen.versions) {
		return // another process has yet to see what this one did
	}
	m.seen = p.files
	if h.root != nil && !at.After(h.root.AsOf) {
		return
	}
	r, err := parseRoot(p.target)
	if err != nil {
		h.refused = err
		return
	}
	if h.root != nil && h.root.Version == r.Version {
		r = h.root // parsed before
	}
	h.root, h.expires, h.kind = r.asOf(at), p.expires, KindTUF
}

// refresh fetches the repository. What was held before stays in use if that fails.
func (m *mirror) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, defaultRefreshTimeout)
	defer cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load()
	h := *m.held.Load()
	before := h.root
	h.lastAttempt = m.now()
	h.lastErr = m.fetch(ctx, &h)
	m.held.Store(&h)
	if h.lastErr != nil {
		return fmt.Errorf("trust material of %s: %w", m.name, h.lastErr)
	}
	if before == nil || before.Version != h.root.Version {
		m.log.Info("trust material is new", "source", m.name, "version", h.root.Version)
	}
	return nil
}

// fetch proves the repository anew and keeps a copy on disk.
func (m *mirror) fetch(ctx context.Context, h *held) error {
	at := m.now()
	p, err := prove(ctx, m.first, m.seen, m.from, at)
	if err != nil {
		return err
	}
	r, err := parseRoot(p.target)
	if err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	if h.root != nil && h.root.Version == r.Version {
		r = h.root
	}
	h.root, h.expires, h.kind, h.refused, h.unsaved = r.asOf(at), p.expires, KindTUF, nil, nil
	m.seen = p.files
	if m.own != nil {
		h.unsaved = m.own.save(p, at)
	}
	return nil
}
