package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A thousand pods of one deployment cost one verification, and all of them at once no more.
func TestAThousandPodsCostOneVerification(t *testing.T) {
	s := newNotaryStage(t, "")
	settings := filepath.Join(t.TempDir(), "registries.yaml")
	must(t, os.WriteFile(settings, fmt.Appendf(nil, "registries:\n- {host: %q, insecurePlainHTTP: true}\n", s.server.Host()), 0o600))
	kubeconfig := apiServer(t, "shop")
	r := servePoint(t, "kubernetes", "--policy", s.policy, "--insecure-plain-http", "--kubeconfig", kubeconfig, "--registries", settings, "--state-dir", s.state)
	r.until("it is ready", func() bool { status, _, _ := r.ask("/readyz", ""); return status == http.StatusOK })
	s.server.ResetRequests()

	image := s.ref + ":1@" + s.digest.String()
	var askers sync.WaitGroup
	for range 20 {
		askers.Go(func() {
			for range 50 {
				if ok, text := r.admitted("shop", image); !ok {
					t.Errorf("denied: %s", text)
					return
				}
			}
		})
	}
	askers.Wait()
	// Root, timestamp, snapshot, targets and targets/releases of the repository; the registry itself is asked for nothing.
	if got := s.server.Requests(); len(got) != 5 {
		t.Errorf("got %d requests, want 5: %v", len(got), got)
	}
}
