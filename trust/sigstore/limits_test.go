package sigstore

import (
	"crypto/elliptic"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// T43, T47: what one piece may carry is bounded, and a piece that carries more proves nothing.
func TestT43_PartsOfAPiece(t *testing.T) {
	l := home()
	many := func(n int) func(m *made) {
		return func(m *made) { m.entries = slices.Repeat(m.entries[:1], n) }
	}
	stamps := func(n int) func(m *made) {
		return func(m *made) { m.stamps = slices.Repeat(m.stamps[:1], n) }
	}
	chain := func(n int) func(m *made) {
		return func(m *made) { m.chain = slices.Repeat([]*x509.Certificate{l.inter.cert}, n) }
	}
	for name, c := range map[string]struct {
		signing signing
		want    string
	}{
		"as many log entries as may be":     {signing{shape: bundleSignature, made: many(maxLogEntries)}, ""},
		"too many log entries":              {signing{shape: bundleSignature, made: many(maxLogEntries + 1)}, "33 log entries, at most 32 are looked at"},
		"very many log entries":             {signing{shape: bundleSignature, made: many(2000)}, "2000 log entries"},
		"as many time stamps as may be":     {signing{shape: bundleSignature, stamps: l.tsa[:1], made: stamps(maxTimestamps)}, ""},
		"too many time stamps":              {signing{shape: bundleSignature, stamps: l.tsa[:1], made: stamps(maxTimestamps + 1)}, "33 time stamps, at most 32 are looked at"},
		"a chain as long as may be":         {signing{made: chain(trust.MaxChain - 1)}, ""},
		"too long a chain":                  {signing{made: chain(trust.MaxChain)}, "11 certificates, at most 10 are looked at"},
		"much too long a chain":             {signing{made: chain(100)}, "more than 10 certificates"},
		"too long a chain in a bundle":      {signing{shape: bundleSignature, version: "0.2", made: chain(trust.MaxChain)}, "11 certificates, at most 10 are looked at"},
		"too long a chain of a certificate": {signing{shape: legacyAttestation, made: chain(trust.MaxChain)}, "11 certificates"},
		"a proof of great length":           {signing{shape: bundleSignature, made: longProof(100_000)}, "log"},
		"as many names as may be":           {signing{by: l.person(leaf{edits: []edit{uris(slices.Repeat([]string{workflow}, maxNames)...)}})}, ""},
		"too many names":                    {signing{by: l.person(leaf{edits: []edit{uris(slices.Repeat([]string{workflow}, maxNames+1)...)}})}, "101 subject alternative names"},
		"an unknown version":                {signing{shape: bundleSignature, version: "0.4"}, "bundle"},
		"version 0.1 without a promise":     {signing{shape: bundleSignature, version: "0.1", prove: "proof"}, "without the log's promise"},
		"version 0.2 without a proof":       {signing{shape: bundleSignature, version: "0.2", prove: "promise"}, "without a proof of inclusion"},
		"version 0.3 without a proof":       {signing{shape: bundleSignature, prove: "promise"}, "without a proof of inclusion"},
		"version 0.3 with a chain":          {signing{shape: bundleSignature, made: chain(1)}, "carries a chain of certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			o := l.keyless()
			if c.signing.shape == legacyAttestation {
				onlyAttested(&o)
			}
			started := time.Now()
			check(t, newAuthority(t, o), now, c.want, l.sign(app, c.signing))
			if d := time.Since(started); d > 5*time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

func longProof(n int) func(m *made) {
	return func(m *made) {
		p := m.entries[0].InclusionProof
		p.Hashes = slices.Repeat([][]byte{make([]byte, 32)}, n)
	}
}

// In version 0.3 a chain is for an own certificate authority.
func TestChainInVersion03(t *testing.T) {
	l := home()
	withChain := signing{shape: bundleSignature, made: func(m *made) { m.chain = m.by.chain }}
	check(t, newAuthority(t, l.own()), now, "", l.sign(app, withChain))
	check(t, newAuthority(t, l.keyless()), now, "carries a chain", l.sign(app, withChain))
}

// T47: many ways through a chain of certificates cost little.
func TestT47_Maze(t *testing.T) {
	l := home()
	key := ecKey(elliptic.P256())
	maze := &ca{cert: &x509.Certificate{Raw: []byte{}}, key: key}
	called("maze")(maze.cert)
	var certs []*x509.Certificate
	for range trust.MaxChain - 1 {
		certs = append(certs, maze.issue(&x509.Certificate{
			NotBefore: signed.Add(-year), NotAfter: signed.Add(year), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}, key.Public(), called("maze")))
	}
	by := l.person(leaf{by: &ca{cert: certs[0], key: key}})
	by.chain = certs
	started := time.Now()
	check(t, newAuthority(t, l.own()), now, "certificate", l.sign(app, signing{by: by}))
	if d := time.Since(started); d > 5*time.Second {
		t.Errorf("took %s", d)
	}
}

// breaking is trust material that breaks down when it is used, as a library may on foreign bytes.
type breaking struct{ root.TrustedMaterial }

func (breaking) RekorLogs() map[string]*root.TransparencyLog { panic("index out of range") }

// T47: a library that breaks down makes a piece malformed; others beside it count.
func TestT47_PanicsAreRefusals(t *testing.T) {
	l := home()
	for _, o := range []Options{l.keyless(), l.own()} {
		a := newAuthority(t, o)
		seen := watchMaterial(t, a)
		seen.TrustedMaterial = breaking{seen.TrustedMaterial}
		check(t, a, now, "malformed: index out of range", l.sign(app, signing{}))
	}
	p, err := decode(trust.Item{MediaType: typeBundlePrefix, Bytes: []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{},"tlogEntries":[{"logId":{},"canonicalizedBody":"e30="}]}}`)}, false)
	if p != nil || err == nil {
		t.Errorf("piece %v, error %v", p, err)
	}
}

// T47: log entries whose bodies lack what libraries expect are refusals.
func TestT47_BrokenEntries(t *testing.T) {
	l := home()
	a := newAuthority(t, l.keyless())
	for _, body := range []string{
		`{}`, `null`, `[]`, `{"apiVersion":"0.0.1","kind":"dsse"}`, `{"apiVersion":"0.0.1","kind":"dsse","spec":null}`, `{"apiVersion":"0.0.1","kind":"dsse","spec":{}}`,
		`{"apiVersion":"0.0.1","kind":"dsse","spec":{"signatures":[]}}`, `{"apiVersion":"0.0.1","kind":"dsse","spec":{"signatures":[{}],"payloadHash":null,"envelopeHash":{}}}`,
		`{"apiVersion":"0.0.1","kind":"dsse","spec":{"signatures":[{"signature":"AA==","verifier":"AA=="}],"payloadHash":{"algorithm":"sha256"},"envelopeHash":{"algorithm":"sha256"}}}`,
		`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{}}`, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{},"signature":{}}}`,
		`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{}},"signature":{"content":"AA==","publicKey":{"content":"AA=="}}}}`,
		`{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{"payloadType":"x","signatures":[]}}}}`, `{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{}}}`,
		`{"apiVersion":"0.0.1","kind":"intoto","spec":{"content":{"hash":{"algorithm":"sha256","value":"00"}},"publicKey":"AA=="}}`,
		`{"apiVersion":"0.0.1","kind":"rekord","spec":{}}`, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{}}}`, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{}}`,
		`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":null,"signature":{"content":"AA==","verifier":{}}}}}`,
		strings.Repeat("[", 100_000),
	} {
		for _, shape := range []shape{legacySignature, bundleSignature} {
			check(t, a, now, " ", l.sign(app, signing{shape: shape, log: func(c *claimed) { c.kind, c.version, c.body = "dsse", "0.0.1", []byte(body) }}))
			for _, kind := range []string{"hashedrekord", "intoto", ""} {
				check(t, a, now, " ", l.sign(app, signing{shape: shape, log: func(c *claimed) { c.kind, c.version, c.body = kind, "0.0.2", []byte(body) }}))
			}
		}
	}
	for name, change := range map[string]func(e *protorekor.TransparencyLogEntry){
		"no log":            func(e *protorekor.TransparencyLogEntry) { e.LogId = nil },
		"no kind":           func(e *protorekor.TransparencyLogEntry) { e.KindVersion = nil },
		"no body":           func(e *protorekor.TransparencyLogEntry) { e.CanonicalizedBody = nil },
		"no checkpoint":     func(e *protorekor.TransparencyLogEntry) { e.InclusionProof.Checkpoint = nil },
		"an empty one":      func(e *protorekor.TransparencyLogEntry) { e.InclusionProof.Checkpoint.Envelope = "" },
		"lines":             func(e *protorekor.TransparencyLogEntry) { e.InclusionProof.Checkpoint.Envelope = "a - 1\n\n\n\n\n" },
		"an index below 0":  func(e *protorekor.TransparencyLogEntry) { e.LogIndex = -1 },
		"a place below 0":   func(e *protorekor.TransparencyLogEntry) { e.InclusionProof.LogIndex = -1 },
		"a size below 0":    func(e *protorekor.TransparencyLogEntry) { e.InclusionProof.TreeSize = -1 },
		"a long log ID":     func(e *protorekor.TransparencyLogEntry) { e.LogId.KeyId = make([]byte, 1<<20) },
		"no hashes":         func(e *protorekor.TransparencyLogEntry) { e.InclusionProof.Hashes = nil },
		"a short root hash": func(e *protorekor.TransparencyLogEntry) { e.InclusionProof.RootHash = nil },
	} {
		t.Run(name, func(t *testing.T) {
			check(t, a, now, " ", l.sign(app, signing{shape: bundleSignature, neighbours: 3, made: func(m *made) { change(m.entries[0]) }}))
		})
	}
}

