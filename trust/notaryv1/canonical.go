package notaryv1

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// canonical returns the JSON value in data in canonical form: keys sorted, no spaces, strings with no other escapes than those of the
// quote and the backslash (the form that signatures of this dialect are made over). Keys that stand twice in one object, numbers that
// are no integers, and what is no JSON are errors: what is signed must have one reading.
func canonical(data []byte) ([]byte, error) {
	c := canonicalizer{in: data, out: make([]byte, 0, len(data))}
	if err := c.value(0); err != nil {
		return nil, fmt.Errorf("at byte %d: %w", c.at, err)
	}
	c.space()
	if c.at != len(c.in) {
		return nil, fmt.Errorf("at byte %d: there is more behind the end", c.at)
	}
	return c.out, nil
}

type canonicalizer struct {
	in, out []byte
	at      int
}

var (
	errCut     = errors.New("it ends in the middle")
	errSyntax  = errors.New("this is no JSON")
	errNesting = fmt.Errorf("more than %d levels deep", maxNesting)
)

func (c *canonicalizer) space() {
	for c.at < len(c.in) {
		switch c.in[c.at] {
		case ' ', '\t', '\r', '\n':
			c.at++
		default:
			return
		}
	}
}

// next skips spaces and returns the byte behind them without taking it; 0 at the end.
func (c *canonicalizer) next() byte {
	c.space()
	if c.at == len(c.in) {
		return 0
	}
	return c.in[c.at]
}

func (c *canonicalizer) value(depth int) error {
	if depth > maxNesting {
		return errNesting
	}
	switch b := c.next(); {
	case b == 0 && c.at == len(c.in):
		return errCut
	case b == '{':
		return c.object(depth)
	case b == '[':
		return c.list(depth)
	case b == '"':
		return c.text()
	case b == '-' || '0' <= b && b <= '9':
		return c.integer()
	}
	for _, word := range []string{"true", "false", "null"} {
		if len(c.in)-c.at >= len(word) && string(c.in[c.at:c.at+len(word)]) == word {
			c.at += len(word)
			c.out = append(c.out, word...)
			return nil
		}
	}
	return errSyntax
}

// member is a pair of an object, as places in the output.
type member struct {
	key        string // decoded
	start, end int    // of key and value
}

func (c *canonicalizer) object(depth int) error {
	c.at++
	c.out = append(c.out, '{')
	var few [16]member
	members, sorted := few[:0], true
	for first := true; ; first = false {
		if done, err := c.separator('}', first); done || err != nil {
			if err != nil {
				return err
			}
			break
		}
		if c.next() != '"' {
			return errSyntax
		}
		m := member{start: len(c.out)}
		if err := c.text(); err != nil {
			return err
		}
		m.key = plainText(c.out[m.start+1 : len(c.out)-1])
		if c.next() != ':' {
			return errSyntax
		}
		c.at++
		c.out = append(c.out, ':')
		if err := c.value(depth + 1); err != nil {
			return err
		}
		m.end = len(c.out)
		c.out = append(c.out, ',')
		sorted = sorted && (len(members) == 0 || members[len(members)-1].key < m.key)
		members = append(members, m)
	}
	return c.arrange(members, sorted)
}

// arrange puts the members of an object, which stand at the end of the output, into the order of their keys.
func (c *canonicalizer) arrange(members []member, sorted bool) error {
	if len(members) == 0 {
		c.out = append(c.out, '}')
		return nil
	}
	if !sorted {
		start := members[0].start
		was := slices.Clone(c.out[start:])
		slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.key, b.key) })
		c.out = c.out[:start]
		for i, m := range members {
			if i > 0 && members[i-1].key == m.key {
				return fmt.Errorf("the key %q stands twice in one object", clip(m.key))
			}
			c.out = append(append(c.out, was[m.start-start:m.end-start]...), ',')
		}
	}
	c.out[len(c.out)-1] = '}'
	return nil
}

// plainText takes the escapes out of a text in canonical form.
func plainText(canonical []byte) string {
	if bytes.IndexByte(canonical, '\\') < 0 {
		return string(canonical)
	}
	plain := make([]byte, 0, len(canonical))
	for i := 0; i < len(canonical); i++ {
		if canonical[i] == '\\' {
			i++
		}
		plain = append(plain, canonical[i])
	}
	return string(plain)
}

func (c *canonicalizer) list(depth int) error {
	c.at++
	c.out = append(c.out, '[')
	for first := true; ; first = false {
		done, err := c.separator(']', first)
		if err != nil {
			return err
		}
		if done {
			if !first {
				c.out = c.out[:len(c.out)-1]
			}
			c.out = append(c.out, ']')
			return nil
		}
		if err := c.value(depth + 1); err != nil {
			return err
		}
		c.out = append(c.out, ',')
	}
}

