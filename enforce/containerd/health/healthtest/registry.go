package healthtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Registry serves an image, as "app:1", that has nothing in it, until the test ends, and returns its address.
func Registry(t testing.TB, image string) (address string) {
	t.Helper()
	repository, tag, _ := strings.Cut(image, ":")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/"+repository+"/manifests/"+tag && !strings.HasPrefix(r.URL.Path, "/v2/"+repository+"/blobs/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("1", 64))
		_, _ = io.WriteString(w, `{"config":{"digest":"sha256:2"}}`) // who asked may have gone
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}
