package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server of its own, so that its processor time can be told from everybody else's.
type process struct {
	name    string
	address string
	command *exec.Cmd
	drained chan struct{} // is closed when the server's log has ended
}

// startPeer starts this program again as one of peers.
func startPeer(name, cert, key string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, command: exec.Command(self, name, cert, key)}
	return p, p.start(p.command.StdoutPipe, func(line string) string { return line })
}

// startAssay starts the program that is measured. Its log is read, as a container runtime would.
func startAssay(program string, args []string) (*process, error) {
	p := &process{name: assay, command: exec.Command(program, args...)}
	return p, p.start(p.command.StderrPipe, func(line string) string {
		var logged struct{ Msg, Address string }
		_ = json.Unmarshal([]byte(line), &logged) // what is none says nothing of an address
		return logged.Address
	})
}

// start waits for the line that tells the address, and reads everything after it so that the server is not held up.
func (p *process) start(pipe func() (io.ReadCloser, error), address func(line string) string) error {
	out, err := pipe()
	if err != nil {
		return err
	}
	p.drained = make(chan struct{})
	if err := p.command.Start(); err != nil {
		return err
	}
	lines := bufio.NewReader(out)
	var told strings.Builder
	for p.address == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			close(p.drained)
			return errors.Join(fmt.Errorf("%s did not start: %s", p.name, told.String()), p.stop())
		}
		told.WriteString(line)
		p.address = address(strings.TrimSuffix(line, "\n"))
	}
	go func() {
		defer close(p.drained)
		_, _ = io.Copy(io.Discard, lines)
	}()
	return nil
}

func (p *process) stop() error {
	err := p.command.Process.Signal(syscall.SIGKILL)
	<-p.drained
	_ = p.command.Wait() // killed, as was wanted
	return err
}

// tick is the unit of /proc, the same on all machines that Go runs on.
const tick = 10 * time.Millisecond

// cpu is the processor time that the server has used so far.
func (p *process) cpu() (time.Duration, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The second field is a name in brackets, in which anything can stand.
	_, rest, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc: %q", content)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, err
}

// memory is what the server holds in memory, in bytes.
func (p *process) memory() (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(content))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc: %q", content)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
