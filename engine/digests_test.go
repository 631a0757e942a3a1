package engine_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// usePolicies starts an engine with a policy for each spec, called a, b and so on.
func (w *world) usePolicies(specs ...string) {
	w.use(simple, func(c *engine.Config) {
		c.Policies = nil
		for i, s := range specs {
			c.Policies = append(c.Policies, w.parse(string(rune('a'+i)), s))
		}
	})
}

const head = `
  authorities:
    right: {certificate: {roots: %RIGHT%}}
    other: {certificate: {roots: %OTHER%}}
`

// ruleOf is a policy with one rule.
func ruleOf(mode, who, extra string) string {
	return "\n  mode: " + mode + head + "  rules:\n  - images: [\"%HOST%/app/**\"]\n    require: " + who + "\n" + extra
}

// T22: a policy that only warns or audits does not take away the pin of one that enforces.
func TestT22_AuditKeepsThePin(t *testing.T) {
	for _, mode := range []string{"warn", "audit"} {
		w := newWorld(t)
		w.usePolicies(ruleOf("enforce", "right", ""), ruleOf(mode, "other", ""))
		ref := w.image("app/x", "1", "x")
		w.sign(w.right, ref)
		v := w.decide(w.server.Host() + "/app/x:1")
		if v.Allowed && v.Pin == "" {
			t.Errorf("%s: allowed without pin", mode)
		}
	}
}

// T8: what one policy decided about another digest is no word for this one.
func TestT8_PoliciesAgreeOnOneDigest(t *testing.T) {
	w := newWorld(t)
	w.usePolicies(ruleOf("enforce", "right", ""), ruleOf("enforce", "other", "    digest: insecureReplace\n    platform: linux/amd64\n"))
	good := w.image("app/x", "old", "good")
	w.sign(w.right, good)
	_, children := w.index("app/x", "1", "linux/amd64")
	w.sign(w.other, children["linux/amd64"])
	v := w.decide(w.server.Host() + "/app/x:1@" + good.Digest().String())
	if v.Allowed {
		t.Errorf("allowed %s, for which policy a's authority never vouched", v.Pin)
	}
}

// T24: a digest that takes the place of the one asked for must pass the rules of every policy.
func TestT24_ReplacedDigestMeetsEveryPolicy(t *testing.T) {
	w := newWorld(t)
	good := w.image("app/x", "old", "good")
	bad := w.image("app/x", "1", "bad")
	w.sign(w.other, bad)
	w.usePolicies(head+"  rules:\n  - images: [\"%HOST%/app/x@"+good.Digest().String()+"\"]\n    allow: exception\n",
		ruleOf("enforce", "other", "    digest: insecureReplace\n"))
	v := w.decide(w.server.Host() + "/app/x:1@" + good.Digest().String())
	if v.Allowed && v.Digest != good.Digest() {
		t.Errorf("allowed %s, which policy a denies", v.Pin)
	}
}

// T24: a rule against a digest is not passed by asking for another digest, or for the index.
func TestT24_DeniedDigestIsNotReachedByDetour(t *testing.T) {
	w := newWorld(t)
	good := w.image("app/x", "old", "good")
	bad := w.image("app/x", "1", "bad")
	w.sign(w.right, bad)
	w.usePolicies(head + "  rules:\n  - images: [\"%HOST%/app/x@" + bad.Digest().String() + "\"]\n    deny: CVE\n  - images: [\"%HOST%/app/**\"]\n    require: right\n    digest: insecureReplace\n")
	w.want(w.server.Host()+"/app/x:1", engine.Denied)
	v := w.decide(w.server.Host() + "/app/x:1@" + good.Digest().String())
	if v.Allowed {
		t.Errorf("replace: allowed %s, denied by rules[0]", v.Pin)
	}
	_, children := w.index("app/m", "1", "linux/amd64")
	child := children["linux/amd64"]
	w.sign(w.right, child)
	w.usePolicies(head + "  rules:\n  - images: [\"%HOST%/app/m@" + child.Digest().String() + "\"]\n    deny: CVE\n  - images: [\"%HOST%/app/**\"]\n    require: right\n    platform: linux/amd64\n")
	w.want(child.String(), engine.Denied)
	v = w.decide(w.server.Host() + "/app/m:1")
	if v.Allowed {
		t.Errorf("child: allowed %s, denied by rules[0]", v.Pin)
	}
}

