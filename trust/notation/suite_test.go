package notation

import (
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// variant is one kind of signature; each passes the whole suite.
type variant struct {
	mediaType string
	options   func(root, tsa *holder) Options
	edit      func(*signature.SignRequest)
	stamped   bool
	outside   []time.Time
}

func TestSuite(t *testing.T) {
	root, foreign, tsa := issue(t, nil), issue(t, nil), issue(t, nil, caNamed("tsa root"))
	leafTimes := []time.Time{signedAt.Add(-25 * time.Hour), signedAt.Add(24 * time.Hour), signedAt.AddDate(2, 0, 0)}
	plain := func(root, _ *holder) Options { return options(root) }
	for name, v := range map[string]variant{
		"JWS":  {mediaType: typeJWS, options: plain, outside: leafTimes},
		"COSE": {mediaType: typeCOSE, options: plain, outside: leafTimes},
		"that expires": {mediaType: typeJWS, options: plain, outside: append(leafTimes, signedAt.Add(2*time.Hour)),
			edit: func(r *signature.SignRequest) { r.Expiry = signedAt.Add(2 * time.Hour) }},
		"signing authority": {mediaType: typeCOSE, outside: []time.Time{signedAt.Add(-time.Second)},
			options: func(root, _ *holder) Options {
				return options(root, func(o *Options) { o.TrustStores.SigningAuthority, o.TrustStores.CA = o.TrustStores.CA, nil })
			},
			edit: func(r *signature.SignRequest) { r.SigningScheme = schemeAuthority }},
		"time stamp":         {mediaType: typeJWS, stamped: true, outside: []time.Time{signedAt.Add(-time.Second)}, options: withTSA},
		"time stamp in COSE": {mediaType: typeCOSE, stamped: true, outside: []time.Time{signedAt.Add(-time.Second)}, options: withTSA},
	} {
		t.Run(name, func(t *testing.T) { trusttest.Run(t, v.suite(t, root, foreign, tsa)) })
	}
}

func withTSA(root, tsa *holder) Options {
	return options(root, func(o *Options) { o.TrustStores.TSA = []StoreOptions{{PEM: tsa.pem()}} })
}

func (v variant) suite(t *testing.T, root, foreign, tsa *holder) trusttest.Suite {
	by := func(root *holder, ref image.Ref) []byte {
		middle := issue(t, root, caNamed("intermediate"))
		r := request{mediaType: v.mediaType, by: issue(t, middle), digest: ref.Digest(), edit: v.edit}
		if v.stamped {
			r.edit = stampedBy(newStamper(t, tsa, signedAt))
		}
		return sign(t, r)
	}
	good := func(t *testing.T, src *trusttest.Source, ref image.Ref) {
		publish(t, src, ref, v.mediaType, by(root, ref), root.cert)
	}
	return trusttest.Suite{
		Authority: func(t *testing.T) trust.Authority { return newAuthority(t, v.options(root, tsa)) },
		Now:       now,
		Outside:   v.outside,
		Publish:   good,
		PublishForeign: func(t *testing.T, src *trusttest.Source, ref image.Ref) {
			publish(t, src, ref, v.mediaType, by(foreign, ref), foreign.cert)
		},
		PublishCopy: func(t *testing.T, src *trusttest.Source, ref, of image.Ref) {
			publish(t, src, ref, v.mediaType, by(root, of), root.cert)
		},
		PublishMalformed: malformed(v.mediaType),
		PublishFlood: func(t *testing.T, src *trusttest.Source, ref image.Ref, n int) {
			for i := range n {
				d := image.SHA256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
				src.PutReferrer(ref, trust.Descriptor{MediaType: typeManifest, ArtifactType: typeSignature, Digest: d, Size: 100,
					Annotations: map[string]string{annotationCreated: signedAt.AddDate(0, 0, -1).Format(time.RFC3339)}})
			}
			good(t, src, ref)
		},
	}
}

type publisher = func(t *testing.T, src *trusttest.Source, ref image.Ref)

// malformed are signatures that prove nothing, each for one reason.
func malformed(mediaType string) map[string]publisher {
	all := map[string]publisher{}
	for name, content := range map[string]string{
		"no JSON": "{", "deep": strings.Repeat("[", 100_000), "empty object": "{}", "no chain": `{"payload":"e30","protected":"e30","header":{},"signature":"AA"}`, "null": "null", "CBOR": "\xd2\x84\x40\xa0\x40\x40",
		"an empty chain": `{"header":{"x5c":[]}}`, "a broken certificate": `{"header":{"x5c":["AAAA"]}}`,
	} {
		all[name] = func(t *testing.T, src *trusttest.Source, ref image.Ref) {
			publish(t, src, ref, mediaType, []byte(content))
		}
	}
	manifest := func(edit func(doc map[string]any)) publisher {
		return func(t *testing.T, src *trusttest.Source, ref image.Ref) {
			doc := map[string]any{
				"mediaType": typeManifest, "config": map[string]any{"mediaType": typeSignature},
				"layers":  []any{map[string]any{"mediaType": mediaType, "digest": image.SHA256([]byte("x")).String(), "size": 1}},
				"subject": map[string]any{"digest": ref.Digest().String()},
			}
			edit(doc)
			publishManifest(t, src, ref, doc)
		}
	}
	layer := func(mediaType, digest string, size int64) any {
		return map[string]any{"mediaType": mediaType, "digest": digest, "size": size}
	}
	d := image.SHA256([]byte("x")).String()
	all["a layer that is not there"] = manifest(func(map[string]any) {})
	all["T43 a layer over the limit"] = manifest(func(doc map[string]any) { doc["layers"] = []any{layer(mediaType, d, maxEnvelope+1)} })
	all["T43 a layer without end"] = manifest(func(doc map[string]any) { doc["layers"] = []any{layer(mediaType, d, 1<<62)} })
	all["a negative size"] = manifest(func(doc map[string]any) { doc["layers"] = []any{layer(mediaType, d, -1)} })
	all["no layer"] = manifest(func(doc map[string]any) { doc["layers"] = []any{} })
	all["two layers"] = manifest(func(doc map[string]any) { doc["layers"] = []any{layer(mediaType, d, 1), layer(mediaType, d, 1)} })
	all["an unknown type"] = manifest(func(doc map[string]any) { doc["layers"] = []any{layer("application/json", d, 1)} })
	all["T44 a packed type"] = manifest(func(doc map[string]any) { doc["layers"] = []any{layer(mediaType+"+gzip", d, 1)} })
	all["a broken digest"] = manifest(func(doc map[string]any) { doc["layers"] = []any{layer(mediaType, "sha256:abc", 1)} })
	all["T31 manifests and layers"] = manifest(func(doc map[string]any) { doc["manifests"] = []any{} })
	all["T31 served as another type"] = manifest(func(doc map[string]any) { doc["mediaType"] = "application/vnd.oci.image.index.v1+json" })
	all["no subject"] = manifest(func(doc map[string]any) { delete(doc, "subject") })
	all["no signature's manifest"] = manifest(func(doc map[string]any) { doc["config"] = map[string]any{"mediaType": "application/json"} })
	return all
}
