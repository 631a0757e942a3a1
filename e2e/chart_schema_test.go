//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

type schemaNode struct {
	Properties map[string]schemaNode
	AnyOf      []schemaNode
}

// schemaPaths are the paths of all values that the chart has, without the parts of what is left to others.
func schemaPaths(t *testing.T, schema []byte) []string {
	t.Helper()
	var root schemaNode
	if err := json.Unmarshal(schema, &root); err != nil {
		t.Fatal(err)
	}
	var paths []string
	var walk func(prefix string, n schemaNode)
	walk = func(prefix string, n schemaNode) {
		for name, child := range n.Properties {
			path := prefix + name
			if len(child.Properties) == 0 {
				paths = append(paths, path)
			}
			walk(path+".", child)
		}
	}
	delete(root.Properties, "global") // Helm's own
	walk("", root)
	slices.Sort(paths)
	return paths
}

// What values.yaml has, the schema has, so that no default is refused and none is missing from the page.
func TestChartDefaultsAreInTheSchema(t *testing.T) {
	schema, err := os.ReadFile(filepath.Join(chartFolder, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(chartFolder, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var root schemaNode
	if err := json.Unmarshal(schema, &root); err != nil {
		t.Fatal(err)
	}
	var defaults map[string]any
	if err := yaml.Unmarshal(text, &defaults); err != nil {
		t.Fatal(err)
	}
	for name := range root.Properties {
		if _, found := defaults[name]; !found && name != "opa" && name != "global" {
			t.Errorf("values.yaml lacks %s", name)
		}
	}
	for name := range defaults {
		if _, found := root.Properties[name]; !found {
			t.Errorf("the schema lacks %s", name)
		}
	}
}
