package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"github.com/assay-dev/assay/image"
)

// objectOf returns a document as an API server gives it back, with what only the cluster says about it.
func objectOf(t testing.TB, doc string) []byte {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(doc), &n); err != nil || n.Kind == 0 {
		t.Fatalf("%v in\n%s", err, doc)
	}
	value := plainValue(&n)
	if o, ok := value.(map[string]any); ok {
		if m, ok := o["metadata"].(map[string]any); ok {
			m["uid"], m["resourceVersion"], m["generation"] = "1b4e28ba", "42", 3
			m["managedFields"] = []any{map[string]any{"fieldsV1": map[string]any{"f:spec": map[string]any{".": map[string]any{}}}}}
		}
		o["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Accepted", "status": "True"}}}
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parseObject(name string, data []byte) (*Policy, error) {
	return Parse(Source{Name: name, Data: data, Object: true}, knownFormats)
}

// wantErrors wants the lines of an error, and no position in any of them.
func wantErrors(t *testing.T, err error, want ...string) {
	t.Helper()
	var all Errors
	if !errors.As(err, &all) {
		t.Fatalf("got %T %v, want Errors", err, err)
	}
	for _, e := range all {
		if e.Line != 0 || e.Column != 0 {
			t.Errorf("an object has no lines: %+v", e)
		}
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

const objectHead = `{"apiVersion":"assay.dev/v1","kind":"TrustPolicy","metadata":{"name":"production"},"spec":`

const namespacedHead = `{"apiVersion":"assay.dev/v1","kind":"NamespaceTrustPolicy","metadata":{"name":"own","namespace":"payments"},"spec":`

const objectRules = `"rules":[{"images":["**"],"deny":"not ours"}]`

func TestObjectSaysWhatTheFileSays(t *testing.T) {
	for name, doc := range validDocuments(t) {
		t.Run(name, func(t *testing.T) {
			file := mustParse(t, doc)
			object, err := parseObject("TrustPolicy/x", objectOf(t, doc))
			if err != nil {
				t.Fatal(err)
			}
			ignore := cmp.Options{
				cmpopts.IgnoreFields(Policy{}, "File", "Authorities", "Warnings", "index", "hash"), cmpopts.IgnoreFields(Rule{}, "Line"),
				cmpopts.IgnoreFields(Revocation{}, "Line"), cmp.Comparer(func(a, b image.Pattern) bool { return a.String() == b.String() }),
				cmp.Comparer(func(image.RegExp, image.RegExp) bool { return true }), cmp.Comparer(func(a, b image.Digest) bool { return a == b }),
			}
			if diff := cmp.Diff(file, object, ignore); diff != "" {
				t.Errorf("file and object (-file +object):\n%s", diff)
			}
			if len(file.Authorities) != len(object.Authorities) || len(file.Warnings) != len(object.Warnings) {
				t.Errorf("got %d authorities and warnings %v, want %d and %v", len(object.Authorities), object.Warnings, len(file.Authorities), file.Warnings)
			}
			for i := range object.Rules {
				if object.Rules[i].Line != 0 {
					t.Errorf("rule %d stands on line %d", i, object.Rules[i].Line)
				}
			}
		})
	}
}

func TestObjectIsAsStrictAsAFile(t *testing.T) {
	for _, c := range []struct {
		name, data string
		want       []string
	}{
		{"a broken pattern", objectHead + `{"rules":[{"images":["**","registry.example/a//b"],"deny":"x"}]}}`,
			[]string{`TrustPolicy/production: spec.rules[0].images[1]: pattern "registry.example/a//b": an empty path segment; see "Patterns" in docs/reference/policy.md`}},
		{"unknown fields", `{"apiVersion":"assay.dev/v1","kind":"TrustPolicy","metadata":{"name":"production"},"data":1,"spec":{"mod":"warn","rules":[{"image":["**"],"deny":"x"}]}}`,
			[]string{
				`TrustPolicy/production: data: unknown field; fields here are: apiVersion, kind, metadata, spec`,
				`TrustPolicy/production: spec.mod: unknown field; did you mean "mode"?`,
				`TrustPolicy/production: spec.rules[0].image: unknown field; did you mean "images"?`,
			}},
		{"duplicate keys", objectHead + `{"mode":"audit","mode":"enforce",` + objectRules + `}}`,
			[]string{`TrustPolicy/production: spec.mode: duplicate key; keep one of the two`}},
		{"two specs", objectHead + `{` + objectRules + `},"spec":{` + objectRules + `}}`,
			[]string{`TrustPolicy/production: spec: duplicate key; keep one of the two`}},
		{"two names", `{"apiVersion":"assay.dev/v1","kind":"TrustPolicy","metadata":{"name":"a","name":"b"},"spec":{` + objectRules + `}}`,
			[]string{`TrustPolicy/production: metadata.name: duplicate key; keep one of the two`}},
		{"null", objectHead + `{"mode":null,` + objectRules + `}}`, []string{`TrustPolicy/production: spec.mode: has no value; give it one or remove it`}},
		{"a number for a text", objectHead + `{"rules":[{"images":["**"],"deny":1}]}}`,
			[]string{`TrustPolicy/production: spec.rules[0].deny: a number where text is wanted; put it in quotes: "1"`}},
		{"a boolean for a text", objectHead + `{"rules":[{"images":["**"],"deny":false}]}}`,
			[]string{`TrustPolicy/production: spec.rules[0].deny: a boolean where text is wanted; put it in quotes: "false"`}},
		{"no spec", `{"apiVersion":"assay.dev/v1","kind":"TrustPolicy","metadata":{"name":"production"}}`,
			[]string{`TrustPolicy/production: spec: missing; add spec with rules`}},
		{"another kind", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"production"}}`,
			[]string{`TrustPolicy/production: kind: a "ConfigMap" is no policy; write kind: TrustPolicy or NamespaceTrustPolicy`}},
		{"another version", strings.Replace(objectHead, "/v1", "/v2", 1) + `{` + objectRules + `}}`,
			[]string{`TrustPolicy/production: apiVersion: unknown value "assay.dev/v2"; did you mean "assay.dev/v1"?`}},
		{"a list", `[]`, []string{`TrustPolicy/production: a list where a policy is wanted; begin with apiVersion, kind, metadata and spec (see the files in examples)`}},
		{"nothing", ``, []string{`TrustPolicy/production: this is no JSON: EOF; give the JSON of one object`}},
		{"YAML", `kind: TrustPolicy`, []string{`TrustPolicy/production: this is no JSON: invalid character 'k' looking for beginning of value; give the JSON of one object`}},
		{"two objects", objectHead + `{` + objectRules + `}}{}`, []string{`TrustPolicy/production: this is no JSON: there is more behind the object; give the JSON of one object`}},
		{"cut", objectHead + `{"mode":"warn"`, []string{`TrustPolicy/production: this is no JSON: EOF; give the JSON of one object`}},
		{"no UTF-8", objectHead + "{\"mode\":\"\xff\"}}", []string{`TrustPolicy/production: some bytes are not UTF-8; write the object anew`}},
		{"deep", objectHead + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "}",
			[]string{`TrustPolicy/production: spec` + strings.Repeat("[0]", 63) + `: more than 64 levels deep; make it flatter`}},
		{"large with its status", objectHead + `{` + objectRules + `},"status":"` + strings.Repeat("x", MaxObject) + `"}`,
			[]string{`TrustPolicy/production: 3145878 bytes, at most 3145728 (3 MiB) are allowed; split it into several policies`}},
		{"large without", objectHead + `{"rules":[{"images":["**"],"deny":"` + strings.Repeat("x", MaxPolicy) + `"}]}}`,
			[]string{`TrustPolicy/production: 1048706 bytes without status and metadata, at most 1048576 (1 MiB) are allowed; split it into several policies`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := parseObject("TrustPolicy/production", []byte(c.data))
			if err == nil || p != nil {
				t.Fatalf("got policy %v and error %v, want an error only", p, err)
			}
			wantErrors(t, err, c.want...)
		})
	}
}

// What is wrong in a file is wrong in an object too, in the same words, wherever JSON can say it at all.
func TestObjectRefusesWhatAFileRefuses(t *testing.T) {
	tried := 0
	for _, c := range brokenCases(t) {
		var n yaml.Node
		if yaml.Unmarshal([]byte(c.doc), &n) != nil || n.Kind == 0 || strings.Contains(c.doc, "0x") || parserOnly[c.name] && !strings.Contains(c.name, "author") && !strings.Contains(c.name, "deep") {
			continue // the YAML itself is what is wrong
		}
		tried++
		t.Run(c.name, func(t *testing.T) {
			p, err := parseObject("prod.yaml", objectOf(t, c.doc))
			if err == nil || p != nil {
				t.Fatalf("taken as an object")
			}
		})
	}
	if tried < 20 {
		t.Errorf("only %d documents were tried", tried)
	}
}

func TestObjectTakesWhatOnlyYAMLCannotSay(t *testing.T) {
	long := strings.Repeat("k", 2000)
	data := `{"apiVersion":"assay.dev/v1","kind":"TrustPolicy","metadata":{"name":"production","annotations":{"` + long + `":"\u202e \ud83d\ude00 "},
		"managedFields":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `},"status":{"a":1,"a":2},
		"spec":{"rules":[{"images":["**"],"deny":"\ud83d\ude00 say no\u202e"}]}}`
	p, err := parseObject("TrustPolicy/production", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	if want := "\U0001f600 say no\u202e"; p.Rules[0].Deny != want {
		t.Errorf("got %q, want %q", p.Rules[0].Deny, want)
	}
}

func TestObjectOfANamespace(t *testing.T) {
	p, err := parseObject("NamespaceTrustPolicy/payments/own", []byte(namespacedHead+`{"scope":{"points":["kubernetes"]},`+objectRules+`}}`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "payments/own" || p.Namespace != "payments" {
		t.Errorf("got name %q and namespace %q", p.Name, p.Namespace)
	}
	in := Request{Point: "kubernetes", HasNamespace: true, Namespace: "payments"}
	if !p.InScope(in) {
		t.Error("its own namespace is out of scope")
	}
	for _, r := range []Request{
		{Point: "kubernetes"}, {Point: "kubernetes", Namespace: "payments"}, {Point: "kubernetes", HasNamespace: true},
		{Point: "kubernetes", HasNamespace: true, Namespace: "payments2"}, {Point: "cli", HasNamespace: true, Namespace: "payments"},
		{Point: "kubernetes", HasNamespace: true, Namespace: "other", NamespaceLabels: map[string]string{"kubernetes.io/metadata.name": "payments"}},
	} {
		if p.InScope(r) {
			t.Errorf("in scope: %+v", r)
		}
	}
	byHand := &Policy{Namespace: "payments"}
	if !byHand.InScope(in) || byHand.InScope(Request{Point: "kubernetes"}) || byHand.InScope(Request{HasNamespace: true, Namespace: "x"}) {
		t.Error("the namespace of a policy that was not parsed is no bound")
	}
}

func TestT38_NamespaceBounds(t *testing.T) {
	for _, c := range []struct {
		name, data string
		want       []string
	}{
		{"another namespace by its scope", namespacedHead + `{"scope":{"namespaces":{"names":["**"]}},` + objectRules + `}}`,
			[]string{`x: spec.scope.namespaces: a NamespaceTrustPolicy speaks about its own namespace only; remove it, or write a TrustPolicy`}},
		{"labels of another namespace", namespacedHead + `{"scope":{"namespaces":{"selector":{"matchLabels":{"a":"b"}}}},` + objectRules + `}}`,
			[]string{`x: spec.scope.namespaces: a NamespaceTrustPolicy speaks about its own namespace only; remove it, or write a TrustPolicy`}},
		{"no namespace", strings.Replace(namespacedHead, `,"namespace":"payments"`, "", 1) + `{` + objectRules + `}}`,
			[]string{`x: metadata.namespace: missing; a NamespaceTrustPolicy speaks about the namespace that it lives in`}},
		{"several by a glob", strings.Replace(namespacedHead, "payments", "*", 1) + `{` + objectRules + `}}`,
			[]string{`x: metadata.namespace: "*" is malformed; name one namespace, of lower-case letters, digits and '-'`}},
		{"an empty one", strings.Replace(namespacedHead, "payments", "", 1) + `{` + objectRules + `}}`,
			[]string{`x: metadata.namespace: is empty; name one namespace, of lower-case letters, digits and '-'`}},
		{"a cluster's policy with a namespace", strings.Replace(objectHead, `"production"`, `"production","namespace":"payments"`, 1) + `{` + objectRules + `}}`,
			[]string{`x: metadata.namespace: a TrustPolicy speaks about the whole cluster and has no namespace; remove it, or write kind: NamespaceTrustPolicy`}},
		{"a name that looks like another's", strings.Replace(namespacedHead, `"own"`, `"other/own"`, 1) + `{` + objectRules + `}}`,
			[]string{`x: metadata.name: "other/own" is malformed; give a name of lower-case letters, digits, '-' and '.', such as production`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := parseObject("x", []byte(c.data))
			if err == nil || p != nil {
				t.Fatalf("got %+v", p)
			}
			wantErrors(t, err, c.want...)
		})
	}
	file := strings.Replace(goodHead, "TrustPolicy\n", "NamespaceTrustPolicy\n", 1) + goodRule
	if _, err := Parse(Source{Name: "x.yaml", Data: []byte(file)}, knownFormats); err == nil || !strings.Contains(err.Error(), "is not read from files") {
		t.Errorf("a file of that kind: got %v", err)
	}
}

func TestObjectHash(t *testing.T) {
	hash := func(data string) string {
		t.Helper()
		p, err := parseObject("x", []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		return p.Hash()
	}
	const spec = `{"mode":"warn","rules":[{"images":["**"],"deny":"not ours"}]}`
	first := hash(objectHead + spec + "}")
	for name, same := range map[string]string{
		"what only the cluster says": `{"status":{"conditions":[]},"spec":` + spec + `,"metadata":{"resourceVersion":"9","generation":2,"name":"production","managedFields":[{}],"labels":{"a":"b"}},"kind":"TrustPolicy","apiVersion":"assay.dev/v1"}`,
		"order and spelling":         objectHead + `{ "rules": [{"deny":"not ours", "images":["\u002a*"]}], "mode":"w\u0061rn" } }`,
	} {
		if got := hash(same); got != first {
			t.Errorf("%s: the hash is another one", name)
		}
	}
	seen := map[string]string{first: "the first"}
	for name, other := range map[string]string{
		"spec":      objectHead + strings.Replace(spec, "warn", "audit", 1) + "}",
		"order":     objectHead + `{"mode":"warn","rules":[{"images":["a.example/**","**"],"deny":"not ours"}]}}`,
		"order 2":   objectHead + `{"mode":"warn","rules":[{"images":["**","a.example/**"],"deny":"not ours"}]}}`,
		"name":      strings.Replace(objectHead, "production", "staging", 1) + spec + "}",
		"kind":      namespacedHead + spec + "}",
		"namespace": strings.Replace(namespacedHead, "payments", "tools", 1) + spec + "}",
	} {
		got := hash(other)
		if was, found := seen[got]; found {
			t.Errorf("%s and %s have the same hash", name, was)
		}
		seen[got] = name
	}
}

func TestObjectSection(t *testing.T) {
	read := ""
	data := objectHead + `{"authorities":{"ci":{"certificate":{"root":"x","crls":[{"file":"secret:ca/a.crl"}]}}},"rules":[{"images":["**"],"require":"ci"}]}}`
	p, err := Parse(Source{Name: "TrustPolicy/production", Data: []byte(data), Object: true, ReadFile: func(name string) ([]byte, error) {
		read = name
		return []byte("content"), nil
	}}, knownFormats)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Authorities[0].Section
	before := p.Hash()
	if _, err := s.ReadFile("secret:ca/a.crl"); err != nil || read != "secret:ca/a.crl" {
		t.Errorf("the file arrives as %q, %v", read, err)
	}
	if p.Hash() == before {
		t.Error("what a Secret says is not part of the hash")
	}
	wantErrors(t, s.Decode(new(testOptions)), `TrustPolicy/production: spec.authorities.ci.certificate.root: unknown field; did you mean "roots"?`)
	if s.Namespace() != "" {
		t.Errorf("a policy of the cluster is in namespace %q", s.Namespace())
	}
	cause := errors.New("no such key")
	err = s.Errorf("crls[0].file", "%w; look for it", cause)
	if want := "TrustPolicy/production: spec.authorities.ci.certificate.crls[0].file: no such key; look for it"; err.Error() != want || !errors.Is(err, cause) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if line := s.Line("root"); line != 0 {
		t.Errorf("got line %d", line)
	}
	if place := p.Place(p.Rules[0].Line); place != "TrustPolicy/production" {
		t.Errorf("the rule stands at %q", place)
	}
}

func TestT38_FilesOfObjects(t *testing.T) {
	for name, want := range map[string]ObjectFile{
		"secret:ci/ca.pem":              {"secret", "ci", "ca.pem"},
		"configmap:kube-root-ca.crt/ca": {"configmap", "kube-root-ca.crt", "ca"},
		"secret:a/_K.e-y":               {"secret", "a", "_K.e-y"},
	} {
		got, err := ParseObjectFile(name)
		if err != nil || got != want || got.String() != name {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	const form = "; write secret:NAME/KEY"
	for name, want := range map[string]string{
		"":                         "is no file that a policy in a cluster can name" + form + " or configmap:NAME/KEY",
		"ca.pem":                   "is no file that a policy in a cluster can name",
		"/etc/passwd":              "is no file that a policy in a cluster can name",
		"Secret:a/b":               "is no file that a policy in a cluster can name",
		"file:///etc/passwd":       "is no file that a policy in a cluster can name",
		"secret:other/ci/ca.pem":   "other namespaces cannot be named: a policy reads from one namespace only" + form,
		"secret:a/b/../../other/x": "other namespaces cannot be named",
		"secret:../b":              `".." is no name of a secret` + form,
		"secret:/b":                `"" is no name of a secret`,
		"secret:a":                 "does not say which key of the secret is meant" + form,
		"secret:a/":                "does not say which key of the secret is meant",
		"secret:":                  "does not say which key",
		"secret:a/..":              `".." is no key of a secret`,
		"secret:a/b c":             `"b c" is no key of a secret`,
		"secret:A/b":               `"A" is no name of a secret`,
		"secret:a%2Fb/c":           `"a%2Fb" is no name of a secret`,
		"secret:a?x=/c":            `"a?x=" is no name of a secret`,
		"configmap:a:b/c":          `"a:b" is no name of a configmap; write configmap:NAME/KEY`,
		"secret:a\n/c":             "is no name of a secret",
		"secret:a/c\n":             "is no key of a secret",
		"secret:" + strings.Repeat("a", 64) + "/c": "is no name of a secret",
	} {
		got, err := ParseObjectFile(name)
		if err == nil || !strings.Contains(err.Error(), want) || got != (ObjectFile{}) {
			t.Errorf("%q: got %+v, %v; want %q", name, got, err, fmt.Sprint(want))
		}
	}
}

// A format's hint about paths gives way to one that an object can follow.
func TestT38_ErrorsOfFiles(t *testing.T) {
	missing := errors.New("secret ca is not there")
	data := namespacedHead + `{"authorities":{"ci":{"certificate":{"roots":"x"}}},"rules":[{"images":["**"],"require":"ci"}]}}`
	p, err := Parse(Source{Name: "x", Data: []byte(data), Object: true, ReadFile: func(name string) ([]byte, error) {
		if _, err := ParseObjectFile(name); err != nil {
			return nil, err
		}
		return nil, missing
	}}, knownFormats)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Authorities[0].Section
	if s.Namespace() != "payments" {
		t.Errorf("the section is in namespace %q", s.Namespace())
	}
	for name, want := range map[string]string{
		"secret:ca/a.pem":       "secret ca is not there; write secret:NAME/KEY or configmap:NAME/KEY, of what is there",
		"secret:other/ca/a.pem": `"secret:other/ca/a.pem" has 3 parts, and other namespaces cannot be named: a policy reads from one namespace only; write secret:NAME/KEY`,
		"ca/ci.pem":             `"ca/ci.pem" is no file that a policy in a cluster can name; write secret:NAME/KEY or configmap:NAME/KEY`,
	} {
		_, err := s.ReadFile(name)
		got := s.Errorf("rootsFiles[0]", "%w; give a path relative to the policy's folder", err)
		if full := "x: spec.authorities.ci.certificate.rootsFiles[0]: " + want; got.Error() != full {
			t.Errorf("got  %v\nwant %s", got, full)
		}
		if name == "secret:ca/a.pem" && !errors.Is(got, missing) {
			t.Error("the cause is lost")
		}
	}
}
