//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// storyEngine begins the names of the folders in which engines of stories have their sockets.
const storyEngine = "assay-d"

// leftovers are what an engine of a story, Docker's or a containerd, leaves where nobody ends it.
type leftovers struct {
	folder  string   // the story's
	sockets string   // a folder, which all its processes have among their arguments
	alive   *os.File // see claim
}

// newLeftovers makes a folder for the sockets of an engine, whose paths must not be long, after all leftovers of runs that were killed are gone.
// What the engine leaves is forgotten with the story.
func newLeftovers(ts *testscript.TestScript) leftovers {
	forgetEngines()
	sockets, err := os.MkdirTemp("", storyEngine)
	ts.Check(err)
	l := leftovers{folder: ts.MkAbs("."), sockets: sockets}
	ts.Check(l.claim())
	ts.Defer(func() {
		l.forget()
		_ = l.alive.Close() // it was abandoned, or nobody needs it any more
	})
	return l
}

// Files in such a folder.
const (
	aliveMark = "assay-story" // the story's folder; who runs the story holds a lock on it
	swarmMark = "assay-swarm" // the engine was in a swarm
)

// swarmBridge is what an engine in a swarm makes of the host's network.
const swarmBridge = "docker_gwbridge"

// claim holds a lock until the story ends, or this process is killed: by that the next run can tell whether somebody still needs the engine. Nobody
// sees the file before it is locked.
func (l *leftovers) claim() error {
	hidden := filepath.Join(l.sockets, aliveMark+".new")
	file, err := os.Create(hidden)
	if err != nil {
		return err
	}
	_, err = file.WriteString(l.folder)
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == nil {
		err = os.Rename(hidden, filepath.Join(l.sockets, aliveMark))
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.alive = file
	return nil
}

// forgetEngines ends the engines of stories whose run was killed, and removes what they left.
func forgetEngines() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), storyEngine+"*", aliveMark)) // the pattern is good
	for _, name := range left {
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // another story was quicker
		}
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			if folder, err := os.ReadFile(name); err == nil && filepath.IsAbs(string(folder)) {
				l := &leftovers{folder: string(folder), sockets: filepath.Dir(name)}
				l.forget()
				for _, data := range []string{"docker-data", containerdRoot} {
					_ = os.RemoveAll(filepath.Join(l.folder, data)) // nothing but leftovers
				}
			}
		}
		_ = file.Close() // and with it the lock
	}
}

// forget removes what the engine leaves behind, where it or the run was killed or a plugin did not start: processes, mounts, which are in the way of
// those who remove the folder, a bridge, a control group, and folders for the sockets of plugins, which the older engine keeps in a place of its own.
func (l *leftovers) forget() {
	l.endProcesses()
	unmountBelow(l.folder)
	unmountBelow(l.sockets)
	plugins, _ := filepath.Glob(filepath.Join(l.folder, "docker-data", "plugins", "*", "config.json")) // the pattern is good
	for _, config := range plugins {
		_ = os.RemoveAll(filepath.Join(pluginSockets, filepath.Base(filepath.Dir(config)))) // a socket at most
	}
	if _, err := os.Stat(filepath.Join(l.sockets, swarmMark)); err == nil {
		_ = exec.Command("ip", "link", "delete", swarmBridge).Run() // the engine may not have come so far
	}
	for _, tree := range []string{"", "*"} { // version 2 of control groups, and 1
		groups, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", tree, filepath.Base(l.sockets))) // the pattern is good
		for _, group := range groups {
			removeGroup(group)
		}
	}
	_ = os.RemoveAll(l.sockets) // nothing but leftovers
}

// removeGroup removes a control group. Who was killed is in it for a moment longer than among the processes.
func removeGroup(group string) {
	for deadline := time.Now().Add(stopWithin); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err := syscall.Rmdir(group); !errors.Is(err, syscall.EBUSY) {
			return
		}
	}
}

// endProcesses kills the engine, its containerd and its shims, and what runs in containers and plugins, until nobody is left.
func (l *leftovers) endProcesses() {
	var killed []int
	for deadline := time.Now().Add(stopWithin); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		mine := l.processes()
		for _, pid := range mine {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
		killed = append(killed, mine...)
		if !slices.ContainsFunc(killed, runs) {
			return
		}
	}
}

func runs(pid int) bool {
	state, _ := parentOf(filepath.Join("/proc", strconv.Itoa(pid)))
	return state != "" && state != "Z"
}

// processes are those that have the engine's folder of sockets among their arguments, the engine before others, as it would start them again; and
// before a shim what it holds, of which nobody could tell whose it was without it.
func (l *leftovers) processes() []int {
	var engines, others []int
	children := map[int][]int{}
	folders, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || pid == os.Getpid() {
			continue
		}
		state, parent := parentOf(folder)
		if state == "" || state == "Z" {
			continue // it has ended
		}
		children[parent] = append(children[parent], pid)
		content, err := os.ReadFile(filepath.Join(folder, "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(string(content), "\x00")
		if !slices.ContainsFunc(args, func(arg string) bool { return arg == l.sockets || strings.HasPrefix(arg, l.sockets+"/") }) {
			continue
		}
		if name := filepath.Base(args[0]); strings.HasSuffix(name, "dockerd") || name == "containerd" {
			engines = append(engines, pid)
		} else {
			others = append(others, pid)
		}
	}
	all := engines
	for _, pid := range others {
		all = append(append(all, children[pid]...), pid)
	}
	return all
}

// parentOf reads the state and the parent of a process; "" if it has ended.
func parentOf(folder string) (state string, parent int) {
	content, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return "", 0
	}
	fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
	if len(fields) < 2 {
		return "", 0
	}
	parent, err = strconv.Atoi(fields[1])
	if err != nil {
		return "", 0
	}
	return fields[0], parent
}
