package policy

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// knownFormats are the formats that the documents of the tests may name. No test decodes their sections but by types of its own.
var knownFormats = []string{"certificate", "notaryv1", "notation", "sigstore"}

const goodHead = "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: prod}\n"

// goodRule is a spec of one rule in one line.
const goodRule = "spec: {rules: [{images: [\"**\"], deny: not ours}]}\n"

type brokenCase struct {
	name, doc string
	want      []string
}

// brokenCases reads testdata/broken.txt.
func brokenCases(t testing.TB) []brokenCase {
	t.Helper()
	data, err := os.ReadFile("testdata/broken.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []brokenCase
	for _, part := range strings.Split(string(data), "\n== ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		c := brokenCase{name: name}
		for _, line := range strings.SplitAfter(body+"\n", "\n") {
			switch want, isWant := strings.CutPrefix(line, "-> "); {
			case isWant:
				c.want = append(c.want, strings.TrimSuffix(want, "\n"))
			case line == "@\n":
				c.doc += goodHead
			default:
				c.doc += line
			}
		}
		c.doc = strings.TrimSuffix(c.doc, "\n")
		all = append(all, c)
	}
	return all
}

func TestBrokenDocuments(t *testing.T) {
	for _, c := range brokenCases(t) {
		t.Run(c.name, func(t *testing.T) {
			p, err := Parse(Source{Name: "prod.yaml", Data: []byte(c.doc)}, knownFormats)
			if err == nil || p != nil {
				t.Fatalf("got policy %v and error %v, want an error only", p, err)
			}
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("got an error of type %T, want Errors", err)
			}
			if diff := cmp.Diff(c.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}
