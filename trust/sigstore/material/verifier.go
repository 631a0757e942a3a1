package material

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/assay-dev/assay/trust"
)

// Verifier returns what checks signatures of the key, as cosign 2 and 3 write them: cosign 2 hashes with SHA-256 whatever the key, cosign
// 3 with what suits the curve; RSA is padded by PKCS #1 v1.5 or PSS; Ed25519 signs messages, or their SHA-512 (Ed25519ph).
func (k *Key) Verifier() signature.Verifier { return &verifier{k.Public} }

type verifier struct{ public crypto.PublicKey }

var (
	_             signature.Verifier = (*verifier)(nil)
	errNoMatch                       = errors.New("the signature is not by this key")
	errOnlyDigest                    = errors.New("an Ed25519 signature cannot be checked with a digest alone, unless that is SHA-512")
)

// PublicKey implements signature.Verifier.
func (v *verifier) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return v.public, nil
}

// VerifySignature implements signature.Verifier. With options.WithDigest the message is not read.
func (v *verifier) VerifySignature(sig, message io.Reader, opts ...signature.VerifyOption) error {
	var digest []byte
	for _, o := range opts {
		o.ApplyDigest(&digest)
	}
	s, err := readUpTo(sig, maxKey)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	signed := signed{digest: digest}
	if digest == nil {
		if signed.message, err = readUpTo(message, trust.MaxEvidence); err != nil {
			return fmt.Errorf("signed message: %w", err)
		}
	}
	switch key := v.public.(type) {
	case *ecdsa.PublicKey:
		return verifyECDSA(key, s, signed)
	case *rsa.PublicKey:
		return verifyRSA(key, s, signed)
	case ed25519.PublicKey:
		return verifyEd25519(key, s, signed)
	}
	return fmt.Errorf("key of an unknown kind (%T)", v.public)
}

// signed is what was signed: a message, or the digest of one.
type signed struct{ message, digest []byte }

// hashed returns the digest by a hash function, if that can be had.
func (s signed) hashed(h crypto.Hash) ([]byte, bool) {
	if s.digest != nil {
		return s.digest, len(s.digest) == h.Size()
	}
	w := h.New()
	w.Write(s.message)
	return w.Sum(nil), true
}

// verifyECDSA tries SHA-256 last where the curve has a hash function of its own, as newer signers use that.
func verifyECDSA(key *ecdsa.PublicKey, sig []byte, s signed) error {
	hashes := []crypto.Hash{crypto.SHA256}
	switch key.Curve {
	case elliptic.P384():
		hashes = []crypto.Hash{crypto.SHA384, crypto.SHA256}
	case elliptic.P521():
		hashes = []crypto.Hash{crypto.SHA512, crypto.SHA256}
	}
	for _, h := range hashes {
		if digest, ok := s.hashed(h); ok && ecdsa.VerifyASN1(key, digest, sig) {
			return nil
		}
	}
	return errNoMatch
}

func verifyRSA(key *rsa.PublicKey, sig []byte, s signed) error {
	digest, ok := s.hashed(crypto.SHA256)
	if !ok {
		return errNoMatch
	}
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, sig) == nil {
		return nil
	}
	if rsa.VerifyPSS(key, crypto.SHA256, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}) == nil {
		return nil
	}
	return errNoMatch
}

func verifyEd25519(key ed25519.PublicKey, sig []byte, s signed) error {
	if s.digest == nil && ed25519.Verify(key, s.message, sig) {
		return nil
	}
	digest, ok := s.hashed(crypto.SHA512)
	if !ok {
		return errOnlyDigest
	}
	if ed25519.VerifyWithOptions(key, digest, sig, &ed25519.Options{Hash: crypto.SHA512}) == nil {
		return nil
	}
	return errNoMatch
}

// readUpTo reads at most limit bytes; more are an error.
func readUpTo(r io.Reader, limit int64) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("more than %d bytes", limit)
	}
	return content, nil
}
