package statement

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// exampleConditions reads the conditions of the only attestation that a policy in examples/ asks for.
func exampleConditions(t *testing.T, file string) (predicateType string, list []Condition) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../../examples", file))
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Spec struct {
			Authorities map[string]struct {
				Sigstore struct {
					Attestations []struct {
						PredicateType string `yaml:"predicateType"`
						Conditions    []struct{ CEL, Message string }
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(data, &policy); err != nil {
		t.Fatal(err)
	}
	for _, authority := range policy.Spec.Authorities {
		for _, a := range authority.Sigstore.Attestations {
			predicateType = a.PredicateType
			for _, c := range a.Conditions {
				list = append(list, Condition(c))
			}
		}
	}
	if len(list) == 0 {
		t.Fatal("no conditions")
	}
	return predicateType, list
}

// Each condition of the examples holds for a predicate in its true form, and fails for one that was changed.
func TestExampleConditions(t *testing.T) {
	ref := image.MustParse("registry.acme.example/prod/app@" + image.SHA256([]byte("app")).String())
	type change struct{ old, new, want string }
	tests := []struct {
		file, predicate string
		changes         []change // one for each condition, in their order, and more
	}{
		{"sigstore-slsa-provenance.yaml", "predicate-slsaprovenance1.json", []change{
			{`app/.github/workflows/release.yml@refs/tags`, `app/.github/workflows/release.yml@refs/heads`, "not built by the release workflow"},
			{`"repository": "https://github.com/acme/app"`, `"repository": "https://github.com/acme/app-evil"`, "not built from github.com"},
			{`"ref": "refs/tags/v1.2.0"`, `"ref": "refs/tags/v1.2.0-rc1"`, "not built from a version tag"},
			{`git+https://github.com/acme/app@`, `git+https://github.com/acme/app-evil@`, "does not name the commit"},
			{`"resolvedDependencies": [`, `"resolvedDependencies": [], "others": [`, "does not name the commit"},
			{`"builder"`, `"builders"`, "no such key: builder"},
		}},
		{"sigstore-sbom-spdx.yaml", "predicate-spdxjson.json", []change{
			{`"packages": [`, `"packages": [], "others": [`, "lists no packages"},
			{`"licenseDeclared": "MIT"`, `"licenseDeclared": "MIT AND (AGPL-3.0-only OR ISC)"`, "GPL"},
			{`"name": "openssl", "versionInfo": "3.0.15-1"`, `"name": "log4j-core", "versionInfo": "2.14.1"`, "log4j-core 2.14"},
			{`"created": "2026-`, `"created": "2025-`, "before 2026"},
			{`"licenseDeclared": "MIT", `, ``, "no such key: licenseDeclared"},
		}},
		{"sigstore-sbom-cyclonedx.yaml", "predicate-cyclonedx.json", []change{
			{`"components": [`, `"components": [], "others": [`, "lists no components"},
			{`{"id": "MIT"}`, `{"id": "GPL-3.0-only"}`, "a licence that is not on the list"},
			{`"purl": "pkg:npm/left-pad@1.3.0"`, `"purl": "pkg:npm/event-stream@3.3.6"`, "event-stream"},
			{`, "licenses": [{"license": {"id": "MIT"}}]`, ``, "no such key: licenses"},
			{`[{"license": {"id": "MIT"}}]`, `[]`, "or under none"},
		}},
		{"sigstore-vuln-report.yaml", "predicate-vuln.json", []change{
			{`aquasecurity/trivy`, `mallory/trivy`, "not by trivy"},
			{`"scanFinishedOn": "2026-11-22`, `"scanFinishedOn": "2026-11-12`, "three days old"},
			{`"Severity": "HIGH"`, `"Severity": "CRITICAL"`, "something critical"},
			{`"V3Score": 7.5`, `"V3Score": 8`, "scores 8 or more"},
			{`"V3Score": 7.5`, `"V3Score": 8.0`, "scores 8 or more"},
			{`"V3Score": 7.5`, `"V3Score": 9.8`, "scores 8 or more"},
			{`"scanFinishedOn": "2026-11-22`, `"scanFinishedOn": "2027-11-22`, "three days old"},
			{`"Results"`, `"results"`, "no such key: Results"},
		}},
		{"sigstore-vsa.yaml", "predicate-vsa.json", []change{
			{`verifier.acme.example`, `verifier.mallory.example`, "another verifier"},
			{`PASSED`, `FAILED`, "did not pass"},
			{`SLSA_BUILD_LEVEL_3`, `SLSA_BUILD_LEVEL_1`, "level 3"},
			{`prod/app`, `prod/app-evil`, "another repository"},
			{`"timeVerified": "2026-11`, `"timeVerified": "2026-09`, "30 days old"},
		}},
	}
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			_, list := exampleConditions(t, test.file)
			c, err := Compile(list)
			if err != nil {
				t.Fatal(err)
			}
			whole := string(vector(t, test.predicate))
			checkNo(t, c.Check(Vars{Statement: about(t, whole), Image: ref, Now: at}), "")
			for i, change := range test.changes {
				if strings.Count(whole, change.old) == 0 {
					t.Fatalf("%q does not occur", change.old)
				}
				changed := about(t, strings.Replace(whole, change.old, change.new, 1))
				checkNo(t, c.Check(Vars{Statement: changed, Image: ref, Now: at}), change.want)
				if i < len(list) && !strings.Contains(list[i].Message, change.want) {
					t.Errorf("change %d shows %q, not condition %q", i, change.want, list[i].Message)
				}
			}
			if len(test.changes) < len(list) {
				t.Errorf("%d changes for %d conditions", len(test.changes), len(list))
			}
		})
	}
}

