package engine_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// DIA-40: two requests with a digest in hand, three with a tag, none for an equal question.
func TestDIA40_RequestCounts(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	tag := w.server.Host() + "/app/api:1"
	w.server.ResetRequests()

	v := w.want(ref.String(), engine.Allowed)
	w.wantRequests(2)
	if v.Cached {
		t.Error("the first answer says that it was cached")
	}
	if v = w.want(ref.String(), engine.Allowed); !v.Cached {
		t.Error("the second answer does not say that it was cached")
	}
	w.wantRequests(0)

	w.use(simple)
	v = w.want(tag, engine.Allowed)
	w.wantRequests(3)
	if want := tag + "@" + ref.Digest().String(); v.Pin != want {
		t.Errorf("pin: got %q, want %q", v.Pin, want)
	}
	w.want(tag, engine.Allowed)
	w.wantRequests(0)
}

func TestZeroVerdictDenies_T5(t *testing.T) {
	var v engine.Verdict
	if v.Allowed || v.Outcome == engine.Allowed {
		t.Error("the zero verdict allows")
	}
	var at engine.Attestation
	if at.Standing == engine.Proved {
		t.Error("the zero attestation proves")
	}
}

// T5, T46: whatever fails at whatever step, nothing is allowed, nothing reads as unsigned, and nothing is remembered.
func TestT5_FaultsNeverAllow(t *testing.T) {
	faults := map[string]registrytest.Fault{
		"429":          registrytest.Status(http.StatusTooManyRequests, nil, ""),
		"500":          registrytest.Status(http.StatusInternalServerError, nil, ""),
		"401":          registrytest.Status(http.StatusUnauthorized, nil, ""),
		"403":          registrytest.Status(http.StatusForbidden, nil, ""),
		"cut":          registrytest.CutConnection(),
		"cut body":     registrytest.CutBody(),
		"wrong bytes":  registrytest.WrongBytes(),
		"endless":      registrytest.Endless(),
		"false digest": registrytest.FalseDigestHeader("sha256:" + strings.Repeat("0", 64)),
	}
	for name, fault := range faults {
		for step := range 3 {
			t.Run(fmt.Sprintf("T46 %s from request %d on", name, step+1), func(t *testing.T) {
				w := newWorld(t)
				w.use(simple)
				w.sign(w.right, w.image("app/api", "1", "a"))
				count := 0
				var mu sync.Mutex
				w.server.SetFault(func(*http.Request) bool {
					mu.Lock()
					defer mu.Unlock()
					count++
					return count > step
				}, fault)
				tag := w.server.Host() + "/app/api:1"
				v := w.decide(tag)
				if name == "false digest" && step == 0 {
					// A registry that names another digest is asked about that one, which nobody signed.
					if v.Allowed {
						t.Fatal("allowed")
					}
					return
				}
				if v.Allowed && !(name == "false digest" && step == 2) { // the digest header of a blob is not looked at
					t.Fatalf("allowed in spite of the fault: %+v", v.Decision)
				}
				if !v.Allowed && v.Outcome != engine.CouldNotTell {
					t.Fatalf("got %s: %s; want could-not-tell", v.Outcome, v.Reason)
				}
				w.server.ClearFaults()
				w.want(tag, engine.Allowed)
			})
		}
	}
}

// T22: a tag that has moved is decided by its new digest, never by the verdict of the old one.
func TestT22_MovedTag(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	signed := w.image("app/api", "1", "signed")
	w.sign(w.right, signed)
	tag := w.server.Host() + "/app/api:1"
	w.want(tag, engine.Allowed)

	w.image("app/api", "1", "not signed")
	if v := w.decide(tag); v.Allowed && v.Digest != signed.Digest() {
		t.Fatalf("allowed digest %s, which nobody signed", v.Digest)
	}
	w.clock.advance(engine.DefaultTagTTL)
	w.want(tag, engine.Denied)
	w.want(signed.String(), engine.Allowed)
}

// T8, DIA-21: a registry that answers a tag with two digests in turn gets one digest decided, and that one pinned.
func TestT8_FlippingTag(t *testing.T) {
	w := newWorld(t)
	w.use(`
  authorities:
    right: {certificate: {roots: %RIGHT%}}
    other: {certificate: {roots: %OTHER%}}
  rules:
  - images: ["%HOST%/app/**"]
    require: {all: [right, other]}
`, func(c *engine.Config) { c.TagTTL = -1 })
	first := w.image("app/api", "1", "first")
	second := w.image("app/api", "1", "second")
	w.sign(w.right, first)
	w.sign(w.other, second)
	w.server.SetFault(registrytest.OnPath("/manifests/1"), registrytest.Flip(first.Digest(), second.Digest()))
	for range 4 {
		w.want(w.server.Host()+"/app/api:1", engine.Denied)
	}
}

