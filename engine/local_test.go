package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry/registrytest"
)

// onBase allows what was made here on a base that the right authority vouches for; %LOCAL% stands for what else a test wants.
const onBase = `
  authorities:
    right: {certificate: {roots: %RIGHT%}}
  rules:
  - local: {base: ["%HOST%/base/**"]}
    allow: on our own base
  - images: ["%HOST%/base/lax"]
    allow: anything goes
  - images: ["%HOST%/**"]
    require: right
`

// id names the image that tests ask about.
var id = image.SHA256([]byte("made here"))

// diffs returns diff IDs of layers by their names.
func diffs(names ...string) []image.Digest {
	var all []image.Digest
	for _, n := range names {
		all = append(all, image.SHA256([]byte(n)))
	}
	return all
}

// base pushes an image with these layers, whose config has the members of more too.
func (w *world) base(name, tag string, layers []image.Digest, more ...string) image.Ref {
	w.Helper()
	ids, err := json.Marshal(append([]image.Digest{}, layers...))
	if err != nil {
		w.Fatal(err)
	}
	return w.baseOf(name, tag, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":`+string(ids)+`}`+strings.Join(more, "")+`}`)
}

// baseOf pushes an image with a config.
func (w *world) baseOf(name, tag, config string) image.Ref {
	w.Helper()
	blob := w.server.PutBlob(name, []byte(config))
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`, imageType, configType, blob, len(config))
	d := w.server.PutManifest(name, tag, imageType, []byte(text))
	return image.MustParse(w.server.Host() + "/" + name + "@" + d.String())
}

// made decides about an image that was made here.
func (w *world) made(l engine.Local) engine.Verdict {
	w.Helper()
	return w.engine.Decide(context.Background(), engine.Request{
		Image: "local.invalid/image@" + id.String(), Request: policy.Request{Point: "docker"}, Content: true, Signed: true, Platform: "linux/amd64", Local: &l,
	})
}

// wantMade wants an outcome and a part of the reason.
func (w *world) wantMade(what string, l engine.Local, outcome engine.Outcome, reason string) engine.Verdict {
	w.Helper()
	v := w.made(l)
	if v.Outcome != outcome || v.Allowed != (outcome == engine.Allowed) || !strings.Contains(v.Reason, reason) || outcome == engine.Allowed && !v.Local {
		w.Errorf("%s: got %s, local: %v; want %s: %s", what, v.String(), v.Local, outcome, reason)
	}
	return v
}

func TestT50_LocalBase(t *testing.T) {
	w := newWorld(t)
	w.use(onBase)
	ref := w.base("base/go", "1", diffs("a", "b"))
	w.sign(w.right, ref)
	unsigned := w.base("base/unsigned", "1", diffs("a", "b"))
	lax := w.base("base/lax", "1", diffs("a", "b"))
	elsewhere := w.base("app/go", "1", diffs("a", "b"))
	w.sign(w.right, elsewhere)
	bare := w.base("base/bare", "1", nil)
	w.sign(w.right, bare)
	host := w.server.Host()
	for name, row := range map[string]struct {
		bases   []string
		layers  []image.Digest
		outcome engine.Outcome
		reason  string
	}{
		"by tag":                             {[]string{host + "/base/go:1"}, diffs("a", "b", "c"), engine.Allowed, "on our own base"},
		"by digest":                          {[]string{ref.String()}, diffs("a", "b", "c"), engine.Allowed, ""},
		"nothing added":                      {[]string{ref.String()}, diffs("a", "b"), engine.Allowed, ""},
		"found behind one that is none":      {[]string{"::", unsigned.String(), ref.String()}, diffs("a", "b", "c"), engine.Allowed, ""},
		"one layer swapped":                  {[]string{ref.String()}, diffs("a", "x", "c"), engine.Denied, "rules[0] (line 9): base " + ref.String() + ": the lowest layers"},
		"the lowest layer swapped":           {[]string{ref.String()}, diffs("x", "b", "c"), engine.Denied, "the lowest layers"},
		"one layer missing":                  {[]string{ref.String()}, diffs("a"), engine.Denied, "the lowest layers"},
		"a layer below":                      {[]string{ref.String()}, diffs("x", "a", "b"), engine.Denied, "the lowest layers"},
		"another order":                      {[]string{ref.String()}, diffs("b", "a"), engine.Denied, "the lowest layers"},
		"no layers":                          {[]string{ref.String()}, nil, engine.Denied, "the lowest layers"},
		"unsigned":                           {[]string{unsigned.String()}, diffs("a", "b", "c"), engine.Denied, "base " + unsigned.String() + ": right: "},
		"only a rule allows it":              {[]string{lax.String()}, diffs("a", "b", "c"), engine.Denied, "nobody vouches for it under this policy"},
		"vouched, and no base of the rule's": {[]string{elsewhere.String()}, diffs("a", "b", "c"), engine.Denied, "nothing names a base"},
		"a base of no layers is under all":   {[]string{bare.String()}, diffs("a", "b", "c"), engine.Denied, "the lowest layers"},
		"nothing is named":                   {nil, diffs("a", "b", "c"), engine.Denied, "nothing names a base"},
		"a tag that there is not":            {[]string{host + "/base/go:9"}, diffs("a", "b", "c"), engine.CouldNotTell, "404"},
	} {
		w.wantMade(name, engine.Local{Bases: row.bases, Layers: row.layers}, row.outcome, row.reason)
	}
	v := w.made(engine.Local{Bases: []string{ref.String()}, Layers: diffs("a", "b", "c")})
	if v.Digest != id || v.Chain != nil || v.ChainError != "" || v.Rule != "rules[0] (line 9)" || v.Basis == "" || !v.Cached {
		t.Errorf("got %+v", v)
	}
}

func TestT50_LocalReferencesInTheRuleNeedNoHint(t *testing.T) {
	w := newWorld(t)
	w.use(strings.Replace(onBase, `["%HOST%/base/**"]`, `["%HOST%/base/none:1", "%HOST%/base/go:1"]`, 1))
	w.sign(w.right, w.base("base/none", "1", diffs("z")))
	w.sign(w.right, w.base("base/go", "1", diffs("a")))
	w.wantMade("no hint", engine.Local{Layers: diffs("a", "b")}, engine.Allowed, "")
	w.wantMade("a hint that leads away", engine.Local{Layers: diffs("a", "b"), Bases: []string{"evil.example/base/go:1"}}, engine.Allowed, "")
	for _, r := range w.server.Requests() {
		if strings.Contains(r.Path, "local.invalid") || strings.Contains(r.Path, "image") {
			t.Errorf("asked %s", r)
		}
	}
}

// However many hints and patterns there are, few references are asked about.
func TestT47_BasesAreBounded(t *testing.T) {
	w := newWorld(t)
	w.use(onBase)
	var bases []string
	for i := range 40 {
		bases = append(bases, fmt.Sprintf("%s/base/b%d:1", w.server.Host(), i))
	}
	good := w.base("base/b4", "1", diffs("a"))
	w.sign(w.right, good)
	w.server.ResetRequests()
	w.wantMade("the fifth", engine.Local{Layers: diffs("a", "b"), Bases: bases}, engine.CouldNotTell, "404")
	for _, r := range w.server.Requests() {
		if strings.Contains(r.Path, "/b4/") {
			t.Errorf("asked %s", r)
		}
	}
	w.wantMade("the fourth", engine.Local{Layers: diffs("a", "b"), Bases: bases[1:]}, engine.Allowed, "")
}

// A registry that is down says nothing about a base.
func TestT50_LocalBaseThatCannotBeTold(t *testing.T) {
	w := newWorld(t)
	w.use(onBase)
	ref := w.base("base/go", "1", diffs("a"))
	w.sign(w.right, ref)
	local := engine.Local{Layers: diffs("a", "b"), Bases: []string{ref.String()}}
	for name, match := range map[string]func(*http.Request) bool{"nothing": registrytest.OnManifests, "no content": registrytest.OnBlobs} {
		w.use(onBase)
		w.server.SetFault(match, registrytest.Status(503, nil, ""))
		w.wantMade(name, local, engine.CouldNotTell, "503")
		w.server.ClearFaults()
		w.wantMade(name+", and again", local, engine.Allowed, "")
	}
	w.use(onBase)
	w.server.SetFault(registrytest.OnBlobs, registrytest.WrongBytes())
	w.wantMade("other bytes", local, engine.CouldNotTell, "")
	w.server.ClearFaults()
}

// What a base's config says must be said once, and be about layers.
func TestT31_AmbiguousConfigsOfBases(t *testing.T) {
	for name, row := range map[string]struct {
		config string
		ok     bool
	}{
		"as it should be":  {`{"rootfs":{"type":"layers","diff_ids":["%A"]}}`, true},
		"twice":            {`{"rootfs":{"type":"layers","diff_ids":["%B"]},"rootfs":{"type":"layers","diff_ids":["%A"]}}`, false},
		"in another case":  {`{"rootfs":{"type":"layers","diff_ids":["%A"]},"RootFS":{"type":"layers","diff_ids":["%B"]}}`, false},
		"a list twice":     {`{"rootfs":{"type":"layers","diff_ids":["%B"],"diff_ids":["%A"]}}`, false},
		"of another kind":  {`{"rootfs":{"type":"base","diff_ids":["%A"]}}`, false},
		"of no kind":       {`{"rootfs":{"diff_ids":["%A"]}}`, false},
		"none":             {`{}`, false},
		"an empty digest":  {`{"rootfs":{"type":"layers","diff_ids":["%A",""]}}`, false},
		"no digest":        {`{"rootfs":{"type":"layers","diff_ids":["a"]}}`, false},
		"no list":          {`{"rootfs":{"type":"layers","diff_ids":"%A"}}`, false},
		"something behind": {`{"rootfs":{"type":"layers","diff_ids":["%A"]}} {}`, false},
	} {
		w := newWorld(t)
		w.use(onBase)
		ref := w.baseOf("base/go", "1", strings.NewReplacer("%A", image.SHA256([]byte("a")).String(), "%B", image.SHA256([]byte("b")).String()).Replace(row.config))
		w.sign(w.right, ref)
		v := w.made(engine.Local{Layers: diffs("a", "b"), Bases: []string{ref.String()}})
		if v.Allowed != row.ok {
			t.Errorf("%s: got %s", name, v.String())
		}
	}
}

func TestT47_ConfigsOfBasesAreBounded(t *testing.T) {
	w := newWorld(t)
	w.use(onBase)
	ref := w.base("base/go", "1", diffs("a"), `,"x":"`+strings.Repeat("x", 4<<20)+`"`)
	w.sign(w.right, ref)
	w.wantMade("a large config", engine.Local{Layers: diffs("a", "b"), Bases: []string{ref.String()}}, engine.CouldNotTell, "at most 4194304")
}

// What is taken back of a base is taken back of what was made on it.
func TestT21_RevokedBase(t *testing.T) {
	w := newWorld(t)
	ref := w.base("base/go", "1", diffs("a"))
	w.sign(w.right, ref)
	local := engine.Local{Layers: diffs("a", "b"), Bases: []string{ref.String()}}
	revoked := func(d image.Digest) string {
		return onBase + "  revoked:\n  - {digest: \"" + d.String() + "\", reason: broken into}\n"
	}
	w.use(revoked(image.SHA256([]byte("other"))))
	w.wantMade("another one", local, engine.Allowed, "")
	w.use(revoked(ref.Digest()))
	w.wantMade("the base", local, engine.Denied, "broken into")
	w.use(revoked(id))
	w.wantMade("the image itself", engine.Local{Layers: diffs("a", "b"), Bases: []string{ref.String()}}, engine.Denied, "broken into")
}

// The child for the image's own platform is what counts of a base for several.
func TestT50_LocalBaseOfSeveralPlatforms(t *testing.T) {
	w := newWorld(t)
	w.use(onBase)
	amd, arm := w.base("base/go", "amd", diffs("amd")), w.base("base/go", "arm", diffs("arm"))
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"platform":{"os":"linux","architecture":"amd64"}},{"mediaType":%q,"digest":%q,"platform":{"os":"linux","architecture":"arm64"}}]}`,
		indexType, imageType, amd.Digest(), imageType, arm.Digest())
	index := amd.At(w.server.PutManifest("base/go", "1", indexType, []byte(text)))
	w.sign(w.right, index)
	w.wantMade("its own", engine.Local{Layers: diffs("amd", "x"), Bases: []string{index.String()}}, engine.Allowed, "")
	w.wantMade("another", engine.Local{Layers: diffs("arm", "x"), Bases: []string{index.String()}}, engine.Denied, "the lowest layers")
	w.wantMade("a child nobody vouches for by itself", engine.Local{Layers: diffs("amd", "x"), Bases: []string{amd.String()}}, engine.Denied, "right: ")
}

