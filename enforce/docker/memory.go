package docker

import (
	"context"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
)

// Memory remembers what was allowed, for times when the registry or a trust server cannot be asked. It is safe for concurrent use. What
// stands in Decided is all that counts: another policy, or other trust material, has another Basis.
type Memory interface {
	// Known reports whether exactly d was kept, and has not ended at now. Ends of d does not count; that of what was kept does.
	Known(ctx context.Context, d Decided, now time.Time) bool
	// Keep remembers d. It may forget others. To keep what is kept already costs little.
	Keep(ctx context.Context, d Decided) error
	// Forget forgets what was kept of d's name and content, on whatever basis: it is no longer allowed. To forget what is not kept costs
	// nothing.
	Forget(ctx context.Context, d Decided) error
}

// Decided is something that was allowed.
type Decided struct {
	Name    string       // canonical reference that was decided about
	Content image.Digest // ID of the image on this host that was found to be it
	Basis   string       // of the verdict; never empty
	Ends    time.Time    // when the proofs end; zero: they do not

	Policy, Rule string   // that allowed it, and
	Signers      []string // who vouched: for people, they are not compared
}

// decidedOf is what a verdict says about an image of this host.
func decidedOf(v *engine.Verdict, l *held) Decided {
	d := Decided{Name: v.Canonical, Content: l.ID, Basis: v.Basis, Ends: v.Ends, Policy: v.Policy, Rule: v.Rule}
	if l.chained && d.Basis != "" {
		d.Basis += " chain" // what was allowed by a digest that the daemon recorded does not count here
	}
	for i := range v.Authorities {
		if at := &v.Authorities[i]; at.Standing == engine.Proved {
			d.Signers = append(d.Signers, at.Signer)
		}
	}
	return d
}

// remember keeps what was allowed. That it cannot is told, and changes nothing.
func (h *Handler) remember(ctx context.Context, d Decided) {
	if h.config.Memory == nil || d.Basis == "" || d.Name == "" || d.Content.IsZero() {
		return
	}
	if err := h.config.Memory.Keep(ctx, d); err != nil {
		h.config.Log.Warn("what was decided could not be kept", "image", d.Name, "error", err.Error())
	}
}

// forget forgets what is denied now: a later outage must not bring it back.
func (h *Handler) forget(ctx context.Context, d Decided) {
	if h.config.Memory == nil || d.Name == "" || d.Content.IsZero() {
		return
	}
	if err := h.config.Memory.Forget(ctx, d); err != nil {
		h.config.Log.Warn("what is denied now could not be forgotten", "image", d.Name, "error", err.Error())
	}
}

// recalled allows what was allowed before on the same basis, where it cannot be told now.
func (c *content) recalled(ctx context.Context, v engine.Verdict, d Decided) engine.Verdict {
	memory := c.handler.config.Memory
	if memory == nil || d.Basis == "" || d.Name == "" || d.Content.IsZero() || !memory.Known(ctx, d, c.handler.config.Now()) {
		return v
	}
	v.Warnings = append(v.Warnings, "could not be told now, and was allowed before: "+v.Reason)
	v.Allowed, v.Outcome = true, engine.Allowed
	v.Reason = "the same content was allowed before, by the same policies and trust material: " + v.Reason
	return v
}
