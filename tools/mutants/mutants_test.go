package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// TestMutantsFitTheSources fails when a source was changed and its mutant was forgotten, long before anybody runs them.
func TestMutantsFitTheSources(t *testing.T) {
	all, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Error("no mutants found")
	}
}

// TestMutantsStandOneALine keeps lists so that two branches which add to one merge, and a diff shows what changed.
func TestMutantsStandOneALine(t *testing.T) {
	tree := os.DirFS("../..")
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Base(name) != "mutants.json" {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
		if len(lines) < 3 || lines[0] != "[" || lines[len(lines)-1] != "]" {
			t.Errorf("%s: want [ and ] on lines of their own", name)
			return nil
		}
		for i, line := range lines[1 : len(lines)-1] {
			if !strings.HasPrefix(line, `{"name": `) || !json.Valid([]byte(strings.TrimSuffix(line, ","))) {
				t.Errorf("%s:%d: want one whole mutant", name, i+2)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoadRefuses(t *testing.T) {
	const file = `package x // here once; twice, twice`
	tests := []struct{ name, list, want string }{
		{"a text that is not there", `[{"name":"n","file":"x.go","old":"gone","new":"y","test":". -run T"}]`, "occurs 0 times"},
		{"a text that is there twice", `[{"name":"n","file":"x.go","old":"twice","new":"y","test":". -run T"}]`, "occurs 2 times"},
		{"a file that is not there", `[{"name":"n","file":"y.go","old":"here","new":"y","test":". -run T"}]`, "y.go"},
		{"no change", `[{"name":"n","file":"x.go","old":"here","new":"here","test":". -run T"}]`, "the same"},
		{"an unknown field", `[{"nome":"n"}]`, "unknown field"},
		{"no test", `[{"name":"n","file":"x.go","old":"here","new":"y","test":""}]`, "-run"},
		{"the same twice", `[{"name":"n","file":"x.go","old":"here","new":"y","test":". -run T"},{"name":"m","file":"x.go","old":"here","new":"y","test":". -run T"}]`, "twice"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree := fstest.MapFS{"x.go": {Data: []byte(file)}, "testdata/mutants.json": {Data: []byte(test.list)}}
			if _, err := load(tree); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestApply(t *testing.T) {
	tree := fstest.MapFS{"x.go": {Data: []byte("if a {\n\tb()\n}")}}
	got, err := mutant{File: "x.go", Old: "a {\n", New: "false {\n"}.apply(tree)
	if want := "if false {\n\tb()\n}"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestSplit(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{"./registry -run TestT13", []string{"./registry", "-run", "TestT13"}},
		{"./x -run 'TestT1|Test T2'  -timeout 5s", []string{"./x", "-run", "TestT1|Test T2", "-timeout", "5s"}},
		{"a''b ''", []string{"ab", ""}},
	}
	for _, test := range tests {
		got, err := split(test.line)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", test.line, err, diff)
		}
	}
	if _, err := split("a 'b"); err == nil {
		t.Error("an open quote: got no error")
	}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name   string
		out    string
		passed bool
		want   fate
	}{
		{"a test fails", "--- FAIL: TestT13 (0.00s)\nFAIL\tx\t0.1s\n", false, noticed},
		{"a test panics", "panic: test timed out after 5s\nFAIL\tx\t5s\n", false, noticed},
		{"the tests pass", "ok  \tx\t0.1s\n", true, survived},
		{"the mutant does not compile", "# x\nx.go:1: undefined: y\nFAIL\tx [build failed]\n", false, broken},
		{"the package does not exist", "FAIL\tx [setup failed]\n", false, broken},
		{"the test does not exist", "ok  \tx\t0.1s [no tests to run]\n", true, broken},
		{"go itself fails", "go: cannot find main module\n", false, broken},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := judge(test.out, test.passed); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
