package material

import (
	"crypto/elliptic"
	"crypto/x509"
	"testing"
)

func BenchmarkRootParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseRoot(embeddedJSON); err != nil {
			b.Fatal(err)
		}
	}
}

// chainLikeFulcio is a chain of P-384 authorities with a P-256 leaf, as the public instance has.
func chainLikeFulcio(b *testing.B) (*CertificateAuthority, *x509.Certificate, *x509.Certificate) {
	b.Helper()
	r := newCAWithKey(b, nil, curveKey(b, elliptic.P384()), named("root"))
	i := newCAWithKey(b, r, curveKey(b, elliptic.P384()), named("intermediate"), usages(x509.ExtKeyUsageCodeSigning))
	return authorityOf(r, i), i.cert, i.leaf(b)
}

func BenchmarkLeafVerify(b *testing.B) {
	a, _, leaf := chainLikeFulcio(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Verify(leaf, now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFloorLeafVerify is what x509 alone takes for the same leaf, with the intermediate as its anchor.
func BenchmarkFloorLeafVerify(b *testing.B) {
	_, intermediate, leaf := chainLikeFulcio(b)
	roots := x509.NewCertPool()
	roots.AddCert(intermediate)
	o := x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := leaf.Verify(o); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLibraryLeafVerify is what the library takes, which verifies the whole chain.
func BenchmarkLibraryLeafVerify(b *testing.B) {
	a, _, leaf := chainLikeFulcio(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.FulcioCertificateAuthority.Verify(leaf, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSourceRoot(b *testing.B) {
	k, _ := keeperAt(b, now)
	source := k.PublicGood(0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := source.Root(now); err != nil {
			b.Fatal(err)
		}
	}
}
