package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
)

// Builders remembers who had images built on this host. It is safe for concurrent use.
type Builders interface {
	// Builder returns the name in the client certificate of who had an image built; "" if nobody knows.
	Builder(id image.Digest) string
	// Built remembers that somebody had images built, in the place of whoever was known.
	Built(ctx context.Context, user string, ids ...image.Digest) error
}

// Labels in which builders write what an image was built on (OCI image specification, annotations.md).
const (
	baseName   = "org.opencontainers.image.base.name"
	baseDigest = "org.opencontainers.image.base.digest"
)

// wantsBuilders reports whether policies ask who had images built.
func (h *Handler) wantsBuilders() bool {
	if h.config.Local == nil {
		return false
	}
	_, builders := h.config.Local()
	return builders
}

// local returns what rules about images that were made on this host are told of one; nil if no rule asks, or if it was not made here as far as
// the daemon knows: it recorded the digest under which it pulled or pushed the image. With containerd's store it writes a digest beside every
// name, so that it cannot be told there.
func (h *Handler) local(l *held) *engine.Local {
	if h.config.Local == nil || l.containerd || len(l.Digests) > 0 {
		return nil
	}
	rules, builders := h.config.Local()
	if !rules {
		return nil
	}
	facts := &engine.Local{Labels: l.Labels, Layers: l.Layers, Bases: hints(l.Labels)}
	if builders && h.config.Builders != nil {
		facts.Builder = h.config.Builders.Builder(l.ID)
	}
	return facts
}

// hints returns the references at which the base of an image may be found, by its labels.
func hints(labels map[string]string) []string {
	named, err := image.Parse(labels[baseName])
	if err != nil {
		return nil
	}
	all := []string{named.String()}
	if d, err := image.ParseDigest(labels[baseDigest]); err == nil {
		all = append([]string{named.At(d).String()}, all...)
	}
	return all
}

// madeHere decides about an image by what policies say about those that were made on this host. decided says that this is the verdict: a rule
// about such images matched, or one allowed this image before and cannot be told now.
func (c *content) madeHere(ctx context.Context, req engine.Request, l *held, facts *engine.Local) (v engine.Verdict, decided bool) {
	req.Image, req.Local = Unnamed+"@"+l.ID.String(), facts
	v = c.next.Decide(ctx, req)
	known := decidedOf(&v, l)
	if known.Basis != "" {
		builder := sha256.Sum256([]byte(facts.Builder))
		known.Basis += " local " + hex.EncodeToString(builder[:])
	}
	switch {
	case allowedHere(&v):
		if v.Outcome == engine.Allowed { // else a policy that stops nothing says no, and nobody knows when this ends
			c.handler.remember(ctx, known)
		}
		return v, true
	case v.Outcome == engine.CouldNotTell:
		v = c.recalled(ctx, v, known)
		return v, v.Outcome == engine.Allowed
	case v.Outcome == engine.Denied:
		c.handler.forget(ctx, known)
		return v, v.Local && !v.Allowed
	}
	return v, v.Outcome == engine.Bug
}

// allowedHere reports whether an image is allowed because it was made here: every policy that has a say in it allows it by a rule about such
// images. With fewer, one policy's rule would let pass what another one allows under a name only if somebody vouches.
func allowedHere(v *engine.Verdict) bool {
	counts := false
	for _, d := range append([]engine.Decision{v.Decision}, v.Also...) {
		switch {
		case d.Outcome == engine.NoOpinion, soft(&d) && enforces(v):
		case !d.Local || d.Outcome != engine.Allowed:
			return false
		default:
			counts = true
		}
	}
	return counts && v.Allowed
}

// besideMade adds to a verdict about names why no rule about images that were made here allows the image, and that it could not be told.
func besideMade(v engine.Verdict, made *engine.Verdict) engine.Verdict {
	if v.Allowed || v.Outcome == engine.Bug {
		return v
	}
	if made.Outcome == engine.Allowed {
		v.Reason += "; a rule allows it as an image that was made here, and not every policy has one"
		return v
	}
	if made.Outcome == engine.CouldNotTell {
		v.Outcome = engine.CouldNotTell
	}
	if reason := strings.TrimPrefix(made.Reason, "no rule speaks about "+made.Canonical+"; "); reason != "" { // a line for people has no room for both names
		v.Reason += "; as an image that was made here: " + reason
	}
	return v
}
