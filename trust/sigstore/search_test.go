package sigstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// find searches as the engine does: until the evidence suffices.
func find(t testing.TB, a *authority, src trust.Source, ref image.Ref) ([]trust.Proof, error) {
	t.Helper()
	var proofs []trust.Proof
	ev, err := a.Search(t.Context(), src, ref, func(ev trust.Evidence) bool {
		var err error
		proofs, err = a.Check(ref, ev, now)
		return err == nil
	})
	if err != nil || len(proofs) > 0 {
		return proofs, err
	}
	return a.Check(ref, ev, now)
}

// With the formats that are the default: the first time both ways of discovery are asked, from then on the one that led somewhere.
func TestRequests(t *testing.T) {
	l := home()
	sig, bun := signing{}, signing{shape: bundleSignature}
	att, battest := signing{shape: legacyAttestation}, signing{shape: bundleAttestation}
	only := func(shape string) func(*Options) { return func(o *Options) { o.Formats = []string{shape} } }
	for name, c := range map[string]struct {
		options     Options
		pieces      []signing
		first, warm int
	}{
		"one signature":                         {l.keyless(), []signing{sig}, 3, 2},
		"one bundle":                            {l.keyless(), []signing{bun}, 4, 3},
		"one signature, signatures only":        {l.keyless(only("signature")), []signing{sig}, 2, 2},
		"one bundle, bundles only":              {l.keyless(only("bundle")), []signing{bun}, 3, 3},
		"ten signatures, the newest suffices":   {l.keyless(), []signing{sig, sig, sig, sig, sig, sig, sig, sig, sig, sig}, 3, 2},
		"a signature and a bundle":              {l.keyless(), []signing{bun, sig}, 3, 2},
		"one attestation, any":                  {l.keyless(onlyAttested), []signing{att}, 3, 2},
		"one attestation in a bundle, any":      {l.keyless(onlyAttested), []signing{battest}, 4, 3},
		"a bundle, and attestations not wanted": {l.keyless(), []signing{battest, bun, battest}, 4, 3},
		"the latest attestation needs all":      {l.keyless(scanned(AttestationOptions{})), []signing{scan(true, 1, nil)}, 4, 4},
		"a foreign signature does not suffice":  {l.keyless(), []signing{{by: l.nobody()}}, 3, 3},
		"a foreign signature, then a good one":  {l.keyless(), []signing{sig, {by: l.nobody()}}, 4, 3},
		"a foreign signature, a good bundle":    {l.keyless(), []signing{bun, {by: l.nobody()}}, 5, 3},
		"nothing":                               {l.keyless(), nil, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, c.options)
			var src trusttest.Source
			for i, s := range c.pieces {
				s.created = signed.Add(time.Duration(i) * time.Minute)
				publish(t, &src, app, l.sign(app, s))
			}
			for i, want := range []int{c.first, c.warm, c.warm} {
				src.FailAt(0, nil)
				_, _ = find(t, a, &src, app)
				if got := src.Requests(); got != want {
					t.Errorf("search %d: %d requests, want %d", i+1, got, want)
				}
			}
		})
	}
}

// What was learnt of a repository never decides: where the usual way leads nowhere, the other is asked.
func TestHabitsDecideNothing(t *testing.T) {
	l := home()
	a := newAuthority(t, l.keyless())
	var src trusttest.Source
	publish(t, &src, app, l.sign(app, signing{}))
	other := app.At(image.SHA256([]byte("other")))
	publish(t, &src, other, l.sign(other, signing{shape: bundleSignature}))
	for range 3 {
		for _, ref := range []image.Ref{app, other} {
			if proofs, err := find(t, a, &src, ref); err != nil || len(proofs) == 0 {
				t.Fatalf("%s: %v", ref, err)
			}
		}
	}
}

// watched counts what is read of a source, and lets some requests go amiss.
type watched struct {
	*trusttest.Source
	bytes  atomic.Int64
	amiss  error // beside the referrers that are listed
	listed func([]trust.Descriptor) []trust.Descriptor
}

func (w *watched) Blob(ctx context.Context, ref image.Ref, d trust.Descriptor, limit int64) ([]byte, error) {
	b, err := w.Source.Blob(ctx, ref, d, limit)
	w.bytes.Add(int64(len(b)))
	return b, err
}

