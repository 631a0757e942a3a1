package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
)

// Progress says how many images are done, and leaves the line empty behind it; nobody who is no terminal sees it.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, total: 20}
	p.done()
	p.end()
	if got, want := out.String(), "\r1 of 20 images\r\033[K"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	a := &app{stderr: &out, getenv: func(string) string { return "" }}
	if p := a.newProgress(1000); p.out != nil {
		t.Error("progress although the output is no terminal")
	}
}

// The words of verdicts that stop nothing say so.
func TestVerdictWords(t *testing.T) {
	rows := []struct {
		allowed bool
		outcome engine.Outcome
		want    string
	}{
		{true, engine.Allowed, "allowed"},
		{true, engine.Denied, "allowed (warn)"},
		{false, engine.Denied, "denied"},
		{false, engine.CouldNotTell, "could not tell"},
		{false, engine.Bug, "bug"},
		{false, engine.NoOpinion, "denied"},
	}
	for _, row := range rows {
		v := engine.Verdict{Allowed: row.allowed, Decision: engine.Decision{Mode: "warn", Outcome: row.outcome}}
		if got, _ := verdictWord(&v); got != row.want {
			t.Errorf("%v, %s: got %q, want %q", row.allowed, row.outcome, got, row.want)
		}
	}
}

// watcher calls found once, when text was written.
type watcher struct {
	mu    sync.Mutex
	all   strings.Builder
	text  string
	found func()
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(p)
	if w.found != nil && strings.Contains(w.all.String(), w.text) {
		w.found()
		w.found = nil
	}
	return len(p), nil
}

// demo --keep goes on until it is interrupted, and the command that it prints works meanwhile.
func TestDemoKeep(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready := make(chan struct{})
	out := &watcher{text: "assay policy explain", found: func() { close(ready) }}
	a := &app{stdin: strings.NewReader(""), stdout: out, stderr: &bytes.Buffer{}, getenv: func(string) string { return "" }, now: time.Now}
	code := make(chan int)
	go func() { code <- a.run(ctx, []string{"assay", "demo", "--keep"}) }()
	select {
	case <-ready:
	case got := <-code:
		t.Fatalf("ended with %d\n%s", got, out.all.String())
	}
	out.mu.Lock()
	text := out.all.String()
	out.mu.Unlock()
	_, command, _ := strings.Cut(text, "  assay verify ")
	command, _, _ = strings.Cut(command, "\n")
	if r := runAssay(t, "", append([]string{"verify"}, strings.Fields(command)...)...); r.code != exitAllowed {
		t.Errorf("assay verify %s: got exit %d\n%s%s", command, r.code, r.stdout, r.stderr)
	}
	cancel()
	if got := <-code; got != exitAllowed {
		t.Errorf("after the interrupt: got exit %d", got)
	}
}
