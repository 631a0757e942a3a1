package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust/sigstore/statement"
)

// shape is a form of evidence.
type shape int

const (
	legacySignature   shape = iota // a layer under the tag .sig
	legacyAttestation              // a layer under the tag .att
	bundleSignature                // a bundle with a statement of type cosign/sign/v1
	bundleAttestation
	bundleMessage // a bundle with a signature over the image's manifest itself
)

func (s shape) attests() bool { return s == legacyAttestation || s == bundleAttestation }
func (s shape) bundles() bool { return s >= bundleSignature }

// signing says how a signature is made. Its zero value is a keyless signature in the older shape, logged by Rekor v1; each field changes
// one thing, and those after the empty line break one.
type signing struct {
	shape         shape
	version       string // of a bundle; "": 0.3
	by            *signer
	logs          []*rekorLog // nil: the lab's first Rekor v1; empty: none
	prove         string      // promise or proof; "": both, where the shape has room for both
	neighbours    int         // in the log's tree
	stamps        []*tsa
	at            time.Time // when it is logged and stamped; zero: a minute after the certificate was issued
	reference     string    // docker-reference; "": the image's name; "-": none
	annotations   map[string]any
	predicateType string
	predicate     any
	created       time.Time // of a bundle's manifest
	hash          crypto.Hash

	digest  image.Digest             // that is signed in place of the image's
	payload func(text []byte) []byte // changes what is signed
	log     func(*claimed)           // changes what is logged
	stamped func(signature []byte) []byte
	made    func(*made) // changes the parts afterwards
}

// claimed is what a log is told and what it makes of it.
type claimed struct {
	signature []byte
	by        *signer
	message   []byte // that was signed: payload or pre-authentication encoding
	payload   []byte
	hash      crypto.Hash
	logged
}

// made is a signature with all that came with it, before it is written down.
type made struct {
	signing
	payloadType string
	payload     []byte
	signature   []byte
	signatures  int // of an envelope
	cert        *x509.Certificate
	chain       []*x509.Certificate
	entries     []*protorekor.TransparencyLogEntry
	stamps      [][]byte
	annotations map[string]string // of the layer
}

// sign makes a signature of an image.
func (l *lab) sign(ref image.Ref, s signing) publication {
	l.complete(&s)
	m := &made{signing: s, payloadType: typeStatement, payload: s.content(ref), signatures: 1, annotations: map[string]string{}}
	message := m.payload
	if s.shape != legacySignature && s.shape != bundleMessage {
		message = dsse.PAE(m.payloadType, m.payload)
	}
	m.signature = s.by.sign(message, s.hash)
	m.cert = s.by.cert
	if s.shape == legacySignature || s.shape == legacyAttestation || s.version != "0.3" {
		m.chain = s.by.chain
	}
	for _, r := range s.logs {
		m.entries = append(m.entries, r.witness(s, claimed{signature: m.signature, by: s.by, message: message, payload: m.payload, hash: s.hash}))
	}
	over := m.signature
	if s.stamped != nil {
		over = s.stamped(over)
	}
	for _, t := range s.stamps {
		m.stamps = append(m.stamps, t.stamp(over, s.at))
	}
	if s.made != nil {
		s.made(m)
	}
	return m.publication(ref)
}

// complete fills in what is left out.
func (l *lab) complete(s *signing) {
	if s.by == nil {
		s.by = l.person(leaf{})
	}
	if s.logs == nil {
		s.logs = l.rekor[:1]
	}
	if s.at.IsZero() {
		s.at = signed.Add(time.Minute)
	}
	if s.version == "" {
		s.version = "0.3"
	}
	if s.hash == 0 {
		s.hash = hashFor(s.by.key)
	}
	if s.predicateType == "" {
		s.predicateType = "https://acme.example/predicate"
	}
}

// hashFor is the hash function that newer clients use with a key.
func hashFor(key crypto.Signer) crypto.Hash {
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P384():
			return crypto.SHA384
		case elliptic.P521():
			return crypto.SHA512
		}
	case ed25519.PublicKey:
		return crypto.SHA512
	}
	return crypto.SHA256
}

// sign signs as cosign does: by the digest, but Ed25519 by the message.
func (s *signer) sign(message []byte, h crypto.Hash) []byte {
	switch key := s.key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, message)
	case *prehashed:
		return must(key.PrivateKey.Sign(nil, sum512(message), crypto.SHA512))
	case *rsa.PrivateKey:
		return must(rsa.SignPKCS1v15(rand.Reader, key, h, digestOf(h, message)))
	}
	return must(s.key.Sign(rand.Reader, digestOf(h, message), h))
}

// prehashed is a key that signs the SHA-512 of messages (Ed25519ph), as Rekor v2 demands.
type prehashed struct{ ed25519.PrivateKey }

func sum512(message []byte) []byte { return digestOf(crypto.SHA512, message) }

func digestOf(h crypto.Hash, message []byte) []byte {
	w := h.New()
	w.Write(message)
	return w.Sum(nil)
}

