package ask_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

var (
	hex    = strings.Repeat("0f", 32)
	digest = "sha256:" + hex
	sha512 = "sha512:" + hex + hex
)

func question() ask.Question {
	return ask.Question{Name: "registry.example/app:1", Digest: digest, MediaType: "application/vnd.oci.image.index.v1+json", Size: 7023}
}

func TestT47_Check(t *testing.T) {
	rows := []struct {
		name string
		q    func(q *ask.Question)
		want string // "": it is one
	}{
		{"as it is", func(*ask.Question) {}, ""},
		{"with its digest", func(q *ask.Question) { q.Name += "@" + digest }, ""},
		{"without a tag", func(q *ask.Question) { q.Name = "registry.example/app" }, ""},
		{"sha512", func(q *ask.Question) { q.Digest = sha512 }, ""},
		{"the zero question", func(q *ask.Question) { *q = ask.Question{} }, "no name"},
		{"no name", func(q *ask.Question) { q.Name = "" }, "no name"},
		{"like an option", func(q *ask.Question) { q.Name = "--policy=/tmp/mine" }, "a dash"},
		{"a line break", func(q *ask.Question) { q.Name += "\nassay: allowed" }, "characters"},
		{"a null", func(q *ask.Question) { q.Name += "\x00" }, "characters"},
		{"an escape", func(q *ask.Question) { q.Name += "\x1b[2J" }, "characters"},
		{"a blank", func(q *ask.Question) { q.Name += " " }, "characters"},
		{"the other direction", func(q *ask.Question) { q.Name += "\u202e" }, "characters"},
		{"no UTF-8", func(q *ask.Question) { q.Name += "\xff" }, "characters"},
		{"10 MB", func(q *ask.Question) { q.Name = strings.Repeat("a", 10<<20) }, "more than 1024"},
		{"just too long", func(q *ask.Question) { q.Name = strings.Repeat("a", ask.MaxName-len(digest)) }, "more than 1024"},
		{"as long as can be", func(q *ask.Question) { q.Name = strings.Repeat("a", ask.MaxName-len(digest)-1) }, ""},
		{"another digest in the name", func(q *ask.Question) { q.Name += "@sha256:" + strings.Repeat("0e", 32) }, "another digest"},
		{"half a digest in the name", func(q *ask.Question) { q.Name += "@" }, "another digest"},
		{"two digests in the name", func(q *ask.Question) { q.Name += "@" + digest + "@" + digest }, "another digest"},
		{"the same bytes by another algorithm", func(q *ask.Question) { q.Name += "@" + sha512 }, "another digest"},
		{"no digest", func(q *ask.Question) { q.Digest = "" }, "the digest"},
		{"capitals", func(q *ask.Question) { q.Digest = "sha256:" + strings.ToUpper(hex) }, "the digest"},
		{"a short digest", func(q *ask.Question) { q.Digest = digest[:70] }, "the digest"},
		{"a long digest", func(q *ask.Question) { q.Digest += "0" }, "the digest"},
		{"sha384", func(q *ask.Question) { q.Digest = "sha384:" + strings.Repeat("0f", 48) }, "the digest"},
		{"a wrong length for its algorithm", func(q *ask.Question) { q.Digest = "sha512:" + hex }, "the digest"},
		{"no media type", func(q *ask.Question) { q.MediaType = "" }, "media type"},
		{"a long media type", func(q *ask.Question) { q.MediaType = strings.Repeat("a", 256) }, "media type"},
		{"a media type of two lines", func(q *ask.Question) { q.MediaType += "\n" }, "media type"},
		{"no size", func(q *ask.Question) { q.Size = 0 }, "0 bytes"},
		{"less than nothing", func(q *ask.Question) { q.Size = -1 }, "-1 bytes"},
		{"no manifest", func(q *ask.Question) { q.Size = ask.MaxSize + 1 }, "4194305 bytes"},
	}
	for _, row := range rows {
		q := question()
		row.q(&q)
		err := q.Check()
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.want)
		}
		if _, failed := q.Encode(); (failed == nil) != (err == nil) {
			t.Errorf("%s: encoded: %v", row.name, failed)
		}
	}
}

