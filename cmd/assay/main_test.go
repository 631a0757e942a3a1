package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
)

func TestMain(m *testing.M) {
	if os.Getenv(dockerChild) != "" {
		serveDockerChild()
		return
	}
	goleak.VerifyTestMain(m)
}

// result is what a command line left behind.
type result struct {
	code           int
	stdout, stderr string
}

// runAssay runs a command line in this process.
func runAssay(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }, now: time.Now}
	code := a.run(context.Background(), append([]string{"assay"}, args...))
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// stage is the demo's registry and policy, to run commands on.
type stage struct {
	host, policy string
	cases        []demoCase
	server       *registrytest.Server
}

func newStage(t *testing.T) *stage {
	t.Helper()
	server := registrytest.New(t, registrytest.Options{})
	folder := t.TempDir()
	a := &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, getenv: func(string) string { return "" }, now: time.Now}
	client, err := registry.New(registry.Config{LoopbackHTTP: true})
	must(t, err)
	t.Cleanup(client.CloseIdleConnections)
	cases, err := a.buildDemo(context.Background(), server, client, folder)
	must(t, err)
	return &stage{host: server.Host(), policy: filepath.Join(folder, demoPolicyFile), cases: cases, server: server}
}

func TestDemo(t *testing.T) {
	r := runAssay(t, "", "demo")
	if r.code != exitAllowed || !strings.Contains(r.stdout, "8 of 8 verdicts are as expected") {
		t.Errorf("got exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if strings.Contains(r.stdout, "\x1b[") {
		t.Error("colours although the output is no terminal")
	}
}

// The demo notices a verdict that is not the expected one.
func TestDemoCanFail(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: &out, getenv: func(string) string { return "" }, now: time.Now}
	cases, err := a.runDemo(context.Background(), registrytest.New(t, registrytest.Options{}), t.TempDir())
	must(t, err)
	cases[0].want, cases[1].want = cases[1].want, cases[0].want
	if wrong := a.printDemo(cases); wrong != 2 || !strings.Contains(out.String(), "6 of 8") {
		t.Errorf("got %d wrong verdicts\n%s", wrong, out.String())
	}
}

func TestVerifyExitCodes(t *testing.T) {
	s := newStage(t)
	good, bad, down := s.host+"/shop/api:1", s.host+"/shop/web:1", s.cases[7].image
	rows := []struct {
		name   string
		images []string
		want   int
	}{
		{"all allowed", []string{good, s.cases[6].image}, exitAllowed},
		{"one denied", []string{good, bad}, exitDenied},
		{"one could not be told", []string{good, down}, exitCannotTell},
		{"denied beside could not be told", []string{down, bad, good}, exitDenied},
		{"unparsable", []string{"registry.example./app"}, exitDenied},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := runAssay(t, "", append([]string{"verify", "--policy", s.policy}, row.images...)...)
			if r.code != row.want {
				t.Errorf("got exit %d, want %d\n%s%s", r.code, row.want, r.stdout, r.stderr)
			}
		})
	}
}

func TestVerifyJSON(t *testing.T) {
	s := newStage(t)
	r := runAssay(t, "", "verify", "-p", s.policy, "-o", "json", s.host+"/shop/api:1", s.host+"/shop/web:1")
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %d lines, want 2\n%s", len(lines), r.stdout)
	}
	var v struct {
		Image, Digest, Rule string
		Allowed             bool
		Authorities         []struct{ Signer, Issuer, SignedAt string }
	}
	if err := json.Unmarshal([]byte(lines[0]), &v); err != nil {
		t.Fatal(err)
	}
	if !v.Allowed || !strings.HasPrefix(v.Digest, "sha256:") || !strings.HasPrefix(v.Rule, "rules[0]") || len(v.Authorities) != 1 ||
		!strings.HasPrefix(v.Authorities[0].Signer, "CN=dia-") || v.Authorities[0].Issuer != "CN=Demo Release CA" || v.Authorities[0].SignedAt == "" {
		t.Errorf("got %+v", v)
	}
}

