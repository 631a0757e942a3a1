package policy

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// hostileText draws texts with more of what is dangerous in YAML than chance gives.
func hostileText() *rapid.Generator[string] {
	piece := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z:/.@ -]{1,12}`), rapid.SampledFrom([]string{
		"a\nspec: {}", "\r\n", "\n# b", " lead", "trail ", "'", `"`, `\`, `\n`, `a\.b`, `'\`, "a: b", "- a", " # a", "{a", "[a]", "&a", "*a", "!a", "%a", "@a", "`a`",
		"yes", "null", "~", "1e3", "2027-01-01", "<<", "---", "|", ">", "\t", "\x1b[2J", "\u202e", "\u2028", "\ufeff", "\u0085", "\ufffe", "😀", "\U000e0001", "\x7f",
	}))
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 1, 3).Draw(t, "pieces"), "") }).
		Filter(func(s string) bool { return s != "" && utf8.ValidString(s) })
}

// What a Writer writes is read as it was, whatever it is, and nothing leaves a comment.
func TestWriterRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := hostileText().Draw(rt, "text")
		lines := strings.Join(rapid.SliceOfN(hostileText(), 1, 4).Draw(rt, "lines"), "\n") + "\n"
		var w Writer
		w.Comment(text)
		w.Text("text", text)
		w.Text("absent", "")
		w.Open("inner")
		w.Line("list:")
		w.Comment(text)
		w.Block("- block", lines)
		w.Indent()
		w.Text("key", text)
		w.Close()
		w.Close()
		w.Line("quoted: [" + Quote(text) + ", x]")
		var got struct {
			Text   string   `yaml:"text"`
			Quoted []string `yaml:"quoted"`
			Inner  struct {
				List []struct {
					Block string `yaml:"block"`
					Key   string `yaml:"key"`
				} `yaml:"list"`
			} `yaml:"inner"`
		}
		if err := Decode("text", w.Bytes(), &got); err != nil {
			rt.Fatalf("%v\n%s", err, w.String())
		}
		list := got.Inner.List
		if got.Text != text || len(list) != 1 || list[0].Block != lines || list[0].Key != text || len(got.Quoted) != 2 || got.Quoted[0] != text {
			rt.Fatalf("got %+q, want %q and %q\n%s", got, text, lines, w.String())
		}
	})
}

// Expressions stay readable.
func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		`registry\.example/.*`: `'registry\.example/.*'`,
		`it's\d`:               `"it's\\d"`,
		"plain":                `"plain"`,
		"":                     `""`,
		"a\\\nb":               `"a\\\u000Ab"`,
	} {
		if got := Quote(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
