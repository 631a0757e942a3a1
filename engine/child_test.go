package engine_test

import (
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
)

// index pushes an index and returns its reference and those of its children.
func (w *world) index(name, tag string, platforms ...string) (image.Ref, map[string]image.Ref) {
	w.Helper()
	seeds := map[string]string{}
	for _, p := range platforms {
		seeds[p] = name + p
	}
	d, children := w.server.PushIndex(name, tag, seeds)
	refs := map[string]image.Ref{}
	parent := image.MustParse(w.server.Host() + "/" + name + "@" + d.String())
	for p, c := range children {
		refs[p] = parent.At(c)
	}
	return parent, refs
}

var childPolicy = strings.Replace(simple, "require: right", "require: right\n    platform: linux/amd64", 1)

func TestIndexes(t *testing.T) {
	platforms := []string{"linux/amd64", "linux/arm64"}
	t.Run("DIA-17 an index with evidence of its own is allowed and pinned", func(t *testing.T) {
		w := newWorld(t)
		w.use(simple)
		index, _ := w.index("app/multi", "1", platforms...)
		w.sign(w.right, index)
		if v := w.want(w.server.Host()+"/app/multi:1", engine.Allowed); v.Digest != index.Digest() || !strings.HasSuffix(v.Pin, index.Digest().String()) || v.Child {
			t.Errorf("got digest %s, pin %s, child %v; want %s", v.Digest, v.Pin, v.Child, index.Digest())
		}
	})
	t.Run("DIA-18 a child that is vouched for is pinned where the rule names its platform", func(t *testing.T) {
		w := newWorld(t)
		w.use(childPolicy)
		_, children := w.index("app/multi", "1", platforms...)
		child := children["linux/amd64"]
		w.sign(w.right, child)
		v := w.want(w.server.Host()+"/app/multi:1", engine.Allowed)
		if v.Digest != child.Digest() || !strings.HasSuffix(v.Pin, child.Digest().String()) || !v.Child {
			t.Errorf("got digest %s, pin %s, child %v; want %s", v.Digest, v.Pin, v.Child, child.Digest())
		}
		if v := w.want(child.String(), engine.Allowed); v.Child {
			t.Error("an image that was asked for by its own digest is called a child")
		}
		w.use(simple)
		w.want(w.server.Host()+"/app/multi:1", engine.Denied)
	})
	t.Run("T30 a child of another platform proves nothing", func(t *testing.T) {
		w := newWorld(t)
		w.use(childPolicy)
		_, children := w.index("app/multi", "1", platforms...)
		w.sign(w.right, children["linux/arm64"])
		w.want(w.server.Host()+"/app/multi:1", engine.Denied)
	})
	t.Run("T30 a foreign child spliced into an unsigned index", func(t *testing.T) {
		w := newWorld(t)
		w.use(childPolicy)
		w.sign(w.right, w.image("app/multi", "other", "vouched for"))
		w.index("app/multi", "1", platforms...)
		w.want(w.server.Host()+"/app/multi:1", engine.Denied)
	})
	t.Run("DIA-19 no child of the wanted platform", func(t *testing.T) {
		w := newWorld(t)
		w.use(childPolicy)
		w.index("app/multi", "1", "linux/arm64")
		v := w.want(w.server.Host()+"/app/multi:1", engine.Denied)
		if want := "no child with platform linux/amd64 in index " + w.server.Host() + "/app/multi:1"; !strings.Contains(v.Reason, want) {
			t.Errorf("reason: got %q, want %q in it", v.Reason, want)
		}
	})
	t.Run("DIA-20 a single manifest has no children", func(t *testing.T) {
		w := newWorld(t)
		w.use(childPolicy)
		ref := w.image("app/single", "1", "a")
		w.want(ref.String(), engine.Denied)
		w.sign(w.right, ref)
		w.clock.advance(engine.DefaultRefusalTTL)
		w.want(ref.String(), engine.Allowed)
		w.want(w.server.Host()+"/app/single:1@"+ref.Digest().String(), engine.Allowed)
	})
	for _, platform := range platforms {
		t.Run("T21 a revoked child for "+platform+" takes back its index", func(t *testing.T) {
			w := newWorld(t)
			index, children := w.index("app/multi", "1", platforms...)
			w.sign(w.right, index)
			w.use(simple)
			w.want(index.String(), engine.Allowed)
			w.use(simple + "  revoked: [{digest: \"" + children[platform].Digest().String() + "\", reason: CVE}]\n")
			w.want(w.server.Host()+"/app/multi:1", engine.Denied)
			w.want(index.String(), engine.Denied)
			w.want(index.String(), engine.Denied)
		})
	}
}
