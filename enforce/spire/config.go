package spire

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/scanner"
	"github.com/hashicorp/hcl/hcl/token"
	jsonparser "github.com/hashicorp/hcl/json/parser"
)

// Limits of a configuration. The parser and the decoder call themselves for each bracket that is open, and compare keys with each other, so
// that their number bounds stack and time.
const (
	maxConfiguration = 1 << 20 // bytes
	maxBrackets      = 2_000   // opening brackets and braces, those in strings too
)

// decode reads a configuration into a struct whose fields have hcl tags. It answers with the keys that no field has, of every level: the
// decoder itself keeps silent about quoted ones, which is how keys of a configuration in JSON arrive.
//
// The typing is the decoder's, whose texts operators know: numbers may be quoted, strings may be numbers, repeated blocks and keys are
// merged, the case of a key means nothing.
//
// The schema that it was compared with has the values that are written in the wrong way, too: they make the decoder fail, which does not say
// of what key.
func decode(text string, hidden []string, into any) (s schema, err error) {
	defer func() {
		if p := recover(); p != nil { // the parser's way to complain about some strings
			err = fmt.Errorf("%v", p)
		}
	}()
	s.hidden = hidden
	root, err := parse(text)
	if err != nil {
		return s, err
	}
	s.block(root.Items, reflect.TypeOf(into).Elem(), nil)
	return s, hcl.DecodeObject(into, root)
}

// parse returns the items of a configuration in HCL, or in the JSON that stands for it.
func parse(text string) (*ast.ObjectList, error) {
	switch {
	case len(text) > maxConfiguration:
		return nil, fmt.Errorf("it has more than %d bytes", maxConfiguration)
	case strings.Count(text, "{")+strings.Count(text, "[") > maxBrackets:
		return nil, fmt.Errorf("it has more than %d opening brackets", maxBrackets)
	}
	read := parser.ParseDontErrorOnDuplicateKeys
	if strings.HasPrefix(strings.TrimLeftFunc(text, unicode.IsSpace), "{") {
		// The parser takes what was cut off for whole, without what it demanded.
		if err := json.Unmarshal([]byte(text), new(json.RawMessage)); err != nil {
			return nil, fmt.Errorf("it begins as JSON does: %w", err)
		}
		read = jsonparser.Parse
	}
	file, err := read([]byte(text))
	if err != nil {
		return nil, err
	}
	root, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return nil, errors.New("it is no list of keys")
	}
	if lastToken(text) == token.ASSIGN { // the parser leaves the key out, and what it demands with it
		return nil, errors.New("the last key has no value")
	}
	return root, nil
}

// lastToken returns the type of the last token that is no comment.
func lastToken(text string) token.Type {
	s := scanner.New([]byte(text))
	s.Error = func(token.Pos, string) {}
	last := token.EOF
	for {
		switch next := s.Scan().Type; next {
		case token.EOF:
			return last
		case token.COMMENT:
		default:
			last = next
		}
	}
}

// unknownKey is a key that no field has.
type unknownKey struct {
	name   string
	within []string // the keys of the blocks that it stands in
	beside []string // the keys that are known there
}

// schema walks over a configuration beside the type that it is decoded into.
type schema struct {
	hidden     []string // keys of the top level that this system does not have
	unknown    []unknownKey
	miswritten []string // what is to be said of values that no field takes
}

// block goes through the items of a block that a struct stands for.
func (s *schema) block(items []*ast.ObjectItem, t reflect.Type, within []string) {
	for _, item := range items {
		if len(item.Keys) == 0 {
			continue // the decoder says what it thinks of it
		}
		name := keyOf(item)
		field, ok := fieldOf(t, name)
		if !ok || len(within) == 0 && slices.Contains(s.hidden, keyName(field)) {
			s.unknown = append(s.unknown, unknownKey{name: name, within: within, beside: s.known(t, within)})
			continue
		}
		s.value(item, item.Keys[1:], field.Type, append(slices.Clip(within), keyName(field)))
	}
}

