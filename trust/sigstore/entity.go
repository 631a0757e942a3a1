package sigstore

import (
	"crypto"
	"crypto/x509"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// entity is a signature with all that came with it, decoded once: what sigstore-go calls a signed entity.
type entity struct {
	content verify.SignatureContent
	message []byte              // that was signed: a payload, or the pre-authentication encoding of an envelope
	cert    *x509.Certificate   // of the signer; nil: signed by a bare key
	chain   []*x509.Certificate // beside cert
	entries []*tlog.Entry
	stamps  [][]byte // RFC 3161
}

var _ verify.SignedEntity = (*entity)(nil)

// HasInclusionPromise implements verify.SignedEntity.
func (e *entity) HasInclusionPromise() bool {
	for _, entry := range e.entries {
		if entry.HasInclusionPromise() {
			return true
		}
	}
	return false
}

// HasInclusionProof implements verify.SignedEntity.
func (e *entity) HasInclusionProof() bool {
	for _, entry := range e.entries {
		if entry.HasInclusionProof() {
			return true
		}
	}
	return false
}

// SignatureContent implements verify.SignedEntity.
func (e *entity) SignatureContent() (verify.SignatureContent, error) { return e.content, nil }

// Timestamps implements verify.SignedEntity.
func (e *entity) Timestamps() ([][]byte, error) { return e.stamps, nil }

// TlogEntries implements verify.SignedEntity.
func (e *entity) TlogEntries() ([]*tlog.Entry, error) { return e.entries, nil }

// Version implements verify.SignedEntity. It is the newest, whatever was read: older ones differ in what the decoders look at only.
func (e *entity) Version() (string, error) { return "v0.3", nil }

// VerificationContent implements verify.SignedEntity.
func (e *entity) VerificationContent() (verify.VerificationContent, error) {
	if e.cert != nil {
		return bundle.NewCertificate(e.cert), nil
	}
	return bareKey{}, nil
}

// with returns the entity with one log entry only, so that each entry is judged for itself.
func (e *entity) with(entry *tlog.Entry) *entity {
	one := *e
	one.entries = []*tlog.Entry{entry}
	return &one
}

// bareKey stands for the key under test: which one it is stands in the trust material of the check, never in the evidence.
type bareKey struct{}

var _ verify.VerificationContent = bareKey{}

// CompareKey reports whether a key of a log entry is the one under test.
func (bareKey) CompareKey(other any, material root.TrustedMaterial) bool {
	verifier, err := material.PublicKeyVerifier("")
	if err != nil {
		return false
	}
	mine, err := verifier.PublicKey()
	if err != nil {
		return false
	}
	comparable, ok := other.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable.Equal(mine)
}

// ValidAtTime implements verify.VerificationContent.
func (bareKey) ValidAtTime(t time.Time, material root.TrustedMaterial) bool {
	verifier, err := material.PublicKeyVerifier("")
	return err == nil && verifier.ValidAtTime(t)
}

// Certificate implements verify.VerificationContent.
func (bareKey) Certificate() *x509.Certificate { return nil }

// Intermediates implements verify.VerificationContent.
func (bareKey) Intermediates() []*x509.Certificate { return nil }

// PublicKey implements verify.VerificationContent.
func (k bareKey) PublicKey() verify.PublicKeyProvider { return k }

// Hint implements verify.PublicKeyProvider.
func (bareKey) Hint() string { return "" }
