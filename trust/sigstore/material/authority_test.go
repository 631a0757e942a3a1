package material

import (
	"bytes"
	"crypto/x509"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"pgregory.net/rapid"
)

// compare asks the authority and the library about a leaf; they must agree.
func compare(t testing.TB, a *CertificateAuthority, leaf *x509.Certificate, at time.Time) bool {
	t.Helper()
	chains, err := a.Verify(leaf, at)
	want, wantErr := a.FulcioCertificateAuthority.Verify(leaf, at)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("got %v, the library says %v", err, wantErr)
	}
	equal := func(a, b []*x509.Certificate) bool {
		return slices.EqualFunc(a, b, func(x, y *x509.Certificate) bool { return bytes.Equal(x.Raw, y.Raw) })
	}
	if !slices.EqualFunc(chains, want, equal) {
		t.Fatalf("got chains of %d, the library's are of %d", len(chains), len(want))
	}
	return err == nil
}

func authorityOf(r *ca, intermediates ...*ca) *CertificateAuthority {
	lib := &root.FulcioCertificateAuthority{Root: r.cert}
	for _, i := range intermediates {
		lib.Intermediates = append(lib.Intermediates, i.cert)
	}
	return newAuthority(lib)
}

// TestT19_Chain shows that the whole chain must be valid at the time that counts, although its upper part was verified before.
func TestT19_Chain(t *testing.T) {
	code := usages(x509.ExtKeyUsageCodeSigning)
	ended, began := during(now.Add(-365*day), now.Add(-day)), during(now.Add(day), now.Add(2*day))
	r := newCA(t, nil, named("root"))
	i := newCA(t, r, named("intermediate"), code)
	rows := []struct {
		name   string
		make   func() (*CertificateAuthority, *x509.Certificate)
		at     time.Time
		good   bool
		pinned bool
	}{
		{"all valid", func() (*CertificateAuthority, *x509.Certificate) { return authorityOf(r, i), i.leaf(t) }, now, true, true},
		{"leaf expired", func() (*CertificateAuthority, *x509.Certificate) { return authorityOf(r, i), i.leaf(t) }, now.Add(time.Hour), false, true},
		{"leaf not yet valid", func() (*CertificateAuthority, *x509.Certificate) { return authorityOf(r, i), i.leaf(t) }, now.Add(-time.Second), false, true},
		{"last second", func() (*CertificateAuthority, *x509.Certificate) { return authorityOf(r, i), i.leaf(t) }, now.Add(10 * time.Minute), true, true},
		{"intermediate expired", func() (*CertificateAuthority, *x509.Certificate) {
			i := newCA(t, r, named("expired"), code, ended)
			return authorityOf(r, i), i.leaf(t)
		}, now, false, true},
		{"intermediate not yet valid", func() (*CertificateAuthority, *x509.Certificate) {
			i := newCA(t, r, named("tomorrow"), code, began)
			return authorityOf(r, i), i.leaf(t)
		}, now, false, true},
		{"root expired", func() (*CertificateAuthority, *x509.Certificate) {
			r := newCA(t, nil, named("expired"), ended)
			i := newCA(t, r, named("intermediate"), code)
			return authorityOf(r, i), i.leaf(t)
		}, now, false, true},
		{"root not yet valid", func() (*CertificateAuthority, *x509.Certificate) {
			r := newCA(t, nil, named("tomorrow"), began)
			i := newCA(t, r, named("intermediate"), code)
			return authorityOf(r, i), i.leaf(t)
		}, now, false, true},
		{"root and intermediate never valid together", func() (*CertificateAuthority, *x509.Certificate) {
			r := newCA(t, nil, named("expired"), ended)
			i := newCA(t, r, named("tomorrow"), code, began)
			return authorityOf(r, i), i.leaf(t, during(now.Add(-1000*day), now.Add(1000*day)))
		}, now, false, false},
		{"authority retired", func() (*CertificateAuthority, *x509.Certificate) {
			a := authorityOf(r, i)
			a.ValidityPeriodEnd = now.Add(-time.Second)
			return a, i.leaf(t)
		}, now, false, true},
		{"authority not yet in service", func() (*CertificateAuthority, *x509.Certificate) {
			a := authorityOf(r, i)
			a.ValidityPeriodStart = now.Add(time.Second)
			return a, i.leaf(t)
		}, now, false, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			a, leaf := row.make()
			if got := compare(t, a, leaf, row.at); got != row.good || a.pinned != row.pinned {
				t.Errorf("got good %v and pinned %v, want %v and %v", got, a.pinned, row.good, row.pinned)
			}
		})
	}
}

