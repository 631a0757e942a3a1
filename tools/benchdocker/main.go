// Command benchdocker measures the authorization plugin as users of a Docker engine meet it: GET /_ping, and the creation of a container of
// an image that is known, at an engine that asks `assay serve docker`, beside one that asks a plugin that always allows. Differences of
// medians in one run are what counts; absolute figures tell of the machine.
//
// It starts two engines of its own, with all their state in a temporary folder. It needs root and dockerd.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

// Targets: what the plugin may add at the median to what one costs that always allows.
const (
	wantedPing   = 300 * time.Microsecond
	wantedCreate = 2 * time.Millisecond
)

// options are what a run is made of.
type options struct {
	assay   string
	dockerd string
	pings   int
	creates int
}

func main() {
	// The plugin to compare with is this program again, as a process of its own.
	if len(os.Args) == 3 && os.Args[1] == alwaysAllow {
		exit(serveAllow(os.Args[2]))
	}
	o := options{}
	flag.StringVar(&o.assay, "assay", "bin/assay", "the program that is measured")
	flag.StringVar(&o.dockerd, "dockerd", "dockerd", "the engine")
	flag.IntVar(&o.pings, "pings", 1000, "how often GET /_ping is asked of each engine, in turns")
	flag.IntVar(&o.creates, "creates", 100, "how often a container is created by each engine, in turns")
	flag.Parse()
	exit(run(o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "benchdocker: %s\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(o options) error {
	s, err := newStage(o)
	if err != nil {
		return err
	}
	defer s.close()
	body := fmt.Appendf(nil, `{"Image":%q,"Cmd":["x"]}`, s.image)
	fmt.Printf("medians, in turns; %s\n\n%-22s %12s %12s %12s\n", s.version, "", alwaysAllow, "assay", "overhead")
	if err := s.compare("GET /_ping", wantedPing, o.pings, (*dockerEngine).ping); err != nil {
		return err
	}
	// What Assay asks the engine about an image at a create is a part of what a create costs.
	if err := s.compare("GET /images/NAME/json", 0, o.creates, func(e *dockerEngine) (time.Duration, error) { return e.inspect(s.image) }); err != nil {
		return err
	}
	return s.compare("containers/create", wantedCreate, o.creates, func(e *dockerEngine) (time.Duration, error) { return e.create(body) })
}
