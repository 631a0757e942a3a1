package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// errOther is of bytes in which two readers could see two things: a field that stands twice or in another case, one without need, another
// order, something after the end.
var errOther = errors.New("it is not what Assay writes")

// written is a value as JSON on one line.
func written(value any, limit int) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(text) > limit {
		return nil, fmt.Errorf("%d bytes; at most %d are sent", len(text), limit)
	}
	return text, nil
}

// read fills into with a JSON value that knows no other fields. In memory a value takes some hundred times the two bytes that it can be written
// in, so that there are at most so many.
func read(text []byte, limit, values int, into any) error {
	switch {
	case len(text) > limit:
		return fmt.Errorf("%d bytes; at most %d are read", len(text), limit)
	case !utf8.Valid(text):
		return errOther
	case valuesIn(text) > values:
		return fmt.Errorf("more than %d values", values)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errOther
	}
	return nil
}

// valuesIn counts the values of a JSON text, and some of them twice. Of what is no JSON it counts something.
func valuesIn(text []byte) (count int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '[' || c == '{'):
			count++
		}
	}
	return count
}

// same is an error unless two texts say the same, token by token. Spaces and escapes are nobody's business.
func same(got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	a, b := json.NewDecoder(bytes.NewReader(got)), json.NewDecoder(bytes.NewReader(want))
	a.UseNumber()
	b.UseNumber()
	for {
		one, errOne := a.Token()
		another, errAnother := b.Token()
		switch {
		case errors.Is(errOne, io.EOF) && errors.Is(errAnother, io.EOF):
			return nil
		case errOne != nil || errAnother != nil || one != another:
			return errOther
		}
	}
}

// hidden begins a text that JSON cannot hold as it is. What it begins with by itself is hidden as well.
const hidden = "\x00base64:"

// shown is a text as it stands in JSON, which has no other texts than those of UTF-8.
func shown(s string) string {
	if utf8.ValidString(s) && !strings.HasPrefix(s, hidden) {
		return s
	}
	return hidden + base64.StdEncoding.EncodeToString([]byte(s))
}

// meant is the text that shown was given. One that shown cannot have made stays as it is, and is then not the same when it is written
// again.
func meant(s string) string {
	covered, found := strings.CutPrefix(s, hidden)
	if !found {
		return s
	}
	text, err := base64.StdEncoding.DecodeString(covered)
	if err != nil {
		return s
	}
	return string(text)
}

// each turns all texts of a list.
func each(list []string, turn func(string) string) []string {
	return turned(list, func(s *string) string { return turn(*s) })
}

// turned makes a list of another one; nil stays nil.
func turned[A, B any](list []A, turn func(*A) B) []B {
	if list == nil {
		return nil
	}
	made := make([]B, len(list))
	for i := range list {
		made[i] = turn(&list[i])
	}
	return made
}
