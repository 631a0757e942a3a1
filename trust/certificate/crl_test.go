package certificate

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust"
)

// crl makes a revocation list that is current from issued on for a day.
func (c *ca) crl(t testing.TB, change func(*x509.RevocationList), revoked ...*x509.Certificate) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: issued, NextUpdate: issued.Add(24 * time.Hour)}
	for _, r := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.SerialNumber, RevocationTime: issued})
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, c.cert, c.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// wantCannotTell fails unless a check ended in an error that is no "no".
func wantCannotTell(t *testing.T, proofs []trust.Proof, err error, part string) {
	t.Helper()
	if len(proofs) > 0 || err == nil || trust.IsNo(err) || !strings.Contains(err.Error(), part) {
		t.Errorf("%d proofs, error %v, want cannot tell with %q", len(proofs), err, part)
	}
}

// T21: a listed serial is a no; a list that is missing, out of date or forged means that nobody can tell.
func TestT21_RevocationLists(t *testing.T) {
	root := newCA(t, nil, named("Root"))
	inter := newCA(t, root, named("Intermediate"))
	twin := newCA(t, nil, named("Root"))
	leaf, revoked := root.leaf(t, byName(app)), root.leaf(t, byName(app))
	below := inter.leaf(t, byName(app))
	stale := func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = issued.Add(-time.Hour), issued }
	future := func(l *x509.RevocationList) { l.ThisUpdate = now.Add(time.Second) }
	const missing = "no current CRL"
	for name, c := range map[string]struct {
		crls  [][]byte
		certs []*x509.Certificate
		no    string
		tell  string // part of a "cannot tell"
	}{
		"not listed":                               {[][]byte{root.crl(t, nil, revoked)}, []*x509.Certificate{leaf}, "", ""},
		"DIA-14 listed":                            {[][]byte{root.crl(t, nil, leaf, revoked)}, []*x509.Certificate{leaf}, "was revoked on 2026-03-01T12:00:00Z", ""},
		"listed on the second list":                {[][]byte{root.crl(t, nil), root.crl(t, nil, leaf)}, []*x509.Certificate{leaf}, "was revoked", ""},
		"out of date":                              {[][]byte{root.crl(t, stale, revoked)}, []*x509.Certificate{leaf}, "", missing},
		"out of date, but listed":                  {[][]byte{root.crl(t, stale, leaf)}, []*x509.Certificate{leaf}, "was revoked", ""},
		"out of date and a current one":            {[][]byte{root.crl(t, stale), root.crl(t, nil)}, []*x509.Certificate{leaf}, "", ""},
		"not yet current":                          {[][]byte{root.crl(t, future)}, []*x509.Certificate{leaf}, "", missing},
		"forged by a namesake":                     {[][]byte{twin.crl(t, nil)}, []*x509.Certificate{leaf}, "", missing},
		"a namesake cannot revoke":                 {[][]byte{twin.crl(t, nil, leaf), root.crl(t, nil)}, []*x509.Certificate{leaf}, "", ""},
		"of the intermediate only":                 {[][]byte{inter.crl(t, nil)}, []*x509.Certificate{below, inter.cert}, "", missing},
		"of the root only":                         {[][]byte{root.crl(t, nil)}, []*x509.Certificate{below, inter.cert}, "", missing},
		"of both":                                  {[][]byte{root.crl(t, nil), inter.crl(t, nil)}, []*x509.Certificate{below, inter.cert}, "", ""},
		"the intermediate revoked":                 {[][]byte{root.crl(t, nil, inter.cert), inter.crl(t, nil)}, []*x509.Certificate{below, inter.cert}, "was revoked", ""},
		"the leaf revoked by the intermediate":     {[][]byte{root.crl(t, nil), inter.crl(t, nil, below)}, []*x509.Certificate{below, inter.cert}, "was revoked", ""},
		"the intermediate revoked, leaf's list no": {[][]byte{root.crl(t, nil, inter.cert)}, []*x509.Certificate{below, inter.cert}, "was revoked", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Roots: root.pem()}
			files := map[string][]byte{}
			for i, crl := range c.crls {
				file := string(rune('a' + i))
				files[file] = crl
				o.CRLs = append(o.CRLs, CRLOptions{File: file})
			}
			proofs, err := newAuthorityWithFiles(t, o, files).Check(app, layerOf(t, c.certs...), now)
			if c.tell != "" {
				wantCannotTell(t, proofs, err, c.tell)
				return
			}
			expect(t, proofs, err, c.no)
		})
	}
}

