package policy

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// plainValue is a node as the JSON value that an editor checks.
func plainValue(n *yaml.Node) any {
	switch {
	case n.Kind == yaml.DocumentNode:
		return plainValue(n.Content[0])
	case n.Kind == yaml.AliasNode:
		return plainValue(n.Alias)
	case n.Kind == yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plainValue(n.Content[i+1])
		}
		return m
	case n.Kind == yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, plainValue(item))
		}
		return list
	case n.Tag == "!!null":
		return nil
	case n.Tag == "!!bool":
		return strings.EqualFold(n.Value, "true")
	case n.Tag == "!!int", n.Tag == "!!float":
		return json.Number(n.Value)
	}
	return n.Value
}

// compileSchema compiles the schema, in which every format takes whatever a mapping can hold.
func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	formats := map[string]any{}
	for _, name := range knownFormats {
		formats[name] = &struct{}{}
	}
	text, err := Schema(formats)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range knownFormats {
		doc.(map[string]any)["$defs"].(map[string]any)["format."+name] = map[string]any{"type": "object"}
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(schemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(schemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// validDocuments are documents that the parser and the schema take.
func validDocuments(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{"every field": fullDocument, "images made here": localDocument, "the least": goodHead + goodRule, "a section": sectionDocument}
	for name, spec := range map[string]string{
		"revoked by any of the four": `{rules: [{images: ["**"], deny: x}], revoked: [{key: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}, {serial: "4f:a2", issuer: CN=a}, {identity: {issuer: a, subject: b}}]}`,
		"expressions only":           `{rules: [{imagesRegExp: ['a\.example/x'], deny: x}]}`,
		"nested requirements":        `{authorities: {a: {certificate: {}}, b: {sigstore: {}}}, rules: [{images: ["**"], require: [a, {any: [b, {atLeast: 1, of: [a, [b]]}]}]}]}`,
		"an instant with a fraction": `{rules: [{images: ["**"], deny: x, until: 2027-01-01T00:00:00.5+02:00}]}`,
		"labels without a value":     `{scope: {namespaces: {selector: {matchLabels: {a: ""}, matchExpressions: [{key: a, operator: In, values: [""]}]}}}, rules: [{images: ["**"], deny: x}]}`,
		"a label without a value":    `{rules: [{local: {labels: {a: ""}}, deny: x}]}`,
		"scope by points":            `{scope: {points: [spire]}, rules: [{images: ["**"], deny: x}]}`,
	} {
		docs[name] = goodHead + "spec: " + spec + "\n"
	}
	examples, err := filepath.Glob("../examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range examples {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte("kind: "+kind)) {
			docs[file] = string(data)
		}
	}
	return docs
}

// parserOnly are the cases of testdata/broken.txt that a schema cannot know to be broken: they need other places of the document, a
// look into a text, or the YAML itself.
var parserOnly = map[string]bool{
	"only comments": true, "duplicate keys": true, "two documents": true, "an empty second document": true, "unknown authorities": true,
	"unknown authority where there are none": true, "an authority twice in one list": true, "a requirement that is too deep": true,
	"more authorities than a rule may require": true, "anchor and alias": true, "tags": true,
}

func TestSchemaAgreesWithTheParser(t *testing.T) {
	schema := compileSchema(t)
	valid := func(t *testing.T, doc string) error {
		t.Helper()
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(doc), &n); err != nil {
			return err
		}
		if n.Kind == 0 {
			return nil
		}
		return schema.Validate(plainValue(&n))
	}
	for name, doc := range validDocuments(t) {
		t.Run("valid/"+name, func(t *testing.T) {
			mustParse(t, doc)
			if err := valid(t, doc); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
		})
	}
	for _, c := range brokenCases(t) {
		t.Run("broken/"+c.name, func(t *testing.T) {
			if err := valid(t, c.doc); (err == nil) != parserOnly[c.name] {
				t.Errorf("the schema says %v, only the parser should know: %v", err, parserOnly[c.name])
			}
		})
	}
}

// Each document has one thing wrong that stands in its form alone: parser and schema both refuse it.
func TestSchemaAndParserRefuseTheSameForms(t *testing.T) {
	schema := compileSchema(t)
	const rule = `rules: [{images: ["**"], deny: x}]`
	for _, spec := range []string{
		`{}`, `{rules: []}`, `{rules: {}}`, `[]`, `x`, `{` + rule + `, x: 1}`, `{mode: x, ` + rule + `}`, `{mode: 1, ` + rule + `}`, `{unmatched: allow, ` + rule + `}`,
		`{rules: [{images: ["**"]}]}`, `{rules: [{deny: x}]}`, `{rules: [{images: [], deny: x}]}`, `{rules: [{images: ["**"], deny: x, allow: x}]}`,
		`{rules: [{images: ["**"], deny: ""}]}`, `{rules: [{images: ["**"], deny: " "}]}`, `{rules: [{images: ["**"], allow: ""}]}`, `{rules: [{images: ["**"], deny: 1}]}`,
		`{rules: [{images: [1], deny: x}]}`, `{rules: [{images: "**", deny: x}]}`, `{rules: [{images: ["**"], deny: x, digest: pin}]}`,
		`{rules: [{images: ["**"], deny: x, platform: linux/amd64}]}`, `{rules: [{images: ["**"], deny: x, until: soon}]}`, `{rules: [{images: ["**"], deny: x, until: 2027-01-01}]}`,
		`{authorities: {a: {}}, ` + rule + `}`, `{authorities: {a: {certificate: {}, sigstore: {}}}, ` + rule + `}`, `{authorities: {a: {pgp: {}}}, ` + rule + `}`,
		`{authorities: {a: {certificate: []}}, ` + rule + `}`, `{authorities: {a: x}, ` + rule + `}`, `{authorities: {"": {certificate: {}}}, ` + rule + `}`,
		`{authorities: {"a b": {certificate: {}}}, ` + rule + `}`, `{authorities: [], ` + rule + `}`,
		`{authorities: {a: {certificate: {}}}, rules: [{images: ["**"], require: []}]}`, `{authorities: {a: {certificate: {}}}, rules: [{images: ["**"], require: {}}]}`,
		`{authorities: {a: {certificate: {}}}, rules: [{images: ["**"], require: {all: [a], any: [a]}}]}`,
		`{authorities: {a: {certificate: {}}}, rules: [{images: ["**"], require: {atLeast: 0, of: [a]}}]}`,
		`{authorities: {a: {certificate: {}}}, rules: [{images: ["**"], require: {atLeast: 1}}]}`,
		`{authorities: {a: {certificate: {}}}, rules: [{images: ["**"], require: {of: [a]}}]}`,
		`{authorities: {a: {certificate: {}}}, rules: [{images: ["**"], require: a, digest: x}]}`,
		`{authorities: {a: {certificate: {}}}, rules: [{images: ["**"], require: a, platform: linux}]}`,
		`{scope: {}, ` + rule + `}`, `{scope: {points: []}, ` + rule + `}`, `{scope: {points: [x]}, ` + rule + `}`, `{scope: {namespaces: {}}, ` + rule + `}`,
		`{scope: {namespaces: {selector: {}}}, ` + rule + `}`, `{scope: {namespaces: {selector: {matchExpressions: [{key: a, operator: In}]}}}, ` + rule + `}`,
		`{scope: {namespaces: {selector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}}, ` + rule + `}`,
		`{scope: {namespaces: {names: [A]}}, ` + rule + `}`,
		`{revoked: [{}], ` + rule + `}`, `{revoked: [{reason: x}], ` + rule + `}`, `{revoked: [{serial: "4f"}], ` + rule + `}`, `{revoked: [{issuer: CN=a}], ` + rule + `}`,
		`{revoked: [{key: x}], ` + rule + `}`, `{revoked: [{digest: x}], ` + rule + `}`, `{revoked: [{identity: {issuer: x}}], ` + rule + `}`,
		`{revoked: [{digest: ~}], ` + rule + `}`, `{revoked: [], ` + rule + `}`, `{authorities: {}, ` + rule + `}`, `{rules: [{images: ["**", ""], deny: x}]}`,
		`{scope: {namespaces: {selector: {matchLabels: {}}}}, ` + rule + `}`, `{scope: {namespaces: {selector: {matchExpressions: []}}}, ` + rule + `}`,
		`{rules: [{imagesRegExp: [""], deny: x}]}`, `{revoked: [{identity: {}}], ` + rule + `}`,
	} {
		doc := goodHead + "spec: " + spec + "\n"
		if _, err := Parse(Source{Name: "prod.yaml", Data: []byte(doc)}, knownFormats); err == nil {
			t.Errorf("the parser takes %s", spec)
		}
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(doc), &n); err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		if schema.Validate(plainValue(&n)) == nil {
			t.Errorf("the schema takes %s", spec)
		}
	}
}

