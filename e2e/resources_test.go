//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/formats"
)

// cmdResources is
//
//	resources refusals   the API server makes every check of the definitions of policies and says the next step, and takes what the parser takes
//	resources unknown    fields that nobody knows are kept, and named by the parser
//	resources examples   every policy of examples is the same policy as an object
func cmdResources(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "resources", neg)
	r := &resources{kubernetes: worldOf(ts).kubernetes}
	for _, f := range formats.All(formats.Config{}) {
		r.formats = append(r.formats, f)
		r.names = append(r.names, f.Name())
	}
	switch {
	case len(args) == 1 && args[0] == "refusals":
		r.refusals()
	case len(args) == 1 && args[0] == "unknown":
		r.unknown()
	case len(args) == 1 && args[0] == "examples":
		r.examples()
	default:
		ts.Fatalf("usage: resources refusals | unknown | examples")
	}
}

// resources is an API server that knows policies.
type resources struct {
	*kubernetes
	formats []trust.Format
	names   []string
}

// Paths of policies at the API server.
const (
	clusterPolicies   = "/apis/assay.dev/v1/trustpolicies"
	namespacePolicies = "/apis/assay.dev/v1/namespaces/default/namespacetrustpolicies"
)

// send sends a document and returns the answer's status and body.
func (r *resources) send(method, path string, body []byte) (int, []byte) {
	req, err := http.NewRequest(method, r.url+path, bytes.NewReader(body))
	r.ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", "application/yaml")
	req.Header.Set("Accept", "application/json")
	resp, err := insecureClient().Do(req)
	r.ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, policy.MaxObject))
	r.ts.Check(err)
	return resp.StatusCode, answer
}

// have returns an object as the API server has it.
func (r *resources) have(path string) []byte {
	status, body := r.send(http.MethodGet, path, nil)
	if status != http.StatusOK {
		r.ts.Fatalf("%s: %d: %s", path, status, body)
	}
	return body
}

const oneRule = `rules: [{images: ["**"], deny: x}]`

