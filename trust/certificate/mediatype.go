package certificate

// Media types of the artifact (OCI image specification, media-types.md; Docker image manifest version 2, schema 2).
const (
	typeOCIIndex       = "application/vnd.oci.image.index.v1+json"
	typeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	typeOCIConfig      = "application/vnd.oci.image.config.v1+json"
	typeOCILayer       = "application/vnd.oci.image.layer.v1.tar"
	typeOCILayerGzip   = "application/vnd.oci.image.layer.v1.tar+gzip"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerConfig   = "application/vnd.docker.container.image.v1+json"
	typeDockerLayer    = "application/vnd.docker.image.rootfs.diff.tar"
	typeDockerLayerGz  = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// shapeTypes are the media types of one shape of artifact.
type shapeTypes struct{ manifest, config, layer string }

var (
	ociTypes    = shapeTypes{manifest: typeOCIManifest, config: typeOCIConfig, layer: typeOCILayerGzip}
	dockerTypes = shapeTypes{manifest: typeDockerManifest, config: typeDockerConfig, layer: typeDockerLayerGz}
)

func isIndex(mediaType string) bool {
	return mediaType == typeOCIIndex || mediaType == typeDockerList
}

func isManifest(mediaType string) bool {
	return mediaType == typeOCIManifest || mediaType == typeDockerManifest
}

func isLayer(mediaType string) bool {
	switch mediaType {
	case typeOCILayer, typeOCILayerGzip, typeDockerLayer, typeDockerLayerGz:
		return true
	}
	return false
}
