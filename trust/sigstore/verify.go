package sigstore

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// demands is what an authority asks of every signature beside who made it.
type demands struct {
	logs, stamps int // distinct transparency logs and time-stamp authorities
	ignoreLog    bool
	ignoreSCT    bool
}

// vouched is a signature whose cryptography holds.
type vouched struct {
	signer   trust.Signer
	signedAt time.Time // the earliest trusted time; zero: none
	age      time.Time // the earliest trusted time that is not a time stamp alone, by which the latest is told; zero: none
	log      []trust.LogEntry
	// from and until bound the time in which the result holds, where a certificate had to be valid now; zero: for ever.
	from, until time.Time
	weakened    []string
}

// holdsAt reports whether the result can be used at a time.
func (v *vouched) holdsAt(now time.Time) bool {
	return (v.from.IsZero() || !now.Before(v.from)) && (v.until.IsZero() || now.Before(v.until))
}

// verifier checks the cryptography of pieces against one version of trust material.
type verifier struct {
	demands
	set      *signerSet
	material root.TrustedMaterial
	now      time.Time

	keys    []usable // of the set, see useKeys
	missing error    // why another one cannot be used
}

// dated reports whether a refusal may turn at another time.
func (c *verifier) dated() bool { return c.ignoreLog && c.set.byCertificate() }

// verify checks a piece. It does not look at what the piece says, only at who signed it, and when.
func (c *verifier) verify(p *piece) (*vouched, error) {
	if c.set.byCertificate() {
		return c.verifyByCertificate(p)
	}
	return c.verifyByKey(p)
}

// noMaterial is trust material where none is needed: no log, no authority.
var noMaterial root.TrustedMaterial = &root.BaseTrustedMaterial{}

// keyed is trust material in which one key is under test.
type keyed struct {
	root.TrustedMaterial
	key signature.Verifier
}

// PublicKeyVerifier implements root.TrustedMaterial.
func (k keyed) PublicKeyVerifier(string) (root.TimeConstrainedVerifier, error) {
	// The bounds of the policy are checked against trusted times, which the log's own is only one of.
	return root.NewExpiringKey(k.key, time.Time{}, time.Time{}), nil
}

func (c *verifier) verifyByKey(p *piece) (*vouched, error) {
	if p.cert != nil {
		return nil, errors.New("carries a certificate, and a bare key is wanted")
	}
	k, err := c.signingKey(p)
	if err != nil {
		return nil, err
	}
	public := k.public
	seen, err := c.witness(p, keyed{c.material, public.Verifier()})
	if err != nil {
		return nil, err
	}
	if k.bounded() && len(seen.times) == 0 {
		return nil, seen.because("the key counts for a time only, and no trusted time says when it signed")
	}
	for _, t := range seen.times {
		if !k.validAt(t) {
			return nil, fmt.Errorf("signed at %s, outside the time in which the key counts", stamp(t))
		}
	}
	v := &vouched{signer: trust.Signer{Key: public.Fingerprint, Signature: p.content.Signature()}}
	c.conclude(p, v, seen)
	return v, nil
}

// usable is a key that can be used now.
type usable struct {
	*key
	public *material.Key
}

// useKeys asks which keys of the set can be used now.
func (c *verifier) useKeys() {
	c.keys, c.missing = c.keys[:0], nil
	for i := range c.set.keys {
		k := &c.set.keys[i]
		public, err := k.source.Key(c.now)
		if err != nil {
			c.missing = &unclear{err}
			continue
		}
		c.keys = append(c.keys, usable{k, public})
	}
}

// signingKey returns the key of the set that made the signature. If none of those that can be used did, one that cannot may have.
func (c *verifier) signingKey(p *piece) (usable, error) {
	for _, k := range c.keys {
		if verifySignature(p, k.public.Verifier()) == nil {
			return k, nil
		}
	}
	if c.missing != nil {
		return usable{}, c.missing
	}
	if len(c.set.keys) == 1 {
		return usable{}, errors.New("not signed by the key of the policy")
	}
	return usable{}, fmt.Errorf("not signed by any of the %d keys of the policy", len(c.set.keys))
}

// verifySignature checks the signature alone.
func verifySignature(p *piece, v signature.Verifier) error {
	sig := bytes.NewReader(p.content.Signature())
	if p.message == nil {
		return v.VerifySignature(sig, bytes.NewReader(nil), options.WithDigest(p.content.MessageSignatureContent().Digest()))
	}
	return v.VerifySignature(sig, bytes.NewReader(p.message))
}

func (c *verifier) verifyByCertificate(p *piece) (*vouched, error) {
	if p.cert == nil {
		return nil, errors.New("signed by a bare key, and a certificate is wanted")
	}
	who, err := c.owner(p.cert)
	if err != nil {
		return nil, err
	}
	public, err := material.NewKey(p.cert.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("key of the certificate: %w", err)
	}
	seen, err := c.witness(p, c.material)
	if err != nil {
		return nil, err
	}
	v := &vouched{}
	chains, err := c.chains(p, seen, v)
	if err != nil {
		return nil, err
	}
	if err := c.checkSCT(chains); err != nil {
		return nil, err
	}
	if verifySignature(p, public.Verifier()) != nil {
		return nil, errors.New("the signature is not by the key of its certificate")
	}
	about, _ := subjectOf(p.cert)
	v.signer = trust.Signer{Key: public.Fingerprint, Identity: who, Names: about.names, Signature: p.content.Signature()}
	for _, cert := range chains[0] {
		v.signer.Chain = append(v.signer.Chain, trust.DescribeCertificate(cert))
	}
	c.conclude(p, v, seen)
	return v, nil
}

