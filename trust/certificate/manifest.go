package certificate

import (
	"encoding/json"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// descriptor is a descriptor as it stands in a manifest (OCI image specification, descriptor.md).
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Size        int64             `json:"size"`
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// document is what is read of a manifest or an index.
type document struct {
	MediaType string       `json:"mediaType"`
	Manifests []descriptor `json:"manifests"`
	Layers    []descriptor `json:"layers"`
}

// parseDocument reads the bytes under an image's tag. Its errors are a "no": the bytes are what their digest says, so another
// attempt reads the same.
func parseDocument(mediaType string, content []byte) (document, error) {
	var d document
	if err := json.Unmarshal(content, &d); err != nil {
		return document{}, trust.Untrusted("manifest of the certificate: %w", err)
	}
	if d.MediaType == "" {
		d.MediaType = mediaType // OCI manifests may leave it out
	}
	switch {
	case len(d.Manifests) > 0 && len(d.Layers) > 0:
		return document{}, trust.Untrusted("manifest of the certificate: has both manifests and layers, so readers could disagree about it")
	case !isIndex(d.MediaType) && !isManifest(d.MediaType):
		return document{}, trust.Untrusted("manifest of the certificate: %q is the media type of no image manifest or index", clip(d.MediaType))
	case isIndex(mediaType) && !isIndex(d.MediaType), isManifest(mediaType) && !isManifest(d.MediaType):
		return document{}, trust.Untrusted("manifest of the certificate: says %q but was served as %q", clip(d.MediaType), clip(mediaType))
	}
	return d, nil
}

// Layer returns the descriptor of the layer that a manifest of an artifact names. An error is a "no", see trust.IsNo: the manifest is
// malformed, is an index, or has not exactly one layer of a type that can be read.
func Layer(mediaType string, manifest []byte) (trust.Descriptor, error) {
	d, err := parseDocument(mediaType, manifest)
	if err != nil {
		return trust.Descriptor{}, err
	}
	switch {
	case !isManifest(d.MediaType):
		return trust.Descriptor{}, trust.Untrusted("manifest of the certificate: is an index inside an index")
	case len(d.Layers) != 1:
		return trust.Descriptor{}, trust.Untrusted("manifest of the certificate: has %d layers, a certificate lies in exactly one", len(d.Layers))
	case !isLayer(d.Layers[0].MediaType):
		return trust.Descriptor{}, trust.Untrusted("layer of the certificate: media type %q is neither a tar nor a gzip tar", clip(d.Layers[0].MediaType))
	}
	return d.Layers[0].resolve("layer of the certificate", trust.MaxEvidence)
}

// runnableChild returns the one child of an index that can run. Builders put attestations about an image beside it and mark them
// by an unknown platform or an annotation.
func (d document) runnableChild() (trust.Descriptor, error) {
	var runnable []descriptor
	for _, child := range d.Manifests {
		if isManifest(child.MediaType) && !child.attestation() {
			runnable = append(runnable, child)
		}
	}
	if len(runnable) != 1 {
		return trust.Descriptor{}, trust.Untrusted("index of the certificate: has %d runnable manifests, a certificate lies in exactly one", len(runnable))
	}
	return runnable[0].resolve("index of the certificate", trust.MaxManifest)
}

func (d descriptor) attestation() bool {
	if p := d.Platform; p != nil && (p.OS == "unknown" || p.Architecture == "unknown") {
		return true
	}
	return d.Annotations["vnd.docker.reference.type"] != ""
}

func (d descriptor) resolve(thing string, limit int64) (trust.Descriptor, error) {
	digest, err := image.ParseDigest(d.Digest)
	if err != nil {
		return trust.Descriptor{}, trust.Untrusted("%s: %w", thing, err)
	}
	if d.Size < 0 || d.Size > limit {
		return trust.Descriptor{}, trust.Untrusted("%s: %d bytes, at most %d are allowed", thing, d.Size, limit)
	}
	return trust.Descriptor{MediaType: d.MediaType, Digest: digest, Size: d.Size}, nil
}

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
