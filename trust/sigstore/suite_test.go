package sigstore

import (
	"bytes"
	"compress/gzip"
	"crypto/elliptic"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// variant is one way to sign, with the policy that trusts it; each passes the whole suite.
type variant struct {
	options  Options
	signing  signing
	stranger *signer // signs in the same way, and does not count
	outside  []time.Time
	floods   bool // run the flood too, which takes long
}

func ignoreLog(o *Options) { o.InsecureIgnoreLog = true }

func onlyAttested(o *Options) {
	o.Signature, o.Attestations = "none", []AttestationOptions{{PredicateType: "https://acme.example/predicate", Select: "any"}}
}

// withoutMaterial is for options that ask for nothing that only trust material can answer.
func withoutMaterial(o *Options) { o.TrustedRoot = nil }

func timestamped(o *Options) { o.TimestampThreshold = 1 }

// nobody is a certificate for somebody else.
func (l *lab) nobody() *signer {
	return l.person(leaf{issuer: "https://other.example"})
}

func variants() map[string]variant {
	l := home()
	someone, nobody := l.person(leaf{}), l.nobody()
	key, otherKey := bare(ecKey(elliptic.P256())), bare(ecKey(elliptic.P256()))
	stranger := foreign().person(leaf{})
	leafTimes := []time.Time{signed.Add(-time.Second), signed.Add(11 * time.Minute), now}
	tsaOnly := func(shape shape, by *signer) signing {
		return signing{shape: shape, by: by, logs: []*rekorLog{}, stamps: l.tsa[:1]}
	}
	all := map[string]variant{
		"keyless, signature":                       {options: l.keyless(), signing: signing{by: someone}, stranger: nobody, floods: true},
		"keyless, signature with a time stamp too": {options: l.keyless(timestamped), signing: signing{by: someone, stamps: l.tsa[:1]}, stranger: nobody},
		"keyless, signature with a time stamp":     {options: l.keyless(timestamped, ignoreLog), signing: tsaOnly(legacySignature, someone), stranger: nobody},
		"keyless, bundle with a time stamp":        {options: l.keyless(timestamped, ignoreLog), signing: tsaOnly(bundleSignature, someone), stranger: nobody},
		"keyless, bundle with Rekor v2":            {options: l.keyless(), signing: signing{shape: bundleSignature, by: someone, logs: l.tiles[:1], stamps: l.tsa[:1]}, stranger: nobody, floods: true},
		"keyless, bundle with both kinds of Rekor": {options: l.keyless(func(o *Options) { o.LogThreshold = 2 }), signing: signing{shape: bundleSignature, by: someone, logs: []*rekorLog{l.rekor[0], l.tiles[0]}}, stranger: nobody},
		"keyless, bundle of the manifest":          {options: l.keyless(), signing: signing{shape: bundleMessage, by: someone}, stranger: nobody},
		"keyless, attestation":                     {options: l.keyless(onlyAttested), signing: signing{shape: legacyAttestation, by: someone}, stranger: nobody, floods: true},
		"keyless, attestation in a bundle":         {options: l.keyless(onlyAttested), signing: signing{shape: bundleAttestation, by: someone}, stranger: nobody, floods: true},
		"keyless, no log, now":                     {options: l.keyless(ignoreLog), signing: signing{shape: bundleSignature, by: someone, logs: []*rekorLog{}}, stranger: nobody, outside: leafTimes},
		"key, signature with log":                  {options: l.keyed(key), signing: signing{by: key}, stranger: otherKey},
		"key, signature":                           {options: l.keyed(key, ignoreLog, withoutMaterial), signing: signing{by: key, logs: []*rekorLog{}}, stranger: otherKey},
		"key, bundle with log":                     {options: l.keyed(key), signing: signing{shape: bundleSignature, by: key}, stranger: otherKey},
		"key, bundle with Rekor v2":                {options: l.keyed(key), signing: signing{shape: bundleSignature, by: key, logs: l.tiles[:1]}, stranger: otherKey},
		"key, bundle":                              {options: l.keyed(key, ignoreLog, withoutMaterial), signing: signing{shape: bundleSignature, by: key, logs: []*rekorLog{}}, stranger: otherKey, floods: true},
		"key, bundle of the manifest":              {options: l.keyed(key), signing: signing{shape: bundleMessage, by: key}, stranger: otherKey},
		"key, attestation":                         {options: l.keyed(key, onlyAttested), signing: signing{shape: legacyAttestation, by: key}, stranger: otherKey},
		"key, attestation in a bundle":             {options: l.keyed(key, onlyAttested), signing: signing{shape: bundleAttestation, by: key}, stranger: otherKey},
		"pki, signature":                           {options: l.own(), signing: signing{by: someone}, stranger: stranger, floods: true},
		"pki, bundle":                              {options: l.own(), signing: signing{shape: bundleSignature, by: someone, version: "0.2"}, stranger: stranger},
		"pki, attestation":                         {options: l.own(onlyAttested), signing: signing{shape: legacyAttestation, by: someone}, stranger: stranger},
		"pki, signature, no log, now":              {options: l.own(ignoreLog, withoutMaterial), signing: signing{by: someone, logs: []*rekorLog{}}, stranger: stranger, outside: leafTimes},
	}
	for _, version := range []string{"0.1", "0.2", "0.3"} {
		all["keyless, bundle "+version+" with Rekor v1"] = variant{options: l.keyless(), signing: signing{shape: bundleSignature, by: someone, version: version}, stranger: nobody}
	}
	return all
}

func TestSuite(t *testing.T) {
	for name, v := range variants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trusttest.Run(t, v.suite())
		})
	}
}

