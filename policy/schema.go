package policy

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// schemaID names the schema; editors find it under a file's own "$schema" comment, not by fetching this.
const schemaID = "https://assay.dev/schema/v1/trustpolicy.json"

// Schema returns a JSON Schema (draft 2020-12) of the document that Parse reads, for editors. formats has, for each format's name, a
// pointer to the type that its section is decoded into. The schema knows the form of a document; what only Parse can know (whether an
// authority exists, whether a pattern is well-formed) it does not refuse.
func Schema(formats map[string]any) ([]byte, error) {
	s := schemer{formats: formats, defs: object{}}
	root := s.of(reflect.TypeFor[wireDocument]())
	if s.err != nil {
		return nil, s.err
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = schemaID
	root["title"] = "TrustPolicy of " + apiVersion
	root["$defs"] = s.defs
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return append(text, '\n'), nil
}

// object is a JSON object.
type object = map[string]any

// schemer makes schemas of Go types.
type schemer struct {
	formats map[string]any
	defs    object // of the types that formats name, and of requirements
	err     error
}

// patterned is implemented by texts of one form.
type patterned interface {
	Pattern() string
}

// restricted is implemented by types whose fields depend on each other.
type restricted interface {
	restrict(o object)
}

func (s *schemer) of(t reflect.Type) object {
	zero := reflect.New(t).Interface()
	switch z := zero.(type) {
	case *wireAuthorities:
		return s.authorities()
	case *wireRequire:
		return s.requirement()
	case *time.Time:
		return object{"type": "string", "format": "date-time", "pattern": timePattern}
	case *time.Duration:
		return object{"type": "string", "minLength": 1, "pattern": durationPattern}
	case encoding.TextUnmarshaler:
		return s.text(t, z)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Struct:
		return s.object(t)
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	}
	o, err := scalar(t)
	if err != nil {
		s.err = fmt.Errorf("schema: %w", err)
	}
	return o
}

// scalar describes a type with neither fields nor items.
func scalar(t reflect.Type) (object, error) {
	switch t.Kind() {
	case reflect.String:
		return described(object{"type": "string"}, reflect.New(t).Interface()), nil
	case reflect.Bool:
		return object{"type": "boolean"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}, nil
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}, nil
	}
	return object{}, fmt.Errorf("no document can fill a %s", t)
}

// described adds what a type itself says of its texts.
func described(o object, zero any) object {
	if e, ok := zero.(enumerated); ok {
		o["enum"] = e.Enum()
	}
	if p, ok := zero.(patterned); ok {
		o["pattern"] = p.Pattern()
	}
	return o
}

// text describes a type that reads itself from text, and from a mapping too if it has fields.
func (s *schemer) text(t reflect.Type, zero any) object {
	o := object{"type": "string", "minLength": 1}
	if e, ok := zero.(enumerated); ok {
		o["enum"] = e.Enum()
	}
	if t.Kind() != reflect.Struct || len(fieldsOf(t)) == 0 {
		return o
	}
	return object{"anyOf": []object{o, s.object(t)}}
}

func (s *schemer) object(t reflect.Type) object {
	properties := object{}
	o := object{"type": "object", "additionalProperties": false, "properties": properties}
	var required []string
	for _, f := range fieldsOf(t) {
		properties[f.name] = s.field(f)
		if f.required {
			required = append(required, f.name)
		}
	}
	if len(required) > 0 {
		o["required"] = required
	}
	if r, ok := reflect.New(t).Interface().(restricted); ok {
		r.restrict(o)
	}
	return o
}

// field describes a field with what its tags say.
func (s *schemer) field(f field) object {
	o := s.of(f.typ)
	if !f.empty {
		refuseEmpty(o)
	}
	if f.doc != "" {
		o["description"] = f.doc
	}
	if len(f.enum) > 0 {
		o["enum"] = f.enum
	}
	if f.pattern != nil {
		o["pattern"] = f.pattern.String()
	}
	if f.max > 0 {
		o["maxLength"] = f.max
	}
	if f.min > 0 {
		switch o["type"] {
		case "string":
			o["minLength"] = f.min
		case "array":
			o["minItems"] = f.min
		case "object":
			o["minProperties"] = f.min
		case "integer":
			o["minimum"] = f.min
		}
	}
	return o
}