const byLabel = `
  rules:
  - local: {labels: {team: payments, stage: "*"}, builtBy: ["ci-*"]}
    allow: built by CI
  - local: {labels: {debug: ""}}
    deny: debug
  - local: {labels: {team: tools}}
    allow: tools
`

func TestT50_LocalLabelsAndBuilders(t *testing.T) {
	w := newWorld(t)
	w.use(byLabel)
	payments := map[string]string{"team": "payments", "stage": "x"}
	for name, row := range map[string]struct {
		local   engine.Local
		outcome engine.Outcome
		reason  string
	}{
		"both":                   {engine.Local{Labels: payments, Builder: "ci-1"}, engine.Allowed, "built by CI"},
		"nobody knows who":       {engine.Local{Labels: payments}, engine.Denied, "rules[0] (line 7): nobody knows who had it built"},
		"somebody else":          {engine.Local{Labels: payments, Builder: "eve"}, engine.Denied, "rules[0] (line 7): eve had it built"},
		"labels that are forged": {engine.Local{Labels: map[string]string{"team": "pay", "stage": "x"}, Builder: "ci-1"}, engine.Denied, `label team is "pay", not "payments"`},
		"a label that is absent": {engine.Local{Labels: map[string]string{"team": "payments"}, Builder: "ci-1"}, engine.Denied, `label stage is absent, not "*"`},
		"a rule that denies":     {engine.Local{Labels: map[string]string{"team": "tools", "debug": ""}}, engine.Denied, "debug"},
		"the third rule":         {engine.Local{Labels: map[string]string{"team": "tools"}}, engine.Allowed, "tools"},
		"nothing":                {engine.Local{}, engine.Denied, "no rule speaks about local.invalid/image@" + id.String() + "; rules[0] (line 7): label stage is absent"},
	} {
		v := w.made(row.local)
		if v.Outcome != row.outcome || v.Allowed != (row.outcome == engine.Allowed) || !strings.Contains(v.Reason, row.reason) {
			t.Errorf("%s: got %s, want %s: %s", name, v.String(), row.outcome, row.reason)
		}
	}
	w.wantRequests(0)
}