func (v variant) suite() trusttest.Suite {
	l := home()
	by := func(s signing) func(t *testing.T, src *trusttest.Source, ref image.Ref) {
		return func(t *testing.T, src *trusttest.Source, ref image.Ref) { publish(t, src, ref, l.sign(ref, s)) }
	}
	strange := v.signing
	strange.by = v.stranger
	s := trusttest.Suite{
		Authority:      func(t *testing.T) trust.Authority { return newAuthority(t, v.options) },
		Now:            now,
		Outside:        v.outside,
		Publish:        by(v.signing),
		PublishForeign: by(strange),
		PublishCopy: func(t *testing.T, src *trusttest.Source, ref, of image.Ref) {
			publish(t, src, ref, l.sign(of, v.signing))
		},
		PublishMalformed: v.malformed(),
		NamesRepository:  v.signing.shape == legacySignature,
	}
	if v.floods {
		s.PublishFlood = v.flood
	}
	if len(v.outside) > 0 {
		s.Now = signed.Add(time.Minute)
	}
	return s
}

// flood publishes junk of every kind and, last and newest, what counts.
func (v variant) flood(t *testing.T, src *trusttest.Source, ref image.Ref, n int) {
	l, strange := home(), v.signing
	strange.by, strange.created = v.stranger, signed
	good := v.signing
	good.created = signed.Add(time.Hour)
	if v.signing.shape.bundles() {
		junk := []publication{l.sign(ref, strange), l.sign(ref.At(image.SHA256([]byte("elsewhere"))), v.signing), l.sign(ref, strange)}
		junk[2].Bytes = []byte("junk")
		publishMany(t, src, ref, n, junk, l.sign(ref, good))
		return
	}
	// As a manifest may have 4 MiB, ten thousand layers are small ones.
	junk := []publication{{Item: trust.Item{MediaType: typeSimpleSigning, Bytes: []byte("junk")}}, {Item: trust.Item{MediaType: typeEnvelope, Bytes: []byte("{}")}}}
	junk[0].Annotations = map[string]string{annotationSignature: "AAAA"}
	junk[1].Annotations = map[string]string{annotationSignature: "", annotationCertificate: "junk"}
	publishMany(t, src, ref, n, junk, l.sign(ref, good))
}

// publishMany publishes n pieces, different ones of those given, and a last one.
func publishMany(t testing.TB, src *trusttest.Source, ref image.Ref, n int, junk []publication, last publication) {
	t.Helper()
	layers := make([]any, 0, n+1)
	for i := range n + 1 {
		p := junk[i%len(junk)]
		if i == n {
			p = last
		}
		if last.suffix == "" {
			if i < n {
				p.annotations = maps.Clone(p.annotations)
				p.annotations["number"] = fmt.Sprint(i)
			}
			publish(t, src, ref, p)
			continue
		}
		layers = append(layers, map[string]any{
			"mediaType": p.MediaType, "digest": src.PutBlob(ref, p.Bytes).String(), "size": len(p.Bytes), "annotations": p.Annotations,
		})
	}
	if last.suffix != "" {
		body := mustJSON(map[string]any{"schemaVersion": 2, "mediaType": typeOCIManifest, "layers": layers})
		if len(body) > trust.MaxManifest {
			t.Fatalf("manifest of %d bytes, which no registry serves", len(body))
		}
		src.PutManifest(must(ref.At(image.Digest{}).Tagged(Tag(ref.Digest(), last.suffix))), typeOCIManifest, body)
	}
}

type publisher = func(t *testing.T, src *trusttest.Source, ref image.Ref)

