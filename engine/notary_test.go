package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// notary is a format of the kind of Docker Content Trust, as small as it can be: one file of a server says for which digest each tag of a
// repository is signed, and by whom.
type notary struct {
	mu              sync.Mutex
	finds, resolves int
	remembered      []string       // what was checked, and the version of the file
	floor           map[string]int // highest version that was remembered, by server
}

type notaryOptions struct {
	Server string `yaml:"server"`
	Signer string `yaml:"signer"`
	Fault  string `yaml:"fault,omitempty"`
}

// signedTags is the one file.
type signedTags struct {
	Version int                  `json:"version"`
	Root    string               `json:"root"`
	Tags    map[string]signedTag `json:"tags"`
}

type signedTag struct{ Digest, Signer string }

func (*notary) Name() string { return "notary" }
func (*notary) Options() any { return &notaryOptions{} }
func (f *notary) New(s trust.Section) (trust.Authority, error) {
	a := &signatory{format: f}
	return a, s.Decode(&a.notaryOptions)
}

type signatory struct {
	notaryOptions
	format *notary
}

var (
	_ trust.Resolver   = (*signatory)(nil)
	_ trust.Rememberer = (*signatory)(nil)
)

func (a *signatory) Find(ctx context.Context, src trust.Source, ref image.Ref) (trust.Evidence, error) {
	a.format.note(func() { a.format.finds++ })
	return a.fetch(ctx, src, ref)
}

func (a *signatory) fetch(ctx context.Context, src trust.Source, ref image.Ref) (trust.Evidence, error) {
	content, err := src.(trust.TrustServer).TrustData(ctx, a.Server, ref.Name(), "targets.json", trust.MaxEvidence)
	if errors.Is(err, trust.ErrNotFound) {
		return trust.Evidence{}, trust.Unsigned("no trust data")
	}
	var floor int
	a.format.note(func() { floor = a.format.floor[a.Server] })
	return trust.Evidence{Items: []trust.Item{{Bytes: content}, {Name: "floor", Bytes: fmt.Append(nil, floor)}}}, err
}

func (a *signatory) Check(ref image.Ref, ev trust.Evidence, _ time.Time) ([]trust.Proof, error) {
	file, err := read(ev)
	if err != nil {
		return nil, err
	}
	var others []string
	for tag, t := range file.Tags {
		switch {
		case ref.Tag() != "" && ref.Tag() != tag || t.Signer != a.Signer:
		case t.Digest != ref.Digest().String():
			others = append(others, t.Digest)
		default:
			signer := trust.Signer{Key: keyOf(t.Signer), Under: []string{keyOf(file.Root)}}
			return []trust.Proof{{Digest: ref.Digest(), Signers: []trust.Signer{signer}}}, nil
		}
	}
	if len(others) > 0 {
		return nil, trust.Untrusted("digest changed, new digest: %s", strings.Join(others, ", "))
	}
	return nil, trust.Untrusted("no valid trust data for %q", ref.Tag())
}

func (a *signatory) Resolve(ctx context.Context, src trust.Source, ref image.Ref, _ time.Time) (image.Digest, error) {
	a.format.note(func() { a.format.resolves++ })
	switch {
	case ref.Tag() == "" || !ref.Digest().IsZero():
		return image.Digest{}, fmt.Errorf("%s is asked about in place of a tag", ref)
	case a.Fault == "panic in resolve":
		panic("resolve")
	case a.Fault == "names nothing":
		return image.Digest{}, nil
	case a.Fault == "names what it does not prove":
		return image.MustParseDigest(fixedDigest), nil
	}
	ev, err := a.fetch(ctx, src, ref)
	if err != nil {
		return image.Digest{}, err
	}
	file, err := read(ev)
	if err != nil {
		return image.Digest{}, err
	}
	if t, found := file.Tags[ref.Tag()]; found && t.Signer == a.Signer {
		return image.MustParseDigest(t.Digest), nil
	}
	return image.Digest{}, trust.Untrusted("no valid trust data for %q", ref.Tag())
}

func (a *signatory) Remember(_ context.Context, ref image.Ref, ev trust.Evidence, _ time.Time) error {
	switch a.Fault {
	case "cannot remember":
		return errors.New("the disk is full")
	case "cannot remember, and says no":
		return trust.Untrusted("the disk is full")
	case "panic in remember":
		panic("remember")
	}
	file, err := read(ev)
	if err != nil {
		return nil // older than what is remembered
	}
	a.format.note(func() {
		a.format.remembered = append(a.format.remembered, fmt.Sprintf("%s v%d", strings.TrimPrefix(ref.String(), ref.Name()), file.Version))
		a.format.floor[a.Server] = max(a.format.floor[a.Server], file.Version)
	})
	return nil
}

func read(ev trust.Evidence) (file signedTags, err error) {
	var floor int
	if err := json.Unmarshal(ev.Items[0].Bytes, &file); err != nil {
		return file, err
	}
	if err := json.Unmarshal(ev.Items[1].Bytes, &floor); err != nil {
		return file, err
	}
	if file.Version < floor {
		return file, trust.Untrusted("version %d is older than %d", file.Version, floor)
	}
	return file, nil
}

