package trust

import (
	"fmt"
	"strings"

	"github.com/assay-dev/assay/image"
)

// SignedRepository says which repository evidence must name, where it names one. The zero value is the strict choice: the
// repository that was asked for.
type SignedRepository struct {
	Mode  string           `yaml:"-"`
	Exact string           `yaml:"exact,omitempty" doc:"the one repository that evidence must name"`
	Remap *RepositoryRemap `yaml:"remap,omitempty" doc:"for mirrors: images asked for below to were signed below from"`
}

// RepositoryRemap maps a mirror's names back to the names that were signed. Both are whole path prefixes of "registry/repository".
type RepositoryRemap struct {
	From string `yaml:"from" doc:"prefix of the names that were signed"`
	To   string `yaml:"to" doc:"prefix of the names that are asked for"`
}

// UnmarshalText reads the forms that are one word: "match" and "ignore".
func (s *SignedRepository) UnmarshalText(text []byte) error {
	switch mode := string(text); mode {
	case "match", "ignore":
		*s = SignedRepository{Mode: mode}
		return nil
	}
	return fmt.Errorf("%q is neither match nor ignore", text)
}

// Enum lists the words that UnmarshalText reads.
func (SignedRepository) Enum() []string { return []string{"match", "ignore"} }

// Validate reports what is contradictory or malformed.
func (s SignedRepository) Validate() error {
	if s.Exact != "" && s.Remap != nil {
		return fmt.Errorf("exact and remap exclude each other")
	}
	if s.Exact != "" {
		if r, err := image.Parse(s.Exact); err != nil || r.Name() != s.Exact {
			return fmt.Errorf("exact: %q is no repository in canonical form", s.Exact)
		}
	}
	if m := s.Remap; m != nil {
		for _, prefix := range []string{m.From, m.To} {
			prefix = strings.TrimSuffix(prefix, "/")
			// Two segments: those of Docker Hub with one have "library/" put before them.
			if r, err := image.Parse(prefix + "/x/x"); err != nil || r.Name() != prefix+"/x/x" {
				return fmt.Errorf("remap: %q is no prefix of repositories in canonical form", prefix)
			}
		}
	}
	return nil
}

// Ignored reports whether evidence may name any repository.
func (s SignedRepository) Ignored() bool { return s.Mode == "ignore" }

// Want returns the name ("registry/repository") that evidence for ref must carry.
func (s SignedRepository) Want(ref image.Ref) string {
	if s.Exact != "" {
		return s.Exact
	}
	if s.Remap != nil {
		to := strings.TrimSuffix(s.Remap.To, "/") + "/"
		if rest, found := strings.CutPrefix(ref.Name(), to); found {
			return strings.TrimSuffix(s.Remap.From, "/") + "/" + rest
		}
	}
	return ref.Name()
}
