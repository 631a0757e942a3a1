package spire_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/spiretest"
)

// What the probe does is chosen by the process that it is asked about.
const (
	pidOfNobody       = 1 + iota // no selectors
	pidPanics                    // the handler panics
	pidPanicsNearby              // a goroutine panics for whom the handler waits
	pidPanicsLater               // a goroutine panics after the answer
	pidHangs                     // until the context ends
	pidHangsForever              // whatever the context says
	pidGoexit                    // the handler's goroutine ends itself
	pidPlainError                // an error without a code
	pidDenied                    // a no
	pidCannotTell                // a "cannot tell" in a code of its own
	pidPrints                    // libraries print
	pidLogs                      // values that are hard to log
	pidNoText                    // a selector that is no text
	pidManySelectors             // more than the agent takes
	pidNotSupported              // a question for somebody else
	pidWrongRequest              // a question that is none
	pidOfThisWorkload = 100
)

// probe is an attestor for tests of the protocol. Its configuration is a version, after which words choose what goes wrong.
type probe struct {
	plugin *spire.Plugin
	made   atomic.Int32
	closed atomic.Int32
	hangs  chan struct{} // a call began to

	released chan struct{} // closed: no call hangs any longer
}

func newProbe(p *spire.Plugin) *probe {
	return &probe{plugin: p, hangs: make(chan struct{}, 16), released: make(chan struct{})}
}

func (*probe) Name() string { return "probe" }

func (*probe) Read(hcl string) (any, []spire.Note) {
	var notes []spire.Note
	for _, word := range strings.Fields(hcl) {
		switch word {
		case "remark":
			notes = append(notes, spire.Note{Text: "a remark"})
		case "problem":
			notes = append(notes, spire.Note{Text: "a problem", Problem: true})
		case "panic-read":
			panic("read")
		}
	}
	return hcl, notes
}

func (p *probe) Make(settings any, trustDomain string, previous spire.State) (spire.State, error) {
	version := settings.(string)
	switch {
	case strings.Contains(version, "fail-make"):
		return nil, errors.New("cannot be made")
	case strings.Contains(version, "panic-make"):
		panic("make")
	case strings.Contains(version, "hang-make"):
		p.hangs <- struct{}{}
		<-p.released
	case strings.Contains(version, "no-state"):
		return nil, nil
	}
	s := &probeState{probe: p, version: version, trustDomain: trustDomain}
	if old, ok := previous.(*probeState); ok {
		s.taken = old.version
		if old.dead.Load() {
			return nil, errors.New("the state in force is closed")
		}
	}
	p.made.Add(1)
	if strings.Contains(version, "background") {
		p.plugin.Go("refresh", func() { panic("refresh") })
	}
	return s, nil
}

type probeState struct {
	probe       *probe
	version     string
	trustDomain string
	taken       string
	dead        atomic.Bool
}

func (s *probeState) Patience() time.Duration {
	if strings.Contains(s.version, "impatient") {
		return 100 * time.Millisecond
	}
	return 0
}

func (s *probeState) Close() {
	if s.dead.Swap(true) {
		panic("closed twice")
	}
	s.probe.closed.Add(1)
}

func (s *probeState) Attest(ctx context.Context, pid int32) ([]string, error) {
	if s.dead.Load() {
		return nil, errors.New("asked after its end")
	}
	if err := s.misbehave(ctx, pid); err != nil {
		return nil, err
	}
	switch pid {
	case pidOfNobody:
		return nil, nil
	case pidNoText:
		return []string{"text:x", "text:\xff"}, nil
	case pidManySelectors:
		return strings.Split(strings.Repeat(strings.Repeat("x", 1<<10)+" ", 5<<10), " ")[:5<<10], nil
	}
	first := s.version
	runtime.Gosched()
	return []string{"version:" + first, "again:" + s.version, "trust-domain:" + s.trustDomain, fmt.Sprint("pid:", pid)}, nil
}