// T8: one question resolves a tag once, however many policies and authorities ask for it.
func TestT8_TagIsResolvedOnce(t *testing.T) {
	w := newWorld(t)
	ref := w.image("app/api", "1", "a")
	other := "sha256:" + strings.Repeat("0", 64)
	w.use(`
  rules:
  - images: ["%HOST%/app/api@`+other+`"]
    deny: another image
  - images: ["%HOST%/app/**"]
    allow: tested
  revoked: [{digest: "`+other+`"}]
`, func(c *engine.Config) { c.TagTTL = -1 })
	w.server.ResetRequests()
	if v := w.want(w.server.Host()+"/app/api:1", engine.Allowed); v.Digest != ref.Digest() {
		t.Errorf("digest: got %s, want %s", v.Digest, ref.Digest())
	}
	w.wantRequests(2) // the tag, and the manifest, since it could be an index of a revoked child
}

// T11: a certificate that was copied from another image proves nothing, also where the policy only warns or audits.
func TestT11_CopiedCertificate(t *testing.T) {
	for _, mode := range []string{"enforce", "warn", "audit"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			w.use("  mode: " + mode + simple)
			cert := w.sign(w.right, w.image("app/api", "1", "signed"))
			victim := w.image("app/api", "2", "victim")
			w.publish(victim, cert)
			v := w.decide(victim.String())
			if v.Outcome != engine.Denied || v.Authorities[0].Standing != engine.Untrusted {
				t.Fatalf("got %s, %s; want denied, untrusted", v.Outcome, v.Authorities[0].Standing)
			}
			if v.Allowed != (mode != "enforce") {
				t.Errorf("allowed: got %v", v.Allowed)
			}
			if (len(v.Warnings) > 0) != (mode == "warn") {
				t.Errorf("warnings: got %q", v.Warnings)
			}
		})
	}
}

// T21: what is revoked after an allow was remembered is denied at the next question.
func TestT21_RevokedAfterAllow(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	ref := w.image("app/api", "1", "a")
	cert := w.sign(w.right, ref)
	w.want(ref.String(), engine.Allowed)
	key := trust.DescribeCertificate(cert).Key
	rows := map[string]string{
		"key":               `{key: "` + key + `", reason: laptop stolen}`,
		"key of the issuer": `{key: "` + trust.DescribeCertificate(w.right.cert).Key + `", reason: laptop stolen}`,
		"serial":            `{serial: "` + trust.Serial(cert.SerialNumber) + `", issuer: "CN=right", reason: laptop stolen}`,
		"digest":            `{digest: "` + ref.Digest().String() + `", reason: laptop stolen}`,
		"digest and key":    `{digest: "` + ref.Digest().String() + `", key: "` + key + `", reason: laptop stolen}`,
		"after":             `{key: "` + key + `", after: ` + w.clock.t.Add(-time.Hour).UTC().Format(time.RFC3339) + `, reason: laptop stolen}`,
	}
	for name, entry := range rows {
		t.Run(name, func(t *testing.T) {
			if err := w.engine.Use([]*policy.Policy{w.parse("test", simple+"  revoked:\n  - "+entry+"\n")}); err != nil {
				t.Fatal(err)
			}
			v := w.want(ref.String(), engine.Denied)
			if !strings.Contains(v.Reason, "laptop stolen") {
				t.Errorf("reason: got %q", v.Reason)
			}
		})
	}
	for name, entry := range map[string]string{
		"another key":                `{key: "` + trust.Fingerprint([]byte("x")) + `"}`,
		"serial of another issuer":   `{serial: "` + trust.Serial(cert.SerialNumber) + `", issuer: "CN=other"}`,
		"signed before":              `{key: "` + key + `", after: ` + w.clock.t.Add(time.Hour).UTC().Format(time.RFC3339) + `}`,
		"key, but of another digest": `{key: "` + key + `", digest: "sha256:` + strings.Repeat("0", 64) + `"}`,
	} {
		t.Run("not "+name, func(t *testing.T) {
			if err := w.engine.Use([]*policy.Policy{w.parse("test", simple+"  revoked:\n  - "+entry+"\n")}); err != nil {
				t.Fatal(err)
			}
			w.want(ref.String(), engine.Allowed)
		})
	}
}

