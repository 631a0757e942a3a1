package registrytest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/assay-dev/assay/image"
)

// The media types of what PushImage and PushIndex write (OCI image specification, media-types.md).
const (
	MediaTypeManifest = "application/vnd.oci.image.manifest.v1+json"
	MediaTypeIndex    = "application/vnd.oci.image.index.v1+json"
	mediaTypeConfig   = "application/vnd.oci.image.config.v1+json"
	mediaTypeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type descriptor struct {
	MediaType string       `json:"mediaType"`
	Digest    image.Digest `json:"digest"`
	Size      int          `json:"size"`
	Platform  *platform    `json:"platform,omitempty"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *descriptor  `json:"config,omitempty"`
	Layers        []descriptor `json:"layers,omitempty"`
	Manifests     []descriptor `json:"manifests,omitempty"`
}

// PushImage stores a small real image (a config and one layer, whose one file contains seed) for a platform "os/arch" or
// "os/arch/variant", "" being linux/amd64, and returns the digest of its manifest. Equal seeds give equal images. An empty tag gives
// it none. It goes to the store directly: neither faults nor authentication nor the log see it.
func (s *Server) PushImage(repo, tag, platform, seed string) image.Digest {
	content, digest := s.build(repo, platform, seed)
	target := tag
	if target == "" {
		target = digest.String()
	}
	return s.PutManifest(repo, target, MediaTypeManifest, content)
}

// PushIndex stores an index of one image for each platform, made from the platform's seed as by PushImage, and returns the digests
// of the index and of its children by platform.
func (s *Server) PushIndex(repo, tag string, seeds map[string]string) (image.Digest, map[string]image.Digest) {
	index := manifest{SchemaVersion: 2, MediaType: MediaTypeIndex}
	children := map[string]image.Digest{}
	for _, name := range slices.Sorted(maps.Keys(seeds)) {
		content, digest := s.build(repo, name, seeds[name])
		s.PutManifest(repo, digest.String(), MediaTypeManifest, content)
		p := parsePlatform(name)
		index.Manifests = append(index.Manifests, descriptor{MediaType: MediaTypeManifest, Digest: digest, Size: len(content), Platform: &p})
		children[name] = digest
	}
	content := encode(index)
	target := tag
	if target == "" {
		target = image.SHA256(content).String()
	}
	return s.PutManifest(repo, target, MediaTypeIndex, content), children
}

// Tag makes a tag name what a digest names.
func (s *Server) Tag(repo, tag string, digest image.Digest) {
	mediaType, content := s.Manifest(repo, digest.String())
	s.PutManifest(repo, tag, mediaType, content)
}

// Manifest returns what is stored under a tag or a digest, and its media type. It panics if that is nothing.
func (s *Server) Manifest(repo, target string) (mediaType string, content []byte) {
	a := s.direct(http.MethodGet, "/v2/"+repo+"/manifests/"+target, "", nil, http.StatusOK)
	return a.header.Get("Content-Type"), a.body.Bytes()
}

// PutManifest stores a manifest under a tag or a digest, and always under its own digest, which it returns.
func (s *Server) PutManifest(repo, target, mediaType string, content []byte) image.Digest {
	s.direct(http.MethodPut, "/v2/"+repo+"/manifests/"+target, mediaType, content, http.StatusCreated)
	return image.SHA256(content)
}

// DeleteManifest removes a tag, or a digest.
func (s *Server) DeleteManifest(repo, target string) {
	s.direct(http.MethodDelete, "/v2/"+repo+"/manifests/"+target, "", nil, http.StatusAccepted)
}

// PutBlob stores a blob and returns its digest.
func (s *Server) PutBlob(repo string, content []byte) image.Digest {
	digest := image.SHA256(content)
	s.direct(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+digest.String(), "application/octet-stream", content, http.StatusCreated)
	return digest
}

// direct asks the store. It panics on a status that is not wanted: the caller of this package made a mistake.
func (s *Server) direct(method, target, mediaType string, content []byte, want int) *recorder {
	u, err := url.Parse(target)
	if err != nil {
		panic(fmt.Sprintf("registrytest: %s %s: %v", method, target, err))
	}
	r := &http.Request{
		Method: method, URL: u, Host: s.Host(), Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(content)), ContentLength: int64(len(content)),
	}
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	a := record(r, s.store)
	if a.status != want {
		panic(fmt.Sprintf("registrytest: %s %s: status %d, want %d: %s", method, target, a.status, want, a.body.String()))
	}
	return a
}

// build stores config and layer of an image and returns its manifest, which it does not store.
func (s *Server) build(repo, platformName, seed string) ([]byte, image.Digest) {
	p := parsePlatform(platformName)
	layer, diffID := layerOf(seed)
	config := encode(map[string]any{
		"os": p.OS, "architecture": p.Architecture, "variant": p.Variant,
		"config": map[string]any{"Labels": map[string]string{"seed": seed}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []image.Digest{diffID}},
	})
	m := encode(manifest{
		SchemaVersion: 2,
		MediaType:     MediaTypeManifest,
		Config:        &descriptor{MediaType: mediaTypeConfig, Digest: s.PutBlob(repo, config), Size: len(config)},
		Layers:        []descriptor{{MediaType: mediaTypeLayer, Digest: s.PutBlob(repo, layer), Size: len(layer)}},
	})
	return m, image.SHA256(m)
}

// layerOf returns a gzipped tar with one file and the digest of the tar.
func layerOf(seed string) ([]byte, image.Digest) {
	var unpacked, packed bytes.Buffer
	w := tar.NewWriter(&unpacked)
	must(w.WriteHeader(&tar.Header{Name: "seed.txt", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(seed))}))
	_, err := w.Write([]byte(seed))
	must(err)
	must(w.Close())
	z := gzip.NewWriter(&packed)
	_, err = z.Write(unpacked.Bytes())
	must(err)
	must(z.Close())
	return packed.Bytes(), image.SHA256(unpacked.Bytes())
}

func parsePlatform(name string) platform {
	if name == "" {
		name = "linux/amd64"
	}
	os, rest, _ := strings.Cut(name, "/")
	architecture, variant, _ := strings.Cut(rest, "/")
	return platform{OS: os, Architecture: architecture, Variant: variant}
}

func encode(v any) []byte {
	content, err := json.Marshal(v)
	must(err)
	return content
}

// must panics on the errors of writes to memory.
func must(err error) {
	if err != nil {
		panic("registrytest: " + err.Error())
	}
}
