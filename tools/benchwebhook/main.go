// Command benchwebhook measures the admission webhook as the API server meets it: `assay serve kubernetes` as a process, asked over TLS on
// kept connections, beside two others that are asked the same: one that allows everything, built the usual way, and the floor, which reads
// no more than the fields that are needed. Ratios hold on any machine, absolute figures do not.
//
// It speaks HTTP/1.1, because the API server does: it asks webhooks without HTTP/2, so that their replicas share the load.
//
// What it measures of a server is its processor time, from /proc; it runs on Linux only.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

// options are what a run is made of.
type options struct {
	assay       string
	rounds      int
	round       time.Duration
	connections int
}

func main() {
	// The servers to compare with are this program again, as processes of their own.
	if len(os.Args) == 4 {
		if peer, found := peers[os.Args[1]]; found {
			exit(servePeer(peer, os.Args[2], os.Args[3]))
		}
	}
	o := options{}
	flag.StringVar(&o.assay, "assay", "bin/assay", "the program that is measured")
	flag.IntVar(&o.rounds, "rounds", 7, "how often each server is measured, in turns")
	flag.DurationVar(&o.round, "round", 3*time.Second, "how long a server is measured in each round")
	flag.IntVar(&o.connections, "connections", 16, "connections that ask at once")
	flag.Parse()
	exit(run(o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "benchwebhook: %s\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(o options) error {
	s, err := newStage()
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.startAll(o.assay); err != nil {
		return err
	}
	if err := s.compare(o); err != nil {
		return err
	}
	return s.burst()
}
