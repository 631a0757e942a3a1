package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// recall returns what an authority said before to the same logins, if it still holds. What another process saw has times that a clock that is
// set back would come to much later: what is of the future does not hold.
func (e *Engine) recall(a *authority, ref image.Ref, logins trust.Logins, every bool, now time.Time) (*finding, bool) {
	cached, found := e.answers.GetIfPresent(a.asked(ref, logins, every))
	if !found || !now.Before(cached.until) || cached.checked.After(now.Add(maxSharedSkew)) {
		return nil, false
	}
	return cached, true
}

// consult asks an authority and remembers its answer, unless it could not tell. Whoever asks the same meanwhile gets the same answer,
// which is looked for in the source of the first. What another process proved is not asked again.
func (e *Engine) consult(ctx context.Context, src trust.Source, a *authority, ref image.Ref, logins trust.Logins, every bool) finding {
	ref = a.about(ref)
	key := a.asked(ref, logins, every)
	ctx = trust.WithLogins(ctx, logins)
	ctx, span := e.span(ctx, "authority")
	f, err := e.asking.do(ctx, key, e.config.Timeout, func(ctx context.Context) (finding, error) {
		if f, found := e.recall(a, ref, logins, every, e.config.Now()); found { // who was asked a moment ago has answered
			return *f, nil
		}
		f, found := e.recallShared(ctx, a, ref, key)
		if !found {
			began := e.config.Now()
			f = e.examine(ctx, src, a, ref, key.every)
			f.checked, f.until = began, e.reusable(&f)
		}
		if a.asked(ref, logins, every) == key { // else the trust material changed meanwhile, and nobody knows which of the two was used
			e.remember(key, f)
			e.share(a, key, &f)
		}
		return f, nil
	})
	if err != nil {
		f = finding{standing: Unclear, err: err}
	}
	heard(span, a, &f)
	return f
}

// examine has an authority find and check evidence, and does not take its word for more than it asked.
func (e *Engine) examine(ctx context.Context, src trust.Source, a *authority, ref image.Ref, every bool) finding {
	if a.searcher != nil {
		return e.seek(ctx, src, a, ref, every)
	}
	proofs, err := e.prove(ctx, src, a, ref)
	if err != nil {
		return refused(err)
	}
	return finding{standing: Proved, proofs: proofs}
}

// prove finds all evidence and checks it. The time of a check is one instant.
func (e *Engine) prove(ctx context.Context, src trust.Source, a *authority, ref image.Ref) ([]trust.Proof, error) {
	evidence, err := e.find(ctx, src, a, ref)
	if err != nil {
		return nil, err
	}
	now := e.config.Now()
	proofs, err := e.check(ctx, a, ref, evidence, now)
	return proofs, a.remember(ctx, ref, evidence, now, err)
}

// seek finds evidence until it suffices, or all of it, and checks it. The time of all checks is one instant. Where every proof is wanted and
// not everything can be had, what was proved on the way counts as it would have without that wish.
func (e *Engine) seek(ctx context.Context, src trust.Source, a *authority, ref image.Ref, every bool) finding {
	looking, span := e.span(ctx, "find")
	s := search{engine: e, ctx: looking, authority: a, ref: ref, now: e.config.Now(), every: every}
	evidence, err := a.searcher.Search(looking, src, ref, s.enough)
	ended(span, err)
	switch {
	case s.bug != nil:
		return refused(s.bug)
	case err != nil && every && s.proofs != nil:
		return s.found(err)
	case err != nil:
		return refused(err)
	case s.proofs != nil && !every:
		return s.found(nil)
	}
	proofs, err := e.check(ctx, a, ref, evidence, s.now)
	if err != nil && s.proofs != nil {
		return s.found(err)
	}
	if err := a.remember(ctx, ref, evidence, s.now, err); err != nil {
		return refused(err)
	}
	return finding{standing: Proved, proofs: proofs}
}

func (e *Engine) find(ctx context.Context, src trust.Source, a *authority, ref image.Ref) (trust.Evidence, error) {
	ctx, span := e.span(ctx, "find")
	evidence, err := a.Find(ctx, src, ref)
	ended(span, err)
	return evidence, err
}

