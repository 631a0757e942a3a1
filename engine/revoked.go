package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// revocation is an entry of a policy's revoked list, ready to be compared.
type revocation struct {
	policy.Revocation
	index  int // in the policy
	issuer trust.DN
}

func newRevocation(doc *policy.Policy, index int, r policy.Revocation) (revocation, error) {
	made := revocation{Revocation: r, index: index}
	if r.Issuer == "" {
		return made, nil
	}
	issuer, err := trust.ParseDN(r.Issuer)
	if err != nil {
		return made, fmt.Errorf("%s: spec.revoked[%d].issuer: %w", doc.Place(r.Line), index, err)
	}
	made.issuer = issuer
	return made, nil
}

// digestAlone reports whether the entry takes back an image, whoever vouches for it.
func (r *revocation) digestAlone() bool {
	return !r.Digest.IsZero() && r.Key == "" && r.Serial == "" && r.Identity == nil && r.After.IsZero()
}

func (r *revocation) String() string {
	switch {
	case r.Reason == "" && r.Line == 0:
		return fmt.Sprintf("revoked (spec.revoked[%d])", r.index)
	case r.Reason == "":
		return fmt.Sprintf("revoked (line %d)", r.Line)
	}
	return "revoked: " + r.Reason
}

// takesBack reports whether the entry is about a proof: all of its fields fit.
func (r *revocation) takesBack(p *trust.Proof) bool {
	switch {
	case !r.Digest.IsZero() && r.Digest != p.Digest:
		return false
	case r.Key == "" && r.Serial == "" && r.Identity == nil:
		return !r.Digest.IsZero() && !r.isBefore(p.SignedAt)
	}
	for i := range p.Signers {
		if r.isAbout(&p.Signers[i]) && !r.isBefore(signedAt(p, i)) {
			return true
		}
	}
	return false
}

// isBefore reports whether the entry speaks about later times only. What was signed at an unknown time may have been signed later.
func (r *revocation) isBefore(t time.Time) bool {
	return !r.After.IsZero() && !t.IsZero() && t.Before(r.After)
}

// signedAt returns when one of a proof's signers signed.
func signedAt(p *trust.Proof, i int) time.Time {
	if t := p.Signers[i].SignedAt; !t.IsZero() || i > 0 {
		return t
	}
	return p.SignedAt
}

func (r *revocation) isAbout(s *trust.Signer) bool {
	if r.Identity != nil && !hasIdentity(s, r.Identity) {
		return false
	}
	return (r.Key == "" || hasKey(s, r.Key)) && (r.Serial == "" || r.hasSerial(s))
}

// hasIdentity looks at all names of a signer: which of them a format calls the subject must not decide whether a revocation is heard.
// Where a format gives no issuer, there is none to compare, and the name alone decides.
func hasIdentity(s *trust.Signer, id *policy.Identity) bool {
	if s.Identity.Issuer != "" && s.Identity.Issuer != id.Issuer {
		return false
	}
	return s.Identity.Subject == id.Subject || slices.Contains(s.Names, id.Subject)
}

// hasKey looks at the keys on whose word a signer's rests as well: whoever holds one of them can make somebody else a signer.
func hasKey(s *trust.Signer, key string) bool {
	if s.Key == key || slices.Contains(s.Under, key) {
		return true
	}
	for i := range s.Chain {
		if s.Chain[i].Key == key {
			return true
		}
	}
	return false
}

// hasSerial compares names by their attributes, whatever their order: a revocation that misses for the order of a name's parts would
// let a revoked signer pass.
func (r *revocation) hasSerial(s *trust.Signer) bool {
	for i := range s.Chain {
		if s.Chain[i].Serial != r.Serial {
			continue
		}
		issuer, err := trust.ParseDN(s.Chain[i].Issuer)
		if err != nil || issuer.SameAttributes(r.issuer) {
			return true
		}
	}
	return false
}

// revokedDigest returns the entry that takes back d for everybody.
func (p *planned) revokedDigest(d image.Digest) *revocation {
	if !p.byDigest || d.IsZero() {
		return nil
	}
	for i := range p.revoked {
		if r := &p.revoked[i]; r.Digest == d && r.digestAlone() {
			return r
		}
	}
	return nil
}

// standing returns the proofs that no entry takes back, and one of the entries that took one back.
func (p *planned) standing(proofs []trust.Proof) (kept []trust.Proof, by *revocation) {
	for i := range proofs {
		r := p.revokes(&proofs[i])
		if r == nil {
			kept = append(kept, proofs[i])
			continue
		}
		by = r
	}
	return kept, by
}

func (p *planned) revokes(proof *trust.Proof) *revocation {
	for i := range p.revoked {
		if p.revoked[i].takesBack(proof) {
			return &p.revoked[i]
		}
	}
	return nil
}
