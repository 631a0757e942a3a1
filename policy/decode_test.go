package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// word is text of its own making, with fields as its second form.
type wordOrFields struct {
	Word  string `yaml:"-"`
	Exact string `yaml:"exact"`
}

func (w *wordOrFields) UnmarshalText(text []byte) error {
	if string(text) == "refused" {
		return fmt.Errorf("refused is refused; write another word")
	}
	w.Word = string(text)
	return nil
}

type upper string

func (u *upper) UnmarshalText(text []byte) error {
	*u = upper(strings.ToUpper(string(text)))
	return nil
}

type shared struct {
	Common string `yaml:"common"`
}

type settings struct {
	shared
	Text    string            `yaml:"text,omitempty"`
	On      bool              `yaml:"on"`
	Int     int               `yaml:"int"`
	Small   int8              `yaml:"small"`
	Long    int64             `yaml:"long"`
	Size    uint16            `yaml:"size"`
	Share   float64           `yaml:"share"`
	Wait    time.Duration     `yaml:"wait"`
	At      time.Time         `yaml:"at"`
	List    []string          `yaml:"list"`
	Map     map[string]int    `yaml:"map"`
	Structs map[string]shared `yaml:"structs"`
	Inner   shared            `yaml:"inner"`
	Pointer *shared           `yaml:"pointer"`
	Maybe   *int              `yaml:"maybe"`
	Upper   upper             `yaml:"upper"`
	Uppers  []upper           `yaml:"uppers"`
	Mixed   wordOrFields      `yaml:"mixed"`
	Mode    Mode              `yaml:"mode"`
	Choice  string            `yaml:"choice" enum:"one,two"`
	Form    string            `yaml:"form" pattern:"^[a-z]+$"`
	Hollow  map[string]string `yaml:"hollow" empty:"true"`
	Plain   string
	Secret  string `yaml:"-"`
	hidden  string
}

