package statement

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

var (
	app = image.MustParse("registry.acme.example:5000/prod/app:1@" + image.SHA256([]byte("app")).String())
	now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
)

// about is a statement about app with a predicate.
func about(t testing.TB, predicate string) *Statement {
	t.Helper()
	s, err := Parse([]byte(`{"_type":"` + typeV1 + `","predicateType":"https://acme.example/p","subject":[{"name":"app","digest":{"sha256":"` +
		app.Digest().Hex() + `"}}],"predicate":` + predicate + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func compiledOf(t testing.TB, expressions ...string) Conditions {
	t.Helper()
	var list []Condition
	for _, e := range expressions {
		list = append(list, Condition{CEL: e})
	}
	c, err := Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConditions(t *testing.T) {
	const predicate = `{"score":7,"float":7.0,"half":7.5,"exponent":7e0,"big":9007199254740993,"huge":18446744073709551615,"name":"App One","list":["a","b"],
		"scanned":"2026-11-20T12:00:00Z","nested":{"ok":true,"none":null},"unicode":"\u00e9"}`
	tests := []struct {
		expression string
		want       string // part of the refusal, "" for none
	}{
		{`predicate.score < 7`, "is not true"},
		{`predicate.score == 7`, ""},
		{`predicate.score == 7.0`, ""},
		{`predicate.score < 7.5 && predicate.score >= 7`, ""},
		{`predicate.float == 7 && predicate.float <= 7 && predicate.float > 6.5`, ""},
		{`predicate.float < 7`, "is not true"},
		{`predicate.exponent == 7 && predicate.exponent == predicate.float`, ""},
		{`predicate.half < 8 && predicate.half > 7 && predicate.half == 7.5`, ""},
		{`predicate.half == 7 || predicate.half < 7`, "is not true"},
		{`double(predicate.score) / 2.0 == 3.5`, ""},
		{`double(predicate.score) < 8`, ""},
		{`predicate.big == 9007199254740993 && predicate.big != 9007199254740992`, ""},
		{`predicate.huge > 9007199254740993`, ""},
		{`predicate.missing == 7`, "no such key: missing"},
		{`predicate.missing != 7`, "no such key: missing"},
		{`!(predicate.missing == 7)`, "no such key: missing"},
		{`predicate.name < 7`, "no such overload"},
		{`predicate.name.contains("App") && predicate.name.startsWith("A") && size(predicate.name) == 7`, ""},
		{`predicate.name.lowerAscii().split(" ") == ["app", "one"]`, ""},
		{`predicate.name.upperAscii().replace(" ", "") == "APPONE" && " x ".trim() == "x"`, ""},
		{`predicate.list.join("-") == "a-b" && ["", "a"].join(",") == ",a"`, ""},
		{`predicate.name.matches("^App [A-Z]") && !matches(predicate.name, "^x")`, ""},
		{`predicate.list.all(x, x in ["a", "b", "c"]) && predicate.list.exists_one(x, x == "a")`, ""},
		{`predicate.list.filter(x, x != "a").map(x, x + x) == ["bb"]`, ""},
		{`math.greatest([1, 2, predicate.score]) == 7`, ""},
		{`predicate.nested.ok`, ""},
		{`predicate.nested.ok == true && predicate.nested.none == null`, ""},
		{`predicate.unicode == "é"`, ""},
		{`has(predicate.nested) && !has(predicate.other)`, ""},
		{`now - timestamp(predicate.scanned) < duration("72h")`, ""},
		{`now - timestamp(predicate.scanned) < duration("24h")`, "is not true"},
		{`timestamp(predicate.name) < now`, "invalid RFC 3339 timestamp"},
		{`now.getFullYear() == 2026 && now.getDayOfWeek() == 0`, ""},
		{`image.registry == "registry.acme.example:5000" && image.repository == "prod/app" && image.tag == "1"`, ""},
		{`image.name == "registry.acme.example:5000/prod/app" && image.digest.startsWith("sha256:")`, ""},
		{`predicate.score / 0 == 1`, "division by zero"},
		{`predicate.list[7] == "a"`, "index out of bounds"},
	}
	statement := about(t, predicate)
	for _, test := range tests {
		t.Run(test.expression, func(t *testing.T) {
			expression := test.expression
			if expression == `predicate.nested.ok` {
				expression += " == true"
			}
			err := compiledOf(t, expression).Check(Vars{Statement: statement, Image: app, Now: now})
			checkNo(t, err, test.want)
		})
	}
}

// checkNo wants no error, or a "no" with a text.
func checkNo(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("error = %v, want none", err)
		}
		return
	}
	if !trust.IsNo(err) || !errors.Is(err, trust.ErrUntrusted) || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want a no with %q", err, want)
	}
}

func TestCompileRefuses(t *testing.T) {
	tests := []struct{ name, expression, want string }{
		{"nothing", ``, "the expression is empty; "},
		{"no CEL", `predicate.`, "line 1, column"},
		{"an unknown variable", "true &&\n predicat.x == 1", "line 2, column 2: undeclared reference to 'predicat' (in container ''); an expression can use predicate, image and now"},
		{"an unknown field of the image", `image.regstry == ""`, `line 1, column 1: image has no field "regstry"; it has registry, repository, name, tag, digest`},
		{"the image alone", `true && image == ""`, "line 1, column 9: image itself is no value; write image. and one of registry"},
		{"a look whether the image has a tag", `has(image.tag)`, "image itself is no value"},
		{"an unknown function", `now() < now`, "undeclared reference"},
		{"no bool", `1 + 1`, "the result is of type int, want bool; write a CEL expression that is true or false"},
		{"anything", `predicate.ok`, "the result may be anything; write a CEL expression that is true or false"},
		{"too long", strings.Repeat(" ", MaxCondition) + "true", "4100 bytes, at most 4096"},
		{"nested too deep", strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300), "recursion"},
		{"three loops", `predicate.a.all(x, predicate.b.all(y, predicate.c.all(z, x == y && y == z)))`, "too costly"},
		{"a pattern of a predicate", `"x".matches(predicate.p)`, "line 1, column 12: the pattern of matches must be written as a text"},
		{"a pattern that is made", `matches("x", "a" + "b")`, "must be written as a text"},
		{"a broken pattern", `"x".matches("(")`, "missing closing )"},
		{"a pattern that is a bomb", `"x".matches("((a{1,50}){1,50}){1,50}")`, "pattern"},
		{"a long pattern", `"x".matches("a{1000}b{1000}")`, "instructions, at most 1000"},
		{"a named time zone", `now.getHours("Europe/Berlin") == 1`, "found no matching overload"},
		{"a broken duration", `duration("1x") < duration("1s")`, "invalid duration"},
		{"a range", `size(lists.range(1000000)) > 1`, "undeclared reference"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Compile([]Condition{{CEL: "true"}, {CEL: test.expression}})
			var of *ConditionError
			if !errors.As(err, &of) || of.Index != 1 || strings.Count(err.Error(), "conditions[1]: ") != 1 || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one of conditions[1] with %q", err, test.want)
			}
			if strings.Count(err.Error(), "; ") != 1 || strings.Contains(err.Error(), "true or false") && !strings.Contains(err.Error(), "the result ") && test.expression != "" {
				t.Errorf("error = %v, want one next step, that of its cause", err)
			}
		})
	}
	if _, err := Compile(make([]Condition, MaxConditions+1)); err == nil || !strings.Contains(err.Error(), "at most 64") {
		t.Errorf("error = %v", err)
	}
	if _, err := Compile([]Condition{{CEL: "true", Message: strings.Repeat("x", MaxMessage+1)}}); err == nil || !strings.Contains(err.Error(), "message") {
		t.Errorf("error = %v", err)
	}
}

