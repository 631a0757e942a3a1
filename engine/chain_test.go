package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

const (
	imageType  = "application/vnd.oci.image.manifest.v1+json"
	indexType  = "application/vnd.oci.image.index.v1+json"
	configType = "application/vnd.oci.image.config.v1+json"
)

// content decides and asks what may run.
func (w *world) content(name, platform string) engine.Verdict {
	w.Helper()
	return w.engine.Decide(context.Background(), engine.Request{Image: name, Request: policy.Request{Point: "cli"}, Content: true, Platform: platform})
}

// config returns the config's digest of an image in the registry.
func (w *world) config(ref image.Ref) image.Digest {
	w.Helper()
	_, content := w.server.Manifest(ref.Repository(), ref.Digest().String())
	_, after, _ := strings.Cut(string(content), `"config":`)
	_, after, _ = strings.Cut(after, `"digest":"`)
	text, _, _ := strings.Cut(after, `"`)
	return image.MustParseDigest(text)
}

func (w *world) wantChain(v engine.Verdict, want ...engine.Link) {
	w.Helper()
	if !v.Allowed || v.ChainError != "" {
		w.Errorf("got %s, chain: %s", v.String(), v.ChainError)
	}
	if diff := cmp.Diff(want, v.Chain, cmp.Comparer(func(a, b image.Digest) bool { return a == b })); diff != "" {
		w.Error(diff)
	}
}

// wantNoChain wants a verdict that allows, and a reason why it has no chain.
func (w *world) wantNoChain(v engine.Verdict, reason string) {
	w.Helper()
	if !v.Allowed || len(v.Chain) > 0 || !strings.Contains(v.ChainError, reason) {
		w.Errorf("got %s, chain %v: %q; want %q in it", v.String(), v.Chain, v.ChainError, reason)
	}
}

func TestT30_ChainOfAManifest(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	link := engine.Link{Manifest: ref.Digest(), Config: w.config(ref)}
	w.server.ResetRequests()
	w.want(ref.String(), engine.Allowed)
	w.wantRequests(2) // the certificate alone: nobody has read the manifest
	w.wantChain(w.content(ref.String(), ""), link)
	w.wantRequests(1)
	v := w.content(ref.String(), "")
	w.wantChain(v, link)
	w.wantChain(w.content(ref.String(), "linux/amd64"), link) // a manifest by itself says nothing of platforms
	w.wantRequests(0)
	if !v.Cached {
		t.Error("a warm chain is said to have been fetched")
	}
	if v := w.decide(ref.String()); v.Chain != nil || v.ChainError != "" {
		t.Errorf("nobody asked for a chain: got %v %s", v.Chain, v.ChainError)
	}
}

// withRevoked has the engine read each manifest for its verdict.
var withRevoked = simple + "  revoked:\n  - {digest: \"" + fixedDigest + "\"}\n"

func TestT30_ChainCostsWhatTheVerdictHasNotRead(t *testing.T) {
	w := newWorld(t)
	w.use(withRevoked)
	single := w.image("app/api", "1", "a")
	index, children := w.index("app/multi", "1", "linux/amd64", "linux/arm64")
	w.sign(w.right, single)
	w.sign(w.right, index)
	w.server.ResetRequests()
	w.wantChain(w.content(single.String(), ""), engine.Link{Manifest: single.Digest(), Config: w.config(single)})
	w.wantRequests(3) // manifest and certificate
	child := children["linux/arm64"]
	link := engine.Link{Platform: "linux/arm64", Index: index.Digest(), Manifest: child.Digest(), Config: w.config(child)}
	w.server.ResetRequests()
	w.wantChain(w.content(index.String(), "linux/arm64"), link)
	w.wantRequests(4) // the same, and one child
	w.wantChain(w.content(index.String(), "linux/arm64"), link)
	w.wantRequests(0)
}

