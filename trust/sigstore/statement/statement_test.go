package statement

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

func TestStatementsOfCosign(t *testing.T) {
	for name, kind := range map[string]string{
		"statement-cosign3-sign.json":            CosignSign,
		"statement-cosign3-slsaprovenance1.json": TypeOf("slsaprovenance1"),
		"statement-cosign3-spdxjson.json":        TypeOf("spdxjson"),
		"statement-cosign3-cyclonedx.json":       TypeOf("cyclonedx"),
		"statement-cosign3-vuln.json":            TypeOf("vuln"),
		"statement-cosign3-openvex.json":         TypeOf("openvex"),
		"statement-cosign3-custom.json":          TypeOf("custom"),
		"statement-cosign2-vuln.json":            TypeOf("vuln"),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse(vector(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if s.PredicateType != kind {
				t.Errorf("predicate type = %q, want %q", s.PredicateType, kind)
			}
			subject, ok := s.About(signed)
			if !ok {
				t.Errorf("is not about the image: %+v", s.Subjects)
			}
			if job := subject.Annotations["job"]; kind == CosignSign && job != "release" {
				t.Errorf("annotation = %v", job)
			}
			if p, err := s.Predicate(); err != nil || reflect.TypeOf(p) != reflect.TypeFor[map[string]any]() {
				t.Errorf("predicate = %v, error %v", p, err)
			}
		})
	}
}

