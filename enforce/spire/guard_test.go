package spire_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/spiretest"
)

// A panic anywhere is an internal error or a line in the log, and a counter; the next call succeeds.
func TestPLUGIN10_Panics(t *testing.T) {
	h := started(t, spiretest.Options{})
	configure(t, h, "v1")
	tests := []struct {
		name string
		pid  int32
		code codes.Code
		text string // of the error
		in   string // of the line in the log; empty: none
	}{
		{"in a handler", pidPanics, codes.Internal, "internal error", "attestation"},
		{"in a goroutine that is waited for", pidPanicsNearby, codes.Unavailable, "the fetch ended without a word", "fetch"},
		{"in a goroutine of its own", pidPanicsLater, codes.OK, "", "later"},
		{"the end of a goroutine", pidGoexit, codes.Internal, "internal error", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := h.Attest(soon(t), test.pid)
			refused(t, err, test.code, test.text)
			if err != nil && strings.Contains(err.Error(), "secret of the handler") {
				t.Errorf("the caller is told of the inside: %v", err)
			}
			works(t, h)
			if test.in == "" {
				return
			}
			line, err := h.Log.Await(soon(t), func(l spiretest.Line) bool { return l.Text("in") == test.in })
			if err != nil {
				t.Fatal(err)
			}
			if line.Text("meaning") != "bug" || line.Text("@level") != "error" || !strings.Contains(line.Text("stack"), "probe_test.go") {
				t.Errorf("logged %v", line)
			}
			if err := h.Counters.Await(soon(t), "assay.bugs{in="+test.in+"}", 1); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("in a background refresh", func(t *testing.T) {
		configure(t, h, "background")
		if _, err := h.Log.Await(soon(t), func(l spiretest.Line) bool { return l.Text("in") == "refresh" }); err != nil {
			t.Error(err)
		}
		works(t, h)
	})
	t.Run("over a configuration", func(t *testing.T) {
		refused(t, h.Configure(soon(t), "example.org", "panic-make"), codes.Internal, "internal error")
		_, _, err := h.Validate(soon(t), "example.org", "panic-read")
		refused(t, err, codes.Internal, "internal error")
		works(t, h)
	})
}

// The meanings are counted and logged apart, whatever the codes.
func TestMeanings(t *testing.T) {
	h, _ := within(t)
	configure(t, h, "v1")
	tests := []struct {
		pid     int32
		code    codes.Code
		text    string
		outcome string
	}{
		{pidOfThisWorkload, codes.OK, "", "selectors"},
		{pidOfNobody, codes.OK, "", "none"},
		{pidDenied, codes.PermissionDenied, "nobody vouches", "denied"},
		{pidCannotTell, codes.Internal, "unable to reach something", "could not tell"},
		{pidPlainError, codes.Unavailable, "could not tell, try again: registry.example: 503", "could not tell"},
		{pidNoText, codes.Unavailable, "selector 2 of 2 is no text", "could not tell"},
		{pidPanics, codes.Internal, "internal error", "bug"},
		{pidNotSupported, codes.Unimplemented, "ask in another way", "not supported"},
		{pidWrongRequest, codes.InvalidArgument, "what is that", "wrong request"},
	}
	want := map[string]float64{}
	for _, test := range tests {
		got, err := h.Attest(soon(t), test.pid)
		refused(t, err, test.code, test.text)
		if err != nil && len(got) > 0 {
			t.Errorf("selectors %q beside an error", got)
		}
		name := "assay.attestations{attestor=probe,outcome=" + test.outcome + "}"
		want[name]++
		if err == nil {
			continue
		}
		if _, err := h.Log.Await(soon(t), func(l spiretest.Line) bool {
			return l.Text("meaning") == test.outcome && l.Text("code") == test.code.String() && l["pid"] == float64(test.pid)
		}); err != nil {
			t.Errorf("%d: %v", test.pid, err)
		}
	}
	for name, n := range want {
		if err := h.Counters.Await(soon(t), name, n); err != nil {
			t.Error(err)
		}
	}
	for name, n := range h.Counters.Values() {
		if strings.HasPrefix(name, "assay.attestations{") && want[name] != n {
			t.Errorf("%s is %v, want %v", name, n, want[name])
		}
	}
}

// More different counters than there is place for are not counted, and hurt nobody. Without a plugin, nothing is counted.
func TestCountersAreBounded(t *testing.T) {
	shared := spire.New(spire.NewLog(spiretest.NewLog()))
	for i := range 10_000 {
		shared.Count("odd", "label", strings.Repeat("x", i%1000))
	}
	(*spire.Plugin)(nil).Count("nobody")
}

// One function starts all goroutines, because a panic in any other would end the plugin for good.
func TestPLUGIN10_OneFunctionStartsGoroutines(t *testing.T) {
	for pattern, want := range map[string]int{"*.go": 1, "../../workload/*.go": 1, "../../cmd/assay/spire*.go": 0} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		found := 0
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				found += goroutines(t, file)
			}
		}
		if found != want {
			t.Errorf("%s: %d places start goroutines, want %d, which recovers", pattern, found, want)
		}
	}
}

// goroutines returns how many places of a file start one, and names those that are not in guard.go.
func goroutines(t *testing.T, file string) int {
	t.Helper()
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range parsed.Imports {
		if strings.HasSuffix(spec.Path.Value, `sync/errgroup"`) {
			t.Errorf("%s: errgroup starts goroutines of its own", files.Position(spec.Pos()))
		}
	}
	found := 0
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found++
			if filepath.Base(file) != "guard.go" {
				t.Errorf("%s: a bare go; the function in guard.go starts goroutines", files.Position(n.Pos()))
			}
		case *ast.CallExpr:
			call, ok := n.Fun.(*ast.SelectorExpr)
			if ok && (call.Sel.Name == "AfterFunc" && !cancels(n) || call.Sel.Name == "Go" && len(n.Args) == 1) {
				t.Errorf("%s: %s starts a goroutine without a guard", files.Position(n.Pos()), call.Sel.Name)
			}
		}
		return true
	})
	return found
}

// cancels reports whether all that a call has done later is the end of a context.
func cancels(call *ast.CallExpr) bool {
	last, ok := call.Args[len(call.Args)-1].(*ast.Ident)
	return ok && last.Name == "cancel"
}
