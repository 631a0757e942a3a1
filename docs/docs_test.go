package docs_test

import (
	"errors"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/trust/formats"
	"github.com/assay-dev/assay/trust/sigstore"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

const root = ".."

// pages returns the Markdown files of the repository, by path from its root, with their content.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	walk(t, func(name string) bool { return path.Ext(name) == ".md" }, func(name string, content []byte) {
		found[name] = string(content)
	})
	if len(found) < 8 {
		t.Fatalf("%d pages are too few, is this the repository?", len(found))
	}
	return found
}

// walk reads the files of the repository that are wanted.
func walk(t *testing.T, wanted func(name string) bool, read func(name string, content []byte)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "peers"):
			return fs.SkipDir
		case d.IsDir() || !wanted(name):
			return nil
		}
		content, err := os.ReadFile(filepath.Join(root, name))
		if err == nil {
			read(name, content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	noWord  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	for name, content := range all {
		for _, m := range link.FindAllStringSubmatch(content, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			to := name
			if target != "" {
				to = path.Join(path.Dir(name), target)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", name, m[1])
				continue
			}
			if anchor != "" && !anchors(all[to])[anchor] {
				t.Errorf("%s: the link %s leads to no heading", name, m[1])
			}
		}
	}
}

// anchors returns the names under which a page's headings can be linked to, as web views of repositories make them.
func anchors(content string) map[string]bool {
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(content, -1) {
		words := noWord.ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(strings.TrimSpace(words), " ", "-")] = true
	}
	return found
}

var block = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// Every policy on a page, and in values of the chart there, is one that the program reads.
func TestPoliciesOnPagesCanBeRead(t *testing.T) {
	var names []string
	for _, f := range formats.All(formats.Config{}) {
		names = append(names, f.Name())
	}
	count := 0
	for name, content := range pages(t) {
		for _, m := range block.FindAllStringSubmatch(content, -1) {
			for _, text := range policiesOf(t, name, m[1]) {
				count++
				readPolicy(t, name, text, names)
			}
		}
	}
	if count < 20 {
		t.Errorf("%d policies on all pages are too few", count)
	}
}

// readPolicy reads a policy as the program does, with the files of the examples.
func readPolicy(t *testing.T, page, text string, formats []string) {
	t.Helper()
	src := policy.Source{Name: page, Data: []byte(text), ReadFile: func(file string) ([]byte, error) {
		if f, err := policy.ParseObjectFile(file); err == nil { // of an object of a cluster
			file = f.Key
		}
		content, err := os.ReadFile(filepath.Join(root, "examples", file))
		if errors.Is(err, fs.ErrNotExist) { // as in objects and in values of the chart, which know no folders
			return os.ReadFile(filepath.Join(root, "examples", "ca", file))
		}
		return content, err
	}}
	p, err := policy.Parse(src, formats)
	if err != nil {
		t.Errorf("%s: %v\n%s", page, err, text)
		return
	}
	for _, a := range p.Authorities {
		compileAuthority(t, page, a)
	}
}

// Every other piece of YAML on a page is well-formed, and settings of registries are what --registries reads.
func TestYAMLOnPagesCanBeRead(t *testing.T) {
	settings := 0
	for name, content := range pages(t) {
		for _, m := range block.FindAllStringSubmatch(content, -1) {
			var node yaml.Node
			if err := yaml.Unmarshal([]byte(m[1]), &node); err != nil {
				t.Errorf("%s: %v\n%s", name, err, m[1])
			}
			if !strings.HasPrefix(m[1], "registries:") {
				continue
			}
			settings++
			var file struct {
				Registries []registry.Settings `yaml:"registries" required:"true"`
			}
			if err := policy.Decode(name, []byte(m[1]), &file); err != nil {
				t.Errorf("%s: %v\n%s", name, err, m[1])
			}
		}
	}
	if settings < 3 {
		t.Errorf("%d settings of registries on all pages are too few", settings)
	}
}

