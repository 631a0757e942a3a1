package sign

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/assay-dev/assay/image"
)

// MaxChildren is how many children of an index are signed in one run; there are some thirty platforms.
const MaxChildren = 100

// Media types of what can be signed with its children (OCI image specification, media-types.md; Docker image manifest version 2,
// schema 2).
const (
	typeOCIIndex       = "application/vnd.oci.image.index.v1+json"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

// child is one digest to sign.
type child struct {
	digest   image.Digest
	platform string
}

// index is what is read of an index (OCI image specification, image-index.md).
type index struct {
	MediaType string            `json:"mediaType"`
	Manifests []indexEntry      `json:"manifests"`
	Layers    []json.RawMessage `json:"layers"`
}

type indexEntry struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations"`
	Platform    struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Variant      string `json:"variant"`
	} `json:"platform"`
}

// children returns the runnable children of an index, and none of an image.
func children(ctx context.Context, store Store, ref image.Ref) ([]child, error) {
	m, err := store.Manifest(ctx, ref.At(ref.Digest()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	found, err := parseChildren(m.MediaType, m.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return found, nil
}

// parseChildren reads an index. What could be read as an index by one program and as an image by another is refused: its signer
// would not know what was signed.
func parseChildren(mediaType string, content []byte) ([]child, error) {
	var x index
	if err := json.Unmarshal(content, &x); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if x.MediaType == "" {
		x.MediaType = mediaType
	}
	isIndex := x.MediaType == typeOCIIndex || x.MediaType == typeDockerList
	switch {
	case x.MediaType != mediaType:
		return nil, fmt.Errorf("manifest: says %q but was served as %q", x.MediaType, mediaType)
	case isIndex && len(x.Layers) > 0, !isIndex && len(x.Manifests) > 0:
		return nil, fmt.Errorf("manifest: has both or the wrong one of manifests and layers for %q", mediaType)
	}
	var found []child
	seen := make(map[image.Digest]bool)
	for _, e := range x.Manifests {
		c, runnable, err := e.child()
		if err != nil {
			return nil, err
		}
		if !runnable || seen[c.digest] {
			continue
		}
		seen[c.digest] = true
		found = append(found, c)
	}
	if len(found) > MaxChildren {
		return nil, fmt.Errorf("index: %d children, at most %d are signed in one run", len(found), MaxChildren)
	}
	return found, nil
}

// child returns the entry as something to sign. Builders put attestations about an image beside it and mark them by an unknown
// platform or an annotation; they do not run and are left out.
func (e indexEntry) child() (c child, runnable bool, err error) {
	p := e.Platform
	if p.OS == "unknown" || p.Architecture == "unknown" || e.Annotations["vnd.docker.reference.type"] != "" {
		return child{}, false, nil
	}
	switch e.MediaType {
	case typeOCIManifest, typeDockerManifest:
	case typeOCIIndex, typeDockerList:
		return child{}, false, fmt.Errorf("index: child %q is an index itself; sign it by its own digest", e.Digest)
	default:
		return child{}, false, nil
	}
	if c.digest, err = image.ParseDigest(e.Digest); err != nil {
		return child{}, false, fmt.Errorf("index: %w", err)
	}
	c.platform = strings.Trim(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
	return c, true, nil
}
