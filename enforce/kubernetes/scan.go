package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// maxDepth is how deep objects and lists may be nested in a review.
const maxDepth = 512

// scanner goes over a JSON text once (RFC 8259). What is asked for is decoded, and what is not is checked for its syntax and passed over.
// Member names are compared as they are, with case.
type scanner struct {
	data  []byte
	pos   int
	depth int
}

var errEnds = errors.New("the text ends too early")

func (s *scanner) unexpected() error {
	if s.pos >= len(s.data) {
		return errEnds
	}
	return fmt.Errorf("unexpected %q at byte %d", s.data[s.pos], s.pos)
}

// next returns the first byte of what follows, without taking it, and 0 at the end.
func (s *scanner) next() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// take takes one byte after white space, if it is c.
func (s *scanner) take(c byte) bool {
	if s.next() != c || s.pos >= len(s.data) {
		return false
	}
	s.pos++
	return true
}

// end wants that nothing follows.
func (s *scanner) end() error {
	if s.next(); s.pos < len(s.data) {
		return fmt.Errorf("trailing data at byte %d", s.pos)
	}
	return nil
}

func (s *scanner) enter() error {
	s.depth++
	if s.depth > maxDepth {
		return fmt.Errorf("more than %d objects and lists in each other", maxDepth)
	}
	return nil
}

// null takes null, if it comes next.
func (s *scanner) null() bool {
	if s.next() != 'n' {
		return false
	}
	return s.word("null") == nil
}

// truth takes true or false; null is false.
func (s *scanner) truth() (bool, error) {
	switch s.next() {
	case 't':
		return true, s.word("true")
	case 'n':
		return false, s.word("null")
	}
	return false, s.word("false")
}

func (s *scanner) word(w string) error {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return s.unexpected()
	}
	s.pos += len(w)
	return nil
}

// object takes an object and calls member for each of its members, which must take the value. A name that comes twice is an error: one
// reader takes the first and another the last.
func (s *scanner) object(member func(name []byte) error) error {
	if !s.take('{') {
		return s.unexpected()
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.take('}') {
		return nil
	}
	var buffer [24][]byte
	seen := names{few: buffer[:0]}
	for {
		name, err := s.name()
		if err != nil {
			return err
		}
		if !seen.add(name) {
			return fmt.Errorf("member %q comes twice", name)
		}
		if err := member(name); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return s.unexpected()
		}
	}
}

// names is a set that costs no memory as long as it is small.
type names struct {
	few  [][]byte
	many map[string]bool
}

func (n *names) add(name []byte) bool {
	if n.many != nil {
		if n.many[string(name)] {
			return false
		}
		n.many[string(name)] = true
		return true
	}
	if slices.ContainsFunc(n.few, func(known []byte) bool { return string(known) == string(name) }) {
		return false
	}
	if len(n.few) < cap(n.few) {
		n.few = append(n.few, name)
		return true
	}
	n.many = map[string]bool{string(name): true}
	for _, known := range n.few {
		n.many[string(known)] = true
	}
	return true
}

// name takes a member's name and the colon.
func (s *scanner) name() ([]byte, error) {
	if s.next() != '"' {
		return nil, s.unexpected()
	}
	name, err := s.bytes()
	if err != nil {
		return nil, err
	}
	if !s.take(':') {
		return nil, s.unexpected()
	}
	return name, nil
}

// list takes a list and calls item for each of its items, which must take it.
func (s *scanner) list(item func(index int) error) error {
	if !s.take('[') {
		return s.unexpected()
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.take(']') {
		return nil
	}
	for i := 0; ; i++ {
		if err := item(i); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return s.unexpected()
		}
	}
}

// text takes a string; of null it is "".
func (s *scanner) text() (string, error) {
	if s.null() {
		return "", nil
	}
	if s.next() != '"' {
		return "", s.unexpected()
	}
	b, err := s.bytes()
	return string(b), err
}

// bytes takes a string, of which s stands at the quote. The result may be part of the text.
func (s *scanner) bytes() ([]byte, error) {
	start := s.pos
	escaped, err := s.passString()
	if err != nil {
		return nil, err
	}
	raw := s.data[start:s.pos]
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("the string at byte %d is not UTF-8", start)
	}
	if !escaped {
		return raw[1 : len(raw)-1], nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, err
	}
	return []byte(text), nil
}

// passString passes over a string and reports whether there are escapes in it.
func (s *scanner) passString() (escaped bool, err error) {
	data := s.data
	for i := s.pos + 1; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			s.pos = i + 1
			return escaped, nil
		case c == '\\':
			escaped = true
			if i, err = s.escape(i); err != nil {
				return false, err
			}
		case c < ' ':
			s.pos = i
			return false, s.unexpected()
		}
	}
	s.pos = len(data)
	return false, errEnds
}

// escape returns where the escape sequence that begins at i has its last byte.
func (s *scanner) escape(i int) (int, error) {
	data := s.data
	if i+1 >= len(data) {
		return 0, errEnds
	}
	switch data[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, nil
	case 'u':
		if i+5 < len(data) && hexadecimal(data[i+2:i+6]) {
			return i + 5, nil
		}
	}
	s.pos = i
	return 0, s.unexpected()
}

func hexadecimal(b []byte) bool {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		default:
			return false
		}
	}
	return true
}

// skip passes over one value.
func (s *scanner) skip() error {
	switch c := s.next(); c {
	case '{':
		return s.skipObject()
	case '[':
		return s.list(func(int) error { return s.skip() })
	case '"':
		_, err := s.passString()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.skipNumber()
}

// skipObject passes over an object; whether names come twice in it matters to nobody who does not look inside.
func (s *scanner) skipObject() error {
	s.pos++
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.take('}') {
		return nil
	}
	for {
		if s.next() != '"' {
			return s.unexpected()
		}
		if _, err := s.passString(); err != nil {
			return err
		}
		if !s.take(':') {
			return s.unexpected()
		}
		if err := s.skip(); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return s.unexpected()
		}
	}
}

func (s *scanner) skipNumber() error {
	if s.pos < len(s.data) && s.data[s.pos] == '-' {
		s.pos++
	}
	switch {
	case s.pos < len(s.data) && s.data[s.pos] == '0':
		s.pos++
	case !s.digits():
		return s.unexpected()
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if !s.digits() {
			return s.unexpected()
		}
	}
	if s.pos < len(s.data) && (s.data[s.pos] == 'e' || s.data[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		if !s.digits() {
			return s.unexpected()
		}
	}
	return nil
}

// digits takes digits and reports whether there were any.
func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}
