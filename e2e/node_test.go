//go:build e2e

package e2e

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A cluster that is killed leaves no process, mount and interface behind; the next one removes its control groups, and those of that one
// are gone with it.
func TestNodeLeavesNothing(t *testing.T) {
	c := newCluster(t)
	if os.Getenv(localCluster) != "" {
		t.Skip("the cluster that is there must stay")
	}
	begin := func() error { return c.script(t.Context(), "start") }
	if err := begin(); unable(err) && peersOptional() {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := c.describe(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(c.folder, "cluster", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.traces(t)) == 0 || len(c.controlGroups(t)) == 0 {
		t.Fatal("a cluster that runs leaves no trace: the test sees nothing")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.untraced(t)
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	if err := c.script(context.Background(), "stop"); err != nil {
		t.Fatal(err)
	}
	c.untraced(t)
	if groups := c.controlGroups(t); len(groups) > 0 {
		t.Errorf("left behind: %v", groups)
	}
	if _, err := os.Stat(c.folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v, want nothing", c.folder, err)
	}
}

// untraced waits until nothing is left.
func (c *sharedCluster) untraced(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(stopWithin); ; time.Sleep(50 * time.Millisecond) {
		left := c.traces(t)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %s", strings.Join(left, "\n"))
		}
	}
}

// address is that of the host in the cluster's network, 198.18.N.1.
func (c *sharedCluster) address(t *testing.T) string {
	t.Helper()
	for _, variable := range c.env {
		if address, ok := strings.CutPrefix(variable, "HOST_IP="); ok {
			return address
		}
	}
	t.Fatalf("no address among %q", c.env)
	return ""
}

// controlGroups are the folders of /assayN.
func (c *sharedCluster) controlGroups(t *testing.T) []string {
	t.Helper()
	name := "assay" + strings.Split(c.address(t), ".")[2]
	first, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", name))
	second, err2 := filepath.Glob(filepath.Join("/sys/fs/cgroup", "*", name))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return append(first, second...)
}

// traces are the processes and mounts in which the cluster's folder is named, and the interface with its address.
func (c *sharedCluster) traces(t *testing.T) []string {
	t.Helper()
	var all []string
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, "/proc/self/mountinfo") {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended
		}
		if strings.Contains(string(text), c.folder) {
			all = append(all, name+": "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if strings.HasPrefix(a.String(), c.address(t)+"/") {
			all = append(all, "interface with "+a.String())
		}
	}
	return all
}

// unable reports whether rights or programs for a cluster are missing.
func unable(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == clusterUnable
}
