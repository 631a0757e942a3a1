package notation

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	_ "github.com/notaryproject/notation-core-go/signature/cose" // reads its type of envelopes
	_ "github.com/notaryproject/notation-core-go/signature/jws"  // reads its type of envelopes
	"github.com/veraison/go-cose"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Types of what is published (Notary Project specification, signature-specification.md).
const (
	typeSignature = "application/vnd.cncf.notary.signature" // of the manifest that refers to the image
	typeJWS       = "application/jose+json"
	typeCOSE      = "application/cose"
	typePayload   = "application/vnd.cncf.notary.payload.v1+json"
	pluginHeader  = "io.cncf.notary.verificationPlugin"
)

// scheme is how a signature says when it was made.
type scheme = signature.SigningScheme

const (
	schemeX509      = signature.SigningSchemeX509
	schemeAuthority = signature.SigningSchemeX509SigningAuthority
)

func isEnvelope(mediaType string) bool { return mediaType == typeJWS || mediaType == typeCOSE }

// signed is a signature whose bytes hold together: the key of the first certificate signed the payload, and each certificate issued the one
// before it. Whether any of them counts is not decided yet.
type signed struct {
	scheme      scheme
	chain       []*x509.Certificate // the leaf first, the root last
	digest      image.Digest
	annotations map[string]string
	claimedAt   time.Time // as the signer says
	expiry      time.Time // zero: none
	token       []byte    // a time stamp over signature, or nil
	signature   []byte
}

// open reads an envelope and checks its signature. It never panics: a library that does on foreign bytes has found them malformed.
func open(mediaType string, envelope []byte) (s *signed, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			s, err = nil, fmt.Errorf("malformed: %v", caught)
		}
	}()
	switch {
	case !isEnvelope(mediaType):
		return nil, fmt.Errorf("%q is no type of signatures", clip(mediaType))
	case len(envelope) > maxEnvelope:
		return nil, fmt.Errorf("%d bytes, at most %d are looked at", len(envelope), maxEnvelope)
	}
	// Before the library checks each link of a chain, which may be long and of large keys.
	if err := checkChain(mediaType, envelope); err != nil {
		return nil, err
	}
	parsed, err := signature.ParseEnvelope(mediaType, envelope)
	if err != nil {
		return nil, fmt.Errorf("malformed: %w", err)
	}
	content, err := parsed.Verify()
	if err != nil {
		return nil, err
	}
	return read(content)
}

// checkChain bounds the chain of an envelope that nobody checked yet.
func checkChain(mediaType string, envelope []byte) error {
	var chain [][]byte
	if mediaType == typeJWS {
		var unprotected struct {
			Header struct {
				Chain [][]byte `json:"x5c"`
			} `json:"header"`
		}
		if err := json.Unmarshal(envelope, &unprotected); err != nil {
			return fmt.Errorf("malformed: %w", err)
		}
		chain = unprotected.Header.Chain
	} else {
		var message cose.Sign1Message
		if err := message.UnmarshalCBOR(envelope); err != nil {
			return fmt.Errorf("malformed: %w", err)
		}
		certs, _ := message.Headers.Unprotected[cose.HeaderLabelX5Chain].([]any)
		for _, c := range certs {
			der, _ := c.([]byte)
			chain = append(chain, der)
		}
	}
	switch {
	case len(chain) == 0:
		return errors.New("holds no chain of certificates")
	case len(chain) > trust.MaxChain:
		return fmt.Errorf("chain of %d certificates, at most %d are allowed", len(chain), trust.MaxChain)
	}
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("malformed certificate: %w", err)
		}
		if err := checkKey(c); err != nil {
			return err
		}
	}
	return nil
}

// read takes out of a checked envelope what counts, and refuses what nobody here understands.
func read(content *signature.EnvelopeContent) (*signed, error) {
	info := &content.SignerInfo
	s := &signed{
		scheme: info.SignedAttributes.SigningScheme, chain: info.CertificateChain,
		claimedAt: info.SignedAttributes.SigningTime, expiry: info.SignedAttributes.Expiry,
		token: info.UnsignedAttributes.TimestampSignature, signature: slices.Clone(info.Signature),
	}
	if len(s.chain) > trust.MaxChain {
		return nil, fmt.Errorf("chain of %d certificates, at most %d are allowed", len(s.chain), trust.MaxChain)
	}
	if err := checkAttributes(info.SignedAttributes.ExtendedAttributes); err != nil {
		return nil, err
	}
	if content.Payload.ContentType != typePayload {
		return nil, fmt.Errorf("payload of type %q, want %s", clip(content.Payload.ContentType), typePayload)
	}
	return s, s.readPayload(content.Payload.Content)
}

// checkAttributes refuses what a signer says must be understood. A plugin is a program that the signer names: none is run.
func checkAttributes(attributes []signature.Attribute) error {
	for _, a := range attributes {
		key, _ := a.Key.(string)
		switch {
		case strings.HasPrefix(key, pluginHeader): // its minimum version too
			name, _ := a.Value.(string)
			return fmt.Errorf("must be checked by the verification plugin %q, and plugins are not run", clip(name))
		case a.Critical:
			return fmt.Errorf("has the critical attribute %q, which is unknown here", clip(fmt.Sprint(a.Key)))
		}
	}
	return nil
}

func (s *signed) readPayload(content []byte) error {
	var payload struct {
		TargetArtifact struct {
			Digest      string            `json:"digest"`
			Annotations map[string]string `json:"annotations"`
		} `json:"targetArtifact"`
	}
	if err := json.Unmarshal(content, &payload); err != nil {
		return fmt.Errorf("malformed payload: %w", err)
	}
	digest, err := image.ParseDigest(payload.TargetArtifact.Digest)
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	s.digest, s.annotations = digest, payload.TargetArtifact.Annotations
	return nil
}

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