// owner returns who a certificate is for, if the policy wants him. That is decided before any signature is checked: a foreign
// certificate, of which there may be many, costs little.
func (c *verifier) owner(cert *x509.Certificate) (trust.Identity, error) {
	if err := tooManyNames(cert); err != nil {
		return trust.Identity{}, err
	}
	if c.set.pki != nil {
		name, err := c.set.pki.match(cert)
		return trust.Identity{Issuer: cert.Issuer.String(), Subject: name}, err
	}
	about, err := subjectOf(cert)
	if err != nil {
		return trust.Identity{}, err
	}
	return c.set.matchIdentity(about)
}

// chains returns the chains of a signer's certificate to a root, valid as a whole at each trusted time. Where the log is ignored and
// nobody says when it was signed, they must be valid now.
func (c *verifier) chains(p *piece, seen *witnesses, v *vouched) ([][]*x509.Certificate, error) {
	leaf := withoutOtherName(p.cert)
	var chains [][]*x509.Certificate
	for _, t := range seen.times {
		found, err := c.chainsAt(p, leaf, t)
		if err != nil {
			return nil, fmt.Errorf("certificate at %s, when it was used: %w", stamp(t), err)
		}
		chains = found
	}
	if len(seen.times) > 0 {
		return chains, nil
	}
	if !c.ignoreLog {
		return nil, seen.because("no trusted time says when the certificate was used: neither a time stamp nor a log that gives the time")
	}
	chains, err := c.chainsAt(p, leaf, c.now)
	if err != nil {
		return nil, seen.because(fmt.Sprintf("certificate now, as no trusted time says when it was used (it was valid from %s to %s): %v; have signatures time-stamped, or do not ignore the log",
			stamp(p.cert.NotBefore), stamp(p.cert.NotAfter), err))
	}
	if v.from, v.until = validity(chains[0]); !v.holdsAt(c.now) {
		return nil, seen.because(fmt.Sprintf("certificate: expired at %s, and no trusted time says when it was used", stamp(v.until)))
	}
	return chains, nil
}

func (c *verifier) chainsAt(p *piece, leaf *x509.Certificate, t time.Time) ([][]*x509.Certificate, error) {
	if c.set.pki != nil {
		return c.set.pki.chains(leaf, p.chain, t)
	}
	var errs []error
	for _, authority := range c.material.FulcioCertificateAuthorities() {
		chains, err := authority.Verify(leaf, t)
		if err == nil && len(chains) > 0 {
			return chains, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("no certificate authority of the trust material stands behind it: %w", shortest(errs))
}

// shortest returns the most telling of several errors: of authorities that never saw a certificate and one that did but finds it
// expired, the latter.
func shortest(errs []error) error {
	for _, err := range errs {
		if invalid := (x509.CertificateInvalidError{}); errors.As(err, &invalid) {
			return err
		}
	}
	if len(errs) == 0 {
		return errors.New("there is none")
	}
	return errs[len(errs)-1]
}

// validity returns the time in which all certificates of a chain are valid.
func validity(chain []*x509.Certificate) (from, until time.Time) {
	from, until = chain[0].NotBefore, chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotBefore.After(from) {
			from = c.NotBefore
		}
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	return from, until
}

// withoutOtherName returns a certificate whose subject alternative names, which Go's library does not know all kinds of, are no
// reason to refuse it: they were read before.
func withoutOtherName(c *x509.Certificate) *x509.Certificate {
	if len(c.UnhandledCriticalExtensions) == 0 {
		return c
	}
	plain := *c
	plain.UnhandledCriticalExtensions = nil
	for _, oid := range c.UnhandledCriticalExtensions {
		if !oid.Equal(cryptoutils.SANOID) {
			plain.UnhandledCriticalExtensions = append(plain.UnhandledCriticalExtensions, oid)
		}
	}
	return &plain
}

// maxShort is how long a certificate is valid at most that by itself bounds when it signed; Fulcio's are valid for ten minutes.
const maxShort = 24 * time.Hour

// renewable reports whether anybody can give an old signature a new time: a time-stamp authority stamps anything, and a log, which takes
// nothing twice, takes the same signature in another spelling of its envelope, or with the other root of an ECDSA signature, as a new
// one. Who signed with a short-lived certificate signed while it was valid, whatever is said later.
func renewable(cert *x509.Certificate) bool {
	return cert == nil || cert.NotAfter.Sub(cert.NotBefore) > maxShort
}

// conclude completes a result.
func (c *verifier) conclude(p *piece, v *vouched, seen *witnesses) {
	v.log = seen.log
	v.signedAt = earliest(seen.times)
	v.age = v.signedAt
	if renewable(p.cert) {
		v.age = earliest(seen.logged)
	}
	if c.ignoreLog {
		v.weakened = append(v.weakened, "insecureIgnoreLog")
	}
	if c.ignoreSCT && c.set.identities != nil {
		v.weakened = append(v.weakened, "insecureIgnoreSCT")
	}
}

func earliest(times []time.Time) time.Time {
	if len(times) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(times, time.Time.Compare).UTC()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// unclear marks an error of a check as "cannot tell".
type unclear struct{ error }

// Unwrap returns the cause.
func (u *unclear) Unwrap() error { return u.error }