func TestConditionMessages(t *testing.T) {
	c, err := Compile([]Condition{{CEL: "predicate.a == 1"}, {CEL: "predicate.b == 1", Message: "b must be one"}})
	if err != nil {
		t.Fatal(err)
	}
	for predicate, want := range map[string]string{
		`{"a":2}`:       "condition predicate.a == 1 is not true",
		`{"a":1,"b":2}`: "b must be one",
		`{"a":1}`:       "b must be one (no such key: b)",
		`null`:          "condition predicate.a == 1 is not true (no such key: a)",
		`"text"`:        "condition predicate.a == 1 is not true (no such key: a)",
		`{"a":1e999}`:   "predicate: number 1e999: out of range",
	} {
		err := c.Check(Vars{Statement: about(t, predicate), Image: app, Now: now})
		checkNo(t, err, want)
		if err != nil && !strings.HasSuffix(err.Error(), want) {
			t.Errorf("error = %q, want nothing after %q", err, want)
		}
	}
	checkNo(t, c.Check(Vars{}), "condition predicate.a == 1 is not true (no such key: a)")
	checkNo(t, Conditions{}.Check(Vars{}), "")
}

// large is a statement about a list of n texts and one long text.
func large(t testing.TB, n int) *Statement {
	t.Helper()
	list := "[" + strings.TrimSuffix(strings.Repeat(`"x",`, n), ",") + "]"
	return about(t, `{"big":"`+strings.Repeat("a", 1<<20)+`","list":`+list+`}`)
}

