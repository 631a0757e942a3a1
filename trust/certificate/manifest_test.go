package certificate

import (
	"strings"
	"testing"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// T31: one byte string that one reader takes for an index and another for a manifest.
func TestT31_AmbiguousManifests(t *testing.T) {
	d := image.SHA256([]byte("x")).String()
	layers := `"layers":[{"mediaType":"` + typeOCILayer + `","digest":"` + d + `","size":1}]`
	children := `"manifests":[{"mediaType":"` + typeOCIManifest + `","digest":"` + d + `","size":1}]`
	for name, c := range map[string]struct {
		served, body string
		want         string // part of the error, "" for none
	}{
		"a manifest":                            {typeOCIManifest, `{"mediaType":"` + typeOCIManifest + `",` + layers + `}`, ""},
		"a manifest that does not say so":       {typeOCIManifest, `{` + layers + `}`, ""},
		"a Docker manifest served as OCI":       {typeOCIManifest, `{"mediaType":"` + typeDockerManifest + `",` + layers + `}`, ""},
		"layers and manifests":                  {typeOCIManifest, `{` + layers + `,` + children + `}`, "both manifests and layers"},
		"layers and manifests, served as index": {typeOCIIndex, `{` + layers + `,` + children + `}`, "both manifests and layers"},
		"an index served as manifest":           {typeOCIManifest, `{"mediaType":"` + typeOCIIndex + `",` + layers + `}`, "was served as"},
		"a manifest served as index":            {typeOCIIndex, `{"mediaType":"` + typeOCIManifest + `",` + layers + `}`, "was served as"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseDocument(c.served, []byte(c.body))
			if c.want == "" {
				if err != nil {
					t.Errorf("error = %v, want none", err)
				}
				return
			}
			if !trust.IsNo(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want a no with %q", err, c.want)
			}
		})
	}
}

func FuzzLayer(f *testing.F) {
	a, err := packManifest(image.SHA256(nil), nil, Docker)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(a.MediaType, a.Manifest)
	f.Fuzz(func(t *testing.T, mediaType string, body []byte) {
		d, err := Layer(mediaType, body)
		if err == nil && (d.Digest.IsZero() || d.Size < 0 || d.Size > trust.MaxEvidence) {
			t.Errorf("Layer = %+v", d)
		}
		if err != nil && !trust.IsNo(err) {
			t.Errorf("error = %v, want a no", err)
		}
	})
}
