package policy

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Decode fills into, a pointer to a struct, from the YAML document in data, as strictly as a policy is read: unknown and duplicate
// keys, wrong types and missing values are errors with their position. The error is Errors; name stands for the file in them.
//
// Known types: string, bool, integers, floats, time.Duration ("90s", "24h", "7d"), time.Time (RFC 3339), encoding.TextUnmarshaler,
// Section (what stands there is not looked at yet), and slices, maps with string keys, structs and pointers of these. A struct that is a TextUnmarshaler too is read from text or
// from a mapping. Tags of fields: `yaml:"name"` ("-" leaves the field out), `required:"true"`, `enum:"a,b"`, `min:"1"` (characters,
// items, or the number itself), `max:"2048"` (characters), `pattern:"…"`, `empty:"true"`, `hint:"…"` (the next step, for messages) and `doc:"…"` (for
// Schema). A type with a method Enum() []string takes only these texts.
//
// A text, list or mapping that is there and empty is an error wherever a field's tag does not say that empty has a meaning: who writes
// `subject: ""` wants something checked, and what has no value checks nothing.
func Decode(name string, data []byte, into any) error {
	d := &decoder{origin: origin{name: name}}
	if root, fatal := d.load(data); !fatal {
		d.decode(root, target(into))
	}
	return d.errs.sorted()
}

// target returns what a pointer points to.
func target(into any) reflect.Value {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("policy: cannot decode into %T, want a pointer", into))
	}
	return v.Elem()
}

// decoder fills Go values from nodes and collects what is wrong.
type decoder struct {
	origin
	errs   Errors
	failed map[string]bool // paths with an error at or below them
	types  map[reflect.Type][]field
}

// nodeDecoder is implemented by types that are written in more than one way.
type nodeDecoder interface {
	decodeNode(d *decoder, c cursor)
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
)

// fail records an error at a node. A "; " separates the text from the hint.
func (d *decoder) fail(n *yaml.Node, p *path, format string, args ...any) {
	d.place(n.Line, n.Column, p, format, args...)
}

func (d *decoder) place(line, column int, p *path, format string, args ...any) {
	if d.full() {
		return
	}
	if d.failed == nil {
		d.failed = map[string]bool{}
	}
	for at := p; at != nil; at = at.up {
		d.failed[at.String()] = true
	}
	d.errs = append(d.errs, d.errorAt(line, column, p, fmt.Sprintf(format, args...)))
}

// full reports that so much is wrong that nothing more is looked at.
func (d *decoder) full() bool { return len(d.errs) >= maxErrors }

// origin is where a document comes from.
type origin struct {
	name   string
	object bool // it is an object of a cluster and has no lines

	namespace string // of a NamespaceTrustPolicy
}

func (o origin) errorAt(line, column int, p *path, text string) Error {
	e := Error{File: o.name, Path: p.String(), Text: text}
	if !o.object {
		e.Line, e.Column = max(line, 1), max(column, 1)
	}
	if i := strings.LastIndex(text, "; "); i >= 0 {
		e.Text, e.Hint = text[:i], text[i+2:]
	}
	return e
}

// hasFailed reports whether an error stands at or below p, so that an error that only follows from it is left out.
func (d *decoder) hasFailed(p *path) bool { return d.failed[p.String()] }

// decode fills v from c. What is wrong leaves v as it is.
func (d *decoder) decode(c cursor, v reflect.Value) {
	if c.node.Kind == yaml.ScalarNode && c.node.Tag == "!!null" {
		d.fail(c.at(), c.path, "has no value; give it one or remove it")
		return
	}
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		d.decode(c, fresh.Elem())
		v.Set(fresh)
		return
	}
	if n, ok := v.Addr().Interface().(nodeDecoder); ok {
		n.decodeNode(d, c)
		return
	}
	if d.decodeText(c, v) {
		return
	}
	if v.Type() == timeType {
		d.decodeTime(c, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.decodeStruct(c, v)
	case reflect.Map:
		d.decodeMap(c, v)
	case reflect.Slice:
		d.decodeSlice(c, v)
	default:
		d.decodeScalar(c, v)
	}
}

// decodeText fills types that read themselves from text, and reports whether v is one and c is not a mapping for its fields.
func (d *decoder) decodeText(c cursor, v reflect.Value) bool {
	if v.Type() == timeType {
		return false
	}
	u, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	if !ok || c.node.Kind == yaml.MappingNode && v.Kind() == reflect.Struct && len(d.fields(v.Type())) > 0 {
		return false
	}
	text, ok := d.text(c)
	if !ok || !d.allowedByType(c, v, text) {
		return true
	}
	if text == "" {
		d.fail(c.node, c.path, "is empty; %s", emptyHint)
		return true
	}
	if err := u.UnmarshalText([]byte(text)); err != nil {
		d.fail(c.node, c.path, "%s", err)
	}
	return true
}

// emptyHint is the next step after an empty value.
const emptyHint = "give it a value or remove it"

// enumerated is implemented by types with a fixed set of texts.
type enumerated interface {
	Enum() []string
}

