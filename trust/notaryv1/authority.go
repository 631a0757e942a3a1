package notaryv1

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// authority is the section of a policy, ready to check.
type authority struct {
	format    *format
	store     Store  // of what was seen
	namespace string // whose policy it is of; "": the installation's
	server    string
	naming    naming
	anchor    anchor
	trustsAs  string // the anchor's name
	selects   selection
	needs     []string
	grace     time.Duration
	warnings  []string
	weakened  []string
	verified  *otter.Cache[verifiedKey, outcome]
}

// verifiedKey names evidence for a repository.
type verifiedKey struct {
	gun      string
	evidence [32]byte
}

// outcome is what came of verifying trust data, whatever the time is.
type outcome struct {
	repo *repository
	err  error
	size int
}

var (
	_ trust.Authority  = (*authority)(nil)
	_ trust.Resolver   = (*authority)(nil)
	_ trust.Rememberer = (*authority)(nil)
	_ trust.Warner     = (*authority)(nil)
	_ trust.Located    = (*authority)(nil)
	_ trust.Aging      = (*authority)(nil)
)

// Find implements trust.Authority. What was seen before costs one request, for the timestamp; a repository that was never seen costs one
// for each of its files that are needed. A server that is down is bridged with what is kept, for as long as the policy says.
func (a *authority) Find(ctx context.Context, src trust.Source, ref image.Ref) (trust.Evidence, error) {
	if a.format == nil {
		return trust.Evidence{}, fmt.Errorf("trust data of %s: nothing to check against", ref)
	}
	server, ok := src.(trust.TrustServer)
	if !ok {
		return trust.Evidence{}, fmt.Errorf("trust data of %s: %w", ref, errNoServer)
	}
	key, err := a.key(ref)
	if err != nil {
		return trust.Evidence{}, fmt.Errorf("trust data of %s: %w", ref, err)
	}
	// Whoever asks about the same repository meanwhile, with the same logins and what was seen before in the same store, gets the same answer.
	name := strings.Join(append([]string{a.namespace, key.String(), key.Anchor, a.grace.String(), trust.LoginsOf(ctx).Key()}, a.needs...), "\n")
	return a.format.asking.do(ctx, name, func(ctx context.Context) (trust.Evidence, error) {
		return a.update(ctx, server, key)
	})
}

func (a *authority) key(ref image.Ref) (Key, error) {
	gun, err := a.naming.gun(ref)
	return Key{Server: a.server, GUN: gun, Anchor: a.trustsAs}, err
}

// update brings the trust data of one repository up to date, or bridges an outage.
func (a *authority) update(ctx context.Context, server trust.TrustServer, key Key) (trust.Evidence, error) {
	kept, err := a.load(ctx, key)
	if err != nil {
		return trust.Evidence{}, fmt.Errorf("what was seen of %s: %w", key, err)
	}
	u := &update{server: server, key: key, needs: a.needs, anchor: a.anchor, reader: a.format.reader, kept: kept}
	own := slices.ContainsFunc(a.Servers(), func(host string) bool { return !trust.LoginsOf(ctx).For(host, "").IsZero() })
	if a.grace > 0 && !own && kept.Seen.Add(a.grace).After(a.format.now()) {
		// A server that hangs must not use up the asker's time where something stands ready.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, bridgeAfter, errSlow)
		defer cancel()
	}
	switch err := fault(ctx, u.run(ctx)); {
	case err == nil:
		a.format.outages.end(key.Server)
		return u.evidence()
	case !errors.Is(err, trust.ErrUnavailable):
		return trust.Evidence{}, err
	default:
		return a.bridge(key, kept, own, err)
	}
}

// errSlow says that a server did not answer in the time that it gets where what is kept can stand for it.
var errSlow = fmt.Errorf("no answer within %s: %w", bridgeAfter, trust.ErrUnavailable)

// fault returns what was wrong with an update: that the server is too slow, where that ended it.
func fault(ctx context.Context, err error) error {
	if err != nil && context.Cause(ctx) == errSlow {
		return errSlow
	}
	return err
}

// bridge decides whether what is kept may stand for a server that is down; not for somebody with a login of their own, since nobody knows
// whether it would have opened what is kept.
func (a *authority) bridge(key Key, kept State, own bool, down error) (trust.Evidence, error) {
	down = fmt.Errorf("client is offline: %s: %w", key.host(), down)
	now, until := a.format.now(), kept.Seen.Add(a.grace)
	switch {
	case a.grace <= 0:
		return trust.Evidence{}, down
	case own:
		return trust.Evidence{}, fmt.Errorf("%w; what is kept was perhaps not seen with the login that asks", down)
	case !kept.covers(a.needs, a.format.reader):
		return trust.Evidence{}, fmt.Errorf("%w; nothing is kept that could stand for it", down)
	case !now.Before(until), now.Before(kept.Seen.Add(-seenEvery)):
		return trust.Evidence{}, fmt.Errorf("%w; it last answered at %s, and offlineGrace is %s", down, kept.Seen.UTC().Format(time.RFC3339), a.grace)
	}
	a.format.outages.begin(key, kept.Seen, until)
	return kept.bridge(a.grace)
}

