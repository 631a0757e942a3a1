package policy

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/assay-dev/assay/image"
)

func TestInScope(t *testing.T) {
	const selector = "selector: {matchLabels: {env: prod}}"
	tests := []struct {
		name, scope string
		in, out     []Request
	}{
		{"nothing said", "", []Request{{}, {Point: "cli"}, {Point: "kubernetes", HasNamespace: true, Namespace: "x"}}, nil},
		{"points", "scope: {points: [docker, cli]}", []Request{{Point: "cli"}, {Point: "docker"}}, []Request{{Point: "kubernetes", HasNamespace: true}, {}}},
		{"names", `scope: {namespaces: {names: [payments, "team-*", "*-eu"]}}`,
			[]Request{
				{HasNamespace: true, Namespace: "payments"}, {HasNamespace: true, Namespace: "team-a"},
				{HasNamespace: true, Namespace: "team-"}, {HasNamespace: true, Namespace: "shop-eu"},
			},
			[]Request{
				{}, {Namespace: "payments"}, {HasNamespace: true}, {HasNamespace: true, Namespace: "payments2"},
				{HasNamespace: true, Namespace: "my-payments"}, {HasNamespace: true, Namespace: "a-team-a"}, {HasNamespace: true, Namespace: "eu"},
			}},
		{"selector", "scope: {namespaces: {" + selector + "}}",
			[]Request{{HasNamespace: true, Namespace: "x", NamespaceLabels: map[string]string{"env": "prod", "a": "b"}}},
			[]Request{
				{NamespaceLabels: map[string]string{"env": "prod"}}, {HasNamespace: true, Namespace: "x"},
				{HasNamespace: true, NamespaceLabels: map[string]string{"env": "dev"}}, {HasNamespace: true, NamespaceLabels: map[string]string{"Env": "prod"}},
			}},
		{"names and selector", "scope: {namespaces: {names: [a], " + selector + "}}",
			[]Request{{HasNamespace: true, Namespace: "a", NamespaceLabels: map[string]string{"env": "prod"}}},
			[]Request{{HasNamespace: true, Namespace: "a"}, {HasNamespace: true, Namespace: "b", NamespaceLabels: map[string]string{"env": "prod"}}}},
		{"points and names", "scope: {points: [kubernetes], namespaces: {names: [a]}}",
			[]Request{{Point: "kubernetes", HasNamespace: true, Namespace: "a"}},
			[]Request{{Point: "api", HasNamespace: true, Namespace: "a"}, {Point: "kubernetes", HasNamespace: true, Namespace: "b"}}},
		{"expressions", `scope: {namespaces: {selector: {matchExpressions: [
        {key: tier, operator: In, values: [a, b]}, {key: disabled, operator: NotIn, values: ["yes"]}, {key: has, operator: Exists}, {key: not, operator: DoesNotExist}]}}}`,
			[]Request{
				{HasNamespace: true, NamespaceLabels: map[string]string{"tier": "a", "has": ""}},
				{HasNamespace: true, NamespaceLabels: map[string]string{"tier": "b", "has": "x", "disabled": "no"}},
			},
			[]Request{
				{HasNamespace: true}, {HasNamespace: true, NamespaceLabels: map[string]string{"tier": "c", "has": ""}},
				{HasNamespace: true, NamespaceLabels: map[string]string{"tier": "a"}},
				{HasNamespace: true, NamespaceLabels: map[string]string{"tier": "a", "has": "", "disabled": "yes"}},
				{HasNamespace: true, NamespaceLabels: map[string]string{"tier": "a", "has": "", "not": ""}},
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse(t, goodHead+"spec:\n  rules: [{images: [\"**\"], deny: x}]\n  "+tt.scope+"\n")
			for _, r := range tt.in {
				if !p.InScope(r) {
					t.Errorf("%+v is not in scope", r)
				}
			}
			for _, r := range tt.out {
				if p.InScope(r) {
					t.Errorf("%+v is in scope", r)
				}
			}
		})
	}
}

// A namespace whose labels nobody knows is not one without labels: it cannot be told whether a selector takes it.
func TestUnclear(t *testing.T) {
	known := map[string]string{}
	tests := []struct {
		name, scope string
		yes, no     []Request
	}{
		{"a selector", "namespaces: {selector: {matchExpressions: [{key: ignored, operator: DoesNotExist}]}}",
			[]Request{{HasNamespace: true, Namespace: "a"}}, []Request{{}, {HasNamespace: true, NamespaceLabels: known}}},
		{"names beside it", "namespaces: {names: [a], selector: {matchLabels: {env: prod}}}",
			[]Request{{HasNamespace: true, Namespace: "a"}}, []Request{{HasNamespace: true, Namespace: "b"}}},
		{"points beside it", "points: [api], namespaces: {selector: {matchLabels: {env: prod}}}",
			[]Request{{HasNamespace: true, Point: "api"}}, []Request{{HasNamespace: true, Point: "cli"}}},
		{"names alone", "namespaces: {names: [a]}", nil, []Request{{HasNamespace: true, Namespace: "a"}}},
		{"nothing", "points: [api]", nil, []Request{{HasNamespace: true, Point: "api"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse(t, goodHead+"spec:\n  rules: [{images: [\"**\"], deny: x}]\n  scope: {"+tt.scope+"}\n")
			for _, r := range tt.yes {
				if !p.Unclear(r) || p.InScope(r) {
					t.Errorf("%+v: got unclear %v, in scope %v", r, p.Unclear(r), p.InScope(r))
				}
			}
			for _, r := range tt.no {
				if p.Unclear(r) {
					t.Errorf("%+v is unclear", r)
				}
			}
		})
	}
}

// T38: a policy cannot slip out of its scope by words that nobody knows, or by a scope that restricts nothing.
func TestT38_UnknownScopeIsRefused(t *testing.T) {
	for _, scope := range []string{
		"{}", "{namespace: [a]}", "{points: [cli], namespace: [a]}", "{points: [everywhere]}", "{points: []}", "{namespaces: {}}", "{namespaces: {names: []}}", "{namespaces: {name: a}}",
		"{namespaces: {selector: {}}}", "{namespaces: {selector: {matchLabel: {a: b}}}}", `{namespaces: {names: ["A B"]}}`,
		"{namespaces: {selector: {matchExpressions: [{key: a, operator: Maybe}]}}}",
	} {
		doc := goodHead + "spec:\n  rules: [{images: [\"**\"], deny: x}]\n  scope: " + scope + "\n"
		if _, err := Parse(Source{Name: "prod.yaml", Data: []byte(doc)}, knownFormats); err == nil {
			t.Errorf("scope: %s was read", scope)
		}
	}
	unknown := Selector{MatchExpressions: []Expression{{Key: "a", Operator: "Maybe"}}}
	if unknown.matches(map[string]string{"a": "b"}) {
		t.Error("an unknown operator holds")
	}
}

func TestMatchGlob(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.StringMatching(`[ab]{0,3}`), 1, 4).Draw(t, "parts")
		fill := rapid.SliceOfN(rapid.StringMatching(`[abc]{0,3}`), len(parts), len(parts)).Draw(t, "fill")
		glob, s := parts[0], parts[0]
		for i, part := range parts[1:] {
			glob, s = glob+"*"+part, s+fill[i]+part
		}
		if !image.Glob(glob, s) {
			t.Fatalf("%q does not fit %q", s, glob)
		}
		if image.Glob(glob, "d"+s) && glob[:1] != "*" || image.Glob(glob, s+"d") && glob[len(glob)-1:] != "*" {
			t.Fatalf("%q with text around it fits %q", s, glob)
		}
	})
}
