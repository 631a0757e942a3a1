package engine_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust/certificate"
	"github.com/assay-dev/assay/trust/formats"
	"github.com/assay-dev/assay/trust/sigstore"
)

// ofNamespace parses a NamespaceTrustPolicy of a namespace.
func (w *world) ofNamespace(namespace, name, spec string) *policy.Policy {
	w.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal(w.document(name, spec), &doc); err != nil {
		w.Fatal(err)
	}
	doc["kind"] = "NamespaceTrustPolicy"
	doc["metadata"] = map[string]any{"name": name, "namespace": namespace}
	data, err := json.Marshal(doc)
	if err != nil {
		w.Fatal(err)
	}
	p, err := policy.Parse(policy.Source{Name: "NamespaceTrustPolicy/" + namespace + "/" + name, Data: data, Object: true}, []string{certificate.Name, sigstore.Name})
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// useAll starts an engine with policies.
func (w *world) useAll(policies ...*policy.Policy) {
	w.use(simple, func(c *engine.Config) { c.Policies = policies })
}

// decideIn decides about an image that is to run in a namespace.
func (w *world) decideIn(namespace, name string) engine.Verdict {
	w.Helper()
	return w.engine.Decide(context.Background(), engine.Request{Image: name, Request: policy.Request{Point: "kubernetes", HasNamespace: true, Namespace: namespace}})
}

func (w *world) wantIn(namespace, name string, outcome engine.Outcome) engine.Verdict {
	w.Helper()
	v := w.decideIn(namespace, name)
	if v.Outcome != outcome || v.Allowed != (outcome == engine.Allowed) {
		w.Fatalf("%s in %s: got %s (allowed %v): %s; want %s", name, namespace, v.Outcome, v.Allowed, v.Reason, outcome)
	}
	return v
}

const allowsAll = "\n  rules:\n  - images: [\"**\"]\n    allow: ours\n"

func TestT38_TenantsAllowHasNoEffect(t *testing.T) {
	for name, cluster := range map[string]string{
		"no policy of the cluster":         "",
		"one that is out of scope":         "\n  scope: {namespaces: {names: [other]}}" + allowsAll,
		"one of another point":             "\n  scope: {points: [docker]}" + allowsAll,
		"one without an opinion":           "\n  unmatched: ignore\n  rules:\n  - images: [\"elsewhere.example/**\"]\n    allow: x\n",
		"one whose exception is over":      "\n  unmatched: ignore\n  rules:\n  - images: [\"**\"]\n    allow: x\n    until: 2020-01-01T00:00:00Z\n",
		"one that denies":                  "\n  rules:\n  - images: [\"**\"]\n    deny: not here\n",
		"one that denies what is unsigned": simple,
	} {
		for _, tenant := range []string{allowsAll, ruleOf("enforce", "other", ""), ruleOf("audit", "other", ""), "\n  mode: warn" + allowsAll} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				ref := w.image("app/x", "1", "x")
				w.sign(w.other, ref)
				policies := []*policy.Policy{w.ofNamespace("payments", "own", tenant)}
				if cluster != "" {
					policies = append(policies, w.parse("cluster", cluster))
				}
				w.useAll(policies...)
				w.server.ResetRequests()
				v := w.wantIn("payments", ref.String(), engine.Denied)
				if v.Pin != "" || v.Policy == "payments/own" {
					t.Errorf("got pin %q by policy %q", v.Pin, v.Policy)
				}
				w.wantIn("other", "elsewhere.example2/x", engineOutcome(cluster))
				if !strings.Contains(cluster, "require") {
					w.wantRequests(0)
				}
			})
		}
	}
}

// engineOutcome is what a policy of the cluster alone says of an image elsewhere.
func engineOutcome(cluster string) engine.Outcome {
	if strings.Contains(cluster, "names: [other]") {
		return engine.Allowed
	}
	return engine.Denied
}

func TestT38_TenantIsNotHeardAlone(t *testing.T) {
	w := newWorld(t)
	ref := w.image("app/x", "1", "x")
	w.sign(w.right, ref)
	w.useAll(w.ofNamespace("payments", "own", simple))
	w.server.ResetRequests()
	v := w.wantIn("payments", ref.String(), engine.Denied)
	if want := "no policy of the cluster speaks about " + ref.String() + ", and payments/own can only tighten"; v.Reason != want {
		t.Errorf("got  %s\nwant %s", v.Reason, want)
	}
	w.wantRequests(0)
}

