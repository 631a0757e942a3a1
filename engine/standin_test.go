package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// asked is the engine's answer about an image in a namespace.
func asked(e *engine.Engine, namespace string) engine.Verdict {
	req := engine.Request{Image: "registry.example/shop/app:1"}
	req.Point, req.Namespace, req.HasNamespace = "kubernetes", namespace, true
	return e.Decide(context.Background(), req)
}

func objectSource(kind, metadata, spec string) policy.Source {
	return policy.Source{Name: kind, Object: true, Data: []byte(`{"apiVersion":"assay.dev/v1","kind":"` + kind + `","metadata":` + metadata + `,"spec":` + spec + `}`)}
}

// T38: an object that cannot be used, and of which nothing better is known, opens nothing: not by being left out, and not by its mode.
func TestT38_AnUnusablePolicyOpensNothing(t *testing.T) {
	why := errors.New("spec.rules: missing")
	allows, err := policy.Parse(policy.Source{Name: "allows.yaml", Data: []byte("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: allows}\nspec:\n  rules: [{images: [\"**\"], allow: for the test}]\n")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const broken = `"rules":7`
	for _, row := range []struct {
		name       string
		source     policy.Source
		namespace  string // of the object
		beside     bool   // a policy that allows
		shop, bank engine.Outcome
		allowed    string // namespaces in which the image may run
	}{
		{"alone", objectSource("TrustPolicy", `{"name":"x"}`, `{`+broken+`}`), "", false, engine.CouldNotTell, engine.CouldNotTell, ""},
		{"beside one that allows", objectSource("TrustPolicy", `{"name":"x"}`, `{`+broken+`}`), "", true, engine.CouldNotTell, engine.CouldNotTell, ""},
		{"with a scope", objectSource("TrustPolicy", `{"name":"x"}`, `{"scope":{"namespaces":{"names":["shop"]}},`+broken+`}`), "", true, engine.CouldNotTell, engine.Allowed, "bank"},
		{"with a scope that cannot be read", objectSource("TrustPolicy", `{"name":"x"}`, `{"scope":{"namespaces":{"names":["sh op"]}}}`), "", true, engine.CouldNotTell, engine.CouldNotTell, ""},
		{"with a scope in another spelling", objectSource("TrustPolicy", `{"name":"x"}`, `{"Scope":{"namespaces":{"names":["shop"]}}}`), "", true, engine.CouldNotTell, engine.CouldNotTell, ""},
		{"that audits, alone", objectSource("TrustPolicy", `{"name":"x"}`, `{"mode":"audit",`+broken+`}`), "", false, engine.CouldNotTell, engine.CouldNotTell, ""},
		{"that audits, beside one that allows", objectSource("TrustPolicy", `{"name":"x"}`, `{"mode":"audit",`+broken+`}`), "", true, engine.Allowed, engine.Allowed, "shop bank"},
		{"with an unknown mode", objectSource("TrustPolicy", `{"name":"x"}`, `{"mode":"off"}`), "", true, engine.CouldNotTell, engine.CouldNotTell, ""},
		{"of a namespace", objectSource("NamespaceTrustPolicy", `{"name":"x","namespace":"shop"}`, `{`+broken+`}`), "shop", true, engine.CouldNotTell, engine.Allowed, "bank"},
		{"of a namespace, alone", objectSource("NamespaceTrustPolicy", `{"name":"x","namespace":"shop"}`, `{`+broken+`}`), "shop", false, engine.Denied, engine.Denied, ""},
		{"no JSON", policy.Source{Name: "x", Object: true, Data: []byte("{")}, "", true, engine.CouldNotTell, engine.CouldNotTell, ""},
		{"too large", policy.Source{Name: "x", Object: true, Data: make([]byte, policy.MaxObject+1)}, "shop", true, engine.CouldNotTell, engine.Allowed, "bank"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := policy.Parse(row.source, nil); err == nil {
				t.Fatal("the document can be used")
			}
			policies := []*policy.Policy{policy.StandIn(row.source, row.namespace, "x", why)}
			if row.beside {
				policies = append(policies, allows)
			}
			w := newWorld(t)
			e, err := engine.New(engine.Config{Formats: []trust.Format{&countedFormat{}}, Source: w.client, Tags: w.client, Policies: policies})
			if err != nil {
				t.Fatal(err)
			}
			for namespace, want := range map[string]engine.Outcome{"shop": row.shop, "bank": row.bank} {
				v := asked(e, namespace)
				if v.Outcome != want || v.Allowed != strings.Contains(row.allowed, namespace) {
					t.Errorf("%s: got %v, allowed %v: %s", namespace, v.Outcome, v.Allowed, v.Reason)
				}
				if v.Outcome == engine.CouldNotTell && (!errors.Is(v.Err(), why) || !strings.Contains(v.Reason, "x cannot be used: spec.rules: missing")) {
					t.Errorf("%s: %s", namespace, v.Reason)
				}
			}
		})
	}
}

func TestNoPolicyAtAll(t *testing.T) {
	w := newWorld(t)
	e, err := engine.New(engine.Config{Source: w.client, Tags: w.client})
	if err != nil {
		t.Fatal(err)
	}
	if v := asked(e, "shop"); v.Allowed || v.Outcome != engine.Denied || !strings.Contains(v.Reason, "a TrustPolicy has to be applied") {
		t.Errorf("got %v: %s", v.Outcome, v.Reason)
	}
}
