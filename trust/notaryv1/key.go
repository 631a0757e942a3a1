package notaryv1

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/assay-dev/assay/trust"
)

// Lengths of RSA keys that count, in bits.
const (
	minRSA = 2048
	maxRSA = 8192
)

// key is a public key of a role, read from metadata.
type key struct {
	id          string // the TUF key ID, which is computed and not taken from the file's word
	bareID      string // of a key that is written as a certificate: the ID that it has without
	fingerprint string // see trust.Fingerprint: the same for a key and for its certificate
	public      crypto.PublicKey
	chain       []*x509.Certificate // of a key that is written as a certificate: it, and those behind it; else empty
}

// wireKey is a key as metadata write it.
type wireKey struct {
	Type  string `json:"keytype"`
	Value struct {
		Public []byte `json:"public"`
	} `json:"keyval"`
}

// parseKey reads a key that a file lists under id. The ID must be that of the key: the hash of its canonical form (TUF 4.4).
func parseKey(id string, w wireKey) (*key, error) {
	if want := keyID(w.Type, w.Value.Public); id != want {
		return nil, fmt.Errorf("key %q: its ID is %s", clip(id), want)
	}
	k := &key{id: id}
	var err error
	switch w.Type {
	case "ecdsa-x509", "rsa-x509":
		if k.chain, err = parseCertificates(w.Value.Public); err == nil {
			k.public = k.chain[0].PublicKey
		}
	case "ecdsa", "rsa":
		k.public, err = parsePKIX(w.Value.Public)
	case "ed25519":
		if len(w.Value.Public) != ed25519.PublicKeySize {
			err = fmt.Errorf("%d bytes, an Ed25519 key has %d", len(w.Value.Public), ed25519.PublicKeySize)
		}
		k.public = ed25519.PublicKey(slices.Clone(w.Value.Public))
	default:
		err = fmt.Errorf("unknown type %q", clip(w.Type))
	}
	if err == nil {
		err = checkPublicKey(k.public)
	}
	for _, c := range k.chain { // one behind the key that is too weak could be anybody's
		err = cmp.Or(err, checkPublicKey(c.PublicKey))
	}
	var spki []byte
	if err == nil {
		spki, err = x509.MarshalPKIXPublicKey(k.public)
	}
	if err != nil {
		return nil, fmt.Errorf("key %.12s: %w", id, err)
	}
	k.fingerprint = trust.Fingerprint(spki)
	if bare, isCertificate := strings.CutSuffix(w.Type, "-x509"); isCertificate {
		k.bareID = keyID(bare, spki)
	}
	return k, nil
}

// isCalled reports whether a signature's key ID is the key's. That of a key written as a certificate is the certificate's, or the bare
// key's: tools write both.
func (k *key) isCalled(id string) bool {
	return id == k.id || k.bareID != "" && id == k.bareID
}

// until is when a key's certificate ends; keys without one never do.
func (k *key) until() time.Time {
	if len(k.chain) == 0 {
		return time.Unix(1<<40, 0)
	}
	return k.chain[0].NotAfter
}

// keyID computes the ID of a key: the SHA-256 of {"keytype":…,"keyval":{"private":null,"public":…}} in canonical form.
func keyID(keytype string, public []byte) string {
	text := make([]byte, 0, 80+len(public)*3/2)
	text = append(append(append(text, `{"keytype":"`...), keytype...), `","keyval":{"private":null,"public":"`...)
	text = append(base64.StdEncoding.AppendEncode(text, public), `"}}`...)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// parseCertificates reads the PEM of a key that is written as a certificate, with intermediates behind it.
func parseCertificates(content []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a PEM block %q, want CERTIFICATE", clip(block.Type))
		}
		if len(chain) == trust.MaxChain {
			return nil, fmt.Errorf("more than %d certificates", trust.MaxChain)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("holds no certificate in PEM")
	}
	return chain, nil
}

// parsePKIX reads a bare key: DER, or PEM as older clients write RSA keys.
func parsePKIX(content []byte) (crypto.PublicKey, error) {
	if block, _ := pem.Decode(content); block != nil {
		content = block.Bytes
	}
	return x509.ParsePKIXPublicKey(content)
}

// checkPublicKey refuses keys that are too weak, or so large that they only cost time.
func checkPublicKey(public crypto.PublicKey) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return errors.New("the curve P-224 is too weak; P-256, P-384 and P-521 count")
		}
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("an RSA key of %d bits; those of %d to %d bits count", bits, minRSA, maxRSA)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Errorf("a key of type %T; ECDSA, RSA and Ed25519 count", public)
	}
	return nil
}

// signature is a signature as metadata write it.
type signature struct {
	KeyID  string `json:"keyid"`
	Method string `json:"method"`
	Value  []byte `json:"sig"`
}

// verifies reports whether s is k's signature over a message with this SHA-256.
func (k *key) verifies(s signature, message []byte, sum [sha256.Size]byte) bool {
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		return s.Method == "ecdsa" && verifyECDSA(public, sum, s.Value)
	case ed25519.PublicKey:
		return s.Method == "eddsa" && ed25519.Verify(public, message, s.Value)
	case *rsa.PublicKey:
		switch s.Method {
		case "rsapss", "pycrypto-pkcs#1 pss":
			return rsa.VerifyPSS(public, crypto.SHA256, sum[:], s.Value, &rsa.PSSOptions{SaltLength: sha256.Size}) == nil
		case "rsapkcs1v15":
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], s.Value) == nil
		}
	}
	return false
}

// verifyECDSA checks a signature of two numbers of the curve's width, one behind the other.
func verifyECDSA(public *ecdsa.PublicKey, sum [sha256.Size]byte, value []byte) bool {
	width := (public.Curve.Params().BitSize + 7) / 8
	if len(value) != 2*width {
		return false
	}
	r, s := new(big.Int).SetBytes(value[:width]), new(big.Int).SetBytes(value[width:])
	return ecdsa.Verify(public, sum[:], r, s)
}

// window is a time in which something holds.
type window struct {
	what     string
	from, to time.Time // to is the last instant of certificates, and the first one after metadata
	metadata bool
}

// holds returns why the window is not open at now, or "".
func (w window) holds(now time.Time) string {
	switch {
	case now.Before(w.from):
		return fmt.Sprintf("%s is not valid before %s", w.what, w.from.UTC().Format(time.RFC3339))
	case w.metadata && !now.Before(w.to), !w.metadata && now.After(w.to):
		return fmt.Sprintf("%s expired at %s", w.what, w.to.UTC().Format(time.RFC3339))
	}
	return ""
}

// end is the first instant at which the window no longer holds.
func (w window) end() time.Time {
	if w.metadata {
		return w.to
	}
	return w.to.Add(time.Nanosecond)
}