func TestT38_TenantTightens(t *testing.T) {
	w := newWorld(t)
	both, one := w.image("app/both", "1", "both"), w.image("app/one", "1", "one")
	w.sign(w.right, one)
	w.sign(w.right, both)
	w.useAll(w.ofNamespace("payments", "own", "\n  rules:\n  - images: [\"%HOST%/app/both\"]\n    allow: ours\n"), w.parse("cluster", simple))
	v := w.wantIn("payments", both.String(), engine.Allowed)
	if v.Policy != "cluster" || len(v.Also) != 1 || v.Also[0].Policy != "payments/own" || v.Also[0].Rule != "rules[0]" {
		t.Errorf("got policy %q and %+v", v.Policy, v.Also)
	}
	if v := w.wantIn("payments", one.String(), engine.Denied); v.Policy != "payments/own" {
		t.Errorf("denied by %q: %s", v.Policy, v.Reason)
	}
	w.wantIn("tools", one.String(), engine.Allowed)
	w.useAll(w.parse("everywhere", simple), w.ofNamespace("payments", "own", simple))
	w.want(one.String(), engine.Allowed) // no namespace at all
}

// A tenant's word about modes and digests changes nothing of what the cluster's policies decided.
func TestT38_TenantCannotWeaken(t *testing.T) {
	for _, extra := range []string{"", "    digest: keep\n", "    digest: required\n", "    digest: insecureReplace\n", "    platform: linux/amd64\n"} {
		for _, mode := range []string{"enforce", "warn", "audit"} {
			t.Run(mode+extra, func(t *testing.T) {
				w := newWorld(t)
				good, bad := w.image("app/good", "1", "good"), w.image("app/bad", "1", "bad")
				w.sign(w.right, good)
				w.sign(w.other, bad)
				tenant := w.ofNamespace("payments", "own", ruleOf(mode, "{any: [right, other]}", extra))
				w.useAll(tenant, w.parse("cluster", ruleOf("enforce", "right", "")))
				w.wantIn("payments", w.server.Host()+"/app/bad:1", engine.Denied)
				w.wantIn("payments", bad.String(), engine.Denied)
				v := w.decideIn("payments", w.server.Host()+"/app/good:1")
				if v.Allowed && (!strings.HasSuffix(v.Pin, good.Digest().String()) || v.Mode != "enforce" || v.Policy != "cluster") {
					t.Errorf("the pin is %q in mode %s by %s", v.Pin, v.Mode, v.Policy)
				}
				if must := !strings.Contains(extra, "required") || mode != "enforce"; v.Allowed != must {
					t.Errorf("allowed: %v, %s", v.Allowed, v.Reason)
				}
				w.useAll(tenant, w.parse("cluster", ruleOf("enforce", "right", "    digest: required\n")))
				w.wantIn("payments", w.server.Host()+"/app/good:1", engine.Denied)
			})
		}
	}
}

// A tenant's policy does not choose what runs, whatever the cluster's says and however strictly.
func TestT38_TenantReplacesNothing(t *testing.T) {
	for name, cluster := range map[string]string{
		"enforced":    ruleOf("enforce", "right", ""),
		"warned":      ruleOf("warn", "right", ""),
		"audited":     ruleOf("audit", "right", ""),
		"allowed":     allowsAll,
		"by its name": "\n  rules:\n  - images: [\"%HOST%/app/x:1\", \"**\"]\n    allow: scanned\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			asked := w.image("app/x", "old", "asked")
			w.sign(w.right, asked)
			other := w.image("app/x", "1", "other")
			w.sign(w.other, other)
			w.useAll(w.ofNamespace("payments", "own", ruleOf("enforce", "other", "    digest: insecureReplace\n")), w.parse("cluster", cluster))
			name := w.server.Host() + "/app/x:1@" + asked.Digest().String()
			v := w.wantIn("payments", name, engine.Denied)
			if v.Pin != "" || !strings.Contains(v.Reason, "can only tighten") {
				t.Errorf("got pin %q: %s", v.Pin, v.Reason)
			}
			w.wantIn("tools", name, engine.Allowed)
		})
	}
	t.Run("where the cluster replaces, it may demand more", func(t *testing.T) {
		w := newWorld(t)
		asked, signed := w.image("app/x", "old", "asked"), w.image("app/x", "1", "signed")
		w.sign(w.right, signed)
		w.useAll(w.ofNamespace("payments", "own", ruleOf("enforce", "{any: [right, other]}", "    digest: insecureReplace\n")),
			w.parse("cluster", ruleOf("enforce", "right", "    digest: insecureReplace\n")))
		v := w.wantIn("payments", w.server.Host()+"/app/x:1@"+asked.Digest().String(), engine.Allowed)
		if v.Digest != signed.Digest() {
			t.Errorf("got %s", v.Digest)
		}
	})
}

