package registry

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// byDigest asks the mirrors of ref's registry in their order and then the registry itself, until one has what is asked for. ask
// verifies the digest of what it gets, so that it does not matter who served it.
//
// Only the registry's own error counts: a mirror that lacks something, or fails, says nothing about what exists. So a mirror can
// turn neither an outage into "does not exist" nor the reverse. The mirrors' errors are part of the text.
func (c *Client) byDigest(ctx context.Context, ref image.Ref, ask func(context.Context, *session) error) error {
	var mirrors []image.Ref
	if h := c.settingsOf(ref.Registry()); h != nil {
		mirrors = h.mirrors
	}
	var before []string
	for i, m := range mirrors {
		err := c.askMirror(ctx, len(mirrors)-i, c.mirrorSession(m, ref), ask)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("mirror %s: %w", m.Registry(), err)
		}
		before = append(before, fmt.Sprintf("mirror %s: %v", m.Registry(), err))
	}
	err := ask(ctx, c.session(ctx, ref, false))
	if err == nil || len(before) == 0 {
		return err
	}
	return fmt.Errorf("%w (before that, %s)", err, strings.Join(before, "; "))
}

// askMirror gives a mirror its share of the time that is left, so that a slow one does not use up the registry's.
func (c *Client) askMirror(ctx context.Context, mirrorsLeft int, s *session, ask func(context.Context, *session) error) error {
	if deadline, has := ctx.Deadline(); has {
		share := deadline.Sub(c.now()) / time.Duration(mirrorsLeft+1)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, share, errNoAnswer)
		defer cancel()
	}
	return ask(ctx, s)
}

// mirrorSession returns the session for ref's repository at a mirror, whose own name ends in a placeholder (see readMirrors). A mirror is the
// operator's: it gets no login of whoever asks.
func (c *Client) mirrorSession(mirror, ref image.Ref) *session {
	prefix := strings.TrimSuffix(mirror.Repository(), "x/x")
	return c.sessionOf(mirror.Registry(), path.Join(prefix, ref.Repository()), false, trust.Logins{})
}