// Without what a point knows of the image, no such rule matches; a tag is nobody's content.
func TestT50_LocalOnlyAPointThatKnows(t *testing.T) {
	w := newWorld(t)
	w.use(byLabel)
	v := w.engine.Decide(context.Background(), engine.Request{Image: "local.invalid/image@" + id.String(), Request: policy.Request{Point: "docker"}})
	if v.Outcome != engine.Denied || !strings.HasPrefix(v.Reason, "no rule speaks about") {
		t.Errorf("got %s", v.String())
	}
	v = w.engine.Decide(context.Background(), engine.Request{Image: "local.invalid/image:1", Local: &engine.Local{Labels: map[string]string{"team": "tools"}}})
	if v.Outcome != engine.Denied || !strings.Contains(v.Reason, "by its digest") {
		t.Errorf("by tag: got %s", v.String())
	}
	w.wantRequests(0)
}

// Local rules have their place among the others, also with several policies and modes.
func TestT50_LocalSeveralPolicies(t *testing.T) {
	tools := engine.Local{Labels: map[string]string{"team": "tools"}}
	everything := "\n  rules: [{images: [\"**\"], allow: anything}]\n"
	for name, row := range map[string]struct {
		specs   []string
		outcome engine.Outcome
		allowed bool
		reason  string
	}{
		"a rule about all names before it": {[]string{"\n  authorities: {right: {certificate: {roots: %RIGHT%}}}\n  rules:\n  - {images: [\"**\"], require: right}\n  - {local: {labels: {team: tools}}, allow: x}\n"},
			engine.Denied, false, "nobody can vouch for an image that no registry has"},
		"another policy denies it":       {[]string{byLabel, "\n  rules: [{local: {labels: {team: tools}}, deny: no tools here}]\n"}, engine.Denied, false, "no tools here"},
		"another denies all but it":      {[]string{byLabel, "\n  rules: [{local: {labels: {team: tools}}, allow: x}, {images: [\"**\"], deny: z}]\n"}, engine.Allowed, true, ""},
		"another has no opinion":         {[]string{byLabel, "\n  unmatched: ignore\n  rules: [{images: [\"a.example/**\"], deny: x}]\n"}, engine.Allowed, true, "tools"},
		"another speaks about no such":   {[]string{byLabel, "\n  rules: [{images: [\"a.example/**\"], allow: x}]\n"}, engine.Denied, false, "no rule speaks"},
		"another allows all":             {[]string{byLabel, everything}, engine.Allowed, true, "tools"},
		"audit":                          {[]string{"\n  mode: audit\n  rules: [{local: {labels: {team: x}}, allow: x}]\n"}, engine.Denied, true, "label team"},
		"no opinion, and it is said why": {[]string{"\n  unmatched: ignore\n  rules: [{local: {labels: {team: x}}, allow: x}]\n"}, engine.Denied, false, "no policy speaks about local.invalid/image@" + id.String() + "; rules[0] (line 7): label team"},
		"a scope for another point":      {[]string{byLabel, "\n  scope: {points: [cli]}\n  rules: [{images: [\"**\"], deny: x}]\n"}, engine.Allowed, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var all []*policy.Policy
			for i, spec := range row.specs {
				all = append(all, w.parse(fmt.Sprintf("p%d", i), spec))
			}
			w.use(everything, func(c *engine.Config) { c.Policies = all })
			v := w.made(tools)
			if v.Outcome != row.outcome || v.Allowed != row.allowed || !strings.Contains(v.Reason, row.reason) {
				t.Errorf("got %s, want %s: %s", v.String(), row.outcome, row.reason)
			}
		})
	}
}

