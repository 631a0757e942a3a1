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
	h := q.hear(p, rule, plan, q.ref.Pinned(child))
	for _, a := range plan.leaves {
		if f := index.said(a); f.standing == Proved {
			h.note(a, f)
		}
	}
	switch p.holds(rule, h) {
	case yes:
		o.Outcome, o.Reason, o.digest, o.child = Allowed, "", child, true
		o.pin = true // the child alone is vouched for, whatever the rule says of digests: the index must not run
		o.Authorities = h.attestations(plan)
		o.rests(h)
	case unknown:
		o.fail(h.unclear(plan))
		o.Authorities = h.attestations(plan)
	default:
		o.deny(fmt.Sprintf("%s; child for %s: %s", o.Reason, rule.Platform, h.refusal(plan)))
	}
}

// manifest returns the manifest of an image.
func (q *question) manifest(ref image.Ref) (trust.Manifest, error) {
	if _, found := q.engine.source.get(ref, ref.Digest(), q.logins.Key()); !found {
		q.cached = false
	}
	m, err := q.engine.source.Manifest(q.deadline(), ref)
	if err == nil && !ref.Digest().Fits(m.Bytes) {
		return trust.Manifest{}, errors.New("the registry sent other bytes than asked for")
	}
	return m, err
}

// takenBack returns the entry that takes back an image's digest, or that of a child through which the image would run. The manifest is
// fetched only if the policy has such entries.
func (q *question) takenBack(p *planned, d image.Digest) (*revocation, error) {
	if !p.byDigest {
		return nil, nil
	}
	if r := p.revokedDigest(d); r != nil || q.made != nil { // what was made on the host is in no registry, and has no children
		return r, nil
	}
	m, err := q.manifest(q.ref.At(d))
	if err != nil {
		return nil, err
	}
	children, _, err := childrenOf(m)
	if err != nil {
		return nil, err
	}
	for _, c := range children {
		if r := p.revokedDigest(c.Digest); r != nil {
			return r, nil
		}
	}
	return nil, nil
}

// indexEntry is a child of an index.
type indexEntry struct {
	Digest   image.Digest
	Platform *platform
}

// platform is where a child of an index runs.
type platform struct{ OS, Architecture, Variant string }

// String returns "os/architecture", and "/variant" behind it where there is one.
func (p *platform) String() string {
	if p.Variant == "" {
		return p.OS + "/" + p.Architecture
	}
	return p.OS + "/" + p.Architecture + "/" + p.Variant
}

// fits reports whether a child is for a platform. One that names no variant is that of all variants.
func (c *indexEntry) fits(platform string) bool {
	if c.Platform == nil || c.Digest.IsZero() {
		return false
	}
	bare := c.Platform.OS + "/" + c.Platform.Architecture
	return platform == bare || platform == bare+"/"+c.Platform.Variant
}

// unrunnable reports whether a child says of itself that it runs nowhere, as attestations beside images do.
func (c *indexEntry) unrunnable() bool {
	return c.Platform != nil && c.Platform.OS == "unknown" && c.Platform.Architecture == "unknown"
}

func isIndexType(mediaType string) bool {
	return mediaType == "application/vnd.oci.image.index.v1+json" || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
}

// childrenOf lists the children of an index; isIndex is false for a manifest that is none.
func childrenOf(m trust.Manifest) (children []indexEntry, isIndex bool, err error) {
	if !isIndexType(m.MediaType) {
		return nil, false, nil
	}
	var doc struct{ Manifests []indexEntry }
	if err := json.Unmarshal(m.Bytes, &doc); err != nil {
		return nil, true, fmt.Errorf("malformed index: %w", err)
	}
	return doc.Manifests, true, nil
}

// childFor returns the digest of the child of an index for a platform; isIndex is false for a manifest that is none.
func childFor(m trust.Manifest, platform string) (child image.Digest, isIndex bool, err error) {
	children, isIndex, err := childrenOf(m)
	if err != nil || !isIndex {
		return image.Digest{}, isIndex, err
	}
	for i := range children {
		if children[i].fits(platform) {
			return children[i].Digest, true, nil
		}
	}
	return image.Digest{}, true, fmt.Errorf("no child with platform %s", platform)
}
