package statement

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxDepth is how deep a document may be nested.
	maxDepth = 100
	// maxValues is how many values a document may have: a few bytes of JSON become a hundred in memory.
	maxValues = 512 << 10
	// fewNames is up to how many names of an object are compared one by one.
	fewNames = 16
)

// fields are the members of an object in their order, each name once, with values that are not yet decoded.
type fields []field

type field struct{ name, raw []byte }

// raw returns the value of a member; nil if there is none.
func (f fields) raw(name string) []byte {
	for _, one := range f {
		if string(one.name) == name {
			return one.raw
		}
	}
	return nil
}

// beside returns the names that are not among those known, sorted.
func (f fields) beside(known []string) []string {
	var names []string
	for _, one := range f {
		if !slices.ContainsFunc(known, func(k string) bool { return k == string(one.name) }) {
			names = append(names, string(one.name))
		}
	}
	slices.Sort(names)
	return names
}

// open checks a document as a whole and returns its members. It must be an object.
func open(data []byte, limit int) (fields, error) {
	switch {
	case len(data) > limit:
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(data), limit)
	case !utf8.Valid(data):
		return nil, errors.New("is not UTF-8")
	case !json.Valid(data):
		return nil, errors.New("is malformed JSON")
	}
	return newReader(data).members()
}

// reader walks through a document whose syntax is known to be right.
type reader struct {
	data   []byte
	at     int
	depth  int
	values int
	names  [][]byte // of the objects that are open
}

func newReader(data []byte) *reader {
	return &reader{data: data, names: make([][]byte, 0, 8)}
}

// next returns the first byte of the next token.
func (r *reader) next() byte {
	for ; r.at < len(r.data); r.at++ {
		switch c := r.data[r.at]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
		default:
			return c
		}
	}
	return 0
}

// members reads an object and returns its members, not decoded.
func (r *reader) members() (fields, error) {
	if r.next() != '{' {
		return nil, errors.New("is no JSON object")
	}
	found := make(fields, 0, 4)
	err := r.object(func(name []byte) error {
		raw, err := r.skip()
		found = append(found, field{name, raw})
		return err
	})
	return found, err
}

// elements reads an array and returns its elements, not decoded.
func (r *reader) elements() ([][]byte, error) {
	if r.next() != '[' {
		return nil, errors.New("is no JSON array")
	}
	var found [][]byte
	err := r.array(func() error {
		raw, err := r.skip()
		found = append(found, raw)
		return err
	})
	return found, err
}

// object reads an object; visit reads the value of each member. A name that is there twice is an error.
func (r *reader) object(visit func(name []byte) error) error {
	if err := r.enter(); err != nil {
		return err
	}
	first := len(r.names)
	var many map[string]bool
	for r.next() != '}' {
		name, err := r.text()
		if err != nil {
			return err
		}
		if many, err = r.once(name, first, many); err != nil {
			return err
		}
		r.next()
		if err := visit(name); err != nil {
			return err
		}
	}
	r.names = r.names[:first]
	r.leave()
	return nil
}

// once notes a name of the object whose names begin at first. Of many names it keeps a set.
func (r *reader) once(name []byte, first int, many map[string]bool) (map[string]bool, error) {
	twice := many[string(name)]
	for _, n := range r.names[first:] {
		twice = twice || bytes.Equal(n, name)
	}
	switch {
	case twice:
		return nil, fmt.Errorf("has the member %q twice", clip(string(name)))
	case many != nil:
		many[string(name)] = true
	case len(r.names)-first < fewNames:
		r.names = append(r.names, name)
	default:
		many = map[string]bool{string(name): true}
		for _, n := range r.names[first:] {
			many[string(n)] = true
		}
		r.names = r.names[:first]
	}
	return many, nil
}

func (r *reader) array(visit func() error) error {
	if err := r.enter(); err != nil {
		return err
	}
	for r.next() != ']' {
		if err := visit(); err != nil {
			return err
		}
	}
	r.leave()
	return nil
}

