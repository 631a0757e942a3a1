package sigstore

import (
	"encoding/base64"
	"errors"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// envelope is a DSSE envelope with one signature, in the form in which sigstore-go asks for it. The library wants texts in base64; they are
// made when it asks, since most checks do not.
type envelope struct {
	payloadType        string
	payload, signature []byte
	keyID              string
}

var (
	_ verify.SignatureContent = (*envelope)(nil)
	_ verify.EnvelopeContent  = (*envelope)(nil)
)

// Signature implements verify.SignatureContent.
func (e *envelope) Signature() []byte { return e.signature }

// EnvelopeContent implements verify.SignatureContent.
func (e *envelope) EnvelopeContent() verify.EnvelopeContent { return e }

// MessageSignatureContent implements verify.SignatureContent.
func (e *envelope) MessageSignatureContent() verify.MessageSignatureContent { return nil }

// RawEnvelope implements verify.EnvelopeContent.
func (e *envelope) RawEnvelope() *dsse.Envelope {
	return &dsse.Envelope{
		PayloadType: e.payloadType,
		Payload:     base64.StdEncoding.EncodeToString(e.payload),
		Signatures:  []dsse.Signature{{KeyID: e.keyID, Sig: base64.StdEncoding.EncodeToString(e.signature)}},
	}
}

// Statement implements verify.EnvelopeContent. Nobody asks: statements are read by a package of ours, more strictly.
func (e *envelope) Statement() (*intoto.Statement, error) {
	return nil, errors.New("the statement is read elsewhere")
}
