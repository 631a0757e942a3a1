package assay_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/assay-dev/assay"

// row says what the packages of one folder may import. A folder with Go files and no row is an error, so that no folder appears
// whose place in the house nobody decided.
type row struct {
	may  []string // folders of ours; "trust/*" stands for the folders right under trust, "*" for all
	owns []string // libraries of others that no other row may import, unless it names them too
}

// points may import the engine and what an enforcement point is: never a format, the registry or another point.
var points = []string{"image", "engine", "enforce"}

// sigstore is the libraries that the format and its trust material share.
var sigstore = []string{"github.com/sigstore/sigstore-go", "github.com/sigstore/sigstore", "github.com/sigstore/protobuf-specs", "google.golang.org/protobuf"}

// tracing is what spans are made of. What becomes of them is the business of the command alone.
var tracing = []string{"go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes"}

// agent is what the protocol between SPIRE's agent and its plugins is made of.
var agent = []string{"github.com/hashicorp/go-plugin", "google.golang.org/grpc", "google.golang.org/protobuf"}

// house is the import table of docs/design: the reason why an outage of a format's library, or a change of the policy's syntax, has
// one place to be mended.
var house = map[string]row{
	".":                                      {},
	"atomicfile":                             {},
	"image":                                  {owns: []string{"github.com/distribution/reference", "golang.org/x/net/idna"}},
	"spelling":                               {},
	"policy":                                 {may: []string{"image", "spelling"}, owns: []string{"go.yaml.in/yaml"}},
	"trust":                                  {may: []string{"image"}},
	"trust/certificate":                      {may: []string{"image", "trust"}, owns: []string{"github.com/sigstore/timestamp-authority", "github.com/digitorus"}},
	"trust/sigstore":                         {may: []string{"image", "spelling", "trust", "trust/sigstore/material", "trust/sigstore/statement"}, owns: append([]string{"github.com/google/certificate-transparency-go", "github.com/in-toto/attestation", "github.com/secure-systems-lab/go-securesystemslib", "github.com/maypok86/otter", "golang.org/x/sync/errgroup"}, sigstore...)},
	"trust/sigstore/material":                {may: []string{"trust"}, owns: append([]string{"github.com/theupdateframework/go-tuf", "github.com/gofrs/flock"}, sigstore...)},
	"trust/sigstore/statement":               {may: []string{"image", "trust"}, owns: []string{"cel.dev/cel-go"}},
	"trust/notaryv1":                         {may: []string{"image", "trust"}, owns: []string{"github.com/maypok86/otter", "golang.org/x/sync/singleflight"}},
	"trust/notaryv1/notarytest":              {may: []string{"image"}},
	"trust/notaryv1/state":                   {may: []string{"trust/notaryv1", "atomicfile"}, owns: []string{"github.com/gofrs/flock", "golang.org/x/sync/singleflight"}},
	"trust/notation":                         {may: []string{"image", "trust"}, owns: []string{"github.com/notaryproject", "github.com/veraison/go-cose", "golang.org/x/crypto/ocsp"}},
	"trust/notation/notationtest":            {may: []string{"image"}, owns: []string{"github.com/notaryproject"}},
	"trust/formats":                          {may: []string{"trust", "trust/*"}},
	"trust/trusttest":                        {may: []string{"image", "trust"}},
	"registry":                               {may: []string{"image", "trust"}, owns: []string{"oras.land/oras-go"}},
	"registry/cloud":                         {may: []string{"registry"}, owns: []string{"github.com/awslabs/amazon-ecr-credential-helper", "github.com/aws/aws-sdk-go-v2/config", "github.com/google/go-containerregistry", "github.com/Azure/azure-sdk-for-go"}},
	"registry/registrytest":                  {may: []string{"image", "registry"}, owns: []string{"github.com/google/go-containerregistry"}},
	"engine":                                 {may: []string{"image", "policy", "trust"}, owns: append([]string{"github.com/maypok86/otter", "golang.org/x/sync/singleflight"}, tracing...)},
	"engine/wire":                            {may: []string{"image", "policy", "trust", "engine"}},
	"engine/upstream":                        {may: []string{"image", "policy", "engine", "engine/wire"}, owns: []string{"github.com/maypok86/otter", "golang.org/x/sync/singleflight"}},
	"engine/shared":                          {may: []string{"trust", "engine"}},
	"engine/shared/sharedtest":               {},
	"convert":                                {may: []string{"image", "policy"}},
	"release":                                {},
	"workload":                               {may: []string{"image", "release"}, owns: []string{"github.com/Microsoft/go-winio", "golang.org/x/sys/windows"}}, // both for Windows alone
	"enforce":                                {may: []string{"image", "engine"}},
	"enforce/kubernetes":                     {may: points},
	"enforce/kubernetes/cluster":             {may: []string{"trust", "enforce/kubernetes/identity"}, owns: []string{"k8s.io", "golang.org/x/sync/singleflight"}},
	"enforce/kubernetes/cluster/clustertest": {},
	"enforce/kubernetes/identity":            {},
	"enforce/docker":                         {may: append([]string{"workload"}, points...)},
	"enforce/docker/memory":                  {may: []string{"image", "enforce/docker", "atomicfile"}, owns: []string{"github.com/gofrs/flock"}},
	"enforce/containerd":                     {may: append([]string{"enforce/containerd/ask"}, points...)},
	"enforce/containerd/ask":                 {},
	"enforce/containerd/health":              {may: []string{"enforce/containerd/ask", "release"}, owns: []string{"github.com/pelletier/go-toml", "google.golang.org/grpc", "google.golang.org/protobuf"}},
	"enforce/containerd/health/healthtest":   {owns: []string{"google.golang.org/grpc", "google.golang.org/protobuf"}},
	"enforce/spire":                          {may: append([]string{"workload", "trust", "spelling", "enforce/spire/proto/*"}, points...), owns: append([]string{"github.com/hashicorp/go-hclog", "github.com/hashicorp/hcl"}, agent...)},
	"enforce/spire/proto/attestorv1":         {},
	"enforce/spire/proto/broker":             {},
	"enforce/spire/proto/configv1":           {},
	"enforce/spire/proto/initv1":             {},
	"enforce/spire/proto/metricsv1":          {},
	"enforce/spire/spiretest":                {may: []string{"enforce/spire", "enforce/spire/proto/*"}, owns: append([]string{"github.com/hashicorp/go-hclog"}, agent...)},
	"enforce/api":                            {may: append([]string{"engine/wire"}, points...)},
	"enforce/node":                           {may: append([]string{"engine/wire"}, points...)},
	"enforce/enforcetest":                    {may: points},
	"sign":                                   {may: []string{"image", "trust", "trust/certificate"}, owns: []string{"github.com/digitorus/timestamp"}},
	"sign/local":                             {may: []string{"image", "trust", "trust/certificate", "sign"}, owns: []string{"github.com/youmark/pkcs8", "golang.org/x/crypto/ssh"}},
	"sign/vault":                             {may: []string{"image", "trust", "trust/certificate", "sign"}, owns: []string{"github.com/hashicorp/vault/api"}},
	"cmd/assay":                              {may: []string{"*"}, owns: []string{"github.com/spf13", "github.com/jedib0t/go-pretty", "golang.org/x/term", "github.com/prometheus/client_golang", "go.opentelemetry.io/otel"}},
	"cmd/assay-containerd-verifier":          {may: []string{"enforce/containerd/ask"}},
	"e2e":                                    {},
	"e2e/hello":                              {},
	"e2e/node":                               {},
	"examples":                               {},
	"tools/benchdocker":                      {may: []string{"image", "registry", "registry/registrytest", "sign", "sign/local"}},
	"tools/benchnode":                        {may: []string{"enforce/node", "engine", "image", "registry", "registry/registrytest", "sign", "sign/local"}},
	"tools/benchratio":                       {},
	"tools/benchspire":                       {may: []string{"enforce/spire/spiretest"}},
	"tools/benchwebhook":                     {may: []string{"image", "registry", "registry/registrytest", "sign", "sign/local"}, owns: []string{"k8s.io/api"}},
	"tools/mutants":                          {},
}

