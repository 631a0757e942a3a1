//go:build linux

// Command node is a whole Kubernetes cluster of one node as one process, for stories and for trying Assay on one machine.
//
//	node start [--detach] [--owner PID] FOLDER
//	                        starts it; without --detach it runs until a signal ends it. It ends with the process PID as well
//	node stop FOLDER        ends it, and with it everything that it started
//	node peer start|stop|kill NAME FOLDER
//	                        one of its programs: docker-registry, notary-server, dockerd, kubelet, …
//
// It needs root, the rights to make control groups, mounts and interfaces, and the peers of e2e/peers/install; where one of these is
// missing the exit code is 69. All its programs live in namespaces of their own (processes, mounts, network), and what they write is in memory, so
// that it can be started several times on one machine and nothing of it stays when it ends, however it ends: no process, mount,
// interface or firewall rule; control groups that a killed one left behind are removed by the next. What a host sees of it is FOLDER,
// the control group /assayN, and the interface assayN, through which all of the following can be reached:
//
//	kubeconfig    FOLDER/kubeconfig, an administrator's
//	registry      at port 5000 of the node's address, with TLS
//	Notary        at port 4443 of the node's address, with TLS
//	dockerd       FOLDER/docker.sock, once it is started by "node peer start dockerd FOLDER"
//	ca.pem        the CA of all of them; certs/ca.crt is the same
//	env           the addresses, as lines that a shell can read
//	manifests/    static pods
//	containerd/verifiers/
//	              what containerd asks before it pulls; empty: nobody
//	log/          the output of each program
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `usage:
	node start [--detach] [--owner PID] FOLDER
	node stop FOLDER
	node peer start|stop|kill NAME FOLDER`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	err := run(ctx, os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "node: %v\n", err)
	if errors.Is(err, errUnable) {
		os.Exit(exitUnable)
	}
	os.Exit(1)
}

// errUnable is that this machine lacks the rights or the programs for a cluster.
var errUnable = errors.New("a cluster cannot run here")

// exitUnable is the exit code for it, EX_UNAVAILABLE of sysexits.h.
const exitUnable = 69

// pause is the verb of a container that only holds a pod's namespaces.
const pause = "pause"

func run(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == pause {
		<-ctx.Done()
		return nil
	}
	if len(args) < 2 {
		return errors.New(usage)
	}
	folder, err := filepath.Abs(args[len(args)-1])
	if err != nil {
		return err
	}
	switch verb, rest := args[0], args[1:len(args)-1]; {
	case verb == "start":
		return startWith(ctx, folder, rest)
	case verb == "stop" && len(rest) == 0:
		return stop(ctx, folder)
	case verb == "peer" && len(rest) == 2:
		return ask(folder, rest[0]+" "+rest[1])
	case verb == inside && len(rest) == 1 && os.Getpid() == 1:
		return first(rest[0], folder)
	case verb == inside && len(rest) == 1:
		return serve(ctx, rest[0], folder)
	}
	return errors.New(usage)
}

// startWith is "node start" with its flags.
func startWith(ctx context.Context, folder string, args []string) error {
	flags := flag.NewFlagSet("node start", flag.ContinueOnError)
	detached := flags.Bool("detach", false, "return when it is ready, and let it run")
	owner := flags.Int("owner", 0, "end with this process; 0: with none")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return errors.Join(err, errors.New(usage))
	}
	if *detached {
		return detach(ctx, folder, *owner)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if *owner != 0 {
		go func() {
			defer cancel()
			outlive(ctx, *owner)
		}()
	}
	return start(ctx, folder)
}
