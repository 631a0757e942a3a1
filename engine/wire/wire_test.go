package wire_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/wire"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// filler sets every field of a value, however deep it lies. A field of a kind that it does not know is an error: then somebody has to
// think about how it is written.
type filler struct {
	text   func() string
	number func() int64
	yes    func() bool
	length func() int // negative: nil
	at     func() time.Time
}

func (f *filler) fill(t interface{ Fatalf(string, ...any) }, v reflect.Value, path string) {
	switch v.Interface().(type) {
	case image.Digest:
		v.Set(reflect.ValueOf(image.SHA256([]byte(f.text()))))
		return
	case time.Time:
		v.Set(reflect.ValueOf(f.at()))
		return
	case engine.Outcome:
		v.SetInt(f.number() % 5)
		return
	case engine.Standing:
		v.SetInt(f.number() % 5)
		return
	case trust.Logins, *engine.Local:
		return // are never sent
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(f.text())
	case reflect.Bool:
		v.SetBool(f.yes())
	case reflect.Int, reflect.Int64:
		v.SetInt(f.number())
	case reflect.Uint8:
		v.SetUint(uint64(f.number()) % 256)
	case reflect.Slice:
		n := f.length()
		if n < 0 {
			return // nil is not empty
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fill(t, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Map:
		n := f.length()
		if n < 0 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(t, key, path+" key")
			f.fill(t, value, path+" value")
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			switch {
			case field.IsExported():
				f.fill(t, v.Field(i), path+"."+field.Name)
			case path != "Verdict" || field.Name != "cause":
				t.Fatalf("%s.%s cannot be set from outside: say how it is written", path, field.Name)
			}
		}
	default:
		t.Fatalf("%s: nobody knows how %s is written", path, v.Type())
	}
}

// all fills everything with something that is not zero.
func all() *filler {
	n := int64(0)
	next := func() int64 { n++; return n }
	return &filler{
		text: func() string { return fmt.Sprint("text ", next()) }, number: next, yes: func() bool { return true }, length: func() int { return 2 },
		at: func() time.Time { return time.Unix(1_800_000_000+next(), 7).UTC() },
	}
}

// drawn fills by chance, zero values and texts that are no UTF-8 among them.
func drawn(t *rapid.T) *filler {
	texts := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "\xff", "a\x00b", "\x00base64:", "\x00base64:YQ==", "<&>\u2028", "Straße"}))
	return &filler{
		text: func() string { return texts.Draw(t, "text") }, number: func() int64 { return rapid.Int64().Draw(t, "number") & (1<<62 - 1) },
		yes: func() bool { return rapid.Bool().Draw(t, "yes") }, length: func() int { return rapid.IntRange(-1, 2).Draw(t, "length") },
		at: func() time.Time {
			if rapid.Bool().Draw(t, "never") {
				return time.Time{}
			}
			zone := time.FixedZone("", 60*rapid.IntRange(-700, 700).Draw(t, "zone"))
			return time.Unix(rapid.Int64Range(0, 200_000_000_000).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).In(zone)
		},
	}
}

// agree makes a filled verdict one that an engine could give.
func agree(v *engine.Verdict) {
	if v.Child = v.Child && !v.Digest.IsZero(); v.Outcome == engine.NoOpinion {
		v.Outcome = engine.Denied
	}
	v.Mode = map[bool]string{true: "enforce", false: "audit"}[v.Outcome == engine.Allowed]
	v.Allowed = v.Allowed || v.Outcome == engine.Allowed
	decisions := []*engine.Decision{&v.Decision}
	for i := range v.Also {
		v.Also[i].Mode = "warn"
		decisions = append(decisions, &v.Also[i])
	}
	for _, d := range decisions {
		for i := range d.Authorities {
			vouch(&d.Authorities[i])
		}
	}
}

