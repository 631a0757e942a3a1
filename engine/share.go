package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Shared keeps what authorities proved for other processes that have the same policies and the same trust material. It is asked where a
// process does not know the answer itself, before evidence is looked for, and is told only what was proved: never a "no", never "cannot
// tell". What it returns is held against the clock, the question and the policy's revocations as if it had been checked here, but the
// signatures behind it are not: it must be certain by itself that what it returns was kept under that key by a process that is trusted.
//
// It is used by many goroutines at once. Whatever is wrong with it means that nothing is known.
type Shared interface {
	// Recall returns what was kept for a question. It holds up a decision, and has a bound of its own on how long.
	Recall(ctx context.Context, key SharedKey) (SharedAnswer, bool)
	// Keep takes an answer. It returns at once, whatever becomes of the answer, which must not be written to.
	Keep(key SharedKey, answer SharedAnswer)
	// Refused is told of an answer that was recalled and does not count.
	Refused(key SharedKey, why error)
}

// SharedKey names a question to an authority, in words that are the same in every process.
type SharedKey struct {
	Authority string       // hash of the policy, and the authority's name
	Version   string       // of the trust material that is not in the policy
	Name      string       // of the repository, in canonical form
	Tag       string       // beside the digest, where the authority knows tags
	Digest    image.Digest // that is asked about
	Every     bool         // everything that is published is looked at
}

// SharedAnswer is what an authority proved in some process.
type SharedAnswer struct {
	Proofs  []trust.Proof
	Checked time.Time // when that process began to look for evidence, by its clock
	Until   time.Time // the first instant at which that process asks again
}

// maxSharedSkew is how far the clocks of processes that share may be apart. What seems to come from farther in the future does not count.
const maxSharedSkew = 30 * time.Second

// shares reports whether what an authority answers can be of use to others, and theirs to it. Questions with logins are not shared: what
// opens for one asker is no answer to another. Nor is what raises floors or rests on what revocation servers said, since each process must
// see for itself what is newest; nor what could not be decided here, because the trust material is too old or soon will be.
func (e *Engine) shares(a *authority, key answerKey) bool {
	if e.config.Shared == nil || key.logins != "" || a.rememberer != nil || a.unshared {
		return false
	}
	return a.lapsing == nil || !a.lapsing.Lapsed(e.config.Now().Add(e.config.TTL))
}

func (k answerKey) shared() SharedKey {
	return SharedKey{Authority: k.authority, Version: k.version, Name: k.name, Tag: k.tag, Digest: k.digest, Every: k.every}
}

// recallShared returns what another process proved, if it holds here and now.
func (e *Engine) recallShared(ctx context.Context, a *authority, ref image.Ref, key answerKey) (finding, bool) {
	if !e.shares(a, key) {
		return finding{}, false
	}
	ctx, span := e.span(ctx, "recall")
	defer span.End()
	answer, found := e.config.Shared.Recall(ctx, key.shared())
	if !found {
		return finding{}, false
	}
	f, err := e.believed(a, ref, key, answer)
	if err != nil {
		e.config.Shared.Refused(key.shared(), err)
		return finding{}, false
	}
	return f, true
}

// believed makes a finding of what another process proved. It lasts no longer than it would have lasted there, nor than an answer of this
// process would.
func (e *Engine) believed(a *authority, ref image.Ref, key answerKey, answer SharedAnswer) (finding, error) {
	now := e.config.Now()
	f := finding{standing: Proved, proofs: answer.Proofs, checked: answer.Checked, recalled: true}
	if answer.Checked.IsZero() || answer.Until.IsZero() || len(answer.Proofs) == 0 {
		return finding{}, errors.New("it says nothing")
	}
	f.until = soonest(soonest(answer.Until, answer.Checked.Add(e.config.TTL)), soonest(now.Add(e.config.TTL), f.ends()))
	switch {
	case answer.Checked.After(now.Add(maxSharedSkew)):
		return finding{}, fmt.Errorf("it is of %v in the future", answer.Checked.Sub(now).Round(time.Second))
	case !now.Before(f.until):
		return finding{}, errors.New("it is out of date")
	case e.knowsBetter(key, answer.Checked):
		return finding{}, errors.New("this process has heard a no since")
	}
	for i := range f.proofs {
		if err := sound(&f.proofs[i], ref, now); err != nil {
			return finding{}, err
		}
	}
	if kept, by := a.policy.standing(f.proofs); len(kept) == 0 {
		return finding{}, errors.New(by.String()) // others may vouch as well: they are looked for
	}
	return f, nil
}

// knowsBetter reports whether this process heard a "no" later than, or about when, another one heard a "yes": the older answer must not
// come back.
func (e *Engine) knowsBetter(key answerKey, checked time.Time) bool {
	own, found := e.answers.GetIfPresent(key)
	return found && (own.standing == Unsigned || own.standing == Untrusted) && !checked.After(own.checked.Add(maxSharedSkew))
}

// share has others know what was proved here, and all of it: what may have been missed is no business of theirs.
func (e *Engine) share(a *authority, key answerKey, f *finding) {
	if f.standing == Proved && f.missed == nil && !f.recalled && !f.until.IsZero() && e.shares(a, key) {
		e.config.Shared.Keep(key.shared(), SharedAnswer{Proofs: f.proofs, Checked: f.checked, Until: f.until})
	}
}
