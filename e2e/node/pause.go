//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// pauseImage is the name of the image that holds a pod's namespaces. It is imported, never pulled.
const pauseImage = "assay.invalid/pause:1"

// pauseArchive is an OCI layout of an image with one program: this one, which is static and does nothing as "pause".
func pauseArchive() ([]byte, error) {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	layer, err := archive([]file{{"pause", 0o755, program}})
	if err != nil {
		return nil, err
	}
	type descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int               `json:"size"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	var files []file
	add := func(mediaType string, content []byte) descriptor {
		hex := fmt.Sprintf("%x", sha256.Sum256(content))
		files = append(files, file{"blobs/sha256/" + hex, 0o644, content})
		return descriptor{MediaType: mediaType, Digest: "sha256:" + hex, Size: len(content)}
	}
	encode := func(v any) []byte {
		content, err := json.Marshal(v)
		if err != nil {
			panic(err) // maps of texts
		}
		return content
	}
	config := add("application/vnd.oci.image.config.v1+json", encode(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Entrypoint": []string{"/pause", pause}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	}))
	top := add("application/vnd.oci.image.manifest.v1+json", encode(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
		"layers": []descriptor{add("application/vnd.oci.image.layer.v1.tar", layer)},
	}))
	top.Annotations = map[string]string{"io.containerd.image.name": pauseImage}
	files = append(files, file{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		file{"index.json", 0o644, encode(map[string]any{"schemaVersion": 2, "manifests": []descriptor{top}})})
	return archive(files)
}

type file struct {
	name    string
	mode    int64
	content []byte
}

func archive(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: time.Unix(0, 0)}); err != nil {
			return nil, err
		}
		if _, err := io.Copy(w, bytes.NewReader(f.content)); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}