// refusedSpecs are specs with one thing wrong each, and what the API server says about it.
var refusedSpecs = []struct{ spec, want string }{
	{`{rules: [{deny: x}]}`, `spec.rules[0]: Invalid value: a rule without images; add images: ["registry.example/**"]`},
	{`{rules: [{images: [a], deny: x, allow: z}]}`, `spec.rules[0]: Invalid value: a rule with 2 of require, deny and allow; keep one, and make rules of the others`},
	{`{rules: [{images: [a], require: z, deny: x}]}`, `"spec.rules[0]" must validate one and only one schema (oneOf). Found 2 valid alternatives`},
	{`{rules: [{images: [a]}]}`, `spec.rules[0].require: Required value`},
	{`{rules: [{images: [a], deny: x, digest: keep}]}`, `spec.rules[0].digest: Invalid value: digest means something only beside require; remove it`},
	{`{rules: [{images: [a], allow: x, platform: linux/amd64}]}`, `spec.rules[0].platform: Invalid value: platform means something only beside require; remove it`},
	{`{rules: [{images: [a], require: x, platform: linux}]}`, `spec.rules[0].platform: Invalid value: "linux": is malformed; write it as in linux/amd64`},
	{`{rules: [{images: [a], deny: " "}]}`, `spec.rules[0].deny: Invalid value: " ": is malformed; say why: those who are stopped will read it`},
	{`{rules: [{images: [a], allow: " "}]}`, `spec.rules[0].allow: Invalid value: " ": is malformed; say why: it is shown in verdicts`},
	{`{rules: [{images: [a], deny: x, until: soon}]}`, `spec.rules[0].until: Invalid value: "soon": is malformed; write it as in 2027-01-31T00:00:00Z`},
	{`{mode: strict, ` + oneRule + `}`, `spec.mode: Unsupported value: "strict": supported values: "enforce", "warn", "audit"`},
	{`{authorities: {a: {sigstor: {}}}, ` + oneRule + `}`, `spec.authorities[a]: Invalid value: no format; write one of: certificate, notaryv1, notation, sigstore`},
	{`{authorities: {a: {certificate: {}, sigstore: {}}}, ` + oneRule + `}`, `spec.authorities[a]: Invalid value: a second format; make it an authority of its own`},
	{`{revoked: [{reason: x}], ` + oneRule + `}`, `spec.revoked[0]: Invalid value: says nothing that is revoked; add key, serial and issuer, identity or digest`},
	{`{revoked: [{serial: "4f"}], ` + oneRule + `}`, `spec.revoked[0].serial: Invalid value: a serial number means something only beside its issuer; add issuer`},
	{`{revoked: [{issuer: CN=a}], ` + oneRule + `}`, `spec.revoked[0].issuer: Invalid value: an issuer without a serial number; add serial, or revoke the issuer by its key`},
	{`{revoked: [{serial: x, issuer: CN=a}], ` + oneRule + `}`, `spec.revoked[0].serial: Invalid value: "x": is malformed; write hexadecimal octets, as in 4f:a2:01`},
	{`{revoked: [{key: x}], ` + oneRule + `}`, `spec.revoked[0].key: Invalid value: "x": is malformed; write the fingerprint as SHA256: and 43 characters of base64, over the DER form of the public key`},
	{`{revoked: [{digest: x}], ` + oneRule + `}`, `spec.revoked[0].digest: Invalid value: "x": is malformed; write sha256: and 64 digits in lower case`},
	{`{revoked: [{key: x, after: soon}], ` + oneRule + `}`, `spec.revoked[0].after: Invalid value: "soon": is malformed; write it as in 2027-01-31T00:00:00Z`},
	{`{scope: {namespaces: {selector: {matchExpressions: [{key: a, operator: In}]}}}, ` + oneRule + `}`, `matchExpressions[0]: Invalid value: In and NotIn need values; add at least one`},
	{`{scope: {namespaces: {selector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}}, ` + oneRule + `}`, `matchExpressions[0]: Invalid value: Exists and DoesNotExist take no values; remove them`},
	{`{scope: {points: [here]}, ` + oneRule + `}`, `spec.scope.points[0]: Unsupported value: "here"`},
	{`{rules: [{local: {}, deny: x}]}`, `spec.rules[0].local: Invalid value: 0: spec.rules[0].local in body should have at least 1 properties`},
	{`{rules: [{local: {label: {a: b}}, deny: x}]}`, `spec.rules[0].local: Invalid value: says nothing of the images; add labels, base or builtBy`},
	{`{rules: [{local: {builtBy: [a]}, images: [a], deny: x}]}`, `spec.rules[0].local: Invalid value: a rule about images by name and about images that were made on the host; keep one, and make a rule of the other`},
	{`{rules: [{local: {builtBy: [a]}, require: x}]}`, `spec.rules[0].local: Invalid value: nobody vouches for an image that no registry has; write allow or deny in the place of require`},
	{`{}`, `spec.rules: Required value`},
	{`{rules: []}`, `spec.rules: Invalid value: 0: spec.rules in body should have at least 1 items`},
}

// acceptedSpecs are specs with what is said in a rare way.
var acceptedSpecs = []string{
	`{rules: [{imagesRegExp: ['a\.example/x'], deny: x, until: "2027-01-01T00:00:00.5+02:00"}]}`,
	`{authorities: {a: {certificate: {roots: x}}, b: {sigstore: {key: x}}}, rules: [{images: ["**"], require: [a, {any: [b, {atLeast: 1, of: [a, [b]]}]}], digest: insecureReplace, platform: linux/arm/v7}]}`,
	`{authorities: {a: {sigstore: {key: {file: "secret:a/b", validFrom: "2026-01-01T00:00:00Z"}, signedRepository: {exact: [a]}}}}, rules: [{images: ["**"], require: a}]}`,
	`{authorities: {a: {sigstore: {keyless: {identities: [{issuer: "https://a", subject: b}]}, trustedRoot: {file: "configmap:a/b", maxStale: 7d}}}}, rules: [{images: ["**"], require: a}]}`,
	`{scope: {points: [kubernetes, cli]}, unmatched: ignore, ` + oneRule + `}`,
	`{scope: {points: [docker]}, rules: [{local: {labels: {a: "", b: "*"}, base: ["a.example/base/**"], builtBy: ["ci-*"]}, allow: x, until: "2027-01-01T00:00:00Z"}]}`,
	`{revoked: [{key: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}, {serial: "-00:4F:A2", issuer: 'CN=GitLab CI,O=Acme\, Inc.'}, {identity: {issuer: a, subject: b}, after: "2026-10-01T00:00:00Z"},
	  {digest: "sha512:` + strings.Repeat("0f", 64) + `"}], ` + oneRule + `}`,
}

