package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxErrors is how many errors of one document are reported; a document with more is usually of another kind altogether.
const maxErrors = 50

// Error is one thing that is wrong in a document, or worth a warning, and what to do about it.
type Error struct {
	File   string // as given to Parse or Decode
	Line   int    // from 1; 0 in an object of a cluster, which has no lines
	Column int    // from 1, in characters; 0 where there is no line
	Path   string // the field: "spec.rules[0].images[1]"; "" for the document
	Text   string // what is wrong
	Hint   string // the next step; "" if there is none
}

// Error returns "file:line:column: path: text; hint", and without a line "file: path: text; hint".
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File + ": ")
	if e.Line > 0 {
		b.Reset()
		fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	}
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Text)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Errors is all that is wrong in a document, in the order of its lines.
type Errors []Error

// Error returns the errors, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each error for itself, for errors.As.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// sorted returns e in the order of the document, or nil if there is none.
func (e Errors) sorted() error {
	if len(e) == 0 {
		return nil
	}
	e.sort()
	return e
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// located is an error of a section that keeps its cause.
type located struct {
	where Error
	cause error
}

// Error returns the text of the error with its position, which includes the cause's.
func (l *located) Error() string { return l.where.Error() }

// Unwrap returns the error with its position, and its cause.
func (l *located) Unwrap() []error { return []error{l.where, l.cause} }