// refuseEmpty asks for something in a value, and in what it lists.
func refuseEmpty(o object) {
	limit := map[any]string{"string": "minLength", "array": "minItems", "object": "minProperties"}[o["type"]]
	if limit != "" {
		o[limit] = 1
	}
	for _, inner := range []any{o["items"], o["additionalProperties"]} {
		if inner, ok := inner.(object); ok {
			refuseEmpty(inner)
		}
	}
	if forms, ok := o["anyOf"].([]object); ok {
		for _, form := range forms {
			refuseEmpty(form)
		}
	}
}

// authorities describes the mapping of names to authorities, each with exactly one format.
func (s *schemer) authorities() object {
	formats := object{}
	for _, name := range slices.Sorted(maps.Keys(s.formats)) {
		t := reflect.TypeOf(s.formats[name])
		if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
			s.err = fmt.Errorf("schema: format %s: options are a %v, want a pointer to a struct", name, t)
			return object{}
		}
		s.defs["format."+name] = s.of(t.Elem())
		formats[name] = object{"$ref": "#/$defs/format." + name}
	}
	return object{
		"type":          "object",
		"propertyNames": object{"pattern": authorityName.String(), "maxLength": maxName},
		"additionalProperties": object{
			"type": "object", "properties": formats, "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
		},
	}
}

// requirement describes the tree of requirements, which contains itself.
func (s *schemer) requirement() object {
	const name = "requirement"
	reference := object{"$ref": "#/$defs/" + name}
	if s.defs[name] != nil {
		return reference
	}
	s.defs[name] = object{}
	tree := s.object(reflect.TypeFor[wireTree]())
	s.defs[name] = object{"anyOf": []object{
		{"type": "string", "minLength": 1, "description": "the name of an authority"},
		{"type": "array", "minItems": 1, "items": reference, "description": "every one of these"},
		tree,
	}}
	return reference
}

func (*wireTree) restrict(o object) {
	o["oneOf"] = []object{{"required": []string{"all"}}, {"required": []string{"any"}}, {"required": []string{"atLeast", "of"}}}
	o["dependentRequired"] = object{"of": []string{"atLeast"}, "atLeast": []string{"of"}}
}

func (*wireRule) restrict(o object) {
	o["allOf"] = []object{
		{"oneOf": []object{{"required": []string{"require"}}, {"required": []string{"deny"}}, {"required": []string{"allow"}}}},
		{"anyOf": []object{{"required": []string{"images"}}, {"required": []string{"imagesRegExp"}}, {"required": []string{"local"}}}},
	}
	o["dependentRequired"] = object{"digest": []string{"require"}, "platform": []string{"require"}}
	o["dependentSchemas"] = object{"local": object{"properties": object{"images": false, "imagesRegExp": false, "require": false}}}
}

func (*wireLocal) restrict(o object) {
	o["anyOf"] = []object{{"required": []string{"labels"}}, {"required": []string{"base"}}, {"required": []string{"builtBy"}}}
}

func (*wireRevocation) restrict(o object) {
	o["anyOf"] = []object{{"required": []string{"key"}}, {"required": []string{"serial"}}, {"required": []string{"identity"}}, {"required": []string{"digest"}}}
	o["dependentRequired"] = object{"serial": []string{"issuer"}, "issuer": []string{"serial"}}
}

func (*wireExpression) restrict(o object) {
	o["if"] = object{"properties": object{"operator": object{"enum": []string{"In", "NotIn"}}}}
	o["then"] = object{"required": []string{"values"}, "properties": object{"values": object{"minItems": 1}}}
	o["else"] = object{"properties": object{"values": false}}
}