func TestT38_TenantsChild(t *testing.T) {
	w := newWorld(t)
	index, children := w.index("app/multi", "1", "linux/amd64", "linux/arm64")
	amd := children["linux/amd64"]
	w.sign(w.other, amd)
	tenant := w.ofNamespace("payments", "own", ruleOf("enforce", "other", "    platform: linux/amd64\n"))
	w.useAll(tenant, w.parse("cluster", ruleOf("enforce", "right", "")))
	w.wantIn("payments", index.String(), engine.Denied) // nobody whom the cluster trusts vouches for anything
	w.clock.advance(time.Hour)
	w.sign(w.right, index)
	w.sign(w.other, amd)
	v := w.wantIn("payments", w.server.Host()+"/app/multi:1", engine.Allowed)
	if v.Digest != amd.Digest() || !v.Child || !strings.HasSuffix(v.Pin, amd.Digest().String()) {
		t.Errorf("got digest %s, child %v, pin %s; the tenant's word is for %s alone", v.Digest, v.Child, v.Pin, amd.Digest())
	}
	w.useAll(tenant, w.parse("cluster", "\n  rules:\n  - images: [\"%HOST%/app/multi@"+amd.Digest().String()+"\"]\n    deny: CVE\n  - images: [\"**\"]\n    allow: x\n"))
	w.wantIn("payments", index.String(), engine.Denied)
}

// T38: a verdict that allows is the cluster's, also where an authority of the tenant has the name of one of the cluster's, or audits.
func TestT38_TenantsWordIsNotTheClusters(t *testing.T) {
	w := newWorld(t)
	ref := w.image("app/x", "1", "x")
	w.sign(w.other, ref)
	fake := strings.Replace(simple, "right: {certificate: {roots: %RIGHT%}}", "right: {certificate: {roots: %OTHER%}}", 1)
	for _, mode := range []string{"enforce", "warn", "audit"} {
		w.useAll(w.ofNamespace("payments", "own", "\n  mode: "+mode+fake), w.parse("cluster", allowsAll))
		v := w.wantIn("payments", ref.String(), engine.Allowed)
		if v.Policy != "cluster" || len(v.Authorities) > 0 {
			t.Errorf("%s: the verdict is of policy %s, by %+v", mode, v.Policy, v.Authorities)
		}
		w.useAll(w.ofNamespace("payments", "own", "\n  mode: "+mode+fake), w.parse("cluster", simple))
		if v := w.wantIn("payments", ref.String(), engine.Denied); v.Policy != "cluster" {
			t.Errorf("%s: the denial is of policy %s", mode, v.Policy)
		}
	}
	w.useAll(w.ofNamespace("payments", "own", ruleOf("warn", "right", "")), w.parse("cluster", "\n  mode: audit"+simple))
	v := w.decideIn("payments", ref.String())
	if !v.Allowed || v.Policy != "cluster" || v.Mode != "audit" || v.Outcome != engine.Denied || len(v.Also) != 1 || len(v.Warnings) != 1 {
		t.Errorf("what the tenant warns of hides what the cluster's policy audits: %+v", v)
	}
}