func TestTypeOf(t *testing.T) {
	if got, want := TypeOf("https://acme.example/own"), "https://acme.example/own"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, name := range []string{"slsaprovenance", "slsaprovenance02", "slsaprovenance1", "spdx", "spdxjson", "cyclonedx", "link", "vuln", "openvex", "custom"} {
		if got := TypeOf(name); !strings.HasPrefix(got, "https://") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// statementOf is a statement with some members replaced or, by "", left out.
func statementOf(members map[string]string) string {
	all := map[string]string{
		"_type": `"` + typeV1 + `"`, "predicateType": `"https://acme.example/p"`, "predicate": `{}`,
		"subject": `[{"name":"app","digest":{"sha256":"` + signed.Hex() + `"}}]`,
	}
	for name, value := range members {
		all[name] = value
	}
	var parts []string
	for name, value := range all {
		if value != "" {
			parts = append(parts, fmt.Sprintf("%q: %s", name, value))
		}
	}
	return "{" + strings.Join(parts, ",\n") + "}"
}

func TestParse(t *testing.T) {
	of := func(name, value string) string { return statementOf(map[string]string{name: value}) }
	digest := `{"sha256":"` + signed.Hex() + `"}`
	many := strings.TrimSuffix(strings.Repeat(`{"digest":`+digest+`},`, MaxSubjects+1), ",")
	var algorithms []string
	for i := range MaxDigests + 1 {
		algorithms = append(algorithms, fmt.Sprintf(`"a%d":"0"`, i))
	}
	tests := []struct {
		name, payload string
		want          string // part of the refusal, "" for none
	}{
		{"v1", of("_type", `"`+typeV1+`"`), ""},
		{"v0.1", of("_type", `"`+typeV01+`"`), ""},
		{"no predicate", of("predicate", ""), ""},
		{"a predicate that is a text", of("predicate", `"text"`), ""},
		{"an unknown member", of("other", `{"a":1}`), ""},
		{"no name", of("subject", `[{"digest":`+digest+`}]`), ""},
		{"T16: another version", of("_type", `"https://in-toto.io/Statement/v2"`), "is neither"},
		{"T16: a version with more behind it", of("_type", `"`+typeV1+`/x"`), "is neither"},
		{"T16: no version", of("_type", ""), `has no member "_type"`},
		{"T16: no predicate type", of("predicateType", ""), `has no member "predicateType"`},
		{"T16: an empty predicate type", of("predicateType", `""`), "its predicateType is empty"},
		{"T16: a predicate type that is no text", of("predicateType", `["https://acme.example/p"]`), "predicateType: is no text"},
		{"T16: nothing", ``, "malformed JSON"},
		{"T16: broken", of("predicate", `{`), "malformed JSON"},
		{"T16: null", `null`, "is no JSON object"},
		{"T16: no subject", of("subject", ""), `has no member "subject"`},
		{"T16: null for the subject", of("subject", "null"), "subject: is no JSON array"},
		{"T16: about nothing", of("subject", "[]"), "is about no subject"},
		{"T16: null for a subject", of("subject", "[null]"), "subject[0]: is no JSON object"},
		{"a subject without a digest", of("subject", `[{"name":"app"}]`), "subject[0]: digest: is no JSON object"},
		{"a digest that is no text", of("subject", `[{"digest":{"sha256":7}}]`), "sha256: is no text"},
		{"a name that is no text", of("subject", `[{"name":{},"digest":`+digest+`}]`), "name: is no text"},
		{"annotations that are no object", of("subject", `[{"digest":`+digest+`,"annotations":[]}]`), "annotations: is no JSON object"},
		{"T31: a type twice", of("predicateType", `"https://acme.example/other","predicateType":"https://acme.example/p"`), `has the member "predicateType" twice`},
		{"T31: a digest twice", of("subject", `[{"digest":{"sha256":"0","sha256":"1"}}]`), `has the member "sha256" twice`},
		{"T31: twice, deep in the predicate", of("predicate", `{"a":[{"b":{"c":1,"d":2,"c":1}}]}`), `has the member "c" twice`},
		{"T31: twice among many", of("predicate", `{"x":0,"a0":1,"a1":1,"a2":1,"a3":1,"a4":1,"a5":1,"a6":1,"a7":1,"a8":1,"a9":1,"b0":1,"b1":1,"b2":1,"b3":1,"b4":1,"b5":1,"b6":1,"x":1}`), `"x" twice`},
		{"T31: twice among what is not known", of("other", `{"a":1,"a":2}`), `has the member "a" twice`},
		{"T31: a type in another case", of("PredicateType", `"https://acme.example/other"`), `some readers take for "predicateType"`},
		{"T31: a type by its other name", of("predicate_type", `"https://acme.example/other"`), `some readers take for "predicateType"`},
		{"T31: a digest in another case", of("subject", `[{"digest":`+digest+`,"Digest":{"sha256":"0"}}]`), `some readers take for "digest"`},
		{"not UTF-8", of("predicate", "\"\xc3\""), "is not UTF-8"},
		{"T43: too long", of("predicate", `"`+strings.Repeat("x", trust.MaxEvidence)+`"`), "are allowed"},
		{"T43: too many subjects", of("subject", "["+many+"]"), "1025 subjects, at most 1024"},
		{"T43: too many digests", of("subject", `[{"digest":{`+strings.Join(algorithms, ",")+`}}]`), "33 algorithms, at most 32"},
		{"T43: too deep", of("predicate", strings.Repeat(`{"a":`, 200)+"1"+strings.Repeat("}", 200)), "nested more than 100 deep"},
		{"T43: too many values", of("predicate", "["+strings.TrimSuffix(strings.Repeat("[],", maxValues), ",")+"]"), "has more than 524288 values"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Parse([]byte(test.payload))
			checkNo(t, err, test.want)
			if err == nil {
				if _, ok := s.About(signed); !ok {
					t.Errorf("subjects = %+v", s.Subjects)
				}
			}
		})
	}
}

// T11: a statement about another image, or about this one by another algorithm only.
func TestT11_About(t *testing.T) {
	hex := signed.Hex()
	tests := []struct {
		name, subject string
		want          bool
	}{
		{"the image", `{"digest":{"sha256":"` + hex + `"}}`, true},
		{"the image after another", `{"digest":{"sha256":"` + strings.Repeat("0", 64) + `"}},{"digest":{"sha256":"` + hex + `"}}`, true},
		{"the image with another algorithm beside it", `{"digest":{"sha1":"0","sha256":"` + hex + `"}}`, true},
		{"another image", `{"digest":{"sha256":"` + strings.Repeat("0", 64) + `"}}`, false},
		{"another image, and ours by another algorithm", `{"digest":{"sha256":"` + strings.Repeat("0", 64) + `","sha512":"` + hex + `"}}`, false},
		{"only by another algorithm", `{"digest":{"gitCommit":"` + hex + `"}}`, false},
		{"upper case", `{"digest":{"sha256":"` + strings.ToUpper(hex) + `"}}`, false},
		{"an algorithm in upper case", `{"digest":{"SHA256":"` + hex + `"}}`, false},
		{"a part of it", `{"digest":{"sha256":"` + hex[:40] + `"}}`, false},
		{"with its algorithm", `{"digest":{"sha256":"sha256:` + hex + `"}}`, false},
		{"by name", `{"name":"` + hex + `","digest":{}}`, false},
		{"empty", `{"digest":{"":""}}`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Parse([]byte(statementOf(map[string]string{"subject": "[" + test.subject + "]"})))
			if err != nil {
				t.Fatal(err)
			}
			if _, got := s.About(signed); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
			if _, got := s.About(image.Digest{}); got {
				t.Error("is about no digest")
			}
		})
	}
	if _, got := new(Statement).About(signed); got {
		t.Error("the zero statement is about an image")
	}
}

