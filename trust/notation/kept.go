package notation

import (
	"context"
	"time"

	"github.com/assay-dev/assay/trust"
)

// How long an answer is used without asking again, if it does not end sooner: what is revoked is heard of that much later.
const (
	keepOCSP = 5 * time.Minute
	keepList = 30 * time.Minute
)

// How answers are refreshed before they are needed.
const (
	refreshEvery = 20 * time.Second
	refreshAhead = time.Minute      // before they are asked for anew on the way of a decision
	retryAfter   = 30 * time.Second // a server that did not answer, where what it said before still counts
	forgetAfter  = 2 * time.Hour
)

// keptAnswer is an answer that was checked, and says that nothing is revoked.
type keptAnswer struct {
	content []byte // which must not be written to
	fresh   time.Time
	ends    time.Time // as its signer says
	used    time.Time
	keep    time.Duration
	get     getAnswer

	overtaken bool // while it was asked for, a revocation was heard of
}

// getAnswer asks a server: for what it said, until when that holds, and what is wrong with it. What was said is there as well where it revokes, or does
// not count.
type getAnswer func(context.Context) (content []byte, ends time.Time, err error)

// remembered returns what is kept under a key, or asks for it. Only answers that were checked are kept: whoever stands on the way can spoil one
// question and not the next ones. Where nobody answers, what was said before counts until its signer lets it end: whoever can silence a
// server could as well repeat its answer until then. What it says has to be checked all the same.
func (s *Revocations) remembered(ctx context.Context, key string, keep time.Duration, get getAnswer) ([]byte, error) {
	s.mu.Lock()
	kept := s.kept[key]
	now := s.now()
	if kept != nil {
		kept.used = now
		if now.Before(kept.fresh) {
			s.mu.Unlock()
			return kept.content, nil
		}
	}
	s.mu.Unlock()
	one := &keptAnswer{used: now, keep: keep, get: get}
	return s.renew(ctx, key, one)
}

// renew asks for an answer and keeps it, or returns the one that is kept and still holds. One that revokes ends what was kept.
func (s *Revocations) renew(ctx context.Context, key string, one *keptAnswer) ([]byte, error) {
	s.mu.Lock()
	s.asking[one] = key
	s.mu.Unlock()
	defer func() { // also after a panic
		s.mu.Lock()
		delete(s.asking, one)
		s.mu.Unlock()
	}()
	content, ends, err := one.get(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, now := s.kept[key], s.now()
	switch {
	case trust.IsNo(err):
		s.drop(key)
		for other, about := range s.asking {
			other.overtaken = other.overtaken || about == key
		}
		return content, nil // whoever checks it says so
	case err != nil && kept != nil && now.Before(kept.ends):
		kept.fresh = sooner(kept.ends, now.Add(retryAfter))
		return kept.content, nil
	case err != nil && content != nil:
		return content, nil // whoever checks it says why it does not count
	case err != nil:
		return nil, err
	case one.overtaken: // it can be of before
		return content, nil
	}
	if kept != nil && kept.used.After(one.used) {
		one.used = kept.used
	}
	one.content, one.ends, one.fresh = content, ends, sooner(ends, now.Add(one.keep))
	s.drop(key)
	s.kept[key] = one
	s.size += len(content)
	for other, old := range s.kept { // what is out of date first; then any: they can be asked again
		if s.size > maxKept && other != key || !now.Before(old.ends) {
			s.drop(other)
		}
	}
	return content, nil
}

// drop forgets an answer; mu is held.
func (s *Revocations) drop(key string) {
	if old := s.kept[key]; old != nil {
		s.size -= len(old.content)
		delete(s.kept, key)
	}
}

// Run asks anew, before they are out of date, for answers that decisions have used lately, until ctx ends: so that a decision
// waits for a server only where a certificate is new.
func (s *Revocations) Run(ctx context.Context) {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.refresh(ctx)
		}
	}
}

// refresh asks anew for what is soon out of date, one after the other, and forgets what nobody has used for long.
func (s *Revocations) refresh(ctx context.Context) {
	for key, one := range s.due() {
		if ctx.Err() != nil {
			return
		}
		_, _ = s.renew(ctx, key, one) // the decision that needs it asks again
	}
}

// due returns what is soon out of date, as it is asked for anew.
func (s *Revocations) due() map[string]*keptAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	due := map[string]*keptAnswer{}
	for key, one := range s.kept {
		switch {
		case now.Sub(one.used) >= forgetAfter, !now.Before(one.ends): // the server was asked again and again before it ended
			s.drop(key)
		case !now.Add(refreshAhead).Before(one.fresh):
			due[key] = &keptAnswer{used: one.used, keep: one.keep, get: one.get}
		}
	}
	return due
}
