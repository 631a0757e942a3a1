//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// clusterWithin is how long a cluster may take to start, with the images that stories need in its registry.
const clusterWithin = 3 * time.Minute

// clusterUnable is the exit code of e2e/node where the rights or the programs are missing.
const clusterUnable = 69

// localCluster is the variable that names the folder of a cluster that runs already, by make local-start and local-push, and stays: to
// write a story, or to look at what it left.
const localCluster = "ASSAY_E2E_CLUSTER"

// TestCluster runs the stories about pods. They share one cluster of one node, in which Assay is installed by its chart, and so run one
// after another, in the order of their names.
func TestCluster(t *testing.T) {
	bin, err := filepath.Abs("../bin")
	if err != nil {
		t.Fatal(err)
	}
	shared, c := newSigstore(t), newCluster(t)
	testscript.RunT(inTurn{t}, testscript.Params{
		Dir: filepath.Join("stories", "cluster"),
		Setup: func(env *testscript.Env) error {
			if err := setup(env, bin, shared); err != nil {
				return err
			}
			return c.setup(env)
		},
		Cmds:                commands(),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// inTurn runs stories one after another.
type inTurn struct{ *testing.T }

func (t inTurn) Parallel() {}

func (t inTurn) Verbose() bool { return testing.Verbose() }

func (t inTurn) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(inTurn{t}) })
}

// sharedCluster is the cluster of all stories about pods. It starts with the first of them.
type sharedCluster struct {
	folder string
	start  func() error
	env    []string // what its stories know of it
}

// newCluster returns a cluster that has not started, and ends it with the test.
func newCluster(t *testing.T) *sharedCluster {
	if folder := os.Getenv(localCluster); folder != "" {
		c := &sharedCluster{folder: folder}
		c.start = sync.OnceValue(c.describe)
		return c
	}
	// A short name: sockets are in it.
	folder, err := os.MkdirTemp("", "assay")
	if err != nil {
		t.Fatal(err)
	}
	c := &sharedCluster{folder: folder}
	c.start = sync.OnceValue(c.startAll)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", c.logs())
		}
		if err := c.script(context.Background(), "stop"); err != nil {
			t.Error(err)
		}
	})
	return c
}

// setup starts the cluster for the first story, and tells each where it is.
func (c *sharedCluster) setup(env *testscript.Env) error {
	if err := c.start(); err != nil {
		if unable(err) && peersOptional() {
			env.T().Skip(err)
		}
		return err
	}
	env.Vars = append(env.Vars, c.env...)
	return c.askNobody()
}

// askNobody takes away the verifiers of images that a story left behind when it failed: all later ones would fail by them.
func (c *sharedCluster) askNobody() error {
	left, err := filepath.Glob(filepath.Join(c.folder, "cluster", "containerd", "verifiers", "*"))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

func (c *sharedCluster) startAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), clusterWithin)
	defer cancel()
	for _, verb := range []string{"start", "push"} {
		if err := c.script(ctx, verb); err != nil {
			return err
		}
	}
	return c.describe()
}

// describe reads what stories need to know.
func (c *sharedCluster) describe() error {
	text, err := os.ReadFile(filepath.Join(c.folder, "cluster", "env"))
	if err != nil {
		return err
	}
	chart, err := filepath.Abs("../deploy/helm/assay")
	if err != nil {
		return err
	}
	c.env = append(strings.Fields(string(text)), "NODE_FOLDER="+filepath.Join(c.folder, "cluster"), "LOCAL="+c.folder, "CHART="+chart, "NODE="+filepath.Join(c.folder, "bin", "node"))
	return nil
}

// script runs e2e/local, which developers run as well.
func (c *sharedCluster) script(ctx context.Context, verb string) error {
	cmd := exec.CommandContext(ctx, "./local", verb)
	cmd.Env = append(os.Environ(), "LOCAL="+c.folder, fmt.Sprintf("LOCAL_OWNER=%d", os.Getpid()))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("e2e/local %s: %w\n%s", verb, err, bytes.TrimSpace(out))
	}
	return nil
}

// logs is the end of what the programs of the cluster say.
func (c *sharedCluster) logs() string {
	files, err := filepath.Glob(filepath.Join(c.folder, "cluster", "log", "*.log"))
	var all strings.Builder
	for _, name := range files {
		text, readErr := os.ReadFile(name)
		err = errors.Join(err, readErr)
		lines := strings.Split(string(text), "\n")
		fmt.Fprintf(&all, "--- %s\n%s\n", filepath.Base(name), strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	if err != nil {
		fmt.Fprintf(&all, "--- %v\n", err)
	}
	return all.String()
}
