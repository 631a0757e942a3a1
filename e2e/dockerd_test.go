//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const dockerdUsage = "usage: dockerd start|again [FLAG...] | reload | stop | kill | refuses [FLAG...] | swarm | abandon"

// dockerd is a Docker engine with all its state in the story's folder.
type dockerd struct {
	leftovers
	program string
	flags   []string // those that every start has
	process *process
}

// cmdDockerd is
//
//	dockerd start [FLAG...]   starts a Docker engine with all its state in the story's folder, with further flags of its own. It sets
//	                          $DOCKER_HOST, $DOCKER_SOCKET, $DOCKER_EXEC, where processes are kept, and $DOCKER_TCP to HOST:PORT, which is free for
//	                          --host tcp://. With --newer as the first flag, the engine that e2e/peers builds, whose images are in containerd's store, with a
//	                          runc as new as it, which knows no seccomp
//	dockerd again [FLAG...]   starts it once more, with these flags; if it runs, it is ended gently first
//	dockerd reload            makes it read docker.json again, which --config-file names (SIGHUP)
//	dockerd stop|kill         ends it, gently or as a power cut does
//	dockerd refuses FLAG...   starts it, and it ends by itself
//	dockerd swarm             makes it a swarm of one node, on the loopback interface
//	dockerd abandon           gives it up as a run does that is killed; the next dockerd of any run must clean up after it
//
// Containers have no network of their own, and the host's firewall is left alone.
func cmdDockerd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "dockerd", neg)
	if len(args) == 0 {
		ts.Fatalf(dockerdUsage)
	}
	w := worldOf(ts)
	if args[0] == "start" {
		w.dockerd = newDockerd(ts, &args)
		ts.Setenv("DOCKER_TCP", fmt.Sprint("127.0.0.1:", freePort(ts)))
	}
	d := w.dockerd
	if d == nil {
		ts.Fatalf("dockerd was not started")
	}
	switch verb, flags := args[0], args[1:]; {
	case verb == "start":
		d.start(ts, flags)
	case verb == "again":
		d.process.end()
		d.start(ts, flags)
	case verb == "reload" && len(flags) == 0:
		ts.Check(d.process.cmd.Process.Signal(syscall.SIGHUP))
	case verb == "stop" && len(flags) == 0:
		d.process.end()
	case verb == "kill" && len(flags) == 0:
		d.process.kill()
		d.forgetContainerd()
	case verb == "refuses":
		d.process.end()
		p := d.launch(ts, flags)
		if err := p.await(func() error { return errors.New("it still runs") }); !strings.Contains(err.Error(), "has ended") {
			ts.Fatalf("dockerd %s: %v", strings.Join(flags, " "), err)
		}
	case verb == "swarm" && len(flags) == 0:
		d.swarm(ts)
	case verb == "abandon" && len(flags) == 0:
		ts.Check(d.alive.Close())
	default:
		ts.Fatalf(dockerdUsage)
	}
}

func newDockerd(ts *testscript.TestScript, args *[]string) *dockerd {
	d := &dockerd{leftovers: newLeftovers(ts), program: "dockerd"}
	d.flags = append(dockerdFlags(d.folder), "--exec-root", d.sockets)
	if len(*args) > 1 && (*args)[1] == "--newer" {
		d.program = "moby-dockerd"
		*args = slices.Delete(slices.Clone(*args), 1, 2)
		runc, err := find(ts, "moby-runc")
		ts.Check(err)
		d.flags = append(d.flags, "--ip6tables=false", "--storage-driver", "native",
			"--add-runtime", "newer="+runc, "--default-runtime", "newer", "--seccomp-profile", "unconfined")
	}
	return d
}

func (d *dockerd) launch(ts *testscript.TestScript, flags []string) *process {
	return start(ts, "dockerd.log", d.program, slices.Concat(d.flags, flags)...)
}

func (d *dockerd) start(ts *testscript.TestScript, flags []string) {
	socket := filepath.Join(d.folder, "docker.sock")
	d.process = d.launch(ts, flags)
	ts.Setenv("DOCKER_HOST", "unix://"+socket)
	ts.Setenv("DOCKER_SOCKET", socket)
	ts.Setenv("DOCKER_EXEC", d.sockets)
	ts.Check(d.process.await(func() error {
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

// swarm makes the engine a swarm of one node. It makes a bridge of the host for that, which is removed with the story.
func (d *dockerd) swarm(ts *testscript.TestScript) {
	ts.Check(os.WriteFile(filepath.Join(d.sockets, swarmMark), nil, 0o600))
	ts.Check(ts.Exec("docker", "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", fmt.Sprintf("127.0.0.1:%d", freePort(ts))))
}

// forgetContainerd waits until the engine's containerd has ended with it, and removes its number: where nobody collects dead processes, the next engine
// would take it for alive.
func (d *dockerd) forgetContainerd() {
	name := filepath.Join(d.sockets, "containerd", "containerd.pid")
	content, err := os.ReadFile(name)
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	for deadline := time.Now().Add(stopWithin); err == nil && runs(pid) && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	_ = os.Remove(name)
}

// unmountBelow unmounts what is mounted below a folder, the last first.
func unmountBelow(folder string) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return // no Linux, no mounts
	}
	lines := strings.Split(strings.TrimSpace(string(mounts)), "\n")
	for _, line := range slices.Backward(lines) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], folder+"/") {
			_ = syscall.Unmount(fields[4], syscall.MNT_DETACH) // somebody else may have been quicker
		}
	}
}