func TestAuthorityAgreesWithLibrary(t *testing.T) {
	code := usages(x509.ExtKeyUsageCodeSigning)
	r := newCA(t, nil, named("root"))
	i := newCA(t, r, named("intermediate"), code, pathLength(0))
	other := newCA(t, newCA(t, nil, named("root")), named("intermediate"), code)
	noNames := func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"acme.example"} }
	_, network, _ := net.ParseCIDR("10.0.0.0/8")
	noAddresses := func(c *x509.Certificate) { c.ExcludedIPRanges = []*net.IPNet{network} }
	dns := func(names ...string) edit { return func(c *x509.Certificate) { c.DNSNames = names } }
	noCA := func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }
	below := func(r *ca, edits ...edit) (*CertificateAuthority, *ca) {
		i := newCA(t, r, append([]edit{named("below")}, edits...)...)
		return authorityOf(r, i), i
	}
	type pair struct {
		a    *CertificateAuthority
		leaf *x509.Certificate
	}
	of := func(a *CertificateAuthority, leaf *x509.Certificate) pair { return pair{a, leaf} }
	rows := []struct {
		name string
		pair
		good, pinned bool
	}{
		{"plain", of(authorityOf(r, i), i.leaf(t)), true, true},
		{"leaf for TLS", of(authorityOf(r, i), i.leaf(t, usages(x509.ExtKeyUsageServerAuth))), false, true},
		{"leaf for anything", of(authorityOf(r, i), i.leaf(t, usages(x509.ExtKeyUsageAny))), true, true},
		{"leaf without usage", of(authorityOf(r, i), i.leaf(t, usages())), true, true},
		{"foreign authority of the same names", of(authorityOf(r, i), other.leaf(t)), false, true},
		{"leaf of the root", of(authorityOf(r, i), r.leaf(t)), true, true},
		{"root alone", of(authorityOf(r), r.leaf(t)), true, false},
		{"two intermediates", of(authorityOf(r, i, newCA(t, r, named("second"))), i.leaf(t)), true, false},
		{"the intermediate for a leaf", of(authorityOf(r, i), i.cert), true, true},
		{"the root for a leaf", of(authorityOf(r, i), r.cert), true, true},
		{"leaf with the intermediate's key", of(authorityOf(r, i), i.leafWithKey(t, i.key)), true, true},
		{"leaf with the root's name and key", of(authorityOf(r, i), i.leafWithKey(t, r.key, named("root"))), false, true},
		{"leaf that is an authority", of(authorityOf(r, i), newCA(t, i, named("too deep")).cert), true, true},
		{"leaf below a leaf's authority", of(authorityOf(r, i), newCA(t, i, named("too deep")).leaf(t)), false, true},
	}
	add := func(name string, good, pinned bool, a *CertificateAuthority, leaf *x509.Certificate) {
		rows = append(rows, struct {
			name string
			pair
			good, pinned bool
		}{name, of(a, leaf), good, pinned})
	}
	a, b := below(newCA(t, nil, named("short root"), pathLength(0)), code)
	add("root with path length 0", false, false, a, b.leaf(t))
	a, b = below(newCA(t, nil, named("one below"), pathLength(1)), code)
	add("root with path length 1", true, true, a, b.leaf(t))
	a, b = below(r, usages(x509.ExtKeyUsageServerAuth))
	add("intermediate for TLS", false, false, a, b.leaf(t))
	a, b = below(newCA(t, nil, named("TLS root"), usages(x509.ExtKeyUsageServerAuth)), code)
	add("root for TLS", false, false, a, b.leaf(t))
	a, b = below(r, noCA)
	add("intermediate that is no authority", false, false, a, b.leaf(t))
	a, b = below(r, code, noNames)
	add("intermediate with name constraints, kept", true, false, a, b.leaf(t, dns("app.acme.example")))
	add("intermediate with name constraints, broken", false, false, a, b.leaf(t, dns("app.evil.example")))
	a, b = below(newCA(t, nil, named("constrained"), noNames), code)
	add("root with name constraints, broken", false, false, a, b.leaf(t, dns("app.evil.example")))
	a, b = below(newCA(t, nil, named("constrained"), noAddresses), code)
	add("root with address constraints, broken", false, false, a, b.leaf(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }))
	a, b = below(newCA(t, nil, named("below")), code)
	add("one name for root and intermediate", true, false, a, b.leaf(t))
	add("intermediate of another root", false, false, authorityOf(r, other), other.leaf(t))
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := compare(t, row.a, row.leaf, now); got != row.good || row.a.pinned != row.pinned {
				t.Errorf("got good %v and pinned %v, want %v and %v", got, row.a.pinned, row.good, row.pinned)
			}
		})
	}
	if _, err := authorityOf(r, i).Verify(nil, now); err == nil {
		t.Error("no certificate at all is good")
	}
}

// The library's answer is the authority's, for random chains at random times.
func TestAuthorityProperty(t *testing.T) {
	uses := [][]x509.ExtKeyUsage{nil, {x509.ExtKeyUsageCodeSigning}, {x509.ExtKeyUsageServerAuth}, {x509.ExtKeyUsageAny}, {x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageCodeSigning}}
	keys := []*ca{{key: ecKey(t)}, {key: ecKey(t)}, {key: ecKey(t)}}
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(label string, most int) int { return rapid.IntRange(0, most).Draw(rt, label) }
		edits := func(label string) []edit {
			from := now.Add(time.Duration(draw(label+" from", 6)-3) * day)
			edits := []edit{
				named([]string{"a", "b", "c"}[draw(label+" name", 2)]), usages(uses[draw(label+" usage", len(uses)-1)]...),
				during(from, from.Add(time.Duration(draw(label+" days", 6)+1)*day)),
			}
			if n := draw(label+" path", 3); n < 3 {
				edits = append(edits, func(c *x509.Certificate) {
					if c.IsCA {
						pathLength(n)(c)
					}
				})
			}
			return edits
		}
		r := newCAWithKey(t, nil, keys[0].key, edits("root")...)
		i := newCAWithKey(t, r, keys[draw("intermediate key", 1)].key, edits("intermediate")...)
		by := []*ca{i, i, i, r}[draw("issuer", 3)]
		leaf := by.leafWithKey(t, keys[draw("leaf key", 2)].key, edits("leaf")...)
		a := authorityOf(r, i)
		at := now.Add(time.Duration(draw("at", 12)-6) * 12 * time.Hour)
		if draw("bounded", 3) == 0 {
			a.ValidityPeriodStart = now.Add(time.Duration(draw("service", 4)-2) * day)
			a.ValidityPeriodEnd = a.ValidityPeriodStart.Add(2 * day)
		}
		compare(t, a, leaf, at)
	})
}