func (w *watched) Referrers(ctx context.Context, ref image.Ref) ([]trust.Descriptor, error) {
	all, err := w.Source.Referrers(ctx, ref)
	if err == nil {
		err = w.amiss
	}
	if w.listed != nil {
		all = w.listed(all)
	}
	return all, err
}

// T46: of a list that is not whole, what it proves counts; what it lacks cannot be told.
func TestT46_PartOfTheReferrers(t *testing.T) {
	l := home()
	src := &watched{Source: new(trusttest.Source), amiss: errors.New("429 too many requests")}
	a := newAuthority(t, l.keyless())
	_, err := find(t, a, src, app)
	wantUnclear(t, nil, err, "429")
	publish(t, src.Source, app, l.sign(app, signing{shape: bundleSignature, by: l.nobody()}))
	_, err = find(t, a, src, app)
	wantUnclear(t, nil, err, "429")
	publish(t, src.Source, app, l.sign(app, signing{shape: bundleSignature}))
	proofs, err := find(t, a, src, app)
	expect(t, proofs, err, "")
}

// T45: a good signature that is old is found among very many that are plainly by somebody else.
func TestT45_OldSignatureAmongMany(t *testing.T) {
	l := home()
	a := newAuthority(t, l.keyless())
	var src trusttest.Source
	good, strange := l.sign(app, signing{}), l.sign(app, signing{by: l.nobody(), logs: []*rekorLog{}})
	strange.Annotations[annotationChain] = ""
	publishLayers(t, &src, app, "sig", append([]publication{good}, repeated(1000, strange)...))
	for range 5 {
		src.FailAt(0, nil)
		proofs, err := find(t, a, &src, app)
		expect(t, proofs, err, "")
		if n := src.Requests(); n > 4 {
			t.Errorf("%d requests", n)
		}
	}
}

// T45: junk that carries a copy of the right certificate is looked at up to a limit. The message says so, and each look is the same.
func TestT45_CopiesOfTheCertificate(t *testing.T) {
	l := home()
	someone := l.person(leaf{})
	copied := l.sign(app, signing{by: someone, made: func(m *made) { m.signature, m.chain, m.entries = []byte("junk"), nil, nil }})
	good := l.sign(app, signing{by: someone})
	for name, c := range map[string]struct {
		newer int
		want  string
	}{
		"the good one is the newest":         {0, ""},
		"the good one is the last looked at": {trust.MaxSignatures - 1, ""},
		"the good one is not looked at":      {trust.MaxSignatures, "the newest 50 of 551 pieces of evidence were looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			var first string
			for i := range 5 {
				var src trusttest.Source
				layers := append(repeated(500, copied), good)
				layers = append(layers, repeated(c.newer, copied)...)
				publishLayers(t, &src, app, "sig", layers)
				proofs, err := find(t, newAuthority(t, l.keyless()), &src, app)
				expect(t, proofs, err, c.want)
				if n := src.Requests(); n > 2+trust.MaxSignatures {
					t.Errorf("%d requests", n)
				}
				if got := fmt.Sprint(err); i == 0 {
					first = got
				} else if got != first {
					t.Errorf("two looks differ: %s and %s", first, got)
				}
			}
		})
	}
}

func repeated(n int, p publication) []publication {
	all := make([]publication, n)
	for i := range all {
		all[i] = p
		all[i].Annotations = maps.Clone(p.Annotations)
		all[i].Annotations["number"] = fmt.Sprint(i)
	}
	return all
}

// publishLayers stores a manifest with these layers.
func publishLayers(t testing.TB, src *trusttest.Source, ref image.Ref, suffix string, all []publication) {
	t.Helper()
	layers := make([]any, len(all))
	for i, p := range all {
		layers[i] = map[string]any{"mediaType": p.MediaType, "digest": src.PutBlob(ref, p.Bytes).String(), "size": len(p.Bytes), "annotations": p.Annotations}
	}
	body := mustJSON(map[string]any{"schemaVersion": 2, "mediaType": typeOCIManifest, "layers": layers})
	if len(body) > trust.MaxManifest {
		t.Fatalf("manifest of %d bytes, which no registry serves", len(body))
	}
	src.PutManifest(must(ref.At(image.Digest{}).Tagged(Tag(ref.Digest(), suffix))), typeOCIManifest, body)
	src.FailAt(0, nil)
}