func TestSchemaOfFormats(t *testing.T) {
	type inner struct {
		Wait time.Duration `yaml:"wait" doc:"how long"`
		Mode Mode          `yaml:"mode"`
	}
	type options struct {
		Roots  string            `yaml:"roots" required:"true" min:"1" doc:"certificates"`
		Count  int               `yaml:"count" min:"2"`
		Off    bool              `yaml:"off"`
		Share  float64           `yaml:"share"`
		Size   uint32            `yaml:"size"`
		Inner  []inner           `yaml:"inner"`
		Names  map[string]string `yaml:"names"`
		Hidden string            `yaml:"-"`
	}
	text, err := Schema(map[string]any{"certificate": &options{}})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Defs map[string]struct {
			Properties map[string]map[string]any
			Required   []string
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	def := got.Defs["format.certificate"]
	if len(def.Properties) != 7 || len(def.Required) != 1 || def.Properties["roots"]["description"] != "certificates" || def.Properties["count"]["minimum"] != 2.0 {
		t.Errorf("schema of the format: got %+v", def)
	}
	for name, bad := range map[string]any{"no pointer": options{}, "nil": nil, "a channel": &struct{ C chan int }{}} {
		if _, err := Schema(map[string]any{"certificate": bad}); err == nil {
			t.Errorf("%s: a schema was made", name)
		}
	}
}
