package material

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/assay-dev/assay/trust"
)

// Limits of public keys. RSA keys outside the bounds, in bits, are refused: shorter ones can be broken, longer ones make checks costly.
const (
	maxKey     = 64 << 10 // bytes of a file with a public key
	minRSABits = 2048
	maxRSABits = 8192
)

// Key is a public key of a signer. It does not change.
type Key struct {
	Public      crypto.PublicKey
	Fingerprint string // of trust.Fingerprint
}

// KeySource is where an authority takes a public key from. It is safe for concurrent use.
type KeySource interface {
	// Name is equal for equal keys, as far as that is known without I/O: the fingerprint of a key that was given, or its reference.
	Name() string
	// Key returns the key to use at now. It does no I/O. An error is a "cannot tell".
	Key(now time.Time) (*Key, error)
	// Version changes whenever Key returns another key; it is cheap.
	Version() string
	// Status says where the key comes from and how old it is.
	Status(now time.Time) Status
}

var _ KeySource = (*Key)(nil)

// ParseKey reads a file with exactly one public key in PEM: ECDSA on P-256, P-384 or P-521, RSA of 2048 bits and more, or Ed25519.
func ParseKey(file []byte) (*Key, error) {
	block, err := onlyBlock(file)
	if err != nil {
		return nil, err
	}
	var public crypto.PublicKey
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, fmt.Errorf("holds a PEM block %q where a public key should be", clip(block.Type))
	}
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return NewKey(public)
}

// NewKey returns a key that was parsed already, after the same checks.
func NewKey(public crypto.PublicKey) (*Key, error) {
	if err := checkPublic(public); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	return &Key{Public: public, Fingerprint: trust.Fingerprint(spki)}, nil
}

// checkPublic refuses kinds of keys that nobody signs images with, and keys that are too weak or too large.
func checkPublic(public crypto.PublicKey) error {
	switch k := public.(type) {
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("Ed25519 key of %d bytes", len(k))
		}
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521() {
			return nil
		}
		return fmt.Errorf("ECDSA key on %s; use one on P-256, P-384 or P-521", k.Curve.Params().Name)
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("RSA key of %d bits; use one of %d to %d", bits, minRSABits, maxRSABits)
		}
		return nil
	}
	return fmt.Errorf("key of an unknown kind (%T); use ECDSA, RSA or Ed25519", public)
}

// onlyBlock returns the PEM block of a file that holds nothing else.
func onlyBlock(file []byte) (*pem.Block, error) {
	if len(file) > maxKey {
		return nil, fmt.Errorf("more than %d bytes", maxKey)
	}
	block, rest := pem.Decode(file)
	if block == nil {
		return nil, errors.New("holds no public key in PEM")
	}
	if err := mistaken(block.Type); err != nil {
		return nil, err
	}
	if again, _ := pem.Decode(rest); again != nil {
		if err := mistaken(again.Type); err != nil {
			return nil, err
		}
		return nil, errors.New("holds several PEM blocks; give each key for itself")
	}
	if junk := bytes.TrimSpace(rest); len(junk) > 0 {
		return nil, errors.New("has something else after the public key; remove it")
	}
	return block, nil
}

// mistaken names what stands where a public key should be. What a private key says is never repeated.
func mistaken(kind string) error {
	switch {
	case strings.Contains(kind, "PRIVATE KEY"):
		return errors.New("is a private key; give the public one, and keep this one secret")
	case strings.Contains(kind, "CERTIFICATE"):
		return errors.New("is a certificate, not a public key; for certificates of an own authority see pki")
	}
	return nil
}

// Name implements KeySource.
func (k *Key) Name() string { return k.Fingerprint }

// Key implements KeySource: a key that was given is always the same.
func (k *Key) Key(time.Time) (*Key, error) { return k, nil }

// Version implements KeySource.
func (k *Key) Version() string { return k.Fingerprint }

// Status implements KeySource.
func (k *Key) Status(time.Time) Status {
	return Status{Name: k.Fingerprint, Kind: KindGiven, Version: k.Fingerprint}
}

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
