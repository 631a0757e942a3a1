package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/assay-dev/assay/trust"
)

const (
	pemCRL = "X509 CRL"

	// maxCRLs is how many lists one file may hold.
	maxCRLs = 100
)

// revocationList is a certificate revocation list, indexed.
type revocationList struct {
	list    *x509.RevocationList
	revoked map[string]time.Time // by serialKey
	signers map[string]bool      // DER of certificates, known at load, that signed it
}

// parseCRLs reads a file with one list in DER, or with lists in PEM.
func parseCRLs(file []byte) ([]*revocationList, error) {
	if !bytes.Contains(file, []byte("-----BEGIN")) {
		l, err := parseCRL(file)
		if err != nil {
			return nil, err
		}
		return []*revocationList{l}, nil
	}
	blocks, err := pemBlocks(file, maxCRLs)
	if err != nil {
		return nil, err
	}
	var lists []*revocationList
	for _, block := range blocks {
		l, err := parseCRLBlock(block)
		if err != nil {
			return nil, err
		}
		lists = append(lists, l)
	}
	if len(lists) == 0 {
		return nil, fmt.Errorf("holds no PEM block %q", pemCRL)
	}
	return lists, nil
}

func parseCRLBlock(block *pem.Block) (*revocationList, error) {
	if block.Type != pemCRL {
		return nil, fmt.Errorf("holds a PEM block %q, want %q", clip(block.Type), pemCRL)
	}
	return parseCRL(block.Bytes)
}

func parseCRL(der []byte) (*revocationList, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	if list.NextUpdate.IsZero() {
		return nil, errors.New("the list has no nextUpdate, so nobody can tell whether it is current")
	}
	// A critical extension changes what the list means: a part of the certificates, another issuer's, changes only (RFC 5280,
	// section 5.2).
	for _, e := range list.Extensions {
		if e.Critical {
			return nil, fmt.Errorf("the list has the critical extension %s; only complete lists of an issuer's own certificates can be used", e.Id)
		}
	}
	l := &revocationList{list: list, revoked: make(map[string]time.Time, len(list.RevokedCertificateEntries)), signers: map[string]bool{}}
	for _, entry := range list.RevokedCertificateEntries {
		for _, e := range entry.Extensions {
			if e.Critical {
				return nil, fmt.Errorf("an entry has the critical extension %s; only lists of an issuer's own certificates can be used", e.Id)
			}
		}
		l.revoked[serialKey(entry.SerialNumber)] = entry.RevocationTime
	}
	return l, nil
}

func serialKey(n *big.Int) string { return n.Text(62) }

// learn notes whether c signed the list, so that a check need not ask again.
func (l *revocationList) learn(c *x509.Certificate) {
	if bytes.Equal(l.list.RawIssuer, c.RawSubject) && l.list.CheckSignatureFrom(c) == nil {
		l.signers[string(c.Raw)] = true
	}
}

func (l *revocationList) signedBy(c *x509.Certificate) bool {
	if !bytes.Equal(l.list.RawIssuer, c.RawSubject) {
		return false
	}
	return l.signers[string(c.Raw)] || l.list.CheckSignatureFrom(c) == nil
}

// checkRevocation looks each certificate of a chain up in the lists of its issuer, the root excepted. It returns when the first of
// the lists that count ends. A serial that is listed is a "no"; an issuer without a current list means that nobody can tell.
// Without any list nothing is checked. Many authorities take certificates off their lists once they have expired; where expired
// leaves pass (validity: issued), the denied list is what lasts.
func checkRevocation(lists []*revocationList, chain []*x509.Certificate, now time.Time) (time.Time, error) {
	var expires time.Time
	if len(lists) == 0 {
		return expires, nil
	}
	var unknown error
	for i, c := range chain[:len(chain)-1] {
		end, err := checkRevoked(lists, c, chain[i+1], now)
		if trust.IsNo(err) {
			return time.Time{}, err
		}
		if err != nil && unknown == nil {
			unknown = err
		}
		expires = sooner(expires, end)
	}
	return expires, unknown
}

func checkRevoked(lists []*revocationList, c, issuer *x509.Certificate, now time.Time) (time.Time, error) {
	var current time.Time
	key := serialKey(c.SerialNumber)
	for _, l := range lists {
		if !l.signedBy(issuer) {
			continue
		}
		if at, found := l.revoked[key]; found {
			// A list that is out of date is still right about what it lists.
			return time.Time{}, trust.Untrusted("certificate %s of %q was revoked on %s", trust.Serial(c.SerialNumber), clip(issuer.Subject.String()), stamp(at))
		}
		if !now.Before(l.list.ThisUpdate) && now.Before(l.list.NextUpdate) && l.list.NextUpdate.After(current) {
			current = l.list.NextUpdate
		}
	}
	if current.IsZero() {
		return time.Time{}, fmt.Errorf("revocation of certificate %s: no current CRL of %q among the crls of the policy; fetch a new one",
			trust.Serial(c.SerialNumber), clip(issuer.Subject.String()))
	}
	return current, nil
}
