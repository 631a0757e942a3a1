// Command mutants switches off the defences of the house, one at a time, and fails if no test notices.
//
// Each folder testdata/mutants.json lists mutants: a file, source text that stands in it exactly once, what to put in its place, and
// the arguments of the go test that must then fail. The tree is not touched: the changed file is given to go by an overlay.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"time"
)

// atOnce is how many mutants are tried side by side; each go test uses several cores while it compiles.
const atOnce = 2

func main() {
	filter := flag.String("run", "", "only mutants whose name or file matches this regular expression")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, *filter, os.Stdout)
	if err != nil {
		fmt.Fprintf(os.Stderr, "mutants: %s\n", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// run tries the mutants of the tree in the working directory and reports whether a test noticed each of them.
func run(ctx context.Context, filter string, out io.Writer) (bool, error) {
	pattern, err := regexp.Compile(filter)
	if err != nil {
		return false, err
	}
	all, err := load(os.DirFS("."))
	if err != nil {
		return false, err
	}
	var chosen []mutant
	for _, m := range all {
		if pattern.MatchString(m.Name) || pattern.MatchString(m.File) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return false, fmt.Errorf("%d mutants, and none matches %q", len(all), filter)
	}
	if err := sound(ctx, chosen); err != nil {
		return false, err
	}
	return report(out, tryAll(ctx, chosen, out)), nil
}

// result is what became of a mutant.
type result struct {
	mutant
	fate  fate
	took  time.Duration
	notes string
}

func tryAll(ctx context.Context, mutants []mutant, out io.Writer) []result {
	results := make([]result, len(mutants))
	slots := make(chan struct{}, atOnce)
	var printing sync.Mutex
	var group sync.WaitGroup
	for i, m := range mutants {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			fate, notes := try(ctx, m)
			results[i] = result{mutant: m, fate: fate, took: time.Since(began), notes: notes}
			printing.Lock()
			defer printing.Unlock()
			fmt.Fprintf(out, "%-9s %5.1fs  %s (%s)\n", fate, results[i].took.Seconds(), m.Name, m.File)
		})
	}
	group.Wait()
	return results
}

// report prints what needs somebody's attention and reports whether nothing does.
func report(out io.Writer, results []result) bool {
	counts := map[fate]int{}
	for _, r := range results {
		counts[r.fate]++
		if r.fate != noticed {
			fmt.Fprintf(out, "\n%s: %s: %s\n  - %s\n  + %s\n  go test %s\n%s", r.fate, r.Name, r.File, oneLine(r.Old), oneLine(r.New), r.Test, r.notes)
		}
	}
	fmt.Fprintf(out, "\nmutants: %d tried, %d noticed, %d survived, %d broken\n", len(results), counts[noticed], counts[survived], counts[broken])
	return counts[noticed] == len(results)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
