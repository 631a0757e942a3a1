//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/assay-dev/assay/enforce/spire/spiretest"
)

func TestStories(t *testing.T) {
	bin, err := filepath.Abs("../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "assay")); err != nil {
		t.Fatalf("%v: make build makes it", err)
	}
	shared := newSigstore(t)
	testscript.Run(t, testscript.Params{
		Dir: "stories",
		Setup: func(env *testscript.Env) error {
			return setup(env, bin, shared)
		},
		Cmds:                commands(),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// commands are what a story can say beside the commands of testscript.
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"agent":       cmdAgent,
		"balancer":    cmdBalancer,
		"ca":          cmdCA,
		"capture":     cmdCapture,
		"certificate": cmdCertificate,
		"chart":       cmdChart,
		"collector":   cmdCollector,
		"container":   cmdContainer,
		"containerd":  cmdContainerd,
		"digest":      cmdDigest,
		"dockerd":     cmdDockerd,
		"eventually":  cmdEventually,
		"exits":       cmdExits,
		"fill":        cmdFill,
		"injector":    cmdInjector,
		"kubernetes":  cmdKubernetes,
		"load":        cmdLoad,
		"layout":      cmdLayout,
		"needs":       cmdNeeds,
		"notary":      cmdNotary,
		"offline":     cmdOffline,
		"page":        cmdPage,
		"plugin":      cmdPlugin,
		"pod":         cmdPod,
		"registry":    cmdRegistry,
		"requests":    cmdRequests,
		"resources":   cmdResources,
		"sample":      cmdSample,
		"server":      cmdServer,
		"sigstore":    cmdSigstore,
		"vault":       cmdVault,
		"verdicts":    cmdVerdicts,
	}
}

// worldKey is where a story keeps its peers.
type worldKey struct{}

// world is what one story started.
type world struct {
	t          testscript.T
	registries map[string]*registry
	servers    map[string]*process
	vault      *vault
	notary     *notary
	kubernetes *kubernetes
	collector  *collector
	containerd *containerd
	dockerd    *dockerd
	agent      *spiretest.Host
	marked     requests
	load       *load
	sigstore   *sigstore // shared with the other stories
	signs      bool      // sigstore was started
	tuf        *tufRepository
	mu         sync.Mutex
	asked      []string // whom the story's programs wanted to reach
}

func setup(env *testscript.Env, bin string, shared *sigstore) error {
	env.Values[worldKey{}] = &world{t: env.T(), registries: map[string]*registry{}, servers: map[string]*process{}, sigstore: shared}
	docker := filepath.Join(env.WorkDir, "docker-config")
	env.Setenv("PATH", strings.Join([]string{bin, shared.bin, env.Getenv("PATH"), "/usr/sbin", "/sbin"}, string(os.PathListSeparator)))
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("CHART", filepath.Join(filepath.Dir(bin), "deploy", "helm", "assay"))
	env.Setenv("ASSAY", filepath.Join(bin, "assay"))
	env.Setenv("DEPLOY", filepath.Join(filepath.Dir(bin), "deploy"))
	env.Setenv("EXAMPLES", filepath.Join(filepath.Dir(bin), "examples"))
	env.Setenv("DOCS", filepath.Join(filepath.Dir(bin), "docs"))
	env.Setenv("DOCKER_CONFIG", docker)
	for name, value := range goEnv() {
		env.Setenv(name, value)
	}
	env.Setenv("NO_COLOR", "1")
	env.Setenv("COSIGN_PASSWORD", "")
	return os.MkdirAll(docker, 0o700)
}

// goEnv is where Go keeps what it built and downloaded, for stories that build: their home is another one.
var goEnv = sync.OnceValue(func() map[string]string {
	found := map[string]string{}
	if out, err := exec.Command("go", "env", "-json", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GOFLAGS").Output(); err == nil {
		_ = json.Unmarshal(out, &found) // without it a story that builds fails, and says why
	}
	return found
})

func worldOf(ts *testscript.TestScript) *world {
	return ts.Value(worldKey{}).(*world)
}

// peersOptional reports whether a story may be left out because a peer is missing. A continuous integration never may.
func peersOptional() bool {
	return os.Getenv("ASSAY_E2E") == "optional" && os.Getenv("CI") != "true"
}

// cmdNeeds is "needs PROGRAM...": the story is about them. "sigstore", "rekor1", "mariadb", "kubernetes" and "notary" stand for all that these are
// made of, "docker-trust" for a docker that has this command still.
func cmdNeeds(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "needs", neg)
	var missing []string
	for _, name := range expand(args) {
		switch _, err := find(ts, name); {
		case name == "docker-trust" && hasDockerTrust(ts):
		case err != nil:
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return
	}
	text := fmt.Sprintf("peers are missing: %s; e2e/peers/install installs them", strings.Join(missing, ", "))
	if peersOptional() {
		worldOf(ts).t.Skip(text)
	}
	ts.Fatalf("%s", text)
}

// expand puts programs in the place of the names of what they make together.
func expand(names []string) []string {
	var all []string
	for _, name := range names {
		switch name {
		case "sigstore":
			all = append(all, "cosign", "fulcio", "rekor2", "timestamp-server")
		case "notary":
			all = append(all, "notary", "notary-server", "notary-signer")
		case "kubernetes":
			all = append(all, "etcd", "kube-apiserver", "kubectl")
		case "mariadb":
			all = append(all, "mariadbd", "mariadb-install-db", "mariadb")
		case "rekor1":
			all = append(all, "mariadbd", "mariadb-install-db", "mariadb", "trillian_log_server", "trillian_log_signer", "rekor-server")
		default:
			all = append(all, name)
		}
	}
	return all
}

// hasDockerTrust reports whether docker can sign: newer command lines cannot.
func hasDockerTrust(ts *testscript.TestScript) bool {
	return ts.Exec("docker", "trust", "--help") == nil && strings.Contains(ts.ReadFile("stdout"), "docker trust COMMAND")
}

// find looks a program up among those that a story can run.
func find(ts *testscript.TestScript, name string) (string, error) {
	if (name == "dockerd" || name == "containerd") && os.Geteuid() != 0 {
		return "", fmt.Errorf("%s needs root", name)
	}
	for _, folder := range filepath.SplitList(ts.Getenv("PATH")) {
		path, err := exec.LookPath(filepath.Join(folder, name))
		if err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

// plain refuses "!" before a command for which it means nothing.
func plain(ts *testscript.TestScript, name string, neg bool) {
	if neg {
		ts.Fatalf("%s cannot be expected to fail", name)
	}
}

// cmdExits is "exits CODE PROGRAM [ARGUMENT...]": the program ends with this code. Scripts of users rely on the codes.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "exits", neg)
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s: got exit code %d, want %d", args[1], got, want)
	}
}

// cmdCapture is "capture VAR": the standard output of the last command, without the last line break, becomes a variable.
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "capture", neg)
	if len(args) != 1 {
		ts.Fatalf("usage: capture VAR")
	}
	ts.Setenv(args[0], strings.TrimRight(ts.ReadFile("stdout"), "\n"))
}

// cmdFill is "fill FILE...": variables in files of the story get their values, as in ${REGISTRY}.
func cmdFill(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "fill", neg)
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// cmdCA is "ca NAME COMMON-NAME": openssl makes a root, NAME.pem with NAME.key.
func cmdCA(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "ca", neg)
	if len(args) != 2 {
		ts.Fatalf("usage: ca NAME COMMON-NAME")
	}
	ts.Check(ts.Exec("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
		"-subj", "/CN="+args[1], "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", args[0]+".key", "-out", args[0]+".pem"))
}
