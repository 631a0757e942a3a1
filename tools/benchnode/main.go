// Command benchnode measures what a fleet of nodes takes: `assay serve node` as a process, asked over its socket, alone and with an upstream
// (`assay serve api`, mTLS). It prints memory, processor time for each decision, what a digest that was decided about takes, and what it costs
// to ask the upstream. Figures are of this machine; how they grow with the number of digests is not.
//
// What it measures of a process is told by /proc and by its metrics; it runs on Linux only.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/assay-dev/assay/enforce/node"
	"github.com/assay-dev/assay/engine"
)

func main() {
	assay := flag.String("assay", "bin/assay", "the program that is measured")
	digests := flag.Int("digests", 1000, "how many images are decided about; as many again show how memory grows")
	flag.Parse()
	if err := run(*assay, *digests); err != nil {
		fmt.Fprintf(os.Stderr, "benchnode: %s\n", err)
		os.Exit(1)
	}
}

func run(assay string, digests int) error {
	s, err := newStage(2 * digests)
	if err != nil {
		return err
	}
	defer s.close()
	alone, err := s.startNode(assay, "alone")
	if err != nil {
		return err
	}
	if err := measureAlone(s, alone, digests); err != nil {
		return err
	}
	return measureUpstream(s, assay, digests)
}

// measureAlone measures a daemon that decides by itself.
func measureAlone(s *stage, p *process, digests int) error {
	idle, err := p.memory()
	if err != nil {
		return err
	}
	fmt.Printf("alone, idle:                          %5.1f MiB resident, %5.1f MiB of heap live\n", mib(idle.resident), mib(idle.live))
	before := s.requests()
	cold, err := ask(s.socket("alone"), p, s.images[:digests])
	if err != nil {
		return err
	}
	cold.print("alone, cold (certificate)")
	fmt.Printf("  %.2f requests to the registry each\n", float64(s.requests()-before)/float64(digests))
	one, err := settled(s, p, s.images[:digests])
	if err != nil {
		return err
	}
	fmt.Printf("alone, after %5d digests:           %5.1f MiB resident, %5.1f MiB of heap live\n", digests, mib(one.resident), mib(one.live))
	warm, err := ask(s.socket("alone"), p, slices.Repeat(s.images[:digests], 10))
	if err != nil {
		return err
	}
	warm.print("alone, cached")
	if _, err := ask(s.socket("alone"), p, s.images[digests:]); err != nil {
		return err
	}
	two, err := settled(s, p, s.images)
	if err != nil {
		return err
	}
	fmt.Printf("alone, after %5d digests:           %5.1f MiB resident, %5.1f MiB of heap live\n", 2*digests, mib(two.resident), mib(two.live))
	fmt.Printf("  %.1f KiB of heap for each digest, of all that is kept of it\n", float64(two.live-one.live)/float64(digests)/1024)
	return nil
}

// measureUpstream measures a daemon that asks an upstream, which has decided already.
func measureUpstream(s *stage, assay string, digests int) error {
	up, err := s.startUpstream(assay)
	if err != nil {
		return err
	}
	first, err := s.startNode(assay, "first", s.asking(up)...)
	if err != nil {
		return err
	}
	if _, err := ask(s.socket("first"), first, s.images[:digests]); err != nil {
		return err
	}
	second, err := s.startNode(assay, "second", s.asking(up)...)
	if err != nil {
		return err
	}
	before, requests := up.mustCPU(), s.requests()
	cost, err := ask(s.socket("second"), second, s.images[:digests])
	if err != nil {
		return err
	}
	cost.print("node, cold, upstream cached")
	fmt.Printf("  %.3f ms of processor at the upstream each, %d requests to the registry in all\n", ms(up.mustCPU()-before)/float64(digests), s.requests()-requests)
	warm, err := ask(s.socket("second"), second, s.images[:digests])
	if err != nil {
		return err
	}
	warm.print("node, cached from the upstream")
	m, err := up.memory()
	if err != nil {
		return err
	}
	open, err := up.metric(`assay_connections{client="known"}`)
	fmt.Printf("upstream, after %5d digests, 2 nodes: %4.1f MiB resident, %5.1f MiB of heap live, %.0f connections\n", digests, mib(m.resident), mib(m.live), open)
	return err
}

// cost is what decisions took.
type cost struct {
	count  int
	cpu    time.Duration // of the daemon, all together
	median time.Duration // of whoever asked
	last   time.Duration // that 99 of 100 were faster than
}

func (c *cost) print(what string) {
	fmt.Printf("%-38s%6.3f ms of processor, %6.2f ms median, %6.2f ms for 99 of 100 (%d decisions)\n", what+":", ms(c.cpu)/float64(c.count), ms(c.median), ms(c.last), c.count)
}

// ask asks about images one after another, as containerd does about one pull.
func ask(socket string, p *process, images []string) (*cost, error) {
	client := node.Open(socket)
	defer client.Close()
	before := p.mustCPU()
	took := make([]time.Duration, len(images))
	for i, name := range images {
		start := time.Now()
		req := engine.Request{Image: name}
		req.Point = "containerd"
		verdicts, err := client.Ask(context.Background(), req)
		if err != nil {
			return nil, err
		}
		took[i] = time.Since(start)
		if !verdicts[0].Allowed {
			return nil, fmt.Errorf("%s", &verdicts[0])
		}
	}
	c := &cost{count: len(images), cpu: p.mustCPU() - before}
	slices.Sort(took)
	c.median, c.last = took[len(took)/2], took[len(took)*99/100]
	return c, nil
}

// settled is the memory of a daemon whose collector has run while nothing new was asked.
func settled(s *stage, p *process, images []string) (memory, error) {
	runs, err := p.metric("go_gc_duration_seconds_count")
	if err != nil {
		return memory{}, err
	}
	for {
		now, err := p.metric("go_gc_duration_seconds_count")
		if err != nil || now >= runs+2 {
			m, err := p.memory()
			return m, err
		}
		if _, err := ask(s.socket(p.name), p, images); err != nil {
			return memory{}, err
		}
	}
}

func mib(bytes float64) float64  { return bytes / (1 << 20) }
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
