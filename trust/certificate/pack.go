package certificate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Shape is the kind of manifest that an artifact has. The zero value is OCI.
type Shape int

// The shapes.
const (
	OCI    Shape = iota // an OCI image manifest
	Docker              // a Docker schema 2 manifest, as DIA writes it
)

// Artifact is what lies in a registry for one image: a manifest and the blobs that it names.
type Artifact struct {
	MediaType string // of Manifest
	Manifest  []byte
	Blobs     [][]byte // the config, then the layer
}

// maxFileName is the longest name of the file in an artifact, in bytes: what a plain tar header holds.
const maxFileName = 100

// Pack makes the artifact that carries certificates, the leaf first and its chain after it. The file inside is called name, for
// example "image.crt". Equal arguments give equal bytes: nothing in the artifact says when it was made.
//
// The errors are those of a caller: no certificate, more than trust.MaxChain of them, or a name that is no file name.
func Pack(certs []*x509.Certificate, name string, shape Shape) (Artifact, error) {
	return PackTimestamped(certs, nil, name, shape)
}

// PackTimestamped is Pack with a time-stamp token (RFC 3161) over the DER of the leaf beside the certificates. A nil token is none.
func PackTimestamped(certs []*x509.Certificate, token []byte, name string, shape Shape) (Artifact, error) {
	switch {
	case len(certs) == 0:
		return Artifact{}, errors.New("artifact: no certificate")
	case len(certs) > trust.MaxChain:
		return Artifact{}, fmt.Errorf("artifact: %d certificates, at most %d are allowed", len(certs), trust.MaxChain)
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00") || len(name) > maxFileName:
		return Artifact{}, fmt.Errorf("artifact: %q is no file name of at most %d bytes", name, maxFileName)
	}
	var file bytes.Buffer
	for _, c := range certs {
		_ = pem.Encode(&file, &pem.Block{Type: pemCertificate, Bytes: c.Raw}) // a Buffer takes everything
	}
	if token != nil {
		_ = pem.Encode(&file, &pem.Block{Type: pemTimestamp, Bytes: token})
	}
	unpacked, err := packTar(name, file.Bytes())
	if err != nil {
		return Artifact{}, fmt.Errorf("artifact: %w", err)
	}
	layer, err := packGzip(unpacked)
	if err != nil {
		return Artifact{}, fmt.Errorf("artifact: %w", err)
	}
	return packManifest(image.SHA256(unpacked), layer, shape)
}

func packTar(name string, content []byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644,
		Uname: "root", Gname: "root", ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	}
	if err := w.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func packGzip(content []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// imageConfig is what image tools want to find in a config; the certificate is in the layer.
type imageConfig struct {
	Architecture string        `json:"architecture"`
	Config       struct{}      `json:"config"`
	Created      time.Time     `json:"created"`
	History      []imageChange `json:"history"`
	OS           string        `json:"os"`
	RootFS       imageRootFS   `json:"rootfs"`
}

type imageChange struct {
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
}

type imageRootFS struct {
	Type    string         `json:"type"`
	DiffIDs []image.Digest `json:"diff_ids"`
}

func packManifest(diffID image.Digest, layer []byte, shape Shape) (Artifact, error) {
	types := ociTypes
	if shape == Docker {
		types = dockerTypes
	}
	epoch := time.Unix(0, 0).UTC()
	config, err := json.Marshal(imageConfig{
		Architecture: "amd64",
		Created:      epoch,
		History:      []imageChange{{Created: epoch, CreatedBy: "assay sign"}},
		OS:           "linux",
		RootFS:       imageRootFS{Type: "layers", DiffIDs: []image.Digest{diffID}},
	})
	if err != nil {
		return Artifact{}, fmt.Errorf("artifact: %w", err)
	}
	body, err := json.Marshal(packedManifest{
		SchemaVersion: 2,
		MediaType:     types.manifest,
		Config:        describe(types.config, config),
		Layers:        []descriptor{describe(types.layer, layer)},
	})
	if err != nil {
		return Artifact{}, fmt.Errorf("artifact: %w", err)
	}
	return Artifact{MediaType: types.manifest, Manifest: body, Blobs: [][]byte{config, layer}}, nil
}

// packedManifest has the fields of a manifest that DIA's readers know, and no others.
type packedManifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

func describe(mediaType string, content []byte) descriptor {
	return descriptor{MediaType: mediaType, Size: int64(len(content)), Digest: image.SHA256(content).String()}
}
