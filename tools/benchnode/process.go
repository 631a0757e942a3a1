package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server of its own, so that its processor time and memory can be told from everybody else's.
type process struct {
	name    string
	address string // of its metrics
	scheme  string
	command *exec.Cmd
	client  *http.Client
	drained chan struct{} // is closed when its log has ended
}

// startProcess starts a server, and waits for the line of its log that tells the address of its metrics. Its log is read, as a container runtime
// would.
func startProcess(name, line, scheme, program string, args []string) (*process, error) {
	p := &process{name: name, scheme: scheme, command: exec.Command(program, args...), drained: make(chan struct{})}
	p.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	out, err := p.command.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	var told strings.Builder
	for p.address == "" {
		text, err := lines.ReadString('\n')
		if err != nil {
			close(p.drained)
			return nil, errors.Join(fmt.Errorf("%s did not start: %s", name, told.String()), p.stop())
		}
		told.WriteString(text)
		var logged struct{ Msg, Address string }
		if json.Unmarshal([]byte(text), &logged) == nil && logged.Msg == line {
			p.address = logged.Address
		}
	}
	go func() {
		defer close(p.drained)
		_, _ = io.Copy(io.Discard, lines)
	}()
	return p, nil
}

func (p *process) stop() error {
	err := p.command.Process.Signal(syscall.SIGKILL)
	<-p.drained
	_ = p.command.Wait() // killed, as was wanted
	return err
}

// untilReady waits until the process says that it is ready.
func (p *process) untilReady() error {
	const patience = 30 * time.Second
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if resp, err := p.client.Get(p.scheme + "://" + p.address + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("%s is not ready after %v", p.name, patience)
}

// metric is the value of a series.
func (p *process) metric(series string) (float64, error) {
	resp, err := p.client.Get(p.scheme + "://" + p.address + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), series+" "); found {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", p.name, series)
}

// memory is what a process takes, in bytes.
type memory struct{ resident, live float64 }

// memory reads it. What was live after the last collection is half of the heap at which the next one begins.
func (p *process) memory() (m memory, err error) {
	if m.resident, err = p.metric("process_resident_memory_bytes"); err != nil {
		return m, err
	}
	next, err := p.metric("go_memstats_next_gc_bytes")
	m.live = next / 2
	return m, err
}

// tick is the unit of /proc, the same on all machines that Go runs on.
const tick = 10 * time.Millisecond

// mustCPU is the processor time that the process has used so far; 0 if it has ended.
func (p *process) mustCPU() time.Duration {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		return 0
	}
	// The second field is a name in brackets, in which anything can stand.
	_, rest, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64) // numbers, by proc(5)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick
}
