package engine

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// tryChild decides an index that was denied by its child for the rule's platform, if the rule names one. Evidence for the index
// proves the child too, since the index names it by digest; evidence for the child proves the child only, and then the child is what
// may run.
func (q *question) tryChild(p *planned, rule *policy.Rule, plan *plannedRule, o *opinion, index *hearing) {
	if rule.Platform == "" {
		return
	}
	m, err := q.manifest(q.ref.At(o.digest))
	if err != nil {
		o.fail(fmt.Errorf("%s: %w", q.ref, err))
		return
	}
	child, isIndex, err := childFor(m, rule.Platform)
	if !isIndex {
		return
	}
	if err != nil {
		o.deny(fmt.Sprintf("%v in index %s; %s", err, q.ref, o.Reason))
		return
	}
	if r := p.revokedDigest(child); r != nil {
		o.deny(r.String())
		return
	}
	h := q.hear(p, rule, plan, q.ref.At(child))
	for _, a := range plan.leaves {
		if f := index.said(a); f.standing == Proved {
			h.note(a, f)
		}
	}
	switch p.holds(rule, h) {
	case yes:
		o.Outcome, o.Reason, o.digest, o.child = Allowed, "", child, true
		o.Authorities = h.attestations(plan, child)
	case unknown:
		o.fail(h.unclear(plan))
		o.Authorities = h.attestations(plan, child)
	default:
		o.deny(fmt.Sprintf("%s; child for %s: %s", o.Reason, rule.Platform, h.refusal(plan)))
	}
}

// manifest fetches the manifest of an image; a panic on the way is a bug, not a crash.
func (q *question) manifest(ref image.Ref) (trust.Manifest, error) {
	m, err := q.engine.source.Manifest(q.deadline(), ref)
	if err == nil && !ref.Digest().Fits(m.Bytes) {
		return trust.Manifest{}, errors.New("the registry sent other bytes than asked for")
	}
	return m, err
}

// childFor returns the digest of the child of an index for a platform; isIndex is false for a manifest that is none.
func childFor(m trust.Manifest, platform string) (child image.Digest, isIndex bool, err error) {
	var doc struct {
		Manifests []struct {
			Digest   image.Digest
			Platform *struct{ OS, Architecture, Variant string }
		}
	}
	switch m.MediaType {
	case "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json":
	default:
		return image.Digest{}, false, nil
	}
	if err := json.Unmarshal(m.Bytes, &doc); err != nil {
		return image.Digest{}, true, fmt.Errorf("malformed: %w", err)
	}
	for _, c := range doc.Manifests {
		if c.Platform == nil || c.Digest.IsZero() {
			continue
		}
		bare := c.Platform.OS + "/" + c.Platform.Architecture
		if platform == bare || platform == bare+"/"+c.Platform.Variant {
			return c.Digest, true, nil
		}
	}
	return image.Digest{}, true, fmt.Errorf("no child with platform %s", platform)
}