func TestT30_ChainOfAnIndex(t *testing.T) {
	platforms := []string{"linux/amd64", "linux/arm/v6", "linux/arm/v7"}
	w := newWorld(t)
	w.use(simple)
	index, children := w.index("app/multi", "1", platforms...)
	w.sign(w.right, index)
	var links []engine.Link
	for _, p := range platforms {
		links = append(links, engine.Link{Platform: p, Index: index.Digest(), Manifest: children[p].Digest(), Config: w.config(children[p])})
	}
	w.wantChain(w.content(w.server.Host()+"/app/multi:1", ""), links...)
	w.wantChain(w.content(index.String(), "linux/arm/v7"), links[2])
	w.wantChain(w.content(index.String(), "linux/arm"), links[1], links[2])
	w.wantNoChain(w.content(index.String(), "linux/s390x"), "no child with platform linux/s390x")
	w.wantNoChain(w.content(index.String(), "linux"), "no child with platform linux")
}

// Where the child alone is vouched for, nothing else may run, and the index least of all.
func TestT30_ChainOfAChild(t *testing.T) {
	w := newWorld(t)
	w.use(childPolicy)
	_, children := w.index("app/multi", "1", "linux/amd64", "linux/arm64")
	child := children["linux/amd64"]
	w.sign(w.right, child)
	for _, platform := range []string{"", "linux/amd64", "linux/arm64"} {
		v := w.content(w.server.Host()+"/app/multi:1", platform)
		w.wantChain(v, engine.Link{Manifest: child.Digest(), Config: w.config(child)})
		if !v.Child {
			t.Error("the verdict is not about the child")
		}
	}
}

// A policy that only warns changes nothing in what runs; the chain is still of what was proved, and of nothing else.
func TestT30_ChainWhereAPolicyWarns(t *testing.T) {
	w := newWorld(t)
	w.use("\n  mode: warn" + childPolicy)
	index, children := w.index("app/multi", "1", "linux/amd64", "linux/arm64")
	child := children["linux/amd64"]
	w.sign(w.right, child)
	v := w.content(w.server.Host()+"/app/multi:1", "")
	w.wantChain(v, engine.Link{Manifest: child.Digest(), Config: w.config(child)})
	if v.Digest != index.Digest() || v.Child {
		t.Errorf("got %s, child %v; want what was asked for, %s", v.Digest, v.Child, index.Digest())
	}
}

// What is not allowed has no chain, and nothing is fetched for one.
func TestT30_NoChainForADenial(t *testing.T) {
	w := newWorld(t)
	ref := w.image("app/api", "1", "a")
	w.use(simple)
	if v := w.content(ref.String(), ""); v.Allowed || v.Chain != nil || v.ChainError != "" {
		t.Errorf("denied: got %v, %s", v.Chain, v.ChainError)
	}
	w.use("\n  mode: warn" + simple)
	if v := w.content(ref.String(), ""); !v.Allowed || v.Outcome != engine.Denied || v.Chain != nil {
		t.Errorf("only warned of: got %s, %v", v.String(), v.Chain)
	}
	for _, r := range w.server.Requests() {
		if strings.HasSuffix(r.Path, ref.Digest().String()) {
			t.Errorf("the image was fetched: %v", r)
		}
	}
}

// A rule that lets an image pass by its name alone: what its tag names now may run.
func TestT30_ChainOfAnAllowedName(t *testing.T) {
	w := newWorld(t)
	w.use("\n  rules:\n  - {images: [\"%HOST%/**\"], allow: scanned}\n")
	ref := w.image("app/api", "1", "a")
	name := w.server.Host() + "/app/api:1"
	if v := w.want(name, engine.Allowed); !v.Digest.IsZero() {
		t.Fatalf("got %s", v.Digest)
	}
	v := w.content(name, "")
	w.wantChain(v, engine.Link{Manifest: ref.Digest(), Config: w.config(ref)})
	if v.Digest != ref.Digest() {
		t.Errorf("got %s, want %s", v.Digest, ref.Digest())
	}
	w.wantNoChain(w.content(w.server.Host()+"/app/none:1", ""), "404 Not Found")
}

// An outage takes the chain and leaves the verdict.
func TestT30_ChainCannotBeHad(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	index, children := w.index("app/multi", "1", "linux/amd64", "linux/arm64")
	w.sign(w.right, index)
	w.want(index.String(), engine.Allowed)
	w.server.SetFault(registrytest.OnManifests, registrytest.Status(503, nil, ""))
	w.wantNoChain(w.content(index.String(), ""), "503")
	w.server.ClearFaults()
	w.server.DeleteManifest("app/multi", children["linux/arm64"].Digest().String())
	v := w.content(index.String(), "")
	if !v.Allowed || len(v.Chain) != 1 || v.Chain[0].Platform != "linux/amd64" || !strings.Contains(v.ChainError, children["linux/arm64"].Digest().String()) {
		t.Errorf("got %v, %q; want the child that is there, and a reason for the other", v.Chain, v.ChainError)
	}
}