// policiesOf returns the policies that a block of a page is: one, the attestations of one, or those in values of the chart.
func policiesOf(t *testing.T, page, block string) []string {
	t.Helper()
	const around = "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: page}\n"
	switch {
	case strings.HasPrefix(block, "apiVersion: assay.dev/v1"):
		return []string{block}
	case strings.HasPrefix(block, "        attestations:"):
		return []string{around + "spec:\n  rules: [{images: ['**'], require: release}]\n  authorities:\n    release:\n      sigstore:\n" +
			"        keyless: {identities: [{issuer: https://a.example, subject: b}]}\n" + block}
	}
	var values struct {
		Policies map[string]any `yaml:"policies"`
	}
	if err := yaml.Unmarshal([]byte(block), &values); err != nil {
		return nil // of another shape
	}
	var found []string
	for _, spec := range values.Policies {
		text, err := yaml.Marshal(map[string]any{"spec": spec})
		if err != nil {
			t.Fatalf("%s: %v", page, err)
		}
		found = append(found, around+string(text))
	}
	return found
}

func compileAuthority(t *testing.T, page string, a policy.Authority) {
	t.Helper()
	keeper, err := material.New(material.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range formats.All(formats.Config{Sigstore: sigstore.Config{Material: keeper}}) {
		if f.Name() != a.Format {
			continue
		}
		if _, err := f.New(a.Section); err != nil {
			t.Errorf("%s: authority %s: %v", page, a.Name, err)
		}
	}
}

var isLimit = regexp.MustCompile(`^(max|Max|min|Default)[A-Z]|^(default|dial|idle)\w*(Timeout|Retries)$`)

// The page of limits names every limit with its value as it stands in the source.
func TestLimitsAreAllOnTheirPage(t *testing.T) {
	page := pages(t)["docs/reference/limits.md"]
	known := 0
	wanted := func(name string) bool {
		return path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, "tools/") && !strings.HasPrefix(name, "e2e/")
	}
	walk(t, wanted, func(name string, content []byte) {
		for constant, value := range limits(t, name, content) {
			known++
			if want := "`" + path.Dir(name) + "." + constant + " = " + value + "`"; !strings.Contains(page, want) {
				t.Errorf("docs/reference/limits.md lacks %s", want)
			}
		}
	})
	if known < 40 {
		t.Errorf("%d limits are too few", known)
	}
}

// limits returns the constants of a file that are limits or defaults of something counted, with their values as written.
func limits(t *testing.T, name string, content []byte) map[string]string {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, content, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok || len(value.Values) != 1 || !isLimit.MatchString(value.Names[0].Name) {
				continue
			}
			if text, isText := value.Values[0].(*ast.BasicLit); isText && text.Kind == token.STRING {
				continue
			}
			var b strings.Builder
			if err := format.Node(&b, files, value.Values[0]); err != nil {
				t.Fatal(err)
			}
			found[value.Names[0].Name] = b.String()
		}
	}
	return found
}

// What users write and read by name stands on the page about it.
func TestFieldsAreAllOnTheirPages(t *testing.T) {
	all := pages(t)
	for _, c := range []struct {
		sources, page string
		name          *regexp.Regexp
	}{
		{"policy/wire.go", "docs/reference/policy.md", regexp.MustCompile(`yaml:"([a-zA-Z]+)`)},
		{"trust/sigstore/options.go", "docs/formats/sigstore.md", regexp.MustCompile(`yaml:"([a-zA-Z]+)`)},
		{"trust/notaryv1/options.go", "docs/formats/notaryv1.md", regexp.MustCompile(`yaml:"([a-zA-Z]+)`)},
		{"trust/notation/options.go", "docs/formats/notation.md", regexp.MustCompile(`yaml:"([a-zA-Z]+)`)},
		{"trust/certificate/options.go", "docs/formats/certificate.md", regexp.MustCompile(`yaml:"([a-zA-Z]+)`)},
		{"registry/settings.go", "docs/reference/cli.md", regexp.MustCompile(`yaml:"([a-zA-Z]+)`)},
		{"engine/verdict.go", "docs/reference/verdict.md", regexp.MustCompile(`json:"([a-zA-Z]+)`)},
	} {
		files, err := filepath.Glob(filepath.Join(root, c.sources))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", c.sources, err)
		}
		count := 0
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range c.name.FindAllStringSubmatch(string(content), -1) {
				count++
				word := regexp.MustCompile(`(^|[^A-Za-z-])` + m[1] + `([^A-Za-z-]|$)`)
				if !hidden[m[1]] && !word.MatchString(all[c.page]) {
					t.Errorf("%s lacks %s of %s", c.page, m[1], filepath.Base(file))
				}
			}
		}
		if count < 10 {
			t.Errorf("%s: %d names are too few", c.sources, count)
		}
	}
}

// hidden is metadata that has no meaning here.
var hidden = map[string]bool{"annotations": true, "labels": true}
