package sigstore

import (
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/statement"
	"github.com/assay-dev/assay/trust/trusttest"
)

// publication is a piece of evidence as it is published.
type publication struct {
	trust.Item
	suffix      string            // of the tag; "": it is a bundle, whose manifest refers to the image
	annotations map[string]string // of that manifest
}

func (m *made) publication(ref image.Ref) publication {
	if m.shape.bundles() {
		return m.bundle()
	}
	p := publication{suffix: "sig"}
	p.Name, p.MediaType, p.Bytes, p.Annotations = Tag(ref.Digest(), "sig")+"[0]", typeSimpleSigning, m.payload, m.annotations
	p.Annotations[annotationSignature] = base64.StdEncoding.EncodeToString(m.signature)
	if m.shape == legacyAttestation {
		p.suffix, p.MediaType, p.Bytes = "att", typeEnvelope, m.envelope()
		p.Annotations[annotationSignature] = ""
		p.Annotations[annotationPredicateType] = m.predicateType
	}
	if m.cert != nil {
		p.Annotations[annotationCertificate] = pemOf(m.cert)
		p.Annotations[annotationChain] = pemOf(m.chain...)
	}
	for _, e := range m.entries { // there is room for one
		p.Annotations[annotationLog] = string(logAnnotationOf(e))
	}
	for _, s := range m.stamps {
		p.Annotations[annotationTimestamp] = string(mustJSON(map[string]any{"SignedRFC3161Timestamp": s}))
	}
	return p
}

func logAnnotationOf(e *protorekor.TransparencyLogEntry) []byte {
	return mustJSON(map[string]any{
		"SignedEntryTimestamp": e.GetInclusionPromise().GetSignedEntryTimestamp(),
		"Payload": map[string]any{
			"body": e.CanonicalizedBody, "integratedTime": e.IntegratedTime, "logIndex": e.LogIndex, "logID": hex.EncodeToString(e.LogId.KeyId),
		},
	})
}

func (m *made) envelope() []byte {
	one := map[string]any{"keyid": "", "sig": m.signature}
	list := []any{}
	for range m.signatures {
		list = append(list, one)
	}
	return mustJSON(map[string]any{"payloadType": m.payloadType, "payload": m.payload, "signatures": list})
}

func (m *made) bundle() publication {
	b := &protobundle.Bundle{MediaType: "application/vnd.dev.sigstore.bundle+json;version=" + m.version, VerificationMaterial: m.material()}
	if m.version == "0.3" {
		b.MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	}
	p := publication{annotations: map[string]string{}}
	if m.shape == bundleMessage {
		digest := digestOf(crypto.SHA256, m.payload)
		b.Content = &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: digest}, Signature: m.signature,
		}}
	} else {
		envelope := &protodsse.Envelope{PayloadType: m.payloadType, Payload: m.payload}
		for range m.signatures {
			envelope.Signatures = append(envelope.Signatures, &protodsse.Signature{Sig: m.signature})
		}
		b.Content = &protobundle.Bundle_DsseEnvelope{DsseEnvelope: envelope}
		p.annotations[annotationBundleType] = m.predicateType
		if m.shape == bundleSignature {
			p.annotations[annotationBundleType] = statement.CosignSign
		}
	}
	if !m.created.IsZero() {
		p.annotations[annotationCreated] = m.created.Format(time.RFC3339)
	}
	p.Name, p.MediaType, p.Bytes = "bundle", b.MediaType, must(protojson.Marshal(b))
	return p
}

func (m *made) material() *protobundle.VerificationMaterial {
	v := &protobundle.VerificationMaterial{TlogEntries: m.entries}
	for _, s := range m.stamps {
		if v.TimestampVerificationData == nil {
			v.TimestampVerificationData = &protobundle.TimestampVerificationData{}
		}
		v.TimestampVerificationData.Rfc3161Timestamps = append(v.TimestampVerificationData.Rfc3161Timestamps, &protocommon.RFC3161SignedTimestamp{SignedTimestamp: s})
	}
	switch {
	case m.cert == nil:
		v.Content = &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: "a hint"}}
	case len(m.chain) == 0 && m.version == "0.3":
		v.Content = &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: m.cert.Raw}}
	default:
		chain := &protocommon.X509CertificateChain{Certificates: []*protocommon.X509Certificate{{RawBytes: m.cert.Raw}}}
		for _, c := range m.chain {
			chain.Certificates = append(chain.Certificates, &protocommon.X509Certificate{RawBytes: c.Raw})
		}
		v.Content = &protobundle.VerificationMaterial_X509CertificateChain{X509CertificateChain: chain}
	}
	return v
}

// Media types of manifests.
const (
	typeOCIManifest = "application/vnd.oci.image.manifest.v1+json"
	typeOCIIndex    = "application/vnd.oci.image.index.v1+json"
)

