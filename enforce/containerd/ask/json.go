package ask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Encode writes a question as JSON. One that Check refuses is an error.
func (q *Question) Encode() ([]byte, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"form": Form, "name": q.Name, "digest": q.Digest, "mediaType": q.MediaType, "size": q.Size})
}

// DecodeQuestion reads a question. An unknown field, one that is missing, one that stands twice, another form, and whatever Check refuses are
// errors.
func DecodeQuestion(body []byte) (Question, error) {
	var q Question
	if len(body) > MaxQuestion {
		return q, fmt.Errorf("a question of more than %d bytes", MaxQuestion)
	}
	var form int
	fields := map[string]any{"form": &form, "name": &q.Name, "digest": &q.Digest, "mediaType": &q.MediaType, "size": &q.Size}
	if err := DecodeObject(body, fields, Whole); err != nil {
		return Question{}, err
	}
	if form != Form {
		return Question{}, fmt.Errorf("the form %d is not known; %d is", form, Form)
	}
	if err := q.Check(); err != nil {
		return Question{}, err
	}
	return q, nil
}

// Encode writes an answer as JSON. One that contradicts itself becomes a refusal.
func (a Answer) Encode() []byte {
	if err := a.check(); err != nil {
		a = No(Bug, "bug: assay would have answered what it must not: "+err.Error())
	}
	content, err := json.Marshal(map[string]any{"form": Form, "allowed": a.Allowed, "meaning": a.Meaning, "reason": Line(a.Reason)})
	if err != nil {
		return nil // which is no answer
	}
	return content
}

// DecodeAnswer reads an answer as strictly as DecodeQuestion a question.
func DecodeAnswer(body []byte) (Answer, error) {
	var a Answer
	if len(body) > MaxAnswer {
		return a, fmt.Errorf("an answer of more than %d bytes", MaxAnswer)
	}
	fields := map[string]any{"form": &a.Form, "allowed": &a.Allowed, "meaning": &a.Meaning, "reason": &a.Reason}
	if err := DecodeObject(body, fields, Whole); err != nil {
		return Answer{}, err
	}
	if err := a.check(); err != nil {
		return Answer{}, err
	}
	a.Reason = Line(a.Reason)
	return a, nil
}

// Strictness says which fields an object must have.
type Strictness int

// What there is.
const (
	Whole Strictness = iota // all fields that are named, and no other
	Some                    // any of them, and no other
	Among                   // any of them, among others
)

// DecodeObject fills fields from a JSON object. A field that stands twice or is null, other spellings of one, and anything after the object
// are errors: two readers of one text must not see two things in it.
func DecodeObject(body []byte, fields map[string]any, strict Strictness) error {
	if !utf8.Valid(body) {
		return errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return noObject(err)
	}
	seen := map[string]bool{}
	for d.More() {
		if err := decodeField(d, fields, strict, seen); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return noObject(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("has something after the JSON object")
	}
	for name := range fields {
		if strict == Whole && !seen[name] {
			return fmt.Errorf("has no %s", name)
		}
	}
	return nil
}

func decodeField(d *json.Decoder, fields map[string]any, strict Strictness, seen map[string]bool) error {
	t, err := d.Token()
	if err != nil {
		return noObject(err)
	}
	name, _ := t.(string)
	into, known := fields[name]
	switch {
	case seen[name]:
		return fmt.Errorf("%.64q stands twice", name)
	case !known && (strict != Among || resembles(name, fields)):
		return fmt.Errorf("%.64q is no field", name)
	}
	seen[name] = true
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		return noObject(err)
	}
	switch {
	case !known:
		return nil
	case string(value) == "null":
		return fmt.Errorf("%s is null", name)
	}
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// resembles reports whether a name is a field's in other letters, which lenient readers take for it.
func resembles(name string, fields map[string]any) bool {
	for field := range fields {
		if bytes.EqualFold([]byte(field), []byte(name)) {
			return true
		}
	}
	return false
}

func noObject(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return errors.New("is no JSON object")
	}
	return fmt.Errorf("is no JSON object: %w", err)
}
