package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxPolicy is the size of the largest document that is read, in bytes. It also bounds what Decode reads.
const MaxPolicy = 1 << 20

// maxDepth is how deep values may stand in each other. The deepest document that means something needs less than half.
const maxDepth = 64

// maxSearched is the size of the largest document, in bytes, that is read several times to find the line of a syntax error. In a
// larger one the line is the YAML parser's own, which may be that of the block around it.
const maxSearched = 256 << 10

// load reads the one YAML document of data into nodes and refuses what YAML has beyond plain values: anchors, aliases, merge keys
// and tags. Duplicate keys are errors as well, but the document can still be looked at; fatal says whether it can not.
func (d *decoder) load(data []byte) (root cursor, fatal bool) {
	if len(data) > MaxPolicy {
		d.place(1, 1, nil, "%d bytes, at most %d (1 MiB) are allowed; split it into several documents", len(data), MaxPolicy)
		return cursor{}, true
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !d.checkText(data) {
		return cursor{}, true
	}
	stream := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	err := stream.Decode(&first)
	if err == nil {
		err = stream.Decode(&second)
	}
	switch {
	case err == io.EOF && first.Kind == 0:
		d.nothing(data)
		return cursor{}, true
	case err == nil:
		d.place(second.Line, second.Column, nil, "a second document begins here; keep each document in a file of its own")
		return cursor{}, true
	case err != io.EOF:
		d.syntax(data, err)
		return cursor{}, true
	}
	root = cursor{node: first.Content[0]}
	if root.node.Kind == yaml.ScalarNode && root.node.Tag == "!!null" {
		d.nothing(data)
		return cursor{}, true
	}
	return root, !d.checkTree(root, 1)
}

// nothing reports a document without a value.
func (d *decoder) nothing(data []byte) {
	text := "the document is empty"
	if len(bytes.TrimSpace(data)) > 0 {
		text = "there is nothing but comments in the document"
	}
	d.place(1, 1, nil, "%s; write one (the folder examples has some)", text)
}

// checkText refuses bytes that are no text and characters that make a document look other than it is.
func (d *decoder) checkText(data []byte) bool {
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			d.place(line, column, nil, "byte 0x%02x is not UTF-8; save the file as UTF-8", data[i])
			return false
		case isHidden(r):
			d.place(line, column, nil, "character %U cannot be seen; remove it, or write it as an escape in double quotes", r)
			return false
		case r == '\n', r == '\r' && !bytes.HasPrefix(data[i+1:], []byte("\n")):
			line, column = line+1, 1
		default:
			column++
		}
		i += size
	}
	return true
}

// isHidden reports control characters, line breaks that editors do not show as such, and characters that turn the direction of
// writing, by which a reviewer can be made to see another text than the parser.
func isHidden(r rune) bool {
	switch {
	case r == '\n', r == '\r', r == '\t':
		return false
	case r < 0x20, 0x7f <= r && r <= 0x9f, r == 0x2028, r == 0x2029, r == 0xfeff, r == 0xfffe, r == 0xffff:
		return true
	}
	return 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
}

var (
	yamlLine      = regexp.MustCompile(`^line ([0-9]+): `)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntax reports an error of the YAML parser, whose own line is that of the surrounding block at best.
func (d *decoder) syntax(data []byte, err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	lines := bytes.SplitAfter(data, []byte("\n"))
	line := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	if len(data) <= maxSearched || line < 1 || line > len(lines) {
		line = failingLine(lines, err)
	}
	content := string(lines[line-1])
	trimmed := strings.TrimLeft(content, " ")
	column := 1 + len(content) - len(trimmed)
	if strings.HasPrefix(trimmed, "\t") {
		d.place(line, column, nil, "a tab in the indentation; indent with spaces")
		return
	}
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		before, _, _ := strings.Cut(content, "*"+m[1])
		d.place(line, 1+utf8.RuneCountInString(before), nil, "an alias (*%s); write the value out", clip(m[1]))
		return
	}
	d.place(line, column, nil, "%s", "this is no YAML: "+text+"; look at indentation, quotes and brackets of this line and the one before")
}

// failingLine returns the number of the first line with which the parser fails as it does with all of them.
func failingLine(lines [][]byte, whole error) int {
	low, high := 1, len(lines)
	for low < high {
		middle := (low + high) / 2
		if same := parseError(bytes.Join(lines[:middle], nil)); same != nil && same.Error() == whole.Error() {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

func parseError(data []byte) error {
	stream := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		if err := stream.Decode(&n); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// checkTree reports whether the nodes below c are plain values with distinct text keys. Duplicate keys are reported, but do not count.
func (d *decoder) checkTree(c cursor, depth int) bool {
	n := c.node
	switch {
	case d.full():
		return false
	case n.Kind == yaml.AliasNode:
		d.fail(n, c.path, "an alias (*%s); write the value out", clip(n.Value))
		return false
	case n.Anchor != "":
		d.fail(n, c.path, "an anchor (&%s); remove it and write values out where they are needed", clip(n.Anchor))
		return false
	case n.Style&yaml.TaggedStyle != 0:
		d.fail(n, c.path, "a tag (%s); remove it", clip(n.Tag))
		return false
	case depth > maxDepth:
		d.fail(n, c.path, "more than %d levels deep; make it flatter", maxDepth)
		return false
	}
	ok := true
	switch n.Kind {
	case yaml.SequenceNode:
		for i := range n.Content {
			ok = d.checkTree(c.item(i), depth+1) && ok
		}
	case yaml.MappingNode:
		if !d.checkKeys(c) {
			return false
		}
		for i := range len(n.Content) / 2 {
			ok = d.checkTree(c.pair(i), depth+1) && ok
		}
	}
	return ok
}

func (d *decoder) checkKeys(c cursor) bool {
	seen := make(map[string]int, len(c.node.Content)/2)
	for i := range len(c.node.Content) / 2 {
		key := c.node.Content[2*i]
		switch {
		case d.full():
			return false
		case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0:
			d.fail(key, c.path, "a key that is no plain text; write a field's name")
			return false
		case key.Tag == "!!merge":
			d.fail(key, c.path, "a merge key (<<); write the fields out")
			return false
		case key.Tag != "!!str" || isYAML11Bool(key):
			d.fail(key, c.path, "key %s is %s, not text; put it in quotes if it is meant", strconv.Quote(clip(key.Value)), describe(key))
			return false
		}
		if line, found := seen[key.Value]; found {
			d.fail(key, c.pair(i).path, "duplicate key, it stands on line %d already; keep one of the two", line)
			continue
		}
		seen[key.Value] = key.Line
	}
	return true
}

// describe names what a node is, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "a boolean"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	}
	if isYAML11Bool(n) {
		return fmt.Sprintf("a boolean to some readers (%s)", n.Value)
	}
	return "text"
}

// isYAML11Bool reports words without quotes that are text in YAML 1.2 and booleans in YAML 1.1, which other readers of the same
// document speak: kubectl turns "deny: no" into a boolean.
func isYAML11Bool(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Style != 0 {
		return false
	}
	switch strings.ToLower(n.Value) {
	case "y", "n", "yes", "no", "on", "off":
		return true
	}
	return false
}
