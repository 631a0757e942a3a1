package shared

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/trust"
)

// content is what an entry says.
type content struct {
	Checked time.Time     `json:"checked"`
	Until   time.Time     `json:"until"`
	Proofs  []trust.Proof `json:"proofs"`
}

// encode writes an answer. What would not be read again as it is, is an error: revocations compare names byte by byte.
func encode(a engine.SharedAnswer) ([]byte, error) {
	c := content{Checked: a.Checked.UTC(), Until: a.Until.UTC(), Proofs: a.Proofs}
	if !plain(reflect.ValueOf(c.Proofs)) {
		return nil, errors.New("a text in a proof is not UTF-8")
	}
	return json.Marshal(c)
}

// plain reports whether all texts in a value are UTF-8, which JSON would make them silently.
func plain(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return utf8.ValidString(v.String())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return true // base64
		}
		for i := range v.Len() {
			if !plain(v.Index(i)) {
				return false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !plain(v.Field(i)) {
				return false
			}
		}
	}
	return true
}

// decode reads what encode wrote, and nothing else.
func decode(text []byte) (engine.SharedAnswer, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var c content
	if err := d.Decode(&c); err != nil {
		return engine.SharedAnswer{}, fmt.Errorf("is not understood: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return engine.SharedAnswer{}, errors.New("is not understood: there is more behind it")
	}
	if c.Checked.IsZero() || c.Until.IsZero() || len(c.Proofs) == 0 {
		return engine.SharedAnswer{}, errors.New("is not understood: something is missing")
	}
	return engine.SharedAnswer{Proofs: c.Proofs, Checked: c.Checked, Until: c.Until}, nil
}
