// Package upstream asks another Assay before it decides alone, so that what many hosts ask is found and checked once.
//
// What the other one says counts only where it rests on the same policies and the same trust material as a decision made here would, which
// is told by the basis of a verdict. Where it does not, where it cannot tell, and where nobody answers, the own engine decides as if there
// were no other one.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/wire"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
)

// Defaults of Config; the rest are those of the engine.
const (
	DefaultTimeout  = 5 * time.Second
	DefaultContents = 64 << 20
)

// maxLate is how much longer than its timeout an answer is waited for, so that it is Ask that says what it waited for.
const maxLate = 100 * time.Millisecond

// Result is what came of a question for another Assay, for metrics.
type Result string

// The results. Only Counted and Remembered are answers; after all others the own engine decides.
const (
	Counted    Result = "counted"     // its verdict was taken
	Remembered Result = "remembered"  // a verdict of it that was taken before still holds; it was not asked
	OtherBasis Result = "other-basis" // its verdict rests on other policies or other trust material
	Unclear    Result = "unclear"     // it could not tell, or broke down
	Unusable   Result = "unusable"    // the question cannot be sent, or the answer cannot be read or is about something else
	Away       Result = "away"        // it did not answer in time, or not with verdicts
	Skipped    Result = "skipped"     // it was away a moment ago, and was not asked
)

// Results returns all results.
func Results() []Result {
	return []Result{Counted, Remembered, OtherBasis, Unclear, Unusable, Away, Skipped}
}

// Config is what a Decider is made of. Ask, Alone and Basis are needed; zero durations and sizes mean the defaults.
type Config struct {
	// Ask puts a question to the other Assay. Whatever goes wrong is an error. It may panic.
	Ask func(context.Context, engine.Request) (engine.Verdict, error)
	// Alone is the own engine.
	Alone interface {
		Decide(context.Context, engine.Request) engine.Verdict
	}
	// Basis says what a verdict of the own engine would rest on now; "": nobody knows.
	Basis func(policy.Request) string

	Timeout    time.Duration // for one answer, and at most half of the time that whoever asks has left
	TTL        time.Duration // how long a yes is reused, if it does not end sooner
	RefusalTTL time.Duration // how long a "no" is reused
	TagTTL     time.Duration // how long an answer about a tag is reused; negative: not at all
	Contents   int           // bytes of answers that are kept

	Now     func() time.Time // the clock; nil: time.Now
	Log     *slog.Logger     // is told when the other one goes away and comes back, and that it goes by something else; nil: nobody is told
	Observe func(Result)     // is told what came of each question; nil: nobody is told
}

// Decider decides about images with the help of another Assay. It is safe for concurrent use.
type Decider struct {
	config  Config
	memory  *memory
	breaker breaker
	asking  singleflight.Group
	told    atomic.Pointer[time.Time] // when it was told that the other one goes by something else
}

