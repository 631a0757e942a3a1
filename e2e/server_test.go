//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdServer is
//
//	server port VAR...               sets variables to ports of the loopback interface that nobody uses
//	server start NAME PROGRAM [ARG…] runs a program until the story ends, with its output in NAME.log
//	server await NAME URL            waits until the URL answers with 200, whoever vouches for its certificate; unix:PATH: until somebody listens there
//	server stop NAME CODE            ends it gently; CODE is the exit code that is wanted
//	server kill NAME                 ends it as a power cut does
//	server again NAME                runs what was ended once more, as it ran before
func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "server", neg)
	w := worldOf(ts)
	switch {
	case len(args) >= 2 && args[0] == "port":
		ports, err := freePorts(len(args) - 1)
		ts.Check(err)
		for i, name := range args[1:] {
			ts.Setenv(name, strconv.Itoa(ports[i]))
		}
	case len(args) >= 3 && args[0] == "start":
		w.servers[args[1]] = start(ts, args[1]+".log", args[2], args[3:]...)
	case len(args) == 3 && args[0] == "await":
		ts.Check(w.server(ts, args[1]).await(func() error { return answers(args[2]) }))
	case len(args) == 3 && args[0] == "stop":
		p := w.server(ts, args[1])
		ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
		p.end()
		if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != args[2] {
			ts.Fatalf("%s: got exit code %s, want %s\n%s", args[1], got, args[2], p.output())
		}
	case len(args) == 2 && args[0] == "kill":
		w.server(ts, args[1]).kill()
	case len(args) == 2 && args[0] == "again":
		old := w.server(ts, args[1])
		p, err := launch(old.cmd.Dir, old.log.Name(), old.cmd.Env, old.cmd.Path, old.cmd.Args[1:]...)
		ts.Check(err)
		ts.Defer(p.end)
		w.servers[args[1]] = p
	default:
		ts.Fatalf("usage: server port VAR... | start NAME PROGRAM [ARG...] | await NAME URL | stop NAME CODE | kill NAME | again NAME")
	}
}

func (w *world) server(ts *testscript.TestScript, name string) *process {
	p := w.servers[name]
	if p == nil {
		ts.Fatalf("server: %s was not started", name)
	}
	return p
}

// answers asks for a page once, or connects to a socket.
func answers(url string) error {
	if path, ok := strings.CutPrefix(url, "unix:"); ok {
		conn, err := net.Dial("unix", path)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Get(url)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// cmdEventually is "eventually PATTERN PROGRAM [ARGUMENT...]": the program is run until its output matches.
func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "eventually", neg)
	if len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN PROGRAM [ARGUMENT...]")
	}
	want := regexp.MustCompile(args[0])
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(200 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		got := ts.ReadFile("stdout")
		if want.MatchString(got) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: not within %v: %s (%v)\n%s", strings.Join(args[1:], " "), readyWithin, args[0], err, got)
		}
	}
}
