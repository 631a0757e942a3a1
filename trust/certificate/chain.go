package certificate

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// RSA keys outside these bounds are refused, in bits: shorter ones can be broken, and longer ones are there to make checks costly.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// checkBundle decides whether the leaf of b vouches for ref: it names the image, and a chain leads from it to a root that holds at the
// time that counts.
func (a *authority) checkBundle(ref image.Ref, b Bundle, now time.Time) ([]trust.Proof, error) {
	if err := a.denied.digest(ref.Digest()); err != nil {
		return nil, err
	}
	leaf := b.Certificates[0]
	bySAN, err := a.names.check(leaf, ref)
	if err != nil {
		return nil, err
	}
	codeSigning := bySAN || a.codeSigning
	if codeSigning && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) {
		return nil, trust.Untrusted("%s: lacks the extended key usage code signing; issue it with that (in a Vault role: code_signing_flag=true)", invalid)
	}
	for _, c := range b.Certificates {
		if err := checkKey(c); err != nil {
			return nil, trust.Untrusted("%w", err)
		}
	}
	signedAt, err := a.signingTime(b, now)
	if err != nil {
		return nil, err
	}
	chains, err := a.chains(b.Certificates, a.chainTime(signedAt, now), codeSigning)
	if err != nil {
		return nil, err
	}
	var proofs []trust.Proof
	var refused refusals
	for _, chain := range chains {
		expires, err := a.checkChain(leaf, chain, now)
		if err != nil {
			refused.add(err)
			continue
		}
		proofs = append(proofs, trust.Proof{
			Digest: ref.Digest(), Signers: []trust.Signer{a.signer(chain)}, SignedAt: signedAt, Expires: expires, Weakened: slices.Clone(a.weakened),
		})
	}
	if len(proofs) == 0 {
		return nil, refused.err
	}
	return proofs, nil
}

// checkKey refuses keys that are too weak to vouch or too large to check.
func checkKey(c *x509.Certificate) error {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil
	}
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("certificate %q: RSA key of %d bits, want %d to %d", clip(c.Subject.String()), bits, minRSABits, maxRSABits)
	}
	return nil
}

// signingTime returns when the certificate was issued, or the time of its time stamp where the authority asks for one.
func (a *authority) signingTime(b Bundle, now time.Time) (time.Time, error) {
	issued := b.Certificates[0].NotBefore
	if a.ignoreDates {
		return issued, nil
	}
	if issued.After(now) {
		return time.Time{}, trust.Untrusted("certificate is not valid before %s, and it is %s", stamp(issued), stamp(now))
	}
	if a.validity != validAtTimestamp {
		return issued, nil
	}
	return a.timestamp(b, now)
}

// chainTime returns when the chain must be valid.
func (a *authority) chainTime(signedAt, now time.Time) time.Time {
	if a.validity == validNow || a.ignoreDates {
		return now
	}
	return signedAt
}

// chains returns the chains from the first of certs to a root of the authority that are valid at a time.
func (a *authority) chains(certs []*x509.Certificate, at time.Time, codeSigning bool) ([][]*x509.Certificate, error) {
	if a.ignoreDates {
		certs = stretchAll(certs)
	}
	intermediates := a.intermediates
	if len(certs) > 1 {
		intermediates = intermediates.Clone()
		for _, c := range certs[1:] {
			intermediates.AddCert(c)
		}
	}
	usage := x509.ExtKeyUsageAny
	if codeSigning {
		usage = x509.ExtKeyUsageCodeSigning
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{
		Roots: a.roots, Intermediates: intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return nil, a.explainChain(certs[0], at, err)
	}
	return chains, nil
}

// explainChain turns an error of x509 into a "no": it follows from bytes and a time, so that asking again does not change it.
func (a *authority) explainChain(leaf *x509.Certificate, at time.Time, err error) error {
	var invalidCert x509.CertificateInvalidError
	if errors.As(err, &invalidCert) && invalidCert.Reason == x509.Expired {
		c := invalidCert.Cert
		return trust.Untrusted("certificate %q is valid from %s to %s, not at %s; issue it anew, or see validity in the policy",
			clip(c.Subject.String()), stamp(c.NotBefore), stamp(c.NotAfter), stamp(at))
	}
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		return trust.Untrusted("certificate %q: %w", clip(leaf.Subject.String()), err)
	}
	return trust.Untrusted("Certificate signed by unknown authority, %w (issuer %q)", a.unknownCause(leaf, err), clip(leaf.Issuer.String()))
}

// unknownCause returns what is wrong with the signature, seen from the root that has the issuer's name, else from the first root.
func (a *authority) unknownCause(leaf *x509.Certificate, err error) error {
	root := a.rootCerts[0]
	for _, c := range a.rootCerts {
		if string(c.RawSubject) == string(leaf.RawIssuer) {
			root = c
			break
		}
	}
	if cause := leaf.CheckSignatureFrom(root); cause != nil {
		return cause
	}
	return err
}

// checkChain looks at what x509 does not: length, denials, age and revocation. It returns the first instant at which
// the chain no longer proves anything, or the zero time.
func (a *authority) checkChain(leaf *x509.Certificate, chain []*x509.Certificate, now time.Time) (time.Time, error) {
	if len(chain) > trust.MaxChain {
		return time.Time{}, trust.Untrusted("chain of %d certificates, at most %d are allowed", len(chain), trust.MaxChain)
	}
	if err := a.denied.chain(chain); err != nil {
		return time.Time{}, err
	}
	var expires time.Time
	if a.validity == validNow && !a.ignoreDates {
		for _, c := range chain {
			expires = sooner(expires, c.NotAfter)
		}
	}
	if a.maxAge > 0 {
		end := leaf.NotBefore.Add(a.maxAge)
		if !now.Before(end) {
			return time.Time{}, trust.Untrusted("certificate was issued at %s, more than %s ago; sign again", stamp(leaf.NotBefore), a.maxAge)
		}
		expires = sooner(expires, end)
	}
	if !expires.IsZero() && !now.Before(expires) {
		return time.Time{}, trust.Untrusted("certificate expired at %s", stamp(expires))
	}
	end, err := checkRevocation(a.crls, chain, now)
	if err != nil {
		return time.Time{}, err
	}
	return sooner(expires, end), nil
}

func (a *authority) signer(chain []*x509.Certificate) trust.Signer {
	s := trust.Signer{Chain: make([]trust.Certificate, len(chain))}
	for i, c := range chain {
		described, known := a.described[c]
		if !known {
			described = trust.DescribeCertificate(c)
		}
		s.Chain[i] = described
	}
	s.Key = s.Chain[0].Key
	return s
}

// sooner returns the earlier of two times; the zero time is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// stretch returns a copy of c that is valid at all times; its signature and everything else are checked as before.
func stretch(c *x509.Certificate) *x509.Certificate {
	stretched := *c
	stretched.NotBefore = time.Time{}
	stretched.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	return &stretched
}

func stretchAll(certs []*x509.Certificate) []*x509.Certificate {
	all := make([]*x509.Certificate, len(certs))
	for i, c := range certs {
		all[i] = stretch(c)
	}
	return all
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