// New makes a Decider.
func New(c Config) *Decider {
	setDefault(&c.Timeout, DefaultTimeout)
	setDefault(&c.TTL, engine.DefaultTTL)
	setDefault(&c.RefusalTTL, engine.DefaultRefusalTTL)
	setDefault(&c.TagTTL, engine.DefaultTagTTL)
	if c.Contents <= 0 {
		c.Contents = DefaultContents
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Observe == nil {
		c.Observe = func(Result) {}
	}
	return &Decider{config: c, memory: newMemory(&c)}
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Decide answers a question as the own engine would. One with logins, or about an image that was made on this host, is sent to nobody.
func (d *Decider) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	if !req.Logins.IsZero() || req.Local != nil {
		return d.config.Alone.Decide(ctx, req)
	}
	start := d.config.Now()
	v, result := d.borrow(ctx, req)
	d.config.Observe(result)
	switch result {
	case Counted, Remembered:
	default:
		return d.config.Alone.Decide(ctx, req)
	}
	v.Cached = result == Remembered
	v.Duration = engine.Duration{Total: d.config.Now().Sub(start)}
	if !req.Content && !req.Rests {
		v.Basis, v.Until, v.Ends = "", time.Time{}, time.Time{}
	}
	return v
}

// borrow returns a verdict of the other one, if it counts.
func (d *Decider) borrow(ctx context.Context, req engine.Request) (engine.Verdict, Result) {
	basis := d.config.Basis(req.Request)
	if basis == "" {
		return engine.Verdict{}, OtherBasis // nothing that the other one says could be compared
	}
	req.Rests = true
	key := keyOf(&req, basis)
	if v, found := d.memory.recall(key); found {
		return v, Remembered
	}
	ref, err := image.Parse(req.Image)
	if err != nil {
		return engine.Verdict{}, Unusable
	}
	v, err := d.ask(ctx, key, ref, req)
	if err != nil {
		return engine.Verdict{}, resultOf(err)
	}
	// Only now: what is in force can have changed meanwhile.
	if result := d.judge(req, &v); result != Counted {
		if result == OtherBasis {
			d.differs()
		}
		return engine.Verdict{}, result
	}
	return v, Counted
}

// tellAgain is how long nothing more is told of an upstream that goes by something else: with several policies it may be so for one question and not for the next.
const tellAgain = 10 * time.Minute

// differs tells that the other one goes by something else, now and then.
func (d *Decider) differs() {
	now := d.config.Now()
	last := d.told.Load()
	if last != nil && now.Sub(*last) < tellAgain || !d.told.CompareAndSwap(last, &now) {
		return
	}
	d.config.Log.Warn("the upstream goes by other policies or other trust material, or cannot use them; images are decided about alone")
}

// judge says whether a verdict counts.
func (d *Decider) judge(req engine.Request, v *engine.Verdict) Result {
	basis := d.config.Basis(req.Request)
	switch {
	case wire.Check(req, v) != nil, v.Outcome == engine.Allowed && !v.Allowed:
		return Unusable
	case v.Outcome != engine.Allowed && v.Outcome != engine.Denied, v.ChainError != "":
		return Unclear
	case basis == "" || v.Basis != basis:
		return OtherBasis
	case !v.Ends.IsZero() && !d.config.Now().Before(v.Ends):
		return Unusable // by the clock of this host it is over
	}
	return Counted
}

var (
	errSkipped = errors.New("it was away a moment ago")
	errPanic   = errors.New("asking it broke down")
)

// ask asks the other one, once for all who ask the same at the same time.
func (d *Decider) ask(ctx context.Context, key key, ref image.Ref, req engine.Request) (engine.Verdict, error) {
	limit := d.config.Timeout + maxLate // by then Ask has given up
	if end, has := ctx.Deadline(); has {
		limit = min(limit, time.Until(end)/2) // the rest is for deciding alone
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v", limit))
	defer cancel()
	answer := d.asking.DoChan(key.String(), func() (any, error) {
		if v, found := d.memory.recall(key); found { // who was asked a moment ago has answered
			return v, nil
		}
		// Whoever asked first may leave: the others wait for the answer as well.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.config.Timeout)
		defer cancel()
		v, err := d.send(ctx, req)
		if err == nil { // before the flight ends: who comes a moment later does not ask again
			d.note(key, ref, req, &v)
		}
		return v, err
	})
	select {
	case a := <-answer:
		if a.Err != nil {
			return engine.Verdict{}, a.Err
		}
		return a.Val.(engine.Verdict), nil
	case <-ctx.Done():
		return engine.Verdict{}, context.Cause(ctx)
	}
}

// note keeps a verdict that counts. A panic, on a goroutine of nobody's, would end the process: whoever asked meets it again.
func (d *Decider) note(key key, ref image.Ref, req engine.Request, v *engine.Verdict) {
	defer func() { _ = recover() }()
	if d.judge(req, v) == Counted {
		key.basis = v.Basis
		d.memory.keep(key, ref, v)
	}
}

// send asks, unless the other one is known to be away.
func (d *Decider) send(ctx context.Context, req engine.Request) (v engine.Verdict, err error) {
	probe, may := d.breaker.ask(d.config.Now())
	if !may {
		return engine.Verdict{}, errSkipped
	}
	defer func() {
		if caught := recover(); caught != nil {
			v, err = engine.Verdict{}, fmt.Errorf("%w: %v", errPanic, caught)
		}
		switch d.breaker.answered(d.config.Now(), probe, isAway(err)) {
		case opened:
			d.config.Log.Warn("the upstream is away; images are decided about alone", "error", err.Error())
		case closed:
			d.config.Log.Info("the upstream is back")
		}
	}()
	return d.config.Ask(ctx, req)
}

// isAway reports whether an error of Ask says something of the other one, and not of the question.
func isAway(err error) bool {
	var status *wire.StatusError
	switch {
	case err == nil, errors.Is(err, wire.ErrAnswer), errors.Is(err, wire.ErrQuestion), errors.Is(err, errPanic):
		return false
	case errors.As(err, &status):
		return status.Status != 400 && status.Status != 413
	}
	return true
}

func resultOf(err error) Result {
	switch {
	case errors.Is(err, errSkipped):
		return Skipped
	case errors.Is(err, wire.ErrAnswer), errors.Is(err, wire.ErrQuestion), errors.Is(err, errPanic):
		return Unusable
	}
	return Away
}