func keyOf(name string) string { return trust.Fingerprint([]byte(name)) }

func (f *notary) note(what func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what()
}

// counts returns how often was found and resolved since the last call.
func (f *notary) counts() [2]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := [2]int{f.finds, f.resolves}
	f.finds, f.resolves = 0, 0
	return counts
}

// both is a source that reaches a registry and Notary servers.
type both struct {
	trust.Source
	trust.TrustServer
}

// harbour is a world with Notary servers.
type harbour struct {
	*world
	notary *notary
	files  *trusttest.Source
}

func newHarbour(t testing.TB) *harbour {
	t.Helper()
	return &harbour{world: newWorld(t), notary: &notary{floor: map[string]int{}}, files: &trusttest.Source{}}
}

// use starts an engine with policies, called a, b and so on.
func (h *harbour) use(specs ...string) {
	h.Helper()
	h.useWith(func(*engine.Config) {}, specs...)
}

func (h *harbour) useWith(change func(*engine.Config), specs ...string) {
	h.Helper()
	h.world.use(simple, func(c *engine.Config) {
		c.Policies = nil
		for i, s := range specs {
			c.Policies = append(c.Policies, h.parse(string(rune('a'+i)), s))
		}
		c.Formats = append(c.Formats, h.notary)
		c.Source = both{c.Source, h.files}
	}, change)
}

const (
	firstServer  = "https://notary.example"
	secondServer = "https://second.example"
)

// signTags publishes a version of a repository's trust data: for each tag its digest, signed by alice under a server's own root.
func (h *harbour) signTags(server, name string, version int, tags map[string]image.Digest) {
	h.Helper()
	signed := map[string]signedTag{}
	for tag, d := range tags {
		signed[tag] = signedTag{d.String(), "alice"}
	}
	h.publishTags(server, name, signedTags{Version: version, Root: "root of " + server, Tags: signed})
}

func (h *harbour) publishTags(server, name string, file signedTags) {
	h.Helper()
	content, err := json.Marshal(file)
	if err != nil {
		h.Fatal(err)
	}
	h.files.PutTrustData(server, h.server.Host()+"/"+name, "targets.json", content)
}

// cargo is a policy for tags with one rule; require and what else the rule says are given.
func cargo(require, extra string) string {
	return cargoHead + "  rules:\n  - images: [\"%HOST%/app/**\"]\n    require: " + require + "\n" + extra
}

const (
	cargoHead = `
  authorities:
    dct: {notary: {server: "https://notary.example", signer: alice}}
    second: {notary: {server: "https://second.example", signer: alice}}
    bob: {notary: {server: "https://notary.example", signer: bob}}
    right: {certificate: {roots: %RIGHT%}}
    panics: {notary: {server: "https://notary.example", signer: alice, fault: panic in resolve}}
    nothing: {notary: {server: "https://notary.example", signer: alice, fault: names nothing}}
    liar: {notary: {server: "https://notary.example", signer: alice, fault: names what it does not prove}}
`
	replaces = "    digest: insecureReplace\n"
)

// wantCounts compares how often the format was asked to find and to resolve since the last call.
func (h *harbour) wantCounts(finds, resolves int) {
	h.Helper()
	if got, want := h.notary.counts(), [2]int{finds, resolves}; got != want {
		h.Errorf("got %d finds and %d resolves, want %v", got[0], got[1], want)
	}
}

func (h *harbour) tagged(name, tag string, d image.Digest) string {
	return h.server.Host() + "/" + name + ":" + tag + "@" + d.String()
}

// CSE-18 to CSE-20: beside a digest a tag counts, and only if it is signed for that digest.
func TestCSE18_CSE19_CSE20_TagsBesideDigests(t *testing.T) {
	h := newHarbour(t)
	one, two := h.image("app/api", "1", "one"), h.image("app/api", "2", "two")
	stray := h.image("app/api", "3", "stray")
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest(), "2": two.Digest(), "3": one.Digest()})
	changed := "digest changed, new digest: "
	rows := []struct {
		name, image string
		want        engine.Outcome
		reason      string
	}{
		{"CSE-18 a digest that is signed under some tag", two.String(), engine.Allowed, ""},
		{"CSE-18 a digest that is signed under none", stray.String(), engine.Denied, changed},
		{"CSE-19 tag and digest", h.tagged("app/api", "1", one.Digest()), engine.Allowed, ""},
		{"CSE-19 another spelling", strings.ToUpper(h.server.Host()) + strings.TrimPrefix(h.tagged("app/api", "1", one.Digest()), h.server.Host()), engine.Allowed, ""},
		{"CSE-20 another digest is signed under the tag", h.tagged("app/api", "1", two.Digest()), engine.Denied, changed + one.Digest().String()},
		{"CSE-20 the tag is not signed", h.tagged("app/api", "4", one.Digest()), engine.Denied, `no valid trust data for "4"`},
		{"T24 a tag is what it is signed for", h.server.Host() + "/app/api:1", engine.Allowed, ""},
		{"T24 the registry names another digest than was signed", h.server.Host() + "/app/api:3", engine.Denied, changed + one.Digest().String()},
	}
	for _, row := range rows {
		for _, digests := range []string{"pin", "keep", "required"} {
			t.Run(row.name+", "+digests, func(t *testing.T) {
				h := &harbour{world: h.world, notary: h.notary, files: h.files}
				h.TB = t
				h.use(cargo("dct", "    digest: "+digests+"\n"))
				if digests == "required" && !strings.Contains(row.image, "@") {
					h.want(row.image, engine.Denied)
					return
				}
				for _, round := range []string{"cold", "warm"} {
					if v := h.want(row.image, row.want); !strings.Contains(v.Reason, row.reason) {
						t.Errorf("%s: got reason %q, want %q in it", round, v.Reason, row.reason)
					}
				}
				h.notary.counts()
			})
		}
	}
}