func TestT38_NamesOfTenantsPoliciesAreTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.useAll(w.parse("own", simple), w.ofNamespace("payments", "own", simple), w.ofNamespace("tools", "own", simple))
	_, err := engine.New(engine.Config{Source: w.client, Tags: w.client, Formats: formats.All(formats.Config{}), Policies: []*policy.Policy{
		w.ofNamespace("payments", "own", simple), w.ofNamespace("payments", "own", allowsAll),
	}})
	if err == nil || !strings.Contains(err.Error(), `"payments/own" has the name of the one in`) {
		t.Errorf("two of one name: got %v", err)
	}
}

func TestT38_TenantsSectionsSayTheirNamespace(t *testing.T) {
	w := newWorld(t)
	const spec = `
  authorities: {ci: {sigstore: {key: {kms: "hashivault://release"}}}}
  rules: [{images: ["**"], require: ci}]
`
	_, err := engine.New(engine.Config{Source: w.client, Tags: w.client, Formats: formats.All(formats.Config{}), Policies: []*policy.Policy{w.ofNamespace("payments", "own", spec)}})
	want := "NamespaceTrustPolicy/payments/own: spec.authorities.ci.sigstore.key.kms: a policy of a namespace cannot use"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// exception is a policy that allows one image in one namespace for a while.
func exception(namespace, digest, until string) string {
	return "\n  scope: {namespaces: {names: [" + namespace + "]}}\n  rules:\n  - images: [\"%HOST%/app/x@" + digest + "\"]\n    allow: until the vendor signs\n    until: " + until + "\n"
}

// T39: an exception holds for one digest, in one namespace, until its end, and two halves make no whole.
func TestT39_Exceptions(t *testing.T) {
	w := newWorld(t)
	ref, second := w.image("app/x", "1", "x"), w.image("app/x", "2", "y")
	digest, end := ref.Digest().String(), w.clock.t.Add(time.Hour).UTC().Format(time.RFC3339)
	w.useAll(w.parse("exception", exception("payments", digest, end)))
	w.wantIn("payments", ref.String(), engine.Allowed)
	w.wantIn("payments", w.server.Host()+"/app/x:1", engine.Allowed)
	if v := w.wantIn("payments", w.server.Host()+"/app/x:1", engine.Allowed); !strings.HasSuffix(v.Pin, digest) {
		t.Errorf("a tag is not pinned to the digest of the exception: %q", v.Pin)
	}
	w.wantIn("payments", second.String(), engine.Denied)
	w.wantIn("tools", ref.String(), engine.Denied)
	w.want(ref.String(), engine.Denied)
	t.Run("expired", func(t *testing.T) {
		w.clock.advance(time.Hour)
		w.wantIn("payments", ref.String(), engine.Denied)
		w.clock.advance(-time.Hour)
	})
	t.Run("the right digest elsewhere and another one here", func(t *testing.T) {
		w.useAll(w.parse("a", exception("tools", digest, end)), w.parse("b", exception("payments", second.Digest().String(), end)))
		w.wantIn("payments", ref.String(), engine.Denied)
		w.wantIn("tools", second.String(), engine.Denied)
	})
	t.Run("from one of two policies that both deny", func(t *testing.T) {
		w.useAll(w.parse("a", exception("payments", digest, end)), w.parse("b", simple))
		w.wantIn("payments", ref.String(), engine.Denied)
	})
	t.Run("one over, the other not yet written for it", func(t *testing.T) {
		past := w.clock.t.Add(-time.Minute).UTC().Format(time.RFC3339)
		w.useAll(w.parse("a", exception("payments", digest, past)), w.parse("b", exception("payments", second.Digest().String(), end)))
		w.wantIn("payments", ref.String(), engine.Denied)
	})
	t.Run("each policy excepts what the other denies", func(t *testing.T) {
		w.useAll(w.parse("a", exception("payments", digest, end)), w.parse("b", exception("payments", second.Digest().String(), end)))
		w.wantIn("payments", ref.String(), engine.Denied)
		w.wantIn("payments", second.String(), engine.Denied)
	})
	t.Run("a tenant's own", func(t *testing.T) {
		own := "\n  rules:\n  - images: [\"%HOST%/app/x@" + digest + "\"]\n    allow: x\n    until: " + end + "\n"
		w.useAll(w.ofNamespace("payments", "own", own), w.parse("b", simple))
		w.wantIn("payments", ref.String(), engine.Denied)
	})
}
