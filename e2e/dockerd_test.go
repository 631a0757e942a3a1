//go:build e2e

package e2e

import (
	"net"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdDockerd is "dockerd start": a Docker engine with all its state in the story's folder. It sets $DOCKER_HOST.
func cmdDockerd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "dockerd", neg)
	if len(args) != 1 || args[0] != "start" {
		ts.Fatalf("usage: dockerd start")
	}
	socket := ts.MkAbs("docker.sock")
	p := start(ts, "dockerd.log", "dockerd", dockerdFlags(ts.MkAbs("."))...)
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

// dockerdFlags keep everything of a Docker engine in a folder; its socket is docker.sock there.
func dockerdFlags(folder string) []string {
	// Storage driver vfs: the folder may itself lie on an overlay.
	return []string{
		"--data-root", filepath.Join(folder, "docker-data"), "--exec-root", filepath.Join(folder, "docker-exec"),
		"--pidfile", filepath.Join(folder, "docker.pid"), "--host", "unix://" + filepath.Join(folder, "docker.sock"),
		"--bridge", "none", "--iptables=false", "--storage-driver", "vfs",
	}
}