func vouch(a *engine.Attestation) {
	if len(a.Proofs) == 0 {
		a.Proofs = nil
	}
	for i := range a.Proofs {
		if len(a.Proofs[i].Signers) == 0 {
			a.Proofs[i].Signers = []trust.Signer{{Key: "SHA256:x"}}
		}
	}
	switch {
	case len(a.Proofs) > 0:
		a.Standing = engine.Proved
	case a.Standing == engine.Proved:
		a.Standing = engine.Unclear
	}
}

var comparing = cmp.Options{
	cmpopts.IgnoreUnexported(engine.Verdict{}),
	cmp.Comparer(func(a, b image.Digest) bool { return a == b }),
	cmp.Comparer(func(a, b trust.Logins) bool { return a.Key() == b.Key() }),
}

func diff(want, got *engine.Verdict) string {
	d := cmp.Diff(want, got, comparing)
	if fmt.Sprint(want.Err()) != fmt.Sprint(got.Err()) {
		d += fmt.Sprintf("got the cause %v, want %v", got.Err(), want.Err())
	}
	return d
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// roundTrip compares a verdict with what is read of what was written.
func roundTrip(t fataler, v engine.Verdict) engine.Verdict {
	t.Helper()
	body, err := wire.EncodeVerdicts([]engine.Verdict{v})
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.DecodeVerdicts(body, 1)
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	if d := diff(&v, &got[0]); d != "" {
		t.Fatal(d)
	}
	return got[0]
}

// A field that is added to a verdict, a proof or a question and that nobody writes comes back empty, and fails here.
func TestNothingIsForgotten(t *testing.T) {
	var v engine.Verdict
	all().fill(t, reflect.ValueOf(&v).Elem(), "Verdict")
	v.Authorities[0].Standing, v.Outcome, v.Mode = engine.Proved, engine.Allowed, "enforce"
	agree(&v)
	roundTrip(t, v)

	var req engine.Request
	all().fill(t, reflect.ValueOf(&req).Elem(), "Request")
	body, err := wire.EncodeQuestions([]engine.Request{req})
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.DecodeQuestions(body)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]engine.Request{req}, got, comparing); d != "" {
		t.Error(d)
	}
}

func TestVerdictsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v engine.Verdict
		drawn(t).fill(t, reflect.ValueOf(&v).Elem(), "Verdict")
		agree(&v)
		roundTrip(t, v)
	})
}

func TestQuestionsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reqs := make([]engine.Request, rapid.IntRange(1, 3).Draw(t, "questions"))
		for i := range reqs {
			drawn(t).fill(t, reflect.ValueOf(&reqs[i]).Elem(), "Request")
		}
		body, err := wire.EncodeQuestions(reqs)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.DecodeQuestions(body)
		if err != nil {
			t.Fatalf("%v in\n%s", err, body)
		}
		if d := cmp.Diff(reqs, got, comparing); d != "" {
			t.Fatal(d)
		}
	})
}

// What could not be told, and a bug, keep their cause: points look for some of them.
func TestCausesComeBack(t *testing.T) {
	labels := fmt.Errorf("x: %w", engine.ErrNamespaceLabels)
	v := engine.Verdict{Image: "x", Decision: engine.Decision{Outcome: engine.CouldNotTell, Reason: labels.Error()}}
	v.SetErr(labels)
	if got := roundTrip(t, v); !errors.Is(got.Err(), engine.ErrNamespaceLabels) {
		t.Errorf("got %v, want ErrNamespaceLabels", got.Err())
	}
	v.SetErr(errors.New("another text than the reason"))
	if got := roundTrip(t, v); errors.Is(got.Err(), engine.ErrNamespaceLabels) {
		t.Error("a cause that says nothing of labels became one that does")
	}
	v.Outcome, v.Reason = engine.Bug, "bug: index"
	v.SetErr(fmt.Errorf("y: %w", &engine.BugError{Value: errors.New("index")}))
	got := roundTrip(t, v)
	var bug *engine.BugError
	if !errors.As(got.Err(), &bug) || bug.Error() != "bug: index" {
		t.Errorf("got %v, want the bug", got.Err())
	}
	if again := roundTrip(t, got); !errors.As(again.Err(), &bug) {
		t.Error("the bug got lost on a second way")
	}
}

