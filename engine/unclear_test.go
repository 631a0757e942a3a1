package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
)

// Whether a policy speaks about a namespace of which nobody knows the labels cannot be told, and a policy that could forbid it must not be
// passed by not telling them.
func TestT35_LabelsThatNobodyKnows(t *testing.T) {
	const (
		allows  = "  rules: [{images: ['**'], allow: for the test}]\n"
		denies  = "  rules: [{images: ['**'], deny: for the test}]\n"
		bySome  = "  scope: {namespaces: {selector: {matchLabels: {env: prod}}}}\n"
		byOther = "  scope: {namespaces: {selector: {matchExpressions: [{key: ignored, operator: DoesNotExist}]}}}\n"
		byName  = "  scope: {namespaces: {names: [bank], selector: {matchLabels: {env: prod}}}}\n"
		warns   = "  mode: warn\n"
	)
	shop := policy.Request{Namespace: "shop", HasNamespace: true}
	prod := policy.Request{Namespace: "shop", HasNamespace: true, NamespaceLabels: map[string]string{"env": "prod"}}
	none := policy.Request{Namespace: "shop", HasNamespace: true, NamespaceLabels: map[string]string{}}
	tests := []struct {
		name  string
		specs []string
		policy.Request
		want engine.Outcome
	}{
		{"one that would allow", []string{bySome + allows}, shop, engine.CouldNotTell},
		{"one that would take what has no labels", []string{byOther + allows}, shop, engine.CouldNotTell},
		{"one that could forbid it", []string{allows, bySome + denies}, shop, engine.CouldNotTell},
		{"another denies anyway", []string{denies, bySome + allows}, shop, engine.Denied},
		{"one that only warns, beside another", []string{allows, bySome + warns + denies}, shop, engine.Allowed},
		{"one that only warns, alone", []string{bySome + warns + denies}, shop, engine.CouldNotTell},
		{"one about another name", []string{allows, byName + denies}, shop, engine.Allowed},
		{"known labels", []string{bySome + allows}, prod, engine.Allowed},
		{"known to have none", []string{byOther + allows}, none, engine.Allowed},
		{"no namespace", []string{allows, bySome + denies}, policy.Request{}, engine.Allowed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := scriptedEngine(t, test.specs...)
			v := e.Decide(context.Background(), engine.Request{Image: "r.example/app@" + fixedDigest, Request: test.Request})
			if v.Outcome != test.want || v.Allowed != (test.want == engine.Allowed) {
				t.Errorf("got %+v, want %v", v, test.want)
			}
			if test.want == engine.CouldNotTell && (!strings.Contains(v.Reason, "labels") || v.Err() == nil) {
				t.Errorf("got %q", v.Reason)
			}
		})
	}
}
