package convert_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/convert"
	"github.com/assay-dev/assay/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is a time at which the certificates of testdata are valid.
var now = time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)

// notaryOptions is the section of a notaryv1 authority, as far as imports write it.
type notaryOptions struct {
	Server     string         `yaml:"server" required:"true"`
	FirstUse   bool           `yaml:"insecureTrustOnFirstUse"`
	Root       *notaryRoot    `yaml:"root"`
	Roles      []string       `yaml:"roles"`
	Signers    []notarySigner `yaml:"signers"`
	Repository string         `yaml:"signedRepository"`
}

type notaryRoot struct {
	Keys         string `yaml:"keys"`
	Certificates string `yaml:"certificates"`
	CA           string `yaml:"ca"`
}

type notarySigner struct {
	Role        string `yaml:"role" required:"true"`
	PublicKey   string `yaml:"publicKey"`
	Certificate string `yaml:"certificate"`
}

// parsed reads a policy as a file would be read, with its authorities.
func parsed(t testing.TB, document []byte) (*policy.Policy, map[string]notaryOptions) {
	t.Helper()
	p, err := policy.Parse(policy.Source{Name: "policy.yaml", Data: document}, []string{"notaryv1"})
	if err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	authorities := map[string]notaryOptions{}
	for _, a := range p.Authorities {
		var o notaryOptions
		if err := a.Section.Decode(&o); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if o.FirstUse == (o.Root != nil) || len(o.Roles) > 0 && len(o.Signers) > 0 {
			t.Errorf("authority %s contradicts itself\n%s", a.Name, document)
		}
		authorities[a.Name] = o
	}
	return p, authorities
}

// read returns a file of testdata.
func read(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// report is what an import says beside its policy.
func report(r *convert.Result) string {
	var b strings.Builder
	for _, n := range r.Notes {
		if n.Urgent {
			b.WriteString("! ")
		}
		fmt.Fprintln(&b, n)
	}
	for _, h := range r.Hosts {
		fmt.Fprintf(&b, "host %s: TLS %t, CA %t, user %q of %q\n", h.Name, !h.PlainHTTP, h.CA != "", h.Username, h.Source)
	}
	return b.String()
}

func trustFile(t testing.TB, name string, o convert.TrustFileOptions) *convert.Result {
	t.Helper()
	r, err := convert.TrustFile(name, []byte(read(t, name)), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func plugin(t testing.TB, s convert.PluginSettings, o convert.Options) *convert.Result {
	t.Helper()
	r, err := convert.Plugin(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Imports come out as they did: the same policy and the same report, both of which are looked at in review.
func TestGoldens(t *testing.T) {
	no := false
	roots := convert.Roots{CA: read(t, "roots.pem")}
	for name, r := range map[string]*convert.Result{
		"trust": trustFile(t, "trust.yaml", convert.TrustFileOptions{Options: convert.Options{Now: now}}),
		"trust-options": trustFile(t, "trust.yaml", convert.TrustFileOptions{
			Options:  convert.Options{Now: now, Name: "cluster", Roots: roots, Roles: []string{"targets", "targets/releases", "targets/ci"}},
			NotaryCA: roots.CA, Strict: &no, InsecureUnanchored: true, IgnoredNamespaces: "sighup.io/webhook=ignore",
		}),
		"values":         trustFile(t, "values.yaml", convert.TrustFileOptions{Options: convert.Options{Now: now}}),
		"plugin-default": plugin(t, convert.PluginSettings{}, convert.Options{Now: now}),
		"plugin": plugin(t, convert.PluginSettings{Registry: "registry.acme.example:5000", Notary: "notary.acme.example:4443", NotaryCA: read(t, "roots.pem")},
			convert.Options{Now: now, Roots: convert.Roots{Certificates: read(t, "roots.pem")}, Roles: []string{"targets/releases"}}),
	} {
		t.Run(name, func(t *testing.T) {
			parsed(t, r.Policy)
			golden(t, name+".policy.yaml", string(r.Policy))
			golden(t, name+".report.txt", report(r))
			if strings.Contains(string(r.Policy)+report(r), "not-to-be-shown") {
				t.Error("the password is shown")
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, name), got); diff != "" {
		t.Errorf("%s (-want +got), run go test -update if it is meant:\n%s", path, diff)
	}
}

// Every policy that an import has made and that was kept can be read.
func TestGoldenPoliciesCanBeRead(t *testing.T) {
	files, err := filepath.Glob("testdata/*.policy.yaml")
	if err != nil || len(files) != 5 {
		t.Fatalf("got %d policies, error %v", len(files), err)
	}
	for _, file := range files {
		p, authorities := parsed(t, []byte(read(t, filepath.Base(file))))
		if p.Unmatched != policy.DenyUnmatched || p.Mode != policy.Enforce || len(authorities) == 0 {
			t.Errorf("%s: got %+v", file, p)
		}
	}
}
