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
