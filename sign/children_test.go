package sign

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
)

func entry(mediaType, seed, platform string) string {
	os, arch, _ := strings.Cut(platform, "/")
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1,"platform":{"os":%q,"architecture":%q}}`, mediaType, image.SHA256([]byte(seed)), os, arch)
}

// T31: what is read as an index by one and as an image by another is not signed with its children.
func TestT31_ParseChildren(t *testing.T) {
	amd := entry(typeOCIManifest, "a", "linux/amd64")
	many := make([]string, MaxChildren+1)
	for i := range many {
		many[i] = entry(typeOCIManifest, fmt.Sprint(i), "linux/amd64")
	}
	for name, c := range map[string]struct {
		mediaType, content string
		want               []string // platforms
		err                string
	}{
		"an index":                {typeOCIIndex, `{"mediaType":"` + typeOCIIndex + `","manifests":[` + amd + `]}`, []string{"linux/amd64"}, ""},
		"a Docker list":           {typeDockerList, `{"mediaType":"` + typeDockerList + `","manifests":[` + entry(typeDockerManifest, "a", "linux/arm64") + `]}`, []string{"linux/arm64"}, ""},
		"without a media type":    {typeOCIIndex, `{"manifests":[` + amd + `]}`, []string{"linux/amd64"}, ""},
		"one child twice":         {typeOCIIndex, `{"manifests":[` + amd + `,` + amd + `]}`, []string{"linux/amd64"}, ""},
		"an attestation":          {typeOCIIndex, `{"manifests":[` + amd + `,` + entry(typeOCIManifest, "b", "unknown/unknown") + `]}`, []string{"linux/amd64"}, ""},
		"something unknown":       {typeOCIIndex, `{"manifests":[` + entry("application/json", "b", "linux/amd64") + `]}`, nil, ""},
		"an image":                {typeOCIManifest, `{"mediaType":"` + typeOCIManifest + `","layers":[{}]}`, nil, ""},
		"both":                    {typeOCIIndex, `{"manifests":[` + amd + `],"layers":[{}]}`, nil, "manifests and layers"},
		"an image with manifests": {typeOCIManifest, `{"manifests":[` + amd + `],"layers":[{}]}`, nil, "manifests and layers"},
		"another media type":      {typeOCIManifest, `{"mediaType":"` + typeOCIIndex + `","manifests":[` + amd + `]}`, nil, "was served as"},
		"an index in an index":    {typeOCIIndex, `{"manifests":[` + entry(typeOCIIndex, "b", "linux/amd64") + `]}`, nil, "is an index itself"},
		"a bad digest":            {typeOCIIndex, `{"manifests":[{"mediaType":"` + typeOCIManifest + `","digest":"x"}]}`, nil, "digest"},
		"too many":                {typeOCIIndex, `{"manifests":[` + strings.Join(many, ",") + `]}`, nil, "at most 100"},
		"no JSON":                 {typeOCIIndex, `{`, nil, "manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := parseChildren(c.mediaType, []byte(c.content))
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error = %v, want %q", err, c.err)
			}
			var got []string
			for _, f := range found {
				got = append(got, f.platform)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseChildren(f *testing.F) {
	f.Add(typeOCIIndex, []byte(`{"manifests":[`+entry(typeOCIManifest, "a", "linux/amd64")+`]}`))
	f.Add(typeOCIManifest, []byte(`{"layers":[{}]}`))
	f.Fuzz(func(t *testing.T, mediaType string, content []byte) {
		found, err := parseChildren(mediaType, content)
		if len(found) > MaxChildren || err != nil && found != nil {
			t.Errorf("%d children, error %v", len(found), err)
		}
		for _, c := range found {
			if c.digest.IsZero() {
				t.Error("a child without a digest")
			}
		}
	})
}
