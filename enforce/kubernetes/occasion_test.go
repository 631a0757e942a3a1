package kubernetes

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
)

// The record says who asked and what about, as the API server has it, not as the object has it.
func TestTheRecordSaysWhoAskedAndWhatAbout(t *testing.T) {
	type told struct{ id, user, operation, kind, name, image, containers string }
	var got []told
	l := newLab(t, func(c *Config) {
		c.Point.Record = func(o *enforce.Occasion, req engine.Request, _ *engine.Verdict) {
			got = append(got, told{o.RequestID, o.User, o.Operation, o.Kind, o.Name, req.Image, o.Containers(req.Image)})
		}
	})
	l.validate(t, change{group: "apps", kind: "Deployment", resource: "deployments", object: `{"kind":"Forged","metadata":{"name":"forged"},"userInfo":{"username":"forged"},` +
		`"spec":{"template":{"spec":{"initContainers":[{"name":"i","image":"r.example/good:1"}],"containers":[{"name":"c","image":"r.example/good:1"},{"name":"d","image":"r.example/bad:1"}]}}}}`})
	want := []told{
		{"uid-1", "admin", "CREATE", "apps/Deployment", "x", "r.example/good:1", "i,c"},
		{"uid-1", "admin", "CREATE", "apps/Deployment", "x", "r.example/bad:1", "d"},
	}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// T47: the record of very many images costs no more than it has lines.
func TestT47_ContainersOfVeryManyImages(t *testing.T) {
	var r review
	for i := range 50_000 {
		r.object.images = append(r.object.images, Image{Text: "r.example/a" + strconv.Itoa(i%25_000), Container: "c" + strconv.Itoa(i)})
	}
	for i := range 17 {
		r.object.images = append(r.object.images, Image{Text: "r.example/many", Container: "m" + strconv.Itoa(i)}, Image{Text: "r.example/many"})
	}
	for i := range 25_000 {
		if got, want := r.containers("r.example/a"+strconv.Itoa(i)), fmt.Sprintf("c%d,c%d", i, i+25_000); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	if got := r.containers("r.example/many"); !strings.HasSuffix(got, ",m15,…") || strings.Count(got, ",") != maxContainers {
		t.Errorf("got %q", got)
	}
	few := review{object: object{found: found{images: r.object.images[50_000:50_010]}}}
	if got, want := few.containers("r.example/many"), "m0,m1,m2,m3,m4"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