// value goes into what an item holds behind the labels that are left of its keys: `a "b" "c" {…}` is the same as `a { b { c {…} } }`.
func (s *schema) value(item *ast.ObjectItem, labels []*ast.ObjectKey, t reflect.Type, within []string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if len(labels) == 0 && !written(item.Val, t) {
		s.miswritten = append(s.miswritten, strings.Join(within, ".")+": has to be "+writing(t))
	}
	switch {
	case t.Kind() == reflect.Struct && len(labels) > 0:
		s.block([]*ast.ObjectItem{{Keys: labels, Val: item.Val}}, t, within)
	case t.Kind() == reflect.Struct:
		s.block(itemsOf(item.Val), t, within)
	case t.Kind() == reflect.Map && len(labels) > 0:
		s.value(item, labels[1:], t.Elem(), within)
	case t.Kind() == reflect.Map:
		for _, entry := range itemsOf(item.Val) {
			if len(entry.Keys) > 0 {
				s.value(entry, entry.Keys[1:], t.Elem(), within)
			}
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		s.list(item, labels, t.Elem(), within)
	}
}

// list goes through a list of blocks. A list of one arrives as the block alone, whose keys the decoder would take for one block each: so it is
// put back into a list.
func (s *schema) list(item *ast.ObjectItem, labels []*ast.ObjectKey, t reflect.Type, within []string) {
	for _, label := range labels {
		s.unknown = append(s.unknown, unknownKey{name: label.Token.Value().(string), within: within})
	}
	if object, ok := item.Val.(*ast.ObjectType); ok {
		item.Val = &ast.ListType{Lbrack: object.Lbrace, Rbrack: object.Rbrace, List: []ast.Node{object}}
	}
	if list, ok := item.Val.(*ast.ListType); ok {
		for _, entry := range list.List {
			s.block(itemsOf(entry), t, within)
		}
	}
}

func itemsOf(node ast.Node) []*ast.ObjectItem {
	if object, ok := node.(*ast.ObjectType); ok {
		return object.List.Items
	}
	return nil
}

func keyOf(item *ast.ObjectItem) string { return item.Keys[0].Token.Value().(string) }

func keyName(field reflect.StructField) string { return field.Tag.Get("hcl") }

// fieldOf returns the field with a key, whose case means nothing to the decoder.
func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if strings.EqualFold(keyName(t.Field(i)), key) {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}

// known returns the keys of a block.
func (s *schema) known(t reflect.Type, within []string) []string {
	var names []string
	for i := range t.NumField() {
		if name := keyName(t.Field(i)); len(within) > 0 || !slices.Contains(s.hidden, name) {
			names = append(names, name)
		}
	}
	return names
}

// notes collects what there is to say about a configuration.
type notes []Note

func (n *notes) problem(format string, args ...any) {
	*n = append(*n, Note{Text: strings.ToValidUTF8(fmt.Sprintf(format, args...), "�"), Problem: true})
}

// usual remarks what is said where nothing is unusual.
func (n *notes) usual(text string) { *n = append(*n, Note{Text: text, Usual: true}) }

func (n *notes) remark(format string, args ...any) {
	*n = append(*n, Note{Text: strings.ToValidUTF8(fmt.Sprintf(format, args...), "�")})
}

// wrong reports whether a problem is among the notes.
func (n notes) wrong() bool {
	return slices.ContainsFunc(n, func(n Note) bool { return n.Problem })
}

// decode reads a configuration and says what is wrong with its shape. It reports whether there is anything to go on with.
func (n *notes) decode(text string, hidden []string, moved map[string]string, into any) bool {
	read, err := decode(text, hidden, into)
	if err != nil {
		n.problem("unable to decode configuration: %v", err)
		for _, hint := range sorted(read.miswritten) {
			n.remark("%s", hint)
		}
		return false
	}
	if len(read.unknown) > 0 {
		n.problem("%s", unknownText(read.unknown, moved))
		for _, hint := range sorted(knownKeys(read.unknown)) {
			n.remark("%s", hint)
		}
	}
	return true
}