// A tag costs one request to the registry and what the format needs; asked again it costs none.
func TestTagsCostOneRequest(t *testing.T) {
	h := newHarbour(t)
	one := h.image("app/api", "1", "one")
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
	for _, row := range []struct {
		digests            string
		registry, resolves int
		image              string
	}{
		{"pin", 1, 0, h.server.Host() + "/app/api:1"},
		{"insecureReplace", 0, 1, h.server.Host() + "/app/api:1"},
		{"pin", 0, 0, h.tagged("app/api", "1", one.Digest())},
		{"insecureReplace", 0, 1, h.tagged("app/api", "1", one.Digest())},
		{"insecureReplace", 0, 0, one.String()},
	} {
		h.use(cargo("dct", "    digest: "+row.digests+"\n"))
		h.server.ResetRequests()
		h.files.FailAt(0, nil)
		v := h.want(row.image, engine.Allowed)
		h.wantRequests(row.registry)
		h.wantCounts(1, row.resolves)
		if n := h.files.Requests(); n != 1 {
			t.Errorf("%s %s: got %d requests to the Notary server, want 1", row.digests, row.image, n)
		}
		warm := h.want(row.image, engine.Allowed)
		h.wantRequests(0)
		h.wantCounts(0, 0)
		if v.Cached || !warm.Cached || v.Pin != warm.Pin {
			t.Errorf("%s %s: cold: cached %v, pin %q; warm: cached %v, pin %q", row.digests, row.image, v.Cached, v.Pin, warm.Cached, warm.Pin)
		}
	}
}

// T22: two tags of one digest are two questions for an authority that knows tags, and one for all others.
func TestT22_TagIsPartOfTheQuestion(t *testing.T) {
	h := newHarbour(t)
	one := h.image("app/api", "1", "one")
	h.sign(h.right, one)
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
	asked := []struct {
		tag  string
		want engine.Outcome
	}{{"1", engine.Allowed}, {"2", engine.Denied}, {"1", engine.Allowed}, {"2", engine.Denied}}
	h.use(cargo("dct", ""))
	for i, row := range asked {
		h.want(h.tagged("app/api", row.tag, one.Digest()), row.want)
		h.wantCounts(1-i/2, 0)
	}
	h.want(one.String(), engine.Allowed)
	h.wantCounts(1, 0)

	h.use(cargo("right", ""))
	h.server.ResetRequests()
	h.want(h.tagged("app/api", "1", one.Digest()), engine.Allowed)
	h.wantRequests(2)
	h.want(h.tagged("app/api", "2", one.Digest()), engine.Allowed)
	h.want(one.String(), engine.Allowed)
	h.wantRequests(0)
}

