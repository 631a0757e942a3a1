package sigstore

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// signerSet is whose signature counts: identities, keys or names under an own certificate authority. Exactly one of the three is set.
type signerSet struct {
	id         int // different from all others of the authority
	identities []identity
	keys       []key
	pki        *pki
	scts       int // certificate transparency logs that must have seen the certificate
}

// identity is one identity of a keyless authority.
type identity struct {
	issuer, subject matcher
	claims          []claim
}

// claim is what one extension of the certificate must say.
type claim struct {
	name  string // of the policy's field
	index int    // of the field in ClaimsOptions
	want  matcher
}

// key is a public key with the time in which its signatures count.
type key struct {
	source      material.KeySource
	from, until time.Time // zero: not bounded
}

func (k *key) bounded() bool { return !k.from.IsZero() || !k.until.IsZero() }

func (k *key) validAt(t time.Time) bool {
	return (k.from.IsZero() || !t.Before(k.from)) && (k.until.IsZero() || t.Before(k.until))
}

// byCertificate reports whether signers of the set have certificates.
func (s *signerSet) byCertificate() bool { return len(s.keys) == 0 }

// subject is what a certificate says of its owner.
type subject struct {
	issuer string   // of the identity, from Fulcio's extension; the certificate's issuer for an own authority
	names  []string // subject alternative names, in the order DNS, e-mail, IP, URI, other
	claims certificate.Extensions
}

// maxNames bounds the subject alternative names of a signer's certificate; Fulcio writes one.
const maxNames = 100

// tooManyNames refuses certificates with more names than are looked at: whoever signs is compared with others by all of them.
func tooManyNames(c *x509.Certificate) error {
	if n := len(c.DNSNames) + len(c.EmailAddresses) + len(c.IPAddresses) + len(c.URIs); n > maxNames {
		return fmt.Errorf("the certificate has %d subject alternative names, at most %d are looked at", n, maxNames)
	}
	return nil
}

// subjectOf reads a certificate of Fulcio's or of an own authority.
func subjectOf(c *x509.Certificate) (subject, error) {
	extensions, err := certificate.ParseExtensions(newestIssuerLast(c.Extensions))
	if err != nil {
		return subject{}, fmt.Errorf("extensions of the certificate: %w", err)
	}
	s := subject{issuer: extensions.Issuer, claims: extensions}
	s.names = append(s.names, c.DNSNames...)
	s.names = append(s.names, c.EmailAddresses...)
	for _, ip := range c.IPAddresses {
		s.names = append(s.names, ip.String())
	}
	for _, uri := range c.URIs {
		s.names = append(s.names, uri.String())
	}
	if other, err := cryptoutils.UnmarshalOtherNameSAN(c.Extensions); err == nil && other != "" {
		s.names = append(s.names, other)
	}
	return s, nil
}

// oldIssuer is the older extension for the issuer (Fulcio, docs/oid-info.md).
var oldIssuer = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}

// newestIssuerLast puts the older extension for the issuer before all others, since of two the last counts: where a certificate has both, it is the
// newer one that says who vouched.
func newestIssuerLast(all []pkix.Extension) []pkix.Extension {
	i := slices.IndexFunc(all, func(e pkix.Extension) bool { return e.Id.Equal(oldIssuer) })
	if i <= 0 {
		return all
	}
	return slices.Concat(all[i:i+1], all[:i], all[i+1:])
}

// matchIdentity returns who a certificate's owner is by the first identity of which everything fits.
func (s *signerSet) matchIdentity(of subject) (trust.Identity, error) {
	var closest error
	depth := -1
	for i := range s.identities {
		who, steps, err := s.identities[i].match(of)
		if err == nil {
			return who, nil
		}
		if steps > depth {
			closest, depth = err, steps
		}
	}
	if len(s.identities) > 1 {
		closest = fmt.Errorf("%w (nearest of %d identities)", closest, len(s.identities))
	}
	return trust.Identity{}, closest
}

// match compares all that an identity asks for; steps counts what fitted before the first that does not.
func (w *identity) match(of subject) (who trust.Identity, steps int, err error) {
	if !w.issuer.matches(of.issuer) {
		return who, 0, mismatch("issuer", &w.issuer, of.issuer)
	}
	name, found := "", false
	for _, n := range of.names {
		if w.subject.matches(n) {
			name, found = n, true
			break
		}
	}
	if !found {
		return who, 1, mismatch("subject", &w.subject, strings.Join(of.names, ", "))
	}
	for i := range w.claims {
		c := &w.claims[i]
		if said := claimOf(of.claims, c.index); !c.want.matches(said) {
			return who, 2 + i, mismatch(c.name, &c.want, said)
		}
	}
	return trust.Identity{Issuer: of.issuer, Subject: name}, 0, nil
}

// mismatch says what was wanted and what there was, and whether an expression would fit a part of it.
func mismatch(what string, want *matcher, got string) error {
	if got == "" {
		return fmt.Errorf("the certificate has no %s; %q is wanted", what, clip(want.text))
	}
	hint := ""
	if want.fitsPart(got) {
		hint = "; the expression fits a part only, and the whole is compared"
	}
	return fmt.Errorf("%s is %q, %q is wanted%s", what, clip(got), clip(want.text), hint)
}

// claimOf returns the extension that a field of ClaimsOptions is about; the names differ in the case of letters only.
func claimOf(e certificate.Extensions, index int) string {
	name := reflect.TypeFor[ClaimsOptions]().Field(index).Name
	name = strings.Replace(name, "GitHubWorkflow", "GithubWorkflow", 1)
	return reflect.ValueOf(e).FieldByName(name).String()
}

// pki is an own certificate authority.
type pki struct {
	roots         *x509.CertPool
	intermediates []*x509.Certificate
	names         []nameRule
}

// nameRule is a rule for one kind of subject alternative name.
type nameRule struct {
	kind string // dns, email, uri or ip
	want matcher
}

// match returns the name of a certificate that fits a rule.
func (p *pki) match(c *x509.Certificate) (string, error) {
	for i := range p.names {
		r := &p.names[i]
		for _, name := range namesOf(c, r.kind) {
			if r.want.matches(name) {
				return name, nil
			}
		}
	}
	s, _ := subjectOf(c)
	if len(s.names) == 0 {
		return "", fmt.Errorf("the certificate of %q has no subject alternative name", clip(c.Subject.String()))
	}
	return "", fmt.Errorf("the certificate is for %s, which no rule of pki.names fits", clip(strings.Join(s.names, ", ")))
}

func namesOf(c *x509.Certificate, kind string) []string {
	var names []string
	switch kind {
	case "dns":
		return c.DNSNames
	case "email":
		return c.EmailAddresses
	case "uri":
		for _, u := range c.URIs {
			names = append(names, u.String())
		}
	case "ip":
		for _, ip := range c.IPAddresses {
			names = append(names, ip.String())
		}
	}
	return names
}

// chains returns the chains from a certificate to a root. The whole chain must be valid at a time, for signing code.
func (p *pki) chains(leaf *x509.Certificate, more []*x509.Certificate, at time.Time) ([][]*x509.Certificate, error) {
	pool := x509.NewCertPool()
	for _, c := range p.intermediates {
		pool.AddCert(c)
	}
	for _, c := range more {
		pool.AddCert(c)
	}
	return leaf.Verify(x509.VerifyOptions{
		Roots: p.roots, Intermediates: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
}