// The predicates that cosign wrote down for the test vectors satisfy the examples too.
func TestExampleConditionsOfCosign(t *testing.T) {
	ref := image.MustParse("registry.acme.example/prod/app@" + signed.String())
	for file, name := range map[string]string{
		"sigstore-slsa-provenance.yaml": "statement-cosign3-slsaprovenance1.json",
		"sigstore-sbom-spdx.yaml":       "statement-cosign3-spdxjson.json",
		"sigstore-sbom-cyclonedx.yaml":  "statement-cosign3-cyclonedx.json",
		"sigstore-vuln-report.yaml":     "statement-cosign2-vuln.json",
	} {
		t.Run(file, func(t *testing.T) {
			predicateType, list := exampleConditions(t, file)
			c, err := Compile(list)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse(vector(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := s.PredicateType, TypeOf(predicateType); got != want {
				t.Errorf("predicate type = %q, want %q", got, want)
			}
			checkNo(t, c.Check(Vars{Statement: s, Image: ref, Now: now}), "")
		})
	}
}

// FuzzConditions evaluates the examples over foreign predicates: true, or a "no", and never more.
func FuzzConditions(f *testing.F) {
	var list []Condition
	for _, e := range []string{
		`predicate.packages.all(p, !p.licenseDeclared.matches("(^|[ (])A?GPL-") && p.name.lowerAscii() != "x")`,
		`predicate.a + predicate.b == predicate.c`, `predicate.a < predicate.b && predicate.a in predicate.c`, `predicate == predicate.a || size(predicate) > 3`,
		`timestamp(predicate.a) < now && duration(predicate.b) < duration("1h")`, `predicate.a.split(predicate.b).join(predicate.c).replace(predicate.a, predicate.b) == ""`,
		`predicate.exists(k, predicate[k] == 7) && predicate.a.exists(x, x.all(y, y > 7.5))`, `math.greatest(predicate.a) > 1 && int(predicate.b) + 1 > 2`,
		`string(predicate.a).contains(string(predicate.b)) && bytes(predicate.c).size() > 1`, `predicate.a[predicate.b] == predicate.c[0]`,
		`predicate.a.map(x, x * 2).filter(x, x % 3 == 0).exists_one(x, -x < 1)`,
	} {
		list = append(list, Condition{CEL: e})
	}
	var each []Conditions
	for _, one := range list {
		c, err := Compile([]Condition{one})
		if err != nil {
			f.Fatal(err)
		}
		each = append(each, c)
	}
	for _, name := range []string{"slsaprovenance1", "spdxjson", "cyclonedx", "vuln", "openvex", "custom", "vsa"} {
		f.Add(vector(f, "predicate-"+name+".json"))
	}
	f.Add([]byte(`{"a":7,"b":7.5,"c":[7,"x"]}`))
	f.Add([]byte(`{"a":["x"],"b":"","c":"2026-11-22T12:00:00Z"}`))
	f.Add([]byte(`{"a":[[1,8],[9]],"b":0,"c":[1,8]}`))
	f.Fuzz(func(t *testing.T, predicate []byte) {
		s, err := Parse([]byte(statementOf(map[string]string{"predicate": string(predicate)})))
		if err != nil {
			return
		}
		for i, c := range each {
			err := c.Check(Vars{Statement: s, Image: app, Now: now})
			if err != nil && (!trust.IsNo(err) || strings.Contains(err.Error(), "internal error")) {
				t.Errorf("%s: error = %v, want a no", list[i].CEL, err)
			}
		}
	})
}