func (d *decoder) allowedByType(c cursor, v reflect.Value, text string) bool {
	e, ok := v.Addr().Interface().(enumerated)
	return !ok || d.oneOf(c, text, e.Enum())
}

func (d *decoder) oneOf(c cursor, text string, words []string) bool {
	if slices.Contains(words, text) {
		return true
	}
	d.fail(c.node, c.path, "unknown value %q; %s", clip(text), didYouMean(text, "write one of: ", words))
	return false
}

func (d *decoder) decodeStruct(c cursor, v reflect.Value) {
	if c.node.Kind != yaml.MappingNode {
		d.fail(c.node, c.path, "%s where a mapping is wanted; write %s", describe(c.node), shape(d.fields(v.Type())))
		return
	}
	fields := d.fields(v.Type())
	seen := map[string]bool{}
	for i := range len(c.node.Content) / 2 {
		if d.full() {
			return
		}
		value := c.pair(i)
		f := find(fields, value.key.Value)
		if f == nil {
			d.fail(value.key, value.path, "unknown field; %s", didYouMean(value.key.Value, "fields here are: ", names(fields)))
			continue
		}
		if seen[f.name] {
			continue // reported when the tree was checked
		}
		seen[f.name] = true
		before := len(d.errs)
		d.decode(value, v.FieldByIndex(f.index))
		if len(d.errs) == before {
			d.constrain(value, v.FieldByIndex(f.index), f)
			if !f.empty {
				d.refuseEmpty(value, f.typ, f.next(emptyHint))
			}
		}
	}
	for _, f := range fields {
		if f.required && !seen[f.name] {
			missing, _ := c.child(f.name)
			d.fail(c.at(), missing.path, "missing; %s", f.next("add "+f.name))
		}
	}
}

// constrain checks what the tags of a field ask of its value.
func (d *decoder) constrain(c cursor, v reflect.Value, f *field) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	size := 0
	switch v.Kind() {
	case reflect.String:
		if len(f.enum) > 0 && !d.oneOf(c, v.String(), f.enum) {
			return
		}
		if v.Len() > 0 && f.pattern != nil && !f.pattern.MatchString(v.String()) {
			d.fail(c.node, c.path, "%q is malformed; %s", clip(v.String()), f.next("it must match "+f.pattern.String()))
			return
		}
		if n := utf8.RuneCountInString(v.String()); f.max > 0 && n > f.max {
			d.fail(c.node, c.path, "%d characters, at most %d are allowed; shorten it", n, f.max)
			return
		}
		size = v.Len()
		if size == 0 && f.pattern != nil {
			size = f.min - 1 // what must have a form is not empty
		}
	case reflect.Slice, reflect.Map:
		size = v.Len()
	case reflect.Int, reflect.Int64, reflect.Int32:
		if f.min != 0 && v.Int() < int64(f.min) {
			d.fail(c.node, c.path, "%d is too small; write at least %d", v.Int(), f.min)
		}
		return
	default:
		return
	}
	if size < f.min {
		d.fail(c.at(), c.path, "is empty; %s", f.next(emptyHint))
	}
}

// refuseEmpty refuses an empty value of a field, and empty ones in its lists and mappings. What is empty in a struct is refused by the
// struct's own field.
func (d *decoder) refuseEmpty(c cursor, t reflect.Type, next string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case d.hasFailed(c.path):
	case isEmpty(c.node):
		d.fail(c.at(), c.path, "is empty; %s", next)
	case t.Kind() == reflect.Slice:
		for i := range c.node.Content {
			d.refuseEmpty(c.item(i), t.Elem(), emptyHint)
		}
	case t.Kind() == reflect.Map:
		for i := range len(c.node.Content) / 2 {
			d.refuseEmpty(c.pair(i), t.Elem(), emptyHint)
		}
	}
}

// isEmpty reports a text, list or mapping with nothing in it.
func isEmpty(n *yaml.Node) bool {
	if n.Kind == yaml.ScalarNode {
		return n.Value == ""
	}
	return len(n.Content) == 0
}

func (d *decoder) decodeMap(c cursor, v reflect.Value) {
	if c.node.Kind != yaml.MappingNode {
		d.fail(c.node, c.path, "%s where a mapping is wanted; write key: value", describe(c.node))
		return
	}
	m := reflect.MakeMap(v.Type())
	for i := range len(c.node.Content) / 2 {
		value := c.pair(i)
		element := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, element)
		m.SetMapIndex(reflect.ValueOf(value.key.Value).Convert(v.Type().Key()), element)
	}
	v.Set(m)
}

func (d *decoder) decodeSlice(c cursor, v reflect.Value) {
	if c.node.Kind != yaml.SequenceNode {
		d.fail(c.node, c.path, "%s where a list is wanted; write [a, b], or \"- \" before each item", describe(c.node))
		return
	}
	s := reflect.MakeSlice(v.Type(), len(c.node.Content), len(c.node.Content))
	for i := range c.node.Content {
		d.decode(c.item(i), s.Index(i))
	}
	v.Set(s)
}
