package material

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/assay-dev/assay/trust"
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

// TimestampingAuthority is a time-stamp authority that is told from others by its key: one that is listed under two URLs is one, and two
// that are listed without any are two.
type TimestampingAuthority struct {
	*root.SigstoreTimestampingAuthority

	name string
}

var _ root.TimestampingAuthority = (*TimestampingAuthority)(nil)

func newTimestampingAuthority(a *root.SigstoreTimestampingAuthority) *TimestampingAuthority {
	made := &TimestampingAuthority{SigstoreTimestampingAuthority: a, name: a.URI}
	if chain := chainOf(a); len(chain) > 0 {
		made.name = trust.Fingerprint(chain[0].RawSubjectPublicKeyInfo)
	}
	return made
}

// chainOf returns the certificates of a time-stamp authority, the one that signs first if it is known.
func chainOf(a *root.SigstoreTimestampingAuthority) []*x509.Certificate {
	all := slices.Concat([]*x509.Certificate{a.Leaf}, a.Intermediates, []*x509.Certificate{a.Root})
	return slices.DeleteFunc(all, func(c *x509.Certificate) bool { return c == nil })
}

// Verify returns the time of a stamp, by an authority whose name stands where the library has its URL: it counts those that differ.
func (a *TimestampingAuthority) Verify(stamp, signature []byte) (*root.Timestamp, error) {
	found, err := a.SigstoreTimestampingAuthority.Verify(stamp, signature)
	if err != nil {
		return nil, err
	}
	found.URI = a.name
	return found, nil
}

// LogName tells a transparency log from others by its key, whatever the IDs are under which it is listed.
func LogName(l *root.TransparencyLog) string {
	der, err := x509.MarshalPKIXPublicKey(l.PublicKey)
	if err != nil {
		return string(l.ID) // no key that was read from its DER
	}
	return trust.Fingerprint(der)
}

// Witnesses returns how many transparency logs and time-stamp authorities there are, each key counted once.
func (r *Root) Witnesses() (logs, authorities int) {
	names := map[string]bool{}
	for _, l := range r.RekorLogs() {
		names[LogName(l)] = true
	}
	logs = len(names)
	clear(names)
	for _, a := range r.TimestampingAuthorities() {
		if t, ok := a.(*TimestampingAuthority); ok {
			names[t.name] = true
		}
	}
	return logs, len(names)
}
