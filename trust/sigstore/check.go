package sigstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// Check implements trust.Authority. Everything that the authority asks of the signature holds for one and the same signature, and
// likewise for each attestation.
func (a *authority) Check(ref image.Ref, ev trust.Evidence, now time.Time) ([]trust.Proof, error) {
	if a.signer == nil || ref.Digest().IsZero() {
		return nil, fmt.Errorf("signature of %s: nothing to check against", ref)
	}
	r, err := a.root(now)
	if err != nil {
		return nil, err
	}
	x := examination{authority: a, ref: ref, now: now, root: r, left: ev.Left, attested: make([][]attested, len(a.demanded)), missed: make([]trust.Refusals, len(a.demanded))}
	for i := range ev.Items {
		x.look(&ev.Items[i])
	}
	proofs, err := x.conclude()
	if err != nil && ev.Left > 0 && trust.IsNo(err) {
		err = trust.Untrusted("%w (the newest %d of %d pieces of evidence were looked at)", err, len(ev.Items), len(ev.Items)+ev.Left)
	}
	return proofs, err
}

// examination is one check under way.
type examination struct {
	*authority
	ref  image.Ref
	now  time.Time
	root *material.Root
	left int // pieces that were not looked at

	signatures []*vouched
	attested   [][]attested     // beside demanded
	refusals   trust.Refusals   // of signatures and of what could not be read
	missed     []trust.Refusals // of attestations, beside demanded
	unclear    error            // why it could not be told of some piece
	doubtful   error            // the same of an attestation of a demanded type
}

// attested is an attestation of a demanded type that is signed by somebody who counts.
type attested struct {
	*vouched
	piece  *piece
	demand *demand
}

func (x *examination) verifier(set *signerSet) *verifier {
	v := &verifier{demands: x.demands, set: set, now: x.now, material: noMaterial}
	if x.root != nil {
		v.material = x.root
	}
	return v
}

// look decodes an item and sorts it in. Items that prove nothing are counted and do no harm to others.
func (x *examination) look(item *trust.Item) {
	key := outcomeKey{item: sum(item)}
	if x.root != nil {
		key.version = x.root.Version
	}
	p, err := x.decoded(key, item)
	if err != nil {
		x.refuse(item, err)
		return
	}
	kind := p.attestation()
	if kind == "" {
		x.lookAtSignature(key, item, p)
		return
	}
	for i := range x.demanded {
		if x.demanded[i].fits(kind) {
			x.lookAtAttestation(key, item, i, p)
		}
	}
}

func (x *examination) lookAtSignature(key outcomeKey, item *trust.Item, p *piece) {
	if !x.signed {
		return
	}
	if err := x.fits(p); err != nil {
		x.refuse(item, err)
		return
	}
	v, err := x.vouch(key, p, x.verifier(x.signer))
	if err != nil {
		x.refuse(item, err)
		return
	}
	x.signatures = append(x.signatures, v)
}

// fits reports whether a signature is about the image and says of it what the policy asks for. Nothing of that is proved yet; a
// signature that does not even say it need not be checked.
func (x *examination) fits(p *piece) error {
	said, err := p.about(x.ref)
	if err != nil {
		return err
	}
	if err := x.fitsRepository(said.repository); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(x.annotations)) {
		want := x.annotations[name]
		switch got := said.annotations[name].(type) {
		case nil:
			return fmt.Errorf("has no annotation %q; %q is wanted", clip(name), clip(want))
		case string:
			if got != want {
				return fmt.Errorf("annotation %q is %q, %q is wanted", clip(name), clip(got), clip(want))
			}
		default:
			return fmt.Errorf("annotation %q is no text; %q is wanted", clip(name), clip(want))
		}
	}
	return nil
}

// fitsRepository compares the repository that a signature names. One that names none fits, unless the policy says exactly which it
// must be.
func (x *examination) fitsRepository(named string) error {
	switch want := x.repository.Want(x.ref); {
	case x.repository.Ignored() || named == want:
		return nil
	case named == "" && x.repository.Exact == "":
		return nil
	case named == "":
		return fmt.Errorf("names no repository; %s is wanted", want)
	default:
		return fmt.Errorf("is for the repository %s, %s is wanted; if that is a mirror, say so by signedRepository", clip(named), want)
	}
}

func (x *examination) lookAtAttestation(key outcomeKey, item *trust.Item, i int, p *piece) {
	d := &x.demanded[i]
	if _, err := p.about(x.ref); err != nil {
		x.missed[i].Add(item.Name, err)
		return
	}
	v, err := x.vouch(key, p, x.verifier(d.signer))
	switch {
	case isUnclear(err):
		x.unclear, x.doubtful = err, err
	case err != nil:
		x.missed[i].Add(item.Name, err)
	default:
		x.attested[i] = append(x.attested[i], attested{v, p, d})
	}
}

// refuse notes why an item proves nothing.
func (x *examination) refuse(item *trust.Item, err error) {
	if isUnclear(err) {
		x.unclear = err
		return
	}
	x.refusals.Add(item.Name, err)
}

// safely checks a piece; a library that breaks down on foreign bytes has found them malformed.
func safely(v *verifier, p *piece) (found *vouched, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			found, err = nil, fmt.Errorf("malformed: %v", caught)
		}
	}()
	return v.verify(p)
}

func isUnclear(err error) bool {
	var u *unclear
	return errors.As(err, &u)
}