// malformed is evidence that cannot be read, in the place where the variant's is.
func (v variant) malformed() map[string]publisher {
	all := map[string]publisher{}
	maps.Copy(all, v.malformedContent())
	if v.signing.shape.bundles() {
		maps.Copy(all, malformedReferrers())
		return all
	}
	suffix := "sig"
	if v.signing.shape.attests() {
		suffix = "att"
	}
	kind := typeSimpleSigning
	if v.signing.shape.attests() {
		kind = typeEnvelope
	}
	manifest := func(mediaType, body string) publisher {
		return func(t *testing.T, src *trusttest.Source, ref image.Ref) {
			src.PutManifest(must(ref.At(image.Digest{}).Tagged(Tag(ref.Digest(), suffix))), mediaType, []byte(body))
		}
	}
	d := image.SHA256([]byte("x")).String()
	layer := func(size string) string {
		return `{"layers":[{"mediaType":"` + kind + `","digest":"` + d + `","size":` + size + `}]}`
	}
	maps.Copy(all, map[string]publisher{
		"T43 a layer over the limit": manifest(typeOCIManifest, layer("10485761")),
		"T43 a layer without end":    manifest(typeOCIManifest, layer("9223372036854775807")),
		"a negative size":            manifest(typeOCIManifest, layer("-1")),
		"a layer that is not there":  manifest(typeOCIManifest, layer("1")),
		"no JSON":                    manifest(typeOCIManifest, strings.Repeat("[", 100000)),
		"T31 manifests and layers":   manifest(typeOCIManifest, `{"manifests":[{"digest":"`+d+`"}],"layers":[{"mediaType":"`+kind+`","digest":"`+d+`","size":1}]}`),
		"T31 served as another type": manifest(typeOCIManifest, `{"mediaType":"`+typeOCIIndex+`","layers":[{"mediaType":"`+kind+`","digest":"`+d+`","size":1}]}`),
		"an index":                   manifest(typeOCIIndex, `{"manifests":[{"digest":"`+d+`"}]}`),
	})
	return all
}

// malformedContent is evidence that is found, and whose content is amiss.
func (v variant) malformedContent() map[string]publisher {
	l := home()
	changed := func(change func(p *publication)) publisher {
		return func(t *testing.T, src *trusttest.Source, ref image.Ref) {
			p := l.sign(ref, v.signing)
			change(&p)
			publish(t, src, ref, p)
		}
	}
	content := func(b []byte) publisher { return changed(func(p *publication) { p.Bytes = b }) }
	all := map[string]publisher{
		"no JSON":             content([]byte("junk")),
		"an empty object":     content([]byte("{}")),
		"null":                content([]byte("null")),
		"brackets":            content([]byte(strings.Repeat("[", 1<<20))),
		"objects":             content([]byte(strings.Repeat(`{"a":`, 1<<18))),
		"half of it":          changed(func(p *publication) { p.Bytes = p.Bytes[:len(p.Bytes)/2] }),
		"twice":               changed(func(p *publication) { p.Bytes = append(p.Bytes, p.Bytes...) }),
		"T43 as much as fits": content([]byte(`{"x":"` + strings.Repeat("x", trust.MaxEvidence-8) + `"}`)),
		"T44 packed":          content(gzipped([]byte(strings.Repeat(" ", 1<<20)))),
		"of 0 bytes":          content(nil),
	}
	if !v.signing.shape.bundles() {
		for _, name := range []string{annotationCertificate, annotationChain, annotationLog, annotationTimestamp} {
			for _, text := range []string{"junk", "{}", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
				if name == annotationTimestamp && text == "{}" {
					continue // no time stamp, which some variants do not need
				}
				all[name+" "+text[:2]] = changed(func(p *publication) { p.Annotations[name] = text })
			}
		}
	}
	return all
}

// malformedReferrers are manifests that refer to the image, or say so.
func malformedReferrers() map[string]publisher {
	const kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
	d := image.SHA256([]byte("x")).String()
	manifest := func(mediaType, rest string) publisher {
		return func(t *testing.T, src *trusttest.Source, ref image.Ref) {
			src.PutManifest(ref.At(ref.Digest()), mediaType, []byte(`{"artifactType":"`+kind+`","subject":{"digest":"`+ref.Digest().String()+`"}`+rest+`}`))
		}
	}
	layer := func(size string) string {
		return `{"mediaType":"` + kind + `","digest":"` + d + `","size":` + size + `}`
	}
	return map[string]publisher{
		"T43 a layer over the limit": manifest(typeOCIManifest, `,"layers":[`+layer("10485761")+`]`),
		"T43 a layer without end":    manifest(typeOCIManifest, `,"layers":[`+layer("9223372036854775807")+`]`),
		"a negative size":            manifest(typeOCIManifest, `,"layers":[`+layer("-1")+`]`),
		"a layer that is not there":  manifest(typeOCIManifest, `,"layers":[`+layer("1")+`]`),
		"T43 five layers":            manifest(typeOCIManifest, `,"layers":[`+strings.Join(slices.Repeat([]string{layer("1")}, 5), ",")+`]`),
		"no layer":                   manifest(typeOCIManifest, `,"layers":[]`),
		"a layer of another type":    manifest(typeOCIManifest, `,"layers":[{"mediaType":"text/plain","digest":"`+d+`","size":1}]`),
		"T31 manifests and layers":   manifest(typeOCIManifest, `,"manifests":[],"layers":[`+layer("1")+`]`),
		"T31 served as another type": manifest(typeOCIManifest, `,"mediaType":"`+typeOCIIndex+`","layers":[`+layer("1")+`]`),
	}
}

func gzipped(b []byte) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return packed.Bytes()
}