// source is one Go file that is no test.
type source struct {
	folder string
	name   string
	file   *ast.File
}

// violations returns what in a tree breaks the table: one sentence each, in the order of the files.
func violations(tree fs.FS) ([]string, error) {
	sources, err := readSources(tree)
	if err != nil {
		return nil, err
	}
	var found []string
	documented := map[string]bool{}
	for _, s := range sources {
		documented[s.folder] = documented[s.folder] || s.file.Doc != nil
		if _, ok := house[s.folder]; !ok {
			found = append(found, fmt.Sprintf("%s: the folder %s has no row in the import table", s.name, s.folder))
			continue
		}
		for _, imported := range s.file.Imports {
			if complaint := judge(s.folder, imported); complaint != "" {
				found = append(found, s.name+": "+complaint)
			}
		}
		if declaresInit(s.file) {
			found = append(found, s.name+": declares init(), which runs for everybody who imports it")
		}
	}
	for folder, ok := range documented {
		if !ok {
			found = append(found, folder+": no file has a package comment")
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// readSources parses the Go files of the main module. Modules of their own (the peers of the stories) are left out: they are not
// part of the house.
func readSources(tree fs.FS) ([]source, error) {
	var sources []source
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(tree, name)
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, content, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if !ast.IsGenerated(file) {
			sources = append(sources, source{folder: path.Dir(name), name: name, file: file})
		}
		return nil
	})
	return sources, err
}

func skipFolder(tree fs.FS, name string) error {
	base := path.Base(name)
	if name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(tree, path.Join(name, "go.mod")); name != "." && err == nil {
		return fs.SkipDir
	}
	return nil
}

// judge returns a complaint, or nothing.
func judge(folder string, spec *ast.ImportSpec) string {
	imported, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return err.Error()
	}
	if ours, ok := strings.CutPrefix(imported+"/", module+"/"); ok {
		return judgeOurs(folder, cmp.Or(strings.TrimSuffix(ours, "/"), "."))
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return "" // the standard library
	}
	return judgeForeign(folder, imported)
}

