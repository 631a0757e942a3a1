package certificate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

func TestTag(t *testing.T) {
	sha512 := image.MustParseDigest("sha512:" + strings.Repeat("0123456789abcdef", 8))
	for name, c := range map[string]struct {
		digest image.Digest
		want   string
	}{
		"DIA-1 sha256": {app.Digest(), "dia-a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333"},
		"sha512":       {sha512, "dia-sha512-" + strings.Repeat("0123456789abcdef", 4)},
		"none":         {image.Digest{}, ""},
	} {
		got := Tag(c.digest)
		if got != c.want || len(got) > maxTag {
			t.Errorf("%s: Tag = %q, want %q", name, got, c.want)
		}
		if _, err := app.Tagged(got); got != "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSAN(t *testing.T) {
	d := app.Digest().String()
	for ref, want := range map[string]string{
		"registry.example/team/app@" + d:        "oci://registry.example/team/app@" + d,
		"registry.example/team/app:1@" + d:      "oci://registry.example/team/app@" + d,
		"REGISTRY.example:443/team/app@" + d:    "oci://registry.example/team/app@" + d,
		"alpine@" + d:                           "oci://docker.io/library/alpine@" + d,
		"localhost:5000/app@" + d:               "oci://localhost:5000/app@" + d,
		"[::1]:5000/app@" + d:                   "oci://[::1]:5000/app@" + d,
		"registry.example/a__b/c.d-e@" + d:      "oci://registry.example/a__b/c.d-e@" + d,
		"registry.example/team/app:1.0":         "",
		"xn--bcher-kva.example/team/app:1@" + d: "oci://xn--bcher-kva.example/team/app@" + d,
	} {
		r := image.MustParse(ref)
		u := SAN(r)
		if u == nil || want == "" {
			if u != nil || want != "" {
				t.Errorf("SAN(%s) = %v, want %q", ref, u, want)
			}
			continue
		}
		if u.String() != want {
			t.Errorf("SAN(%s) = %s, want %s", ref, u, want)
		}
		// It survives a certificate.
		leaf := newCA(t, nil).leaf(t, vouching(r))
		if named, err := parseSAN(leaf.URIs[0]); err != nil || named != r.At(r.Digest()) {
			t.Errorf("parseSAN(%s) = %s, %v, want %s", leaf.URIs[0], named, err, r)
		}
	}
}

func TestCommonName(t *testing.T) {
	if got, want := CommonName("dia-42-", app.Digest()), "dia-42-a172cedcae47474b615c54d510a5d84a8dea3032"; got != want {
		t.Errorf("CommonName = %q, want %q", got, want)
	}
	if got := CommonName("dia-", image.Digest{}); got != "" {
		t.Errorf("CommonName of no digest = %q", got)
	}
}

// keys returns the fields of a JSON object.
func keys(t *testing.T, body []byte) []string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(m))
}

// DIA-3: what an old webhook wants to find.
func TestDIA3_Pack(t *testing.T) {
	root := newCA(t, nil)
	leaf := root.leaf(t, vouching(app))
	certs := []*x509.Certificate{leaf, root.cert}
	for name, c := range map[string]struct {
		shape Shape
		types shapeTypes
	}{"OCI": {OCI, ociTypes}, "Docker": {Docker, dockerTypes}} {
		t.Run(name, func(t *testing.T) {
			a, err := PackTimestamped(certs, []byte("token"), "image.crt", c.shape)
			if err != nil {
				t.Fatal(err)
			}
			again, _ := PackTimestamped(certs, []byte("token"), "image.crt", c.shape)
			if diff := cmp.Diff(a, again); diff != "" {
				t.Errorf("two packs differ: %s", diff)
			}
			if diff := cmp.Diff([]string{"config", "layers", "mediaType", "schemaVersion"}, keys(t, a.Manifest)); diff != "" {
				t.Error(diff)
			}
			var m packedManifest
			if err := json.Unmarshal(a.Manifest, &m); err != nil {
				t.Fatal(err)
			}
			want := packedManifest{SchemaVersion: 2, MediaType: c.types.manifest, Config: describe(c.types.config, a.Blobs[0]), Layers: []descriptor{describe(c.types.layer, a.Blobs[1])}}
			if diff := cmp.Diff(want, m); diff != "" || a.MediaType != c.types.manifest {
				t.Errorf("%s: %s", a.MediaType, diff)
			}
			checkLayer(t, a, certs)
		})
	}
}

// checkLayer looks at the tar and at the diff id that the config names.
func checkLayer(t *testing.T, a Artifact, certs []*x509.Certificate) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(a.Blobs[1]))
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	var config imageConfig
	if err := json.Unmarshal(a.Blobs[0], &config); err != nil {
		t.Fatal(err)
	}
	if want := []image.Digest{image.SHA256(plain.Bytes())}; config.RootFS.DiffIDs[0] != want[0] || len(config.History) != 1 || config.OS == "" || config.Architecture == "" {
		t.Errorf("config = %+v, want diff id %s", config, want)
	}
	h, err := tar.NewReader(&plain).Next()
	if err != nil || h.Name != "image.crt" || h.Mode != 0o644 || h.Uname != "root" || h.Gname != "root" || h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
		t.Errorf("header = %+v, %v", h, err)
	}
	b, err := Unpack(a.Blobs[1])
	if err != nil || len(b.Certificates) != len(certs) || !b.Certificates[0].Equal(certs[0]) || string(b.Timestamp) != "token" {
		t.Errorf("Unpack = %+v, %v", b, err)
	}
	if d, err := Layer(a.MediaType, a.Manifest); err != nil || !d.Digest.Fits(a.Blobs[1]) {
		t.Errorf("Layer = %+v, %v", d, err)
	}
}

func TestPackRefuses(t *testing.T) {
	leaf := newCA(t, nil).leaf(t, byName(app))
	one := []*x509.Certificate{leaf}
	for name, c := range map[string]struct {
		certs []*x509.Certificate
		file  string
	}{
		"no certificate":      {nil, "image.crt"},
		"eleven certificates": {slices.Repeat(one, trust.MaxChain+1), "image.crt"},
		"no name":             {one, ""},
		"a folder":            {one, "a/image.crt"},
		"the folder above":    {one, ".."},
		"an absolute name":    {one, "/image.crt"},
		"a long name":         {one, strings.Repeat("x", maxFileName+1)},
	} {
		if _, err := Pack(c.certs, c.file, OCI); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