// T45: of referrers the newest are looked at, by what they say of themselves, in the same order whatever the registry's is.
func TestT45_Referrers(t *testing.T) {
	l := home()
	src := &watched{Source: new(trusttest.Source)}
	strange := l.sign(app, signing{shape: bundleSignature, by: l.nobody(), created: signed})
	for i := range 200 {
		p := strange
		p.annotations = maps.Clone(p.annotations)
		p.annotations["number"] = fmt.Sprint(i)
		publish(t, src.Source, app, p)
	}
	old := l.sign(app, signing{shape: bundleSignature, created: signed.Add(-time.Hour)})
	publish(t, src.Source, app, old)
	texts := map[string]bool{}
	for range 5 {
		proofs, err := find(t, newAuthority(t, l.keyless()), src, app)
		wantNo(t, proofs, err, "the newest 50 of 201 pieces of evidence were looked at")
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("the verdict varies: %v", texts)
	}
	publish(t, src.Source, app, l.sign(app, signing{shape: bundleSignature, created: signed.Add(time.Hour)}))
	src.FailAt(0, nil)
	proofs, err := find(t, newAuthority(t, l.keyless()), src, app)
	expect(t, proofs, err, "")
	if n := src.Requests(); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
}

// T43: what is fetched for one image is bounded.
func TestT43_FetchedBytes(t *testing.T) {
	src := &watched{Source: new(trusttest.Source)}
	var big []publication
	for i := range 40 {
		p := publication{Item: trust.Item{MediaType: typeEnvelope, Annotations: map[string]string{}}}
		p.Bytes = []byte(strings.Repeat(" ", 4<<20) + fmt.Sprint(i))
		big = append(big, p)
	}
	publishLayers(t, src.Source, app, "sig", big)
	a := newAuthority(t, home().keyless())
	proofs, err := find(t, a, src, app)
	wantNo(t, proofs, err, "(the newest 15 of 40 pieces of evidence were looked at)")
	if n := src.bytes.Load(); n > maxFetched {
		t.Errorf("%d bytes were fetched, want %d at most", n, maxFetched)
	}
}

// What is found elsewhere, or is no evidence, is never fetched.
func TestReferrersOfOtherKinds(t *testing.T) {
	l := home()
	src := &watched{Source: new(trusttest.Source)}
	publish(t, src.Source, app, l.sign(app, signing{shape: bundleSignature}))
	a := newAuthority(t, l.keyless())
	for _, kind := range []string{"application/vnd.cncf.notary.signature", "application/spdx+json", "application/vnd.example"} {
		src.listed = func(all []trust.Descriptor) []trust.Descriptor {
			for i := range all {
				all[i].ArtifactType = kind
			}
			return all
		}
		src.FailAt(0, nil)
		_, err := find(t, a, src, app)
		if !errors.Is(err, trust.ErrUnsigned) || src.Requests() != 2 {
			t.Errorf("%s: error %v, %d requests", kind, err, src.Requests())
		}
	}
	// Some registries tell no type, or that of the configuration.
	for _, kind := range []string{"", "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json"} {
		src.listed = func(all []trust.Descriptor) []trust.Descriptor {
			for i := range all {
				all[i].ArtifactType, all[i].Annotations = kind, nil
			}
			return all
		}
		proofs, err := find(t, a, src, app)
		expect(t, proofs, err, "")
	}
	// A registry that lists what refers to another image.
	other := app.At(image.SHA256([]byte("other")))
	src.listed = func([]trust.Descriptor) []trust.Descriptor {
		all, err := src.Source.Referrers(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	proofs, err := find(t, a, src, other)
	wantNo(t, proofs, err, "does not refer to the image")
}

// T45: of referrers of one time, which are looked at does not depend on the order in which the registry lists them.
func TestT45_ReferrersOfOneTime(t *testing.T) {
	l := home()
	var src trusttest.Source
	strange := l.sign(app, signing{shape: bundleSignature, by: l.nobody()})
	for i := range 2 * trust.MaxSignatures {
		p := strange
		p.annotations = maps.Clone(p.annotations)
		p.annotations["number"] = fmt.Sprint(i)
		publish(t, &src, app, p)
	}
	publish(t, &src, app, l.sign(app, signing{shape: bundleSignature}))
	a := newAuthority(t, l.keyless())
	first, err := find(t, a, &src, app)
	for range 40 {
		again, errAgain := find(t, a, &src, app)
		if len(again) != len(first) || fmt.Sprint(errAgain) != fmt.Sprint(err) {
			t.Fatalf("%d proofs (%v), then %d (%v)", len(first), err, len(again), errAgain)
		}
	}
}