// CSE-21: where a rule replaces digests, what is signed under the tag runs, the user is warned, and the verdict shows both.
func TestCSE21_SignedDigestRuns(t *testing.T) {
	h := newHarbour(t)
	given, signed := h.image("app/api", "old", "given"), h.image("app/api", "new", "signed")
	served := h.image("app/api", "1", "served by the registry")
	h.sign(h.right, served)
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": signed.Digest()})
	h.signTags(secondServer, "app/api", 1, map[string]image.Digest{"old": given.Digest()})
	tag := h.server.Host() + "/app/api:1"
	rows := []struct {
		name, require, image string
		want                 engine.Outcome
		runs                 image.Ref // zero: what was asked for
		text                 string    // in the warning, or the reason of a denial
		registry             int       // requests
	}{
		{"a given digest", "dct", tag + "@" + given.Digest().String(), engine.Allowed, signed, "for which the tag is signed", 0},
		{"the digest that is signed", "dct", tag + "@" + signed.Digest().String(), engine.Allowed, image.Ref{}, "", 0},
		{"a tag that the registry moved", "dct", tag, engine.Allowed, signed, "", 0},
		{"T24 a digest alone", "dct", given.String(), engine.Denied, image.Ref{}, "digest changed", 0},
		{"T24 a digest alone that is signed", "dct", signed.String(), engine.Allowed, image.Ref{}, "", 0},
		{"without authorities that know tags the registry's word counts", "right", tag + "@" + given.Digest().String(), engine.Allowed, served, "for which the tag stands", 3},
		{"one who says no is passed over", "{any: [second, dct]}", tag + "@" + given.Digest().String(), engine.Allowed, signed, "is replaced by", 0},
		{"nobody signed the tag", "{any: [second, right]}", tag + "@" + given.Digest().String(), engine.Allowed, served, "for which the tag stands", 3},
		{"nobody signed the tag, and the rule needs it", "[second, right]", tag + "@" + given.Digest().String(), engine.Denied, image.Ref{}, `no valid trust data for "1"`, -1},
		{"T8 the others are asked about what was signed", "[dct, right]", tag, engine.Denied, image.Ref{}, "right: unsigned", 1},
		{"a name that is not proved", "{any: [liar, right]}", tag, engine.Allowed, served, "", 3},
		{"T47 a panic", "{any: [panics, right]}", tag, engine.Bug, image.Ref{}, "panics: bug: resolve", 0},
		{"T5 no digest", "{any: [nothing, right]}", tag, engine.CouldNotTell, image.Ref{}, "nothing: no digest was named", 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			h := &harbour{world: h.world, notary: h.notary, files: h.files}
			h.TB = t
			h.use(cargo(row.require, replaces))
			h.server.ResetRequests()
			v := h.want(row.image, row.want)
			if row.registry >= 0 {
				h.wantRequests(row.registry)
			}
			if want := image.MustParse(row.image).String(); v.Canonical != want {
				t.Errorf("canonical: got %q, want what was asked, %q", v.Canonical, want)
			}
			runs := ""
			if !row.runs.IsZero() {
				runs = image.MustParse(row.image).Pinned(row.runs.Digest()).String()
				if v.Digest != row.runs.Digest() {
					t.Errorf("digest: got %s, want %s", v.Digest, row.runs.Digest())
				}
			}
			if v.Pin != runs {
				t.Errorf("pin: got %q, want %q", v.Pin, runs)
			}
			said := strings.Join(v.Warnings, "\n") + v.Reason
			if !strings.Contains(said, row.text) || row.text == "" && said != "" {
				t.Errorf("warnings and reason: got %q, want %q", said, row.text)
			}
			if row.want == engine.Allowed && row.text != "" && (!strings.Contains(said, given.Digest().String()) || !strings.Contains(said, row.runs.Digest().String())) {
				t.Errorf("warning: got %q, want both digests in it", said)
			}
			warm := h.decide(row.image)
			if !strings.Contains(row.require, "any") && fmt.Sprint(warm.Decision) != fmt.Sprint(v.Decision) { // else somebody may not have been asked
				t.Errorf("T23 cold %+v, warm %+v", v.Decision, warm.Decision)
			}
			if warm.Outcome != v.Outcome || warm.Digest != v.Digest || warm.Pin != v.Pin || fmt.Sprint(warm.Warnings) != fmt.Sprint(v.Warnings) {
				t.Errorf("T23 cold %+v, warm %+v", v, warm)
			}
		})
	}
}

// A verdict that denies what would have taken the place of a digest is about that.
func TestDenialIsAboutTheReplacement(t *testing.T) {
	h := newHarbour(t)
	given, signed := h.image("app/api", "old", "given"), h.image("app/api", "new", "signed")
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": signed.Digest()})
	h.use(cargo("[dct, right]", replaces))
	if v := h.want(h.tagged("app/api", "1", given.Digest()), engine.Denied); v.Digest != signed.Digest() || v.Pin != "" {
		t.Errorf("got digest %s, pin %q; want %s, and none", v.Digest, v.Pin, signed.Digest())
	}
}

// CSE-25: authorities that have different digests signed for one tag deny it, whatever the rest of the rule says.
func TestCSE25_IncompatibleDigests(t *testing.T) {
	h := newHarbour(t)
	one, two := h.image("app/api", "1", "one"), h.image("app/api", "2", "two")
	h.sign(h.right, one)
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
	h.signTags(secondServer, "app/api", 1, map[string]image.Digest{"1": two.Digest()})
	for _, require := range []string{"[dct, second]", "{any: [dct, second]}", "{any: [right, dct, second]}", "{any: [dct, panics, second]}"} {
		h.use(cargo(require, replaces))
		for _, round := range []string{"cold", "warm"} {
			v := h.want(h.server.Host()+"/app/api:1", engine.Denied)
			for _, want := range []string{"Incompatible digest", one.Digest().String() + " by dct", two.Digest().String() + " by second"} {
				if !strings.Contains(v.Reason, want) {
					t.Errorf("%s, %s: got %q, want %q in it", require, round, v.Reason, want)
				}
			}
			proved := 0
			for _, at := range v.Authorities {
				if at.Standing == engine.Proved {
					proved++
				}
			}
			if proved != 2 {
				t.Errorf("%s, %s: the verdict shows %d proofs, want that of each", require, round, proved)
			}
		}
	}
	// Otherwise the registry's digest is decided about, for which only one of them signed the tag.
	h.use(cargo("[dct, second]", ""))
	h.want(h.server.Host()+"/app/api:1", engine.Denied)
	h.use(cargo("{any: [dct, second]}", ""))
	h.want(h.server.Host()+"/app/api:1", engine.Allowed)
}