// refusals sends each spec as both kinds, and wants every check of the definitions to be among those that said no.
func (r *resources) refusals() {
	for _, kind := range []struct{ kind, path string }{{"TrustPolicy", clusterPolicies}, {"NamespaceTrustPolicy", namespacePolicies}} {
		said := ""
		specs := refusedSpecs
		if kind.kind == "NamespaceTrustPolicy" {
			specs = append(specs[:len(specs):len(specs)], struct{ spec, want string }{`{scope: {namespaces: {names: [other]}}, ` + oneRule + `}`,
				"spec.scope.namespaces: Invalid value: a NamespaceTrustPolicy speaks about its own namespace only; remove it, or write a TrustPolicy"})
		}
		for _, c := range specs {
			doc := "apiVersion: assay.dev/v1\nkind: " + kind.kind + "\nmetadata: {name: refused}\nspec: " + c.spec + "\n"
			status, body := r.send(http.MethodPost, kind.path+"?dryRun=All&fieldValidation=Strict", []byte(doc))
			var answer struct{ Message string }
			r.ts.Check(json.Unmarshal(body, &answer))
			if status != http.StatusUnprocessableEntity || !strings.Contains(answer.Message, c.want) {
				r.ts.Fatalf("%s %s: got %d %s, want %s", kind.kind, c.spec, status, answer.Message, c.want)
			}
			said += answer.Message
		}
		for _, spec := range acceptedSpecs {
			doc := "apiVersion: assay.dev/v1\nkind: " + kind.kind + "\nmetadata: {name: accepted}\nspec: " + spec + "\n"
			status, body := r.send(http.MethodPost, kind.path+"?dryRun=All&fieldValidation=Strict", []byte(doc))
			if _, err := r.parse("x", body); status != http.StatusCreated || err != nil {
				r.ts.Fatalf("%s %s: got %d %s, %v", kind.kind, spec, status, body, err)
			}
		}
		var definition any
		r.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"+strings.TrimPrefix(kind.path[strings.LastIndex(kind.path, "/"):], "/")+".assay.dev", &definition)
		checks := checksOf(definition)
		if len(checks) < 15 {
			r.ts.Fatalf("%s: only %d checks were found", kind.kind, len(checks))
		}
		for _, message := range checks {
			if !strings.Contains(said, message) {
				r.ts.Fatalf("%s: no spec was refused by the check that says %q", kind.kind, message)
			}
		}
	}
}

// checksOf returns the messages of all checks by expressions below a place of a definition.
func checksOf(at any) []string {
	var all []string
	switch at := at.(type) {
	case []any:
		for _, item := range at {
			all = append(all, checksOf(item)...)
		}
	case map[string]any:
		checks, _ := at["x-kubernetes-validations"].([]any)
		for _, c := range checks {
			all = append(all, c.(map[string]any)["message"].(string))
		}
		for _, item := range at {
			all = append(all, checksOf(item)...)
		}
	}
	return all
}

func (r *resources) parse(name string, data []byte) (*policy.Policy, error) {
	return policy.Parse(policy.Source{Name: name, Data: data, Object: true}, r.names)
}

