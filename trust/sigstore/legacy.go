package sigstore

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/tlog"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/statement"
)

// Annotations of a layer that holds a signature or an attestation (cosign, specs/SIGNATURE_SPEC.md).
const (
	annotationSignature   = "dev.cosignproject.cosign/signature"
	annotationCertificate = "dev.sigstore.cosign/certificate"
	annotationChain       = "dev.sigstore.cosign/chain"
	annotationLog         = "dev.sigstore.cosign/bundle"
	annotationTimestamp   = "dev.sigstore.cosign/rfc3161timestamp"
)

// decodeSignature reads a signature in the older shape: the signed payload, and all else in annotations.
func decodeSignature(item trust.Item) (*piece, error) {
	signature, err := base64.StdEncoding.DecodeString(item.Annotations[annotationSignature])
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	if len(signature) == 0 {
		return nil, errors.New("payload without a signature")
	}
	claims, err := statement.ParseClaims(item.Bytes)
	if err != nil {
		return nil, err
	}
	p := &piece{claims: &claims}
	p.message = item.Bytes
	if err := p.readAnnotations(item.Annotations); err != nil {
		return nil, err
	}
	algorithm, digest := payloadDigest(item.Bytes, p.entries)
	p.content = bundle.NewMessageSignature(digest, algorithm, signature)
	return p, nil
}

// payloadDigest hashes a payload with the function that its log entry names: newer clients log SHA-384 for keys on P-384.
func payloadDigest(payload []byte, entries []*tlog.Entry) (algorithm string, digest []byte) {
	for _, e := range entries {
		_, algorithm, ok := e.GetHashedRekordDigest()
		if !ok {
			continue
		}
		if hash, found := hashes[algorithm]; found {
			h := hash.New()
			h.Write(payload)
			return algorithm, h.Sum(nil)
		}
	}
	sum := sha256.Sum256(payload)
	return "sha256", sum[:]
}

// hashes are the functions that log entries name.
var hashes = map[string]crypto.Hash{
	"sha384": crypto.SHA384, protocommon.HashAlgorithm_SHA2_384.String(): crypto.SHA384,
	"sha512": crypto.SHA512, protocommon.HashAlgorithm_SHA2_512.String(): crypto.SHA512,
}

// decodeAttestation reads an attestation in the older shape: an envelope, and the certificate and log entry in annotations.
func decodeAttestation(item trust.Item) (*piece, error) {
	e, err := statement.ParseEnvelope(item.Bytes)
	if err != nil {
		return nil, err
	}
	p := &piece{}
	if err := p.setEnvelope(e.PayloadType, e.Payload, e.Signature, e.KeyID); err != nil {
		return nil, err
	}
	return p, p.readAnnotations(item.Annotations)
}

func (p *piece) readAnnotations(annotations map[string]string) error {
	certs, err := parseCertificates(annotations[annotationCertificate])
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	more, err := parseCertificates(annotations[annotationChain])
	if err != nil {
		return fmt.Errorf("certificate chain: %w", err)
	}
	if len(certs) > 0 {
		p.cert, p.chain = certs[0], append(certs[1:], more...)
	}
	if err := p.setChain(p.chain); err != nil {
		return err
	}
	if text := annotations[annotationLog]; text != "" {
		entry, err := parseLogAnnotation([]byte(text))
		if err != nil {
			return fmt.Errorf("log entry: %w", err)
		}
		p.entries = append(p.entries, entry)
	}
	if text := annotations[annotationTimestamp]; text != "" {
		var stamp struct{ SignedRFC3161Timestamp []byte }
		if err := json.Unmarshal([]byte(text), &stamp); err != nil {
			return fmt.Errorf("time stamp: %w", err)
		}
		p.stamps = append(p.stamps, stamp.SignedRFC3161Timestamp)
	}
	return nil
}

// setChain keeps the certificates beside the signer's own that may stand between it and a root.
func (p *piece) setChain(certs []*x509.Certificate) error {
	if len(certs)+1 > trust.MaxChain {
		return fmt.Errorf("%d certificates, at most %d are looked at", len(certs)+1, trust.MaxChain)
	}
	p.chain = certs
	return nil
}

// parseCertificates reads certificates in PEM; nothing is no error.
func parseCertificates(text string) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if len(certs) == trust.MaxChain {
			return nil, fmt.Errorf("more than %d certificates", trust.MaxChain)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	if text != "" && len(certs) == 0 {
		return nil, errors.New("is not in PEM")
	}
	return certs, nil
}

// logAnnotation is the entry of a Rekor v1 log as cosign writes it: the log's promise, and what it promised.
type logAnnotation struct {
	SignedEntryTimestamp []byte
	Payload              struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogIndex       int64  `json:"logIndex"`
		LogID          string `json:"logID"`
	}
}

func parseLogAnnotation(data []byte) (*tlog.Entry, error) {
	var a logAnnotation
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, err
	}
	raw, err := promised(a.Payload.Body, a.Payload.LogID, a.Payload.LogIndex, a.Payload.IntegratedTime, a.SignedEntryTimestamp)
	if err != nil {
		return nil, err
	}
	return tlog.ParseTransparencyLogEntry(raw)
}

// promised makes a log entry of what a Rekor v1 log promised to hold.
func promised(body []byte, logID string, index, integrated int64, promise []byte) (*protorekor.TransparencyLogEntry, error) {
	id, err := hex.DecodeString(logID)
	if err != nil {
		return nil, fmt.Errorf("log ID: %w", err)
	}
	var kind struct{ Kind, APIVersion string }
	if err := json.Unmarshal(body, &kind); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return &protorekor.TransparencyLogEntry{
		LogIndex:          index,
		LogId:             &protocommon.LogId{KeyId: id},
		KindVersion:       &protorekor.KindVersion{Kind: kind.Kind, Version: kind.APIVersion},
		IntegratedTime:    integrated,
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: promise},
		CanonicalizedBody: body,
	}, nil
}