// content is what is signed.
func (s *signing) content(ref image.Ref) []byte {
	digest := ref.Digest()
	if !s.digest.IsZero() {
		digest = s.digest
	}
	var text []byte
	switch s.shape {
	case legacySignature:
		name := s.reference
		switch name {
		case "":
			name = ref.Name()
		case "-":
			name = ""
		}
		text = mustJSON(map[string]any{
			"critical": map[string]any{
				"identity": map[string]string{"docker-reference": name},
				"image":    map[string]string{"docker-manifest-digest": digest.String()},
				"type":     "cosign container image signature",
			},
			"optional": s.annotations,
		})
	case bundleMessage:
		text = []byte("app") // the manifest of app, by its digest
		if digest != app.Digest() {
			text = []byte("other")
		}
	default:
		text = s.statement(digest)
	}
	if s.payload != nil {
		text = s.payload(text)
	}
	return text
}

func (s *signing) statement(digest image.Digest) []byte {
	about := map[string]any{"name": "app", "digest": map[string]string{digest.Algorithm(): digest.Hex()}}
	if s.annotations != nil {
		about["annotations"] = s.annotations
	}
	kind, predicate := s.predicateType, s.predicate
	if s.shape == bundleSignature {
		kind, predicate = statement.CosignSign, map[string]any{}
	}
	return mustJSON(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": []any{about}, "predicateType": kind, "predicate": predicate,
	})
}

// witness makes the entry of one log.
func (r *rekorLog) witness(s signing, c claimed) *protorekor.TransparencyLogEntry {
	c.logged = logged{at: s.at, promise: s.prove != "proof", proof: s.prove != "promise", neighbours: s.neighbours}
	if r.tree == 0 {
		c.at, c.promise, c.proof = time.Time{}, false, true
	}
	if s.log != nil {
		s.log(&c)
	}
	if c.body == nil {
		c.writeBody(s.shape, r.tree == 0)
	}
	return r.entry(c.logged)
}

// writeBody writes an entry as the log does (Rekor, types/hashedrekord and types/dsse; rekor-tiles, hashedrekord.proto).
func (c *claimed) writeBody(shape shape, tiles bool) {
	digest := digestOf(c.hash, c.message)
	switch {
	case tiles:
		c.kind, c.version, c.body = "hashedrekord", "0.0.2", mustJSON(map[string]any{
			"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": map[string]any{"hashedRekordV002": map[string]any{
				"data":      map[string]any{"algorithm": protoHash(c.hash), "digest": digest},
				"signature": map[string]any{"content": c.signature, "verifier": c.by.verifier()},
			}},
		})
	case shape == legacySignature || shape == bundleMessage:
		c.kind, c.version, c.body = "hashedrekord", "0.0.1", mustJSON(map[string]any{
			"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": map[string]any{
				"data":      map[string]any{"hash": map[string]string{"algorithm": shortHash(c.hash), "value": hex.EncodeToString(digest)}},
				"signature": map[string]any{"content": c.signature, "publicKey": map[string]any{"content": []byte(c.by.pem())}},
			},
		})
	default:
		payload := map[string]string{"algorithm": "sha256", "value": hex.EncodeToString(digestOf(crypto.SHA256, c.payload))}
		c.kind, c.version, c.body = "dsse", "0.0.1", mustJSON(map[string]any{
			"apiVersion": "0.0.1", "kind": "dsse", "spec": map[string]any{
				"envelopeHash": payload, "payloadHash": payload,
				"signatures": []any{map[string]any{"signature": c.signature, "verifier": []byte(c.by.pem())}},
			},
		})
	}
}

// pem is how Rekor v1 names a signer.
func (s *signer) pem() string {
	if s.cert != nil {
		return pemOf(s.cert)
	}
	return pemKey(s.key.Public())
}

// verifier is how Rekor v2 names a signer.
func (s *signer) verifier() map[string]any {
	v := map[string]any{"keyDetails": keyDetails(s.key.Public()).String()}
	if s.cert != nil {
		v["x509Certificate"] = map[string]any{"rawBytes": s.cert.Raw}
		return v
	}
	v["publicKey"] = map[string]any{"rawBytes": spki(s.key.Public())}
	return v
}

func keyDetails(public crypto.PublicKey) protocommon.PublicKeyDetails {
	switch public := public.(type) {
	case ed25519.PublicKey:
		return protocommon.PublicKeyDetails_PKIX_ED25519_PH
	case *rsa.PublicKey:
		return protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P384():
			return protocommon.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384
		case elliptic.P521():
			return protocommon.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512
		}
	}
	return protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256
}

func protoHash(h crypto.Hash) string {
	return map[crypto.Hash]string{crypto.SHA256: "SHA2_256", crypto.SHA384: "SHA2_384", crypto.SHA512: "SHA2_512"}[h]
}

func shortHash(h crypto.Hash) string {
	return map[crypto.Hash]string{crypto.SHA256: "sha256", crypto.SHA384: "sha384", crypto.SHA512: "sha512"}[h]
}
