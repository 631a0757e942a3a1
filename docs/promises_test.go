package docs_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testFunc   = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
	threatTest = regexp.MustCompile(`^TestT\d+_`)
	threatRow  = regexp.MustCompile(`(?m)^\| T(\d+) \|.*\| ([^|]*) \|$`)
	whereTests = regexp.MustCompile("([a-z0-9/-]+): |`(Test[A-Z][A-Za-z0-9_]*)`") // a package, or a test in it
	storyNames = regexp.MustCompile(`\b(?:story|stories) ([a-z0-9_/]+(?:(?:, | and )[a-z0-9_/]+)*)`)
	betweenTwo = regexp.MustCompile(`, | and `)
)

// threats is how many attacks there are.
const threats = 52

// The threat model has every attack once. The tests and stories that it names for it exist, in the packages that it names, and it names
// every test that carries an attack's number.
func TestThreatModelNamesTests(t *testing.T) {
	exists := map[string]bool{}
	walk(t, func(name string) bool { return strings.HasSuffix(name, "_test.go") }, func(name string, content []byte) {
		for _, m := range testFunc.FindAllSubmatch(content, -1) {
			exists[path.Dir(name)+" "+string(m[1])] = true
		}
	})
	const page = "docs/design/threat-model.md"
	text := pages(t)[page]
	for test := range exists {
		if _, name, _ := strings.Cut(test, " "); threatTest.MatchString(name) && !strings.Contains(text, "`"+name+"`") {
			t.Errorf("%s lacks %s", page, test)
		}
	}
	rows := map[string]int{}
	for _, row := range threatRow.FindAllStringSubmatch(text, -1) {
		rows[row[1]]++
		folder, named := "", 0
		for _, m := range whereTests.FindAllStringSubmatch(row[2], -1) {
			if m[1] != "" {
				folder = m[1]
				continue
			}
			named++
			if !exists[folder+" "+m[2]] {
				t.Errorf("%s: T%s names %s of %s, which does not exist", page, row[1], m[2], folder)
			}
		}
		for _, story := range stories(row[2]) {
			named++
			if _, err := os.Stat(filepath.Join(root, "e2e/stories", story+".txtar")); err != nil {
				t.Errorf("%s: T%s names the story %s: %v", page, row[1], story, err)
			}
		}
		if named == 0 {
			t.Errorf("%s: T%s names no test", page, row[1])
		}
	}
	for n := 1; n <= threats; n++ {
		if got := rows[fmt.Sprint(n)]; got != 1 {
			t.Errorf("%s: %d rows for T%d, want 1", page, got, n)
		}
	}
}

// stories returns the names of stories in a text about tests.
func stories(text string) []string {
	var found []string
	for _, m := range storyNames.FindAllStringSubmatch(text, -1) {
		found = append(found, betweenTwo.Split(m[1], -1)...)
	}
	return found
}

// What was promised to users of the predecessors, in forty statements for each of two, is named by tests or stories.
func TestStatementsAreNamed(t *testing.T) {
	named := map[string]bool{}
	number := regexp.MustCompile(`(CSE|DIA)-?(\d+)`)
	wanted := func(name string) bool { return strings.HasSuffix(name, "_test.go") || path.Ext(name) == ".txtar" }
	walk(t, wanted, func(name string, content []byte) {
		for _, m := range number.FindAllSubmatch(content, -1) {
			named[string(m[1])+"-"+string(m[2])] = true
		}
	})
	for n := 1; n <= 40; n++ {
		for _, system := range []string{"CSE", "DIA"} {
			if statement := fmt.Sprintf("%s-%d", system, n); !named[statement] {
				t.Errorf("%s is named by no test and no story", statement)
			}
		}
	}
}

// So are the statements on the protocol of plugins of a SPIRE agent, on its two attestors, and on authorization plugins of a Docker engine.
func TestStatementsOfPointsAreNamed(t *testing.T) {
	named := map[string]bool{}
	number := regexp.MustCompile(`(PLUGIN|DOCKER|K8S|AUTHZ)-?(\d+)`)
	wanted := func(name string) bool { return strings.HasSuffix(name, "_test.go") || path.Ext(name) == ".txtar" }
	walk(t, wanted, func(_ string, content []byte) {
		for _, m := range number.FindAllSubmatch(content, -1) {
			named[string(m[1])+"-"+string(m[2])] = true
		}
	})
	for system, last := range map[string]int{"PLUGIN": 15, "DOCKER": 20, "K8S": 20, "AUTHZ": 39} {
		for n := 1; n <= last; n++ {
			if statement := fmt.Sprintf("%s-%d", system, n); !named[statement] {
				t.Errorf("%s is named by no test and no story", statement)
			}
		}
	}
}

// No two changes have the same number.
func TestChangesAreNumbered(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "changes", "*.md"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d changes are too few, %v", len(files), err)
	}
	taken := map[string]string{}
	for _, file := range files {
		name := filepath.Base(file)
		number := changeNumber.FindString(name)
		switch {
		case name == "README.md":
		case number == "":
			t.Errorf("changes/%s has no number", name)
		case taken[number] != "":
			t.Errorf("changes/%s and changes/%s have the same number", taken[number], name)
		}
		taken[number] = name
	}
}

var changeNumber = regexp.MustCompile(`^\d{4}-`)
