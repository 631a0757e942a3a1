package material

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/assay-dev/assay/trust"
)

// Member is an authority or a log of trust material, for people.
type Member struct {
	Kind    string    `json:"kind"`          // fulcio, rekor, ct, tsa, or key of a signer
	URL     string    `json:"url,omitempty"` // where it is reached; empty: not known
	Subject string    `json:"subject,omitempty"`
	Key     string    `json:"key"` // hex key ID of a log; fingerprint of the key of an authority's first certificate
	Type    string    `json:"type"`
	From    time.Time `json:"from,omitzero"`  // what it signed before does not count; zero: not bounded
	Until   time.Time `json:"until,omitzero"` // what it signed later does not count; zero: not bounded
}

// Valid reports whether what the member signs at a time counts.
func (m *Member) Valid(at time.Time) bool { return within(at, m.From, m.Until) }

// Members lists the authorities and logs, by kind, the newest first.
func (r *Root) Members() []Member {
	var all []Member
	for _, a := range r.FulcioCertificateAuthorities() {
		if ca, ok := a.(*CertificateAuthority); ok {
			all = append(all, member("fulcio", ca.URI, ca.ValidityPeriodStart, ca.ValidityPeriodEnd, append(slices.Clone(ca.Intermediates), ca.Root)))
		}
	}
	all = append(all, logMembers("rekor", r.RekorLogs())...)
	all = append(all, logMembers("ct", r.CTLogs())...)
	for _, a := range r.TimestampingAuthorities() {
		if tsa, ok := a.(*TimestampingAuthority); ok {
			all = append(all, member("tsa", tsa.URI, tsa.ValidityPeriodStart, tsa.ValidityPeriodEnd, chainOf(tsa.SigstoreTimestampingAuthority)))
		}
	}
	order := []string{"fulcio", "rekor", "ct", "tsa"}
	slices.SortStableFunc(all, func(a, b Member) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), b.From.Compare(a.From), cmp.Compare(a.Key, b.Key))
	})
	return all
}

func logMembers(kind string, logs map[string]*root.TransparencyLog) []Member {
	var all []Member
	for _, l := range logs {
		all = append(all, Member{
			Kind: kind, URL: l.BaseURL, Key: hex.EncodeToString(l.ID), Type: keyType(l.PublicKey),
			From: unlessEpoch(l.ValidityPeriodStart), Until: l.ValidityPeriodEnd,
		})
	}
	return all
}

// unlessEpoch takes away the start of keys that were given without one.
func unlessEpoch(t time.Time) time.Time {
	if t.Unix() == 0 {
		return time.Time{}
	}
	return t
}

// member describes an authority; a chain bounds the time in which it counts as well.
func member(kind, url string, from, until time.Time, chain []*x509.Certificate) Member {
	m := Member{Kind: kind, URL: url, From: from, Until: until}
	for i, c := range chain {
		if c == nil {
			continue
		}
		if i == 0 {
			m.Subject, m.Key, m.Type = c.Subject.String(), trust.Fingerprint(c.RawSubjectPublicKeyInfo), keyType(c.PublicKey)
		}
		if m.From.IsZero() || c.NotBefore.After(m.From) {
			m.From = c.NotBefore
		}
		if m.Until.IsZero() || c.NotAfter.Before(m.Until) {
			m.Until = c.NotAfter
		}
	}
	return m
}

func keyType(public any) string {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", public)
}
