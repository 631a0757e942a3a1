package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
)

// A burst of different images uses all the connections that one registry may have, no more, and no more requests than each image needs: its
// time is that of the registry, divided by the connections. make bench-webhook measures it.
func TestABurstUsesAllConnections(t *testing.T) {
	const images, connections, each = 500, 64, 2 // registry.maxConnections; the certificate's manifest and the certificate
	server := registrytest.New(t, registrytest.Options{})
	client, err := registry.New(registry.Config{LoopbackHTTP: true})
	must(t, err)
	defer client.CloseIdleConnections()
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	stage := demoStage{app: &app{stderr: &bytes.Buffer{}, now: time.Now}, server: server, store: client, folder: folder}
	ca, err := stage.newAuthority("burst CA")
	must(t, err)
	names := make([]string, images)
	for i := range names {
		ref := stage.push(fmt.Sprintf("burst%d", i), "1")
		_, err := stage.sign(context.Background(), ca, ref)
		must(t, err)
		names[i] = ref.String()
	}
	must(t, os.WriteFile(in("ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}), 0o600))
	must(t, os.WriteFile(in("registries.yaml"), fmt.Appendf(nil, "registries:\n- {host: %q, insecurePlainHTTP: true}\n", server.Host()), 0o600))
	must(t, os.WriteFile(in("policy.yaml"), []byte("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: burst}\nspec:\n"+
		"  authorities: {ci: {certificate: {rootsFiles: [ca.pem]}}}\n  rules: [{images: ['**'], require: ci}]\n"), 0o600))
	r := servePoint(t, "kubernetes", "--policy", in("policy.yaml"), "--insecure-plain-http", "--registries", in("registries.yaml"), "--state-dir", folder,
		"--kubeconfig", apiServer(t, "shop"))
	r.until("it is ready", func() bool { status, _, _ := r.ask("/readyz", ""); return status == http.StatusOK })
	server.ResetRequests()

	// The first requests wait for each other, until there are as many as there may be.
	var now, most atomic.Int64
	all := make(chan struct{})
	server.SetFault(func(*http.Request) bool { return true }, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if n == connections {
			select {
			case <-all:
			default:
				close(all)
			}
		}
		select {
		case <-all:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
	var askers sync.WaitGroup
	for _, name := range names {
		askers.Go(func() {
			if ok, text := r.admitted("shop", name); !ok {
				t.Errorf("denied: %s", text)
			}
		})
	}
	askers.Wait()
	if got := most.Load(); got != connections {
		t.Errorf("got %d requests at once, want %d", got, connections)
	}
	if got := len(server.Requests()); got != images*each {
		t.Errorf("got %d requests, want %d", got, images*each)
	}
}
