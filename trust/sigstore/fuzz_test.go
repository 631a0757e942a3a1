package sigstore

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// shapesOfLab returns a piece of each shape, keyless and by a key, with all kinds of witnesses.
func shapesOfLab() []publication {
	l := home()
	someone, key := l.person(leaf{claims: allClaims()}), bare(ecKey(elliptic.P256()))
	var all []publication
	for _, by := range []*signer{someone, key} {
		for _, s := range []signing{
			{}, {stamps: l.tsa[:1]}, {logs: []*rekorLog{}}, {shape: legacyAttestation}, {shape: bundleSignature, version: "0.1"}, {shape: bundleSignature, version: "0.2", neighbours: 3},
			{shape: bundleSignature, logs: l.tiles[:1], stamps: l.tsa}, {shape: bundleAttestation}, {shape: bundleMessage},
		} {
			s.by = by
			all = append(all, l.sign(app, s))
		}
	}
	return all
}

// recordings reads what real tools wrote.
func recordings(f *testing.F, each func(r recording)) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "recorded", "*.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var r recording
		if json.Unmarshal(content, &r) == nil && r.Image != "" {
			each(r)
		}
	}
}

// recordedLayers are the layers of all manifests of a recording, with their content.
func recordedLayers(r recording) []trust.Item {
	var all []trust.Item
	for _, m := range r.Manifests {
		var doc manifest
		if json.Unmarshal(m.Bytes, &doc) != nil {
			continue
		}
		for _, l := range doc.Layers {
			all = append(all, trust.Item{MediaType: l.MediaType, Annotations: l.Annotations, Bytes: r.Blobs[l.Digest]})
		}
	}
	return all
}

// seeds adds the pieces whose media type begins with a prefix, of the lab and of real tools.
func seeds(f *testing.F, prefix string, add func(item trust.Item)) {
	f.Helper()
	for _, p := range shapesOfLab() {
		if strings.HasPrefix(p.MediaType, prefix) {
			add(p.Item)
		}
	}
	recordings(f, func(r recording) {
		for _, item := range recordedLayers(r) {
			if strings.HasPrefix(item.MediaType, prefix) {
				add(item)
			}
		}
	})
}

// judge decodes and checks an item in every way: whatever comes of it, it is an answer, it comes soon, and it proves app only.
func judge(t *testing.T, authorities []*authority, item trust.Item) {
	started := time.Now()
	for _, a := range authorities {
		ref := app
		proofs, err := a.Check(ref, trust.Evidence{Items: []trust.Item{item}}, now)
		switch {
		case err == nil && len(proofs) == 0, err != nil && len(proofs) > 0, err != nil && !trust.IsNo(err):
			t.Fatalf("%d proofs, error %v", len(proofs), err)
		case err == nil && proofs[0].Digest != ref.Digest():
			t.Fatalf("proof of %s", proofs[0].Digest)
		}
	}
	if d := time.Since(started); d > 10*time.Second {
		t.Fatalf("took %s", d)
	}
}

// judges are authorities of every kind.
func judges(f *testing.F) []*authority {
	l := home()
	key := bare(ecKey(elliptic.P256()))
	return []*authority{
		newAuthority(f, l.keyless()), newAuthority(f, l.keyed(key)), newAuthority(f, l.own(ignoreLog)), newAuthority(f, l.keyless(onlyAttested, timestamped)),
	}
}

func FuzzDecodeBundle(f *testing.F) {
	seeds(f, typeBundlePrefix, func(item trust.Item) { f.Add(item.Bytes) })
	all := judges(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		judge(t, all, trust.Item{MediaType: typeBundlePrefix + ".v0.3+json", Bytes: content})
	})
}

func FuzzDecodeSignature(f *testing.F) {
	seeds(f, typeSimpleSigning, func(item trust.Item) {
		a := item.Annotations
		f.Add(item.Bytes, a[annotationSignature], a[annotationCertificate], a[annotationChain], a[annotationLog], a[annotationTimestamp])
	})
	all := judges(f)
	f.Fuzz(func(t *testing.T, content []byte, signature, certificate, chain, log, stamp string) {
		judge(t, all, trust.Item{MediaType: typeSimpleSigning, Bytes: content, Annotations: map[string]string{
			annotationSignature: signature, annotationCertificate: certificate, annotationChain: chain, annotationLog: log, annotationTimestamp: stamp,
		}})
	})
}

func FuzzDecodeAttestation(f *testing.F) {
	seeds(f, typeEnvelope, func(item trust.Item) {
		f.Add(item.Bytes, item.Annotations[annotationCertificate], item.Annotations[annotationLog])
	})
	all := judges(f)
	f.Fuzz(func(t *testing.T, content []byte, certificate, log string) {
		judge(t, all, trust.Item{MediaType: typeEnvelope, Bytes: content, Annotations: map[string]string{annotationCertificate: certificate, annotationLog: log}})
	})
}

func FuzzCertificateExtensions(f *testing.F) {
	l := home()
	for _, o := range []leaf{{}, {claims: allClaims()}, {old: true}, {issuer: "-", edits: []edit{uris()}}, {edits: []edit{emails("dev@acme.example")}}} {
		f.Add(l.person(o).cert.Raw)
	}
	seeds(f, typeSimpleSigning, func(item trust.Item) {
		if certs, err := parseCertificates(item.Annotations[annotationCertificate]); err == nil && len(certs) > 0 {
			f.Add(certs[0].Raw)
		}
	})
	keyless, own := newAuthority(f, l.keyless()).signer, newAuthority(f, l.own()).signer
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		about, err := subjectOf(c)
		if err != nil {
			return
		}
		who, err := keyless.matchIdentity(about)
		if err == nil && (who.Issuer != provider || who.Subject != workflow) {
			t.Errorf("taken for %+v", who)
		}
		if name, err := own.pki.match(c); err == nil && name != workflow {
			t.Errorf("taken for %q", name)
		}
	})
}

func FuzzEvidenceLayers(f *testing.F) {
	recordings(f, func(r recording) {
		for _, m := range r.Manifests {
			f.Add(m.MediaType, m.Bytes, r.Image[strings.LastIndex(r.Image, "@")+1:])
		}
	})
	f.Fuzz(func(t *testing.T, mediaType string, content []byte, subject string) {
		d, err := image.ParseDigest(subject)
		if err != nil {
			return
		}
		s := &search{authority: &authority{tags: true, bundles: true}, ref: app.At(d)}
		layers, err := s.evidenceLayers(trust.Manifest{MediaType: mediaType, Bytes: content})
		if (err == nil) != (len(layers) > 0) || len(layers) > maxLayers {
			t.Fatalf("%d layers, error %v", len(layers), err)
		}
		for _, l := range layers {
			if l.Digest.IsZero() || !isEvidence(l.MediaType) {
				t.Errorf("layer %+v", l)
			}
		}
		if len(layers) > 0 && !strings.Contains(string(content), d.Hex()) {
			t.Error("layers of a manifest that does not refer to the image")
		}
	})
}

func FuzzLogAnswer(f *testing.F) {
	l := home()
	var entry []byte
	l.sign(app, signing{made: func(m *made) { entry = mustJSON([]any{map[string]any{"uuid": answerOf(m.entries[0])}}) }})
	f.Add(entry)
	f.Add([]byte(`[]`))
	f.Add([]byte(`[{"a":{"body":"e30=","logID":"00"}}]`))
	f.Fuzz(func(t *testing.T, content []byte) {
		e, err := readLogAnswer(content)
		if err != nil && e != nil {
			t.Fatal("an entry and an error")
		}
	})
}
