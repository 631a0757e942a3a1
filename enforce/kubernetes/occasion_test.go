package kubernetes

import (
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
