package policy

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFile is the size of the largest file that a section may name, in bytes.
const MaxFile = 10 << 20

// Section is a part of a document that is decoded by its owner: what one authority's format sees of a policy, or a document that is no
// policy. It can be decoded and pointed at. It is safe for concurrent use.
type Section struct {
	origin
	place    cursor
	readFile func(name string) ([]byte, error)
	hash     *hash
}

// Document reads one document of at most MaxPolicy bytes that is no policy, such as another program's configuration, as strictly as one.
// The error is Errors; name stands for the file in them.
func Document(name string, data []byte) (*Section, error) {
	d := &decoder{origin: origin{name: name}}
	root, _ := d.load(data)
	if err := d.errs.sorted(); err != nil {
		return nil, err
	}
	return &Section{origin: d.origin, place: root}, nil
}

// decodeNode makes s the section at c, for fields whose owner decodes them later.
func (s *Section) decodeNode(d *decoder, c cursor) { *s = Section{origin: d.origin, place: c} }

// Decode fills into, a pointer to a struct, by the rules of the function Decode. The error is Errors.
func (s *Section) Decode(into any) error {
	d := &decoder{origin: s.origin}
	d.decode(s.place, target(into))
	return d.errs.sorted()
}

// Errorf returns an Error at the place of a field, given as a path of keys and indexes such as "crls[1].file"; "" is the section
// itself. If the field is not there, the error stands at the nearest place above it. The last "; " of the text separates what is
// wrong from the next step. A %w keeps its cause. Where the cause is that a file of an object could not be read, its own next step is taken:
// formats know of paths only.
func (s *Section) Errorf(field, format string, args ...any) error {
	c := s.place.field(field)
	err := fmt.Errorf(format, args...)
	at := c.node
	if at.Kind != yaml.ScalarNode || at.Tag == "!!null" {
		at = c.at()
	}
	text := err.Error()
	if file := (*objectFileError)(nil); errors.As(err, &file) {
		text = file.Error()
	}
	e := s.errorAt(at.Line, at.Column, c.path, text)
	if cause := errors.Unwrap(err); cause != nil {
		return &located{where: e, cause: cause}
	}
	return e
}

// Namespace returns the namespace of the NamespaceTrustPolicy that s is a part of, and "" for any other document.
func (s *Section) Namespace() string { return s.namespace }

// Line returns the line of a field, given as for Errorf; if it is not there, that of the nearest place above it, and 0 in an object of a cluster.
func (s *Section) Line(field string) int { return s.place.field(field).at().Line }

// Respell gives keys that differ from one of the known ones in upper and lower case only that one's spelling, wherever they stand in s:
// for documents of programs that do not tell the two apart. It returns a warning for each. A key that then stands twice is an error; the
// error is Errors. It must not be called once s is shared.
func (s *Section) Respell(known ...string) ([]Error, error) {
	spelling := map[string]string{}
	for _, key := range known {
		spelling[strings.ToLower(key)] = key
	}
	d := &decoder{origin: s.origin}
	warnings := d.respell(s.place, spelling)
	return warnings, d.errs.sorted()
}

func (d *decoder) respell(c cursor, spelling map[string]string) []Error {
	var warnings []Error
	switch c.node.Kind {
	case yaml.SequenceNode:
		for i := range c.node.Content {
			warnings = append(warnings, d.respell(c.item(i), spelling)...)
		}
	case yaml.MappingNode:
		for i := range len(c.node.Content) / 2 {
			value := c.pair(i)
			if right, found := spelling[strings.ToLower(value.key.Value)]; found && right != value.key.Value {
				if other, twice := c.child(right); twice {
					d.fail(value.key, value.path, "the key %s, which stands on line %d already, in another spelling; keep one of the two", right, other.key.Line)
					continue
				}
				warnings = append(warnings, d.errorAt(value.key.Line, value.key.Column, value.path, "the key is written "+right))
				value.key.Value = right
				value = c.pair(i)
			}
			warnings = append(warnings, d.respell(value, spelling)...)
		}
	}
	return warnings
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
	if err != nil && s.object {
		return nil, &objectFileError{err}
	}
	if err != nil {
		return nil, err
	}
	if len(content) > MaxFile {
		return nil, fmt.Errorf("%s: %d bytes, at most %d (10 MiB) are allowed", clip(name), len(content), MaxFile)
	}
	s.hash.add(name, content)
	return content, nil
}
