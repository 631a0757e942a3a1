package policy

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// field is a field of a Go struct as a document writes it, with what its tags say.
type field struct {
	name     string
	index    []int
	typ      reflect.Type
	required bool
	min      int
	max      int  // characters; 0: no bound
	empty    bool // an empty value has a meaning, here and in what is listed here
	enum     []string
	pattern  *regexp.Regexp
	hint     string
	doc      string
}

// next returns the field's own hint, or a general one.
func (f *field) next(general string) string {
	if f.hint != "" {
		return f.hint
	}
	return general
}

// fields returns the fields of a struct type, and remembers them.
func (d *decoder) fields(t reflect.Type) []field {
	known, found := d.types[t]
	if !found {
		if d.types == nil {
			d.types = map[reflect.Type][]field{}
		}
		known = fieldsOf(t)
		d.types[t] = known
	}
	return known
}

func fieldsOf(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		switch {
		case name == "-":
			continue
		case sf.Anonymous && name == "" && sf.Type.Kind() == reflect.Struct:
			for _, inner := range fieldsOf(sf.Type) {
				inner.index = append([]int{i}, inner.index...)
				all = append(all, inner)
			}
			continue
		case !sf.IsExported():
			continue
		case name == "":
			name = strings.ToLower(sf.Name)
		}
		f := field{name: name, index: sf.Index, typ: sf.Type, hint: sf.Tag.Get("hint"), doc: sf.Tag.Get("doc")}
		f.required = sf.Tag.Get("required") == "true"
		f.min, _ = strconv.Atoi(sf.Tag.Get("min"))
		f.max, _ = strconv.Atoi(sf.Tag.Get("max"))
		f.empty = sf.Tag.Get("empty") == "true"
		if words := sf.Tag.Get("enum"); words != "" {
			f.enum = strings.Split(words, ",")
		}
		if expr := sf.Tag.Get("pattern"); expr != "" {
			f.pattern = regexp.MustCompile(expr)
		}
		all = append(all, f)
	}
	return all
}

func find(fields []field, name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

func names(fields []field) []string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.name
	}
	return all
}

// shape sketches a mapping with the first fields of a struct.
func shape(fields []field) string {
	const most = 3
	var b strings.Builder
	for i, f := range fields {
		if i == most {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.name + ": …")
	}
	return "{" + b.String() + "}"
}
