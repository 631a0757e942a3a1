package sigstore

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/statement"
)

// choice says which of several attestations must satisfy a demand. The zero value is the latest.
type choice int

const (
	chooseLatest choice = iota
	chooseAny
	chooseAll
)

// demand is an attestation that the image must have.
type demand struct {
	predicateType string
	signer        *signerSet
	choice        choice
	maxAge        time.Duration // 0: any
	conditions    statement.Conditions
}

// maxAlternatives bounds the ways to satisfy an authority that are told one by one. Beyond it a way may be missed, never invented.
const maxAlternatives = 64

// choose returns the ways in which attestations satisfy the demand: each is a set of attestations that together do.
func (d *demand) choose(x *examination, candidates []attested) ([][]attested, error) {
	switch d.choice {
	case chooseAny:
		return d.chooseAny(x, candidates)
	case chooseAll:
	default:
		candidates = latest(candidates)
	}
	for _, c := range candidates {
		if err := d.satisfied(x, c); err != nil {
			return nil, err
		}
	}
	return [][]attested{candidates}, nil
}

func (d *demand) chooseAny(x *examination, candidates []attested) (ways [][]attested, first error) {
	for _, c := range candidates {
		err := d.satisfied(x, c)
		switch {
		case err == nil:
			ways = append(ways, []attested{c})
		case first == nil:
			first = err
		}
	}
	if len(ways) > 0 {
		return ways, nil
	}
	if len(candidates) > 1 {
		first = fmt.Errorf("none of %d does: %w", len(candidates), first)
	}
	return nil, first
}

// latest returns the attestation with the latest trusted time. One without a trusted time may be the latest too, so it stays.
func latest(candidates []attested) []attested {
	var newest time.Time
	for _, c := range candidates {
		if c.signedAt.After(newest) {
			newest = c.signedAt
		}
	}
	var left []attested
	for _, c := range candidates {
		if c.signedAt.IsZero() || c.signedAt.Equal(newest) {
			left = append(left, c)
		}
	}
	return left
}

// satisfied reports whether one attestation is young enough and its predicate fits.
func (d *demand) satisfied(x *examination, c attested) error {
	if d.maxAge > 0 {
		switch {
		case c.signedAt.IsZero():
			return errors.New("no trusted time says how old it is")
		case x.now.Sub(c.signedAt) >= d.maxAge:
			return fmt.Errorf("signed at %s, more than %s ago", stamp(c.signedAt), d.maxAge)
		}
	}
	return d.conditions.Check(statement.Vars{Statement: c.piece.statement, Image: x.ref, Now: x.now})
}

// conclude makes proofs of what was found: every signature that counts, with every way to satisfy the demands.
func (x *examination) conclude() ([]trust.Proof, error) {
	ways := [][]attested{nil}
	var missing error
	for i := range x.demanded {
		more, err := x.waysFor(i)
		if err != nil {
			missing = err
			break
		}
		ways = product(ways, more)
	}
	if missing == nil && (!x.signed || len(x.signatures) > 0) {
		return x.proofs(ways), nil
	}
	if x.unclear != nil {
		return nil, x.unclear
	}
	if x.signed && len(x.signatures) == 0 {
		return nil, x.unsigned()
	}
	return nil, missing
}

func (x *examination) unsigned() error {
	if x.refusals.total > 0 {
		return trust.Untrusted("%s", x.refusals.String("signature"))
	}
	return trust.Untrusted("there are attestations and no signature; sign the image, or write signature: none if attestations suffice")
}

func (x *examination) waysFor(i int) ([][]attested, error) {
	d := &x.demanded[i]
	if x.left > 0 && d.choice != chooseAny {
		// Which is the latest, and whether all satisfy, cannot be told of a part; whoever may push could choose the part.
		return nil, trust.Untrusted("attestation %s: more evidence than is looked at, so that the latest of it cannot be told; remove old evidence, or write select: any", d.predicateType)
	}
	if len(x.attested[i]) == 0 {
		switch {
		case x.missed[i].total > 0:
			return nil, trust.Untrusted("%s", x.missed[i].String("attestation "+d.predicateType))
		case x.refusals.total > 0 && !x.signed:
			return nil, trust.Untrusted("no attestation of type %s; %s", d.predicateType, x.refusals.String("piece of evidence"))
		}
		return nil, trust.Untrusted("no attestation of type %s", d.predicateType)
	}
	ways, err := d.choose(x, x.attested[i])
	if err != nil {
		return nil, trust.Untrusted("attestation %s: %w", d.predicateType, err)
	}
	return ways, nil
}

// product combines ways to satisfy one demand with those for another.
func product(ways, more [][]attested) [][]attested {
	var all [][]attested
	for _, w := range ways {
		for _, m := range more {
			if len(all) == maxAlternatives {
				return all
			}
			all = append(all, append(w[:len(w):len(w)], m...))
		}
	}
	return all
}

func (x *examination) proofs(ways [][]attested) []trust.Proof {
	if !x.signed {
		proofs := make([]trust.Proof, 0, len(ways))
		for _, w := range ways {
			proofs = append(proofs, x.proof(nil, w))
		}
		return proofs
	}
	var proofs []trust.Proof
	for _, s := range x.signatures {
		for _, w := range ways {
			if len(proofs) == maxAlternatives {
				return proofs
			}
			proofs = append(proofs, x.proof(s, w))
		}
	}
	return proofs
}

func (x *examination) proof(signature *vouched, attestations []attested) trust.Proof {
	p := trust.Proof{Digest: x.ref.Digest()}
	if x.repository.Ignored() {
		p.Weakened = append(p.Weakened, "signedRepository")
	}
	if signature != nil {
		include(&p, signature)
	}
	for _, a := range attestations {
		include(&p, a.vouched)
		p.Attested = append(p.Attested, trust.Attested{
			PredicateType: a.piece.statement.PredicateType, Signer: display(&a.signer), SignedAt: a.signedAt,
		})
	}
	for i := range x.demanded {
		x.demanded[i].limit(&p, attestations)
	}
	return p
}

// include adds a signature to a proof; the first one gives the proof its time and log entries.
func include(p *trust.Proof, v *vouched) {
	if len(p.Signers) == 0 {
		p.SignedAt, p.Log = v.signedAt, v.log
	}
	p.Signers = append(p.Signers, v.signer)
	sooner(p, v.until)
	for _, w := range v.weakened {
		if !slices.Contains(p.Weakened, w) {
			p.Weakened = append(p.Weakened, w)
		}
	}
}

// limit ends a proof when the attestations for a demand are too old.
func (d *demand) limit(p *trust.Proof, attestations []attested) {
	if d.maxAge == 0 {
		return
	}
	for _, a := range attestations {
		if a.piece.statement.PredicateType == d.predicateType {
			sooner(p, a.signedAt.Add(d.maxAge))
		}
	}
}

func sooner(p *trust.Proof, end time.Time) {
	if !end.IsZero() && (p.Expires.IsZero() || end.Before(p.Expires)) {
		p.Expires = end
	}
}

func display(s *trust.Signer) string {
	if s.Identity.Subject != "" {
		return s.Identity.Subject
	}
	return s.Key
}
