package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/workload"
)

// Unnamed is the name under which policies can speak about images that have none of a registry, as "local.invalid/image@sha256:…" with the
// engine's ID as its digest. No host is ever called so (RFC 2606).
const Unnamed = "local.invalid/image"

// maxCandidates is how many names of one image are decided about, where it was asked for by its ID.
const maxCandidates = 8

// engineFor is how long it is remembered what kind of store the engine has: it can change only when the engine starts anew.
const engineFor = time.Minute

// engineKind remembers what the engine said of itself.
type engineKind struct {
	daemon Daemon
	now    func() time.Time

	mu    sync.Mutex
	until time.Time
	last  workload.DockerEngine
}

// containerd reports whether IDs of images are digests of manifests and indexes, rather than of configs.
func (k *engineKind) containerd(ctx context.Context) (bool, error) {
	k.mu.Lock()
	last, until := k.last, k.until
	k.mu.Unlock()
	if k.now().Before(until) {
		return last.Containerd, nil
	}
	last, err := k.daemon.Engine(ctx)
	if err != nil {
		return false, err
	}
	k.mu.Lock()
	k.last, k.until = last, k.now().Add(engineFor)
	k.mu.Unlock()
	return last.Containerd, nil
}

// decider is an enforce.Decider made of a function.
type decider func(ctx context.Context, req engine.Request) engine.Verdict

// Decide implements enforce.Decider.
func (d decider) Decide(ctx context.Context, req engine.Request) engine.Verdict { return d(ctx, req) }

// undecided is a verdict for something that could not be told.
func undecided(req engine.Request, err error) engine.Verdict {
	return engine.Verdict{Image: req.Image, Decision: engine.Decision{Outcome: engine.CouldNotTell, Reason: err.Error()}}
}

func denied(req engine.Request, format string, args ...any) engine.Verdict {
	return engine.Verdict{Image: req.Image, Decision: engine.Decision{Outcome: engine.Denied, Reason: fmt.Sprintf(format, args...)}}
}

// whole decides about images that others will pull: what is vouched for must be all that the digest names.
func whole(next enforce.Decider) enforce.Decider {
	return decider(func(ctx context.Context, req engine.Request) engine.Verdict {
		v := next.Decide(ctx, req)
		if binding(v).Outcome != engine.Allowed || v.Digest.IsZero() {
			return v
		}
		asked, err := image.Parse(req.Image)
		switch {
		case err != nil:
			return denied(req, "%v", err)
		case v.Child:
			return withheld(binding(v), engine.Denied, fmt.Sprintf("only one platform's manifest of this index is vouched for; name it by its own digest, %s", v.Digest))
		case asked.Digest() != v.Digest:
			return withheld(binding(v), engine.Denied, fmt.Sprintf("the digest that is vouched for is %s", v.Digest))
		}
		return v
	})
}

// content decides about images of this host: what a name is allowed for must be what the host has under it.
type content struct {
	handler *Handler
	next    enforce.Decider
	look    lookFunc
}

// lookFunc finds the image behind a name.
type lookFunc func(ctx context.Context, name string) (workload.DockerImage, error)

// Decide implements enforce.Decider.
func (c *content) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	local, err := c.look(ctx, req.Image)
	switch {
	case errors.Is(err, workload.ErrAbsent) && identifies(req.Image):
		return denied(req, "there is no such image on this host; pull it first, by its name")
	case errors.Is(err, workload.ErrAbsent):
		return c.next.Decide(ctx, req) // the daemon says the same, and the client pulls what is vouched for
	case err != nil:
		return undecided(req, err)
	}
	containerd, err := c.handler.engine.containerd(ctx)
	if err != nil {
		return undecided(req, err)
	}
	l := &held{DockerImage: local, containerd: containerd, chained: c.handler.config.RequireContentChain}
	// What the host has is compared, whatever platform was asked for: if it is another one, the daemon says that it has no such image.
	req.Content, req.Platform = true, withoutVariant(local.Platform)
	v := headed(c.candidates(ctx, req, l))
	v.Image = req.Image
	return v
}

// binding puts first what a policy that enforces says, where one that stops nothing says no beside it: what runs is what the former allows, and
// must be that.
func binding(v engine.Verdict) engine.Verdict {
	if !v.Allowed || v.Outcome == engine.Allowed {
		return v
	}
	return fronted(v, func(d engine.Decision) bool { return !soft(&d) && d.Outcome == engine.Allowed })
}

