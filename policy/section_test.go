package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type testOptions struct {
	Roots string            `yaml:"roots"`
	CRLs  []testList        `yaml:"crls"`
	Names map[string]string `yaml:"names"`
}

type testList struct {
	File string `yaml:"file" required:"true"`
}

const sectionDocument = goodHead + `spec:
  authorities:
    gitlab:
      certificate:
        roots: PEM
        crls:
        - file: a.crl
        - {file: b.crl}
        names: {"a.b": x}
  rules: [{images: ["**"], require: gitlab}]
`

func section(t testing.TB, doc string, readFile func(string) ([]byte, error)) (*Policy, *Section) {
	t.Helper()
	p, err := Parse(Source{Name: "prod.yaml", Data: []byte(doc), ReadFile: readFile}, knownFormats)
	if err != nil {
		t.Fatal(err)
	}
	return p, p.Authorities[0].Section
}

func TestSectionDecode(t *testing.T) {
	_, s := section(t, sectionDocument, nil)
	var got testOptions
	if err := s.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := testOptions{Roots: "PEM", CRLs: []testList{{"a.crl"}, {"b.crl"}}, Names: map[string]string{"a.b": "x"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	broken := strings.NewReplacer("roots:", "root:", "{file: b.crl}", "{}").Replace(sectionDocument)
	_, s = section(t, broken, nil)
	want2 := `prod.yaml:8:9: spec.authorities.gitlab.certificate.root: unknown field; did you mean "roots"?
prod.yaml:11:11: spec.authorities.gitlab.certificate.crls[1].file: missing; add file`
	if err := s.Decode(&got); err == nil || err.Error() != want2 {
		t.Errorf("got  %v\nwant %s", err, want2)
	}
}

func TestSectionErrorf(t *testing.T) {
	_, s := section(t, sectionDocument, nil)
	for field, want := range map[string]string{
		"":                "prod.yaml:7:7: spec.authorities.gitlab.certificate: is wrong; mend it",
		"roots":           "prod.yaml:8:16: spec.authorities.gitlab.certificate.roots: is wrong; mend it",
		"crls":            "prod.yaml:9:9: spec.authorities.gitlab.certificate.crls: is wrong; mend it",
		"crls[0].file":    "prod.yaml:10:17: spec.authorities.gitlab.certificate.crls[0].file: is wrong; mend it",
		"crls[1]":         "prod.yaml:11:11: spec.authorities.gitlab.certificate.crls[1]: is wrong; mend it",
		"crls[7].file":    "prod.yaml:9:9: spec.authorities.gitlab.certificate.crls[7].file: is wrong; mend it",
		"missing.roots":   "prod.yaml:7:7: spec.authorities.gitlab.certificate.missing.roots: is wrong; mend it",
		`names["a.b"]`:    `prod.yaml:12:24: spec.authorities.gitlab.certificate.names["a.b"]: is wrong; mend it`,
		"roots[0]":        "prod.yaml:8:16: spec.authorities.gitlab.certificate.roots[0]: is wrong; mend it",
		"]][.[9999999999": "prod.yaml:7:7: spec.authorities.gitlab.certificate.9999999999: is wrong; mend it",
	} {
		if got := s.Errorf(field, "is %s; mend it", "wrong").Error(); got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", field, got, want)
		}
	}
	err := s.Errorf("roots", "file: %w; put it there", fs.ErrNotExist)
	var one Error
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &one) || one.Line != 8 || one.Hint != "put it there" {
		t.Errorf("got %#v, want both the cause and the position", err)
	}
}

