package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"net/url"
	"sync/atomic"
	"time"
)

// ca is a certificate authority.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// edit changes the template of a certificate before it is signed.
type edit func(*x509.Certificate)

func called(name string) edit {
	return func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: name} }
}

func during(from, to time.Time) edit {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// newCA makes an authority that issues certificates for signing code, a root if parent is nil.
func newCA(parent *ca, curve elliptic.Curve, edits ...edit) *ca {
	template := &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"Test"}, CommonName: "Root"}, NotBefore: signed.Add(-year), NotAfter: signed.Add(5 * year),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	c := &ca{key: ecKey(curve)}
	if parent == nil {
		parent = &ca{cert: template, key: c.key}
	} else {
		template.Subject.CommonName = "Intermediate"
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
	c.cert = parent.issue(template, c.key.Public(), edits...)
	return c
}

// serials counts the certificates that are issued.
var serials atomic.Int64

func (c *ca) issue(template *x509.Certificate, public crypto.PublicKey, edits ...edit) *x509.Certificate {
	template.SerialNumber = big.NewInt(0x4fa2 + serials.Add(1))
	for _, e := range edits {
		e(template)
	}
	return c.reissue(template, public)
}

// reissue signs a template as it is.
func (c *ca) reissue(template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	parent := c.cert
	if parent.Raw == nil { // a root's own template
		parent = template
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, public, c.key))))
}

// signer is somebody who signs: with a certificate, or with a bare key.
type signer struct {
	key   crypto.Signer
	cert  *x509.Certificate   // nil: a bare key
	chain []*x509.Certificate // beside cert
}

func bare(key crypto.Signer) *signer { return &signer{key: key} }

// leaf is what a certificate is to say. Its zero value is a certificate for the identity that tests sign with.
type leaf struct {
	key    crypto.Signer
	issuer string            // "": provider; "-": none
	old    bool              // the issuer stands in the older extension alone
	claims map[int]string    // by the last number of Fulcio's extensions
	edits  []edit            // of everything else
	scts   []*ctLog          // nil: the lab's first; none: an empty slice
	before *x509.Certificate // the certificate that the logs saw in place of this one
	swap   *ctLog            // has the ID of a log and another key
	by     *ca               // nil: the lab's intermediate
}

// person issues a certificate with the timestamps of certificate transparency logs in it.
func (l *lab) person(o leaf) *signer {
	if o.key == nil {
		o.key = ecKey(elliptic.P256())
	}
	if o.by == nil {
		o.by = l.inter
	}
	if o.scts == nil {
		o.scts = l.ct[:1]
	}
	template := &x509.Certificate{
		NotBefore: signed, NotAfter: signed.Add(10 * time.Minute), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, URIs: []*url.URL{must(url.Parse(workflow))}, ExtraExtensions: o.extensions(),
	}
	cert := o.by.issue(template, o.key.Public(), o.edits...)
	if len(o.scts) > 0 {
		seen := cert
		if o.before != nil {
			seen = o.before
		}
		template.ExtraExtensions = append(template.ExtraExtensions, sctExtension(seen, o.by.cert, o.scts, o.swap))
		cert = o.by.reissue(template, o.key.Public())
	}
	return &signer{key: o.key, cert: cert, chain: []*x509.Certificate{l.inter.cert, l.root.cert}}
}

// extensions are those that Fulcio writes (its docs/oid-info.md).
func (o *leaf) extensions() []pkix.Extension {
	fulcio := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n} }
	who := o.issuer
	if who == "" {
		who = provider
	}
	var all []pkix.Extension
	if who != "-" {
		all = append(all, pkix.Extension{Id: fulcio(1), Value: []byte(who)})
		if !o.old {
			all = append(all, pkix.Extension{Id: fulcio(8), Value: utf8String(who)})
		}
	}
	for n := 2; n <= 22; n++ {
		switch text := o.claims[n]; {
		case text == "":
		case n < 7:
			all = append(all, pkix.Extension{Id: fulcio(n), Value: []byte(text)})
		default:
			all = append(all, pkix.Extension{Id: fulcio(n), Value: utf8String(text)})
		}
	}
	return all
}

func utf8String(s string) []byte { return must(asn1.MarshalWithParams(s, "utf8")) }

// ctLog is a certificate transparency log (RFC 6962).
type ctLog struct{ logKey }

// sctTime is when logs see certificates.
var sctTime = uint64(signed.UnixMilli())

// sctExtension is the list of the promises of some logs to hold a certificate; cert is the certificate without that list.
func sctExtension(cert, by *x509.Certificate, logs []*ctLog, swap *ctLog) pkix.Extension {
	var list []byte
	for _, l := range logs {
		sct := l.timestamp(cert, by, swap)
		list = append(binary.BigEndian.AppendUint16(list, uint16(len(sct))), sct...)
	}
	list = append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: must(asn1.Marshal(list))}
}

// timestamp is a signed certificate timestamp (section 3.2) over a certificate before its timestamps are in it.
func (l *ctLog) timestamp(cert, by *x509.Certificate, swap *ctLog) []byte {
	tbs, issuerKey := cert.RawTBSCertificate, sha256.Sum256(by.RawSubjectPublicKeyInfo)
	const v1, ofCertificate, precertificate = 0, 0, 1
	message := binary.BigEndian.AppendUint64([]byte{v1, ofCertificate}, sctTime)
	message = append(binary.BigEndian.AppendUint16(message, precertificate), issuerKey[:]...)
	message = append(message, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs)))
	message = append(append(message, tbs...), 0, 0) // no extensions
	key := l
	if swap != nil {
		key = swap
	}
	signature := key.sign(message)
	const sha2, ecdsaSignature = 4, 3
	sct := binary.BigEndian.AppendUint64(append([]byte{v1}, l.id[:]...), sctTime)
	sct = append(sct, 0, 0, sha2, ecdsaSignature)
	return append(binary.BigEndian.AppendUint16(sct, uint16(len(signature))), signature...)
}
