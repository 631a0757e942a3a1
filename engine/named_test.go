package engine_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry/registrytest"
)

// A point that compares content itself is told the digest that trust data name for a tag: the registry is not asked, need not answer, and its
// word counts for nothing. Who signs tags and did not sign this one says no. AUTHZ-7, AUTHZ-8, AUTHZ-14.
func TestAUTHZ8_SignedTagsNeedNoRegistry(t *testing.T) {
	for _, row := range []struct {
		name, require, tag string
		down               bool
		want               engine.Outcome
		text               string
		registry           bool // it is asked
	}{
		{"the tag that the registry moved", "dct", "1", false, engine.Allowed, "", false},
		{"nobody answers", "dct", "1", true, engine.Allowed, "", false},
		{"unsigned", "dct", "2", false, engine.Denied, `no valid trust data for "2"`, false},
		{"unsigned, and nobody answers", "dct", "2", true, engine.Denied, `no valid trust data for "2"`, false},
		{"an authority that takes the registry's word has a say", "{any: [dct, right]}", "2", true, engine.CouldNotTell, "503", true},
		{"without one that names tags", "right", "1", true, engine.CouldNotTell, "503", true},
		{"T47 a panic", "panics", "1", true, engine.Bug, "panics: bug: resolve", false},
		{"T5 no digest", "nothing", "1", true, engine.CouldNotTell, "no digest was named", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHarbour(t)
			signed := h.image("app/api", "old", "signed")
			h.image("app/api", "1", "moved")
			h.image("app/api", "2", "never signed")
			h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": signed.Digest()})
			h.use(cargo(row.require, ""))
			h.server.ResetRequests()
			if row.down {
				h.server.SetFault(func(*http.Request) bool { return true }, registrytest.Status(503, nil, "down"))
			}
			v := h.engine.Decide(context.Background(), engine.Request{
				Image: h.server.Host() + "/app/api:" + row.tag, Request: policy.Request{Point: "docker"}, Signed: true,
			})
			if v.Outcome != row.want || v.Allowed != (row.want == engine.Allowed) || !strings.Contains(v.Reason, row.text) {
				t.Errorf("got %s (allowed %v): %s; want %s and %q", v.Outcome, v.Allowed, v.Reason, row.want, row.text)
			}
			if v.Allowed && v.Digest != signed.Digest() {
				t.Errorf("got %s, want what is signed, %s", v.Digest, signed.Digest())
			}
			if asked := len(h.server.Requests()) > 0; asked != row.registry {
				t.Errorf("the registry was asked: %v, want %v", h.server.Requests(), row.registry)
			}
		})
	}
}

// A policy that stops nothing decides about the same digest, and the verdict names it.
func TestSignedTagsAreNamedWhateverTheMode(t *testing.T) {
	for _, mode := range []string{"enforce", "warn", "audit"} {
		t.Run(mode, func(t *testing.T) {
			h := newHarbour(t)
			signed := h.image("app/api", "1", "signed")
			h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": signed.Digest()})
			h.use("\n  mode: " + mode + cargo("dct", ""))
			for _, bySignature := range []bool{false, true} {
				v := h.engine.Decide(context.Background(), engine.Request{
					Image: h.server.Host() + "/app/api:1", Request: policy.Request{Point: "docker"}, Signed: bySignature,
				})
				if !v.Allowed || v.Outcome != engine.Allowed || v.Digest != signed.Digest() {
					t.Errorf("by the signature: %v: got %s about %q, want %s", bySignature, v.Outcome, v.Digest, signed.Digest())
				}
			}
		})
	}
}