// T31: a manifest that could be read as an index, or was served as another type, gives no evidence, however good what it lists is.
func TestT31_Manifests(t *testing.T) {
	l := home()
	a := newAuthority(t, l.keyless())
	for _, shape := range []shape{legacySignature, bundleSignature} {
		p := l.sign(app, signing{shape: shape})
		for name, c := range map[string]struct {
			change func(doc map[string]any)
			want   string
		}{
			"as it should be":        {func(map[string]any) {}, ""},
			"without a type":         {func(doc map[string]any) { delete(doc, "mediaType") }, ""},
			"manifests beside":       {func(doc map[string]any) { doc["manifests"] = []any{} }, "an index where a manifest is wanted"},
			"served as another type": {func(doc map[string]any) { doc["mediaType"] = typeOCIIndex }, "was served as"},
		} {
			t.Run(name, func(t *testing.T) {
				var src trusttest.Source
				blob := map[string]any{"mediaType": p.MediaType, "digest": src.PutBlob(app, p.Bytes).String(), "size": len(p.Bytes), "annotations": p.Annotations}
				doc, at := map[string]any{"mediaType": typeOCIManifest, "layers": []any{blob}}, must(app.At(image.Digest{}).Tagged(Tag(app.Digest(), "sig")))
				if shape.bundles() {
					doc, at = referrer(app, p, blob), app
				}
				c.change(doc)
				src.PutManifest(at, typeOCIManifest, mustJSON(doc))
				proofs, err := find(t, a, &src, app)
				expect(t, proofs, err, c.want)
			})
		}
	}
}

// T43: what says that it is too large is not even asked for.
func TestT43_LargeLayersAreNotFetched(t *testing.T) {
	var src trusttest.Source
	for _, size := range []string{"10485761", "9223372036854775807", "0", "-1"} {
		body := `{"layers":[{"mediaType":"` + typeSimpleSigning + `","digest":"` + app.Digest().String() + `","size":` + size + `}]}`
		src.PutManifest(must(app.At(image.Digest{}).Tagged(Tag(app.Digest(), "sig"))), typeOCIManifest, []byte(body))
		src.FailAt(0, nil)
		proofs, err := find(t, newAuthority(t, home().keyless()), &src, app)
		wantNo(t, proofs, err, size+" bytes, at most 10485760 are looked at")
		if n := src.Requests(); n != 2 {
			t.Errorf("%s: %d requests, want 2", size, n)
		}
	}
}
