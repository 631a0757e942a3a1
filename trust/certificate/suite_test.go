package certificate

import (
	"archive/tar"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// variant is one way to store and name a certificate; each passes the whole suite.
type variant struct {
	options  Options
	name     func(image.Ref) edit
	artifact func(*testing.T, *ca, *x509.Certificate) Artifact
	index    bool // the tag names an index around the artifact
	outside  []time.Time
}

func packed(shape Shape) func(*testing.T, *ca, *x509.Certificate) Artifact {
	return func(t *testing.T, _ *ca, leaf *x509.Certificate) Artifact {
		a, err := Pack([]*x509.Certificate{leaf}, "image.crt", shape)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

// gitlab is what DIA's GitLab flow writes: a line break, the leaf, blank lines.
func gitlab(shape Shape) func(*testing.T, *ca, *x509.Certificate) Artifact {
	return func(t *testing.T, _ *ca, leaf *x509.Certificate) Artifact {
		return artifactWithFile(t, app.Digest().Hex()[:40]+".pem", []byte("\n"+pemOf(leaf)+"\n\n\n"), shape)
	}
}

func TestSuite(t *testing.T) {
	root, foreign := newCA(t, nil), newCA(t, nil)
	malformed := malformedArtifacts(t, root)
	leafTimes := []time.Time{issued.Add(-time.Second), issued.Add(10*time.Minute + time.Second), issued.Add(-2 * year), issued.Add(10 * year)}
	for name, v := range map[string]variant{
		"repository and digest in the SAN":      {name: vouching, artifact: packed(OCI), outside: leafTimes},
		"SAN required, Docker manifest":         {options: Options{SAN: "required"}, name: vouching, artifact: packed(Docker), outside: leafTimes},
		"DIA-1 manual flow":                     {name: byName, artifact: packed(Docker), outside: leafTimes},
		"DIA-2 GitLab flow as Docker manifest":  {name: byName, artifact: gitlab(Docker), outside: leafTimes},
		"DIA-2 GitLab flow as OCI manifest":     {name: byName, artifact: gitlab(OCI), outside: leafTimes},
		"DIA-12 expired leaf, issue-time rule":  {options: Options{Validity: "issued"}, name: byName, artifact: packed(Docker), outside: leafTimes[:1]},
		"index around one runnable child":       {name: byName, artifact: packed(OCI), index: true, outside: leafTimes},
		"maximum age":                           {options: Options{Validity: "issued", MaxAge: time.Hour}, name: vouching, artifact: packed(OCI), outside: []time.Time{issued.Add(time.Hour)}},
		"common name equals prefix and digits":  {options: Options{CommonName: &CommonNameOptions{Match: "equals", Prefix: "dia-"}}, name: byName, artifact: packed(OCI), outside: leafTimes},
		"code signing demanded of a plain name": {options: Options{ExtKeyUsage: "codeSigning"}, name: codeSigningByName, artifact: packed(OCI), outside: leafTimes},
	} {
		t.Run(name, func(t *testing.T) { trusttest.Run(t, v.suite(root, foreign, malformed)) })
	}
}

func codeSigningByName(ref image.Ref) edit {
	return func(c *x509.Certificate) {
		byName(ref)(c)
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
}

func (v variant) suite(root, foreign *ca, malformed map[string]publisher) trusttest.Suite {
	v.options.Roots = root.pem()
	put := func(t *testing.T, src *trusttest.Source, ref image.Ref, a Artifact) {
		if !v.index {
			publish(t, src, ref, a)
			return
		}
		publishIndex(t, src, ref, a)
	}
	by := func(signer *ca) func(t *testing.T, src *trusttest.Source, ref image.Ref) {
		return func(t *testing.T, src *trusttest.Source, ref image.Ref) {
			put(t, src, ref, v.artifact(t, signer, signer.leaf(t, v.name(ref))))
		}
	}
	return trusttest.Suite{
		Authority:      func(t *testing.T) trust.Authority { return newAuthority(t, v.options) },
		Now:            now,
		Outside:        v.outside,
		Publish:        by(root),
		PublishForeign: by(foreign),
		PublishCopy: func(t *testing.T, src *trusttest.Source, ref, of image.Ref) {
			put(t, src, ref, v.artifact(t, root, root.leaf(t, v.name(of))))
		},
		PublishMalformed: malformed,
		NamesRepository:  len(sampleURIs(v)) > 0,
	}
}

func sampleURIs(v variant) []string {
	var c x509.Certificate
	v.name(app)(&c)
	var uris []string
	for _, u := range c.URIs {
		uris = append(uris, u.String())
	}
	return uris
}

// publishIndex stores an artifact the way BuildKit does: an index with the manifest and an attestation about it.
func publishIndex(t *testing.T, src *trusttest.Source, ref image.Ref, a Artifact) {
	t.Helper()
	d := publish(t, src, ref, a)
	index := document{MediaType: typeOCIIndex, Manifests: []descriptor{
		{MediaType: a.MediaType, Size: int64(len(a.Manifest)), Digest: d.String(), Platform: &platform{Architecture: "arm64", OS: "linux"}},
		{MediaType: a.MediaType, Size: 100, Digest: image.SHA256([]byte("attestation")).String(),
			Platform: &platform{Architecture: "unknown", OS: "unknown"}, Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"}},
	}}
	src.PutManifest(tagged(t, ref), typeOCIIndex, mustJSON(t, map[string]any{"schemaVersion": 2, "mediaType": index.MediaType, "manifests": index.Manifests}))
}

// bomb is a few kilobytes that unpack to more zeros than may be read.
func bomb(t *testing.T) []byte {
	t.Helper()
	head := tarOf(t, "", tar.Header{Typeflag: tar.TypeReg, Name: "image.crt"})
	return gzipped(t, append(head, make([]byte, trust.MaxEvidence)...))
}

type publisher = func(t *testing.T, src *trusttest.Source, ref image.Ref)

// malformedArtifacts are artifacts that prove nothing, each for one reason.
func malformedArtifacts(t *testing.T, root *ca) map[string]publisher {
	t.Helper()
	expanding := bomb(t)
	layer := func(build func(t *testing.T, ref image.Ref) []byte) publisher {
		return func(t *testing.T, src *trusttest.Source, ref image.Ref) {
			a, err := packManifest(image.SHA256(nil), build(t, ref), OCI)
			if err != nil {
				t.Fatal(err)
			}
			publish(t, src, ref, a)
		}
	}
	manifest := func(mediaType, body string) publisher {
		return func(t *testing.T, src *trusttest.Source, ref image.Ref) {
			src.PutManifest(tagged(t, ref), mediaType, []byte(body))
		}
	}
	d := image.SHA256([]byte("x")).String()
	return map[string]publisher{
		"T44 a bomb": layer(func(*testing.T, image.Ref) []byte {
			return expanding
		}),
		"T44 a bomb of tar entries": layer(func(t *testing.T, ref image.Ref) []byte {
			return gzipped(t, manyEntries(t, pemOf(root.leaf(t, byName(ref))), 200))
		}),
		"T43 a layer over the limit": manifest(typeOCIManifest, `{"layers":[{"mediaType":"`+typeOCILayer+`","digest":"`+d+`","size":10485761}]}`),
		"T43 a layer without end":    manifest(typeOCIManifest, `{"layers":[{"mediaType":"`+typeOCILayer+`","digest":"`+d+`","size":9223372036854775807}]}`),
		"a negative size":            manifest(typeOCIManifest, `{"layers":[{"mediaType":"`+typeOCILayer+`","digest":"`+d+`","size":-1}]}`),
		"two layers":                 manifest(typeOCIManifest, `{"layers":[{"mediaType":"`+typeOCILayer+`"},{"mediaType":"`+typeOCILayer+`"}]}`),
		"no layer":                   manifest(typeOCIManifest, `{"layers":[]}`),
		"no JSON":                    manifest(typeOCIManifest, strings.Repeat("[", 100000)),
		"an unknown layer type":      manifest(typeOCIManifest, `{"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"`+d+`","size":1}]}`),
		"a broken layer digest":      manifest(typeOCIManifest, `{"layers":[{"mediaType":"`+typeOCILayer+`","digest":"sha256:abc","size":1}]}`),
		"an unknown manifest type":   manifest("application/json", `{"layers":[]}`),
		"T31 manifests and layers":   manifest(typeOCIManifest, `{"manifests":[{"digest":"`+d+`"}],"layers":[{"mediaType":"`+typeOCILayer+`","digest":"`+d+`","size":1}]}`),
		"T31 served as another type": manifest(typeOCIManifest, `{"mediaType":"`+typeOCIIndex+`","manifests":[{"mediaType":"`+typeOCIManifest+`","digest":"`+d+`"}]}`),
		"an index without a child":   manifest(typeOCIIndex, `{"manifests":[]}`),
		"an index with two children": manifest(typeOCIIndex, `{"manifests":[{"mediaType":"`+typeOCIManifest+`","digest":"`+d+`"},{"mediaType":"`+typeOCIManifest+`","digest":"`+d+`"}]}`),
		"an index in an index": func(t *testing.T, src *trusttest.Source, ref image.Ref) {
			inner := src.PutManifest(ref, typeOCIManifest, []byte(`{"mediaType":"`+typeOCIManifest+`"}`))
			src.PutManifest(tagged(t, ref), typeOCIIndex, []byte(`{"manifests":[{"mediaType":"`+typeOCIManifest+`","digest":"`+inner.String()+`","size":1}]}`))
		},
		"DIA-37 a second file": layer(func(t *testing.T, ref image.Ref) []byte {
			return manyEntries(t, pemOf(root.leaf(t, byName(ref))), 2)
		}),
		"an empty file": func(t *testing.T, src *trusttest.Source, ref image.Ref) {
			publish(t, src, ref, artifactWithFile(t, "image.crt", nil, Docker))
		},
	}
}