// A proof under another policy is none: whoever writes a rule about bases says whose word counts for them.
func TestT50_LocalTheProofIsThePolicysOwn(t *testing.T) {
	w := newWorld(t)
	ref := w.base("base/go", "1", diffs("a"))
	w.sign(w.right, ref)
	bases := w.parse("bases", "\n  rules:\n  - {local: {base: [\"%HOST%/base/**\"]}, allow: x}\n  - {images: [\"%HOST%/**\"], allow: z}\n")
	proofs := w.parse("proofs", onBase)
	w.use(onBase, func(c *engine.Config) { c.Policies = []*policy.Policy{bases, proofs} })
	w.wantMade("somebody else's word", engine.Local{Layers: diffs("a", "b"), Bases: []string{ref.String()}}, engine.Denied, "nobody vouches for it under this policy")
}

// What a verdict rests on ends with the proof of the base.
func TestT27_LocalVerdictEndsWithTheBasesProof(t *testing.T) {
	w := newWorld(t)
	w.use(onBase)
	ref := w.base("base/go", "1", diffs("a"))
	cert := w.sign(w.right, ref)
	local := engine.Local{Layers: diffs("a", "b"), Bases: []string{ref.String()}}
	of := w.content(ref.String(), "")
	v := w.wantMade("now", local, engine.Allowed, "")
	if !v.Ends.Equal(of.Ends) || !v.Until.Equal(of.Until) || v.Basis == "" {
		t.Errorf("got until %v, ends %v; the base's are %v, %v (certificate: %v)", v.Until, v.Ends, of.Until, of.Ends, cert.NotAfter)
	}
	before := v.Basis
	w.use(strings.Replace(onBase, "on our own base", "on another base", 1))
	if v := w.made(local); v.Basis == before {
		t.Error("another policy has the same basis")
	}
}

