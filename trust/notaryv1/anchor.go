package notaryv1

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/assay-dev/assay/trust"
)

// anchor is the root of trust that a policy names: what a root's keys must be for the root to count without another root's word. The
// zero anchor trusts no root.
type anchor struct {
	keys         map[string]bool            // fingerprints of public keys
	certificates map[[sha256.Size]byte]bool // hashes of certificates in DER
	authorities  *x509.CertPool             // nil: none
	issuers      []*x509.Certificate        // of authorities
	firstUse     bool
}

// String names the anchor, so that what was seen under one is not taken for what was seen under another.
func (a anchor) String() string {
	var parts []string
	parts = append(parts, slices.Sorted(maps.Keys(a.keys))...)
	for sum := range a.certificates {
		parts = append(parts, "certificate "+hex.EncodeToString(sum[:]))
	}
	for _, c := range a.issuers {
		sum := sha256.Sum256(c.Raw)
		parts = append(parts, "authority "+hex.EncodeToString(sum[:]))
	}
	if a.firstUse {
		parts = append(parts, "first use")
	}
	slices.Sort(parts)
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:])
}

// holds decides whether a root counts by itself: as many of its keys as its own threshold asks for are trusted by the policy, and have
// signed it. It returns these keys, and when they and the authorities behind them hold, which counts for a root that no other follows.
func (a anchor) holds(r *rootFile, gun string) ([]*key, []window, error) {
	trusted := role{name: roleRoot, threshold: r.roles[roleRoot].threshold}
	windows := map[string][]window{}
	why := errors.New("it has no keys")
	for _, k := range r.roles[roleRoot].keys {
		err := namesRepository(k, gun)
		if err == nil {
			windows[k.id], err = a.trusts(k)
		}
		if err != nil {
			why = err
			continue
		}
		trusted.keys = append(trusted.keys, k)
	}
	if n := len(trusted.fingerprints()); n < trusted.threshold {
		return nil, nil, fmt.Errorf("%d of its keys are trusted, and %d must be: %w", n, trusted.threshold, why)
	}
	signers, err := r.signedBy(trusted)
	if err != nil {
		return nil, nil, err
	}
	signers = lasting(signers, trusted.threshold)
	all := rootWindows(signers)
	for _, k := range signers {
		all = append(all, windows[k.id]...)
	}
	return signers, all, nil
}

// rootWindows returns when root keys hold.
func rootWindows(signers []*key) []window {
	var all []window
	for _, k := range signers {
		all = append(all, certificateWindow("the certificate of the root key "+k.fingerprint, k.chain[0]))
	}
	return all
}

// trusts decides whether the policy trusts a root's key, which is a certificate, and returns when the authorities behind it hold.
func (a anchor) trusts(k *key) ([]window, error) {
	leaf := k.chain[0]
	switch {
	case a.firstUse, a.keys[k.fingerprint], a.certificates[sha256.Sum256(leaf.Raw)]:
		return nil, nil
	case a.authorities == nil:
		return nil, fmt.Errorf("the policy does not name the root key %s (%s)", k.fingerprint, clip(leaf.Subject.String()))
	}
	intermediates := x509.NewCertPool()
	for _, c := range k.chain[1:] {
		intermediates.AddCert(c)
	}
	// A root that others follow may have expired, so the chain is looked at as it was when it began; dates are another question.
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: a.authorities, Intermediates: intermediates, CurrentTime: leaf.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("root key %s (%s): %w", k.fingerprint, clip(leaf.Subject.String()), err)
	}
	return longest(chains), nil
}

// longest returns the windows of the authorities in the chain that holds for the longest time.
func longest(chains [][]*x509.Certificate) []window {
	var best []window
	var until time.Time
	for _, chain := range chains {
		var windows []window
		end := chain[0].NotAfter
		for _, c := range chain[1:] {
			windows = append(windows, certificateWindow("the authority "+clip(c.Subject.String()), c))
			if c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
		if best == nil || end.After(until) {
			best, until = windows, end
		}
	}
	return best
}

func certificateWindow(what string, c *x509.Certificate) window {
	return window{what: what, from: c.NotBefore, to: c.NotAfter}
}

// namesRepository demands that a root's key is a certificate for this repository: a root key that signs many repositories must not let
// the trust data of one stand for another. The common name is the repository's, or ends in "/*" for all below it.
func namesRepository(k *key, gun string) error {
	if len(k.chain) == 0 {
		return fmt.Errorf("root key %s: is no certificate, and so not bound to a repository", k.fingerprint)
	}
	leaf := k.chain[0]
	switch leaf.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1, x509.UnknownSignatureAlgorithm:
		return fmt.Errorf("root key %s: its certificate is signed with %s, which does not count", k.fingerprint, leaf.SignatureAlgorithm)
	}
	name := leaf.Subject.CommonName
	prefix, wild := strings.CutSuffix(name, "*")
	if name == gun || wild && strings.HasSuffix(prefix, "/") && strings.HasPrefix(gun, prefix) {
		return nil
	}
	return fmt.Errorf("root key %s: its certificate is for %q, want %q", k.fingerprint, clip(name), gun)
}

// describe returns the certificates of a key for a proof.
func (k *key) describe() []trust.Certificate {
	var all []trust.Certificate
	for _, c := range k.chain {
		all = append(all, trust.DescribeCertificate(c))
	}
	return all
}