// T21: a revoked digest beats a rule that allows by itself, and the registry is asked for it only then.
func TestT21_RevokedDigestBeatsAllow(t *testing.T) {
	w := newWorld(t)
	ref := w.image("tools/x", "1", "a")
	spec := `
  rules:
  - images: ["%HOST%/tools/**"]
    allow: scanned
`
	w.use(spec)
	w.server.ResetRequests()
	w.want(w.server.Host()+"/tools/x:1", engine.Allowed)
	w.wantRequests(0)
	w.use(spec + `  revoked: [{digest: "` + ref.Digest().String() + `", reason: CVE}]` + "\n")
	w.want(w.server.Host()+"/tools/x:1", engine.Denied)
	w.server.SetFault(registrytest.OnManifests, registrytest.Status(500, nil, ""))
	w.clock.advance(time.Hour)
	w.want(w.server.Host()+"/tools/x:1", engine.CouldNotTell)
}

// T23: the same questions, cold and warm, get the same verdicts.
func TestT23_ColdAndWarmAgree(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	good, bad, none := w.image("app/a", "1", "a"), w.image("app/b", "1", "b"), w.image("app/c", "1", "c")
	w.sign(w.right, good)
	w.sign(w.other, bad)
	for _, ref := range []image.Ref{good, bad, none} {
		cold, warm := w.decide(ref.String()), w.decide(ref.String())
		if cold.Cached || !warm.Cached {
			t.Errorf("%s: cached: got %v, %v", ref, cold.Cached, warm.Cached)
		}
		if fmt.Sprint(cold.Decision) != fmt.Sprint(warm.Decision) || cold.Allowed != warm.Allowed {
			t.Errorf("%s: cold %+v, warm %+v", ref, cold.Decision, warm.Decision)
		}
	}
}

// T24: the digest decides, whatever the tag beside it stands for now.
func TestT24_TagBesideDigest(t *testing.T) {
	w := newWorld(t)
	w.use(`
  authorities:
    right: {certificate: {roots: %RIGHT%}}
  rules:
  - images: ["%HOST%/app/api:blessed"]
    allow: the blessed tag
  - images: ["%HOST%/app/**"]
    require: right
`)
	signed := w.image("app/api", "1", "signed")
	w.sign(w.right, signed)
	moved := w.image("app/api", "blessed", "moved")
	w.want(w.server.Host()+"/app/api:1@"+signed.Digest().String(), engine.Allowed)
	w.image("app/api", "1", "tag one moves on")
	w.clock.advance(time.Hour)
	w.want(w.server.Host()+"/app/api:1@"+signed.Digest().String(), engine.Allowed)
	w.want(w.server.Host()+"/app/api:blessed@"+moved.Digest().String(), engine.Allowed)
	evil := w.image("app/api", "evil", "evil")
	w.want(w.server.Host()+"/app/api:blessed@"+evil.Digest().String(), engine.Denied)
	w.want(evil.String(), engine.Denied)
}

// T27, DIA-39: another policy, or other roots, ask anew.
func TestT27_PolicyIsPartOfTheKey(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.want(ref.String(), engine.Allowed)
	if err := w.engine.Use([]*policy.Policy{w.parse("test", strings.ReplaceAll(simple, "{roots: %RIGHT%}", "{roots: %OTHER%}"))}); err != nil {
		t.Fatal(err)
	}
	w.want(ref.String(), engine.Denied)
	if err := w.engine.Use([]*policy.Policy{w.parse("test", simple)}); err != nil {
		t.Fatal(err)
	}
	w.want(ref.String(), engine.Allowed)
}

// Proofs are reused no longer than they hold.
func TestProofsEnd(t *testing.T) {
	w := newWorld(t)
	w.use(simple, func(c *engine.Config) { c.TTL = 100 * time.Hour })
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.want(ref.String(), engine.Allowed)
	w.clock.advance(12*time.Hour - time.Second)
	w.want(ref.String(), engine.Allowed)
	w.clock.advance(time.Second)
	w.want(ref.String(), engine.Denied)
}