func TestDecode(t *testing.T) {
	_ = settings{}.hidden // only reflection sees it
	three := 3
	tests := []struct {
		name, doc string
		want      settings
	}{
		{"nothing", "{}", settings{}},
		{"scalars", "text: x y\n\"on\": true\nint: -5\nsmall: 127\nlong: 9223372036854775807\nsize: 65535\nshare: 0.5\nplain: p\nform: abc",
			settings{Text: "x y", On: true, Int: -5, Small: 127, Long: 1<<63 - 1, Size: 65535, Share: .5, Plain: "p", Form: "abc"}},
		{"whole number as share", "share: 2", settings{Share: 2}},
		{"quoted text", `text: "no"`, settings{Text: "no"}},
		{"block of text", "text: |\n  a\n  b\n", settings{Text: "a\nb\n"}},
		{"seconds", "wait: 90s", settings{Wait: 90 * time.Second}},
		{"days", "wait: 7d", settings{Wait: 7 * day}},
		{"days and hours", "wait: 1d12h30m", settings{Wait: 36*time.Hour + 30*time.Minute}},
		{"time", "at: 2027-01-01T02:00:00+02:00", settings{At: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"time in quotes", `at: "2027-01-01T00:00:00Z"`, settings{At: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"list", "list: [a, b]", settings{List: []string{"a", "b"}}},
		{"empty where it has a meaning", `hollow: {a: ""}`, settings{Hollow: map[string]string{"a": ""}}},
		{"all empty where it has a meaning", "hollow: {}", settings{Hollow: map[string]string{}}},
		{"maps", "map: {a: 1, b: 2}\nstructs: {x: {common: c}}", settings{Map: map[string]int{"a": 1, "b": 2}, Structs: map[string]shared{"x": {"c"}}}},
		{"structs", "common: a\ninner: {common: b}\npointer: {common: c}\nmaybe: 3",
			settings{shared: shared{"a"}, Inner: shared{"b"}, Pointer: &shared{"c"}, Maybe: &three}},
		{"own text", "upper: x\nuppers: [a, b]\nmode: audit\nchoice: two", settings{Upper: "X", Uppers: []upper{"A", "B"}, Mode: Audit, Choice: "two"}},
		{"text or fields: text", "mixed: word", settings{Mixed: wordOrFields{Word: "word"}}},
		{"text or fields: fields", "mixed: {exact: x}", settings{Mixed: wordOrFields{Exact: "x"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got settings
			if err := Decode("s.yaml", []byte(tt.doc), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(settings{})); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct{ name, doc, want string }{
		{"unknown field", "txet: x", `s.yaml:1:1: txet: unknown field; did you mean "text"?`},
		{"field in other case", "Text: x", `s.yaml:1:1: Text: unknown field; did you mean "text"?`},
		{"field that is left out", "secret: x", `s.yaml:1:1: secret: unknown field; fields here are: common, text, on, int, small, long, size, share, wait, at, list, map, structs, inner, pointer, maybe, upper, uppers, mixed, mode, …`},
		{"field that is not exported", "hidden: x", `s.yaml:1:1: hidden: unknown field; fields here are: common, text, on, int, small, long, size, share, wait, at, list, map, structs, inner, pointer, maybe, upper, uppers, mixed, mode, …`},
		{"duplicate key in a map", "map: {a: 1, a: 2}", `s.yaml:1:13: map.a: duplicate key, it stands on line 1 already; keep one of the two`},
		{"number as text", "text: 5", `s.yaml:1:7: text: a number where text is wanted; put it in quotes: "5"`},
		{"list as text", "text: [a]", `s.yaml:1:7: text: a list where text is wanted; write one value`},
		{"yes", "on: yes", "s.yaml:1:1: key \"on\" is a boolean to some readers (on), not text; put it in quotes if it is meant"},
		{"yes for a boolean", `"on": yes`, `s.yaml:1:7: on: "yes" is no boolean; write true or false, without quotes`},
		{"text for a boolean", `"on": "true"`, `s.yaml:1:7: on: "true" is no boolean; write true or false, without quotes`},
		{"True", `"on": True`, `s.yaml:1:7: on: "True" is no boolean; write true or false, without quotes`},
		{"list for a boolean", `"on": []`, `s.yaml:1:7: on: a list where a boolean is wanted; write one value`},
		{"octal", "int: 017", `s.yaml:1:6: int: "017" is no whole number; write decimal digits only, without quotes`},
		{"underscores", "int: 1_000", `s.yaml:1:6: int: "1_000" is no whole number; write decimal digits only, without quotes`},
		{"fraction", "int: 1.0", `s.yaml:1:6: int: "1.0" is no whole number; write decimal digits only, without quotes`},
		{"too large", "small: 128", `s.yaml:1:8: small: 128 is too large; write a number of at most 7 bits`},
		{"negative size", "size: -1", `s.yaml:1:7: size: -1 is negative or too large; write a number of at most 16 bits`},
		{"size as text", `size: "1"`, `s.yaml:1:7: size: "1" is no whole number; write decimal digits only, without quotes`},
		{"not a number", "share: .nan", `s.yaml:1:8: share: ".nan" is no number; write one as in 0.5, without quotes`},
		{"infinite", "share: .inf", `s.yaml:1:8: share: ".inf" is no number; write one as in 0.5, without quotes`},
		{"duration without unit", "wait: 90", `s.yaml:1:7: wait: a number without a unit; write it as in 90s, 24h or 7d`},
		{"negative duration", "wait: -5s", `s.yaml:1:7: wait: "-5s" is no length of time; write it as in 90s, 24h or 7d`},
		{"empty duration", `wait: ""`, `s.yaml:1:7: wait: "" is no length of time; write it as in 90s, 24h or 7d`},
		{"endless duration", "wait: 999999d", `s.yaml:1:7: wait: "999999d" is too long; write it as in 90s, 24h or 7d`},
		{"sum of durations", "wait: 106751d24h", `s.yaml:1:7: wait: "106751d24h" is too long; write it as in 90s, 24h or 7d`},
		{"date without time", "at: 2027-01-01", `s.yaml:1:5: at: "2027-01-01" is no time with a zone (RFC 3339); write it as in 2027-01-31T00:00:00Z`},
		{"time without zone", "at: 2027-01-01 00:00:00", `s.yaml:1:5: at: "2027-01-01 00:00:00" is no time with a zone (RFC 3339); write it as in 2027-01-31T00:00:00Z`},
		{"text for a list", "list: a", `s.yaml:1:7: list: text where a list is wanted; write [a, b], or "- " before each item`},
		{"list for a map", "map: [a]", `s.yaml:1:6: map: a list where a mapping is wanted; write key: value`},
		{"text for a struct", "inner: a", `s.yaml:1:8: inner: text where a mapping is wanted; write {common: …}`},
		{"null", "pointer: ~", `s.yaml:1:1: pointer: has no value; give it one or remove it`},
		{"null in a map", "map: {a: }", `s.yaml:1:7: map.a: has no value; give it one or remove it`},
		{"unknown choice", "choice: tow", `s.yaml:1:9: choice: unknown value "tow"; did you mean "two"?`},
		{"other form", "form: ABC", `s.yaml:1:7: form: "ABC" is malformed; it must match ^[a-z]+$`},
		{"text that its type refuses", "mixed: refused", `s.yaml:1:8: mixed: refused is refused; write another word`},
		{"number for own text", "upper: 5", `s.yaml:1:8: upper: a number where text is wanted; put it in quotes: "5"`},
		{"nothing for own text", `upper: ""`, `s.yaml:1:8: upper: is empty; give it a value or remove it`},
		{"mapping for own text without fields", "upper: {a: b}", `s.yaml:1:8: upper: a mapping where text is wanted; write one value`},
		{"unknown field of the second form", "mixed: {exat: x}", `s.yaml:1:9: mixed.exat: unknown field; did you mean "exact"?`},
		{"a list at the top", "[a]", `s.yaml:1:1: a list where a mapping is wanted; write {common: …, text: …, on: …, …}`},
		{"nothing at all", "", "s.yaml:1:1: the document is empty; write one (the folder examples has some)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got settings
			if err := Decode("s.yaml", []byte(tt.doc), &got); err == nil || err.Error() != tt.want {
				t.Errorf("\ngot  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// T6: what is written and empty is never read as what was not written.
func TestT6_EmptyIsRefused(t *testing.T) {
	for doc, want := range map[string]string{
		`text: ""`: "text", `text: ''`: "text", `upper: ""`: "upper", `wait: ""`: "wait", `at: ""`: "at", `choice: ""`: "choice",
		"text: |\n": "text", `form: ""`: "form", `mode: ""`: "mode", `mixed: ""`: "mixed", `mixed: {}`: "mixed", `mixed: {exact: ""}`: "mixed.exact",
		`list: []`: "list", `list: [a, ""]`: "list[1]", `uppers: []`: "uppers", `uppers: [""]`: "uppers[0]",
		`map: {}`: "map", `structs: {}`: "structs", `structs: {x: {}}`: "structs.x", `structs: {x: {common: ""}}`: "structs.x.common",
		`inner: {}`: "inner", `inner: {common: ""}`: "inner.common", `pointer: {}`: "pointer", `pointer: {common: ""}`: "pointer.common",
		`common: ""`:                 "common",
		"text: a\nlist: [[]]":        "list[0]",
		"hollow: {a: b}\ntext: \"\"": "text",
	} {
		var got settings
		var all Errors
		err := Decode("s.yaml", []byte(doc), &got)
		if !errors.As(err, &all) || len(all) != 1 || all[0].Path != want || all[0].Hint == "" {
			t.Errorf("%s: got %v, want one error at %s with a next step", doc, err, want)
		}
	}
	for doc, want := range map[string]string{
		`text: ""`:      "s.yaml:1:1: text: is empty; give it a value or remove it",
		`inner: {}`:     "s.yaml:1:1: inner: is empty; give it a value or remove it",
		`list: [a, ""]`: "s.yaml:1:11: list[1]: is empty; give it a value or remove it",
		`map: {}`:       "s.yaml:1:1: map: is empty; give it a value or remove it",
	} {
		var got settings
		if err := Decode("s.yaml", []byte(doc), &got); err == nil || err.Error() != want {
			t.Errorf("\ngot  %v\nwant %s", err, want)
		}
	}
}

func TestDecodeNeedsAPointer(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a value that is no pointer was taken")
		}
	}()
	_ = Decode("s.yaml", []byte("{}"), settings{})
}
