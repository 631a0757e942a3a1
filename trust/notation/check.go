package notation

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Check implements trust.Authority. One signature that holds suffices; where none does and of one it cannot be told, nobody can tell.
func (a *authority) Check(ref image.Ref, ev trust.Evidence, now time.Time) ([]trust.Proof, error) {
	learned := learn(ev.Items)
	var proofs []trust.Proof
	var refused trust.Refusals
	var unclear error
	for _, item := range ev.Items {
		if isAnswer(item.MediaType) {
			continue
		}
		proof, err := a.checkItem(ref, item, learned, now)
		switch {
		case err == nil:
			proofs = append(proofs, proof)
		case trust.IsNo(err):
			refused.Add(item.Name, err)
		case unclear == nil:
			unclear = fmt.Errorf("signature %s: %w", item.Name, err)
		}
	}
	switch {
	case len(proofs) > 0:
		return proofs, nil
	case unclear != nil:
		return nil, unclear
	case refused.Total() == 0:
		return nil, trust.Untrusted("there is no signature in the evidence")
	}
	if ev.Left > 0 {
		return nil, trust.Untrusted("%s; %d more were not looked at", refused.Text("signature"), ev.Left)
	}
	return nil, trust.Untrusted("%s", refused.Text("signature"))
}

func (a *authority) checkItem(ref image.Ref, item trust.Item, learned answers, now time.Time) (trust.Proof, error) {
	if item.MediaType == typeUnreadable {
		return trust.Proof{}, trust.Untrusted("%s", item.Bytes)
	}
	s, err := open(item.MediaType, item.Bytes)
	if err != nil {
		return trust.Proof{}, trust.Untrusted("%w", err)
	}
	anchor, err := a.authentic(ref, s)
	if err != nil {
		return trust.Proof{}, trust.Untrusted("%w", err)
	}
	var ends time.Time
	if end, err := checkExpiry(s, now); err == nil {
		ends = sooner(ends, end)
	} else if a.expiry == enforce {
		return trust.Proof{}, err
	}
	when, err := a.time(s, now)
	if err != nil && a.timestamp == enforce {
		return trust.Proof{}, err
	}
	ends = sooner(ends, when.ends)
	if a.revocation != insecureSkip {
		end, err := learned.checkAll(s.chain, anchor, when, now)
		if err != nil && a.revocation == enforce {
			return trust.Proof{}, err
		}
		ends = sooner(ends, end)
	}
	return trust.Proof{
		Digest: ref.Digest(), Signers: []trust.Signer{signer(s, when)}, SignedAt: when.signed, Expires: ends, Weakened: slices.Clone(a.weakened),
	}, nil
}

// authentic checks what does not depend on the time: the image, and who signed. It returns the place in the chain of the certificate that
// a trust store has; of several the one that is the farthest from the leaf, so that the most is looked at for revocation.
func (a *authority) authentic(ref image.Ref, s *signed) (anchor int, err error) {
	if s.digest.IsZero() || s.digest != ref.Digest() {
		return 0, fmt.Errorf("is about another image, %s", s.digest)
	}
	for key, value := range a.annotations {
		if got, found := s.annotations[key]; !found || got != value {
			return 0, fmt.Errorf("was not signed with the annotation %s=%s", clip(key), clip(value))
		}
	}
	anchor = -1
	for i, c := range s.chain {
		if slices.ContainsFunc(a.stores[s.scheme], c.Equal) {
			anchor = i
		}
	}
	if anchor < 0 {
		return 0, fmt.Errorf("signed by unknown authority: no certificate of its chain is in the %s store (root %q)", storeOf(s.scheme), clip(s.chain[len(s.chain)-1].Subject.String()))
	}
	return anchor, a.checkIdentity(s.chain[0])
}

func storeOf(s scheme) string {
	if s == schemeAuthority {
		return "signingAuthority"
	}
	return "ca"
}

func checkExpiry(s *signed, now time.Time) (time.Time, error) {
	if !s.expiry.IsZero() && !now.Before(s.expiry) {
		return time.Time{}, trust.Untrusted("signature expired at %s; sign again", stamp(s.expiry))
	}
	return s.expiry, nil
}

func signer(s *signed, when moment) trust.Signer {
	made := trust.Signer{Chain: make([]trust.Certificate, len(s.chain)), SignedAt: when.signed, Signature: s.signature}
	for i, c := range s.chain {
		made.Chain[i] = trust.DescribeCertificate(c)
	}
	leaf := &made.Chain[0]
	made.Key = leaf.Key
	if leaf.Subject != "" {
		// The certificate's issuer is the provider of the identity: one subject with two keys is one signer.
		made.Identity = trust.Identity{Issuer: leaf.Issuer, Subject: leaf.Subject}
		made.Names = []string{leaf.Subject}
	}
	for _, c := range when.by {
		made.Under = append(made.Under, trust.Fingerprint(c.RawSubjectPublicKeyInfo))
	}
	return made
}

// moment is when a signature was made, and until when that is enough.
type moment struct {
	signed time.Time           // by a trusted clock; zero: nobody knows
	ends   time.Time           // the first instant at which the certificates no longer hold; zero: they need not
	by     []*x509.Certificate // the chain of the time stamp's authority
}

// time checks that the certificates were valid when the signature was made, by a clock that counts, or are valid now.
func (a *authority) time(s *signed, now time.Time) (moment, error) {
	if s.scheme == schemeAuthority {
		if s.claimedAt.After(now) {
			return moment{}, trust.Untrusted("signed at %s, and it is %s", stamp(s.claimedAt), stamp(now))
		}
		for _, c := range s.chain {
			if s.claimedAt.Before(c.NotBefore) || !s.claimedAt.Before(c.NotAfter) {
				return moment{}, trust.Untrusted("%w at %s, when it was signed", outside(c), stamp(s.claimedAt))
			}
		}
		return moment{signed: s.claimedAt}, nil
	}
	ends, err := validNow(s.chain, now)
	if len(a.tsa) == 0 || a.afterExpiry && err == nil {
		return moment{ends: ends}, err
	}
	stamped, err := a.stamp(s)
	if err != nil {
		return moment{}, trust.Untrusted("time stamp: %w", err)
	}
	if stamped.at.After(now) {
		return moment{}, trust.Untrusted("time stamp: made at %s, and it is %s", stamp(stamped.at), stamp(now))
	}
	return moment{signed: stamped.at, by: stamped.chain}, nil
}

func validNow(chain []*x509.Certificate, now time.Time) (ends time.Time, err error) {
	for _, c := range chain {
		if now.Before(c.NotBefore) || !now.Before(c.NotAfter) {
			return time.Time{}, trust.Untrusted("%w at %s; sign again, or with a time stamp", outside(c), stamp(now))
		}
		ends = sooner(ends, c.NotAfter)
	}
	return ends, nil
}

func outside(c *x509.Certificate) error {
	return fmt.Errorf("certificate %q is valid from %s to %s, not", clip(c.Subject.String()), stamp(c.NotBefore), stamp(c.NotAfter))
}

// sooner returns the earlier of two times; the zero time is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

var errNoToken = errors.New("there is none, and the policy has a tsa store")
