// Command benchratio reads the output of go test -bench, passes it on, and prints what the benchmarks cost in relation to each other:
// a check against the bare cost of the signature checks in it, a large policy against a small one. Ratios hold on any machine, absolute
// figures do not.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// maxLine is how long a line of go test may be.
const maxLine = 1 << 20

func main() {
	failed, err := run(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintf(os.Stderr, "benchratio: %s\n", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

// run reports whether a benchmark failed. A ratio over its target is shown, not fatal: a busy machine is no reason to stop.
func run(in io.Reader, out io.Writer) (failed bool, err error) {
	costs := map[string]cost{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line := lines.Text()
		fmt.Fprintln(out, line)
		if strings.HasPrefix(line, "--- FAIL") || strings.HasPrefix(line, "FAIL") {
			failed = true
		}
		if name, c, ok := parse(line); ok {
			costs[name] = c
		}
	}
	if err := lines.Err(); err != nil {
		return false, err
	}
	fmt.Fprintln(out, "\nratios")
	for _, t := range targets {
		fmt.Fprintln(out, "  "+t.describe(costs))
	}
	return failed, nil
}

// cost is what one operation of a benchmark costs.
type cost struct {
	nanos  float64
	allocs int64 // -1: not reported
}

// benchmarkLine is the name without the number of processors, the count, nanoseconds, and the rest.
var benchmarkLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(.*)$`)

// allocations stands in the rest.
var allocations = regexp.MustCompile(`(\d+) allocs/op`)

func parse(line string) (string, cost, bool) {
	m := benchmarkLine.FindStringSubmatch(line)
	if m == nil {
		return "", cost{}, false
	}
	nanos, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return "", cost{}, false
	}
	c := cost{nanos: nanos, allocs: -1}
	if a := allocations.FindStringSubmatch(m[3]); a != nil {
		if n, err := strconv.ParseInt(a[1], 10, 64); err == nil {
			c.allocs = n
		}
	}
	return m[1], c, true
}