// T30: where only a child is vouched for, the child is pinned, also where the rule keeps digests.
func TestT30_ChildIsPinnedWhateverTheRuleKeeps(t *testing.T) {
	for _, how := range []string{"keep", "required"} {
		w := newWorld(t)
		w.usePolicies(ruleOf("enforce", "right", "    digest: "+how+"\n    platform: linux/amd64\n"))
		index, children := w.index("app/m", "1", "linux/amd64", "linux/arm64")
		w.sign(w.right, children["linux/amd64"])
		v := w.decide(index.String())
		if v.Allowed && v.Pin == "" {
			t.Errorf("%s: the index is allowed as it is; only one child is vouched for (digest %s)", how, v.Digest)
		}
	}
}

// T22: an exception for a digest that was reached by its tag is pinned to it.
func TestT22_AllowByDigestIsPinned(t *testing.T) {
	w := newWorld(t)
	good := w.image("app/x", "1", "good")
	w.usePolicies(head + "  rules:\n  - images: [\"%HOST%/app/x@" + good.Digest().String() + "\"]\n    allow: exception\n")
	v := w.decide(w.server.Host() + "/app/x:1")
	if v.Allowed && v.Pin == "" {
		t.Errorf("allowed because the tag stands for %s now, and not pinned", v.Digest)
	}
}

// A policy that audits neither stops an image nor changes what runs.
func TestAuditHasNoSayInWhatRuns(t *testing.T) {
	w := newWorld(t)
	good := w.image("app/x", "old", "good")
	w.image("app/x", "1", "other")
	w.sign(w.right, good)
	w.usePolicies(ruleOf("enforce", "right", ""), ruleOf("audit", "other", "    digest: insecureReplace\n"))
	v := w.decide(w.server.Host() + "/app/x:1@" + good.Digest().String())
	if !v.Allowed {
		t.Errorf("an audit policy stops the image: %s", v.Reason)
	}
	w = newWorld(t)
	index, children := w.index("app/m", "1", "linux/amd64", "linux/arm64")
	w.sign(w.right, index)
	w.sign(w.other, children["linux/amd64"])
	w.usePolicies(ruleOf("enforce", "right", ""), ruleOf("audit", "other", "    platform: linux/amd64\n"))
	v = w.decide(w.server.Host() + "/app/m:1")
	if v.Digest != index.Digest() {
		t.Errorf("an audit policy changes what runs: %s", v.Pin)
	}
}

// A policy that audits replaces no digest.
func TestAuditReplacesNoDigest(t *testing.T) {
	w := newWorld(t)
	w.usePolicies(ruleOf("audit", "right", "    digest: insecureReplace\n"))
	bad := w.image("app/x", "1", "bad")
	w.sign(w.right, bad)
	v := w.decide(w.server.Host() + "/app/x:1@" + w.image("app/x", "old", "good").Digest().String())
	if v.Pin != "" {
		t.Errorf("audit replaces the digest: %s", v.Pin)
	}
}

// Cached is said only if nothing was fetched.
func TestCachedSaysThatNothingWasFetched(t *testing.T) {
	w := newWorld(t)
	w.use(childPolicy, func(c *engine.Config) { c.Contents = 1; c.TagTTL = time.Hour })
	_, children := w.index("app/m", "1", "linux/amd64")
	w.sign(w.right, children["linux/amd64"])
	w.want(w.server.Host()+"/app/m:1", engine.Allowed)
	w.server.ResetRequests()
	v := w.want(w.server.Host()+"/app/m:1", engine.Allowed)
	if n := len(w.server.Requests()); v.Cached && n > 0 {
		t.Errorf("cached, but %d requests: %v", n, w.server.Requests())
	}
}

// One who has little time does not shorten the answer for others.
func TestShortDeadlineOfOneIsNotTheOthers(t *testing.T) {
	w := newWorld(t)
	ref := w.image("app/x", "1", "x")
	w.sign(w.right, ref)
	gate := make(chan struct{})
	w.use(simple, func(c *engine.Config) { c.Source = gated{c.Source, gate} })
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	req := engine.Request{Image: ref.String(), Request: policy.Request{Point: "cli"}}
	var askers sync.WaitGroup
	askers.Go(func() { w.engine.Decide(ctx, req) })
	time.Sleep(50 * time.Millisecond)
	askers.Go(func() {
		time.Sleep(300 * time.Millisecond)
		close(gate)
	})
	if v := w.engine.Decide(context.Background(), req); !v.Allowed {
		t.Error(v.Reason)
	}
	askers.Wait()
}

// gated is a source whose manifests wait for a gate to open.
type gated struct {
	trust.Source
	gate chan struct{}
}

func (s gated) Manifest(ctx context.Context, ref image.Ref) (trust.Manifest, error) {
	select {
	case <-s.gate:
		return s.Source.Manifest(ctx, ref)
	case <-ctx.Done():
		return trust.Manifest{}, ctx.Err()
	}
}