func TestWhatIsNeverSent(t *testing.T) {
	read, err := trust.ReadDockerConfig([]byte(`{"auths":{"registry.example":{"auth":"dTpw"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	login, err := trust.NewLogins(nil, read...)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]engine.Request, wire.MaxQuestions+1)
	for name, reqs := range map[string][]engine.Request{
		"logins": {{Image: "a"}, {Image: "b", Logins: login}}, "local": {{Image: "a", Local: &engine.Local{}}},
		"none": {}, "too many": many, "too large": {{Image: strings.Repeat("x", wire.MaxQuestionsBody)}},
	} {
		if body, err := wire.EncodeQuestions(reqs); err == nil {
			t.Errorf("%s: %.100s was written", name, body)
		}
	}
}

// T23: a verdict that was changed on its way, or by a server that lies, is none.
func TestT23_VerdictsThatContradictThemselves(t *testing.T) {
	proved := engine.Attestation{Authority: "a", Standing: engine.Proved}
	nobody := proved
	nobody.Proofs = []trust.Proof{{Digest: image.SHA256(nil)}}
	for name, v := range map[string]engine.Verdict{
		"allowed and nothing else": {Allowed: true},
		"allowed and denied":       {Allowed: true, Decision: engine.Decision{Mode: "enforce", Outcome: engine.Denied}},
		"allowed in no mode":       {Allowed: true, Decision: engine.Decision{Outcome: engine.Allowed}},
		"allowed in another mode":  {Allowed: true, Decision: engine.Decision{Mode: "ENFORCE", Outcome: engine.Allowed}},
		"allowed and cannot tell":  {Allowed: true, Decision: engine.Decision{Mode: "enforce", Outcome: engine.CouldNotTell}},
		"allowed by no opinion":    {Allowed: true, Decision: engine.Decision{Mode: "enforce", Outcome: engine.NoOpinion}},
		"another policy stops":     {Allowed: true, Decision: engine.Decision{Mode: "enforce", Outcome: engine.Allowed}, Also: []engine.Decision{{Mode: "enforce"}}},
		"a child of nothing":       {Child: true},
		"proved by nothing":        {Decision: engine.Decision{Authorities: []engine.Attestation{proved}}},
		"proved by nobody":         {Decision: engine.Decision{Authorities: []engine.Attestation{nobody}}},
		"unsigned with a proof":    {Also: []engine.Decision{{Authorities: []engine.Attestation{{Standing: engine.Unsigned, Proofs: nobody.Proofs}}}}},
	} {
		if body, err := wire.EncodeVerdicts([]engine.Verdict{v}); err == nil {
			t.Errorf("%s: %s was written", name, body)
		}
	}
}

func TestStrict(t *testing.T) {
	const good = `{"form":1,"verdicts":[{"image":"a","allowed":true,"decision":{"mode":"audit","outcome":"denied"}}]}`
	if vs, err := wire.DecodeVerdicts([]byte(good), 1); err != nil || !vs[0].Allowed {
		t.Fatal(vs, err)
	}
	if _, err := wire.DecodeVerdicts([]byte(" "+strings.ReplaceAll(good, ",", " ,\n")), 1); err != nil {
		t.Errorf("spaces: %v", err)
	}
	change := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("%s is not in it", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	for name, body := range map[string]string{
		"nothing": "", "null": "null", "list": "[]", "cut": good[:len(good)-1], "something after": good + "{}", "a word after": good + "x",
		"another form": change(`"form":1`, `"form":2`), "no form": change(`"form":1,`, ``), "form as text": change(`"form":1`, `"form":"1"`),
		"unknown field": change(`"image"`, `"x":1,"image"`), "unknown field outside": change(`"form"`, `"x":1,"form"`),
		"twice": change(`"allowed":true`, `"allowed":false,"allowed":true`), "twice in other case": change(`"allowed":true`, `"allowed":true,"Allowed":true`),
		"other case": change(`"allowed"`, `"Allowed"`), "null in place of": change(`"mode":"audit"`, `"mode":null,"reason":null`),
		"zero that stands": change(`"image":"a"`, `"image":"a","pin":""`), "allowed as text": change(`true`, `"true"`),
		"no outcome": change(`,"outcome":"denied"`, ``), "another outcome": change(`"denied"`, `"DENIED"`), "outcome as number": change(`"denied"`, `1`),
		"no mode": change(`"mode":"audit",`, ``), "mode enforces": change(`"audit"`, `"enforce"`),
		"a digest that is none": change(`"image":"a"`, `"image":"a","digest":"sha256:00"`),
		"hidden without need":   change(`"image":"a"`, `"image":"\u0000base64:YQ=="`), "hidden and broken": change(`"image":"a"`, `"image":"\u0000base64:Y"`),
		"no cause for a no": change(`"denied"}`, `"denied"},"cause":{"text":"x"}`), "order": change(`"form":1,`, ``)[:len(good)-len(`"form":1,`)-1] + `,"form":1}`,
		"two": change(`[{`, `[{"image":"a","allowed":false,"decision":{"outcome":"denied"}},{`), "none": `{"form":1,"verdicts":[]}`, "null verdict": `{"form":1,"verdicts":[null]}`,
	} {
		if vs, err := wire.DecodeVerdicts([]byte(body), 1); err == nil {
			t.Errorf("%s: %s was read: %+v", name, body, vs)
		}
	}
	if _, err := wire.DecodeVerdicts([]byte(`{"form":1,"verdicts":[{"image":"`+strings.Repeat("a", wire.MaxVerdict)+`","allowed":false,"decision":{"outcome":"denied"}}]}`), 1); err == nil {
		t.Error("a verdict of more than MaxVerdict bytes was read")
	}
	for name, body := range map[string]string{
		"none": `{"form":1,"questions":[]}`, "form": `{"form":0,"questions":[{"image":"a","point":"cli"}]}`, "logins": `{"form":1,"questions":[{"image":"a","point":"cli","logins":[]}]}`,
		"twice": `{"form":1,"questions":[{"image":"b","image":"a","point":"cli"}]}`, "labels twice": `{"form":1,"questions":[{"image":"a","point":"cli","namespaceLabels":{"a":"b","a":"c"}}]}`,
		"large": `{"form":1,"questions":[{"image":"` + strings.Repeat("a", wire.MaxQuestionsBody) + `","point":"cli"}]}`,
	} {
		if reqs, err := wire.DecodeQuestions([]byte(body)); err == nil {
			t.Errorf("%s: %.100s was read: %+v", name, body, reqs)
		}
	}
}

// T22: a verdict about something else is no answer.
func TestT22_About(t *testing.T) {
	a, b := image.SHA256([]byte("a")), image.SHA256([]byte("b"))
	const name = "registry.example/app"
	allowed := func(asked string, d image.Digest, change ...func(*engine.Verdict)) (engine.Request, engine.Verdict) {
		v := engine.Verdict{Image: asked, Canonical: image.MustParse(asked).String(), Digest: d, Allowed: true}
		for _, c := range change {
			c(&v)
		}
		return engine.Request{Image: asked, Request: policy.Request{Point: "cli"}}, v
	}
	child := func(v *engine.Verdict) { v.Child = true }
	pin := func(to string) func(*engine.Verdict) { return func(v *engine.Verdict) { v.Pin = to } }
	put := func(name string, ok bool) func(engine.Request, engine.Verdict) {
		return func(req engine.Request, v engine.Verdict) {
			if err := wire.About(req, &v); (err == nil) != ok {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	put("digest", true)(allowed(name+"@"+a.String(), a))
	put("no digest", true)(allowed(name+"@"+a.String(), image.Digest{}))
	put("tag", true)(allowed(name+":1", a, pin(name+":1@"+a.String())))
	put("child", true)(allowed(name+"@"+a.String(), b, child, pin(name+"@"+b.String())))
	put("replaced", true)(allowed(name+":1@"+a.String(), b, pin(name+":1@"+b.String())))
	put("other digest", false)(allowed(name+"@"+a.String(), b))
	put("other digest, pinned", false)(allowed(name+"@"+a.String(), b, pin(name+"@"+b.String())))
	put("other pin", false)(allowed(name+":1", a, pin(name+":1@"+b.String())))
	put("pin of another image", false)(allowed(name+":1", a, pin("registry.example/other:1@"+a.String())))
	put("pin without a digest", false)(allowed(name+":1", image.Digest{}, pin(name+":1@"+a.String())))
	put("other image", false)(allowed(name+"@"+a.String(), a, func(v *engine.Verdict) { v.Image = name + ":1" }))
	put("other canonical", false)(allowed(name+"@"+a.String(), a, func(v *engine.Verdict) { v.Canonical = "registry.example/other@" + a.String() }))
	put("no canonical", true)(allowed(name+"@"+a.String(), a, func(v *engine.Verdict) { v.Canonical = "" }))
	put("a chain", false)(allowed(name+"@"+a.String(), a, func(v *engine.Verdict) { v.Chain = []engine.Link{{Manifest: a}} }))
	put("no name, no", true)(engine.Request{Image: "A B"}, engine.Verdict{Image: "A B"})
	put("no name, yes", false)(engine.Request{Image: "A B"}, engine.Verdict{Image: "A B", Allowed: true})
}

// What was read is what would be written, whatever was read.
func FuzzDecodeVerdicts(f *testing.F) {
	var v engine.Verdict
	all().fill(f, reflect.ValueOf(&v).Elem(), "Verdict")
	v.Outcome, v.Authorities[0].Standing = engine.Allowed, engine.Proved
	agree(&v)
	body, err := wire.EncodeVerdicts([]engine.Verdict{v})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	for _, seed := range []string{
		`{"form":1,"verdicts":[{"image":"a","allowed":true,"decision":{"mode":"audit","outcome":"denied"}}]}`,
		`{"form":1,"verdicts":[{"image":"\u0000base64:/w==","allowed":false,"decision":{"outcome":"could-not-tell","reason":"x"},"cause":{"text":"y","bug":"z","labels":true}}]}`,
		`{"form":2,"verdicts":[null]}`, `[]`, `{"form":1,"form":1,"verdicts":[{}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		vs, err := wire.DecodeVerdicts(body, 1)
		if err != nil {
			return
		}
		if v := &vs[0]; v.Allowed && v.Mode != "warn" && v.Mode != "audit" && (v.Mode != "enforce" || v.Outcome != engine.Allowed) {
			t.Fatalf("allowed by %s in mode %q", v.Outcome, v.Mode)
		}
		roundTrip(t, vs[0])
	})
}

func FuzzDecodeQuestions(f *testing.F) {
	for _, seed := range []string{
		`{"form":1,"questions":[{"image":"a","point":"cli","namespace":"n","namespaceLabels":{},"hasNamespace":true,"content":true,"platform":"linux/amd64"}]}`,
		`{"form":1,"questions":[{"image":"a","point":"cli"},{"image":"\u0000base64:/w==","point":"api"}]}`, `{"form":1,"questions":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		reqs, err := wire.DecodeQuestions(body)
		if err != nil {
			return
		}
		again, err := wire.EncodeQuestions(reqs)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := wire.DecodeQuestions(again); err != nil || cmp.Diff(reqs, got, comparing) != "" {
			t.Fatal(err, cmp.Diff(reqs, got, comparing))
		}
	})
}
