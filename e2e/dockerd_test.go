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

	"github.com/rogpeppe/go-internal/testscript"
)

const dockerdUsage = "usage: dockerd start|again [FLAG...] | reload | stop | kill | refuses [FLAG...]"

// dockerd is a Docker engine with all its state in the story's folder.
type dockerd struct {
	program string
	folder  string
	sockets string   // a folder
	flags   []string // those that every start has
	process *process
}

// cmdDockerd is
//
//	dockerd start [FLAG...]   starts a Docker engine with all its state in the story's folder, with further flags of its own. It sets
//	                          $DOCKER_HOST and $DOCKER_SOCKET, and $DOCKER_TCP to HOST:PORT, which is free for --host tcp://. With --newer as the first flag, the engine that e2e/peers builds,
//	                          whose images are in containerd's store; it can create containers and not start them with Debian's runc
//	dockerd again [FLAG...]   starts it once more, with these flags; if it runs, it is ended gently first
//	dockerd reload            makes it read docker.json again, which --config-file names (SIGHUP)
//	dockerd stop|kill         ends it, gently or as a power cut does
//	dockerd refuses FLAG...   starts it, and it ends by itself
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
	case verb == "refuses":
		d.process.end()
		p := d.launch(ts, flags)
		if err := p.await(func() error { return errors.New("it still runs") }); !strings.Contains(err.Error(), "has ended") {
			ts.Fatalf("dockerd %s: %v", strings.Join(flags, " "), err)
		}
	default:
		ts.Fatalf(dockerdUsage)
	}
}

func newDockerd(ts *testscript.TestScript, args *[]string) *dockerd {
	// It keeps sockets there, whose paths must not be long.
	sockets, err := os.MkdirTemp("", "assay-d")
	ts.Check(err)
	d := &dockerd{program: "dockerd", folder: ts.MkAbs("."), sockets: sockets}
	d.flags = append(dockerdFlags(d.folder), "--exec-root", sockets)
	if len(*args) > 1 && (*args)[1] == "--newer" {
		d.program = "moby-dockerd"
		*args = slices.Delete(slices.Clone(*args), 1, 2)
		d.flags = append(d.flags, "--ip6tables=false", "--storage-driver", "native")
	}
	ts.Defer(d.forget)
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

// forget removes what the engine leaves behind outside the folder, where it was killed or a plugin did not start: mounts, which are in the
// way of those who remove the folder, shims, and folders for the sockets of plugins, which the older engine keeps in a place of its own.
func (d *dockerd) forget() {
	endShims(d.sockets)
	unmountBelow(d.folder)
	unmountBelow(d.sockets)
	plugins, _ := filepath.Glob(filepath.Join(d.folder, "docker-data", "plugins", "*", "config.json")) // the pattern is good
	for _, config := range plugins {
		_ = os.RemoveAll(filepath.Join(pluginSockets, filepath.Base(filepath.Dir(config)))) // a socket at most
	}
	_ = os.RemoveAll(d.sockets) // nothing but leftovers
}

// endShims kills those that hold processes for an engine of a folder which has ended.
func endShims(folder string) {
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is good
	for _, file := range processes {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(string(content), "\x00")
		at := slices.Index(args, "-address")
		if !strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") || at < 0 || at+1 >= len(args) || !strings.HasPrefix(args[at+1], folder+"/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
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