// T46: where a server that names digests is down, nobody knows what would run: nobody else's word takes its place.
func TestT46_NoWordInPlaceOfAResolver(t *testing.T) {
	h := newHarbour(t)
	one := h.image("app/api", "1", "one")
	h.sign(h.right, one)
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
	h.signTags(secondServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
	for _, require := range []string{"dct", "{any: [dct, right]}", "{any: [right, dct]}", "{any: [dct, second, right]}"} {
		h.use(cargo(require, replaces))
		h.files.FailAt(1, fmt.Errorf("GET: 503: %w", trust.ErrUnavailable))
		v := h.want(h.server.Host()+"/app/api:1", engine.CouldNotTell)
		if !errors.Is(v.Err(), trust.ErrUnavailable) || !strings.Contains(v.Reason, "503") {
			t.Errorf("%s: got %q, want the cause", require, v.Reason)
		}
		h.want(h.server.Host()+"/app/api:1", engine.Allowed) // it is not remembered
	}
	// A rule that takes the registry's word for tags needs only one of the two.
	h.use(cargo("{any: [dct, right]}", ""))
	h.files.FailAt(1, trust.ErrUnavailable)
	h.want(h.server.Host()+"/app/api:1", engine.Allowed)
}

// CSE-30: a server that hangs is "cannot tell" within the deadline.
func TestCSE30_HangingServer(t *testing.T) {
	h := newHarbour(t)
	one := h.image("app/api", "1", "one")
	for _, digests := range []string{"pin", "insecureReplace"} {
		h.useWith(func(c *engine.Config) {
			c.Source = both{h.client, hanging{}}
			c.Timeout = 300 * time.Millisecond
		}, cargo("dct", "    digest: "+digests+"\n"))
		start := time.Now()
		h.want(h.tagged("app/api", "1", one.Digest()), engine.CouldNotTell)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %v", digests, took)
		}
	}
}

// hanging is a Notary server that never answers.
type hanging struct{}