// Check implements trust.Authority. It goes through the whole workflow of a TUF client, unless the very same bytes were verified before.
func (a *authority) Check(ref image.Ref, ev trust.Evidence, now time.Time) ([]trust.Proof, error) {
	if a.format == nil || ref.Digest().IsZero() {
		return nil, fmt.Errorf("trust data of %s: nothing to check against", ref)
	}
	repo, end, err := a.read(ref, ev, now)
	if err != nil {
		return nil, err
	}
	proofs, err := a.selects.vouches(repo, ref, now)
	if err != nil {
		return nil, err
	}
	for i := range proofs {
		proofs[i].Expires, proofs[i].Weakened = soonest(proofs[i].Expires, end), a.weakened
	}
	return proofs, nil
}

// Resolve implements trust.Resolver: the digest for which the tag is signed.
func (a *authority) Resolve(ctx context.Context, src trust.Source, ref image.Ref, now time.Time) (image.Digest, error) {
	if ref.Tag() == "" {
		return image.Digest{}, trust.Untrusted("%s: there is no tag that could name a digest", ref)
	}
	ev, err := a.Find(ctx, src, ref)
	if err != nil {
		return image.Digest{}, err
	}
	if err := a.Remember(ctx, ref, ev, now); err != nil {
		return image.Digest{}, err
	}
	repo, _, err := a.read(ref, ev, now)
	if err != nil {
		return image.Digest{}, err
	}
	w, err := a.selects.word(repo, ref.Tag())
	if err != nil {
		return image.Digest{}, err
	}
	if d := w.target.preferred(); !d.IsZero() {
		return d, nil
	}
	return image.Digest{}, trust.Untrusted("%s is signed for no digest that is known here", ref)
}

// read returns what evidence says of ref's repository at a time, and when that ends.
func (a *authority) read(ref image.Ref, ev trust.Evidence, now time.Time) (*repository, time.Time, error) {
	repo, err := a.verify(ref, ev)
	if err != nil {
		return nil, time.Time{}, err
	}
	end, err := repo.at(now)
	return repo, end, err
}

// verify verifies evidence once.
func (a *authority) verify(ref image.Ref, ev trust.Evidence) (*repository, error) {
	gun, err := a.naming.gun(ref)
	if err != nil {
		return nil, trust.Untrusted("trust data of %s: %w", ref, err)
	}
	key := verifiedKey{gun: gun, evidence: nameOf(ev)}
	if known, found := a.verified.GetIfPresent(key); found {
		return known.repo, known.err
	}
	var o outcome
	f, err := sortOut(ev)
	if err != nil {
		o.err = trust.Untrusted("trust data of %s: %w", gun, err)
	} else {
		v := verifier{anchor: a.anchor, gun: gun, needs: a.needs, files: f, reader: a.format.reader}
		o.repo, o.err = v.verify()
	}
	for _, item := range ev.Items {
		o.size += len(item.Bytes)
	}
	a.verified.Set(key, o)
	return o.repo, o.err
}

// Remember implements trust.Rememberer: files that are verified and hold now are kept, and are a floor for all that follow.
func (a *authority) Remember(ctx context.Context, ref image.Ref, ev trust.Evidence, now time.Time) error {
	repo, _, err := a.read(ref, ev, now)
	if err != nil || !repo.past.Seen.IsZero() {
		return nil // what does not hold, or was kept before, is no news
	}
	f, err := sortOut(ev)
	if err != nil {
		return err
	}
	key, err := a.key(ref)
	if err != nil {
		return err
	}
	kept, err := a.load(ctx, key)
	if err == nil && kept.Anchor == key.Anchor && kept.knows(repo, f) && (a.grace <= 0 || now.Sub(kept.Seen) < seenEvery) {
		return nil
	}
	if err == nil {
		err = a.store.Update(ctx, key, func(s State) (State, error) {
			if s.Server == "" {
				s = kept // nothing, or what is adopted
			}
			s.Key = key
			return repo.advance(s, f, now)
		})
	}
	if err != nil {
		return fmt.Errorf("what was seen of %s: %w", key, err)
	}
	return nil
}

// Servers implements trust.Located.
func (a *authority) Servers() []string {
	host := Key{Server: a.server}.host()
	return []string{strings.ToLower(host)}
}

// Warnings implements trust.Warner.
func (a *authority) Warnings(now time.Time) []string {
	all := a.warnings
	if text := a.format.outages.warning(a.server, now); text != "" && a.grace > 0 {
		all = append(all[:len(all):len(all)], text)
	}
	return all
}

// Stale implements trust.Aging: a server that is down while what is kept stands for it.
func (a *authority) Stale(now time.Time) []string {
	if a.grace > 0 && a.format.outages.warning(a.server, now) != "" {
		return []string{"trust data of " + a.server}
	}
	return nil
}