// headed puts first again what a policy that stops nothing would have stopped: it is what such policies are for.
func headed(v engine.Verdict) engine.Verdict {
	if !v.Allowed || v.Outcome != engine.Allowed {
		return v
	}
	return fronted(v, func(d engine.Decision) bool { return d.Outcome != engine.Allowed && d.Outcome != engine.NoOpinion })
}

// fronted exchanges the decision of a verdict for another one that fits, if there is one.
func fronted(v engine.Verdict, fits func(engine.Decision) bool) engine.Verdict {
	if i := slices.IndexFunc(v.Also, fits); i >= 0 {
		v.Also = slices.Clone(v.Also)
		v.Decision, v.Also[i] = v.Also[i], v.Decision
	}
	return v
}

// withoutVariant cuts "linux/arm64/v8" to what all children for that architecture have: images and indexes do not agree on whether they name the
// variant that is the only one.
func withoutVariant(platform string) string {
	if parts := strings.SplitN(platform, "/", 3); len(parts) == 3 {
		return parts[0] + "/" + parts[1]
	}
	return platform
}

// held is an image of this host.
type held struct {
	workload.DockerImage
	containerd bool
	chained    bool // a digest that the daemon recorded does not count
}

// candidates decides about the names that an image goes by: the one that was asked for, then the digests under which the daemon got it from
// the same repository; all of them where it was asked for by its ID. The first verdict counts if none allows.
//
// Rules about images that were made on this host come first: they need no name, and often nobody's answer.
func (c *content) candidates(ctx context.Context, req engine.Request, l *held) engine.Verdict {
	facts := c.handler.local(l)
	if facts == nil {
		return c.byName(ctx, req, l, func() engine.Verdict {
			asked := req
			asked.Image, asked.Content = Unnamed+"@"+l.ID.String(), false // it is the content itself that is asked about
			return c.next.Decide(ctx, asked)
		})
	}
	made, decided := c.madeHere(ctx, req, l, facts)
	if decided {
		return made
	}
	v := c.byName(ctx, req, l, func() engine.Verdict { return made })
	return besideMade(v, &made)
}

// byName decides about the names of an image; unnamed does about its content itself.
func (c *content) byName(ctx context.Context, req engine.Request, l *held, unnamed func() engine.Verdict) engine.Verdict {
	names, byID := l.candidates(req.Image)
	var first engine.Verdict
	bare := false
	for i, name := range names {
		asked := req
		asked.Image = name
		found := binding(c.next.Decide(ctx, asked))
		bare = bare || found.Outcome == engine.Allowed && !proved(&found)
		v, other := c.judge(ctx, found, l)
		if v.Allowed && v.Outcome == engine.Allowed {
			return v
		}
		if i == 0 {
			first = v
		}
		if ctx.Err() != nil || v.Outcome == engine.Bug || !byID && i == 0 && !other {
			return first
		}
	}
	if len(names) > 0 && !bare {
		return first
	}
	// Nobody's name: a rule that lets images pass without anybody's word can let this one pass too.
	v := binding(unnamed())
	switch {
	case v.Allowed && v.Outcome == engine.Allowed:
		return v
	case len(names) > 0:
		return first
	}
	reason := "the image " + l.ID.String() + " has no name of a registry under which somebody could vouch for it"
	if v.Outcome == engine.Denied && !v.Local {
		reason += "; as " + Unnamed + ": " + v.Reason
	}
	return withheld(v, engine.Denied, reason)
}

// proved reports whether somebody vouched, rather than a rule that needs nobody's word.
func proved(v *engine.Verdict) bool {
	return slices.ContainsFunc(v.Authorities, func(at engine.Attestation) bool { return at.Standing == engine.Proved })
}

// candidates returns the names to decide about, and whether the image was asked for by its ID.
func (l *held) candidates(asked string) (names []string, byID bool) {
	ref, err := image.Parse(asked)
	if byID = identifies(asked) || err != nil || l.shortID(asked, ref); byID {
		names = append(slices.Clone(l.Digests), l.Names...)
		names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "<none>") })
	} else {
		names = []string{asked}
		for _, d := range l.Digests {
			if recorded, err := image.Parse(d); err == nil && sameRepository(recorded, ref) && recorded != ref {
				names = append(names, d)
			}
		}
	}
	return names[:min(len(names), maxCandidates)], byID
}