func (hanging) TrustData(ctx context.Context, _, _, _ string, _ int64) ([]byte, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// A source that reaches no Notary servers is told apart from one where nothing is signed.
func TestNoNotaryServersIsCannotTell(t *testing.T) {
	h := newHarbour(t)
	h.useWith(func(c *engine.Config) { c.Source = h.client }, cargo("dct", ""))
	one := h.image("app/api", "1", "one")
	if v := h.want(one.String(), engine.CouldNotTell); !strings.Contains(v.Reason, "Notary servers cannot be reached from here") {
		t.Errorf("got %q", v.Reason)
	}
}

// T24: a digest that takes another's place is denied by whatever denies it when it is asked for itself.
func TestT24_SignedDigestMeetsEveryRule(t *testing.T) {
	h := newHarbour(t)
	given, bad := h.image("app/api", "old", "given"), h.image("app/api", "new", "bad")
	h.image("app/api", "1", "what the registry serves")
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": bad.Digest(), "given": given.Digest()})
	deny := "  rules:\n  - images: [\"%HOST%/app/api@" + bad.Digest().String() + "\"]\n    deny: CVE\n"
	revoked := "  revoked: [{digest: \"" + bad.Digest().String() + "\", reason: CVE}]\n"
	silent := "  unmatched: ignore\n  rules:\n  - {images: [\"none.example/**\"], allow: never}\n"
	rest := "  - images: [\"%HOST%/app/**\"]\n    require: dct\n" + replaces
	rows := []struct {
		name     string
		policies []string
		reason   string
	}{
		{"a rule before", []string{cargoHead + deny + rest}, "CVE"},
		{"a revocation", []string{cargo("dct", replaces+revoked)}, "CVE"},
		{"a revocation where another authority would do", []string{cargo("{any: [dct, right]}", replaces+revoked)}, "CVE"},
		{"a revocation of another policy", []string{cargo("dct", replaces), silent + revoked}, "CVE"},
		{"another policy", []string{cargo("dct", replaces), deny + "  - images: [\"**\"]\n    allow: yes indeed\n"}, "different digests"},
		{"another policy, which speaks about neither", []string{silent + "  - {images: [\"%HOST%/app/api@" + bad.Digest().String() + "\"], deny: CVE}\n", cargo("dct", replaces)}, "CVE"},
		{"another policy, which allows the given one only", []string{"  rules:\n  - {images: [\"%HOST%/app/api@" + given.Digest().String() + "\", \"%HOST%/app/api:1\"], allow: exception}\n", cargo("dct", replaces)}, "different digests"},
		{"another policy, which vouches for neither", []string{cargo("dct", replaces), cargo("bob", "")}, "bob: untrusted"},
	}
	for _, row := range rows {
		for _, asked := range []string{h.tagged("app/api", "1", given.Digest()), h.server.Host() + "/app/api:1"} {
			t.Run(row.name, func(t *testing.T) {
				h := &harbour{world: h.world, notary: h.notary, files: h.files}
				h.TB = t
				h.use(row.policies...)
				if v := h.want(asked, engine.Denied); !strings.Contains(v.Reason, row.reason) || v.Pin != "" {
					t.Errorf("%s: got %q and pin %q, want %q", asked, v.Reason, v.Pin, row.reason)
				}
			})
		}
	}
}

// T8: policies whose authorities name different digests do not agree; with the registry's word neither.
func TestT8_PoliciesNameOneDigest(t *testing.T) {
	h := newHarbour(t)
	one, two := h.image("app/api", "1", "one"), h.image("app/api", "2", "two")
	h.sign(h.right, one)
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
	h.signTags(secondServer, "app/api", 1, map[string]image.Digest{"1": two.Digest()})
	tag := h.server.Host() + "/app/api:1"
	for name, row := range map[string]struct {
		policies []string
		want     engine.Outcome
	}{
		"two servers":                       {[]string{cargo("dct", replaces), cargo("second", replaces)}, engine.Denied},
		"one server twice":                  {[]string{cargo("dct", replaces), cargo("{any: [dct, right]}", replaces)}, engine.Allowed},
		"the registry says the same":        {[]string{cargo("dct", replaces), cargo("right", "")}, engine.Allowed},
		"the registry says something else":  {[]string{cargo("second", replaces), cargo("right", "")}, engine.Denied},
		"an audit changes nothing":          {[]string{cargo("dct", replaces), "  mode: audit\n" + cargo("second", replaces)}, engine.Allowed},
		"an audit alone leaves what it was": {[]string{"  mode: audit\n" + cargo("second", replaces)}, engine.Allowed},
	} {
		h.use(row.policies...)
		v := h.decide(tag)
		if v.Allowed != (row.want == engine.Allowed) {
			t.Errorf("%s: got %s: %s", name, v.Outcome, v.Reason)
		}
		if v.Allowed && !v.Digest.IsZero() && v.Digest != one.Digest() {
			t.Errorf("%s: allowed %s", name, v.Digest)
		}
	}
}

// T8: a server whose data change between two requests of one question does not make two digests of one tag.
func TestT8_FlippingTrustData(t *testing.T) {
	h := newHarbour(t)
	one, two := h.image("app/api", "1", "one"), h.image("app/api", "2", "two")
	h.sign(h.right, two)
	h.useWith(func(c *engine.Config) {
		c.TagTTL, c.TTL, c.RefusalTTL = -1, time.Nanosecond, time.Nanosecond
		c.Source = both{h.client, &flipping{digests: []image.Digest{one.Digest(), two.Digest()}}}
	}, cargo("[dct, right]", replaces))
	for range 4 {
		v := h.decide(h.server.Host() + "/app/api:1")
		if v.Allowed && v.Digest != two.Digest() || v.Outcome == engine.CouldNotTell {
			t.Fatalf("got %s %s: %s", v.Outcome, v.Digest, v.Reason)
		}
		for _, at := range v.Authorities {
			if at.Standing == engine.Proved && at.Digest != v.Digest {
				t.Errorf("%s proved %s in a verdict about %s", at.Authority, at.Digest, v.Digest)
			}
		}
		h.clock.advance(time.Hour)
	}
}

// flipping is a Notary server that signs one digest after the other under the tag 1.
type flipping struct {
	mu      sync.Mutex
	asked   int
	digests []image.Digest
}

func (s *flipping) TrustData(context.Context, string, string, string, int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.digests[s.asked%len(s.digests)]
	s.asked++
	return json.Marshal(signedTags{Version: 1, Tags: map[string]signedTag{"1": {d.String(), "alice"}}})
}

// T22: a tag that was signed anew is decided by its new digest soon, and never by the verdict of the old one.
func TestT22_TagSignedAnew(t *testing.T) {
	h := newHarbour(t)
	one, two := h.image("app/api", "1", "one"), h.image("app/api", "2", "two")
	h.use(cargo("dct", replaces))
	tag := h.server.Host() + "/app/api:1"
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
	h.want(tag, engine.Allowed)
	h.signTags(firstServer, "app/api", 2, map[string]image.Digest{"1": two.Digest()})
	h.clock.advance(engine.DefaultTagTTL)
	if v := h.want(tag, engine.Allowed); v.Digest != two.Digest() {
		t.Errorf("got %s, want %s", v.Digest, two.Digest())
	}
	// A tag that was not signed is asked for again as soon.
	other := h.server.Host() + "/app/api:2"
	h.want(other, engine.Denied)
	h.signTags(firstServer, "app/api", 3, map[string]image.Digest{"1": two.Digest(), "2": two.Digest()})
	h.clock.advance(engine.DefaultRefusalTTL)
	h.want(other, engine.Allowed)
}

// T21: a revocation of a key on whose word a signer's rests is heard, also after a cached allow.
func TestT21_RevokedKeyAbove(t *testing.T) {
	for _, digests := range []string{"pin", "insecureReplace"} {
		h := newHarbour(t)
		one := h.image("app/api", "1", "one")
		h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
		spec := cargo("dct", "    digest: "+digests+"\n")
		h.use(spec)
		tag := h.server.Host() + "/app/api:1"
		h.want(tag, engine.Allowed)
		for key, want := range map[string]engine.Outcome{
			"alice":                   engine.Denied,
			"root of " + firstServer:  engine.Denied,
			"root of " + secondServer: engine.Allowed,
		} {
			p := h.parse("a", spec+"  revoked: [{key: \""+keyOf(key)+"\", reason: laptop stolen}]\n")
			if err := h.engine.Use([]*policy.Policy{p}); err != nil {
				t.Fatal(err)
			}
			for _, round := range []string{"cold", "warm"} {
				if v := h.want(tag, want); want == engine.Denied && !strings.Contains(v.Reason, "laptop stolen") {
					t.Errorf("%s, %s, %s: got %q", digests, key, round, v.Reason)
				}
			}
		}
	}
}

// T21: a signer that was revoked has no say in what runs in place of a digest.
func TestT21_RevokedSignerNamesNothing(t *testing.T) {
	h := newHarbour(t)
	old, good := h.image("app/api", "old", "old"), h.image("app/api", "1", "good")
	h.sign(h.right, old)
	h.sign(h.right, good)
	h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": old.Digest()})
	h.signTags(secondServer, "app/api", 1, map[string]image.Digest{"1": good.Digest()})
	revoked := "  revoked: [{key: \"" + keyOf("root of "+firstServer) + "\", reason: laptop stolen}]\n"
	for _, require := range []string{"{any: [dct, right]}", "{any: [dct, second]}", "{any: [dct, second, right]}"} {
		h.use(cargo(require, replaces+revoked))
		for _, round := range []string{"cold", "warm"} {
			if v := h.want(h.server.Host()+"/app/api:1", engine.Allowed); v.Digest != good.Digest() {
				t.Errorf("%s, %s: got %s, named by a revoked signer", require, round, v.Digest)
			}
		}
	}
}

// T9: who signed is not told apart by the keys above.
func TestT9_KeysAboveAreNoSigners(t *testing.T) {
	h := newHarbour(t)
	one := h.image("app/api", "1", "one")
	digest := one.Digest().String()
	h.signTags(secondServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
	h.publishTags(firstServer, "app/api", signedTags{Version: 1, Root: "shared", Tags: map[string]signedTag{"1": {digest, "alice"}, "2": {digest, "bob"}}})
	for require, want := range map[string]engine.Outcome{
		"{atLeast: 2, of: [dct, second]}": engine.Denied,  // alice, under two roots
		"{atLeast: 2, of: [dct, bob]}":    engine.Allowed, // alice and bob, under one root
	} {
		h.use(cargo(require, ""))
		if v := h.decide(one.String()); v.Outcome != want {
			t.Errorf("%s: got %s: %s", require, v.Outcome, v.Reason)
		}
	}
}

// T28: what was seen is remembered after each yes and each no, and counts from then on; after a "cannot tell" nothing is.
func TestT28_WhatWasSeenIsRemembered(t *testing.T) {
	h := newHarbour(t)
	one := h.image("app/api", "1", "one")
	h.use(cargo("dct", ""))
	tag, at := h.server.Host()+"/app/api:1", ":1@"+one.Digest().String()
	tags := map[string]image.Digest{"1": one.Digest()}
	steps := []struct {
		name       string
		version    int
		tags       map[string]image.Digest
		fault      error
		want       engine.Outcome
		remembered string
	}{
		{"a yes", 3, tags, nil, engine.Allowed, at + " v3"},
		{"an outage", 4, tags, errOutage, engine.CouldNotTell, ""},
		{"a no, newer", 5, nil, nil, engine.Denied, at + " v5"},
		{"older than the no", 4, tags, nil, engine.Denied, ""},
		{"a yes, newer", 6, tags, nil, engine.Allowed, at + " v6"},
	}
	for _, step := range steps {
		h.signTags(firstServer, "app/api", step.version, step.tags)
		h.files.FailAt(0, nil)
		if step.fault != nil {
			h.files.FailAt(1, step.fault)
		}
		h.notary.note(func() { h.notary.remembered = nil })
		h.want(tag, step.want)
		if got := strings.Join(h.notary.remembered, ", "); got != step.remembered {
			t.Errorf("%s: remembered %q, want %q", step.name, got, step.remembered)
		}
		h.clock.advance(time.Hour)
	}
	h.notary.note(func() { h.notary.remembered = nil })
	h.want(one.String(), engine.Allowed)
	h.want(one.String(), engine.Allowed)
	if got, want := strings.Join(h.notary.remembered, ", "), "@"+one.Digest().String()+" v6"; got != want {
		t.Errorf("a digest alone: remembered %q, want %q", got, want)
	}
}

// T28: where nothing can be remembered, neither a yes nor a no holds, and it is asked again.
func TestT28_ForgetfulIsCannotTell(t *testing.T) {
	for fault, want := range map[string]engine.Outcome{
		"cannot remember":              engine.CouldNotTell,
		"cannot remember, and says no": engine.CouldNotTell,
		"panic in remember":            engine.Bug,
	} {
		h := newHarbour(t)
		one, two := h.image("app/api", "1", "one"), h.image("app/api", "2", "two")
		h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
		h.use(strings.Replace(cargo("dct", ""), "signer: alice}", "signer: alice, fault: \""+fault+"\"}", 1))
		for _, ref := range []image.Ref{one, two, one, two} {
			v := h.want(ref.String(), want)
			if v.Authorities[0].Standing != engine.Unclear || want == engine.CouldNotTell && !strings.Contains(v.Reason, "dct: what was seen could not be remembered: the disk is full") {
				t.Errorf("%s: got %s, %q", fault, v.Authorities[0].Standing, v.Reason)
			}
		}
		h.wantCounts(4, 0)
	}
}

// T30: a child stands for an index under the tag that was asked for.
func TestT30_ChildUnderTheTag(t *testing.T) {
	h := newHarbour(t)
	index, children := h.index("app/multi", "1", "linux/amd64", "linux/arm64")
	child := children["linux/amd64"]
	rows := []struct {
		name    string
		require string
		tags    map[string]image.Digest
		want    engine.Outcome
		digest  image.Digest
	}{
		{"the index is signed", "dct", map[string]image.Digest{"1": index.Digest()}, engine.Allowed, index.Digest()},
		{"the child is signed", "dct", map[string]image.Digest{"1": child.Digest()}, engine.Allowed, child.Digest()},
		{"the child is signed under another tag", "dct", map[string]image.Digest{"2": child.Digest()}, engine.Denied, index.Digest()},
		{"index and child by two authorities", "[dct, right]", map[string]image.Digest{"1": index.Digest()}, engine.Allowed, child.Digest()},
	}
	h.sign(h.right, child)
	for i, row := range rows {
		h.signTags(firstServer, "app/multi", i+1, row.tags)
		h.use(cargo(row.require, "    platform: linux/amd64\n"))
		if v := h.decide(h.server.Host() + "/app/multi:1"); v.Outcome != row.want || v.Digest != row.digest {
			t.Errorf("%s: got %s %s: %s", row.name, v.Outcome, v.Digest, v.Reason)
		}
	}
}

// CSE-38: a hundred equal questions at once ask the server once.
func TestCSE38_ConcurrentQuestions(t *testing.T) {
	for digests, resolves := range map[string]int{"pin": 0, "insecureReplace": 1} {
		t.Run(digests, func(t *testing.T) {
			h := newHarbour(t)
			one := h.image("app/api", "1", "one")
			h.signTags(firstServer, "app/api", 1, map[string]image.Digest{"1": one.Digest()})
			h.useWith(func(c *engine.Config) { c.Source = both{h.client, lagging{h.files}} }, cargo("dct", "    digest: "+digests+"\n"))
			h.server.ResetRequests()
			h.files.FailAt(0, nil)
			var askers sync.WaitGroup
			for range 100 {
				askers.Go(func() {
					if v := h.decide(h.server.Host() + "/app/api:1"); !v.Allowed || v.Digest != one.Digest() {
						t.Errorf("got %s: %s", v.Outcome, v.Reason)
					}
				})
			}
			askers.Wait()
			h.wantRequests(1 - resolves)
			h.wantCounts(1, resolves)
			if n := h.files.Requests(); n > 1+resolves {
				t.Errorf("got %d requests to the Notary server", n)
			}
		})
	}
}

// lagging is a Notary server that takes its time.
type lagging struct{ trust.TrustServer }

func (s lagging) TrustData(ctx context.Context, server, gun, name string, limit int64) ([]byte, error) {
	time.Sleep(200 * time.Millisecond)
	return s.TrustServer.TrustData(ctx, server, gun, name, limit)
}

// T27: what an authority named under another policy is not reused.
func TestT27_NamesAreOfOnePolicy(t *testing.T) {
	h := newHarbour(t)
	one, two := h.image("app/api", "1", "one"), h.image("app/api", "2", "two")
	h.publishTags(firstServer, "app/api", signedTags{Version: 1, Tags: map[string]signedTag{"1": {one.Digest().String(), "alice"}}})
	h.publishTags(secondServer, "app/api", signedTags{Version: 1, Tags: map[string]signedTag{"1": {two.Digest().String(), "alice"}}})
	spec := cargo("dct", replaces)
	h.use(spec)
	tag := h.server.Host() + "/app/api:1"
	for _, row := range []struct {
		spec   string
		want   engine.Outcome
		digest image.Digest
	}{
		{spec, engine.Allowed, one.Digest()},
		{strings.Replace(spec, firstServer, secondServer, 1), engine.Allowed, two.Digest()},
		{strings.Replace(spec, "signer: alice", "signer: carol", 1), engine.Denied, image.Digest{}},
		{spec, engine.Allowed, one.Digest()},
	} {
		if err := h.engine.Use([]*policy.Policy{h.parse("a", row.spec)}); err != nil {
			t.Fatal(err)
		}
		if v := h.want(tag, row.want); row.want == engine.Allowed && v.Digest != row.digest {
			t.Errorf("got %s, want %s", v.Digest, row.digest)
		}
	}
}