func (r *reader) enter() error {
	r.at++
	if r.depth++; r.depth > maxDepth {
		return fmt.Errorf("is nested more than %d deep", maxDepth)
	}
	return nil
}

func (r *reader) leave() {
	r.at++
	r.depth--
}

// skip reads a value, checks it to its depth, and returns its bytes.
func (r *reader) skip() ([]byte, error) {
	c := r.next()
	if r.values++; r.values > maxValues {
		return nil, fmt.Errorf("has more than %d values", maxValues)
	}
	start := r.at
	var err error
	switch c {
	case '{':
		err = r.object(func([]byte) error { _, err := r.skip(); return err })
	case '[':
		err = r.array(func() error { _, err := r.skip(); return err })
	case '"':
		r.quoted()
	default:
		r.word()
	}
	return r.data[start:r.at], err
}

// value reads and decodes a value: nil, bool, string, int64, float64, []any or map[string]any.
func (r *reader) value() (any, error) {
	switch r.next() {
	case '{':
		object := map[string]any{}
		err := r.object(func(name []byte) (err error) {
			object[string(name)], err = r.value()
			return err
		})
		return object, err
	case '[':
		list := []any{}
		err := r.array(func() error {
			v, err := r.value()
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		text, err := r.text()
		return string(text), err
	}
	switch word := string(r.word()); word {
	case "null":
		return nil, nil
	case "true", "false":
		return word == "true", nil
	default:
		return number(word)
	}
}

// quoted reads a string with its quotes and returns it as it stands.
func (r *reader) quoted() []byte {
	start := r.at
	for r.at++; r.data[r.at] != '"'; r.at++ {
		if r.data[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
	return r.data[start:r.at]
}

// text reads a string and decodes it.
func (r *reader) text() ([]byte, error) {
	r.next()
	raw := r.quoted()
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return []byte(s), err
}

// word reads a number, true, false or null.
func (r *reader) word() []byte {
	start := r.at
	for ; r.at < len(r.data); r.at++ {
		switch r.data[r.at] {
		case ' ', '\t', '\r', '\n', ',', ':', ']', '}':
			return r.data[start:r.at]
		}
	}
	return r.data[start:]
}

// number decodes a number by its value, not by its spelling, which programs that pass a document on change: 7, 7.0 and 7e0 are one
// int64. What has a fraction, or does not fit, is a float64.
func number(word string) (any, error) {
	if n, err := strconv.ParseInt(word, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return nil, fmt.Errorf("number %s: out of range", clip(word))
	}
	const exact = 1 << 53 // up to here a float64 has every whole number
	if f == math.Trunc(f) && math.Abs(f) <= exact {
		return int64(f), nil
	}
	return f, nil
}

// decode decodes a value of a document that was checked by open.
func decode(raw []byte) (any, error) { return newReader(raw).value() }

// decodeText decodes a string.
func decodeText(raw []byte) (string, error) {
	r := &reader{data: raw}
	if r.next() != '"' {
		return "", errors.New("is no text")
	}
	s, err := r.text()
	return string(s), err
}

// decodeObject decodes an object; one that is not there, or null, is nil.
func decodeObject(raw []byte) (map[string]any, error) {
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	v, err := decode(raw)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("is no JSON object")
	}
	return object, nil
}

// checkNames refuses a member that some readers take for a known one: encoding/json does not look at the case, and readers made from
// protocol buffers know predicateType as predicate_type too.
func checkNames(members fields, known ...string) error {
	for _, name := range members.beside(known) {
		for _, k := range known {
			if name != k && strings.EqualFold(strings.ReplaceAll(name, "_", ""), strings.ReplaceAll(k, "_", "")) {
				return fmt.Errorf("has a member %q, which some readers take for %q", clip(name), k)
			}
		}
	}
	return nil
}

// checkExactly refuses every member that is not known.
func checkExactly(members fields, known ...string) error {
	if names := members.beside(known); len(names) > 0 {
		return fmt.Errorf("has an unknown member %q", clip(names[0]))
	}
	return nil
}

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