// shortID reports whether a text that could be a name stands for the beginning of the image's ID.
func (l *held) shortID(asked string, ref image.Ref) bool {
	if !hexadecimal(asked) || !strings.HasPrefix(l.ID.Hex(), asked) {
		return false
	}
	return !slices.ContainsFunc(l.Names, func(name string) bool {
		known, err := image.Parse(name)
		return err == nil && known == ref
	})
}

func sameRepository(a, b image.Ref) bool {
	return a.Registry() == b.Registry() && a.Repository() == b.Repository()
}

// judge compares what a verdict lets run with what the host has. again says that another name of the same image could get another answer: the
// policy did not say no.
func (c *content) judge(ctx context.Context, v engine.Verdict, l *held) (judged engine.Verdict, again bool) {
	known := decidedOf(&v, l)
	if v.Outcome == engine.Allowed && v.Allowed {
		outcome, reason := l.differs(&v)
		if reason == "" {
			c.handler.remember(ctx, known)
			return v, false
		}
		v, again = withheld(v, outcome, reason), true
	}
	switch v.Outcome {
	case engine.CouldNotTell:
		return c.recalled(ctx, v, known), true
	case engine.Denied:
		c.handler.forget(ctx, known)
	}
	return v, again
}

// differs says why what the host has is not, or cannot be told to be, what a verdict allows; "" if it is.
func (l *held) differs(v *engine.Verdict) (engine.Outcome, string) {
	if slices.ContainsFunc(v.Chain, func(link engine.Link) bool { return l.is(link, v.Child) }) {
		return engine.Allowed, ""
	}
	if l.containerd && !v.Digest.IsZero() && l.ID == v.Digest {
		return engine.Allowed, ""
	}
	if v.ChainError == "" {
		if v.Digest.IsZero() {
			return engine.Denied, fmt.Sprintf("the name may be used, but nothing shows that the image on this host (%s) came from there; pull it again", l.ID)
		}
		return engine.Denied, fmt.Sprintf("the image on this host (%s) is not what %s stands for (%s): its content is another; pull it again", l.ID, v.Canonical, v.Digest)
	}
	if !l.chained && l.recorded(v) {
		return engine.Allowed, ""
	}
	return engine.CouldNotTell, fmt.Sprintf("the content of %s could not be compared with the image on this host (%s): %s", v.Digest, l.ID, v.ChainError)
}

// is reports whether the image is what a link of the chain names: its config in the classic store, its manifest or index in containerd's. An index of
// which only a child is vouched for is not.
func (l *held) is(link engine.Link, child bool) bool {
	if !l.containerd {
		return link.Config == l.ID
	}
	return link.Manifest == l.ID || link.Index == l.ID && !child
}

// recorded reports whether the daemon itself got the image from the repository under the digest that is vouched for. Only a pull or a push
// writes that, over content that the daemon hashed.
func (l *held) recorded(v *engine.Verdict) bool {
	ref, err := image.Parse(v.Canonical)
	if err != nil || v.Digest.IsZero() {
		return false
	}
	return slices.ContainsFunc(l.Digests, func(text string) bool {
		d, err := image.Parse(text)
		return err == nil && sameRepository(d, ref) && d.Digest() == v.Digest
	})
}

// withheld takes back a verdict that allows, as far as policies enforce. Authorities whose word was not needed have no part in it.
func withheld(v engine.Verdict, outcome engine.Outcome, reason string) engine.Verdict {
	if v.Outcome == engine.Allowed {
		v.Authorities = slices.DeleteFunc(slices.Clone(v.Authorities), func(at engine.Attestation) bool { return at.Standing != engine.Proved })
	}
	v.Outcome, v.Reason = outcome, reason
	v.Allowed = v.Allowed && !enforces(&v)
	if v.Allowed {
		v.Warnings = append(slices.Clip(v.Warnings), "policy "+v.Policy+" would stop this image: "+outcome.String()+": "+reason)
	}
	return v
}

// soft reports whether a decision stops nothing.
func soft(d *engine.Decision) bool { return d.Mode == "warn" || d.Mode == "audit" }

// enforces reports whether one of the policies that spoke enforces.
func enforces(v *engine.Verdict) bool {
	return !soft(&v.Decision) || slices.ContainsFunc(v.Also, func(d engine.Decision) bool {
		return !soft(&d) && d.Outcome != engine.NoOpinion
	})
}
