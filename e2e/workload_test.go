//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/workload"
)

// containers is a program with the commands of docker, with all its state in a folder.
type containers struct {
	t       *testing.T
	folder  string
	program []string
	socket  string
}

// need leaves the test out where a peer is missing and may be.
func need(t *testing.T, programs ...string) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	missing := slices.DeleteFunc(programs, func(p string) bool { _, err := exec.LookPath(p); return err == nil })
	switch {
	case len(missing) == 0 && os.Geteuid() == 0:
	case peersOptional():
		t.Skipf("peers are missing: %q, or it is not root", missing)
	default:
		t.Fatalf("peers are missing: %q, or it is not root; e2e/peers/install installs them", missing)
	}
}

// shortFolder is one for sockets, whose paths must not be long.
func shortFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "assay-w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unmountBelow(folder)
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// serve starts what answers at the socket.
func (c *containers) serve(program string, args ...string) {
	c.t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		c.t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.folder}
	p, err := launch(c.folder, filepath.Join(c.folder, filepath.Base(program)+".log"), env, path, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(p.end)
	if err := p.await(func() error { _, err := c.try("version"); return err }); err != nil {
		c.t.Fatal(err)
	}
}

func (c *containers) try(args ...string) (string, error) {
	all := slices.Concat(c.program, args)
	cmd := exec.Command(all[0], all[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", errors.Join(err, errors.New(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func (c *containers) do(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("%q: %v", args, err)
	}
	return out
}

// importHello makes an image of one program, which waits.
func (c *containers) importHello(name string, more string) {
	c.t.Helper()
	hello := filepath.Join(c.folder, "hello")
	build := exec.Command("go", "build", "-o", hello, "./hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		c.t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(hello)
	if err != nil {
		c.t.Fatal(err)
	}
	archive := filepath.Join(c.folder, "image.tar")
	f, err := os.Create(archive)
	if err != nil {
		c.t.Fatal(err)
	}
	w := tar.NewWriter(f)
	for path, data := range map[string][]byte{"hello": content, "more": []byte(more)} {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(data))}); err != nil {
			c.t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		c.t.Fatal(err)
	}
	c.do("import", archive, name)
}

// run starts a container, and returns its ID and the number of its process.
func (c *containers) run(args ...string) (id string, pid int32) {
	c.t.Helper()
	id = c.do(slices.Concat([]string{"run", "-d", "--network", "none", "--entrypoint", "/hello"}, args)...)
	number, err := strconv.ParseInt(c.inspect(id).State.Pid.String(), 10, 32)
	if err != nil || number == 0 {
		c.t.Fatalf("process %d: %v", number, err)
	}
	c.t.Cleanup(func() { _, _ = c.try("rm", "-f", id) }) // it may be gone
	return id, int32(number)
}

type inspected struct {
	ID    string `json:"Id"`
	Image string
	State struct{ Pid json.Number }
}

func (c *containers) inspect(id string) inspected {
	c.t.Helper()
	var all []inspected
	if err := json.Unmarshal([]byte(c.do("inspect", id)), &all); err != nil || len(all) != 1 {
		c.t.Fatalf("%d containers, %v", len(all), err)
	}
	return all[0]
}

func locator(t *testing.T) *workload.Locator {
	t.Helper()
	l, err := workload.NewLocator(workload.LocatorConfig{Proc: workload.NewProc(os.DirFS("/")), Pods: true})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// within asks until the answer is good.
func within(t *testing.T, d time.Duration, what string, good func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); !good(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, d)
		}
	}
}

