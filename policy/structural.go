package policy

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// The API server's names for what is not in JSON Schema.
const (
	preserve    = "x-kubernetes-preserve-unknown-fields"
	validations = "x-kubernetes-validations"
)

// Bounds of what the API server checks with expressions. It multiplies each expression's price by them. Texts have theirs where they stand.
const (
	maxResourceItems = 8192 // items of a list, or of a mapping
	maxResourceTime  = 64   // characters of a time, or of a length of time
)

// validation is one check that the API server makes with an expression of CEL, and what it says where that does not hold.
type validation struct {
	Rule, Message, Field string
}

// validated is implemented by types whose fields depend on each other in a way that an expression can see.
type validated interface {
	validations() []validation
}

func (v validation) object() object {
	o := object{"rule": v.Rule, "message": v.Message}
	if v.Field != "" {
		o["fieldPath"] = "." + v.Field
	}
	return o
}

func validate(o object, all ...validation) {
	list, _ := o[validations].([]object)
	for _, v := range all {
		list = append(list, v.object())
	}
	if len(list) > 0 {
		o[validations] = list
	}
}

// structurer makes structural schemas of Go types, which have no references and one type at each place. What has several forms, or
// contains itself, is left to the parser.
type structurer struct {
	formats    map[string]any
	namespaced bool
	foreign    bool // inside a format's options, whose lists have no bounds: expressions could cost too much there
	depth      int
	err        error
}

// open is a place that only the parser looks at.
func open() object { return object{preserve: true} }

func (s *structurer) of(t reflect.Type) object {
	switch zero := reflect.New(t).Interface().(type) {
	case *wireAuthorities:
		return s.authorities()
	case nodeDecoder:
		return open()
	case *time.Time:
		return s.formed("string", timePattern, "write it as in 2027-01-31T00:00:00Z", maxResourceTime)
	case *time.Duration:
		return s.formed("string", durationPattern, "write it as in 90s, 24h or 7d", maxResourceTime)
	case encoding.TextUnmarshaler:
		if t.Kind() == reflect.Struct && len(fieldsOf(t)) > 0 {
			return open()
		}
		return described(object{"type": "string"}, zero)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Struct:
		return s.object(t)
	case reflect.Slice:
		return s.bounded(object{"type": "array", "items": s.of(t.Elem())}, "maxItems")
	case reflect.Map:
		return s.bounded(object{"type": "object", "additionalProperties": s.of(t.Elem())}, "maxProperties")
	}
	o, err := scalar(t)
	if err != nil {
		s.err = fmt.Errorf("custom resources: %w", err)
	}
	return o
}

// bounded bounds a list or mapping where expressions stand inside.
func (s *structurer) bounded(o object, limit string) object {
	if !s.foreign {
		o[limit] = maxResourceItems
	}
	return o
}

// formed is a text of one form: by an expression, which can say the next step, or by a bare pattern.
func (s *structurer) formed(kind, pattern, next string, longest int) object {
	o := object{"type": kind}
	if s.foreign || longest == 0 || strings.Contains(pattern, "'") {
		o["pattern"] = pattern
		return o
	}
	o["maxLength"] = longest
	validate(o, validation{Rule: "self.matches(r'" + pattern + "')", Message: "is malformed; " + next})
	return o
}

func (s *structurer) object(t reflect.Type) object {
	if s.depth++; s.depth > maxDepth {
		s.err = fmt.Errorf("custom resources: %s contains itself, or more than %d levels", t, maxDepth)
		return object{}
	}
	defer func() { s.depth-- }()
	properties := object{}
	o := object{"type": "object", preserve: true, "properties": properties}
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
	zero := reflect.New(t).Interface()
	if v, ok := zero.(validated); ok {
		validate(o, v.validations()...)
	}
	if v, ok := zero.(interface {
		structure(o object, namespaced bool)
	}); ok {
		v.structure(o, s.namespaced)
	}
	return o
}

