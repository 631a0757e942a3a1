package trusttest

import (
	"fmt"
	"io/fs"
	"reflect"

	"github.com/assay-dev/assay/trust"
)

// Section is a trust.Section without a document behind it.
type Section struct {
	Options any               // what Decode fills in: a struct of the type that the format decodes into
	Files   map[string][]byte // what ReadFile returns
}

var _ trust.Section = Section{}

// Decode implements trust.Section.
func (s Section) Decode(into any) error {
	target, value := reflect.ValueOf(into).Elem(), reflect.ValueOf(s.Options)
	if value.Kind() == reflect.Pointer {
		value = value.Elem()
	}
	if target.Type() != value.Type() {
		return fmt.Errorf("section holds %s, the format decodes into %s", value.Type(), target.Type())
	}
	target.Set(value)
	return nil
}

// Errorf implements trust.Section; the place stands in front of the text.
func (s Section) Errorf(field, format string, args ...any) error {
	return fmt.Errorf("section."+field+": "+format, args...)
}

// ReadFile implements trust.Section.
func (s Section) ReadFile(name string) ([]byte, error) {
	content, found := s.Files[name]
	if !found {
		return nil, fmt.Errorf("read %s: %w", name, fs.ErrNotExist)
	}
	return content, nil
}
