package spire_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/proto/attestorv1"
	"github.com/assay-dev/assay/enforce/spire/proto/broker"
	"github.com/assay-dev/assay/enforce/spire/proto/configv1"
	"github.com/assay-dev/assay/enforce/spire/spiretest"
)

// The first line on stdout is the handshake. Whatever libraries print, there is no second one, and nothing on stderr but JSON.
func TestPLUGIN2_OneLineOnStdout(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asPlugin, spire.Cookie+"="+spire.Cookie, "PLUGIN_PROTOCOL_VERSIONS=1", "TMPDIR="+t.TempDir())
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := &strings.Builder{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may have ended
	read := bufio.NewReader(stdout)
	line, err := read.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Split(strings.TrimSuffix(line, "\n"), "|")
	if len(fields) != 6 || !slices.Equal(fields[:3], []string{"1", "1", "unix"}) || fields[4] != "grpc" || fields[5] != "" {
		t.Fatalf("handshake %q", line)
	}
	conn, err := grpc.NewClient("unix:"+fields[3], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	core := &configv1.CoreConfiguration{TrustDomain: "example.org"}
	if _, err := configv1.NewConfigClient(conn).Configure(soon(t), &configv1.ConfigureRequest{CoreConfiguration: core}); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int32{pidPrints, pidPanics, pidPlainError, pidPrints} {
		_, _ = attestorv1.NewWorkloadAttestorClient(conn).Attest(soon(t), &attestorv1.AttestRequest{Pid: pid}) // only what is written counts
	}
	err = conn.Invoke(soon(t), "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{})
	if err != nil {
		t.Logf("shutdown: %v", err) // the server may end before it answers
	}
	_ = conn.Close()
	rest, err := io.ReadAll(read)
	if err != nil || len(rest) > 0 {
		t.Errorf("more on stdout: %q, %v", rest, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the plugin ended with %v", err)
	}
	log := spiretest.NewLog()
	if _, err := io.WriteString(log, stderr.String()); err != nil || len(log.Flaws()) > 0 || len(log.Lines()) < 4 {
		t.Errorf("%q, %v, of %s", log.Flaws(), err, stderr)
	}
}

func TestPLUGIN3_Services(t *testing.T) {
	h := started(t, spiretest.Options{})
	want := []string{spiretest.AttestorService, spiretest.ConfigService}
	if diff := cmp.Diff(want, h.Services); diff != "" {
		t.Error(diff)
	}
	for method, code := range map[string]codes.Code{
		"spire.service.common.config.v1.Config/Configure":                         codes.InvalidArgument,
		"spire.service.common.config.v1.Config/Validate":                          codes.OK,
		"spire.plugin.agent.workloadattestor.v1.WorkloadAttestor/Attest":          codes.FailedPrecondition,
		"spire.plugin.agent.workloadattestor.v1.WorkloadAttestor/AttestReference": codes.FailedPrecondition,
		"spire.service.private.init.v1.Init/Deinit":                               codes.OK,
		"spire.plugin.agent.workloadattestor.v1.WorkloadAttestor/Other":           codes.Unimplemented,
		"spire.plugin.agent.nodeattestor.v1.NodeAttestor/AidAttestation":          codes.Unimplemented,
	} {
		refused(t, h.Conn().Invoke(soon(t), "/"+method, &emptypb.Empty{}, &emptypb.Empty{}), code, "")
	}
}

// An agent without counters, or with a broker that is dead, loses the counters and nothing else.
func TestPLUGIN3_AgentsWithoutCounters(t *testing.T) {
	for name, o := range map[string]spiretest.Options{"none are offered": {NoCounters: true}, "nobody answers": {DeadBroker: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := started(t, o)
			configure(t, h, "v1")
			works(t, h)
			if len(h.Counters.Values()) > 0 {
				t.Errorf("counted %v", h.Counters.Values())
			}
			if !o.DeadBroker {
				return
			}
			if _, err := h.Log.Await(soon(t), func(l spiretest.Line) bool {
				return l.Message() == "the agent cannot be told what is counted"
			}); err != nil {
				t.Error(err)
			}
			works(t, h)
		})
	}
}

func TestPLUGIN4_AnyNameInTheConfiguration(t *testing.T) {
	h := started(t, spiretest.Options{Name: "docker-signed"})
	configure(t, h, "v1")
	got, err := h.Attest(soon(t), pidOfThisWorkload)
	want := []string{"version:v1", "again:v1", "trust-domain:example.org", "pid:100"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestPLUGIN6_CoreConfiguration(t *testing.T) {
	h, _ := within(t)
	_, err := h.Attest(soon(t), pidOfThisWorkload)
	refused(t, err, codes.FailedPrecondition, "not configured")
	_, err = h.AttestReference(soon(t), &broker.WorkloadPIDReference{Pid: 1})
	refused(t, err, codes.FailedPrecondition, "not configured")
	config := configv1.NewConfigClient(h.Conn())
	const malformed = "server core configuration trust_domain is malformed: "
	tests := []struct {
		name string
		core *configv1.CoreConfiguration
		hcl  string
		want string // the first problem; empty: none
	}{
		{"none", nil, "", "server core configuration is required"},
		{"no trust domain", &configv1.CoreConfiguration{}, "", "server core configuration must contain trust_domain"},
		{"upper case", &configv1.CoreConfiguration{TrustDomain: "Example.org"}, "", malformed + "trust domain characters are limited to"},
		{"a port", &configv1.CoreConfiguration{TrustDomain: "example.org:80"}, "", malformed},
		{"a path", &configv1.CoreConfiguration{TrustDomain: "spiffe://example.org/x"}, "", malformed},
		{"a scheme alone", &configv1.CoreConfiguration{TrustDomain: "spiffe://"}, "", malformed + "trust domain is missing"},
		{"too long", &configv1.CoreConfiguration{TrustDomain: strings.Repeat("x", 256)}, "", malformed},
		{"longest", &configv1.CoreConfiguration{TrustDomain: strings.Repeat("x", 255)}, "", ""},
		{"all letters", &configv1.CoreConfiguration{TrustDomain: "a.b-c_9"}, "", ""},
		{"an ID", &configv1.CoreConfiguration{TrustDomain: "spiffe://example.org"}, "", ""},
		{"a problem of the attestor", &configv1.CoreConfiguration{TrustDomain: "example.org"}, "remark problem", "a problem"},
		{"two problems", nil, "problem", "server core configuration is required"},
		{"a remark", &configv1.CoreConfiguration{TrustDomain: "example.org"}, "remark", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Configure(soon(t), &configv1.ConfigureRequest{CoreConfiguration: test.core, HclConfiguration: test.hcl})
			if test.want == "" {
				refused(t, err, codes.OK, "")
			} else {
				refused(t, err, codes.InvalidArgument, test.want)
			}
			answer, err := config.Validate(soon(t), &configv1.ValidateRequest{CoreConfiguration: test.core, HclConfiguration: test.hcl})
			if err != nil || answer.GetValid() != (test.want == "") {
				t.Fatalf("validate: %v, %v", answer, err)
			}
			noted := func(note string) bool { return strings.HasPrefix(note, test.want) }
			if test.want != "" && !slices.ContainsFunc(answer.GetNotes(), noted) {
				t.Errorf("notes %q, want %q", answer.GetNotes(), test.want)
			}
			if strings.Contains(test.hcl, "remark") && !slices.Contains(answer.GetNotes(), "a remark") {
				t.Errorf("notes %q lack the remark", answer.GetNotes())
			}
		})
	}
}

// Validate makes nothing, whatever the settings name.
func TestPLUGIN7_ValidateMakesNothing(t *testing.T) {
	h, p := within(t)
	for _, hcl := range []string{"v1", "fail-make", "panic-make"} {
		if valid, notes, err := h.Validate(soon(t), "example.org", hcl); !valid || len(notes) > 0 || err != nil {
			t.Errorf("%s: %v %q %v", hcl, valid, notes, err)
		}
	}
	if p.made.Load() != 0 {
		t.Error("a state was made")
	}
	refused(t, h.Configure(soon(t), "example.org", "fail-make"), codes.InvalidArgument, "cannot be made")
}

// 1 000 attestations run while 100 configurations come and go. Each is answered by one of those that were in force meanwhile, none by a
// state that is closed, and in the end all but one are closed.
func TestPLUGIN8_ReconfiguredWhileAttesting(t *testing.T) {
	const calls, swaps, callers = 1000, 100, 20
	h, p := within(t)
	configure(t, h, "000")
	var inForce atomicVersion
	next := make(chan struct{}, calls)
	for range calls {
		next <- struct{}{}
	}
	close(next)
	var done sync.WaitGroup
	for range callers {
		done.Go(func() {
			for range next {
				oldest := inForce.Load()
				got, err := h.Attest(soon(t), pidOfThisWorkload)
				if err != nil {
					t.Error(err)
					continue
				}
				version := strings.TrimPrefix(got[0], "version:")
				if got[1] != "again:"+version || version < oldest || version > fmt.Sprintf("%03d", swaps) {
					t.Errorf("%q, where %s was in force before", got, oldest)
				}
			}
		})
	}
	for i := 1; i <= swaps; i++ {
		version := fmt.Sprintf("%03d", i)
		configure(t, h, version)
		inForce.Store(version)
	}
	done.Wait()
	if p.made.Load() != swaps+1 {
		t.Errorf("%d states were made", p.made.Load())
	}
	h.Close()
	if p.closed.Load() != swaps+1 {
		t.Errorf("%d states of %d were closed", p.closed.Load(), p.made.Load())
	}
}

type atomicVersion struct {
	mu      sync.Mutex
	version string
}

func (v *atomicVersion) Load() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.version
}

func (v *atomicVersion) Store(version string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.version = version
}

// A call that has begun ends with the state that it began with, which is closed after it, and not before.
func TestPLUGIN8_ClosedAfterTheLastCall(t *testing.T) {
	h, p := within(t)
	configure(t, h, "v1")
	ctx, cancel := context.WithCancel(soon(t))
	ended := make(chan error, 1)
	go func() {
		_, err := h.Attest(ctx, pidHangs)
		ended <- err
	}()
	<-p.hangs
	configure(t, h, "v2")
	if p.closed.Load() != 0 {
		t.Error("closed under a call")
	}
	works(t, h)
	cancel()
	refused(t, <-ended, codes.Canceled, "")
	h.Close()
	if p.closed.Load() != 2 {
		t.Errorf("%d states of 2 were closed", p.closed.Load())
	}
}

func TestPLUGIN9_FailedReconfiguration(t *testing.T) {
	h, p := within(t)
	configure(t, h, "v1")
	for hcl, code := range map[string]codes.Code{
		"problem": codes.InvalidArgument, "fail-make": codes.InvalidArgument, "panic-make": codes.Internal, "panic-read": codes.Internal, "no-state": codes.Internal,
	} {
		refused(t, h.Configure(soon(t), "example.org", hcl), code, "")
		got, err := h.Attest(soon(t), pidOfThisWorkload)
		if err != nil || got[0] != "version:v1" {
			t.Errorf("after %s: %q, %v", hcl, got, err)
		}
	}
	refused(t, h.Configure(soon(t), "", "v2"), codes.InvalidArgument, "must contain trust_domain")
	works(t, h)
	if p.closed.Load() != 0 || p.made.Load() != 1 {
		t.Errorf("%d made, %d closed", p.made.Load(), p.closed.Load())
	}
}

// With a peer that hangs, a call ends at the plugin's own deadline, and soon after the caller has left, also where the state heeds neither.
func TestPLUGIN12_Deadlines(t *testing.T) {
	const patience, slack = 100 * time.Millisecond, 2 * time.Second
	h, _ := within(t)
	configure(t, h, "impatient")
	for _, pid := range []int32{pidHangs, pidHangsForever} {
		start := time.Now()
		_, err := h.Attest(soon(t), pid)
		refused(t, err, codes.Unavailable, "could not tell, try again: no answer within 100ms")
		if took := time.Since(start); took < patience || took > slack {
			t.Errorf("%d: took %v", pid, took)
		}
	}
	works(t, h)
}

// The server's side of a call whose caller has left ends within 100 ms.
func TestPLUGIN12_Cancelled(t *testing.T) {
	shared := spire.New(spire.NewLog(io.Discard))
	p := newProbe(shared)
	s := spire.NewServer(spire.Config{Plugin: shared, Attestor: p})
	defer s.Close()
	defer close(p.released)
	core := &configv1.CoreConfiguration{TrustDomain: "example.org"}
	if _, err := s.Configure(soon(t), &configv1.ConfigureRequest{CoreConfiguration: core}); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int32{pidHangs, pidHangsForever} {
		best := time.Hour
		for range 5 { // the machine may be busy with others
			ctx, cancel := context.WithCancel(soon(t))
			left := make(chan time.Time, 1)
			go func() {
				<-p.hangs
				left <- time.Now()
				cancel()
			}()
			_, err := s.Attest(ctx, &attestorv1.AttestRequest{Pid: pid})
			best = min(best, time.Since(<-left))
			refused(t, err, codes.Canceled, "")
		}
		if best > 100*time.Millisecond {
			t.Errorf("%d: ended %v after the caller had left", pid, best)
		}
	}
}

// Calls that hang, with those that nobody waits for any more, are bounded: beyond, nobody can tell.
func TestCallsAreBounded(t *testing.T) {
	const most = 8192
	shared := spire.New(spire.NewLog(io.Discard))
	p := newProbe(shared)
	s := spire.NewServer(spire.Config{Plugin: shared, Attestor: p})
	defer s.Close()
	core := &configv1.CoreConfiguration{TrustDomain: "example.org"}
	if _, err := s.Configure(soon(t), &configv1.ConfigureRequest{CoreConfiguration: core}); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(soon(t))
	var calls sync.WaitGroup
	for range most {
		calls.Go(func() { _, _ = s.Attest(ctx, &attestorv1.AttestRequest{Pid: pidHangsForever}) }) // all are left
	}
	for range most {
		<-p.hangs
	}
	leave()
	calls.Wait()
	_, err := s.Attest(soon(t), &attestorv1.AttestRequest{Pid: pidOfNobody})
	refused(t, err, codes.Unavailable, "could not tell, try again: there are 8192 calls already")
	close(p.released)
	for {
		if _, err = s.Attest(soon(t), &attestorv1.AttestRequest{Pid: pidOfNobody}); err == nil {
			return
		}
		runtime.Gosched() // the calls end one by one
	}
}

// The metadata key of the agent's broker reaches the attestor, and only by AttestReference.
func TestReferences(t *testing.T) {
	h, _ := within(t)
	configure(t, h, "v1")
	got, err := h.AttestReference(soon(t), &broker.WorkloadPIDReference{Pid: 1}, "spiffe://example.org/a", "spiffe://example.org/b")
	want := []string{"type:type.googleapis.com/spiffe.broker.WorkloadPIDReference", "spiffe://example.org/a", "spiffe://example.org/b"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	_, err = h.AttestReference(soon(t), nil)
	refused(t, err, codes.InvalidArgument, "no reference")
}

// Garbage on the plugin's socket costs the connection that it came by.
func TestGarbageOnTheSocket(t *testing.T) {
	h := started(t, spiretest.Options{})
	configure(t, h, "v1")
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	for _, garbage := range []string{
		"", "\x00", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("\xff", 1<<20), preface[:10], preface,
		preface + strings.Repeat("\xff", 1<<16), preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x05\x01\x04\x00\x00\x00\x01garba",
	} {
		conn, err := net.Dial("unix", h.Address())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, garbage) // the plugin may hang up at once
		_ = conn.Close()
		works(t, h)
	}
	raw := rawMessage("\xff\xff\xff\xff\x01garbage")
	err := h.Conn().Invoke(soon(t), "/"+spiretest.AttestorService+"/Attest", &raw, &emptypb.Empty{}, grpc.ForceCodec(rawCodec{}))
	if err == nil {
		t.Error("a message of garbage was answered")
	}
	works(t, h)
}

// rawMessage is bytes that are sent as they are.
type rawMessage string

type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return []byte(*v.(*rawMessage)), nil }
func (rawCodec) Unmarshal([]byte, any) error   { return nil }
func (rawCodec) Name() string                  { return "proto" }

// A plugin that is killed fails the calls, and takes nobody with it.
func TestKilled(t *testing.T) {
	h := started(t, spiretest.Options{})
	configure(t, h, "v1")
	works(t, h)
	process, err := os.FindProcess(h.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, err = h.Attest(soon(t), pidOfThisWorkload)
	refused(t, err, codes.Unavailable, "")
}

// Without a folder for its socket, the plugin says so and ends.
func TestNoFolderForTheSocket(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asPlugin, spire.Cookie+"="+spire.Cookie, "TMPDIR="+filepath.Join(t.TempDir(), "nowhere"))
	out, err := cmd.Output()
	if err == nil || !strings.Contains(string(out), "a folder for its socket") {
		t.Errorf("%v: %s", err, out)
	}
}

func FuzzTrustDomain(f *testing.F) {
	for _, seed := range []string{"", "example.org", "spiffe://example.org", "spiffe://spiffe://a", "\xff", "A"} {
		f.Add(seed)
	}
	shared := spire.New(spire.NewLog(io.Discard))
	s := spire.NewServer(spire.Config{Plugin: shared, Attestor: newProbe(shared)})
	f.Cleanup(s.Close)
	good := regexp.MustCompile(`^(spiffe://)?[a-z0-9._-]{1,255}$`)
	f.Fuzz(func(t *testing.T, name string) {
		core := &configv1.CoreConfiguration{TrustDomain: name}
		answer, err := s.Validate(context.Background(), &configv1.ValidateRequest{CoreConfiguration: core})
		if err != nil || answer.GetValid() != good.MatchString(name) {
			t.Errorf("%q: %v, %v", name, answer, err)
		}
	})
}
