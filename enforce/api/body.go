package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// readBody reads the body of a request up to the limit.
func readBody(q *request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(q.w, q.Body, maxBody))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the body could not be read: %w", err)
	case len(bytes.TrimSpace(body)) == 0:
		return nil, errors.New("the body is empty")
	case !utf8.Valid(body):
		return nil, errors.New("the body is not UTF-8")
	}
	return body, nil
}

// decode fills the fields of a JSON object. An unknown field, one that stands twice, another spelling of one, and anything after the object
// are errors: two readers of one body must not see two questions.
func decode(body []byte, fields map[string]any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return notObject(err)
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return notObject(err)
		}
		name, _ := t.(string)
		into, known := fields[name]
		switch {
		case !known:
			return fmt.Errorf("%.64q is no field; there are %s", name, strings.Join(names(fields), ", "))
		case seen[name]:
			return fmt.Errorf("%s: stands twice", name)
		}
		seen[name] = true
		if err := d.Decode(into); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return notObject(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the JSON object")
	}
	return nil
}

func notObject(err error) error {
	if err == nil {
		return errors.New("the body is no JSON object")
	}
	return fmt.Errorf("the body is no JSON object: %w", err)
}

func names(fields map[string]any) []string {
	var all []string
	for name := range fields {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// encode makes JSON on one line.
func encode(body any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(body)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// write sends JSON.
func write(w http.ResponseWriter, status int, content []byte) error {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write(content)
	return err
}

// seconds writes a duration for Retry-After: whole seconds, at least one.
func seconds(d time.Duration) string {
	return strconv.Itoa(int(math.Max(1, math.Ceil(d.Seconds()))))
}
