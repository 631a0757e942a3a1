package statement

import (
	"errors"
	"fmt"
	"sync"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Limits of a statement, beside trust.MaxEvidence for its bytes.
const (
	MaxSubjects = 1024 // subjects of one statement
	MaxDigests  = 32   // digests of one subject
)

// The versions of a statement that are known.
const (
	typeV01 = "https://in-toto.io/Statement/v0.1"
	typeV1  = "https://in-toto.io/Statement/v1"
)

// Statement is an in-toto statement: a predicate about subjects. The zero value is about nothing.
type Statement struct {
	PredicateType string
	Subjects      []Subject

	predicate func() (any, error)
}

// Subject is one thing that a statement is about.
type Subject struct {
	Name        string
	Digest      map[string]string // by algorithm, as written
	Annotations map[string]any
}

// Parse reads the payload of an attestation, which must not change afterwards. The whole document is checked, the predicate is decoded
// when it is asked for. Members that are not known are ignored, as the specification demands. An error is a "no".
func Parse(payload []byte) (*Statement, error) {
	s, err := parse(payload)
	if err != nil {
		return nil, trust.Untrusted("statement: %w", err)
	}
	return s, nil
}

func parse(payload []byte) (*Statement, error) {
	top, err := open(payload, trust.MaxEvidence)
	if err != nil {
		return nil, err
	}
	if err := checkNames(top, "_type", "subject", "predicateType", "predicate"); err != nil {
		return nil, err
	}
	kind, err := textOf(top, "_type")
	if err != nil {
		return nil, err
	}
	if kind != typeV01 && kind != typeV1 {
		return nil, fmt.Errorf("its _type %q is neither %q nor %q", clip(kind), typeV01, typeV1)
	}
	predicateType, err := textOf(top, "predicateType")
	if err != nil {
		return nil, err
	}
	if predicateType == "" {
		return nil, errors.New("its predicateType is empty")
	}
	subjects, err := parseSubjects(top.raw("subject"))
	if err != nil {
		return nil, err
	}
	return &Statement{PredicateType: predicateType, Subjects: subjects, predicate: lazily(top.raw("predicate"))}, nil
}

// lazily decodes a predicate once, when it is first asked for.
func lazily(raw []byte) func() (any, error) {
	return sync.OnceValues(func() (any, error) {
		if raw == nil {
			return nil, nil
		}
		v, err := decode(raw)
		if err != nil {
			return nil, trust.Untrusted("predicate: %w", err)
		}
		return v, nil
	})
}

func parseSubjects(raw []byte) ([]Subject, error) {
	if raw == nil {
		return nil, errors.New(`has no member "subject"`)
	}
	elements, err := newReader(raw).elements()
	switch {
	case err != nil:
		return nil, fmt.Errorf("subject: %w", err)
	case len(elements) == 0:
		return nil, errors.New("is about no subject")
	case len(elements) > MaxSubjects:
		return nil, fmt.Errorf("%d subjects, at most %d are allowed", len(elements), MaxSubjects)
	}
	subjects := make([]Subject, len(elements))
	for i, element := range elements {
		if subjects[i], err = parseSubject(element); err != nil {
			return nil, fmt.Errorf("subject[%d]: %w", i, err)
		}
	}
	return subjects, nil
}

func parseSubject(raw []byte) (Subject, error) {
	members, err := newReader(raw).members()
	if err != nil {
		return Subject{}, err
	}
	if err := checkNames(members, "name", "digest", "annotations"); err != nil {
		return Subject{}, err
	}
	var s Subject
	if members.raw("name") != nil { // in v1 it may be left out
		if s.Name, err = textOf(members, "name"); err != nil {
			return Subject{}, err
		}
	}
	if s.Digest, err = parseDigests(members.raw("digest")); err != nil {
		return Subject{}, fmt.Errorf("digest: %w", err)
	}
	if s.Annotations, err = decodeObject(members.raw("annotations")); err != nil {
		return Subject{}, fmt.Errorf("annotations: %w", err)
	}
	return s, nil
}

func parseDigests(raw []byte) (map[string]string, error) {
	members, err := newReader(raw).members()
	switch {
	case err != nil:
		return nil, err
	case len(members) > MaxDigests:
		return nil, fmt.Errorf("%d algorithms, at most %d are allowed", len(members), MaxDigests)
	}
	digests := make(map[string]string, len(members))
	for _, one := range members {
		algorithm := string(one.name)
		if digests[algorithm], err = textOf(members, algorithm); err != nil {
			return nil, err
		}
	}
	return digests, nil
}

// About returns the first subject whose digest is d: that of d's algorithm, in d's spelling. Digests of other algorithms that stand
// beside it neither help nor harm.
func (s *Statement) About(d image.Digest) (Subject, bool) {
	if d.IsZero() {
		return Subject{}, false
	}
	for _, subject := range s.Subjects {
		if subject.Digest[d.Algorithm()] == d.Hex() {
			return subject, true
		}
	}
	return Subject{}, false
}

// Predicate returns the predicate: nil, bool, string, int64, float64, []any or map[string]any, and nil if there is none. A number that
// is whole is an int64 however it was written, as far as that is exact. The result is decoded once and shared; it must not be changed.
// An error is a "no".
func (s *Statement) Predicate() (any, error) {
	if s.predicate == nil {
		return nil, nil
	}
	return s.predicate()
}
