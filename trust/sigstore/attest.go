package sigstore

import (
	"crypto/sha256"
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

// anyPredicate stands for every type of predicate.
const anyPredicate = "any"

// fits reports whether the demand is for predicates of a type.
func (d *demand) fits(predicateType string) bool {
	return d.predicateType == predicateType || d.predicateType == anyPredicate
}

// what names what is demanded, for messages.
func (d *demand) what() string {
	if d.predicateType == anyPredicate {
		return "attestation"
	}
	return "attestation " + d.predicateType
}

// maxAlternatives bounds the ways to satisfy an authority that are told one by one: as many as the pieces that are looked at can make of
// signatures and one attestation. Beyond it a way may be missed, never invented.
const maxAlternatives = trust.MaxSignatures * trust.MaxSignatures

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

// distinct takes copies of one attestation for one, at the earliest time of them all: anybody can have an old signature time-stamped anew,
// or leave out what tells its time.
func distinct(candidates []attested) []attested {
	type name struct {
		message [sha256.Size]byte
		signer  string
	}
	found := map[name]int{}
	var left []attested
	for _, c := range candidates {
		n := name{sha256.Sum256(c.piece.message), c.signer.Key}
		i, again := found[n]
		switch {
		case !again:
			found[n] = len(left)
			left = append(left, c)
		case left[i].age.IsZero(), !c.age.IsZero() && c.age.Before(left[i].age):
			left[i] = c
		}
	}
	return left
}

// latest returns the attestation with the latest trusted time. One without a trusted time may be the latest too, so it stays.
func latest(candidates []attested) []attested {
	var newest time.Time
	for _, c := range candidates {
		if c.age.After(newest) {
			newest = c.age
		}
	}
	var left []attested
	for _, c := range candidates {
		if c.age.IsZero() || c.age.Equal(newest) {
			left = append(left, c)
		}
	}
	return left
}

// satisfied reports whether one attestation is young enough and its predicate fits.
func (d *demand) satisfied(x *examination, c attested) error {
	if d.maxAge > 0 {
		switch {
		case c.age.IsZero() && c.signedAt.IsZero():
			return errors.New("no trusted time says how old it is")
		case c.age.IsZero() || renewable(c.piece.cert):
			return errors.New("an old signature by a lasting key can be stamped and logged anew, so that nothing says how old it is; compare a time in the predicate by a condition")
		case x.now.Sub(c.age) >= d.maxAge:
			return fmt.Errorf("signed at %s, more than %s ago", stamp(c.age), d.maxAge)
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
	if x.doubtful != nil && x.exhaustive() {
		return nil, x.doubtful // it might be the latest
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
	if x.refusals.Total() > 0 {
		return trust.Untrusted("%s", x.refusals.Text("signature"))
	}
	return trust.Untrusted("there are attestations and no signature; sign the image, or write signature: none if attestations suffice")
}

func (x *examination) waysFor(i int) ([][]attested, error) {
	d := &x.demanded[i]
	if x.left > 0 && d.choice != chooseAny {
		// Which is the latest, and whether all satisfy, cannot be told of a part; whoever may push could choose the part.
		return nil, trust.Untrusted("%s: more evidence than is looked at, so that the latest of it cannot be told; remove old evidence, or write select: any", d.what())
	}
	if len(x.attested[i]) == 0 {
		none := "no attestation"
		if d.predicateType != anyPredicate {
			none += " of type " + d.predicateType
		}
		switch {
		case x.missed[i].Total() > 0:
			return nil, trust.Untrusted("%s", x.missed[i].Text(d.what()))
		case x.refusals.Total() > 0 && !x.signed:
			return nil, trust.Untrusted("%s; %s", none, x.refusals.Text("piece of evidence"))
		}
		return nil, trust.Untrusted("%s", none)
	}
	ways, err := d.choose(x, distinct(x.attested[i]))
	if err != nil {
		return nil, trust.Untrusted("%s: %s", d.what(), trust.Plain(err.Error()))
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
		if a.demand.maxAge > 0 && !a.age.IsZero() {
			sooner(&p, a.age.Add(a.demand.maxAge))
		}
		p.Attested = append(p.Attested, trust.Attested{
			PredicateType: a.piece.statement.PredicateType, Signer: display(&a.signer), SignedAt: a.signedAt,
		})
	}
	return p
}

// include adds a signature to a proof; the first one gives the proof its time and log entries.
func include(p *trust.Proof, v *vouched) {
	if len(p.Signers) == 0 {
		p.SignedAt, p.Log = v.signedAt, v.log
	}
	signer := v.signer
	signer.SignedAt = v.signedAt
	p.Signers = append(p.Signers, signer)
	sooner(p, v.until)
	for _, w := range v.weakened {
		if !slices.Contains(p.Weakened, w) {
			p.Weakened = append(p.Weakened, w)
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