func TestSectionReadFile(t *testing.T) {
	files := map[string]string{"a.pem": "A", "b.pem": "B", "large": strings.Repeat("x", MaxFile+1), "full": strings.Repeat("x", MaxFile)}
	read := func(name string) ([]byte, error) {
		content, found := files[name]
		if !found {
			return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		return []byte(content), nil
	}
	p, s := section(t, sectionDocument, read)
	before := p.Hash()
	if _, err := s.ReadFile("c.pem"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: got %v", err)
	}
	for _, name := range []string{"large", ""} {
		if _, err := s.ReadFile(name); err == nil {
			t.Errorf("file %q was read", name)
		}
	}
	if p.Hash() != before {
		t.Error("files that were not read changed the hash")
	}
	for _, name := range []string{"a.pem", "full"} {
		if got, err := s.ReadFile(name); err != nil || string(got) != files[name] {
			t.Errorf("file %s: got %d bytes (%v)", name, len(got), err)
		}
	}
	_, without := section(t, sectionDocument, nil)
	if _, err := without.ReadFile("a.pem"); err == nil || !strings.Contains(err.Error(), "files cannot be named here") {
		t.Errorf("without files: got %v", err)
	}
}

func TestHash(t *testing.T) {
	read := func(name string) ([]byte, error) { return []byte("content of " + name), nil }
	hashAfter := func(doc string, read func(string) ([]byte, error), names ...string) string {
		p, s := section(t, doc, read)
		for _, name := range names {
			if _, err := s.ReadFile(name); err != nil {
				t.Fatal(err)
			}
		}
		if len(p.Hash()) != 64 {
			t.Fatalf("hash %q, want 64 digits", p.Hash())
		}
		return p.Hash()
	}
	ab := hashAfter(sectionDocument, read, "a", "b")
	for name, got := range map[string]string{
		"other order": hashAfter(sectionDocument, read, "b", "a"), "read twice": hashAfter(sectionDocument, read, "a", "b", "a"),
	} {
		if got != ab {
			t.Errorf("%s: the hash differs", name)
		}
	}
	swapped := func(name string) ([]byte, error) { return read(map[string]string{"a": "b", "b": "a"}[name]) }
	for name, got := range map[string]string{
		"no file": hashAfter(sectionDocument, read), "one file": hashAfter(sectionDocument, read, "a"),
		"other document": hashAfter(sectionDocument+"# x\n", read, "a", "b"), "contents exchanged": hashAfter(sectionDocument, swapped, "a", "b"),
		"other names": hashAfter(sectionDocument, func(name string) ([]byte, error) { return read(name[1:]) }, "xa", "xb"),
	} {
		if got == ab {
			t.Errorf("%s: the hash is the same", name)
		}
	}
	if (&Policy{}).Hash() == "" {
		t.Error("the zero policy has no hash")
	}
}

func TestSectionsAreSafeForConcurrentUse(t *testing.T) {
	p, s := section(t, sectionDocument, func(name string) ([]byte, error) { return []byte(name), nil })
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			var o testOptions
			_ = s.Decode(&o)
			_, _ = s.ReadFile(fmt.Sprint(i))
			_ = s.Errorf("roots", "x")
			p.Hash()
			p.InScope(Request{})
		})
	}
	wg.Wait()
}

// A document that is no policy is read as strictly as one, and its places can be named.
func TestDocument(t *testing.T) {
	const doc = "Trust: {roots: a}\nlist:\n- TRUST:\n    Roots: b\n- roots: c\nraw:\n  anything: [1, yes]\n"
	s, err := Document("trust.yaml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := s.Respell("trust", "roots")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, w := range warnings {
		said = append(said, w.Error())
	}
	wantSaid := []string{
		"trust.yaml:1:1: Trust: the key is written trust",
		"trust.yaml:3:3: list[0].TRUST: the key is written trust",
		"trust.yaml:4:5: list[0].trust.Roots: the key is written roots",
	}
	if diff := cmp.Diff(wantSaid, said); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	type roots struct {
		Roots string `yaml:"roots"`
	}
	type item struct {
		roots
		Trust roots `yaml:"trust"`
	}
	var got struct {
		Trust roots    `yaml:"trust"`
		List  []item   `yaml:"list"`
		Raw   *Section `yaml:"raw"`
	}
	if err := s.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Trust.Roots != "a" || len(got.List) != 2 || got.List[0].Trust.Roots != "b" || got.List[1].Roots != "c" {
		t.Errorf("got %+v", got)
	}
	if err := got.Raw.Errorf("anything[1]", "is odd"); err.Error() != "trust.yaml:7:17: raw.anything[1]: is odd" {
		t.Errorf("got %v", err)
	}
	for field, want := range map[string]int{"": 1, "list": 2, "list[0].trust.roots": 4, "list[1]": 5, "list[7].x": 2, "raw.anything": 7, "nothing": 1} {
		if got := s.Line(field); got != want {
			t.Errorf("%q: got line %d, want %d", field, got, want)
		}
	}
}

func TestDocumentErrors(t *testing.T) {
	for _, c := range []struct{ doc, want string }{
		{"", "trust.yaml:1:1: the document is empty; write one (the folder examples has some)"},
		{"a: 1\na: 2\n", "trust.yaml:2:1: a: duplicate key, it stands on line 1 already; keep one of the two"},
		{"a: &x 1\n", "trust.yaml:1:4: a: an anchor (&x); remove it and write values out where they are needed"},
		{"x:\n  trust: {}\n  Trust: {}\n", "trust.yaml:3:3: x.Trust: the key trust, which stands on line 2 already, in another spelling; keep one of the two"},
		{"TRUST: {}\nTrust: {}\n", "trust.yaml:2:1: Trust: the key trust, which stands on line 1 already, in another spelling; keep one of the two"},
	} {
		s, err := Document("trust.yaml", []byte(c.doc))
		if err == nil {
			_, err = s.Respell("trust")
		}
		if err == nil || err.Error() != c.want {
			t.Errorf("%q:\ngot  %v\nwant %s", c.doc, err, c.want)
		}
	}
}