func TestPredicate(t *testing.T) {
	s := about(t, `{"int":7,"whole":7.0,"exponent":7e2,"half":7.5,"negative":-0,"big":9223372036854775807,"larger":9223372036854775808,
		"list":[1,[],{}],"null":null,"true":true,"text":"a\"\u00e9\ud83d\ude00"}`)
	want := map[string]any{
		"int": int64(7), "whole": int64(7), "exponent": int64(700), "half": 7.5, "negative": int64(0), "big": int64(9223372036854775807), "larger": 9223372036854775808.0,
		"list": []any{int64(1), []any{}, map[string]any{}}, "null": nil, "true": true, "text": "a\"é😀",
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := s.Predicate()
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("error %v, (-want +got)\n%s", err, diff)
			}
		})
	}
	wg.Wait()
	if p, err := new(Statement).Predicate(); p != nil || err != nil {
		t.Errorf("of the zero statement: %v, %v", p, err)
	}
}

func BenchmarkParse(b *testing.B) {
	for name, payload := range map[string][]byte{"Provenance": vector(b, "statement-cosign3-slsaprovenance1.json"), "LargeSBOM": []byte(statementOf(map[string]string{"predicate": packages(5000)}))} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPredicateLargeSBOM(b *testing.B) {
	payload := []byte(statementOf(map[string]string{"predicate": packages(5000)}))
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		s, err := Parse(payload)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Predicate(); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzStatement compares what is accepted with what the standard library reads.
func FuzzStatement(f *testing.F) {
	for _, name := range []string{"sign", "slsaprovenance1", "spdxjson", "cyclonedx", "vuln", "openvex", "custom"} {
		f.Add(vector(f, "statement-cosign3-"+name+".json"))
	}
	f.Add(vector(f, "statement-cosign2-vuln.json"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, err := Parse(payload)
		if err != nil {
			if !trust.IsNo(err) {
				t.Errorf("error = %v, want a no", err)
			}
			return
		}
		var other struct {
			Type          string `json:"_type"`
			PredicateType string `json:"predicateType"`
			Subject       []struct{ Digest map[string]string }
			Predicate     any
		}
		if err := json.Unmarshal(payload, &other); err != nil && !strings.Contains(err.Error(), "cannot unmarshal number") {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if s.PredicateType != other.PredicateType || len(s.Subjects) != len(other.Subject) {
			t.Errorf("got %+v, encoding/json reads %+v", s, other)
		}
		predicate, err := s.Predicate()
		if err != nil {
			if !trust.IsNo(err) {
				t.Errorf("error = %v, want a no", err)
			}
			return
		}
		if diff := cmp.Diff(other.Predicate, asFloats(predicate)); diff != "" {
			t.Errorf("(-encoding/json +got)\n%s", diff)
		}
	})
}

// asFloats turns every number into what encoding/json makes of it.
func asFloats(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case []any:
		for i := range v {
			v[i] = asFloats(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = asFloats(v[k])
		}
	}
	return v
}