func judgeOurs(folder, target string) string {
	if strings.HasPrefix(target, "cmd/") {
		return "imports " + target + ", which nobody may"
	}
	allowed := slices.ContainsFunc(house[folder].may, func(may string) bool {
		return may == target || may == "*" || may == path.Dir(target)+"/*"
	})
	if !allowed {
		return fmt.Sprintf("%s may not import %s", folder, target)
	}
	return ""
}

func judgeForeign(folder, imported string) string {
	owned := func(library string) bool { return within(imported, library) }
	if slices.ContainsFunc(house[folder].owns, owned) {
		return ""
	}
	for owner, r := range house {
		if slices.ContainsFunc(r.owns, owned) {
			return fmt.Sprintf("imports %s, which belongs to %s", imported, owner)
		}
	}
	return "imports " + imported + ", which no row of the import table owns"
}

func within(imported, library string) bool {
	return strings.HasPrefix(imported+"/", library+"/")
}

func declaresInit(file *ast.File) bool {
	return slices.ContainsFunc(file.Decls, func(d ast.Decl) bool {
		function, ok := d.(*ast.FuncDecl)
		return ok && function.Recv == nil && function.Name.Name == "init"
	})
}

func TestArchitecture(t *testing.T) {
	found, err := violations(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

// TestArchitectureNotices plants each kind of violation into a small tree, so that the rules are known to be alive.
func TestArchitectureNotices(t *testing.T) {
	const doc = "// Package x is documented.\n"
	tests := []struct {
		name string
		tree map[string]string
		want string // part of the only complaint; empty: none
	}{
		{"a clean tree", map[string]string{"image/a.go": doc + `package image; import "fmt"`, "policy/a.go": doc + `package policy; import "` + module + `/image"`}, ""},
		{"a folder without a row", map[string]string{"util/a.go": doc + "package util"}, "util has no row"},
		{"a nested folder without a row", map[string]string{"image/inner/a.go": doc + "package inner"}, "image/inner has no row"},
		{"a layer too high", map[string]string{"image/a.go": doc + `package image; import "` + module + `/policy"`}, "image may not import policy"},
		{"a format that knows another", map[string]string{"trust/sigstore/a.go": doc + `package sigstore; import "` + module + `/trust/certificate"`}, "trust/sigstore may not import trust/certificate"},
		{"an engine that knows the registry", map[string]string{"engine/a.go": doc + `package engine; import "` + module + `/registry"`}, "engine may not import registry"},
		{"all formats in the list of formats", map[string]string{"trust/formats/a.go": doc + `package formats; import "` + module + `/trust/notation"`}, ""},
		{"a format's inside in the list of formats", map[string]string{"trust/formats/a.go": doc + `package formats; import "` + module + `/trust/notation/inner"`}, "may not import trust/notation/inner"},
		{"a foreign importer of an owned library", map[string]string{"engine/a.go": doc + `package engine; import "go.yaml.in/yaml/v3"`}, "go.yaml.in/yaml/v3, which belongs to policy"},
		{"the owner of a library", map[string]string{"policy/a.go": doc + `package policy; import "go.yaml.in/yaml/v3"`}, ""},
		{"a library that only begins like an owned one", map[string]string{"policy/a.go": doc + `package policy; import "go.yaml.in/yamlette"`}, "which no row"},
		{"a library without an owner", map[string]string{"image/a.go": doc + `package image; import "example.org/x"`}, "which no row"},
		{"an importer of the command", map[string]string{"sign/a.go": doc + `package sign; import "` + module + `/cmd/assay"`}, "cmd/assay, which nobody may"},
		{"the command imports everything", map[string]string{"cmd/assay/a.go": doc + `package main; import "` + module + `/registry"`}, ""},
		{"code at the root that is imported", map[string]string{"image/a.go": doc + `package image; import "` + module + `"`}, "image may not import ."},
		{"an init function", map[string]string{"image/a.go": doc + "package image; func init() {}"}, "declares init()"},
		{"a method called init", map[string]string{"image/a.go": doc + "package image; type T int; func (T) init() {}"}, ""},
		{"no package comment", map[string]string{"image/a.go": "package image"}, "no file has a package comment"},
		{"a test file may import anything", map[string]string{"image/a.go": doc + "package image", "image/a_test.go": `package image; import "example.org/x"`}, ""},
		{"a file behind a build tag", map[string]string{"image/a.go": doc + "package image", "image/b.go": "//go:build other\n\npackage image; import \"example.org/x\""}, "which no row"},
		{"a generated file", map[string]string{"util/a.go": "// Code generated by a tool. DO NOT EDIT.\n\npackage util"}, ""},
		{"a module of its own", map[string]string{"e2e/peers/p/go.mod": "module p", "e2e/peers/p/main.go": `package main; import "example.org/x"`}, ""},
		{"test data", map[string]string{"image/testdata/a.go": "package image"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for name, content := range test.tree {
				tree[name] = &fstest.MapFile{Data: []byte(content)}
			}
			got, err := violations(tree)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case test.want == "" && len(got) > 0:
				t.Errorf("got %q, want none", got)
			case test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)):
				t.Errorf("got %q, want one with %q", got, test.want)
			}
		})
	}
}
