package certificate

import (
	"crypto/x509"
	"testing"

	"github.com/assay-dev/assay/trust"
)

// benchChain is a leaf under an intermediate under a root, all with P-256 keys.
func benchChain(b *testing.B) (root, inter *ca, leaf *x509.Certificate) {
	root = newCA(b, nil, named("Root"))
	inter = newCA(b, root, named("Intermediate"))
	return root, inter, inter.leaf(b, vouching(app))
}

func BenchmarkCheckCertificate(b *testing.B) {
	root, inter, leaf := benchChain(b)
	a := newAuthority(b, Options{Roots: root.pem()})
	ev := layerOf(b, leaf, inter.cert)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Check(app, ev, now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChainFloor is the bare cost of the signature checks in BenchmarkCheckCertificate: what x509 needs for the same chain,
// parsed, with its pools made.
func BenchmarkChainFloor(b *testing.B) {
	root, inter, leaf := benchChain(b)
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	options.Roots.AddCert(root.cert)
	options.Intermediates.AddCert(inter.cert)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := leaf.Verify(options); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	_, inter, leaf := benchChain(b)
	layer := layerOf(b, leaf, inter.cert).Items[0].Bytes
	var u unpacker
	b.ReportAllocs()
	for b.Loop() {
		if _, err := u.unpack(layer); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckCertificateWithCRL(b *testing.B) {
	root, inter, leaf := benchChain(b)
	a := newAuthorityWithFiles(b, Options{Roots: root.pem(), Intermediates: inter.pem(), CRLs: []CRLOptions{{File: "root"}, {File: "inter"}}},
		map[string][]byte{"root": root.crl(b, nil), "inter": inter.crl(b, nil)})
	ev := trust.Evidence{Items: layerOf(b, leaf).Items}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Check(app, ev, now); err != nil {
			b.Fatal(err)
		}
	}
}
