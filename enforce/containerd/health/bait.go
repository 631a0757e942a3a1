package health

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"
)

// bait is a registry on loopback with one image that nobody can have vouched for, as it was made a moment ago.
type bait struct {
	name     string // of the image, with the address of the registry
	digest   string
	contents map[string]content // by digest
	server   *http.Server
	served   chan struct{} // closed when the server has ended

	mu    sync.Mutex
	asked seen
}

// content is what the registry has.
type content struct {
	mediaType string
	body      []byte
}

// seen is what was asked of the registry by others than Assay, which looks for signatures.
type seen struct {
	manifests bool
	blobs     bool
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
	baitPath     = "assay-canary"
)

// lay starts the registry at an address; port 0 is any that is free.
func lay(address string) (*bait, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	nonce := strings.ToLower(rand.Text())
	b := &bait{name: l.Addr().String() + "/" + baitPath + "/" + nonce + ":1", contents: map[string]content{}, served: make(chan struct{})}
	b.digest = b.image(nonce)
	b.server = &http.Server{
		Handler: b, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // containerd tries TLS first
	}
	go func() {
		defer close(b.served)
		_ = b.server.Serve(l) // it ends by close
	}()
	return b, nil
}

// close ends the registry.
func (b *bait) close() {
	_ = b.server.Close() // nobody waits for an answer any more
	<-b.served
}

// image makes the image, which can be pulled and unpacked, and returns its digest.
func (b *bait) image(nonce string) string {
	layer := make([]byte, 1024) // the end of an archive
	config := encode(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Labels": map[string]string{"assay.dev/canary": nonce}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digestOf(layer)}},
	})
	packed := pack(layer)
	described := func(kind string, body []byte) map[string]any {
		return map[string]any{"mediaType": kind, "digest": b.keep(kind, body), "size": len(body)}
	}
	return b.keep(manifestType, encode(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": described(configType, config), "layers": []any{described(layerType, packed)},
	}))
}

// keep adds content.
func (b *bait) keep(mediaType string, body []byte) string {
	digest := digestOf(body)
	b.contents[digest] = content{mediaType: mediaType, body: body}
	return digest
}

func digestOf(body []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(body)) }

func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // of maps of texts
	}
	return body
}

// pack compresses a layer.
func pack(layer []byte) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(layer); err != nil {
		panic(err) // a buffer takes all
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return packed.Bytes()
}

// ServeHTTP answers as a registry does.
func (b *bait) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/v2/" {
		return
	}
	_, repository, _ := strings.Cut(strings.TrimSuffix(b.name, ":1"), "/")
	kind, which, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"+repository+"/"), "/")
	if kind == "manifests" && which == "1" {
		which = b.digest
	}
	found, ok := b.contents[which]
	if (kind != "manifests" && kind != "blobs") || (kind == "manifests") != (which == b.digest) {
		ok = false
	}
	if ok {
		b.note(kind, r)
	}
	answer(w, r, which, found, ok)
}

// note records what was asked. What Assay itself reads is no pull.
func (b *bait) note(kind string, r *http.Request) {
	if strings.HasPrefix(r.UserAgent(), "assay") {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked.manifests = b.asked.manifests || kind == "manifests"
	b.asked.blobs = b.asked.blobs || kind == "blobs"
}

// sight returns what was asked so far.
func (b *bait) sight() seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

func answer(w http.ResponseWriter, r *http.Request, digest string, found content, ok bool) {
	if !ok {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[{"code":"NAME_UNKNOWN"}]}`) // who asked may have gone
		return
	}
	w.Header().Set("Content-Type", found.mediaType)
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Length", fmt.Sprint(len(found.body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(found.body) // who asked may have gone
	}
}