func TestLocalSaysWhatIsAskedFor(t *testing.T) {
	w := newWorld(t)
	for spec, want := range map[string][2]bool{simple: {false, false}, onBase: {true, false}, byLabel: {true, true}} {
		w.use(spec)
		rules, builders := w.engine.Local()
		if got := [2]bool{rules, builders}; got != want {
			t.Errorf("got %v, want %v for %s", got, want, spec)
		}
	}
}

// A policy that only records and says no takes neither the content nor the end of what another one enforces.
func TestT30_ChainBesideAnAudit(t *testing.T) {
	w := newWorld(t)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	audit := w.parse("soft", "\n  mode: audit\n  rules: [{images: [\"**\"], deny: nothing}]\n")
	w.use(simple, func(c *engine.Config) { c.Policies = append(c.Policies, audit) })
	v := w.content(ref.String(), "")
	w.wantChain(v, engine.Link{Manifest: ref.Digest(), Config: w.config(ref)})
	if v.Outcome != engine.Denied || v.Policy != "soft" || v.Ends.IsZero() {
		t.Errorf("got %+v", v)
	}
	w.use(simple, func(c *engine.Config) { c.Policies = []*policy.Policy{audit} })
	if v := w.content(ref.String(), ""); v.Chain != nil || !v.Allowed {
		t.Errorf("nobody enforces: got %+v", v)
	}
}

// A rule whose base somebody must be asked about is not passed over by a policy's look at the name alone.
func TestT50_LocalBaseBesideAnotherPolicy(t *testing.T) {
	w := newWorld(t)
	ref := w.base("base/go", "1", diffs("a"))
	w.sign(w.right, ref)
	strict := strings.Replace(onBase, "  - images: [\"%HOST%/base/lax\"]\n    allow: anything goes\n", "", 1) + "  - images: [\"**\"]\n    deny: nothing else\n"
	one, two := w.parse("one", strict), w.parse("two", strict)
	w.use(onBase, func(c *engine.Config) { c.Policies = []*policy.Policy{one, two} })
	w.wantMade("both say yes", engine.Local{Layers: diffs("a", "b"), Bases: []string{ref.String()}}, engine.Allowed, "")
	w.wantMade("both say no", engine.Local{Layers: diffs("b", "a"), Bases: []string{ref.String()}}, engine.Denied, "nothing else; rules[0]")
}