// T43: what is in a predicate cannot make a condition do more than its limits allow. No time limit helps here.
func TestT43_StepsAreBounded(t *testing.T) {
	tests := []struct{ name, expression, want string }{
		{"a quadratic walk", `predicate.list.all(x, predicate.list.all(y, x == y))`, "takes more than the steps"},
		{"a quadratic walk with errors", `predicate.list.all(x, predicate.list.all(y, x.z == y))`, "takes more than the steps"},
		{"a long text for a pattern", `predicate.big.matches("(a|aa)+$")`, "at most 65536 are allowed"},
		{"replacing by a long text", `predicate.big.replace("a", predicate.big) == ""`, "at most 65536 are allowed"},
		{"replacing over and over", `"aaaaaaaa"` + strings.Repeat(`.replace("a", "aaaaaaaaaaaaaaaaaaaa")`, 20) + ` == ""`, "at most 65536 are allowed"},
		{"replacing at once", `"` + strings.Repeat("a", 300) + `".replace("a", "` + strings.Repeat("b", 300) + `") == ""`, "a text of 90000 bytes"},
		{"joining long texts", `predicate.list.map(x, predicate.big).join("") == ""`, "at most 65536 are allowed"},
		{"joining many", `predicate.list.map(x, "aaaaaaaaaa").join("") == ""`, "more than 65536"},
		{"doubling", `["aaaaaaaa"]` + strings.Repeat(`.map(x, x + x)`, 100) + ` == []`, "takes more than the steps"},
		{"doubling bytes", `[b"aaaaaaaa"]` + strings.Repeat(`.map(x, x + x)`, 100) + ` == []`, "takes more than the steps"},
	}
	variables, err := Vars{Statement: large(t, 100_000), Image: app, Now: now}.variables()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start := time.Now()
			err := compiledOf(t, test.expression).list[0].check(context.Background(), variables)
			t.Logf("%s: %v", time.Since(start), err)
			if !trust.IsNo(err) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want a no with %q", err, test.want)
			}
		})
	}
}

// T43: an evaluation ends with its time, in a loop and outside of one.
func TestT43_TimeIsBounded(t *testing.T) {
	statement := large(t, 400_000)
	for name, expression := range map[string]string{
		"in a loop":      `predicate.list.exists(x, predicate == predicate && x == "y")`,
		"outside a loop": strings.Repeat(`predicate==predicate&&`, 180) + `false`,
	} {
		t.Run(name, func(t *testing.T) {
			c := compiledOf(t, expression)
			start := time.Now()
			err := c.Check(Vars{Statement: statement, Image: app, Now: now})
			if took := time.Since(start); took > 4*maxDuration { // of a machine that does other things as well
				t.Errorf("took %s", took)
			}
			checkNo(t, err, "took longer than 2s")
		})
	}
}

// Compiled once, evaluated by many at a time.
func TestConditionsConcurrently(t *testing.T) {
	c := compiledOf(t, `predicate.list.all(x, x.matches("^[a-z]$"))`, `predicate.n == 1`)
	good, bad := about(t, `{"list":["a","b"],"n":1}`), about(t, `{"list":["a","B"],"n":1}`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := c.Check(Vars{Statement: good, Image: app, Now: now}); err != nil {
					t.Error(err)
				}
				if err := c.Check(Vars{Statement: bad, Image: app, Now: now}); !trust.IsNo(err) {
					t.Errorf("error = %v, want a no", err)
				}
			}
		})
	}
	wg.Wait()
}

// packages is an SBOM of n packages in SPDX's form, about 1 kB each.
func packages(n int) string {
	var b strings.Builder
	b.WriteString(`{"spdxVersion":"SPDX-2.3","packages":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"SPDXID":"SPDXRef-Package-%d","name":"package-%d","versionInfo":"1.%d.0","supplier":"Organization: Acme","downloadLocation":"NOASSERTION",
"filesAnalyzed":false,"sourceInfo":%q,"licenseConcluded":"NOASSERTION","licenseDeclared":"MIT","copyrightText":"NOASSERTION","description":%q,
"externalRefs":[{"referenceCategory":"SECURITY","referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:acme:package-%d:1.0:*:*:*:*:*:*:*"},
{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:deb/debian/package-%d@1.0?arch=amd64"}]}`,
			i, i, i, strings.Repeat("s", 100), strings.Repeat("d", 250), i, i)
	}
	b.WriteString(`]}`)
	return b.String()
}

// A large SBOM can be walked through with its inner lists, twice.
func TestConditionsOverLargeSBOM(t *testing.T) {
	statement := about(t, packages(5000))
	c := compiledOf(t, `predicate.packages.all(p, p.licenseDeclared in ["MIT", "Apache-2.0"] && p.name != "log4j") &&
		!predicate.packages.exists(p, p.externalRefs.exists(r, r.referenceType == "purl" && r.referenceLocator.startsWith("pkg:maven/org.apache.logging")))`)
	variables, err := Vars{Statement: statement, Image: app, Now: now}.variables()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := c.list[0].check(t.Context(), variables); err != nil {
		t.Error(err)
	}
	steps := variables[meterName].(*meter).steps
	t.Logf("took %s and %d steps", time.Since(start), steps)
	if steps > maxSteps/10 {
		t.Errorf("%d steps of %d, want a tenth at most", steps, maxSteps)
	}
}

func BenchmarkConditionsLargeSBOM(b *testing.B) {
	statement := about(b, packages(5000))
	c := compiledOf(b, `predicate.packages.all(p, p.licenseDeclared in ["MIT", "Apache-2.0"] && p.name != "log4j")`)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Check(Vars{Statement: statement, Image: app, Now: now}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConditionsProvenance(b *testing.B) {
	statement := about(b, `{"runDetails":{"builder":{"id":"https://builder.example"}}}`)
	c := compiledOf(b, `predicate.runDetails.builder.id == "https://builder.example"`)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Check(Vars{Statement: statement, Image: app, Now: now}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		compiledOf(b, `predicate.a == 1`)
	}
}