// documentOf plants a manifest by its text. %A, %B and %C stand for the digests of two images and of an index of the first, %SIZE for the
// length of the first, %CONFIG and %OTHER for the digests of their configs.
func (w *world) documentOf(mediaType, text string) image.Ref {
	w.Helper()
	a, b := w.image("app/x", "a", "a"), w.image("app/x", "b", "b")
	_, content := w.server.Manifest("app/x", a.Digest().String())
	c, _ := w.server.PushIndex("app/x", "c", map[string]string{"linux/amd64": "a"})
	text = strings.NewReplacer("%CONFIG", w.config(a).String(), "%OTHER", w.config(b).String(), "%SIZE", fmt.Sprint(len(content)),
		"%A", a.Digest().String(), "%B", b.Digest().String(), "%C", c.String()).Replace(text)
	d := image.SHA256([]byte(text))
	w.source = &planted{Source: w.client, digest: d, manifest: trust.Manifest{MediaType: mediaType, Digest: d, Bytes: []byte(text)}}
	return a.At(d)
}

// planted is a registry's client that hands out one manifest without having looked at it, as another source may.
type planted struct {
	trust.Source
	digest   image.Digest
	manifest trust.Manifest
}

func (p *planted) Manifest(ctx context.Context, ref image.Ref) (trust.Manifest, error) {
	if ref.Digest() == p.digest {
		return p.manifest, nil
	}
	return p.Source.Manifest(ctx, ref)
}

func TestT31_AmbiguousDocumentsHaveNoChain(t *testing.T) {
	const config = `"config":{"mediaType":"` + configType + `","digest":"%CONFIG","size":2}`
	const child = `{"mediaType":"` + imageType + `","digest":"%A","size":%SIZE,"platform":{"os":"linux","architecture":"amd64"}}`
	for name, c := range map[string]struct{ mediaType, text, want string }{
		"an image":                      {imageType, `{"mediaType":"` + imageType + `",` + config + `,"layers":[]}`, ""},
		"an image without a type":       {imageType, `{` + config + `,"layers":[]}`, ""},
		"an index":                      {indexType, `{"manifests":[` + child + `]}`, ""},
		"both":                          {indexType, `{"manifests":[` + child + `],"layers":[]}`, "an index and an image at once"},
		"both, as an image":             {imageType, `{` + config + `,"layers":[],"manifests":[` + child + `]}`, "an index and an image at once"},
		"both, one of them null":        {imageType, `{` + config + `,"manifests":null}`, "an index and an image at once"},
		"types that disagree":           {imageType, `{"mediaType":"` + indexType + `",` + config + `}`, "calls itself"},
		"an index that is an image":     {indexType, `{` + config + `}`, "no image and no index"},
		"an image that is an index":     {imageType, `{"manifests":[` + child + `]}`, "no image and no index"},
		"a member twice":                {imageType, `{` + config + `,"config":{"mediaType":"` + configType + `","digest":"%OTHER","size":2}}`, `the member "config" twice`},
		"a member twice by escapes":     {imageType, `{` + config + `,"c\u006fnfig":{"digest":"%OTHER"}}`, `the member "config" twice`},
		"another case":                  {imageType, `{` + config + `,"Config":{"digest":"%OTHER"}}`, `which some readers take for "config"`},
		"a digest twice":                {imageType, `{"config":{"mediaType":"` + configType + `","digest":"%CONFIG","digest":"%OTHER"}}`, `the member "digest" twice`},
		"a digest in another case":      {imageType, `{"config":{"mediaType":"` + configType + `","digest":"%CONFIG","Digest":"%OTHER"}}`, `take for "digest"`},
		"a child's digest twice":        {indexType, `{"manifests":[{"digest":"%A","digest":"%B"}]}`, `the member "digest" twice`},
		"a child's platform twice":      {indexType, `{"manifests":[{"digest":"%A","platform":{"os":"linux","architecture":"arm64","architecture":"amd64"}}]}`, "twice"},
		"a child's case":                {indexType, `{"manifests":[{"digest":"%A","platform":{"os":"linux","OS":"windows","architecture":"amd64"}}]}`, `take for "os"`},
		"a child of another type":       {indexType, `{"manifests":[{"mediaType":"` + indexType + `","digest":"%A","size":%SIZE}]}`, "its index calls it"},
		"a child of another length":     {indexType, `{"manifests":[{"mediaType":"` + imageType + `","digest":"%A","size":3}]}`, "its index says 3"},
		"a child without a digest":      {indexType, `{"manifests":[{"mediaType":"` + imageType + `"}]}`, "no digest"},
		"a digest of another kind":      {indexType, `{"manifests":[{"digest":"md5:00"}]}`, "digest cannot be read"},
		"content behind":                {imageType, `{` + config + `} {}`, "something stands behind it"},
		"no JSON":                       {imageType, `{` + config, "malformed JSON"},
		"no object":                     {imageType, `[]`, "no JSON object"},
		"a config that is none":         {imageType, `{"config":null}`, "no JSON object"},
		"a config without a digest":     {imageType, `{"config":{"mediaType":"` + configType + `"}}`, "no digest"},
		"a foreign config":              {imageType, `{"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"%CONFIG"}}`, "it is no image: its config is"},
		"a foreign type":                {"application/vnd.docker.distribution.manifest.v1+json", `{` + config + `}`, "no image and no index"},
		"a platform that is very long":  {indexType, `{"manifests":[{"digest":"%A","platform":{"os":"` + strings.Repeat("x", 300) + `"}}]}`, "longer than 256 bytes"},
		"an index of nothing":           {indexType, `{"manifests":[]}`, "names no image that runs"},
		"an index of attestations only": {indexType, `{"manifests":[{"digest":"%A","platform":{"os":"unknown","architecture":"unknown"}}]}`, "names no image that runs"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ref := w.documentOf(c.mediaType, c.text)
			w.use(simple, func(config *engine.Config) { config.Source = w.source })
			w.sign(w.right, ref)
			v := w.content(ref.String(), "")
			if c.want != "" {
				w.wantNoChain(v, c.want)
				return
			}
			if len(v.Chain) != 1 || v.ChainError != "" || v.Chain[0].Config != w.config(w.image("app/x", "a", "a")) {
				t.Errorf("got %v, %q", v.Chain, v.ChainError)
			}
		})
	}
}

