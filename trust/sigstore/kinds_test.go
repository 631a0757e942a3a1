package sigstore

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"net"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/assay-dev/assay/trust"
)

// T18: keyless wants a certificate, a key wants none.
func TestT18_KeysAndCertificates(t *testing.T) {
	l := home()
	someone := l.person(leaf{})
	key := bare(someone.key)
	selfSigned := &signer{key: someone.key, cert: (&ca{cert: &x509.Certificate{}, key: ecKey(elliptic.P256())}).issue(&x509.Certificate{NotBefore: signed, NotAfter: signed.Add(year)}, someone.key.Public())}
	for name, p := range routes() {
		for row, c := range map[string]struct {
			options Options
			signing signing
			want    string
		}{
			"a bare key where a certificate is wanted":      {l.keyless(p.demand), signing{by: key}, "signed by a bare key, and a certificate is wanted"},
			"a bare key where an own certificate is wanted": {l.own(p.demand), signing{by: key}, "signed by a bare key"},
			"a certificate where its bare key is wanted":    {l.keyed(key, p.demand), signing{by: someone}, "carries a certificate, and a bare key is wanted"},
			"a certificate by nobody":                       {l.keyless(p.demand), signing{by: selfSigned}, " "},
			"a certificate of another authority":            {l.keyless(p.demand), signing{by: foreign().person(leaf{})}, "no certificate authority"},
			"pki, of another authority":                     {l.own(p.demand), signing{by: foreign().person(leaf{})}, "certificate"},
			"the certificate of somebody else":              {l.keyless(p.demand), signing{by: &signer{key: ecKey(elliptic.P256()), cert: someone.cert, chain: someone.chain}}, "signature"},
			"the intermediate's certificate":                {l.keyless(p.demand), signing{by: &signer{key: l.inter.key, cert: l.inter.cert}}, "issuer"},
		} {
			t.Run(name+"/"+row, func(t *testing.T) {
				c.signing.shape = p.shape
				check(t, newAuthority(t, c.options), now, c.want, l.sign(app, c.signing))
			})
		}
	}
	spkiPEM := pemKey(someone.key.Public())
	legacy := l.sign(app, signing{by: someone})
	legacy.Annotations[annotationCertificate] = spkiPEM
	check(t, newAuthority(t, l.keyless()), now, "certificate", legacy)
	check(t, newAuthority(t, l.keyed(key)), now, "certificate", legacy)
	bundled := l.sign(app, signing{shape: bundleSignature, by: someone})
	bundled.Bytes = bytes.Replace(bundled.Bytes, []byte(base64.StdEncoding.EncodeToString(someone.cert.Raw)), []byte(base64.StdEncoding.EncodeToString(spki(someone.key.Public()))), 1)
	check(t, newAuthority(t, l.keyless()), now, "certificate", bundled)
	check(t, newAuthority(t, l.keyed(key)), now, "certificate", bundled)
}

// Every kind of subject alternative name can be the identity's.
func TestSubjectAlternativeNames(t *testing.T) {
	l := home()
	other := func(c *x509.Certificate) {
		c.URIs = nil
		c.ExtraExtensions = append([]pkix.Extension{*must(cryptoutils.MarshalOtherNameSAN("build!acme.example", true))}, c.ExtraExtensions...)
	}
	for name, c := range map[string]struct {
		edit    edit
		subject string
		rule    NameOptions
	}{
		"URI":        {uris(workflow), workflow, NameOptions{URI: workflow}},
		"e-mail":     {emails("dev@acme.example"), "dev@acme.example", NameOptions{Email: "*@acme.example"}},
		"DNS":        {func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"build.acme.example"} }, "build.acme.example", NameOptions{DNS: "build.acme.example"}},
		"IP":         {func(c *x509.Certificate) { c.URIs, c.IPAddresses = nil, []net.IP{net.ParseIP("192.0.2.1")} }, "192.0.2.1", NameOptions{IP: "192.0.2.1"}},
		"SPIFFE":     {uris("spiffe://acme.example/builder"), "spiffe://acme.example/builder", NameOptions{URIRegExp: `spiffe://acme\.example/.*`}},
		"other name": {other, "build!acme.example", NameOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			by := l.person(leaf{edits: []edit{c.edit}})
			proofs := check(t, newAuthority(t, l.keyless(func(o *Options) { o.Keyless.Identities[0].Subject = c.subject })), now, "", l.sign(app, signing{by: by}))
			if got := proofs[0].Signers[0]; got.Identity != (trust.Identity{Issuer: provider, Subject: c.subject}) || len(got.Names) != 1 || got.Names[0] != c.subject {
				t.Errorf("signer %+v", got)
			}
			check(t, newAuthority(t, l.keyless(func(o *Options) { o.Keyless.Identities[0].Subject = c.subject + "x" })), now, "subject is", l.sign(app, signing{by: by}))
			if c.rule != (NameOptions{}) {
				check(t, newAuthority(t, l.own(func(o *Options) { o.PKI.Names = []NameOptions{c.rule} })), now, "", l.sign(app, signing{by: by}))
			}
		})
	}
}

// T19: a certificate that says something critical which nobody reads proves nothing, also where its name is of a kind that Go does not read.
func TestT19_CriticalExtensions(t *testing.T) {
	l := home()
	const name = "build!acme.example"
	critical := func(value bool) edit {
		return func(c *x509.Certificate) {
			c.URIs = nil
			c.ExtraExtensions = append([]pkix.Extension{
				*must(cryptoutils.MarshalOtherNameSAN(name, true)), {Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: value, Value: []byte{5, 0}},
			}, c.ExtraExtensions...)
		}
	}
	for value, want := range map[bool]string{false: "", true: "unhandled critical extension"} {
		a := newAuthority(t, l.keyless(func(o *Options) { o.Keyless.Identities[0].Subject = name }))
		check(t, a, now, want, l.sign(app, signing{by: l.person(leaf{edits: []edit{critical(value)}})}))
	}
}
