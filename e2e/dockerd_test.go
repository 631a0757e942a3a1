//go:build e2e

package e2e

import (
	"net"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdDockerd is "dockerd start": a Docker engine with all its state in the story's folder. It sets $DOCKER_HOST.
func cmdDockerd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "dockerd", neg)
	if len(args) != 1 || args[0] != "start" {
		ts.Fatalf("usage: dockerd start")
	}
	socket := ts.MkAbs("docker.sock")
	// Storage driver vfs: the story's folder may itself lie on an overlay.
	p := start(ts, "dockerd.log", "dockerd", "--data-root", ts.MkAbs("docker-data"), "--exec-root", ts.MkAbs("docker-exec"),
		"--pidfile", ts.MkAbs("docker.pid"), "--host", "unix://"+socket, "--bridge", "none", "--iptables=false",
		"--storage-driver", "vfs")
	ts.Setenv("DOCKER_HOST", "unix://"+socket)
	ts.Check(p.await(func() error {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return err
		}
		conn.Close()
		return ts.Exec("docker", "version")
	}))
}
