package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// mutant is one defence, switched off.
type mutant struct {
	Name string `json:"name"`
	File string `json:"file"` // from the root of the repository
	Old  string `json:"old"`  // occurs exactly once in it
	New  string `json:"new"`
	Test string `json:"test"` // arguments of the go test that must fail; single quotes group words
}

// load reads every testdata/mutants.json of a tree, in the order of their paths, and checks that each mutant can be made.
func load(tree fs.FS) ([]mutant, error) {
	var all []mutant
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && strings.HasPrefix(path.Base(name), "."):
			return fs.SkipDir
		case entry.IsDir() || path.Base(name) != "mutants.json" || path.Base(path.Dir(name)) != "testdata":
			return nil
		}
		list, err := loadList(tree, name)
		all = append(all, list...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, unique(all)
}

func loadList(tree fs.FS, name string) ([]mutant, error) {
	content, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	var list []mutant
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var problems []error
	for _, m := range list {
		if _, err := m.apply(tree); err != nil {
			problems = append(problems, fmt.Errorf("%s: %q: %w", name, m.Name, err))
		}
		if _, err := split(m.Test); err != nil || !strings.Contains(m.Test, "-run") {
			problems = append(problems, fmt.Errorf("%s: %q: test %q: want the arguments of a go test, with -run", name, m.Name, m.Test))
		}
	}
	return list, errors.Join(problems...)
}

func unique(all []mutant) error {
	seen := map[string]bool{}
	for _, m := range all {
		key := m.File + "\x00" + m.Old + "\x00" + m.New
		if m.Name == "" || seen[key] {
			return fmt.Errorf("mutant %q of %s: stands there twice, or has no name", m.Name, m.File)
		}
		seen[key] = true
	}
	return nil
}

// apply returns the file with the defence switched off.
func (m mutant) apply(tree fs.FS) ([]byte, error) {
	content, err := fs.ReadFile(tree, m.File)
	if err != nil {
		return nil, err
	}
	if m.Old == m.New {
		return nil, errors.New("old and new are the same")
	}
	if n := strings.Count(string(content), m.Old); n != 1 {
		return nil, fmt.Errorf("%s: the text %q occurs %d times, want exactly once", m.File, m.Old, n)
	}
	return []byte(strings.Replace(string(content), m.Old, m.New, 1)), nil
}

// split cuts a command line into words as a shell does, with single quotes and nothing else.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	quoted, started := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, started = !quoted, true
		case r == ' ' && !quoted:
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("%q: a quote is open at the end", line)
	}
	if started {
		words = append(words, word.String())
	}
	return words, nil
}