// Bytes that do not have the digest by which they were asked for are nobody's: not the manifest, not a child.
func TestT13_ChainIsOfBytesThatWereHashed(t *testing.T) {
	w := newWorld(t)
	index, children := w.index("app/multi", "1", "linux/amd64")
	child := children["linux/amd64"]
	other := w.image("app/multi", "other", "other")
	_, content := w.server.Manifest("app/multi", other.Digest().String())
	w.sign(w.right, index)
	w.sign(w.right, child)
	forged := &planted{Source: w.client, digest: child.Digest(), manifest: trust.Manifest{MediaType: imageType, Digest: child.Digest(), Bytes: content}}
	w.use(simple, func(config *engine.Config) { config.Source = forged })
	w.wantNoChain(w.content(index.String(), ""), "other bytes than asked for")
	w.wantNoChain(w.content(child.String(), ""), "other bytes than asked for")
}

// Attestations beside images, and whatever else is no image, are no links; indexes inside an index are followed, to a depth.
func TestT30_ChainOfAnIndexOfEverything(t *testing.T) {
	w := newWorld(t)
	ref := w.documentOf(indexType, `{"manifests":[
		{"digest":"%A","platform":{"os":"linux","architecture":"amd64"}},
		{"digest":"%B","platform":{"os":"unknown","architecture":"unknown"}},
		{"mediaType":"`+indexType+`","digest":"%C"}]}`)
	w.use(simple, func(config *engine.Config) { config.Source = w.source })
	w.sign(w.right, ref)
	a := w.image("app/x", "a", "a")
	link := engine.Link{Platform: "linux/amd64", Index: ref.Digest(), Manifest: a.Digest(), Config: w.config(a)}
	w.wantChain(w.content(ref.String(), ""), link, link)
	w.wantChain(w.content(ref.String(), "linux/amd64"), link, link)
}

