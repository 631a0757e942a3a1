package engine

import (
	"time"

	"github.com/assay-dev/assay/trust"
)

func (h *hearing) attestations(plan *plannedRule) []Attestation {
	list := make([]Attestation, len(plan.leaves))
	for i, a := range plan.leaves {
		list[i].attest(a, h.said(a))
	}
	return list
}

func (at *Attestation) attest(a *authority, f *finding) {
	at.Authority, at.Format, at.Standing = a.name, a.format, f.standing
	if f.err != nil {
		at.Reason = f.err.Error()
	}
	if f.standing != Proved {
		return
	}
	p := &f.proofs[0]
	at.SignedAt, at.Expires, at.Log, at.Attested, at.Weakened = p.SignedAt, p.Expires, p.Log, p.Attested, p.Weakened
	at.Digest, at.Proofs = p.Digest, f.proofs
	if f.missed != nil {
		at.Missed = f.missed.Error()
	}
	at.describe(&p.Signers[0])
	for i := range p.Signers[1:] {
		var other Attestation
		other.describe(&p.Signers[i+1])
		at.Cosigners = append(at.Cosigners, Cosigner{Signer: other.Signer, Role: other.Role, Key: other.Key})
	}
}

// describe says who signed: by the identity where there is one, else by the certificate, else by the key.
func (at *Attestation) describe(s *trust.Signer) {
	at.Key, at.Signer, at.Role, at.Signature = s.Key, s.Key, s.Role, s.Signature
	if len(s.Chain) > 0 {
		at.Signer, at.Issuer, at.Serial = s.Chain[0].Subject, s.Chain[0].Issuer, s.Chain[0].Serial
	}
	if len(s.Names) > 1 {
		at.Names = s.Names
	}
	if s.Identity != (trust.Identity{}) {
		at.Signer = s.Identity.Subject
	}
	if s.Identity.Issuer != "" {
		at.Issuer = s.Identity.Issuer
	}
}

// warnings adds what the authorities that were heard have to say beside their answers.
func (h *hearing) warnings(list []string, now time.Time) []string {
	for i, a := range h.leaves {
		if h.found[i] != nil && h.found[i].standing != Unasked {
			list = appendNew(list, a.warnings(now))
		}
	}
	return list
}
