package engine_test

import (
	"testing"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// Nothing is stopped only where somebody speaks, and nobody who enforces does or might.
func TestLenient(t *testing.T) {
	parse := func(name, spec string) *policy.Policy {
		p, err := policy.Parse(policy.Source{Name: name, Data: []byte("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: " + name + "}\nspec: {" + spec + "rules: [{images: [\"**\"], allow: all}]}")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	audit, warn := parse("audit", "mode: audit, "), parse("warn", "mode: warn, ")
	enforce, other := parse("enforce", ""), parse("other", "scope: {points: [docker]}, ")
	labels := parse("labels", "scope: {namespaces: {selector: {matchLabels: {a: b}}}}, ")
	at := func(labels map[string]string) policy.Request {
		return policy.Request{Point: "spire", Namespace: "shop", HasNamespace: true, NamespaceLabels: labels}
	}
	for name, row := range map[string]struct {
		policies []*policy.Policy
		request  policy.Request
		want     bool
	}{
		"nobody":                   {nil, at(nil), false},
		"audit":                    {[]*policy.Policy{audit}, at(nil), true},
		"warn and another point":   {[]*policy.Policy{warn, other}, at(nil), true},
		"another point alone":      {[]*policy.Policy{other}, at(nil), false},
		"audit beside enforce":     {[]*policy.Policy{audit, enforce}, at(nil), false},
		"labels that do not fit":   {[]*policy.Policy{audit, labels}, at(map[string]string{}), true},
		"labels that fit":          {[]*policy.Policy{audit, labels}, at(map[string]string{"a": "b"}), false},
		"labels that nobody knows": {[]*policy.Policy{audit, labels}, at(nil), false},
	} {
		e, err := engine.New(engine.Config{Policies: row.policies, Formats: []trust.Format{}, Source: noRegistry{}, Tags: noRegistry{}})
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Lenient(row.request); got != row.want {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}
