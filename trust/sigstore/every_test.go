package sigstore

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"github.com/assay-dev/assay/trust/trusttest"
)

// An attestation of whatever type counts where any is asked for, and nothing that is none.
func TestAnyAttestation(t *testing.T) {
	l := home()
	anyOf := func(o *Options) {
		o.Signature, o.Attestations = "none", []AttestationOptions{{PredicateType: "any", Select: "any"}}
	}
	a := newAuthority(t, l.keyless(anyOf))
	one := l.sign(app, signing{shape: bundleAttestation, predicateType: "https://acme.example/whatever/v7", predicate: map[string]any{}})
	old := l.sign(app, signing{shape: legacyAttestation, predicateType: scanType, predicate: map[string]any{}})
	check(t, a, now, "", one)
	check(t, a, now, "", old)
	check(t, a, now, "no attestation", l.sign(app, signing{shape: bundleSignature}))
	check(t, a, now, "is about another image", l.sign(other, signing{shape: bundleAttestation, predicateType: scanType, predicate: map[string]any{}}))
	check(t, a, now, "attestation", l.sign(app, signing{shape: bundleAttestation, predicateType: scanType, predicate: map[string]any{}, by: l.nobody()}))

	src := new(trusttest.Source)
	publish(t, src, app, one, old)
	ev, err := a.Find(t.Context(), src, app)
	if err != nil || len(ev.Items) != 2 {
		t.Errorf("found %d items, error %v; want 2", len(ev.Items), err)
	}
	for _, choice := range []string{"", "latest", "all"} {
		o := l.keyless(anyOf)
		o.Attestations[0].Select = choice
		if _, err := New(Config{}).New(trusttest.Section{Options: o}); err == nil || !strings.Contains(err.Error(), "select: any") {
			t.Errorf("select %q: error = %v, want one that asks for any", choice, err)
		}
	}
}

// Of two extensions that name the issuer the newer one counts, in whatever order they stand.
func TestNewerIssuerCounts(t *testing.T) {
	older := pkix.Extension{Id: oldIssuer, Value: []byte("https://old.example")}
	newer := pkix.Extension{Id: certificate.OIDIssuerV2, Value: must(asn1.MarshalWithParams("https://new.example", "utf8"))}
	for _, all := range [][]pkix.Extension{{older, newer}, {newer, older}} {
		s, err := subjectOf(&x509.Certificate{Extensions: all})
		if err != nil || s.issuer != "https://new.example" {
			t.Errorf("issuer %q, error %v", s.issuer, err)
		}
	}
	if s, _ := subjectOf(&x509.Certificate{Extensions: []pkix.Extension{older}}); s.issuer != "https://old.example" {
		t.Errorf("issuer %q", s.issuer)
	}
}