func TestQuestionsComeThrough(t *testing.T) {
	want := question()
	content, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ask.DecodeQuestion(content); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, content := range map[string]string{
		"in capitals":   strings.Replace(string(content), `"name"`, `"Name"`, 1),
		"null":          strings.Replace(string(content), `7023`, `null`, 1),
		"half a number": strings.Replace(string(content), `7023`, `7.5`, 1),
		"a long number": strings.Replace(string(content), `7023`, strings.Repeat("7", 30), 1),
		"deep":          `{"form":` + strings.Repeat("[", 8000),
		"cut":           string(content[:len(content)-1]),
		"no UTF-8":      strings.Replace(string(content), "app", "a\xff", 1),
	} {
		if got, err := ask.DecodeQuestion([]byte(content)); err == nil || got != (ask.Question{}) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// What contradicts itself, says too little or cannot be understood allows nothing.
func TestT51_AnswersAreStrict(t *testing.T) {
	good := `{"form":1,"allowed":true,"meaning":"allowed","reason":"assay: fine"}`
	if a, err := ask.DecodeAnswer([]byte(good)); err != nil || !a.Allowed || a.Reason != "assay: fine" {
		t.Errorf("got %+v, %v", a, err)
	}
	for name, content := range map[string]string{
		"nothing":            ``,
		"an empty object":    `{}`,
		"null":               `null`,
		"a list":             `[` + good + `]`,
		"another form":       strings.Replace(good, `"form":1`, `"form":2`, 1),
		"no form":            strings.Replace(good, `"form":1,`, ``, 1),
		"allowed alone":      `{"allowed":true}`,
		"no meaning":         strings.Replace(good, `"meaning":"allowed",`, ``, 1),
		"denied and allowed": strings.Replace(good, `"meaning":"allowed"`, `"meaning":"denied"`, 1),
		"allowed and not":    strings.Replace(good, `true`, `false`, 1),
		"a new meaning":      strings.Replace(strings.Replace(good, `"meaning":"allowed"`, `"meaning":"perhaps"`, 1), "true", "false", 1),
		"twice allowed":      strings.Replace(good, `"allowed":true`, `"allowed":false,"allowed":true`, 1),
		"in capitals":        strings.Replace(good, `"allowed":true`, `"Allowed":true`, 1),
		"a text for a bool":  strings.Replace(good, `true`, `"true"`, 1),
		"an unknown field":   strings.Replace(good, `"form"`, `"until":1,"form"`, 1),
		"something after it": good + `{"allowed":true}`,
		"too long":           strings.Replace(good, "fine", strings.Repeat("fine", ask.MaxAnswer), 1),
	} {
		if a, err := ask.DecodeAnswer([]byte(content)); err == nil || a.Allowed {
			t.Errorf("%s: got %+v", name, a)
		}
	}
}

func TestAnswersThatMustNotBe(t *testing.T) {
	for name, a := range map[string]ask.Answer{
		"the zero answer":            {},
		"allowed without its word":   {Form: ask.Form, Allowed: true},
		"allowed with another word":  {Form: ask.Form, Allowed: true, Meaning: ask.Denied},
		"a refusal that would allow": ask.No(ask.Allowed, "no"),
	} {
		got, err := ask.DecodeAnswer(a.Encode())
		if err != nil || got.Allowed || got.Meaning != ask.Bug {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// A user of another user namespace has the number of nobody, and so may whoever runs this process: that is no reason to believe them.
func TestT42_NobodysListener(t *testing.T) {
	for _, row := range []struct {
		uid  uint32
		own  int
		want bool
	}{{0, 0, true}, {0, 1000, true}, {1000, 1000, true}, {1000, 0, false}, {65534, 65534, false}, {1001, 1000, false}, {1<<32 - 1, -1, false}} {
		if got := ask.Trusted(row.uid, row.own); got != row.want {
			t.Errorf("user %d for user %d: got %v", row.uid, row.own, got)
		}
	}
}

func TestT47_Line(t *testing.T) {
	for given, want := range map[string]string{
		"":                       "assay: no reason was given",
		"no":                     "assay: no",
		"assay: no":              "assay: no",
		"a\nb\tc\rd":             "assay: a b c d",
		" \n no \n":              "assay: no",
		"\x1b[2J\u202e\x00\x7f":  "assay: \uFFFD[2J\uFFFD\uFFFD\uFFFD",
		"\xff\xfe":               "assay: \uFFFD",
		"grün":                   "assay: grün",
		"assay: a\nassay: b":     "assay: a assay: b",
		strings.Repeat("x", 993): "assay: " + strings.Repeat("x", 993),
	} {
		if got := ask.Line(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
	for _, long := range []string{strings.Repeat("x", 994), strings.Repeat("ü", 600), strings.Repeat("\x00", 10<<20), strings.Repeat("\u202e€", 1<<20)} {
		got := ask.Line(long)
		if len(got) > 1000 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") || !strings.HasPrefix(got, "assay: ") {
			t.Errorf("got %d bytes: %q", len(got), got)
		}
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(`{"form":1,"allowed":true,"meaning":"allowed","reason":"assay: fine"}`))
	f.Add([]byte(`{"form":1,"allowed":false,"meaning":"denied","reason":"no"}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		a, err := ask.DecodeAnswer(content)
		if err != nil {
			if a.Allowed {
				t.Error("an error allows")
			}
			return
		}
		if a.Allowed != (a.Meaning == ask.Allowed) || !strings.HasPrefix(a.Reason, "assay: ") || strings.ContainsAny(a.Reason, "\r\n\x1b") {
			t.Errorf("got %+v", a)
		}
		if again, err := ask.DecodeAnswer(a.Encode()); err != nil || again != a {
			t.Errorf("got %+v, then %+v, %v", a, again, err)
		}
	})
}

func FuzzDecodeQuestion(f *testing.F) {
	q := question()
	content, _ := q.Encode()
	f.Add(content)
	f.Fuzz(func(t *testing.T, content []byte) {
		q, err := ask.DecodeQuestion(content)
		if err != nil {
			return
		}
		if name, named, _ := strings.Cut(q.Image(), "@"); named != q.Digest || name == "" || strings.HasPrefix(name, "-") {
			t.Errorf("got %+v about %s", q, q.Image())
		}
	})
}
