package notation

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/assay-dev/assay/trust"
)

// Types of items that revocation servers gave, and of one that says why there is none. They never come from a registry.
const (
	typeOCSP       = "application/ocsp-response"
	typeCRL        = "application/pkix-crl"
	typeNoAnswer   = "text/x-no-answer"
	typeUnreadable = "text/plain"
)

const (
	annotationServer = "server" // of an answer: the URL that was asked
	annotationAbout  = "about"  // of an answer: the certificate that it was asked for, or the list that it is

	maxSkew = 5 * time.Minute // by which the clock of a revocation server may be ahead
)

func isAnswer(mediaType string) bool {
	return mediaType == typeOCSP || mediaType == typeCRL || mediaType == typeNoAnswer
}

// about names a certificate in annotations.
func about(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// listOf names the list of a server in annotations: one list is about many certificates.
func listOf(server string) string { return "list " + server }

// answers are what revocation servers said, by what it is about. Nothing of it is believed before its signature is checked.
type answers map[string][]trust.Item

func learn(items []trust.Item) answers {
	learned := answers{}
	for _, item := range items {
		if isAnswer(item.MediaType) {
			key := item.Annotations[annotationAbout]
			learned[key] = append(learned[key], item)
		}
	}
	return learned
}

// checkAll looks up the signer's certificates up to the one that is trusted, and those of the time stamp's authority. It returns the first
// instant at which an answer that counts is out of date.
func (l answers) checkAll(chain []*x509.Certificate, anchor int, when moment, now time.Time) (time.Time, error) {
	ends, err := l.checkChain(chain, anchor, now)
	if trust.IsNo(err) || len(when.by) == 0 {
		return ends, err
	}
	end, stampErr := l.checkChain(when.by, len(when.by)-1, now)
	switch {
	case trust.IsNo(stampErr):
		return time.Time{}, trust.Untrusted("time stamp: %w", stampErr)
	case err != nil:
		return time.Time{}, err
	case stampErr != nil:
		return time.Time{}, fmt.Errorf("time stamp: %w", stampErr)
	}
	return sooner(ends, end), nil
}

// checkChain looks up each certificate of a chain up to a place, the last one excepted: a root is taken back by taking it out of the trust
// store. What is revoked is a "no", whatever of the others cannot be told.
func (l answers) checkChain(chain []*x509.Certificate, anchor int, now time.Time) (ends time.Time, err error) {
	for i := 0; i <= anchor && i < len(chain)-1; i++ {
		end, one := l.check(chain[i], chain[i+1], now)
		if trust.IsNo(one) {
			return time.Time{}, one
		}
		if one != nil && err == nil {
			err = one
		}
		ends = sooner(ends, end)
	}
	if err != nil {
		return time.Time{}, err
	}
	return ends, nil
}

// check looks up one certificate. One that names no server cannot be revoked by its issuer.
func (l answers) check(c, issuer *x509.Certificate, now time.Time) (time.Time, error) {
	if len(c.OCSPServer) == 0 && len(c.CRLDistributionPoints) == 0 {
		return time.Time{}, nil
	}
	said := slices.Clone(l[about(c)])
	for _, server := range c.CRLDistributionPoints {
		said = append(said, l[listOf(server)]...)
	}
	var good time.Time
	var causes []error
	for _, item := range said {
		end, err := checkAnswer(item, c, issuer, now)
		switch {
		case trust.IsNo(err):
			return time.Time{}, err
		case err != nil:
			causes = append(causes, fmt.Errorf("%s: %w", clip(item.Annotations[annotationServer]), err))
		case end.After(good):
			good = end
		}
	}
	switch {
	case !good.IsZero():
		return good, nil
	case len(causes) == 0:
		causes = append(causes, errors.New("none of its servers was asked"))
	}
	return time.Time{}, fmt.Errorf("revocation of certificate %s of %q: %w", trust.Serial(c.SerialNumber), clip(issuer.Subject.String()), errors.Join(causes...))
}

// checkAnswer returns until when an answer says that a certificate is good.
func checkAnswer(item trust.Item, c, issuer *x509.Certificate, now time.Time) (time.Time, error) {
	switch item.MediaType {
	case typeOCSP:
		return checkOCSP(item.Bytes, c, issuer, now)
	case typeCRL:
		return checkCRL(item.Bytes, item.Annotations[annotationServer], c, issuer, now)
	}
	return time.Time{}, errors.New(trust.Plain(string(item.Bytes)))
}

func checkOCSP(answer []byte, c, issuer *x509.Certificate, now time.Time) (time.Time, error) {
	r, err := ocsp.ParseResponseForCert(answer, c, issuer)
	if err != nil {
		return time.Time{}, fmt.Errorf("OCSP: %w", err)
	}
	if err := checkResponder(r, issuer, now); err != nil {
		return time.Time{}, err
	}
	switch {
	case r.Status == ocsp.Revoked: // out of date or not
		return time.Time{}, revoked(c, issuer, r.RevokedAt)
	case r.Status != ocsp.Good:
		return time.Time{}, errors.New("OCSP: the server does not know the certificate")
	case r.ThisUpdate.After(now.Add(maxSkew)):
		return time.Time{}, fmt.Errorf("OCSP: the answer is of %s, and it is %s", stamp(r.ThisUpdate), stamp(now))
	case r.NextUpdate.IsZero():
		return time.Time{}, errors.New("OCSP: the answer does not say until when it holds")
	case !now.Before(r.NextUpdate):
		return time.Time{}, fmt.Errorf("OCSP: the answer held until %s", stamp(r.NextUpdate))
	}
	return r.NextUpdate, nil
}

// checkResponder wants an answer signed by the issuer, or by somebody whom the issuer let sign answers (RFC 6960, section 4.2.2.2): else a
// revoked signer could speak for itself.
func checkResponder(r *ocsp.Response, issuer *x509.Certificate, now time.Time) error {
	responder := r.Certificate
	switch {
	case responder == nil || responder.Equal(issuer):
		return nil
	case !slices.Contains(responder.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return fmt.Errorf("OCSP: the answer is signed by %q, who may not sign answers", clip(responder.Subject.String()))
	case !bytes.Equal(responder.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("OCSP: the answer is signed by %q, who is of another issuer", clip(responder.Subject.String()))
	case now.Before(responder.NotBefore) || !now.Before(responder.NotAfter):
		return fmt.Errorf("OCSP: %w at %s", outside(responder), stamp(now))
	}
	return checkKey(responder)
}

func revoked(c, issuer *x509.Certificate, at time.Time) error {
	return trust.Untrusted("certificate %s of %q was revoked on %s", trust.Serial(c.SerialNumber), clip(issuer.Subject.String()), stamp(at))
}

func checkCRL(der []byte, server string, c, issuer *x509.Certificate, now time.Time) (time.Time, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return time.Time{}, fmt.Errorf("list: %w", err)
	}
	if !bytes.Equal(list.RawIssuer, issuer.RawSubject) {
		return time.Time{}, errors.New("list: is another issuer's")
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return time.Time{}, fmt.Errorf("list: %w", err)
	}
	if err := checkExtensions(list, server, c); err != nil {
		return time.Time{}, fmt.Errorf("list: %w", err)
	}
	for i := range list.RevokedCertificateEntries {
		entry := &list.RevokedCertificateEntries[i]
		for _, e := range entry.Extensions {
			if e.Critical {
				return time.Time{}, fmt.Errorf("list: an entry has the critical extension %s", e.Id)
			}
		}
		if entry.SerialNumber.Cmp(c.SerialNumber) == 0 { // out of date or not
			return time.Time{}, revoked(c, issuer, entry.RevocationTime)
		}
	}
	switch {
	case list.ThisUpdate.After(now.Add(maxSkew)):
		return time.Time{}, fmt.Errorf("list: is of %s, and it is %s", stamp(list.ThisUpdate), stamp(now))
	case list.NextUpdate.IsZero():
		return time.Time{}, errors.New("list: does not say until when it holds")
	case !now.Before(list.NextUpdate):
		return time.Time{}, fmt.Errorf("list: held until %s", stamp(list.NextUpdate))
	}
	return list.NextUpdate, nil
}

// issuingPoint is the extension that says which certificates a list is about (RFC 5280, section 5.2.5).
type issuingPoint struct {
	Point           distributionPoint `asn1:"optional,tag:0"`
	OnlyUsers       bool              `asn1:"optional,tag:1"`
	OnlyAuthorities bool              `asn1:"optional,tag:2"`
	SomeReasons     asn1.BitString    `asn1:"optional,tag:3"`
	Indirect        bool              `asn1:"optional,tag:4"`
	OnlyAttributes  bool              `asn1:"optional,tag:5"`
}

type distributionPoint struct {
	FullName     []asn1.RawValue `asn1:"optional,tag:0"`
	RelativeName asn1.RawValue   `asn1:"optional,tag:1"`
}

var oidIssuingPoint = asn1.ObjectIdentifier{2, 5, 29, 28}

// checkExtensions refuses lists that are not about the certificate: an issuer may have several, and whoever stands on the way can serve one
// in the place of another.
func checkExtensions(list *x509.RevocationList, server string, c *x509.Certificate) error {
	for _, e := range list.Extensions {
		if !e.Id.Equal(oidIssuingPoint) {
			if e.Critical {
				return fmt.Errorf("has the critical extension %s", e.Id)
			}
			continue
		}
		var p issuingPoint
		if rest, err := asn1.Unmarshal(e.Value, &p); err != nil || len(rest) > 0 {
			return errors.New("does not say readably what it is about")
		}
		if p.OnlyUsers && c.IsCA || p.OnlyAuthorities && !c.IsCA || p.OnlyAttributes || p.Indirect || p.SomeReasons.BitLength > 0 {
			return errors.New("is about other certificates, or not about all reasons")
		}
		const uri = 6 // GeneralName, uniformResourceIdentifier
		isServer := func(name asn1.RawValue) bool {
			return name.Class == asn1.ClassContextSpecific && name.Tag == uri && string(name.Bytes) == server
		}
		if len(p.Point.FullName) > 0 && !slices.ContainsFunc(p.Point.FullName, isServer) || len(p.Point.RelativeName.FullBytes) > 0 {
			return errors.New("is that of another distribution point")
		}
	}
	return nil
}
