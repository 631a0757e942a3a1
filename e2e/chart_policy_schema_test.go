//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// What stands under policies is a policy's spec, and is looked at before anything is installed: the schema of the values has that of policies in
// it, as the program prints it.
func TestChartSchemaHasThatOfPolicies(t *testing.T) {
	printed, err := exec.Command("../bin/assay", "policy", "schema").Output()
	if err != nil {
		t.Fatalf("%v: make build makes it", err)
	}
	var program struct {
		Defs       map[string]any `json:"$defs"`
		Properties struct{ Spec map[string]any }
	}
	if err := json.Unmarshal(printed, &program); err != nil {
		t.Fatal(err)
	}
	delete(program.Properties.Spec, "description")
	file := filepath.Join(chartFolder, "values.schema.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	policies := schema["properties"].(map[string]any)["policies"].(map[string]any)
	if reflect.DeepEqual(policies["additionalProperties"], any(program.Properties.Spec)) && reflect.DeepEqual(schema["$defs"], any(program.Defs)) {
		return
	}
	if os.Getenv(updateGolden) == "" {
		t.Fatalf("%s has another schema of policies than the program; %s=1 writes it anew", file, updateGolden)
	}
	policies["additionalProperties"], schema["$defs"] = program.Properties.Spec, program.Defs
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(schema); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A mistake in a policy is named by its place.
func TestChartRefusesPolicies(t *testing.T) {
	for _, row := range []struct{ name, set, want string }{
		{"a field that is not there", `policies={"shop":{"rules":[{"images":["**"],"denny":"x"}]}}`, "/policies/shop/rules/0"},
		{"a word that is not there", `policies={"shop":{"mode":"enforced","rules":[{"images":["**"],"deny":"x"}]}}`, "/policies/shop/mode"},
		{"a whole document", `policies={"shop":{"apiVersion":"assay.dev/v1","kind":"TrustPolicy","spec":{}}}`, "apiVersion"},
		{"a name that an object cannot have", `policies={"Shop":{"rules":[{"images":["**"],"deny":"x"}]}}`, "policies.Shop"},
		{"a name that a file cannot have", `policies={"shop":{"rules":[{"images":["**"],"deny":"x"}]}},policyFiles={"a/b":"x"}`, "policyFiles.a/b"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, errs, err := helm(t, "template", "guard", chartFolder, "--set-json", row.set)
			if err == nil || !strings.Contains(errs, row.want) {
				t.Errorf("got %v %s, want %q", err, errs, row.want)
			}
		})
	}
}
