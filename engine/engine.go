// Package engine decides whether an image may run: it finds the rule, has the evidence found and checked, and answers with a Verdict.
//
// It knows no format and no registry. The digest of an image is resolved once, and everything is decided about that digest.
package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"go.opentelemetry.io/otel/trace"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// Tags tells what tags stand for.
type Tags interface {
	// Resolve returns the descriptor that ref names at the registry now. Errors are those of a trust.Source.
	Resolve(ctx context.Context, ref image.Ref) (trust.Descriptor, error)
}

// Defaults of Config.
const (
	DefaultTimeout    = 30 * time.Second
	DefaultTTL        = 5 * time.Minute
	DefaultRefusalTTL = 10 * time.Second
	DefaultTagTTL     = 5 * time.Second
	DefaultContents   = 64 << 20
	maxEntries        = 100_000
)

// EveryWait is how long Request.Every waits, after a rule holds, for authorities that the rule can do without.
const EveryWait = 2 * time.Second

// Config is what an Engine is made of. Zero durations and sizes mean the defaults.
type Config struct {
	Policies []*policy.Policy
	Formats  []trust.Format
	Source   trust.Source
	Tags     Tags
	Now      func() time.Time // the clock; nil: time.Now

	Timeout    time.Duration // of one decision
	TTL        time.Duration // how long a proof is reused
	RefusalTTL time.Duration // how long a "no" is reused
	TagTTL     time.Duration // how long a tag is taken to stand for its digest; negative: not at all
	Contents   int           // bytes of manifests and blobs kept in memory

	// Shared keeps proofs for other processes, and theirs for this one. nil: each process decides by itself.
	Shared Shared

	// Observe is told each verdict at the end of its Decide, also that of a bug. It is called by many goroutines at once, and holds
	// up the answer. nil: nobody is told.
	Observe func(*Verdict)

	// Tracer gets a span for each decision and for its phases, with names of images in them. nil: nothing is traced.
	Tracer trace.Tracer
}

// Engine decides about images. It is safe for concurrent use.
type Engine struct {
	config  Config
	plan    atomic.Pointer[plan]
	source  *cachedSource
	answers *otter.Cache[answerKey, *finding]
	tags    *otter.Cache[tagKey, tagged]    // by the registry's word
	signed  *otter.Cache[answerKey, tagged] // by an authority's word
	names   *otter.Cache[string, name]
	late    error // the cause when a decision takes too long
	asking  flights[answerKey, finding]
	naming  flights[tagKey, image.Digest]
	signing flights[answerKey, image.Digest]
}

// answerKey names a question to an authority: about a digest, about a digest under a tag, or about what a tag stands for. Tags are in it
// only where the authority knows them, so that all others are asked once about all tags of a digest. The authority's key has the hash of the policy in it, so that another policy, or other
// roots, ask anew; so does another version of its trust material. The logins are those with which servers could have been asked: what opens for one
// asker is no answer to another.
type answerKey struct {
	authority string
	version   string
	name      string
	tag       string
	digest    image.Digest
	logins    string
	every     bool // everything that is published was looked at
}

// tagKey names a question to a registry: what a tag stands for, for whom.
type tagKey struct {
	image.Ref
	logins string
}

// name is a reference that was parsed, with its canonical text.
type name struct {
	image.Ref
	text string
}

// tagged is what a tag stands for.
type tagged struct {
	digest image.Digest
	err    error // a "no" in place of a digest
	until  time.Time
}