// remember has an authority keep what evidence said of the past, if its check came to an answer, which is err. It returns err, or why
// nothing could be kept: then the answer does not hold.
func (a *authority) remember(ctx context.Context, ref image.Ref, ev trust.Evidence, now time.Time, err error) error {
	if a.rememberer == nil || err != nil && !trust.IsNo(err) {
		return err
	}
	if failed := a.rememberer.Remember(ctx, ref, ev, now); failed != nil {
		return causes{fmt.Errorf("what was seen could not be remembered: %w", failed)} // which is never a "no", whatever failed is
	}
	return err
}

// search is a look for evidence under way that ends as soon as something suffices.
type search struct {
	engine    *Engine
	ctx       context.Context // of the search, for its spans
	authority *authority
	ref       image.Ref
	now       time.Time
	every     bool           // it goes on when something suffices
	proofs    []trust.Proof  // that sufficed; nil: nothing has yet
	evidence  trust.Evidence // of the proofs
	bug       *BugError
}

// found is what was proved; missed is why it may not be all.
func (s *search) found(missed error) finding {
	if err := s.authority.remember(s.ctx, s.ref, s.evidence, s.now, nil); err != nil {
		return refused(err)
	}
	return finding{standing: Proved, proofs: s.proofs, missed: missed}
}

// enough reports whether evidence has a proof that the policy does not take back. A format may call it on a goroutine of its own, where
// a panic would end the process.
func (s *search) enough(ev trust.Evidence) (yes bool) {
	defer func() {
		if v := recover(); v != nil {
			s.bug, yes = &BugError{Value: v, Stack: debug.Stack()}, true
		}
	}()
	proofs, err := s.engine.check(s.ctx, s.authority, s.ref, ev, s.now)
	if err != nil {
		return false
	}
	if kept, _ := s.authority.policy.standing(proofs); len(kept) == 0 {
		return false
	}
	s.proofs, s.evidence = proofs, ev
	return !s.every
}

// check has an authority check evidence. Each of its proofs must be sound, and there must be one.
func (e *Engine) check(ctx context.Context, a *authority, ref image.Ref, ev trust.Evidence, now time.Time) (proofs []trust.Proof, err error) {
	_, span := e.span(ctx, "check")
	defer func() { ended(span, err) }()
	proofs, err = a.Check(ref, ev, now)
	if err != nil {
		return nil, err
	}
	for i := range proofs {
		if err := sound(&proofs[i], ref, now); err != nil {
			return nil, err
		}
	}
	if len(proofs) == 0 {
		return nil, trust.Untrusted("nothing was proved")
	}
	return proofs, nil
}

// sound refuses a proof that is about another image, names nobody or no longer holds.
func sound(p *trust.Proof, ref image.Ref, now time.Time) error {
	switch {
	case p.Digest.IsZero() || p.Digest != ref.Digest():
		return trust.Untrusted("the proof is about another image")
	case len(p.Signers) == 0:
		return trust.Untrusted("the proof names no signer")
	case !p.Expires.IsZero() && !now.Before(p.Expires):
		return trust.Untrusted("the proof no longer holds")
	}
	return nil
}

func refused(err error) finding {
	switch {
	case !trust.IsNo(err):
		return finding{standing: Unclear, err: err}
	case errors.Is(err, trust.ErrUnsigned):
		return finding{standing: Unsigned, err: err}
	}
	return finding{standing: Untrusted, err: err}
}

// reusable returns until when an answer is reused: the soonest of its time and the ends of its proofs. "Cannot tell" never is.
func (e *Engine) reusable(f *finding) time.Time {
	now := e.config.Now()
	switch f.standing {
	case Unclear, Unasked:
		return time.Time{}
	case Proved:
		if f.missed != nil {
			return soonest(now.Add(e.config.RefusalTTL), f.ends())
		}
		return soonest(now.Add(e.config.TTL), f.ends())
	}
	return now.Add(e.config.RefusalTTL)
}

// ends returns the soonest end of the proofs; zero if none ends by itself.
func (f *finding) ends() (end time.Time) {
	for i := range f.proofs {
		end = soonest(end, f.proofs[i].Expires)
	}
	return end
}

// soonest returns the sooner of two ends, of which a zero one is none.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (e *Engine) remember(key answerKey, f finding) {
	if !f.until.IsZero() {
		e.answers.Set(key, &f)
	}
}