// separator takes the comma before an item, or the end of an object or list.
func (c *canonicalizer) separator(end byte, first bool) (done bool, err error) {
	switch b := c.next(); {
	case b == end:
		c.at++
		return true, nil
	case c.at == len(c.in):
		return false, errCut
	case first:
		return false, nil
	case b == ',':
		c.at++
		return false, nil
	}
	return false, errSyntax
}

func (c *canonicalizer) integer() error {
	start := c.at
	if c.in[c.at] == '-' {
		c.at++
	}
	digits := c.at
	for c.at < len(c.in) && '0' <= c.in[c.at] && c.in[c.at] <= '9' {
		c.at++
	}
	if c.at < len(c.in) && (c.in[c.at] == '.' || c.in[c.at] == 'e' || c.in[c.at] == 'E') {
		return errors.New("a number that is no integer")
	}
	if n := c.at - digits; n == 0 || n > 1 && c.in[digits] == '0' || n > 19 {
		return errors.New("a malformed number")
	}
	c.out = append(c.out, c.in[start:c.at]...)
	return nil
}

// text takes a string. What is between two escapes is copied at once.
func (c *canonicalizer) text() error {
	c.at++
	c.out = append(c.out, '"')
	plain := c.at
	for c.at < len(c.in) {
		switch b := c.in[c.at]; {
		case b == '"':
			part := c.in[plain:c.at]
			if !utf8.Valid(part) {
				return errors.New("a text that is not UTF-8")
			}
			c.out = append(append(c.out, part...), '"')
			c.at++
			return nil
		case b < 0x20:
			return errors.New("a control character in a text")
		case b == '\\':
			if part := c.in[plain:c.at]; !utf8.Valid(part) {
				return errors.New("a text that is not UTF-8")
			}
			c.out = append(c.out, c.in[plain:c.at]...)
			if err := c.escape(); err != nil {
				return err
			}
			plain = c.at
		default:
			c.at++
		}
	}
	return errCut
}

// escape takes one escape of a string and writes what it stands for.
func (c *canonicalizer) escape() error {
	if len(c.in)-c.at < 2 {
		return errCut
	}
	b := c.in[c.at+1]
	c.at += 2
	switch b {
	case '"', '\\':
		c.out = append(c.out, '\\', b)
		return nil
	case '/':
		c.out = append(c.out, b)
		return nil
	case 'b', 'f', 'n', 'r', 't':
		c.out = append(c.out, map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}[b])
		return nil
	case 'u':
		return c.codePoint()
	}
	return errSyntax
}

func (c *canonicalizer) codePoint() error {
	r, err := c.hex()
	if err != nil {
		return err
	}
	if 0xd800 <= r && r < 0xdc00 {
		if len(c.in)-c.at < 6 || c.in[c.at] != '\\' || c.in[c.at+1] != 'u' {
			return errors.New("half a character in a text")
		}
		c.at += 2
		low, err := c.hex()
		if err != nil {
			return err
		}
		if low < 0xdc00 || 0xe000 <= low {
			return errors.New("half a character in a text")
		}
		r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
	}
	if !utf8.ValidRune(r) {
		return errors.New("half a character in a text")
	}
	if r == '"' || r == '\\' {
		c.out = append(c.out, '\\')
	}
	c.out = utf8.AppendRune(c.out, r)
	return nil
}

func (c *canonicalizer) hex() (rune, error) {
	if len(c.in)-c.at < 4 {
		return 0, errCut
	}
	n, err := strconv.ParseUint(string(c.in[c.at:c.at+4]), 16, 16)
	if err != nil {
		return 0, errSyntax
	}
	c.at += 4
	return rune(n), nil
}

// members returns the values of an object in canonical form by their keys; nil for what is no object.
func members(object []byte) map[string][]byte {
	if len(object) < 2 || object[0] != '{' {
		return nil
	}
	all := map[string][]byte{}
	for at := 1; at < len(object)-1; at++ { // at the quote of a key, then behind the comma
		key := skip(object, at)
		end := skip(object, key+1)
		all[plainText(object[at+1:key-1])] = object[key+1 : end]
		at = end
	}
	return all
}

// skip returns the place behind the value in canonical form that begins at a place.
func skip(data []byte, at int) int {
	for depth := 0; ; at++ {
		switch data[at] {
		case '"':
			for at++; data[at] != '"'; at++ {
				if data[at] == '\\' {
					at++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return at
			}
		case ',', ':':
			if depth == 0 {
				return at
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return at + 1
		}
	}
}

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