// New makes an engine. Whatever the policies ask for and the formats cannot enforce is an error.
func New(c Config) (*Engine, error) {
	if c.Source == nil || c.Tags == nil {
		return nil, errors.New("engine: a source of evidence and of tags is needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	setDefault(&c.Timeout, DefaultTimeout)
	setDefault(&c.TTL, DefaultTTL)
	setDefault(&c.RefusalTTL, DefaultRefusalTTL)
	setDefault(&c.TagTTL, DefaultTagTTL)
	if c.Contents <= 0 {
		c.Contents = DefaultContents
	}
	e := &Engine{
		config:  c,
		source:  newCachedSource(c.Source, c.Contents),
		answers: newCache[answerKey, *finding](),
		tags:    newCache[tagKey, tagged](),
		signed:  newCache[answerKey, tagged](),
		names:   newCache[string, name](),
		late:    fmt.Errorf("no answer within %v", c.Timeout),
	}
	if err := e.Use(c.Policies); err != nil {
		return nil, err
	}
	return e, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

func newCache[K comparable, V any]() *otter.Cache[K, V] {
	return otter.Must(&otter.Options[K, V]{MaximumSize: maxEntries, Executor: func(fn func()) { fn() }})
}

// Use replaces the policies. Decisions under way end with the old ones; if the new ones cannot be used, the old ones stay. What authorities
// remember of evidence stays with those policies that have not changed.
func (e *Engine) Use(policies []*policy.Policy) error {
	p, err := compile(policies, e.config.Formats, e.plan.Load())
	if err != nil {
		return err
	}
	e.plan.Store(p)
	return nil
}

// Check reports whether a policy could be used by itself: whatever it asks for and the formats cannot enforce is an error. Nothing comes
// into force.
func (e *Engine) Check(p *policy.Policy) error {
	_, err := compile([]*policy.Policy{p}, e.config.Formats, nil)
	return err
}

// Request is a question.
type Request struct {
	Image          string // as the user wrote it
	policy.Request        // point and namespace
	Logins         Logins // of whoever asks, which come before those of Assay; usually none

	// Content asks which bytes may run: see Verdict.Chain, which is empty without it, and Basis, Until and Ends.
	Content bool
	// Rests asks for Verdict.Basis, Until and Ends alone, for which nobody is asked more than without it.
	Rests bool
	// Signed decides about a tag by the digest that trust data name for it, where authorities of the rule do that, and not by what the registry
	// has under the tag, which need not answer then. It is for points that compare the content itself before it runs.
	Signed bool
	// Every asks for all proofs, and not only for those that suffice: see Attestation.Proofs. All evidence is looked at, as far as limits
	// go, and all authorities of the rule are heard; those that have not answered within EveryWait after the rule holds, and what cannot be
	// had beside a proof, are left out. The verdict is the same as without it.
	Every bool
	// Platform narrows the chain to children of an index for one platform, as "linux/amd64" or "linux/arm/v7"; "" is all of them.
	Platform string
	// Local is what a point knows of an image that was made on its host, which Image then names by its digest alone. Without it no rule about
	// such images matches; with it nobody is asked to vouch for the image, because no registry has it, and there is no chain.
	Local *Local
}

// Logins are names and passwords for registries that belong to whoever asks.
type Logins = trust.Logins

// Decide answers a question. It never returns an error beside the verdict: what could not be told is a Verdict that denies, see
// Verdict.Err. A panic of a format or a library is caught and denies.
func (e *Engine) Decide(ctx context.Context, req Request) (v Verdict) {
	start := e.config.Now()
	ctx, span := e.span(ctx, "decide")
	defer func() {
		if caught := recover(); caught != nil {
			bug := &BugError{Value: caught, Stack: debug.Stack()}
			v = Verdict{Image: req.Image, Decision: Decision{Outcome: Bug, Reason: bug.Error()}, cause: bug}
		}
		v.Duration.Total = e.config.Now().Sub(start)
		if e.config.Observe != nil {
			e.observe(v)
		}
		if e.config.Tracer != nil {
			traced(span, req, v)
		}
	}()
	parsed, err := e.parse(req.Image)
	if err != nil {
		return Verdict{Image: req.Image, Decision: Decision{Outcome: Denied, Reason: err.Error()}}
	}
	if req.Local != nil && parsed.Digest().IsZero() {
		return Verdict{Image: req.Image, Decision: Decision{Outcome: Denied, Reason: "an image that was made on a host is asked about by its digest"}}
	}
	q := question{engine: e, plan: e.plan.Load(), ref: parsed.Ref, now: start, cached: true, all: req.Logins, byTrust: req.Signed, every: req.Every}
	q.logins = req.Logins.For(parsed.Registry(), parsed.Repository())
	q.parent = trust.WithLogins(ctx, q.logins)
	defer q.end()
	if req.Local != nil {
		q.made = &made{Local: req.Local, request: req, bases: map[image.Ref]*base{}, decide: (*question).decide}
	}
	rests := req.Content || req.Rests
	if rests {
		q.basis = q.plan.basis(req.Request, q.now)
	}
	v = q.decide(q.plan, req)
	if rests {
		q.content(&v, req)
	}
	v.Image, v.Canonical = req.Image, parsed.text
	v.Cached = q.cached
	v.Duration.Resolve, v.Duration.Evidence = q.resolving, q.hearing
	return v
}

// observe has a copy of its own, so that verdicts nobody observes stay off the heap.
func (e *Engine) observe(v Verdict) { e.config.Observe(&v) }

// Warnings returns what the authorities of all policies have to say that is no error, in the order of the documents.
func (e *Engine) Warnings() []string {
	now := e.config.Now()
	var all []string
	for _, p := range e.plan.Load().policies {
		for i := range p.Authorities {
			all = appendNew(all, p.authorities[p.Authorities[i].Name].warnings(now))
		}
	}
	return all
}

// Stale names, for a policy in force, what of its authorities' trust material should have been refreshed and was not, in words that stay the
// same while nothing changes.
func (e *Engine) Stale(policy string) []string {
	p := e.plan.Load().named(policy)
	if p == nil {
		return nil
	}
	now := e.config.Now()
	var all []string
	for i := range p.Authorities {
		if a := p.authorities[p.Authorities[i].Name]; a.aging != nil {
			for _, what := range a.aging.Stale(now) {
				all = appendNew(all, []string{a.name + ": " + what})
			}
		}
	}
	return all
}

// parse remembers what it parsed: the grammar costs more than all the rest of a question that was asked before.
func (e *Engine) parse(text string) (name, error) {
	if n, found := e.names.GetIfPresent(text); found {
		return n, nil
	}
	ref, err := image.Parse(text)
	if err != nil {
		return name{}, err
	}
	n := name{Ref: ref, text: ref.String()}
	e.names.Set(text, n)
	return n, nil
}
