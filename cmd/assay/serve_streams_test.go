package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/kubernetes/cluster/clustertest"
)

// T47: an API server has one connection for all reviews. Large ones that wait for a place, which any tenant can send by way of it, must not
// use up what the connection may have under way, so that no other review comes through.
func TestT47_LargeReviewsHoldUpNoOthersOfTheConnection(t *testing.T) {
	s := clustertest.New(t)
	s.Put("/api/v1/namespaces", `{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"name":"shop"}}`)
	folder := t.TempDir()
	policy := filepath.Join(folder, "policy.yaml")
	replace(t, policy, fmt.Sprintf(allowOnly, "p", "shop"))
	cert, key := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	newAuthority(t, "servers").issue(t, "server", cert, key)
	r := servePoint(t, "kubernetes", "--policy", policy, "--kubeconfig", s.Kubeconfig(), "--tls-cert", cert, "--tls-key", key).untilReady()
	if ok, text := r.admitted("shop", shopImage); !ok {
		t.Fatal(text)
	}
	send := func(body io.Reader) {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+r.address+"/validate?timeout=20s", body)
		if err != nil {
			return
		}
		if a, err := r.client.Do(q); err == nil {
			_ = a.Body.Close()
		}
	}
	const half = 300 << 10
	begun := make(chan struct{}, 64)
	for range 16 { // which take all places, and keep them
		rest, w := io.Pipe()
		t.Cleanup(func() { _ = w.Close() })
		go send(io.MultiReader(bytes.NewReader(bytes.Repeat([]byte(" "), half)), tellFirst{rest, begun}))
	}
	for range 16 {
		<-begun
	}
	for range 4 {
		go send(bytes.NewReader(bytes.Repeat([]byte(" "), 4<<20)))
	}
	r.until("what waits has used up what it may", func() bool {
		_, _, body := r.ask("/metrics", "")
		return strings.Contains(body, "assay_requests_in_flight 20")
	})
	start := time.Now()
	if ok, text := r.admitted("shop", shopImage); !ok || time.Since(start) > 2*time.Second {
		t.Errorf("allowed %v after %v: %s", ok, time.Since(start), text)
	}
}

// tellFirst tells that the first byte is wanted.
type tellFirst struct {
	io.Reader
	begun chan<- struct{}
}

func (r tellFirst) Read(p []byte) (int, error) {
	select {
	case r.begun <- struct{}{}:
	default:
	}
	return r.Reader.Read(p)
}
