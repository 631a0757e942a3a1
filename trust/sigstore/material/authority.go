package material

import (
	"bytes"
	"crypto/x509"
	"errors"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// CertificateAuthority is a certificate authority whose intermediate was verified when the material was read, so that a leaf costs one
// signature check. Whatever is unusual about an authority or a leaf is left to the library.
type CertificateAuthority struct {
	*root.FulcioCertificateAuthority

	pinned       bool
	intermediate *x509.Certificate
	anchors      *x509.CertPool // the intermediate alone
}

var _ root.CertificateAuthority = (*CertificateAuthority)(nil)

func newAuthority(ca *root.FulcioCertificateAuthority) *CertificateAuthority {
	a := &CertificateAuthority{FulcioCertificateAuthority: ca}
	if len(ca.Intermediates) == 1 && pinnable(ca.Root, ca.Intermediates[0]) {
		a.pinned = true
		a.intermediate = ca.Intermediates[0]
		a.anchors = x509.NewCertPool()
		a.anchors.AddCert(a.intermediate)
	}
	return a
}

// pinnable reports whether an intermediate is one of its root's, and both are so plain that a leaf below can be verified against the
// intermediate alone: whatever the root would still be asked for a longer chain is asked here.
func pinnable(r, intermediate *x509.Certificate) bool {
	if r == nil || bytes.Equal(r.RawSubject, intermediate.RawSubject) || constrained(r) || constrained(intermediate) {
		return false
	}
	if !intermediate.BasicConstraintsValid || !intermediate.IsCA || r.BasicConstraintsValid && r.MaxPathLen == 0 {
		return false // a root with path length 0 has no intermediates
	}
	at := r.NotBefore
	if intermediate.NotBefore.After(at) {
		at = intermediate.NotBefore
	}
	if at.IsZero() {
		return false
	}
	roots := x509.NewCertPool()
	roots.AddCert(r)
	_, err := intermediate.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	return err == nil
}

// constrained reports whether a certificate says more about those below it than a length of path.
func constrained(c *x509.Certificate) bool {
	return len(c.UnhandledCriticalExtensions) > 0 || c.PermittedDNSDomainsCritical ||
		len(c.PermittedDNSDomains)+len(c.ExcludedDNSDomains)+len(c.PermittedIPRanges)+len(c.ExcludedIPRanges)+
			len(c.PermittedEmailAddresses)+len(c.ExcludedEmailAddresses)+len(c.PermittedURIDomains)+len(c.ExcludedURIDomains) > 0
}

// Verify returns the chains from leaf to the root. All certificates, and the authority itself, must be valid at the given time.
func (a *CertificateAuthority) Verify(leaf *x509.Certificate, at time.Time) ([][]*x509.Certificate, error) {
	if leaf == nil {
		return nil, errors.New("no certificate")
	}
	if !a.plain(leaf, at) {
		return a.FulcioCertificateAuthority.Verify(leaf, at)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: a.anchors, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	if err != nil {
		return nil, err
	}
	for i := range chains {
		chains[i] = append(chains[i], a.Root)
	}
	return chains, nil
}

// plain reports whether the intermediate alone can tell about a leaf at a time: it names the intermediate as its issuer, and the rest of
// the chain is valid then.
func (a *CertificateAuthority) plain(leaf *x509.Certificate, at time.Time) bool {
	return a.pinned && !at.IsZero() &&
		within(at, a.ValidityPeriodStart, a.ValidityPeriodEnd) &&
		within(at, a.Root.NotBefore, a.Root.NotAfter) &&
		within(at, a.intermediate.NotBefore, a.intermediate.NotAfter) &&
		bytes.Equal(leaf.RawIssuer, a.intermediate.RawSubject) &&
		!bytes.Equal(leaf.RawSubjectPublicKeyInfo, a.intermediate.RawSubjectPublicKeyInfo) &&
		!bytes.Equal(leaf.RawSubjectPublicKeyInfo, a.Root.RawSubjectPublicKeyInfo)
}

// within reports whether a time lies between two others; zero ones do not bound it.
func within(t, from, until time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (until.IsZero() || !t.After(until))
}
