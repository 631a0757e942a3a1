package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// Targets of the webhook.
const (
	wantedRate = 1.2 // times the requests a second of what allows everything
	wantedCPU  = 1.5 // times the processor time of the floor, at most
)

// compare measures all servers in turns, so that what else the machine does meets them alike, and prints the medians.
func (s *stage) compare(o options) error {
	body := s.review()
	request := requestOf(body)
	loads := map[string][]load{}
	for round := range o.rounds + 1 {
		for _, p := range s.servers {
			l, err := measure(p, request, o.connections, o.round)
			if err != nil {
				return err
			}
			if round > 0 { // the first one warms up
				loads[p.name] = append(loads[p.name], l)
			}
		}
	}
	fmt.Printf("/validate of a pod with %d containers, %d bytes; TLS 1.3, HTTP/1.1, %d kept connections; medians of %d rounds of %v\n\n",
		containers, len(body), o.connections, o.rounds, o.round)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\trequests/s\tserver CPU/request\tp50\tp99\t")
	for _, p := range s.servers {
		m := median(loads[p.name])
		fmt.Fprintf(table, "%s\t%.0f\t%v\t%v\t%v\t\n", p.name, m.rate, m.cpu.Round(100*time.Nanosecond), m.p50.Round(time.Microsecond), m.p99.Round(time.Microsecond))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	mine, usual, least := median(loads[assay]), median(loads[alwaysAllow]), median(loads[floor])
	rate, cpu := mine.rate/usual.rate, float64(mine.cpu)/float64(least.cpu)
	fmt.Printf("\nrequests/s: %.2f × %s; target at least %.1f: %s\n", rate, alwaysAllow, wantedRate, verdict(rate >= wantedRate))
	fmt.Printf("server CPU: %.2f × %s; target under %.1f: %s\n", cpu, floor, wantedCPU, verdict(cpu < wantedCPU))
	fmt.Printf("p99: %.2f × %s\n", float64(mine.p99)/float64(usual.p99), alwaysAllow)
	return nil
}

func verdict(within bool) string {
	if within {
		return "within"
	}
	return "MISSED"
}

// median takes each figure by itself.
func median(all []load) load {
	return load{
		rate: middle(all, func(l load) float64 { return l.rate }),
		cpu:  middle(all, func(l load) time.Duration { return l.cpu }),
		p50:  middle(all, func(l load) time.Duration { return l.p50 }),
		p99:  middle(all, func(l load) time.Duration { return l.p99 }),
	}
}

func middle[T cmp.Ordered](all []load, of func(load) T) T {
	values := make([]T, len(all))
	for i := range all {
		values[i] = of(all[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}
