package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

// What allows is a verdict to every reader: about this image and digest, and with the exit code 0.
func FuzzFallbackVerdict(f *testing.F) {
	q := ask.Question{Name: "registry.example/app:1", Digest: "sha256:" + strings.Repeat("0f", 32), MediaType: "a/b", Size: 1}
	good := `{"image":"` + q.Image() + `","digest":"` + q.Digest + `","allowed":true,"outcome":"allowed","warnings":["one"]}`
	f.Add(0, []byte(good))
	f.Add(1, []byte(strings.Replace(good, "true", "false", 1)))
	f.Add(0, []byte(strings.Replace(good, `"allowed"`, `"Allowed":false,"allowed"`, 1)))
	f.Fuzz(func(t *testing.T, code int, content []byte) {
		out := &limited{most: maxVerdict}
		_, _ = out.Write(content)
		a := judge(code, out, &q)
		if !strings.HasPrefix(a.Reason, "assay: ") || a.Allowed != (exitOf(a) == exitAllowed) {
			t.Errorf("got %+v", a)
		}
		if !a.Allowed {
			return
		}
		var v struct {
			Image, Digest  string
			Allowed, Child bool
		}
		if err := json.Unmarshal(content, &v); err != nil || code != 0 || !v.Allowed || v.Child || v.Image != q.Image() || v.Digest != q.Digest {
			t.Errorf("allowed by %q with exit code %d: %+v, %v", content, code, v, err)
		}
	})
}
