//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// first is the first process of the namespaces: it furnishes them, starts the process that starts everything else, and buries whom
// others left behind. When it returns, the kernel ends all that is left.
func first(link, folder string) error {
	// The gate: the outside is done with the network.
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := mounts(folder); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(nodeName)); err != nil {
		return err
	}
	child, err := syscall.ForkExec("/proc/self/exe", []string{"node", inside, link, folder}, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case pid == child:
			return fmt.Errorf("inside: exit status %d", status.ExitStatus())
		}
	}
}

// tunables are settings of the whole machine that a kubelet insists on. Inside, they are files.
var tunables = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// kept are the folders in which programs write whatever they are told. Inside, what is written there is in memory.
var kept = []string{"/etc", "/var/lib", "/var/log"}

// mounts makes a view of the machine in which nothing that is written stays: what programs keep is in memory.
func mounts(folder string) error {
	// Private, so that no mount gets out; then shared among those inside, which a kubelet wants.
	for _, propagation := range []uintptr{syscall.MS_PRIVATE, syscall.MS_SHARED} {
		if err := mount("none", "/", "", propagation|syscall.MS_REC, ""); err != nil {
			return err
		}
	}
	state := filepath.Join(folder, stateFolder)
	if err := mount("tmpfs", state, "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	for _, path := range kept {
		upper, work := filepath.Join(state, "over", path), filepath.Join(state, "work", path)
		if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
			return err
		}
		if err := mount("overlay", path, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", path, upper, work)); err != nil {
			return err
		}
	}
	if err := mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	if err := mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	for name, value := range tunables {
		file := filepath.Join(state, "tunables", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(value+"\n"), 0o644)); err != nil {
			return err
		}
		if err := mount(file, filepath.Join("/proc/sys", name), "", syscall.MS_BIND, ""); err != nil {
			return err
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644) // of this network only
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, target, err)
	}
	return nil
}
