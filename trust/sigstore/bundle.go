package sigstore

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Bounds of what a bundle may carry.
const (
	maxLogEntries = 32
	maxTimestamps = 32
)

// decodeBundle reads a Sigstore bundle (protobuf-specs, sigstore_bundle.proto) of version 0.1, 0.2 or 0.3. withChain allows a chain of
// certificates in version 0.3 too, which only an own certificate authority needs.
func decodeBundle(data []byte, withChain bool) (*piece, error) {
	b := new(protobundle.Bundle)
	if err := protojson.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	version, err := (&bundle.Bundle{Bundle: b}).Version()
	if err != nil {
		return nil, err
	}
	if version != "v0.1" && version != "v0.2" && version != "v0.3" {
		return nil, fmt.Errorf("bundle of version %s, known are 0.1 to 0.3", clip(version))
	}
	p := &piece{}
	steps := []func(*protobundle.Bundle) error{
		func(b *protobundle.Bundle) error { return p.readMaterial(b, version, withChain) },
		func(b *protobundle.Bundle) error {
			return p.readEntries(b.GetVerificationMaterial().GetTlogEntries(), version)
		},
		p.readStamps,
		p.readContent,
	}
	for _, step := range steps {
		if err := step(b); err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
	}
	return p, nil
}

func (p *piece) readMaterial(b *protobundle.Bundle, version string, withChain bool) error {
	var der [][]byte
	switch m := b.GetVerificationMaterial().GetContent().(type) {
	case *protobundle.VerificationMaterial_PublicKey:
		return nil // the hint is anybody's word: the policy's keys are tried
	case *protobundle.VerificationMaterial_Certificate:
		der = append(der, m.Certificate.GetRawBytes())
	case *protobundle.VerificationMaterial_X509CertificateChain:
		if version == "v0.3" && !withChain {
			return errors.New("carries a chain of certificates, which version 0.3 allows for an own certificate authority (pki) only")
		}
		for _, c := range m.X509CertificateChain.GetCertificates() {
			der = append(der, c.GetRawBytes())
		}
	}
	if len(der) == 0 {
		return errors.New("has neither certificate nor public key")
	}
	if len(der) > trust.MaxChain {
		return fmt.Errorf("%d certificates, at most %d are looked at", len(der), trust.MaxChain)
	}
	certs := make([]*x509.Certificate, len(der))
	for i := range der {
		c, err := x509.ParseCertificate(der[i])
		if err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
		certs[i] = c
	}
	p.cert = certs[0]
	return p.setChain(certs[1:])
}

// readEntries reads the log entries. Version 0.1 demands the log's promise, later ones a proof of inclusion.
func (p *piece) readEntries(entries []*protorekor.TransparencyLogEntry, version string) error {
	if len(entries) > maxLogEntries {
		return fmt.Errorf("%d log entries, at most %d are looked at", len(entries), maxLogEntries)
	}
	for _, raw := range entries {
		entry, err := tlog.ParseTransparencyLogEntry(raw)
		if err != nil {
			return fmt.Errorf("log entry: %w", err)
		}
		p.entries = append(p.entries, entry)
	}
	switch {
	case len(entries) == 0:
		return nil
	case version == "v0.1" && !p.HasInclusionPromise():
		return errors.New("of version 0.1 without the log's promise")
	case version != "v0.1" && !p.HasInclusionProof():
		return fmt.Errorf("of version %s without a proof of inclusion in the log", version[1:])
	}
	return nil
}

func (p *piece) readStamps(b *protobundle.Bundle) error {
	stamps := b.GetVerificationMaterial().GetTimestampVerificationData().GetRfc3161Timestamps()
	if len(stamps) > maxTimestamps {
		return fmt.Errorf("%d time stamps, at most %d are looked at", len(stamps), maxTimestamps)
	}
	for _, s := range stamps {
		p.stamps = append(p.stamps, s.GetSignedTimestamp())
	}
	return nil
}

func (p *piece) readContent(b *protobundle.Bundle) error {
	switch c := b.GetContent().(type) {
	case *protobundle.Bundle_DsseEnvelope:
		signatures := c.DsseEnvelope.GetSignatures()
		if len(signatures) != 1 {
			return fmt.Errorf("envelope with %d signatures, want 1", len(signatures))
		}
		if len(signatures[0].GetSig()) == 0 {
			return errors.New("envelope without a signature")
		}
		return p.setEnvelope(c.DsseEnvelope.GetPayloadType(), c.DsseEnvelope.GetPayload(), signatures[0].GetSig(), signatures[0].GetKeyid())
	case *protobundle.Bundle_MessageSignature:
		return p.readMessage(c.MessageSignature)
	}
	return errors.New("has neither an envelope nor a signature")
}

// readMessage reads a signature over the image's manifest itself; the digest in it is the image's.
func (p *piece) readMessage(m *protocommon.MessageSignature) error {
	if m.GetMessageDigest().GetAlgorithm() != protocommon.HashAlgorithm_SHA2_256 {
		return fmt.Errorf("signature over a digest of type %s, want SHA2_256", m.GetMessageDigest().GetAlgorithm())
	}
	d, err := image.ParseDigest("sha256:" + hex.EncodeToString(m.GetMessageDigest().GetDigest()))
	if err != nil {
		return err
	}
	if len(m.GetSignature()) == 0 {
		return errors.New("without a signature")
	}
	p.digest = d
	p.content = bundle.NewMessageSignature(m.GetMessageDigest().GetDigest(), protocommon.HashAlgorithm_SHA2_256.String(), m.GetSignature())
	return nil
}
