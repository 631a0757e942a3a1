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
)

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
