package kubernetes

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzReview feeds reviews to the decoder. Of what it takes for a review of a pod it has found the same images as a reader that decodes all
// of it, and nothing that it refuses is taken by being read twice.
func FuzzReview(f *testing.F) {
	recorded, err := filepath.Glob("testdata/reviews/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range recorded {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, c := range everywhere {
		c.object = strings.Replace(c.object, "%q", `"`+good+`"`, 1)
		f.Add(reviewOf(c.change))
	}
	f.Add(reviewOf(change{object: `{"spec":{"containers":[{"im\u0061ge":"\u0072.example/a"}]}}`}))
	kinds := map[kindKey]kind{}
	for key, p := range builtin() {
		kinds[key] = kind{place: p}
	}
	d := decoder{kinds: kinds, maxObject: MaxObject}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r review
		if err := d.decode(body, &r); err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("no JSON, and taken: %q", body)
		}
		if r.kind != (kindKey{kind: "Pod"}) || r.operation != create && r.operation != update {
			return
		}
		_ = r.noticed() // it ends, whatever stands there
		var full struct{ Request map[string]json.RawMessage }
		if json.Unmarshal(body, &full) != nil {
			return // it takes keys in other case for the same, as the API server does not
		}
		var all []string
		for _, i := range r.object.images {
			all = append(all, i.Path+" "+i.Text)
		}
		var want []string
		var object any
		if json.Unmarshal(full.Request["object"], &object) != nil {
			return // there is none
		}
		for _, list := range []string{"containers", "initContainers", "ephemeralContainers", "volumes"} {
			want = append(want, imagesIn(object, list)...)
		}
		slices.Sort(all)
		slices.Sort(want)
		if !slices.Equal(all, want) {
			t.Errorf("%q: got %q, want %q", body, all, want)
		}
	})
}

// imagesIn finds the images of a list of a pod in what encoding/json made of it.
func imagesIn(object any, list string) []string {
	var all []string
	entries, _ := child(child(object, "spec"), list).([]any)
	for i := range entries {
		index := strconv.Itoa(i)
		path, at := "/image", child(entries[i], "image")
		if list == "volumes" {
			path, at = "/image/reference", child(at, "reference")
		}
		if text, ok := at.(string); ok {
			all = append(all, "/spec/"+list+"/"+index+path+" "+text)
		}
	}
	return all
}
