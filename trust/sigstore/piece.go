package sigstore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/statement"
)

// Media types of evidence.
const (
	typeSimpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
	typeEnvelope      = "application/vnd.dsse.envelope.v1+json"
	typeBundlePrefix  = "application/vnd.dev.sigstore.bundle"
	typeStatement     = statement.PayloadType
)

func isBundle(mediaType string) bool { return strings.HasPrefix(mediaType, typeBundlePrefix) }

// isEvidence reports whether a layer of this type is evidence. Only types that are not packed: what is signed is what is read.
func isEvidence(mediaType string) bool {
	return mediaType == typeSimpleSigning || mediaType == typeEnvelope || isBundle(mediaType)
}

// piece is an item of evidence, decoded. Nothing of it is proved.
type piece struct {
	entity
	claims    *statement.Claims    // of a signature in the older shape
	statement *statement.Statement // of a bundle's or an attestation's envelope
	digest    image.Digest         // of a bundle that signs the image's bytes themselves
}

// attestation returns the type of the predicate, or "" for a signature of the image.
func (p *piece) attestation() string {
	if p.statement == nil || p.statement.PredicateType == statement.CosignSign {
		return ""
	}
	return p.statement.PredicateType
}

// named is what a signature says of the image beside the digest.
type named struct {
	repository  string // canonical name; "" if it names none
	annotations map[string]any
}

// about checks that the piece is about an image and returns what it says of it.
func (p *piece) about(ref image.Ref) (named, error) {
	switch {
	case p.claims != nil:
		if p.claims.Digest != ref.Digest() {
			return named{}, fmt.Errorf("is about another image, %s", p.claims.Digest)
		}
		repository, err := canonicalName(p.claims.Reference)
		return named{repository: repository, annotations: p.claims.Annotations}, err
	case p.statement != nil:
		s, found := p.statement.About(ref.Digest())
		if !found {
			return named{}, fmt.Errorf("is about another image%s", subjects(p.statement))
		}
		return named{annotations: s.Annotations}, nil
	case p.digest.IsZero() || p.digest != ref.Digest():
		return named{}, fmt.Errorf("is about other bytes, %s", p.digest)
	}
	return named{}, nil
}

func subjects(s *statement.Statement) string {
	for _, one := range s.Subjects {
		if d := one.Digest["sha256"]; d != "" {
			return ", sha256:" + clip(d)
		}
	}
	return ""
}

// canonicalName returns the name that a docker-reference names, without tag and digest.
func canonicalName(reference string) (string, error) {
	if reference == "" {
		return "", nil
	}
	r, err := image.Parse(reference)
	if err != nil {
		return "", fmt.Errorf("names a repository that is none: %w", err)
	}
	return r.Name(), nil
}

// decode reads an item. It never panics: a library that does on foreign bytes has found them malformed.
func decode(item trust.Item, withChain bool) (p *piece, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			p, err = nil, fmt.Errorf("malformed: %v", caught)
		}
	}()
	switch {
	case item.MediaType == typeSimpleSigning:
		p, err = decodeSignature(item)
	case item.MediaType == typeEnvelope:
		p, err = decodeAttestation(item)
	case isBundle(item.MediaType):
		p, err = decodeBundle(item.Bytes, withChain)
	case item.MediaType == typeUnreadable:
		return nil, errors.New(string(item.Bytes))
	default:
		return nil, fmt.Errorf("%q is no type of evidence", clip(item.MediaType))
	}
	if err != nil {
		return nil, err
	}
	if found := item.Annotations[annotationLooked]; found != "" {
		entry, err := decodeLookedUp(found)
		if err != nil {
			return nil, fmt.Errorf("log entry that was looked up: %w", err)
		}
		p.entries = append(p.entries, entry)
	}
	return p, nil
}

// setEnvelope makes an envelope with one signature the content of the entity.
func (p *piece) setEnvelope(payloadType string, payload, signature []byte, keyID string) error {
	if payloadType != typeStatement {
		return fmt.Errorf("envelope with a payload of type %q, want %s", clip(payloadType), typeStatement)
	}
	s, err := statement.Parse(payload)
	if err != nil {
		return err
	}
	p.statement = s
	p.message = statement.Envelope{PayloadType: payloadType, Payload: payload}.PAE()
	p.content = &envelope{payloadType: payloadType, payload: payload, signature: signature, keyID: keyID}
	return nil
}
