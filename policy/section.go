package policy

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// MaxFile is the size of the largest file that a section may name, in bytes.
const MaxFile = 10 << 20

// Section is the part of a policy that one authority's format owns. It is what a format sees of a policy: it can be decoded and
// pointed at, and is never changed. It is safe for concurrent use.
type Section struct {
	file     string
	place    cursor
	readFile func(name string) ([]byte, error)
	hash     *hash
}

// Decode fills into, a pointer to a struct, by the rules of the function Decode. The error is Errors.
func (s *Section) Decode(into any) error {
	d := &decoder{file: s.file}
	d.decode(s.place, target(into))
	return d.errs.sorted()
}

// Errorf returns an Error at the place of a field, given as a path of keys and indexes such as "crls[1].file"; "" is the section
// itself. If the field is not there, the error stands at the nearest place above it. The last "; " of the text separates what is
// wrong from the next step. A %w keeps its cause.
func (s *Section) Errorf(field, format string, args ...any) error {
	c := s.place.field(field)
	err := fmt.Errorf(format, args...)
	at := c.node
	if at.Kind != yaml.ScalarNode || at.Tag == "!!null" {
		at = c.at()
	}
	e := newError(s.file, at.Line, at.Column, c.path, err.Error())
	if cause := errors.Unwrap(err); cause != nil {
		return &located{where: e, cause: cause}
	}
	return e
}

// ReadFile returns the content of a file that the section names, of at most MaxFile bytes. From then on its name and content are
// part of the policy's hash.
func (s *Section) ReadFile(name string) ([]byte, error) {
	switch {
	case s.readFile == nil:
		return nil, fmt.Errorf("%s: files cannot be named here; write the content into the document", clip(name))
	case name == "":
		return nil, errors.New("the name of the file is empty")
	}
	content, err := s.readFile(name)
	if err != nil {
		return nil, err
	}
	if len(content) > MaxFile {
		return nil, fmt.Errorf("%s: %d bytes, at most %d (10 MiB) are allowed", clip(name), len(content), MaxFile)
	}
	s.hash.add(name, content)
	return content, nil
}