// unknown sends fields that nobody knows at every level.
func (r *resources) unknown() {
	doc := `apiVersion: assay.dev/v1
kind: TrustPolicy
metadata: {name: unknown}
spec:
  mod: warn
  scope: {points: [kubernetes], namespace: {names: [a]}}
  authorities: {ci: {certificate: {root: x}}}
  rules:
  - {images: ["**"], require: {al: [ci]}, ulness: x}
  revoked: [{digest: "sha256:` + strings.Repeat("0f", 32) + `", why: x}]
`
	if status, body := r.send(http.MethodPost, clusterPolicies+"?fieldValidation=Strict", []byte(doc)); status != http.StatusCreated {
		r.ts.Fatalf("%d: %s", status, body)
	}
	_, err := r.parse("TrustPolicy/unknown", r.have(clusterPolicies+"/unknown"))
	for _, want := range []string{
		`TrustPolicy/unknown: spec.mod: unknown field; did you mean "mode"?`,
		`TrustPolicy/unknown: spec.scope.namespace: unknown field; did you mean "namespaces"?`,
		`TrustPolicy/unknown: spec.rules[0].require.al: unknown field; did you mean "all"?`,
		`TrustPolicy/unknown: spec.rules[0].ulness: unknown field; `,
		`TrustPolicy/unknown: spec.revoked[0].why: unknown field; `,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			r.ts.Fatalf("got %v, want %s", err, want)
		}
	}
	good := strings.NewReplacer("  mod: warn\n", "", ", namespace: {names: [a]}", "", "al: [ci]", "all: [ci]", ", ulness: x", "", ", why: x", "").Replace(doc)
	if status, body := r.send(http.MethodPost, clusterPolicies, []byte(strings.Replace(good, "name: unknown", "name: options", 1))); status != http.StatusCreated {
		r.ts.Fatalf("%d: %s", status, body)
	}
	p, err := r.parse("TrustPolicy/options", r.have(clusterPolicies+"/options"))
	r.ts.Check(err)
	err = p.Authorities[0].Section.Decode(r.format(p.Authorities[0].Format).Options())
	if want := `TrustPolicy/options: spec.authorities.ci.certificate.root: unknown field; did you mean "roots"?`; err == nil || err.Error() != want {
		r.ts.Fatalf("got %v, want %s", err, want)
	}
}

func (r *resources) format(name string) trust.Format {
	for _, f := range r.formats {
		if f.Name() == name {
			return f
		}
	}
	r.ts.Fatalf("no format %s", name)
	return nil
}

// examples stores every policy of examples and wants the same rules and the same options of authorities as in the file.
func (r *resources) examples() {
	files, err := filepath.Glob("../examples/*.yaml")
	r.ts.Check(err)
	tried := 0
	for _, file := range files {
		file, err := filepath.Abs(file)
		r.ts.Check(err)
		data, err := os.ReadFile(file)
		r.ts.Check(err)
		if !bytes.Contains(data, []byte("kind: TrustPolicy")) {
			continue
		}
		tried++
		want, err := policy.Parse(policy.Source{Name: file, Data: data}, r.names)
		r.ts.Check(err)
		r.ts.Check(r.ts.Exec("kubectl", "apply", "--validate=strict", "-f", file))
		got, err := r.parse("TrustPolicy/"+want.Name, r.have(clusterPolicies+"/"+want.Name))
		r.ts.Check(err)
		r.same(file, want, got)
	}
	if tried < 10 {
		r.ts.Fatalf("only %d policies in %v", tried, files)
	}
}

// same compares a policy with the same one from a file.
func (r *resources) same(file string, want, got *policy.Policy) {
	text := func(p image.Pattern) string { return p.String() }
	diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(policy.Policy{}), cmpopts.IgnoreFields(policy.Policy{}, "File", "Authorities", "Warnings"),
		cmpopts.IgnoreFields(policy.Rule{}, "Line"), cmpopts.IgnoreFields(policy.Revocation{}, "Line"), cmp.Transformer("text", text),
		cmp.Comparer(func(a, b image.RegExp) bool { return reflect.DeepEqual(a, b) }), cmp.Comparer(func(a, b image.Digest) bool { return a == b }))
	if diff != "" {
		r.ts.Fatalf("%s: file and object differ:\n%s", file, diff)
	}
	options := func(p *policy.Policy) map[string]any {
		all := map[string]any{}
		for _, a := range p.Authorities {
			into := r.format(a.Format).Options()
			r.ts.Check(a.Section.Decode(into))
			all[a.Name+" "+a.Format] = into
		}
		return all
	}
	if a, b := options(want), options(got); !reflect.DeepEqual(a, b) {
		r.ts.Fatalf("%s: the options of its authorities differ: %+v and %+v", file, a, b)
	}
	for _, name := range []string{"registry.acme.example/prod/api:1", "docker.io/library/alpine:3", "registry.example/a/b/c", "ghcr.io/acme/x:v1"} {
		q := policy.Query{Ref: image.MustParse(name), Now: time.Now(), TagDigest: func() (image.Digest, error) {
			return image.MustParseDigest("sha256:" + strings.Repeat("0f", 32)), nil
		}}
		_, first, err := want.Match(q)
		r.ts.Check(err)
		_, second, err := got.Match(q)
		r.ts.Check(err)
		if first != second {
			r.ts.Fatalf("%s: %s is decided by rule %d of the file and rule %d of the object", file, name, first, second)
		}
	}
}