// --policy - is one policy from standard input, beside others or alone.
func TestPolicyFromStandardInput(t *testing.T) {
	s := newStage(t)
	document, err := os.ReadFile(s.policy)
	if err != nil {
		t.Fatal(err)
	}
	image, strict := s.host+"/shop/api:1", "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: strict}\nspec: {rules: [{images: [\"**\"], deny: frozen}]}\n"
	t.Chdir(filepath.Dir(s.policy))
	rows := []struct {
		name, stdin string
		args        []string
		code        int
		want        string
	}{
		{"a policy", string(document), []string{"-p", "-", image}, exitAllowed, "allowed"},
		{"beside a file", strict, []string{"-p", s.policy, "-p", "-", image}, exitDenied, "frozen"},
		{"nothing", "", []string{"-p", "-", image}, exitUsage, "standard input:1:1: "},
		{"two documents", strict + "---\n" + strict, []string{"-p", "-", image}, exitUsage, "standard input:"},
		{"a broken one", "a: b\n", []string{"-p", "-", image}, exitUsage, "standard input:1:1: "},
		{"too long", strings.Repeat("#", policy.MaxPolicy+1), []string{"-p", "-", image}, exitUsage, "standard input: more than 1048576 bytes"},
		{"twice", strict, []string{"-p", "-", "-p", "-", image}, exitUsage, "--policy - and --policy -: standard input can be read once only"},
		{"beside a list of images", strict, []string{"-p", "-", "--images-file", "-"}, exitUsage, "--policy - and --images-file -: standard input can be read once only"},
		{"beside a key", strict, []string{"-p", "-", "--key", "-", image}, exitUsage, "--policy - and --key -: standard input can be read once only"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := runAssay(t, row.stdin, append([]string{"verify"}, row.args...)...)
			if r.code != row.code || !strings.Contains(r.stdout+r.stderr, row.want) {
				t.Errorf("got exit %d, want %d and %q\n%s%s", r.code, row.code, row.want, r.stdout, r.stderr)
			}
		})
	}
}

func TestImagesFile(t *testing.T) {
	s := newStage(t)
	list := "# the shop\n" + s.host + "/shop/api:1  # signed\n\n" + s.host + "/shop/cron:1\n"
	r := runAssay(t, list, "verify", "-p", s.policy, "--images-file", "-", "-o", "json", "--parallel", "2")
	if got := strings.Count(r.stdout, "\n"); got != 2 || r.code != exitDenied {
		t.Errorf("got %d verdicts, exit %d\n%s%s", got, r.code, r.stdout, r.stderr)
	}
	if r = runAssay(t, "", "verify", "-p", s.policy, "--images-file", "-"); r.code != exitUsage {
		t.Errorf("no image at all: got exit %d", r.code)
	}
	if r = runAssay(t, strings.Repeat("x", maxImagesFile+1), "verify", "-p", s.policy, "--images-file", "-"); r.code != exitUsage {
		t.Errorf("endless list: got exit %d", r.code)
	}
}

func TestPolicyFolders(t *testing.T) {
	s := newStage(t)
	folder := filepath.Dir(s.policy)
	strict := "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: strict}\nspec: {rules: [{images: [\"**\"], deny: frozen}]}\n"
	if err := os.WriteFile(filepath.Join(folder, "strict.yml"), []byte(strict), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runAssay(t, "", "verify", "-p", folder, s.host+"/shop/api:1")
	if r.code != exitDenied || !strings.Contains(r.stdout, "frozen") {
		t.Errorf("a second policy tightens: got exit %d\n%s", r.code, r.stdout)
	}
	if r = runAssay(t, "", "verify", "-p", t.TempDir(), "x"); r.code != exitUsage || !strings.Contains(r.stderr, "no *.yaml or *.yml file") {
		t.Errorf("an empty folder: got exit %d\n%s", r.code, r.stderr)
	}
}

func TestUsageErrors(t *testing.T) {
	s := newStage(t)
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: b}\nspec:\n  rulez: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name string
		args []string
		want string // on stderr
	}{
		{"unknown command", []string{"bogus"}, "unknown command \"bogus\"\nassay: hint: see assay --help"},
		{"mistyped command", []string{"verfy"}, "assay: hint: did you mean assay verify? see assay --help"},
		{"unknown flag", []string{"verify", "--nothing-like-it", "x", "y"}, "assay: hint: see assay verify --help"},
		{"mistyped flag", []string{"verify", "--keey", "x", "y"}, "assay: hint: did you mean --key? see assay verify --help"},
		{"mistyped flag of another command", []string{"policy", "explain", "--polcy", "x", "y"}, "assay: hint: did you mean --policy? see assay policy explain --help"},
		{"one letter", []string{"verify", "-x"}, "assay: hint: see assay verify --help"},
		{"an endless word", []string{strings.Repeat("v", 65)}, "assay: hint: see assay --help"},
		{"no policy", []string{"verify", "x"}, "nobody to trust"},
		{"no image", []string{"verify", "-p", s.policy}, "no image to decide about"},
		{"absent policy", []string{"verify", "-p", "nowhere.yaml", "x"}, "nowhere.yaml"},
		{"broken policy", []string{"verify", "-p", broken, "x"}, "broken.yaml:5:3"},
		{"broken policy, checked", []string{"policy", "check", broken}, `did you mean "rules"`},
		{"output", []string{"verify", "-p", s.policy, "-o", "xml", "x"}, "want table or json"},
		{"parallel", []string{"verify", "-p", s.policy, "--parallel", "0", "x"}, "want 1 to"},
		{"timeout", []string{"verify", "-p", s.policy, "--timeout", "0s", "x"}, "want more than 0"},
		{"point", []string{"verify", "-p", s.policy, "--point", "moon", "x"}, "want one of"},
		{"settings", []string{"verify", "-p", s.policy, "--registries", "nowhere.yaml", "x"}, "nowhere.yaml"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := runAssay(t, "", row.args...)
			if r.code != exitUsage || !strings.Contains(r.stderr, row.want) {
				t.Errorf("got exit %d, %q; want 64, %q", r.code, r.stderr, row.want)
			}
		})
	}
}

