package policy

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// crdOptions has what the options of formats are made of.
type crdOptions struct {
	Roots  string            `yaml:"roots" required:"true" pattern:"^PEM" doc:"certificates"`
	MaxAge time.Duration     `yaml:"maxAge"`
	Count  int               `yaml:"count" min:"2"`
	Size   uint32            `yaml:"size"`
	Share  float64           `yaml:"share"`
	Off    bool              `yaml:"off"`
	Lists  []testList        `yaml:"lists"`
	Names  map[string]string `yaml:"names"`
	Later  Section           `yaml:"later" doc:"decoded later"`
	Mode   Mode              `yaml:"mode"`
}

// definitions returns the two definitions as they are written.
func definitions(t *testing.T) []map[string]any {
	t.Helper()
	text, err := CustomResources(map[string]any{"certificate": &crdOptions{}, "sigstore": &testOptions{}})
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for stream := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var one map[string]any
		if err := stream.Decode(&one); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
}

// at walks into mappings, and into the first item of lists.
func at(t *testing.T, v any, keys ...string) map[string]any {
	t.Helper()
	for _, key := range keys {
		if list, ok := v.([]any); ok {
			v = list[0]
		}
		m, ok := v.(map[string]any)
		if !ok || m[key] == nil {
			t.Fatalf("no %s of %v", key, keys)
		}
		v = m[key]
	}
	m, _ := v.(map[string]any)
	return m
}

func schemaOf(t *testing.T, definition map[string]any) map[string]any {
	t.Helper()
	versions := definition["spec"].(map[string]any)["versions"].([]any)
	return at(t, versions[0], "schema", "openAPIV3Schema")
}

func TestCustomResources(t *testing.T) {
	all := definitions(t)
	if len(all) != 2 {
		t.Fatalf("got %d definitions", len(all))
	}
	for i, want := range []string{
		"trustpolicies.assay.dev TrustPolicy Cluster trustpolicies [tp]",
		"namespacetrustpolicies.assay.dev NamespaceTrustPolicy Namespaced namespacetrustpolicies [ntp]",
	} {
		spec := at(t, all[i], "spec")
		names := at(t, spec, "names")
		got := fmt.Sprint(at(t, all[i], "metadata")["name"], " ", names["kind"], " ", spec["scope"], " ", names["plural"], " ", names["shortNames"])
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		properties := at(t, schemaOf(t, all[i]), "properties")
		if list := at(t, properties, "status", "properties", "conditions"); list["x-kubernetes-list-type"] != "map" || fmt.Sprint(list["x-kubernetes-list-map-keys"]) != "[type]" {
			t.Errorf("conditions are %v", list)
		}
		certificate := at(t, properties, "spec", "properties", "authorities", "additionalProperties", "properties", "certificate")
		if fmt.Sprint(certificate["required"]) != "[roots]" || at(t, certificate, "properties", "roots")["description"] != "certificates" {
			t.Errorf("options of a format: %v", certificate)
		}
		if n := walkSchema(t, "", schemaOf(t, all[i])); n < 15 {
			t.Errorf("only %d checks by expressions", n)
		}
	}
}

// inRawString finds the expression of a check by matches.
var inRawString = regexp.MustCompile(`matches\(r'(.*)'\)$`)

// walkSchema wants a structural schema that keeps what it does not know, and counts its checks by expressions.
func walkSchema(t *testing.T, path string, s map[string]any) int {
	t.Helper()
	_, open := s[preserve]
	properties, isObject := s["properties"].(map[string]any)
	switch {
	case s["$ref"] != nil:
		t.Errorf("%s: a reference", path)
	case s["type"] == nil && !open:
		t.Errorf("%s: no type", path)
	case isObject && path != "" && s[preserve] != true:
		t.Errorf("%s: unknown fields are dropped", path)
	case isObject && s["additionalProperties"] != nil, s["additionalProperties"] == false:
		t.Errorf("%s: additionalProperties", path)
	}
	n := 0
	checks, _ := s[validations].([]any)
	for _, c := range checks {
		n++
		check := c.(map[string]any)
		message := check["message"].(string)
		if !strings.Contains(message, "; ") && !strings.Contains(message, ": ") || strings.Contains(message, "%") {
			t.Errorf("%s: the message %q has no next step", path, message)
		}
		if m := inRawString.FindStringSubmatch(check["rule"].(string)); m != nil {
			if _, err := regexp.Compile(m[1]); err != nil || s["maxLength"] == nil {
				t.Errorf("%s: %s: %v, at most %v characters", path, m[1], err, s["maxLength"])
			}
		}
	}
	for name, inner := range properties {
		n += walkSchema(t, path+"."+name, inner.(map[string]any))
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if inner, ok := s[key].(map[string]any); ok {
			n += walkSchema(t, path+"[]", inner)
		}
	}
	return n
}

func TestT38_DefinitionKeepsTenantsToTheirNamespace(t *testing.T) {
	for i, definition := range definitions(t) {
		scope := at(t, schemaOf(t, definition), "properties", "spec", "properties", "scope")
		if forbids := strings.Contains(fmt.Sprint(scope[validations]), "!has(self.namespaces)"); forbids != (i == 1) {
			t.Errorf("definition %d: scope.namespaces is forbidden: %v", i, forbids)
		}
	}
}

func TestCustomResourcesOfFormatsThatAreNone(t *testing.T) {
	type recursive struct {
		Self *crdLoop `yaml:"self"`
	}
	for name, bad := range map[string]any{"no pointer": crdOptions{}, "nil": nil, "a channel": &struct{ C chan int }{}, "itself": &recursive{}} {
		if _, err := CustomResources(map[string]any{"certificate": bad}); err == nil {
			t.Errorf("%s: definitions were made", name)
		}
	}
}

// crdLoop contains itself.
type crdLoop struct {
	Again []crdLoop `yaml:"again"`
}

func TestTextsHaveALength(t *testing.T) {
	for field, max := range map[string]int{"deny": 2048, "allow": 2048} {
		doc := func(n int) []byte {
			return []byte(goodHead + "spec: {rules: [{images: [\"**\"], " + field + ": \"" + strings.Repeat("ü", n) + "\"}]}\n")
		}
		if _, err := Parse(Source{Name: "x.yaml", Data: doc(max)}, knownFormats); err != nil {
			t.Errorf("%s of %d characters: %v", field, max, err)
		}
		_, err := Parse(Source{Name: "x.yaml", Data: doc(max + 1)}, knownFormats)
		if want := "spec.rules[0]." + field + ": 2049 characters, at most 2048 are allowed; shorten it"; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