// The proof ends with the list that it rests on.
func TestProofExpiresWithCRL(t *testing.T) {
	root := newCA(t, nil)
	next := now.Add(time.Minute)
	o := Options{Roots: root.pem(), Validity: "issued", CRLs: []CRLOptions{{File: "crl"}}}
	files := map[string][]byte{"crl": root.crl(t, func(l *x509.RevocationList) { l.NextUpdate = next })}
	a := newAuthorityWithFiles(t, o, files)
	ev := layerOf(t, root.leaf(t, byName(app)))
	proofs, err := a.Check(app, ev, now)
	if err != nil || !proofs[0].Expires.Equal(next) {
		t.Fatalf("%+v, error %v, want one that expires at %s", proofs, err, next)
	}
	proofs, err = a.Check(app, ev, next)
	wantCannotTell(t, proofs, err, "no current CRL")
}

func TestCRLOfOpenSSL(t *testing.T) {
	o := Options{Roots: string(testdata(t, "rsa-root.pem")), CRLs: []CRLOptions{{File: "crl"}}}
	for _, file := range []string{"rsa-root.crl", "rsa-root.crl.pem"} {
		t.Run(file, func(t *testing.T) {
			a := newAuthorityWithFiles(t, o, map[string][]byte{"crl": testdata(t, file)})
			for name, want := range map[string]string{"rsa-leaf.pem": "was revoked", "san-leaf.pem": ""} {
				leaf := vector(t, name)
				proofs, err := a.Check(app, layerOf(t, leaf), leaf.NotBefore.Add(time.Hour))
				expect(t, proofs, err, want)
			}
		})
	}
}

func TestParseCRLs(t *testing.T) {
	root := newCA(t, nil)
	good := root.crl(t, nil)
	asPEM := pem.EncodeToMemory(&pem.Block{Type: pemCRL, Bytes: good})
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}
	for name, c := range map[string]struct {
		file  []byte
		lists int
		want  string
	}{
		"DER":            {good, 1, ""},
		"PEM":            {asPEM, 1, ""},
		"two in PEM":     {append(append([]byte{}, asPEM...), asPEM...), 2, ""},
		"nothing":        {nil, 0, "x509"},
		"text":           {[]byte("no list"), 0, "x509"},
		"a certificate":  {[]byte(root.pem()), 0, `"CERTIFICATE"`},
		"broken PEM":     {[]byte("-----BEGIN X509 CRL-----\n"), 0, "malformed"},
		"changes only":   {root.crl(t, func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{critical} }), 0, "critical extension 2.5.29.27"},
		"another issuer": {indirectCRL(t, root), 0, "critical extension 2.5.29.29"},
	} {
		t.Run(name, func(t *testing.T) {
			lists, err := parseCRLs(c.file)
			if c.want == "" {
				if err != nil || len(lists) != c.lists {
					t.Errorf("%d lists, error %v, want %d", len(lists), err, c.lists)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

// indirectCRL has an entry that is about another issuer's certificate.
func indirectCRL(t *testing.T, root *ca) []byte {
	t.Helper()
	return root.crl(t, func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{
			SerialNumber: big.NewInt(1), RevocationTime: issued,
			ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}},
		}}
	})
}

func FuzzParseCRLs(f *testing.F) {
	root := newCA(f, nil)
	f.Add(root.crl(f, nil, root.cert))
	f.Add(testdata(f, "rsa-root.crl.pem"))
	f.Fuzz(func(t *testing.T, file []byte) {
		lists, err := parseCRLs(file)
		if (err == nil) != (len(lists) > 0) {
			t.Errorf("%d lists, error %v", len(lists), err)
		}
	})
}
