package kubernetes

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDIA28_ItsPaths(t *testing.T) {
	l := newLab(t, func(c *Config) { c.DIA = true })
	for _, version := range []string{reviewV1, reviewV1beta1} {
		for _, image := range []string{good, bad} {
			got := l.post(t, "/verify", reviewOf(change{version: version, object: pod(image)}))
			if got.APIVersion != version || got.Response.UID != "uid-1" || got.Response.Allowed != (image == good) || got.Response.PatchType != nil {
				t.Errorf("%s %s: got %+v", version, image, got)
			}
		}
	}
	if got := l.post(t, "/echo", []byte("{}")); got.Body != `{"Success": "echo"}` {
		t.Errorf("got %s", got.Body)
	}
	for _, path := range []string{"/verify", "/echo"} {
		if got := newLab(t, nil).post(t, path, reviewOf(change{object: pod(good)})); got.Code != http.StatusNotFound {
			t.Errorf("%s without being asked for: got %d", path, got.Code)
		}
	}
}

func TestDIA29_UnreadableBodies(t *testing.T) {
	l := newLab(t, func(c *Config) { c.DIA = true })
	for _, body := range []string{"", "hello", "{}", `{"kind":"AdmissionReview","request":null}`} {
		got := l.post(t, "/verify", []byte(body))
		var says struct{ Error string }
		if err := json.Unmarshal([]byte(got.Body), &says); err != nil || got.Code != http.StatusBadRequest || says.Error == "" {
			t.Errorf("%q: got %d %s", body, got.Code, got.Body)
		}
	}
	endless := &endless{}
	w := httptest.NewRecorder()
	l.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/verify", endless))
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"Error"`) || endless.read > MaxReview+1<<20 {
		t.Errorf("got %d after %d bytes: %s", w.Code, endless.read, w.Body)
	}
}