func TestT47_ChainsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	ref := w.image("app/x", "a", "a")
	inner, mediaType := ref.Digest(), imageType
	nest := func() {
		text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q}]}`, indexType, mediaType, inner)
		inner, mediaType = w.server.PutManifest("app/x", image.SHA256([]byte(text)).String(), indexType, []byte(text)), indexType
	}
	for range 4 {
		nest()
	}
	w.sign(w.right, ref.At(inner))
	w.wantChain(w.content(ref.At(inner).String(), ""), engine.Link{Index: inner, Manifest: ref.Digest(), Config: w.config(ref)})
	nest()
	w.sign(w.right, ref.At(inner))
	w.wantNoChain(w.content(ref.At(inner).String(), ""), "nested more than 4 deep")

	seeds := map[string]string{}
	for i := range 80 {
		seeds[fmt.Sprintf("linux/cpu%02d", i)] = "a"
	}
	d, _ := w.server.PushIndex("app/x", "many", seeds)
	w.sign(w.right, ref.At(d))
	w.server.ResetRequests()
	v := w.content(ref.At(d).String(), "")
	if len(v.Chain) != 63 || !strings.Contains(v.ChainError, "more than 64 manifests") {
		t.Errorf("got %d links, %q", len(v.Chain), v.ChainError)
	}
	if got := len(w.server.Requests()); got > 70 {
		t.Errorf("got %d requests", got)
	}
	if v := w.content(ref.At(d).String(), "linux/cpu79"); len(v.Chain) != 1 || v.ChainError != "" {
		t.Errorf("got %v, %q", v.Chain, v.ChainError)
	}
}

func TestT30_ChainOfAnIndexOfNothing(t *testing.T) {
	w := newWorld(t)
	ref := w.documentOf(indexType, `{"manifests":[{"digest":"%A","platform":{"os":"unknown","architecture":"unknown"}}]}`)
	w.use(simple, func(config *engine.Config) { config.Source = w.source })
	w.sign(w.right, ref)
	w.wantNoChain(w.content(ref.String(), ""), "the index names no image that runs")
}

// However much of an image is missing, the reason stays one that can be read.
func TestT47_ReasonsOfAChainAreBounded(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	index, children := w.index("app/multi", "1", "linux/a", "linux/b", "linux/c", "linux/d", "linux/e", "linux/f")
	w.sign(w.right, index)
	for _, child := range children {
		w.server.DeleteManifest("app/multi", child.Digest().String())
	}
	v := w.content(index.String(), "")
	if got := strings.Count(v.ChainError, "; "); !v.Allowed || len(v.Chain) != 0 || got != 4 || !strings.HasSuffix(v.ChainError, "; and more") {
		t.Errorf("got %v, %q; want four reasons, and that there are more", v.Chain, v.ChainError)
	}
}

// What one asker's login opened is no other's chain.
func TestT26_ChainsStayWithTheirLogin(t *testing.T) {
	w := tenants(t)
	w.use("\n  rules:\n  - {images: [\"%HOST%/**\"], allow: ours}\n")
	ref := w.image("app/private", "1", "seed")
	ask := func(user, password string) engine.Verdict {
		return w.engine.Decide(context.Background(), engine.Request{Image: ref.String(), Content: true, Logins: login(t, w.server.Host(), user, password)})
	}
	if v := ask("ann", "a"); len(v.Chain) != 1 {
		t.Fatalf("ann: %s", v.ChainError)
	}
	if v := ask("bob", "b"); !v.Allowed || len(v.Chain) > 0 || v.ChainError == "" {
		t.Errorf("bob: %v %s", v.Chain, v.ChainError)
	}
}

// Where trust data name the digest of a tag, the chain is of that digest, whatever the registry has under the tag; also where the policy only warns.
func TestT8_ChainIsOfWhatIsSigned(t *testing.T) {
	for _, mode := range []string{"enforce", "warn"} {
		h := newHarbour(t)
		signed := h.image("app/api", "new", "signed")
		h.image("app/api", "1", "served by the registry")
		h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": signed.Digest()})
		h.use("\n  mode: " + mode + cargo("dct", replaces))
		h.wantChain(h.content(h.server.Host()+"/app/api:1", ""), engine.Link{Manifest: signed.Digest(), Config: h.config(signed)})
	}
}
