package main

import (
	"maps"
	"strings"
	"testing"
)

func TestNamespaceLabels(t *testing.T) {
	for _, row := range []struct {
		labels string
		given  bool
		want   map[string]string
		err    string
	}{
		{"", false, nil, ""},
		{"", true, map[string]string{"kubernetes.io/metadata.name": "shop"}, ""},
		{"diawh=enabled,a.example/b=", true, map[string]string{"kubernetes.io/metadata.name": "shop", "diawh": "enabled", "a.example/b": ""}, ""},
		{"kubernetes.io/metadata.name=shop", true, map[string]string{"kubernetes.io/metadata.name": "shop"}, ""},
		{"kubernetes.io/metadata.name=bank", true, nil, "has two values"},
		{"diawh", true, nil, "want KEY=VALUE"},
		{"a=b, c=d", true, nil, "want KEY=VALUE"},
		{"=b", true, nil, "want KEY=VALUE"},
		{"<none>", true, nil, "want KEY=VALUE"},
	} {
		o := verifyOptions{point: "kubernetes", namespace: "shop", labels: row.labels, labelsGiven: row.given}
		got, err := o.request()
		switch {
		case row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)):
			t.Errorf("%q: got error %v, want %s", row.labels, err, row.err)
		case row.err == "" && (err != nil || !maps.Equal(got.NamespaceLabels, row.want) || (got.NamespaceLabels == nil) != (row.want == nil)):
			t.Errorf("%q: got %v, error %v, want %v", row.labels, got.NamespaceLabels, err, row.want)
		}
	}
	o := verifyOptions{labels: "a=b", labelsGiven: true}
	if _, err := o.request(); err == nil {
		t.Error("labels of no namespace were taken")
	}
}
