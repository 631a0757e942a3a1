package formats_test

import (
	"reflect"
	"regexp"
	"testing"

	"github.com/assay-dev/assay/trust/formats"
)

func TestAllFormatsHaveOneNameAndOptions(t *testing.T) {
	names := map[string]bool{}
	for _, f := range formats.All(formats.Config{}) {
		if !regexp.MustCompile(`^[a-z][a-z0-9]*$`).MatchString(f.Name()) || names[f.Name()] {
			t.Errorf("name %q is malformed or taken", f.Name())
		}
		names[f.Name()] = true
		if v := reflect.ValueOf(f.Options()); v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct || !v.Elem().IsZero() {
			t.Errorf("%s: Options() = %T, want a pointer to a zero struct", f.Name(), f.Options())
		}
	}
}
