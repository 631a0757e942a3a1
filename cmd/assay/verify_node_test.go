package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/enforce"
)

// stageNode is a daemon with the policy of a stage.
func stageNode(t *testing.T, s *stage) (socket string, stop func()) {
	t.Helper()
	policies, err := loadPolicies([]string{s.policy})
	must(t, err)
	a := &app{getenv: func(string) string { return "" }, now: time.Now}
	client, err := (&registryOptions{app: a}).client()
	must(t, err)
	t.Cleanup(client.CloseIdleConnections)
	e, err := a.makeEngine(policies, peers{source: client})
	must(t, err)
	return nodeDaemon(t, &enforce.Point{Decider: e})
}

// The daemon's verdicts are printed as one's own are, with the same exit codes.
func TestVerifyAtTheNode(t *testing.T) {
	s := newStage(t)
	socket, stop := stageNode(t, s)
	var images []string
	for _, c := range s.cases {
		images = append(images, c.image)
	}
	for _, asked := range append([][]string{images}, func() (each [][]string) {
		for _, image := range images {
			each = append(each, []string{image})
		}
		return each
	}()...) {
		for _, output := range []string{"table", "json"} {
			alone := runAssay(t, "", append([]string{"verify", "-p", s.policy, "-o", output}, asked...)...)
			node := runAssay(t, "", append([]string{"verify", "--node", socket, "-o", output}, asked...)...)
			if node.code != alone.code || sameAnswers(t, output, node.stdout) != sameAnswers(t, output, alone.stdout) {
				t.Errorf("%s: exit %d, want %d\n%s", asked, node.code, alone.code, cmp.Diff(sameAnswers(t, output, alone.stdout), sameAnswers(t, output, node.stdout)))
			}
			if !strings.HasSuffix(node.stderr, alone.stderr) && alone.code != exitCannotTell {
				t.Errorf("stderr: got %s, want %s", node.stderr, alone.stderr)
			}
		}
	}
	good := s.host + "/shop/api:1"
	r := runAssay(t, good+"\n", "verify", "--node", socket, "-o", "json", "--content", "--platform", "linux/amd64", "--images-file", "-")
	if r.code != exitAllowed || !strings.Contains(r.stdout, `"chain":[`) || !strings.Contains(r.stdout, `"basis":"`) {
		t.Errorf("content: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}

	stop()
	r = runAssay(t, "", "verify", "--node", socket, good)
	if r.code != exitCannotTell || !strings.Contains(r.stdout, "could not tell") || !strings.Contains(r.stderr, "assay: hint: is assay serve node running") {
		t.Errorf("away: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	r = runAssay(t, "", "verify", "--node", filepath.Join(t.TempDir(), "none"), "-o", "json", good)
	if r.code != exitCannotTell || !strings.Contains(r.stdout, `"outcome":"could-not-tell"`) || !strings.Contains(r.stderr, "hint") {
		t.Errorf("absent: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// sameAnswers leaves out of an output what differs from call to call.
func sameAnswers(t *testing.T, output, text string) string {
	t.Helper()
	if output != "json" {
		return text
	}
	var all []string
	for line := range strings.Lines(text) {
		var v map[string]any
		must(t, json.Unmarshal([]byte(line), &v))
		delete(v, "duration")
		delete(v, "cached")
		out, err := json.Marshal(v)
		must(t, err)
		all = append(all, string(out))
	}
	return strings.Join(all, "\n")
}

// Whatever would decide otherwise than the daemon is refused beside it, and nobody is asked.
func TestVerifyAtTheNodeAlone(t *testing.T) {
	for args, want := range map[string]string{
		"--node /run/x.sock -p policy.yaml app:1":         "--node beside --policy: the daemon decides",
		"--node /run/x.sock --key cosign.pub app:1":       "--node beside --key: the daemon decides",
		"--node /run/x.sock --insecure-ignore-tlog app:1": "--node beside --insecure-ignore-tlog",
		"--node /run/x.sock --trusted-root r.json app:1":  "--node beside --trusted-root",
		"--node /run/x.sock --print-policy app:1":         "--node beside --print-policy",
		"--node /run/x.sock --registries r.yaml app:1":    "--node beside --registries",
		"--node /run/x.sock --docker-config d app:1":      "--node beside --docker-config",
		"--node /run/x.sock --keychain ecr app:1":         "--node beside --keychain",
		"--node /run/x.sock --state-dir d app:1":          "--node beside --state-dir",
		"--node x.sock app:1":                             "want the path of a socket, such as /run/assay/node.sock",
		"--node= app:1":                                   "--node: is empty",
		"--node /run/x.sock":                              "no image to decide about",
		"--node /run/x.sock --point nowhere app:1":        `--point "nowhere"`,
		"--node /run/x.sock --timeout 0s app:1":           "want more than 0",
		"--node /run/x.sock --namespace-labels a=b app:1": "--namespace-labels without --namespace",
		"--node /run/x.sock --content app:1":              "use -o json",
	} {
		r := runAssay(t, "", append([]string{"verify"}, strings.Fields(args)...)...)
		if r.code != exitUsage || !strings.Contains(r.stderr, want) || r.stdout != "" {
			t.Errorf("%s: exit %d\n%s%s", args, r.code, r.stdout, r.stderr)
		}
	}
}
