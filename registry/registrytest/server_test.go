package registrytest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry/registrytest"
)

func get(t *testing.T, s *registrytest.Server, path string) (status int, body []byte) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(s.URL() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func TestImagesAreReal(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{})
	index, children := s.PushIndex("app", "1.0", map[string]string{"linux/amd64": "a", "linux/arm/v7": "b"})
	_, body := get(t, s, "/v2/app/manifests/1.0")
	if image.SHA256(body) != index || len(children) != 2 {
		t.Fatalf("got %s with %d children, want %s with 2", image.SHA256(body), len(children), index)
	}
	for platform, child := range children {
		if !strings.Contains(string(body), child.String()) {
			t.Errorf("%s: %s is not in the index", platform, child)
		}
		_, body := get(t, s, "/v2/app/manifests/"+child.String())
		var m struct {
			Config struct{ Digest image.Digest }
			Layers []struct{ Digest image.Digest }
		}
		if err := json.Unmarshal(body, &m); err != nil || len(m.Layers) != 1 {
			t.Fatalf("%s: %v, %d layers", platform, err, len(m.Layers))
		}
		for _, d := range []image.Digest{m.Config.Digest, m.Layers[0].Digest} {
			if status, blob := get(t, s, "/v2/app/blobs/"+d.String()); status != http.StatusOK || !d.Fits(blob) {
				t.Errorf("%s: blob %s: status %d", platform, d, status)
			}
		}
	}
	if first, second := s.PushImage("app", "x", "", "same"), s.PushImage("app", "y", "", "same"); first != second {
		t.Errorf("equal seeds give %s and %s", first, second)
	}
	s.Tag("app", "x", index)
	if _, body := get(t, s, "/v2/app/manifests/x"); image.SHA256(body) != index {
		t.Errorf("the tag names %s, want %s", image.SHA256(body), index)
	}
	s.DeleteManifest("app", "x")
	if status, _ := get(t, s, "/v2/app/manifests/x"); status != http.StatusNotFound {
		t.Errorf("the removed tag answers %d", status)
	}
}

func TestFlip(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{})
	a, b := s.PushImage("app", "1.0", "", "a"), s.PushImage("app", "", "", "b")
	s.SetFault(registrytest.OnPath("/manifests/1.0"), registrytest.Flip(a, b))
	for i, want := range []image.Digest{a, b, a} {
		if _, body := get(t, s, "/v2/app/manifests/1.0"); image.SHA256(body) != want {
			t.Errorf("request %d: got %s, want %s", i, image.SHA256(body), want)
		}
	}
	if got := s.Requests(); len(got) != 3 || got[0].String() != "GET /v2/app/manifests/1.0" {
		t.Errorf("requests %v", got)
	}
}

func TestNotary(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{Notary: true})
	s.PutTrustData("a.example/app", "targets/releases.json", []byte("{}"))
	for path, want := range map[string]string{
		"/v2/a.example/app/_trust/tuf/targets/releases.json": "{}",
		"/v2/a.example/app/_trust/tuf/targets.json":          "METADATA_NOT_FOUND",
		"/v2/a.example/other/_trust/tuf/root.json":           "METADATA_NOT_FOUND",
	} {
		status, body := get(t, s, path)
		if found := want == "{}"; !strings.Contains(string(body), want) || found != (status == http.StatusOK) || !found && status != http.StatusNotFound {
			t.Errorf("%s: got %d and %s, want %s", path, status, body, want)
		}
	}
	s = registrytest.New(t, registrytest.Options{})
	if status, body := get(t, s, "/v2/a.example/app/_trust/tuf/root.json"); status != http.StatusNotFound || strings.Contains(string(body), "METADATA_NOT_FOUND") {
		t.Errorf("a registry speaks as a Notary server: %d and %s", status, body)
	}
}

// TestCloseEndsWhatWaits also shows that a Server leaves nothing behind and can be started where another one was.
func TestCloseEndsWhatWaits(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, err := registrytest.Start(registrytest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.SetFault(registrytest.OnBlobs, registrytest.Hang())
	s.SetFault(registrytest.OnManifests, registrytest.Slow(time.Hour))
	done := make(chan error, 2)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/v2/app/blobs/x", "/v2/app/manifests/x"} {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			resp, err := client.Do(r)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			done <- err
		}()
	}
	for len(s.Requests()) < 2 {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	<-done
	<-done
	again, err := registrytest.Start(registrytest.Options{Listen: s.Host()})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
