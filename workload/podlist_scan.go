package workload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of a list of pods. The kubelet's own answers stay far below them.
const (
	maxPodList      = 512 << 20 // bytes of an answer
	maxPodListDepth = 128       // nested objects and lists
	podListBuffer   = 64 << 10  // bytes of an answer that are in memory at once
)

// scanner reads JSON from a stream and keeps nothing of it but its buffer. It takes what RFC 8259 calls JSON and nothing else; what
// is skipped is checked as well, only not for being UTF-8. After the first error every method does nothing; err is that error.
//
// It exists because encoding/json reads a value whole before it decodes it, and Decoder.Token makes a string of every token: of an
// answer of a kubelet more than nine tenths are never looked at.
type scanner struct {
	source   io.Reader
	buffer   []byte
	pos, end int
	passed   int64 // bytes that have left the buffer
	depth    int
	err      error
}

// errEnded says that the stream ended before the JSON did.
var errEnded = errors.New("it ends in the middle")

func newScanner(r io.Reader) *scanner {
	return &scanner{source: r, buffer: make([]byte, podListBuffer)}
}

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("byte %d: %w", s.passed+int64(s.pos), fmt.Errorf(format, args...))
	}
}

// more fills the empty buffer. False: there is no more, or an error.
func (s *scanner) more() bool {
	if s.err != nil {
		return false
	}
	s.passed += int64(s.end)
	s.pos, s.end = 0, 0
	if s.passed > maxPodList {
		s.err = fmt.Errorf("it is longer than %d bytes", int64(maxPodList))
		return false
	}
	for empty := 0; empty < 100; empty++ {
		n, err := s.source.Read(s.buffer)
		switch {
		case n > 0:
			s.end = n // an error beside bytes comes again
			return true
		case err == io.EOF:
			s.err = errEnded
			return false
		case err != nil:
			s.err = err
			return false
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// peek returns the next byte that is no white space, and 0 if there is none.
func (s *scanner) peek() byte {
	for s.pos < s.end || s.more() {
		switch c := s.buffer[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// take returns the next byte, white space or not.
func (s *scanner) take() byte {
	if s.pos == s.end && !s.more() {
		return 0
	}
	c := s.buffer[s.pos]
	s.pos++
	return c
}

// expect passes one byte that must be next.
func (s *scanner) expect(want byte) {
	switch got := s.peek(); {
	case s.err != nil:
	case got != want:
		s.fail("%q where %q belongs", got, want)
	default:
		s.pos++
	}
}

// finish says that nothing but white space may follow.
func (s *scanner) finish() {
	if s.err != nil {
		return
	}
	switch c := s.peek(); {
	case s.err == nil:
		s.fail("%q after the end", c)
	case s.err == errEnded:
		s.err = nil
	}
}

func (s *scanner) enter() {
	if s.depth++; s.depth > maxPodListDepth {
		s.fail("more than %d nested objects and lists", maxPodListDepth)
	}
	s.pos++
}

func (s *scanner) leave() {
	s.depth--
	s.pos++
}

// next passes what stands between two entries of an object or a list that ends with end. False: there is no further one.
func (s *scanner) next(first bool, end byte) bool {
	c := s.peek()
	switch {
	case s.err != nil:
		return false
	case c == end:
		s.leave()
		return false
	case first:
		return true
	case c != ',':
		s.fail("%q where a comma or %q belongs", c, end)
		return false
	}
	s.pos++
	if c := s.peek(); c == end {
		s.fail("%q after a comma", c)
	}
	return s.err == nil
}

// null passes a null, if one is next.
func (s *scanner) null() bool {
	if s.peek() != 'n' {
		return false
	}
	s.literal("null")
	return s.err == nil
}

func (s *scanner) literal(want string) {
	for i := range len(want) {
		if c := s.take(); c != want[i] {
			s.fail("%q in what should be %s", c, want)
			return
		}
	}
}

// skip passes one value, whatever it is.
func (s *scanner) skip() {
	switch c := s.peek(); {
	case s.err != nil:
	case c == '"':
		s.skipText()
	case c == '{':
		s.enter()
		for first := true; s.next(first, '}'); first = false {
			s.skipKey()
			s.skip()
		}
	case c == '[':
		s.enter()
		for first := true; s.next(first, ']'); first = false {
			s.skip()
		}
	case c == 't':
		s.literal("true")
	case c == 'f':
		s.literal("false")
	case c == 'n':
		s.literal("null")
	case c == '-' || '0' <= c && c <= '9':
		s.skipNumber()
	default:
		s.fail("%q where a value belongs", c)
	}
}

func (s *scanner) skipKey() {
	if c := s.peek(); s.err == nil && c != '"' {
		s.fail("%q where a key belongs", c)
	}
	s.skipText()
	s.expect(':')
}

// skipText passes a text whose quote is next.
func (s *scanner) skipText() {
	if s.err != nil {
		return
	}
	s.pos++
	for s.pos < s.end || s.more() {
		rest := s.buffer[s.pos:s.end]
		n := plainText(rest)
		s.pos += n
		if n == len(rest) {
			continue
		}
		switch c := rest[n]; c {
		case '"':
			s.pos++
			return
		case '\\':
			s.pos++
			s.escape()
		default:
			s.fail("the control character %q in a text", c)
			return
		}
	}
}

// plainText returns how many bytes stand for themselves in a text.
func plainText(b []byte) int {
	for i, c := range b {
		if c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return len(b)
}

// escape reads what follows a backslash. Halves of a surrogate pair come one by one.
func (s *scanner) escape() rune {
	switch c := s.take(); c {
	case '"', '\\', '/':
		return rune(c)
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'u':
		var hex [4]byte
		for i := range hex {
			hex[i] = s.take()
		}
		code, err := strconv.ParseUint(string(hex[:]), 16, 16)
		if err != nil {
			s.fail("\\u without four hex digits")
		}
		return rune(code)
	default:
		s.fail("an unknown escape \\%c", c)
		return 0
	}
}

// errNoText says that what was read as JSON is not a text that could mean something.
var errNoText = errors.New("is no valid UTF-8")

// errTooLong says that a text is longer than what may be kept.
var errTooLong = errors.New("is too long")

// text appends the text whose quote is next to a slice, which may grow up to a length. The text is passed whole even if an error is
// returned, and the slice is then as before. The error is about this text; errors of the JSON are in s.err.
func (s *scanner) text(into []byte, most int) ([]byte, error) {
	before, t := into, textReader{into: into, most: most}
	s.pos++
	for s.pos < s.end || s.more() {
		rest := s.buffer[s.pos:s.end]
		n := plainText(rest)
		t.add(rest[:n])
		s.pos += n
		if n == len(rest) {
			continue
		}
		switch c := rest[n]; c {
		case '"':
			s.pos++
			if t.flaw == nil && !utf8.Valid(t.into[len(before):]) {
				t.flaw = errNoText
			}
			if t.flaw != nil {
				return before, t.flaw
			}
			return t.into, nil
		case '\\':
			s.pos++
			t.char(s)
		default:
			s.fail("the control character %q in a text", c)
			return before, s.err
		}
	}
	return before, s.err
}

// textReader gathers a text.
type textReader struct {
	into []byte
	most int
	flaw error
}

func (t *textReader) add(b []byte) {
	if len(t.into)+len(b) > t.most && t.flaw == nil {
		t.flaw = errTooLong
	}
	if t.flaw == nil {
		t.into = append(t.into, b...)
	}
}

// char reads the character that an escape stands for, or a pair of them.
func (t *textReader) char(s *scanner) {
	c := s.escape()
	if utf16.IsSurrogate(c) {
		second := rune(0)
		if (s.pos < s.end || s.more()) && s.buffer[s.pos] == '\\' {
			s.pos++
			second = s.escape()
		}
		if c = utf16.DecodeRune(c, second); c == utf8.RuneError && t.flaw == nil {
			t.flaw = errNoText
		}
	}
	var b [utf8.UTFMax]byte
	t.add(b[:utf8.EncodeRune(b[:], c)])
}

func (s *scanner) skipNumber() {
	c := s.take()
	if c == '-' {
		c = s.take()
	}
	switch {
	case c == '0':
	case '1' <= c && c <= '9':
		s.digits(0)
	default:
		s.fail("%q in a number", c)
		return
	}
	if s.follows(".") {
		s.digits(1)
	}
	if s.follows("eE") {
		s.follows("+-")
		s.digits(1)
	}
}

// follows passes the next byte if it is one of some.
func (s *scanner) follows(set string) bool {
	if s.pos == s.end && !s.more() || bytes.IndexByte([]byte(set), s.buffer[s.pos]) < 0 {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) digits(least int) {
	for n := 0; s.pos < s.end || s.more(); n++ {
		if c := s.buffer[s.pos]; c < '0' || c > '9' {
			if n < least {
				s.fail("%q in a number", c)
			}
			return
		}
		s.pos++
	}
}
