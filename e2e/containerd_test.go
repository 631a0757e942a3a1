//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

const containerdUsage = "usage: containerd start | again | stop | kill | abandon"

// containerdRoot is the folder of a story's containerd, in the story's.
const containerdRoot = "containerd-root"

// containerd is one that belongs to no engine and no cluster, with all its state in the story's folder.
type containerd struct {
	leftovers
	config  string
	process *process
}

// cmdContainerd is
//
//	containerd start      starts a containerd, as e2e/peers builds it. Its settings are those of containerd.d/*.toml in the story's folder, beside the least
//	                      that keeps it there; those of Assay's verifier are in containerd-verifier.json. It sets $CONTAINERD_ADDRESS and $CONTAINERD_SNAPSHOTTER, so that ctr finds it, $CONTAINERD_CONFIG to the
//	                      file of its settings, and $CONTAINERD_CGROUP, which ctr run takes as --cgroup
//	containerd again      starts it once more, with the settings that are there now; if it runs, it is ended gently first
//	containerd stop|kill  ends it, gently or as a power cut does
//	containerd abandon    gives it up as a run does that is killed; the next engine of any run must clean up after it
func cmdContainerd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "containerd", neg)
	if len(args) != 1 {
		ts.Fatalf(containerdUsage)
	}
	w := worldOf(ts)
	if args[0] == "start" {
		w.containerd = newContainerd(ts)
	}
	c := w.containerd
	if c == nil {
		ts.Fatalf("containerd was not started")
	}
	switch args[0] {
	case "start":
		c.start(ts)
	case "again":
		c.process.end()
		c.start(ts)
	case "stop":
		c.process.end()
	case "kill":
		c.process.kill()
	case "abandon":
		ts.Check(c.alive.Close())
	default:
		ts.Fatalf(containerdUsage)
	}
}

func newContainerd(ts *testscript.TestScript) *containerd {
	c := &containerd{leftovers: newLeftovers(ts), config: ts.MkAbs("containerd.toml")}
	ts.Check(os.WriteFile(c.config, fmt.Appendf(nil, containerdSettings, c.folder, c.sockets, containerdRoot), 0o600))
	ts.Setenv("CONTAINERD_ADDRESS", c.socket())
	ts.Setenv("CONTAINERD_SNAPSHOTTER", "native")
	ts.Setenv("CONTAINERD_CONFIG", c.config)
	ts.Setenv("CONTAINERD_CGROUP", "/"+filepath.Base(c.sockets))
	return c
}

// containerdSettings are in the form of fmt: the story's folder, that of the sockets, the name of the root. Plugins that are off would make folders on the host.
// The folder may lie on an overlay, on which there can be none.
const containerdSettings = `version = 3
imports = ["%[1]s/containerd.d/*.toml"]
root = "%[1]s/%[3]s"
state = "%[2]s/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
  address = "%[2]s/containerd.sock"
[plugins."io.containerd.shim.v1.manager"]
  socket_dir = "%[2]s/s"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "native"
[plugins."io.containerd.cri.v1.runtime".cni]
  conf_dir = "%[2]s/cni"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "native"
`

func (c *containerd) socket() string { return filepath.Join(c.sockets, "containerd.sock") }

func (c *containerd) start(ts *testscript.TestScript) {
	// It is told its socket twice, so that it is among the processes with the folder of sockets.
	path, err := find(ts, "containerd")
	ts.Check(err)
	env := []string{
		"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR"),
		"ASSAY_CONTAINERD_VERIFIER_CONFIG=" + filepath.Join(c.folder, "containerd-verifier.json"),
	}
	c.process, err = launch(c.folder, ts.MkAbs("containerd.log"), env, path, "--config", c.config, "--address", c.socket(), "--log-level", "debug")
	ts.Check(err)
	ts.Defer(c.process.end)
	ts.Check(c.process.await(func() error { return ts.Exec("ctr", "version") }))
}
