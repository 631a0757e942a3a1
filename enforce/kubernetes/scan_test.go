package kubernetes

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestScanner(t *testing.T) {
	tests := []struct {
		name, text string
		want       string // part of the error; "": none
	}{
		{"everything", `{"a":[1,-0.5e+3,true,false,null,"\u00e9\n",{}],"b":{"c":{"c":[]}}} `, ""},
		{"a member twice", `{"a":1,"a":2}`, `"a" comes twice`},
		{"a member twice, one of them escaped", `{"a":1,"\u0061":2}`, `"a" comes twice`},
		{"many members, the last twice", `{` + members(40) + `"m39":1}`, `"m39" comes twice`},
		{"trailing data", `{} {}`, "trailing data"},
		{"a comma too many", `{"a":1,}`, "unexpected"},
		{"a leading zero", `{"a":01}`, "unexpected"},
		{"a bare control character", "{\"a\":\"\n\"}", "unexpected"},
		{"a broken escape", `{"a":"\x"}`, "unexpected"},
		{"the end within a string", `{"a":"b`, "ends too early"},
		{"no text", ``, "ends too early"},
		{"too deep", `{"a":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, "in each other"},
		{"a name that is not UTF-8", "{\"\xff\":1}", "not UTF-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &scanner{data: []byte(test.text)}
			err := s.object(func([]byte) error { return s.skip() })
			if err == nil {
				err = s.end()
			}
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"m` + string(rune('0'+i/10)) + string(rune('0'+i%10)) + `":1,`)
	}
	return b.String()
}

// What the scanner passes over is what encoding/json takes for valid, but for what is nested too deep.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5e-3,"\ud83d\ude00"],"b":null}`, `[true,false]`, `"x"`, `-0`, `{`, `"\u12"`, `01`, `{"a" 1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &scanner{data: data}
		err := s.skip()
		if err == nil {
			err = s.end()
		}
		if got, want := err == nil, json.Valid(data); got != want && !(want && strings.Contains(err.Error(), "in each other")) {
			t.Errorf("%q: got %v (%v), want %v", data, got, err, want)
		}
	})
}