func TestPolicyExplain(t *testing.T) {
	s := newStage(t)
	s.server.ResetRequests()
	r := runAssay(t, "", "policy", "explain", "-p", s.policy, s.host+"/shop/api:1", "docker.io/library/alpine")
	for _, want := range []string{"rules[0]", "require release", "rules[1]", "deny: only the shop's images run here", "docker.io/library/alpine:latest"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is missing in\n%s%s", want, r.stdout, r.stderr)
		}
	}
	if got := s.server.Requests(); len(got) != 0 {
		t.Errorf("explain asked the registry: %v", got)
	}
}

func TestHelpNamesTheExitCodes(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"verify", "--help"}} {
		r := runAssay(t, "", args...)
		for _, want := range []string{"0   all images are allowed", "1   at least one image is denied", "2   for at least one image it could not be told", "64  the command line"} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("%v: %q is missing in the help", args, want)
			}
		}
	}
}

// The examples of a help page stand in one column.
func TestExamplesAreIndented(t *testing.T) {
	for _, command := range []string{"verify", "demo", "sign"} {
		if r := runAssay(t, "", command, "--help"); !strings.Contains(r.stdout, "Examples:\n  ") {
			t.Errorf("%s: the first example is not indented in\n%s", command, r.stdout)
		}
	}
}

func TestCompletionVersionSchema(t *testing.T) {
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"completion", "bash"}, "__start_assay"},
		{[]string{"version"}, "assay "},
		{[]string{"version", "-o", "json"}, `"formats":["sigstore","notaryv1","notation","certificate"]`},
		{[]string{"policy", "schema"}, `"$schema"`},
		{[]string{"__complete", "verify", "-o", ""}, "json"},
	} {
		if r := runAssay(t, "", row.args...); r.code != 0 || !strings.Contains(r.stdout, row.want) {
			t.Errorf("%v: got exit %d\n%s%s", row.args, r.code, r.stdout, r.stderr)
		}
	}
}

// Names and reasons are foreign text: they must not write on the user's terminal, nor look like lines of ours.
func TestForeignTextIsMadeHarmless(t *testing.T) {
	if got, want := plain("a\x1b[2Jb\x07c\u009bd\re\nf\u202eg ü"), "a\uFFFD[2Jb\uFFFDc\uFFFDd\uFFFDe f\uFFFDg ü"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	v := engine.Verdict{Allowed: true, Decision: engine.Decision{Outcome: engine.Allowed, Authorities: []engine.Attestation{
		{Authority: "ci", Standing: engine.Proved, Signer: "CN=x\nrelease: CN=Acme Release"},
	}}}
	if got := because(&v, nil); strings.Contains(got, "\n") {
		t.Errorf("a signer's name wrote a line of its own: %q", got)
	}
}

// T47: a panic is a bug, told apart from "could not tell".
func TestT47_PanicsHaveTheirOwnExitCode(t *testing.T) {
	var stderr bytes.Buffer
	a := &app{stdout: &bytes.Buffer{}, stderr: &stderr, getenv: func(string) string { panic("no environment") }, now: time.Now}
	if code := a.run(context.Background(), []string{"assay", "verify", "-p", newStage(t).policy, "x"}); code != exitBug {
		t.Errorf("got exit %d, want %d\n%s", code, exitBug, stderr.String())
	}
}
