package sigstore

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	ct "github.com/google/certificate-transparency-go"
	cttls "github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/sigstore/sigstore-go/pkg/root"
)

// maxSCTs bounds the signed certificate timestamps of one certificate; public logs ask for two or three.
const maxSCTs = 32

// oidSCTs is the extension with embedded SCTs (RFC 6962, section 3.3).
var oidSCTs = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

// checkSCT asks that enough certificate transparency logs have seen the signer's certificate, each counted once.
func (c *verifier) checkSCT(chains [][]*x509.Certificate) error {
	if c.set.scts == 0 {
		return nil
	}
	scts, err := embeddedSCTs(chains[0][0])
	if err != nil {
		return fmt.Errorf("certificate transparency: %w", err)
	}
	seen := map[[32]byte]bool{}
	var last error
	for _, sct := range scts {
		if seen[sct.LogID.KeyID] {
			continue
		}
		if err := c.seenBy(sct, chains); err != nil {
			last = err
			continue
		}
		seen[sct.LogID.KeyID] = true
	}
	switch {
	case len(seen) >= c.set.scts:
		return nil
	case len(scts) == 0:
		return errors.New("certificate transparency: the certificate has no SCT, and a log must have seen it; or write insecureIgnoreSCT: true")
	}
	return fmt.Errorf("certificate transparency: seen by %d logs that count, %d are wanted: %w", len(seen), c.set.scts, last)
}

// embeddedSCTs reads the SCTs of a certificate.
func embeddedSCTs(cert *x509.Certificate) ([]*ct.SignedCertificateTimestamp, error) {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidSCTs) {
			continue
		}
		var octets []byte
		var list ctx509.SignedCertificateTimestampList
		if rest, err := asn1.Unmarshal(e.Value, &octets); err != nil || len(rest) > 0 {
			return nil, errors.New("the list of SCTs is malformed")
		}
		if rest, err := cttls.Unmarshal(octets, &list); err != nil || len(rest) > 0 {
			return nil, errors.New("the list of SCTs is malformed")
		}
		if len(list.SCTList) > maxSCTs {
			return nil, fmt.Errorf("%d SCTs, at most %d are looked at", len(list.SCTList), maxSCTs)
		}
		return parseSCTs(&list)
	}
	return nil, nil
}

func parseSCTs(list *ctx509.SignedCertificateTimestampList) ([]*ct.SignedCertificateTimestamp, error) {
	scts := make([]*ct.SignedCertificateTimestamp, len(list.SCTList))
	for i := range list.SCTList {
		scts[i] = new(ct.SignedCertificateTimestamp)
		if rest, err := cttls.Unmarshal(list.SCTList[i].Val, scts[i]); err != nil || len(rest) > 0 {
			return nil, errors.New("an SCT is malformed")
		}
	}
	return scts, nil
}

// seenBy checks one SCT: a log of the trust material signed it, while its key counted, over this certificate and its issuer.
func (c *verifier) seenBy(sct *ct.SignedCertificateTimestamp, chains [][]*x509.Certificate) error {
	id := fmt.Sprintf("%x", sct.LogID.KeyID)
	log := c.material.CTLogs()[id]
	if log == nil {
		return fmt.Errorf("log %s is not in the trust material", id)
	}
	if at := ct.TimestampToTime(sct.Timestamp); !within(log, at) {
		return fmt.Errorf("log %s signed at %s, when its key did not count", id, stamp(at))
	}
	verifier, err := ct.NewSignatureVerifier(log.PublicKey)
	if err != nil {
		return fmt.Errorf("log %s: %w", id, err)
	}
	err = fmt.Errorf("log %s signed for another certificate, or not at all", id)
	for _, chain := range chains {
		if len(chain) > 1 && verifySCT(verifier, sct, chain[0], chain[1]) == nil {
			return nil
		}
	}
	return err
}

func within(log *root.TransparencyLog, at time.Time) bool {
	return (log.ValidityPeriodStart.IsZero() || !at.Before(log.ValidityPeriodStart)) &&
		(log.ValidityPeriodEnd.IsZero() || !at.After(log.ValidityPeriodEnd))
}

// verifySCT checks the signature over the precertificate that a certificate with embedded SCTs was made from (RFC 6962, section 3.2).
// Of both certificates the library looks at these parts only, so that neither is parsed a second time.
func verifySCT(v *ct.SignatureVerifier, sct *ct.SignedCertificateTimestamp, leaf, issuer *x509.Certificate) error {
	entry, err := ct.MerkleTreeLeafForEmbeddedSCT([]*ctx509.Certificate{
		{RawTBSCertificate: leaf.RawTBSCertificate}, {RawSubjectPublicKeyInfo: issuer.RawSubjectPublicKeyInfo},
	}, sct.Timestamp)
	if err != nil {
		return err
	}
	return v.VerifySCTSignature(*sct, ct.LogEntry{Leaf: *entry})
}
