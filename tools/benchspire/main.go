// Command benchspire measures attestations as a SPIRE agent meets them: it starts `assay spire docker` as a plugin, with a Docker engine whose
// containers run, and asks about their processes over the plugin's own socket. Cold is the first question about a container, warm every other.
// Then it does so with `assay spire k8s`, and a kubelet of its own that lists the same containers as pods.
//
// It starts an engine of its own, with all its state in a temporary folder. It needs root and dockerd, and has to be built without cgo,
// because it is also what runs in the containers.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/assay-dev/assay/enforce/spire/spiretest"
)

// Targets.
const (
	wantedWarmMedian = 500 * time.Microsecond
	wantedWarmLate   = 2 * time.Millisecond
	wantedCold       = 5 * time.Millisecond
)

// sleeper is the argument with which this program does nothing, in a container.
const sleeper = "sleep"

// options are what a run is made of.
type options struct {
	assay      string
	dockerd    string
	containers int
	rounds     int
	warm       int
	callers    int
	crowd      int
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == sleeper {
		time.Sleep(time.Hour)
		return
	}
	o := options{}
	flag.StringVar(&o.assay, "assay", "bin/assay", "the program that is measured")
	flag.StringVar(&o.dockerd, "dockerd", "dockerd", "the engine")
	flag.IntVar(&o.containers, "containers", 50, "how many containers run")
	flag.IntVar(&o.rounds, "rounds", 10, "how often all of them are attested by a plugin that knows none of them")
	flag.IntVar(&o.warm, "warm", 10_000, "how many attestations are made of containers that are known")
	flag.IntVar(&o.callers, "callers", 8, "how many ask at once, where many do")
	flag.IntVar(&o.crowd, "crowd", 1000, "how many attestations are made at once where inspections are counted")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "benchspire: %s\n", err)
		os.Exit(1)
	}
}

func run(o options) error {
	folder, err := os.MkdirTemp("", "benchspire")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	e, err := startEngine(o.dockerd, folder)
	if err != nil {
		return err
	}
	defer e.stop()
	if err := e.start(o.containers); err != nil {
		return err
	}
	defer e.kill()
	if err := o.docker(e); err != nil {
		return err
	}
	return o.kubernetes(e)
}

// attestor is a plugin, and what the selector of a container's label begins with.
type attestor struct {
	*spiretest.Host
	label string
}

func (o options) start(name, label string) (attestor, error) {
	h, err := spiretest.Start(context.Background(), []string{o.assay, "spire", name}, spiretest.Options{})
	return attestor{h, label + "number:"}, err
}

func head(name string, e *engine) {
	fmt.Printf("\n%s: attestations over the plugin's socket, %d containers\n\n%-34s %10s %10s %10s\n", name, len(e.running), "", "p50", "p99", "target")
}

// docker measures the attestor docker, which asks the engine.
func (o options) docker(e *engine) error {
	h, err := o.start("docker", "label:")
	if err != nil {
		return err
	}
	defer h.Close()
	head("docker", e)
	var cold []time.Duration
	for round := range o.rounds {
		// Another version of the API is another client, which knows nothing.
		version := []string{"1.40", "1.41"}[round%2]
		if err := h.Configure(context.Background(), "example.org", fmt.Sprintf("docker_socket_path = %q\ndocker_version = %q", e.host(), version)); err != nil {
			return err
		}
		for _, c := range e.running {
			took, err := attest(h, c)
			if err != nil {
				return err
			}
			cold = append(cold, took)
		}
	}
	show("cold", cold, wantedCold, 0)
	if err := o.known(e, h); err != nil {
		return err
	}
	return e.count(o, h)
}

// kubernetes measures the attestor k8s, which asks a kubelet for all pods, again and again. Cold is the first question of a client, which waits
// for a list.
func (o options) kubernetes(e *engine) error {
	k, err := startKubelet(e.running)
	if err != nil {
		return err
	}
	defer k.close()
	h, err := o.start("k8s", "pod-label:")
	if err != nil {
		return err
	}
	defer h.Close()
	head("k8s", e)
	var cold []time.Duration
	for round := range o.rounds * 5 {
		// Another time between the looks at files is another client, which has no list.
		configuration := fmt.Sprintf("kubelet_read_only_port = %d\nreload_interval = \"%ds\"", k.port, 60+round%2)
		if err := h.Configure(context.Background(), "example.org", configuration); err != nil {
			return err
		}
		took, err := attest(h, e.running[round%len(e.running)])
		if err != nil {
			return err
		}
		cold = append(cold, took)
	}
	show(fmt.Sprintf("cold, with a list of %d pods", max(nodePods, len(e.running))), cold, 0, 0)
	return o.known(e, h)
}

// known measures attestations of containers that the plugin knows.
func (o options) known(e *engine, h attestor) error {
	warm, err := many(o.warm, 1, e.running, h)
	if err != nil {
		return err
	}
	show("warm", warm, wantedWarmMedian, wantedWarmLate)
	start := time.Now()
	crowd, err := many(o.warm, o.callers, e.running, h)
	if err != nil {
		return err
	}
	elapsed := time.Since(start)
	show(fmt.Sprintf("warm, %d callers at once", o.callers), crowd, 0, 0)
	fmt.Printf("\n%d attestations a second by %d callers\n", int(float64(len(crowd))/elapsed.Seconds()), o.callers)
	return nil
}

// count tells how many inspections it takes to attest all containers, many times at once, by a plugin that knows none of them.
func (e *engine) count(o options, h attestor) error {
	counting, err := startCounter(e)
	if err != nil {
		return err
	}
	defer counting.close()
	if err := h.Configure(context.Background(), "example.org", fmt.Sprintf("docker_socket_path = %q", counting.host())); err != nil {
		return err
	}
	if _, err := many(o.crowd, o.crowd, e.running, h); err != nil {
		return err
	}
	fmt.Printf("%d attestations of %d containers at once: %d inspections of containers\n", o.crowd, len(e.running), counting.inspections.Load())
	if n := counting.inspections.Load(); n != int64(len(e.running)) {
		return fmt.Errorf("%d inspections of %d containers", n, len(e.running))
	}
	return nil
}

// attest asks once, and makes sure that the answer is about the container.
func attest(h attestor, c container) (time.Duration, error) {
	start := time.Now()
	values, err := h.Attest(context.Background(), c.pid)
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	if want := h.label + c.number; !slices.Contains(values, want) {
		return 0, fmt.Errorf("process %d: got %q, want among them %s", c.pid, values, want)
	}
	return took, nil
}

// many makes n attestations by some callers at once.
func many(n, callers int, of []container, h attestor) ([]time.Duration, error) {
	took, failed := make([]time.Duration, n), make([]error, callers)
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for i := caller; i < n && failed[caller] == nil; i += callers {
				took[i], failed[caller] = attest(h, of[i%len(of)])
			}
		})
	}
	all.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	return took, nil
}

func show(name string, took []time.Duration, median, late time.Duration) {
	slices.Sort(took)
	target := ""
	switch {
	case late > 0:
		target = fmt.Sprintf("%v, %v", median, late)
	case median > 0:
		target = median.String()
	}
	round := func(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
	fmt.Printf("%-34s %10v %10v %10s\n", name, round(took[len(took)/2]), round(took[len(took)*99/100]), target)
}
