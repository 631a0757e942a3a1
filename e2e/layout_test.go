//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// Media types (OCI image specification v1.1).
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type descriptor struct {
	MediaType string    `json:"mediaType"`
	Digest    string    `json:"digest"`
	Size      int       `json:"size"`
	Platform  *platform `json:"platform,omitempty"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// cmdLayout is "layout FOLDER [PLATFORM...]": a small image with the folder's name in it, as an OCI layout that skopeo can copy. With
// platforms it is a multi-platform image, and $CHILD_<ARCHITECTURE> is set to the digest of each child.
func cmdLayout(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "layout", neg)
	if len(args) == 0 {
		ts.Fatalf("usage: layout FOLDER [PLATFORM...]")
	}
	l := layout{ts: ts, folder: ts.MkAbs(args[0])}
	ts.Check(os.MkdirAll(filepath.Join(l.folder, "blobs", "sha256"), 0o700))
	var top descriptor
	if len(args) == 1 {
		top = l.image(args[0], platform{OS: "linux", Architecture: "amd64"})
		top.Platform = nil
	} else {
		top = l.index(args[0], args[1:])
	}
	l.write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	l.write("index.json", l.json(index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{top}}))
}

type layout struct {
	ts     *testscript.TestScript
	folder string
}

func (l layout) index(text string, platforms []string) descriptor {
	all := index{SchemaVersion: 2, MediaType: typeIndex}
	for _, p := range platforms {
		system, architecture, _ := strings.Cut(p, "/")
		child := l.image(text+" for "+p, platform{OS: system, Architecture: architecture})
		l.ts.Setenv("CHILD_"+strings.ToUpper(architecture), child.Digest)
		all.Manifests = append(all.Manifests, child)
	}
	return l.blob(typeIndex, l.json(all))
}

func (l layout) image(text string, p platform) descriptor {
	archive := l.archive(text)
	// skopeo packs layers that are not packed, and every digest would change on the way.
	layer := l.blob(typeLayer, l.packed(archive))
	config := l.json(map[string]any{
		"architecture": p.Architecture,
		"os":           p.OS,
		"config":       map[string]any{},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(archive))}},
	})
	d := l.blob(typeManifest, l.json(manifest{
		SchemaVersion: 2, MediaType: typeManifest, Config: l.blob(typeConfig, config), Layers: []descriptor{layer},
	}))
	d.Platform = &p
	return d
}

func (l layout) archive(text string) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	l.ts.Check(w.WriteHeader(&tar.Header{Name: "content", Mode: 0o644, Size: int64(len(text))}))
	_, err := w.Write([]byte(text))
	l.ts.Check(err)
	l.ts.Check(w.Close())
	return out.Bytes()
}

func (l layout) packed(content []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(content)
	l.ts.Check(err)
	l.ts.Check(w.Close())
	return out.Bytes()
}

func (l layout) blob(mediaType string, content []byte) descriptor {
	hex := fmt.Sprintf("%x", sha256.Sum256(content))
	l.write(filepath.Join("blobs", "sha256", hex), content)
	return descriptor{MediaType: mediaType, Digest: "sha256:" + hex, Size: len(content)}
}

func (l layout) json(v any) []byte {
	content, err := json.Marshal(v)
	l.ts.Check(err)
	return content
}

func (l layout) write(name string, content []byte) {
	l.ts.Check(os.WriteFile(filepath.Join(l.folder, name), content, 0o600))
}
