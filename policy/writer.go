package policy

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
)

// Writer writes a document that Parse and Decode read, line by line, with comments that the reader of a YAML library would lose. What
// comes from outside is given to Text, Block and Comment, or goes through Quote: none of them lets it become more than text. The zero
// value is an empty document.
type Writer struct {
	buffer bytes.Buffer
	depth  int
}

// Line writes one line of YAML as it is.
func (w *Writer) Line(s string) { fmt.Fprintf(&w.buffer, "%*s%s\n", 2*w.depth, "", s) }

// Open begins the mapping that is the value of a key. Close ends it.
func (w *Writer) Open(key string) {
	w.Line(key + ":")
	w.Indent()
}

// Indent writes what follows one level deeper, until Close.
func (w *Writer) Indent() { w.depth++ }

// Close ends what Open or Indent began last.
func (w *Writer) Close() { w.depth-- }

// Comment writes a comment of one line. What cannot be seen in text is replaced, line breaks too.
func (w *Writer) Comment(text string) {
	w.Line("# " + strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text))
}

// Text writes a key with its value, and nothing for an empty one.
func (w *Writer) Text(key, value string) {
	if value != "" {
		w.Line(key + ": " + Quote(value))
	}
}

// Block writes a key with a text of several lines that ends with a line break, as it is if that is safe. A key may begin with "- ".
func (w *Writer) Block(key, value string) {
	inside, whole := strings.CutSuffix(value, "\n")
	if !whole || strings.TrimSpace(inside) != inside || strings.ContainsFunc(inside, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		w.Text(key, value)
		return
	}
	w.Line(key + ": |")
	indent := "  "
	if strings.HasPrefix(key, "- ") {
		indent = "    "
	}
	for line := range strings.SplitSeq(inside, "\n") {
		w.Line(indent + line)
	}
}

// Bytes returns what was written.
func (w *Writer) Bytes() []byte { return w.buffer.Bytes() }

// String returns what was written.
func (w *Writer) String() string { return w.buffer.String() }

// Quote writes a text as one value of YAML on one line, with escapes for what cannot be seen. A text with backslashes, such as an
// expression, is put in single quotes, where they mean themselves.
func Quote(s string) string {
	if strings.Contains(s, `\`) && !strings.ContainsFunc(s, func(r rune) bool { return r == '\'' || !unicode.IsPrint(r) }) {
		return "'" + s + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