// A "no" is remembered briefly: what is signed a moment later is allowed soon.
func TestRefusalsEnd(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	ref := w.image("app/api", "1", "a")
	w.server.ResetRequests()
	w.want(ref.String(), engine.Denied)
	w.wantRequests(1)
	w.want(ref.String(), engine.Denied)
	w.wantRequests(0)
	w.sign(w.right, ref)
	w.clock.advance(engine.DefaultRefusalTTL)
	w.want(ref.String(), engine.Allowed)
}

// Equal questions at once cost one set of requests.
func TestConcurrentQuestionsAreAskedOnce(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.server.SetFault(registrytest.OnManifests, registrytest.Slow(200*time.Millisecond))
	w.server.ResetRequests()
	var askers sync.WaitGroup
	for range 50 {
		askers.Go(func() {
			if v := w.decide(w.server.Host() + "/app/api:1"); !v.Allowed {
				t.Errorf("got %s: %s", v.Outcome, v.Reason)
			}
		})
	}
	askers.Wait()
	w.wantRequests(3)
}

// One who leaves does not take the answer from the others, and a question that nobody waits for ends.
func TestAskersLeave(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.server.SetFault(registrytest.OnManifests, registrytest.Slow(300*time.Millisecond))
	ctx, cancel := context.WithCancel(context.Background())
	var askers sync.WaitGroup
	askers.Go(func() {
		v := w.engine.Decide(ctx, engine.Request{Image: ref.String(), Request: policy.Request{Point: "cli"}})
		if v.Outcome != engine.CouldNotTell {
			t.Errorf("the one who left: got %s", v.Outcome)
		}
	})
	time.Sleep(50 * time.Millisecond)
	askers.Go(func() {
		if v := w.decide(ref.String()); !v.Allowed {
			t.Errorf("the one who stayed: got %s: %s", v.Outcome, v.Reason)
		}
	})
	time.Sleep(50 * time.Millisecond)
	cancel()
	askers.Wait()
}

// A registry that hangs is "cannot tell" within the deadline, and is asked again.
func TestT46_HangingRegistry(t *testing.T) {
	w := newWorld(t)
	w.use(simple, func(c *engine.Config) { c.Timeout = 300 * time.Millisecond })
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.server.SetFault(registrytest.OnManifests, registrytest.Hang())
	if v := w.want(ref.String(), engine.CouldNotTell); v.Err() == nil {
		t.Error("no error beside could-not-tell")
	}
	w.server.ClearFaults()
	w.want(ref.String(), engine.Allowed)
}

// What cannot be parsed is denied, without a request.
func TestMalformedNamesAreDenied(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	v := w.want("registry.example./app:1", engine.Denied)
	if !strings.Contains(v.Reason, "could not parse reference: registry.example./app:1") {
		t.Errorf("reason: got %q", v.Reason)
	}
}

// T48: a name that no rule speaks about causes no request.
func TestT48_NoRequestBeforeTheRule(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	w.server.ResetRequests()
	w.want(w.server.Host()+"/elsewhere/api:1", engine.Denied)
	w.wantRequests(0)
}

// T48: where one policy denies by the name alone, no other one sends a request.
func TestT48_NoRequestWhereOnePolicyDenies(t *testing.T) {
	w := newWorld(t)
	w.usePolicies(simple, `
  rules:
  - images: ["%HOST%/app/**"]
    deny: frozen
`)
	w.server.ResetRequests()
	if v := w.want(w.server.Host()+"/app/api:1", engine.Denied); v.Policy != "b" || v.Reason != "frozen" {
		t.Errorf("got policy %s, reason %q", v.Policy, v.Reason)
	}
	w.wantRequests(0)
}

// Authorities and policies that ask for the same thing cost one set of requests.
func TestSeveralAuthoritiesAskOnce(t *testing.T) {
	for name, policies := range map[string][]string{
		"two authorities of one rule": {ruleOf("enforce", "{any: [right, other]}", "")},
		"all of one rule":             {ruleOf("audit", "[right, other]", "")},
		"two policies":                {ruleOf("enforce", "right", ""), ruleOf("audit", "other", "")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.usePolicies(policies...)
			ref := w.image("app/api", "1", "a")
			w.sign(w.right, ref)
			w.server.ResetRequests()
			if v := w.decide(ref.String()); !v.Allowed {
				t.Errorf("got %s: %s", v.Outcome, v.Reason)
			}
			w.wantRequests(2)
			unsigned := w.image("app/api", "2", "b")
			w.server.ResetRequests()
			w.decide(unsigned.String())
			w.wantRequests(1)
		})
	}
}
