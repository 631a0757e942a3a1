package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// maxDepth is how deep objects and lists may be nested.
const maxDepth = 100

// unique refuses JSON that could be read in two ways: members that stand twice in one object, and content behind the end. The engine takes
// the names of its own members in any case, so that there "image" is "Image" again: at the top, and in the objects whose paths are named.
// Elsewhere users choose the names, and case counts.
func unique(content []byte, folded []string) error {
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	w := &walker{Decoder: d, folded: make([]string, len(folded))}
	for i, path := range folded {
		w.folded[i] = "." + fold(path)
	}
	first, err := d.Token()
	switch {
	case err != nil:
		return readingError(err)
	case first != json.Delim('{'):
		return errors.New("is no object")
	}
	if err := w.object("", 1); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is content after the JSON")
	}
	return nil
}

type walker struct {
	*json.Decoder
	folded []string
}

func readingError(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("no JSON: %w", err)
}

// object walks through one whose opening was read.
func (w *walker) object(path string, depth int) error {
	inAnyCase := path == "" || slices.Contains(w.folded, path)
	seen := map[string]bool{}
	for w.More() {
		token, err := w.Token()
		if err != nil {
			return readingError(err)
		}
		name, _ := token.(string)
		folded := fold(name)
		key := name
		if inAnyCase {
			key = folded
		}
		if seen[key] {
			return fmt.Errorf("the member %q stands there twice", clip(name))
		}
		seen[key] = true
		if err := w.value(path+"."+folded, depth); err != nil {
			return err
		}
	}
	_, err := w.Token()
	return ended(err)
}

// value walks through whatever comes next. The members of a list have the path of the list.
func (w *walker) value(path string, depth int) error {
	token, err := w.Token()
	if err != nil {
		return readingError(err)
	}
	delim, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	if depth++; depth > maxDepth {
		return fmt.Errorf("more than %d levels", maxDepth)
	}
	if delim == '{' {
		return w.object(path, depth)
	}
	for w.More() {
		if err := w.value(path, depth); err != nil {
			return err
		}
	}
	_, err = w.Token()
	return ended(err)
}

func ended(err error) error {
	if err != nil {
		return readingError(err)
	}
	return nil
}

// fold makes equal what encoding/json takes for one name: it compares under Unicode's simple folding.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, s)
}
