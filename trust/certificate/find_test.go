package certificate

import (
	"errors"
	"strings"
	"testing"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

func TestFindCountsRequests(t *testing.T) {
	root := newCA(t, nil)
	a := newAuthority(t, Options{Roots: root.pem()})
	artifact := packed(OCI)(t, root, root.leaf(t, vouching(app)))
	for name, c := range map[string]struct {
		put  func(*testing.T, *trusttest.Source, image.Ref, Artifact)
		want int
	}{
		"DIA-40 a manifest": {func(t *testing.T, s *trusttest.Source, r image.Ref, a Artifact) { publish(t, s, r, a) }, 2},
		"an index":          {publishIndex, 3},
		"nothing":           {func(*testing.T, *trusttest.Source, image.Ref, Artifact) {}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			src := new(trusttest.Source)
			c.put(t, src, app, artifact)
			src.FailAt(0, nil)
			_, _ = a.Find(t.Context(), src, app)
			if got := src.Requests(); got != c.want {
				t.Errorf("%d requests, want %d", got, c.want)
			}
		})
	}
}

// DIA-33: the text of the registry is part of the reason.
func TestDIA33_UnsignedCarriesTheRegistrysText(t *testing.T) {
	a := newAuthority(t, Options{Roots: newCA(t, nil).pem()})
	_, err := a.Find(t.Context(), new(trusttest.Source), app)
	tag := "dia-" + app.Digest().Hex()
	want := "GET https://registry.example/v2/team/app/manifests/" + tag + ": MANIFEST_UNKNOWN: manifest unknown; map[Tag:" + tag + "]"
	if !errors.Is(err, trust.ErrUnsigned) || !trust.IsNo(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want unsigned with %q", err, want)
	}
}

// T46: what is lost behind the manifest is an accident of the registry, not the absence of a signature.
func TestT46_MissingPartsAreCannotTell(t *testing.T) {
	root := newCA(t, nil)
	a := newAuthority(t, Options{Roots: root.pem()})
	artifact := packed(OCI)(t, root, root.leaf(t, vouching(app)))
	t.Run("the layer", func(t *testing.T) {
		src := new(trusttest.Source)
		src.PutManifest(tagged(t, app), artifact.MediaType, artifact.Manifest)
		_, err := a.Find(t.Context(), src, app)
		wantCannotTell(t, nil, err, "layer of the certificate")
	})
	t.Run("the child of an index", func(t *testing.T) {
		src := new(trusttest.Source)
		d := image.SHA256([]byte("none"))
		src.PutManifest(tagged(t, app), typeOCIIndex, []byte(`{"manifests":[{"mediaType":"`+typeOCIManifest+`","digest":"`+d.String()+`","size":9}]}`))
		_, err := a.Find(t.Context(), src, app)
		wantCannotTell(t, nil, err, "manifest of the certificate")
	})
	t.Run("a reference without a digest", func(t *testing.T) {
		_, err := a.Find(t.Context(), new(trusttest.Source), image.MustParse("registry.example/team/app:1"))
		wantCannotTell(t, nil, err, "no digest")
	})
	t.Run("a missing layer among refusals", func(t *testing.T) {
		var r refusals
		r.add(trust.Untrusted("no"))
		r.add(errors.New("cannot tell"))
		r.add(trust.Untrusted("no"))
		wantCannotTell(t, nil, r.err, "cannot tell")
	})
}

// DIA-4: the last certificate under the tag counts.
func TestDIA4_TheLastCertificateCounts(t *testing.T) {
	root := newCA(t, nil)
	a := newAuthority(t, Options{Roots: root.pem()})
	src := new(trusttest.Source)
	publish(t, src, app, packed(OCI)(t, root, root.leaf(t, vouching(app))))
	second := root.leaf(t, vouching(app))
	publish(t, src, app, packed(Docker)(t, root, second))
	ev, err := a.Find(t.Context(), src, app)
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := a.Check(app, ev, now)
	expect(t, proofs, err, "")
	if got := proofs[0].Signers[0].Chain[0].Serial; got != trust.Serial(second.SerialNumber) {
		t.Errorf("serial %s, want the second certificate's", got)
	}
}
