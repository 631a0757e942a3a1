package spire_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var countCall = regexp.MustCompile(`\.Count\("([a-z0-9_]+)"`)

// Every counter is on the page of the point.
func TestCountersAreOnTheirPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/spire.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, pattern := range []string{"*.go", "../../workload/*.go", "../../cmd/assay/spire*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range countCall.FindAllSubmatch(content, -1) {
				found++
				if !strings.Contains(string(page), "| `"+string(m[1])+"` |") {
					t.Errorf("docs/reference/spire.md lacks the counter %s of %s", m[1], file)
				}
			}
		}
	}
	if found < 4 {
		t.Errorf("%d counters are too few", found)
	}
}