// A process of a real container is found, and what the engine says of it; both end with it.
func TestWorkloadsOfDocker(t *testing.T) {
	need(t, "dockerd", "docker")
	folder := shortFolder(t)
	c := &containers{t: t, folder: folder, socket: "unix://" + filepath.Join(folder, "docker.sock")}
	c.program = []string{"docker", "--host", c.socket}
	c.serve("dockerd", dockerdFlags(folder)...)
	c.importHello("app:1", "one")
	l := locator(t)
	d, err := workload.OpenDocker(workload.DockerConfig{Host: c.socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)

	id, pid := c.run("--label", "team=payments", "--env", "COLOR=blue", "app:1")
	place, err := l.Locate(t.Context(), pid)
	if err != nil || place.ContainerID != id || place.PodUID != "" || place.Podman != nil || !place.ForeignManager() {
		t.Fatalf("container %s: got %+v, %v", id, place, err)
	}
	if err := exec.Command(c.program[0], slices.Concat(c.program[1:], []string{"exec", "-d", id, "/hello"})...).Run(); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "a second process of the container", func() bool {
		seen, err := l.Locate(t.Context(), child(t, id, pid))
		return err == nil && seen.ContainerID == id
	})
	got, err := d.Running(t.Context(), id)
	if err != nil || got.ID != id || got.Named != "app:1" || got.Labels["team"] != "payments" || !slices.Contains(got.Env, "COLOR=blue") || got.Image != c.inspect(id).Image {
		t.Fatalf("got %+v, %v", got, err)
	}
	// The tag moves; what runs is what runs.
	c.importHello("app:1", "two")
	image, err := d.RunningImage(t.Context(), got.Image)
	if err != nil || image.ID != got.Image || image.ID == c.do("image", "inspect", "--format", "{{.Id}}", "app:1") {
		t.Errorf("got %+v, %v", image, err)
	}

	for _, args := range [][]string{{"--cgroup-parent", "/my.slice/inner"}, {"--cgroupns", "private"}, {"--cgroupns", "host"}} {
		id, pid := c.run(append(args, "app:1")...)
		if place, err := l.Locate(t.Context(), pid); err != nil || place.ContainerID != id {
			t.Errorf("%q: container %s: got %+v, %v", args, id, place, err)
		}
	}
	if place, err := l.Locate(t.Context(), int32(os.Getpid())); err != nil || place.ContainerID == id {
		t.Errorf("this test is in %+v, %v", place, err)
	}

	c.do("rm", "-f", id)
	if place, err := l.Locate(t.Context(), pid); err == nil && place.ContainerID != "" {
		t.Errorf("a process that has ended is in %+v", place)
	}
	// Sooner than by its age, for the engine's events say so.
	within(t, 20*time.Second, "what is remembered ends", func() bool {
		_, err := d.Running(t.Context(), id)
		return errors.Is(err, workload.ErrAbsent) && strings.Contains(err.Error(), "No such container")
	})
}

// child returns another process of a container than its first one; 0: there is none yet.
func child(t *testing.T, id string, first int32) int32 {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		pid, _ := strconv.ParseInt(filepath.Base(filepath.Dir(file)), 10, 32) // by the pattern
		if err == nil && strings.Contains(string(content), id) && int32(pid) != first {
			return int32(pid)
		}
	}
	return 0
}

// The same with root's Podman, by the API that it has in common with Docker.
func TestDOCKER9_WorkloadsOfPodman(t *testing.T) {
	need(t, "podman", "runc")
	folder := shortFolder(t)
	socket := filepath.Join(folder, "podman.sock")
	c := &containers{t: t, folder: folder, socket: "unix://" + socket}
	c.program = []string{
		"podman", "--root", filepath.Join(folder, "root"), "--runroot", filepath.Join(folder, "run"), "--tmpdir", filepath.Join(folder, "tmp"),
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc",
	}
	c.serve("podman", slices.Concat(c.program[1:], []string{"system", "service", "--time", "0", c.socket})...)
	c.importHello("localhost/app:1", "one")
	id, pid := c.run("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--label", "team=payments", "localhost/app:1")
	place, err := locator(t).Locate(t.Context(), pid)
	if err != nil || place.ContainerID != id || place.Podman == nil || place.Podman.Rootless || !place.ForeignManager() {
		t.Fatalf("container %s: got %+v, %v", id, place, err)
	}
	p, err := workload.OpenPodman(workload.PodmanConfig{Host: c.socket, Template: "unix://" + folder + "/%d.sock"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	within(t, 10*time.Second, "Podman's socket", func() bool { _, err := os.Stat(socket); return err == nil })
	d, err := p.At(*place.Podman)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Running(t.Context(), id)
	if err != nil || got.ID != id || got.Labels["team"] != "payments" || !strings.HasPrefix(got.Named, "localhost/app") || got.Image == "" {
		t.Fatalf("got %+v, %v", got, err)
	}
	image, err := d.RunningImage(t.Context(), got.Image)
	if err != nil || strings.TrimPrefix(image.ID, "sha256:") != strings.TrimPrefix(got.Image, "sha256:") {
		t.Errorf("got %+v, %v", image, err)
	}
	c.do("rm", "-f", "--time", "0", id)
	within(t, 20*time.Second, "what is remembered ends", func() bool {
		_, err := d.Running(t.Context(), id)
		return errors.Is(err, workload.ErrAbsent)
	})
}
