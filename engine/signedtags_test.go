package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
)

// Where the registry does not say what a tag stands for, those who sign tags do, for who asks for that and compares.
func TestSignedTagsWithoutTheRegistry(t *testing.T) {
	h := newHarbour(t)
	signed, served := h.image("app/api", "0", "signed"), h.image("app/api", "1", "served")
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"9": signed.Digest(), "1": signed.Digest()})
	h.sign(h.right, served)
	name := h.server.Host() + "/app/api:"
	for what, row := range map[string]struct {
		require, tag string
		anyway       engine.Outcome // without the flag
		want         engine.Outcome
		digest       image.Ref
		text         string
	}{
		"signed, and unknown to the registry":   {"dct", "9", engine.CouldNotTell, engine.Allowed, signed, ""},
		"neither":                               {"dct", "8", engine.CouldNotTell, engine.Denied, image.Ref{}, `no valid trust data for "8"`},
		"another one could vouch":               {"{any: [dct, right]}", "8", engine.CouldNotTell, engine.CouldNotTell, image.Ref{}, "404"},
		"another one must vouch":                {"[dct, right]", "9", engine.CouldNotTell, engine.Denied, signed, "right: unsigned"},
		"nobody signs tags":                     {"right", "9", engine.CouldNotTell, engine.CouldNotTell, image.Ref{}, "404"},
		"a signature that is not proved":        {"liar", "9", engine.CouldNotTell, engine.Denied, image.Ref{}, "liar"},
		"the registry has moved the tag: T22":   {"dct", "1", engine.Denied, engine.Denied, served, "digest changed"},
		"the registry knows, and it is as ever": {"right", "1", engine.Allowed, engine.Allowed, served, ""},
	} {
		h := &harbour{world: h.world, notary: h.notary, files: h.files}
		h.use(cargo(row.require, ""))
		h.want(name+row.tag, row.anyway)
		v := h.engine.Decide(context.Background(), engine.Request{Image: name + row.tag, Request: policy.Request{Point: "docker"}, SignedTags: true})
		if v.Outcome != row.want || v.Digest != row.digest.Digest() || !strings.Contains(v.Reason, row.text) {
			t.Errorf("%s: got %s about %s", what, v.String(), v.Digest)
		}
		if row.want == engine.Denied && len(v.Authorities) == 0 {
			t.Errorf("%s: nobody is named", what)
		}
	}
}
