package sigstore

import (
	"bytes"
	"crypto/elliptic"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/statement"
	"github.com/assay-dev/assay/trust/trusttest"
)

// one junk referrer makes a good image unclear.
func TestT45_JunkReferrers(t *testing.T) {
	l := home()
	for name, s := range map[string]shape{"beside a signature": legacySignature, "beside a bundle": bundleSignature} {
		t.Run("a layer whose size is wrong, "+name, func(t *testing.T) {
			var src trusttest.Source
			publish(t, &src, app, l.sign(app, signing{shape: s, created: signed}))
			blob := map[string]any{"mediaType": typeBundlePrefix + ".v0.3+json", "digest": src.PutBlob(app, []byte("junk")).String(), "size": 99}
			p := publication{annotations: map[string]string{annotationCreated: signed.Add(year).Format(time.RFC3339)}}
			p.MediaType = typeBundlePrefix + ".v0.3+json"
			src.PutManifest(app.At(app.Digest()), typeOCIManifest, mustJSON(referrer(app, p, blob)))
			proofs, err := find(t, newAuthority(t, l.keyless()), &src, app)
			expect(t, proofs, err, "")
		})
	}
}

// server puts app with a good bundle or signature into a real registry.
func server(t *testing.T, o registrytest.Options, s shape) (*registrytest.Server, *registry.Client, image.Ref) {
	srv := registrytest.New(t, o)
	digest := srv.PushImage("team/app", "", "", "app")
	ref := image.MustParse(srv.Host() + "/team/app@" + digest.String())
	c, err := registry.New(registry.Config{LoopbackHTTP: true, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	l := home()
	p := l.sign(ref, signing{shape: s, created: signed})
	blob := map[string]any{"mediaType": p.MediaType, "digest": srv.PutBlob("team/app", p.Bytes).String(), "size": len(p.Bytes), "annotations": p.Annotations}
	if p.suffix == "" {
		m := mustJSON(referrer(ref, p, blob))
		srv.PutManifest("team/app", image.SHA256(m).String(), typeOCIManifest, m)
	} else {
		srv.PutManifest("team/app", Tag(digest, "sig"), typeOCIManifest, mustJSON(map[string]any{"schemaVersion": 2, "mediaType": typeOCIManifest, "layers": []any{blob}}))
	}
	return srv, c, ref
}

func TestT45_JunkInARegistry(t *testing.T) {
	l := home()
	put := func(srv *registrytest.Server, target, kind string, content []byte) {
		if target == "" {
			target = image.SHA256(content).String()
		}
		srv.PutManifest("team/app", target, kind, content)
	}
	junk := func(ref image.Ref, more string) []byte {
		return []byte(`{"schemaVersion":2,"mediaType":"` + typeOCIManifest + `","artifactType":"` + typeBundlePrefix + `.v0.3+json","layers":[],` + more +
			`"subject":{"mediaType":"` + typeOCIManifest + `","digest":"` + ref.Digest().String() + `","size":3}}`)
	}
	for name, c := range map[string]struct {
		options registrytest.Options
		shape   shape
		attack  func(srv *registrytest.Server, ref image.Ref)
	}{
		"nothing, signature": {attack: func(*registrytest.Server, image.Ref) {}},
		"nothing, bundle":    {shape: bundleSignature, attack: func(*registrytest.Server, image.Ref) {}},
		"a referrer with a member twice": {shape: bundleSignature, attack: func(srv *registrytest.Server, ref image.Ref) {
			put(srv, "", typeOCIManifest, junk(ref, `"annotations":{"org.opencontainers.image.created":"2030-01-01T00:00:00Z","a":"1","a":"2"},`))
		}},
		"a referrer with a member in another case": {shape: bundleSignature, attack: func(srv *registrytest.Server, ref image.Ref) {
			put(srv, "", typeOCIManifest, junk(ref, `"annotations":{"org.opencontainers.image.created":"2030-01-01T00:00:00Z"},"Layers":[],`))
		}},
		"an index at the tag .sig": {shape: bundleSignature, attack: func(srv *registrytest.Server, ref image.Ref) {
			put(srv, Tag(ref.Digest(), "sig"), typeOCIIndex, []byte(`{"schemaVersion":2,"mediaType":"`+typeOCIIndex+`","manifests":[]}`))
		}},
		"a broken manifest at the tag .sig": {shape: bundleSignature, attack: func(srv *registrytest.Server, ref image.Ref) {
			put(srv, Tag(ref.Digest(), "sig"), typeOCIManifest, []byte(`{"schemaVersion":2,"mediaType":"`+typeOCIManifest+`","layers":[],"layers":[]}`))
		}},
		"an image at the fallback tag": {options: registrytest.Options{NoReferrers: true}, attack: func(srv *registrytest.Server, ref image.Ref) {
			put(srv, "sha256-"+ref.Digest().Hex(), typeOCIManifest, []byte(`{"schemaVersion":2,"mediaType":"`+typeOCIManifest+`","layers":[]}`))
		}},
		"a broken descriptor at the fallback tag": {options: registrytest.Options{NoReferrers: true}, attack: func(srv *registrytest.Server, ref image.Ref) {
			put(srv, "sha256-"+ref.Digest().Hex(), typeOCIIndex, []byte(`{"schemaVersion":2,"mediaType":"`+typeOCIIndex+`","manifests":[]}`))
			srv.SetFault(func(r *http.Request) bool {
				return strings.HasSuffix(r.URL.Path, "/manifests/sha256-"+ref.Digest().Hex())
			}, registrytest.Body([]byte(`{"schemaVersion":2,"mediaType":"`+typeOCIIndex+`","manifests":[{"annotations":{"a":1}}]}`)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			srv, client, ref := server(t, c.options, c.shape)
			c.attack(srv, ref)
			proofs, err := find(t, newAuthority(t, l.keyless()), client, ref)
			expect(t, proofs, err, "")
		})
	}
}

// an image whose digest is a SHA-512.
func TestT13_SHA512(t *testing.T) {
	l := home()
	d, err := image.ParseDigest("sha512:" + strings.Repeat("ab", 64))
	if err != nil {
		t.Fatal(err)
	}
	ref := app.At(d)
	var src trusttest.Source
	publish(t, &src, ref, l.sign(ref, signing{shape: bundleSignature, digest: d}))
	proofs, err := find(t, newAuthority(t, l.keyless()), &src, ref)
	expect(t, proofs, err, "")
}

// a digest that calls itself by another function: only SHA-256 of the manifest is the image's digest.
func TestT13_FunctionOfAMessage(t *testing.T) {
	l := home()
	p := l.sign(app, signing{shape: bundleMessage})
	check(t, newAuthority(t, l.keyless()), now, "", p)
	p.Bytes = bytes.Replace(p.Bytes, []byte(`"SHA2_256"`), []byte(`"SHA3_256"`), 1)
	check(t, newAuthority(t, l.keyless()), now, "signature over a digest of type SHA3_256", p)
}

// a copy without its log entry makes every decision depend on the log.
func TestT45_StrippedCopyAndALogThatIsDown(t *testing.T) {
	l, log := home(), newLogServer(t)
	log.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	good := l.sign(app, signing{})
	stripped := good
	stripped.Annotations = maps.Clone(good.Annotations)
	delete(stripped.Annotations, annotationLog)
	var src trusttest.Source
	publish(t, &src, app, good, stripped)
	proofs, err := find(t, newAuthority(t, l.keyless(asking(log))), &src, app)
	expect(t, proofs, err, "")
}

// a log that answers with what is no entry reads as a no.
func TestT46_MalformedLogAnswers(t *testing.T) {
	l := home()
	for name, body := range map[string]string{
		"an unknown kind":  `[{"u":{"body":"eyJraW5kIjoieCIsImFwaVZlcnNpb24iOiIxIn0=","logID":"00","logIndex":1,"integratedTime":1}}]`,
		"a negative index": `[{"u":{"body":"e30=","logID":"00","logIndex":-1,"integratedTime":1}}]`,
		"null":             `[{"u":null}]`,
	} {
		t.Run(name, func(t *testing.T) {
			log := newLogServer(t)
			log.answer = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
			var src trusttest.Source
			publish(t, &src, app, l.sign(app, signing{made: log.take}))
			proofs, err := find(t, newAuthority(t, l.keyless(asking(log))), &src, app)
			wantUnclear(t, proofs, err, "log "+log.URL)
		})
	}
}

// what one Check costs when one signed attestation is copied.
func TestT45_CopiesAreEvaluatedOnce(t *testing.T) {
	l := home()
	key := bare(ecKey(elliptic.P256()))
	list := make([]int, 600)
	heavy := signing{shape: legacyAttestation, by: key, predicateType: scanType, predicate: map[string]any{"l": list}}
	a := newAuthority(t, l.keyed(key, scanned(AttestationOptions{Select: "any", Conditions: []ConditionOptions{{CEL: "predicate.l.all(x, predicate.l.all(y, x + y == 0)) && 1 > 2"}}})))
	p := l.sign(app, heavy)
	took := func(n int) time.Duration {
		var src trusttest.Source
		publishLayers(t, &src, app, "att", repeated(n, p))
		started := time.Now()
		_, err := find(t, a, &src, app)
		if !trust.IsNo(err) {
			t.Fatal(err)
		}
		return time.Since(started)
	}
	one, many := took(1), took(50)
	t.Logf("one: %s, 50 copies: %s", one, many)
	if many > 10*one && many > 10*time.Second {
		t.Errorf("one %s, 50 copies %s", one, many)
	}
}

// formats names shapes; what decides is the place.
func TestT4_FormatsByShape(t *testing.T) {
	l := home()
	a := newAuthority(t, l.keyless(func(o *Options) { o.Formats = []string{"signature"} }))
	p := l.sign(app, signing{shape: bundleSignature})
	p.suffix = "sig"
	var src trusttest.Source
	publish(t, &src, app, p)
	proofs, _ := find(t, a, &src, app)
	if len(proofs) > 0 {
		t.Error("a bundle under the tag counts where formats is [signature]")
	}
	b := newAuthority(t, l.keyless(func(o *Options) { o.Formats = []string{"bundle"} }))
	q := l.sign(app, signing{})
	q.suffix = ""
	q.annotations = map[string]string{}
	var other trusttest.Source
	blob := map[string]any{"mediaType": q.MediaType, "digest": other.PutBlob(app, q.Bytes).String(), "size": len(q.Bytes), "annotations": q.Annotations}
	q.MediaType = typeBundlePrefix + ".v0.3+json"
	other.PutManifest(app.At(app.Digest()), typeOCIManifest, mustJSON(referrer(app, q, blob)))
	proofs, err := find(t, b, &other, app)
	if len(proofs) > 0 {
		t.Error("an older signature counts where formats is [bundle]", err)
	}
}

// A copy of an old attestation whose promise was taken off is not the latest, as long as the old one is there.
func TestT45_StrippedTime(t *testing.T) {
	l := home()
	key := bare(ecKey(elliptic.P256()))
	a := newAuthority(t, l.keyed(key, scanned(AttestationOptions{Conditions: passedOnly})))
	old := scan(false, 1, key)
	var statement []byte // one statement, signed once
	old.payload = func(made []byte) []byte {
		if statement == nil {
			statement = made
		}
		return statement
	}
	first, good := l.sign(app, old), l.sign(app, scan(true, 5, key))
	old.prove = "proof" // what whoever may push leaves of it
	check(t, a, now, "", first, good, l.sign(app, old))
}

// how many there were.
func TestT43_CountsOnce(t *testing.T) {
	src := &watched{Source: new(trusttest.Source)}
	var big []publication
	for i := range 10 {
		p := publication{Item: trust.Item{MediaType: typeEnvelope, Annotations: map[string]string{}}}
		p.Bytes = []byte(strings.Repeat(" ", 9<<20) + fmt.Sprint(i))
		big = append(big, p)
	}
	publishLayers(t, src.Source, app, "sig", big)
	proofs, err := find(t, newAuthority(t, home().keyless()), src, app)
	wantNo(t, proofs, err, "of 10 pieces of evidence were looked at")
}

// wildcards do not know what a host is.
func TestT3_StarInAHost(t *testing.T) {
	m := must(newGlob("https://*.acme.example/**"))
	for _, s := range []string{"https://evil.example?.acme.example/x", "https://evil.example#.acme.example/x", "https://u:p@evil.example\\.acme.example/x", "https://x\n.acme.example/y"} {
		if m.matches(s) {
			t.Errorf("%q fits", s)
		}
	}
}

// 8 s of log requests that anybody may cause: copies of one good signature without its entry.
func TestT45_CopiesAskTheLogOnce(t *testing.T) {
	l, log := home(), newLogServer(t) // the log has nothing
	stripped := strippedOf(l.sign(app, signing{}))
	var src trusttest.Source
	publishLayers(t, &src, app, "sig", repeated(49, stripped))
	proofs, err := find(t, newAuthority(t, l.keyless(asking(log))), &src, app)
	wantNo(t, proofs, err, "no entry of a transparency log")
	if len(log.asked) != 1 {
		t.Errorf("%d questions for one signature", len(log.asked))
	}
}

// Where a list tells neither types nor times, as under the fallback tag, many attestations do not take the place of the signature.
func TestT45_ManyAttestationsInABareList(t *testing.T) {
	l := home()
	for i := range 4 { // without the manifests' word it is found by chance
		ref := app.At(image.SHA256([]byte{byte(i)}))
		src := &watched{Source: new(trusttest.Source)}
		src.listed = func(all []trust.Descriptor) []trust.Descriptor {
			for i := range all {
				all[i].Annotations = nil
			}
			return all
		}
		first := l.sign(ref, signing{shape: bundleSignature, created: signed})
		first.annotations[annotationBundleType] = statement.CosignSign
		publish(t, src.Source, ref, first)
		attestation := l.sign(ref, scan(true, 1, nil))
		for i := range 4 * trust.MaxSignatures {
			p := attestation
			p.annotations = map[string]string{annotationBundleType: scanType, annotationCreated: signed.Add(time.Duration(i) * time.Hour).Format(time.RFC3339)}
			publish(t, src.Source, ref, p)
		}
		src.FailAt(0, nil)
		proofs, err := find(t, newAuthority(t, l.keyless()), src, ref)
		if len(proofs) == 0 {
			t.Fatalf("image %d: %v", i, err)
		}
		if n := src.Requests(); n > maxAnnotated+2*trust.MaxSignatures+4 {
			t.Errorf("%d requests", n)
		}
	}
}

// What a long list does not tell is asked for a part of it only.
func TestT43_BareListsAreReadInPart(t *testing.T) {
	l := home()
	src := &watched{Source: new(trusttest.Source)}
	src.listed = func(all []trust.Descriptor) []trust.Descriptor {
		for i := range all {
			all[i].Annotations = nil
		}
		return all
	}
	strange := l.sign(app, signing{shape: bundleSignature, by: l.nobody()})
	for i := range 3 * maxAnnotated {
		p := strange
		p.annotations = map[string]string{"number": fmt.Sprint(i)}
		publish(t, src.Source, app, p)
	}
	_, err := find(t, newAuthority(t, l.keyless()), src, app)
	if !trust.IsNo(err) {
		t.Errorf("error = %v, want a no", err)
	}
	if n := src.Requests(); n > maxAnnotated+2*trust.MaxSignatures+2 {
		t.Errorf("%d requests", n)
	}
}

// A manifest that refers to the image holds some layers with evidence, not as many as somebody likes.
func TestT43_LayersOfAReferrer(t *testing.T) {
	l := home()
	for n, want := range map[int]string{maxLayers: "", maxLayers + 1: "5 layers with evidence, at most 4 are looked at"} {
		var src trusttest.Source
		good := l.sign(app, signing{shape: bundleSignature})
		blob := map[string]any{"mediaType": good.MediaType, "digest": src.PutBlob(app, good.Bytes).String(), "size": len(good.Bytes)}
		m := referrer(app, good, blob)
		m["layers"] = slices.Repeat([]any{blob}, n)
		src.PutManifest(app.At(app.Digest()), typeOCIManifest, mustJSON(m))
		proofs, err := find(t, newAuthority(t, l.keyless()), &src, app)
		expect(t, proofs, err, want)
	}
}

// strippedOf is a copy of a signature without its log entry.
func strippedOf(good publication) publication {
	good.Annotations = maps.Clone(good.Annotations)
	delete(good.Annotations, annotationLog)
	return good
}
