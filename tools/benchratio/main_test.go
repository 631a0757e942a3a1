package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	const in = `goos: linux
BenchmarkDecideWarm/tag-2         	  300000	      4100 ns/op	    1200 B/op	      11 allocs/op
BenchmarkChainFloor-2         	    8000	    100000 ns/op	    9000 B/op	      52 allocs/op
BenchmarkCheckCertificate-2   	    7000	    125000.5 ns/op
PASS
`
	var out strings.Builder
	failed, err := run(strings.NewReader(in), &out)
	if err != nil || failed {
		t.Fatalf("got %v, %v", failed, err)
	}
	for _, want := range []string{
		"goos: linux",
		"DecideWarm/tag: 4100 ns, 11 allocs; target 5µs, 10 allocs: MISSED",
		"CheckCertificate: 1.25 × ChainFloor (125000 ns to 100000 ns); target 1.3: within",
		"PolicyMatch/a_host_each/10000: was not measured",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got no %q in:\n%s", want, out.String())
		}
	}
}

func TestRunNoticesFailure(t *testing.T) {
	failed, err := run(strings.NewReader("--- FAIL: BenchmarkX\nFAIL\n"), new(strings.Builder))
	if err != nil || !failed {
		t.Errorf("got %v, %v, want a failure", failed, err)
	}
}