func (s *probeState) misbehave(ctx context.Context, pid int32) error {
	switch pid {
	case pidPanics:
		panic("secret of the handler")
	case pidPanicsNearby:
		err := errors.New("the fetch ended without a word")
		var fetch sync.WaitGroup
		fetch.Add(1)
		s.probe.plugin.Go("fetch", func() {
			defer fetch.Done()
			panic("fetch")
		})
		fetch.Wait()
		return err
	case pidPanicsLater:
		s.probe.plugin.Go("later", func() { panic("later") })
	case pidHangs:
		s.probe.hangs <- struct{}{}
		<-ctx.Done()
		return fmt.Errorf("peer: %w", ctx.Err())
	case pidHangsForever:
		s.probe.hangs <- struct{}{}
		<-s.probe.released
	case pidGoexit:
		runtime.Goexit()
	case pidPlainError:
		return errors.New("registry.example: 503")
	case pidDenied:
		return status.Error(codes.PermissionDenied, "nobody vouches")
	case pidNotSupported:
		return status.Error(codes.Unimplemented, "ask in another way")
	case pidWrongRequest:
		return status.Error(codes.InvalidArgument, "what is that")
	case pidCannotTell:
		return spire.Refuse(2, codes.Internal, "unable to reach something")
	case pidPrints:
		fmt.Println("on stdout")
		fmt.Fprintln(os.Stderr, "on stderr")
		log.Print("by the log of the standard library")
	case pidLogs:
		s.log()
	}
	return nil
}

func (s *probeState) log() {
	var nobody *time.Time
	hard := []any{
		"@timestamp", 7, "nil", nil, "object", map[string]any{"a": []int{1}}, "number", 1.5, "nan", nan(), "long", strings.Repeat("x", 100<<10),
		"worse", strings.Repeat("\x01", 100<<10), "nobody", nobody, "stringer", panics{}, "error", errors.New("an\nerror"), "odd",
	}
	s.probe.plugin.Log().With("@level", 1, "@message", nil).WithGroup("group").Error("two\nlines\xff", hard...)
	s.probe.plugin.Log().Info(strings.Repeat("\u20ac", 100<<10))
}

func nan() float64 {
	zero := 0.0
	return zero / zero
}

type panics struct{}

func (panics) String() string { panic("no text") }

func (s *probeState) AttestReference(_ context.Context, reference *anypb.Any, callers []string) ([]string, error) {
	if reference == nil {
		return nil, status.Error(codes.InvalidArgument, "no reference")
	}
	return append([]string{"type:" + reference.GetTypeUrl()}, callers...), nil
}

// soon bounds what a test waits for.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// within serves a probe within the test.
func within(t *testing.T) (*spiretest.Host, *probe) {
	t.Helper()
	var p *probe
	h, err := spiretest.Serve(soon(t), func(shared *spire.Plugin) spire.Attestor {
		p = newProbe(shared)
		return p
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(p.released)
		end(t, h)
	})
	return h, p
}

// started starts the test's own program as a plugin.
func started(t *testing.T, o spiretest.Options) *spiretest.Host {
	t.Helper()
	o.Env = append(os.Environ(), asPlugin, "TMPDIR="+t.TempDir())
	h, err := spiretest.Start(soon(t), []string{os.Args[0]}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, h) })
	return h
}

func end(t *testing.T, h *spiretest.Host) {
	t.Helper()
	h.Close()
	for _, flaw := range h.Log.Flaws() {
		t.Error(flaw)
	}
}

func configure(t *testing.T, h *spiretest.Host, hcl string) {
	t.Helper()
	if err := h.Configure(soon(t), "example.org", hcl); err != nil {
		t.Fatal(err)
	}
}

// refused checks an error's code and its text.
func refused(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), text) {
		t.Errorf("got %v, want %v with %q", err, code, text)
	}
}

// works checks that the plugin answers still.
func works(t *testing.T, h *spiretest.Host) {
	t.Helper()
	got, err := h.Attest(soon(t), pidOfThisWorkload)
	if err != nil || len(got) != 4 || got[3] != "pid:100" {
		t.Fatalf("the next call: %q, %v", got, err)
	}
}