// publish stores evidence for ref, each piece after those that are there.
func publish(t testing.TB, src *trusttest.Source, ref image.Ref, all ...publication) {
	t.Helper()
	for _, p := range all {
		blob := map[string]any{"mediaType": p.MediaType, "digest": src.PutBlob(ref, p.Bytes).String(), "size": len(p.Bytes), "annotations": p.Annotations}
		if p.suffix == "" {
			src.PutManifest(ref.At(ref.Digest()), typeOCIManifest, mustJSON(referrer(ref, p, blob)))
			continue
		}
		tag := must(ref.At(image.Digest{}).Tagged(Tag(ref.Digest(), p.suffix)))
		layers := []any{}
		if m, err := src.Manifest(t.Context(), tag); err == nil {
			var doc struct{ Layers []any }
			if err := json.Unmarshal(m.Bytes, &doc); err != nil {
				t.Fatal(err)
			}
			layers = doc.Layers
		}
		src.PutManifest(tag, typeOCIManifest, mustJSON(map[string]any{"schemaVersion": 2, "mediaType": typeOCIManifest, "layers": append(layers, blob)}))
	}
	src.FailAt(0, nil)
}

// referrer is a manifest that refers to an image, as cosign writes it.
func referrer(ref image.Ref, p publication, blob any) map[string]any {
	return map[string]any{
		"schemaVersion": 2, "mediaType": typeOCIManifest, "artifactType": p.MediaType, "layers": []any{blob}, "annotations": p.annotations,
		"subject": map[string]any{"mediaType": typeOCIManifest, "digest": ref.Digest().String(), "size": 3},
	}
}

// newAuthority makes an authority of a section that is right.
func newAuthority(t testing.TB, o Options) *authority {
	t.Helper()
	return newAuthorityWith(t, Config{}, o)
}

func newAuthorityWith(t testing.TB, c Config, o Options) *authority {
	t.Helper()
	a, err := New(c).New(trusttest.Section{Options: o})
	if err != nil {
		t.Fatal(err)
	}
	return a.(*authority)
}

// keyless are options for the identity that tests sign with, changed by edits.
func (l *lab) keyless(edits ...func(*Options)) Options {
	return l.options(SignerOptions{Keyless: &KeylessOptions{Identities: []IdentityOptions{{Issuer: provider, Subject: workflow}}}}, edits...)
}

// keyed are options for keys.
func (l *lab) keyed(s *signer, edits ...func(*Options)) Options {
	return l.options(SignerOptions{Key: &KeyOptions{PEM: pemKey(s.key.Public())}}, edits...)
}

// own are options for an own certificate authority, which in tests is the lab's.
func (l *lab) own(edits ...func(*Options)) Options {
	return l.options(SignerOptions{PKI: &PKIOptions{Roots: pemOf(l.root.cert), Names: []NameOptions{{URI: workflow}}}}, edits...)
}

func (l *lab) options(s SignerOptions, edits ...func(*Options)) Options {
	o := Options{SignerOptions: s, TrustedRoot: &TrustedRootOptions{Inline: l.trusted()}}
	for _, e := range edits {
		e(&o)
	}
	return o
}

// items is evidence without a registry.
func items(all ...publication) trust.Evidence {
	var ev trust.Evidence
	for _, p := range all {
		ev.Items = append(ev.Items, p.Item)
	}
	return ev
}

// check checks pieces of evidence for app, and wants a proof if part is "", else a "no" with that part.
func check(t testing.TB, a trust.Authority, now time.Time, part string, all ...publication) []trust.Proof {
	t.Helper()
	proofs, err := a.Check(app, items(all...), now)
	expect(t, proofs, err, part)
	return proofs
}

// expect wants a proof if part is "", else a "no" with that part.
func expect(t testing.TB, proofs []trust.Proof, err error, part string) {
	t.Helper()
	if part == "" {
		if err != nil || len(proofs) == 0 {
			t.Fatalf("%d proofs, error %v, want a proof", len(proofs), err)
		}
		return
	}
	wantNo(t, proofs, err, part)
}

// wantNo fails unless a check ended in a "no" whose text has a part.
func wantNo(t testing.TB, proofs []trust.Proof, err error, part string) {
	t.Helper()
	if len(proofs) > 0 {
		t.Fatal("proved, want a no")
	}
	if !trust.IsNo(err) {
		t.Fatalf("error = %v, want a no", err)
	}
	if !strings.Contains(err.Error(), part) {
		t.Errorf("error = %v, want one with %q", err, part)
	}
}

// wantUnclear fails unless it could not be told, for a reason with a part.
func wantUnclear(t testing.TB, proofs []trust.Proof, err error, part string) {
	t.Helper()
	if len(proofs) > 0 || err == nil || trust.IsNo(err) || !strings.Contains(err.Error(), part) {
		t.Fatalf("%d proofs, error %v, want cannot tell with %q", len(proofs), err, part)
	}
}