func (s *structurer) field(f field) object {
	o := s.of(f.typ)
	if f.pattern != nil {
		o = s.formed("string", f.pattern.String(), f.next("it must match "+f.pattern.String()), f.max)
	}
	if len(f.enum) > 0 {
		o["enum"] = f.enum
	}
	if !f.empty {
		refuseEmpty(o)
	}
	if f.doc != "" {
		o["description"] = f.doc
	}
	if f.min > 0 {
		limit := map[any]string{"string": "minLength", "array": "minItems", "object": "minProperties", "integer": "minimum"}[o["type"]]
		if limit != "" {
			o[limit] = f.min
		}
	}
	return o
}

// authorities describes the mapping of names to authorities, each with exactly one format.
func (s *structurer) authorities() object {
	properties := object{}
	var given, counted []string
	names := slices.Sorted(maps.Keys(s.formats))
	for _, name := range names {
		t := reflect.TypeOf(s.formats[name])
		if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
			s.err = fmt.Errorf("custom resources: format %s: options are a %v, want a pointer to a struct", name, t)
			return object{}
		}
		s.foreign = true
		properties[name] = s.of(t.Elem())
		s.foreign = false
		given = append(given, "has(self."+name+")")
		counted = append(counted, "(has(self."+name+") ? 1 : 0)")
	}
	authority := object{"type": "object", preserve: true, "properties": properties}
	if len(names) > 0 {
		validate(authority,
			validation{Rule: strings.Join(given, " || "), Message: "no format; write one of: " + strings.Join(names, ", ")},
			validation{Rule: strings.Join(counted, " + ") + " < 2", Message: secondFormat})
	}
	return s.bounded(object{"type": "object", "additionalProperties": authority}, "maxProperties")
}

func (*wireSpec) structure(o object, _ bool) {
	o["properties"].(object)["mode"].(object)["default"] = Enforce.String() // so that the column Mode shows it
}

func (*wireScope) structure(o object, namespaced bool) {
	if namespaced {
		validate(o, validation{Rule: "!has(self.namespaces)", Message: namespacesOfNamespace, Field: "namespaces"})
	}
}

// structure asks for one of the three. No expression can see require, which has several forms.
func (*wireRule) structure(o object, _ bool) {
	o["oneOf"] = []object{{"required": []string{"require"}}, {"required": []string{"deny"}}, {"required": []string{"allow"}}}
}

func (*wireRule) validations() []validation {
	return []validation{
		{Rule: "has(self.images) || has(self.imagesRegExp) || has(self.local)", Message: noImages},
		{Rule: "!has(self.local) || !has(self.images) && !has(self.imagesRegExp)", Message: namesAndLocal, Field: "local"},
		{Rule: "!has(self.local) || has(self.deny) || has(self.allow)", Message: localRequires, Field: "local"},
		{Rule: "!has(self.deny) || !has(self.allow)", Message: fmt.Sprintf(manyVerbs, 2)},
		{Rule: "!has(self.digest) || !has(self.deny) && !has(self.allow)", Message: "digest " + onlyWithRequire, Field: "digest"},
		{Rule: "!has(self.platform) || !has(self.deny) && !has(self.allow)", Message: "platform " + onlyWithRequire, Field: "platform"},
	}
}

func (*wireLocal) validations() []validation {
	return []validation{{Rule: "has(self.labels) || has(self.base) || has(self.builtBy)", Message: noLocal}}
}

func (*wireRevocation) validations() []validation {
	return []validation{
		{Rule: "has(self.key) || has(self.serial) || has(self.issuer) || has(self.identity) || has(self.digest)", Message: nothingRevoked},
		{Rule: "!has(self.serial) || has(self.issuer)", Message: serialAlone, Field: "serial"},
		{Rule: "!has(self.issuer) || has(self.serial)", Message: issuerAlone, Field: "issuer"},
	}
}

func (*wireExpression) validations() []validation {
	needs := "has(self.operator) && self.operator in ['In', 'NotIn']"
	return []validation{
		{Rule: "!(" + needs + ") || has(self.values) && self.values.size() > 0", Message: "In and NotIn need values; add at least one"},
		{Rule: needs + " || !has(self.values)", Message: "Exists and DoesNotExist take no values; remove them"},
	}
}
