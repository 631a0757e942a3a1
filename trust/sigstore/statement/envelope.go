package statement

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/assay-dev/assay/trust"
)

// PayloadType is the type of in-toto statements in a DSSE envelope, the only one that is read.
const PayloadType = "application/vnd.in-toto+json"

// Envelope is a DSSE envelope with its one signature.
type Envelope struct {
	PayloadType string
	Payload     []byte
	Signature   []byte
	KeyID       string // a hint by the signer; proves nothing
}

// ParseEnvelope reads a DSSE envelope. Sigstore's carry exactly one signature. An error is a "no".
func ParseEnvelope(data []byte) (Envelope, error) {
	e, err := parseEnvelope(data)
	if err != nil {
		return Envelope{}, trust.Untrusted("envelope of the attestation: %w", err)
	}
	return e, nil
}

func parseEnvelope(data []byte) (Envelope, error) {
	top, err := open(data, trust.MaxEvidence)
	if err != nil {
		return Envelope{}, err
	}
	if err := checkNames(top, "payloadType", "payload", "signatures"); err != nil {
		return Envelope{}, err
	}
	var e Envelope
	if e.PayloadType, err = textOf(top, "payloadType"); err != nil {
		return Envelope{}, err
	}
	if e.PayloadType != PayloadType {
		return Envelope{}, fmt.Errorf("its payloadType %q is not %q", clip(e.PayloadType), PayloadType)
	}
	if e.Payload, err = base64Of(top, "payload"); err != nil {
		return Envelope{}, err
	}
	if err := e.readSignature(top.raw("signatures")); err != nil {
		return Envelope{}, err
	}
	return e, nil
}

func (e *Envelope) readSignature(raw []byte) error {
	if raw == nil {
		return errors.New(`has no member "signatures"`)
	}
	list, err := newReader(raw).elements()
	if err != nil {
		return fmt.Errorf("signatures: %w", err)
	}
	if len(list) != 1 {
		return fmt.Errorf("has %d signatures, want one", len(list))
	}
	members, err := newReader(list[0]).members()
	if err == nil {
		err = checkNames(members, "sig", "keyid")
	}
	if err == nil {
		e.Signature, err = base64Of(members, "sig")
	}
	if err == nil && members.raw("keyid") != nil {
		e.KeyID, err = textOf(members, "keyid")
	}
	if err != nil {
		return fmt.Errorf("signatures[0]: %w", err)
	}
	return nil
}

// base64Of returns a member in base64, in the standard or the URL alphabet (DSSE allows both), with or without padding.
func base64Of(members fields, name string) ([]byte, error) {
	text, err := textOf(members, name)
	if err != nil {
		return nil, err
	}
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	if strings.ContainsAny(text, "\r\n") { // which Go's decoder skips and others refuse
		return nil, fmt.Errorf("%s: has a line break", name)
	}
	if len(text)%4 == 0 {
		text = strings.TrimSuffix(strings.TrimSuffix(text, "="), "=")
	}
	decoded, err := encoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(decoded) == 0 {
		return nil, fmt.Errorf("%s: is empty", name)
	}
	return decoded, nil
}

// PAE returns the bytes that an envelope's signature signs: type and payload, each with its length before it (DSSE, "Pre-Authentication
// Encoding").
func (e Envelope) PAE() []byte {
	b := make([]byte, 0, len("DSSEv1")+2*20+4+len(e.PayloadType)+len(e.Payload))
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(e.PayloadType)), 10)
	b = append(append(append(b, ' '), e.PayloadType...), ' ')
	b = strconv.AppendInt(b, int64(len(e.Payload)), 10)
	return append(append(b, ' '), e.Payload...)
}
