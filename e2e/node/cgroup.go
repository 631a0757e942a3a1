//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const cgroups = "/sys/fs/cgroup"

// removeWithin is how long the kernel may take to let go of processes that were killed.
const removeWithin = 10 * time.Second

// controlGroup is the name of the group below which a cluster's pods run.
type controlGroup string

// folders returns where the group is: in one tree (version 2), or in one for each controller (version 1).
func (g controlGroup) folders() ([]string, error) {
	if unified() {
		return []string{filepath.Join(cgroups, string(g))}, nil
	}
	trees, err := os.ReadDir(cgroups)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, tree := range trees {
		if tree.IsDir() { // others are links to these
			all = append(all, filepath.Join(cgroups, tree.Name(), string(g)))
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: %s: there are no control groups", errUnable, cgroups)
	}
	return all, nil
}

func unified() bool {
	_, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers"))
	return err == nil
}

func (g controlGroup) create() error {
	all, err := g.folders()
	if err != nil {
		return err
	}
	for _, folder := range all {
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// A new group has no processors and no memory until somebody says which.
		for _, name := range []string{"cpuset.mems", "cpuset.cpus"} {
			value, err := os.ReadFile(filepath.Join(filepath.Dir(folder), name))
			if err != nil {
				continue // not the tree of this controller
			}
			if err := os.WriteFile(filepath.Join(folder, name), value, 0o644); err != nil {
				return err
			}
		}
	}
	if unified() {
		return delegate(filepath.Join(cgroups, string(g)))
	}
	return nil
}

// delegate lets groups below one have all controllers that it has.
func delegate(folder string) error {
	text, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(text)) {
		if err := os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+"+controller), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// remove removes the group and all below it. Its processes are dead.
func (g controlGroup) remove() error {
	all, err := g.folders()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(removeWithin)
	for _, folder := range all {
		for {
			err := removeTree(folder)
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
				return err
			}
			time.Sleep(20 * time.Millisecond) // nothing tells when the kernel is done
		}
	}
	return nil
}

// removeTree removes folders from the deepest up; files in them cannot be removed and need not be.
func removeTree(folder string) error {
	var all []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			all = append(all, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, path := range slices.Backward(all) {
		if err := syscall.Rmdir(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &fs.PathError{Op: "rmdir", Path: path, Err: err}
		}
	}
	return nil
}

// sweep removes the groups of clusters that were killed: those without an interface.
func sweep() error {
	found, err := filepath.Glob(filepath.Join(cgroups, linkPrefix+"[0-9]*"))
	if !unified() {
		found, err = filepath.Glob(filepath.Join(cgroups, "*", linkPrefix+"[0-9]*"))
	}
	if err != nil {
		return err
	}
	for _, folder := range found {
		name := filepath.Base(folder)
		if _, err := os.Stat(filepath.Join("/sys/class/net", name)); err == nil {
			continue
		}
		if err := controlGroup(name).remove(); err != nil {
			return err
		}
	}
	return nil
}
