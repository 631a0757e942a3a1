package spire_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/proto/attestorv1"
	"github.com/assay-dev/assay/enforce/spire/proto/configv1"
)

// unread is a pipe that nobody reads until it is told to.
type unread struct {
	read  chan struct{}
	mu    sync.Mutex
	lines []string
	began chan struct{} // somebody writes
	once  sync.Once
}

func (u *unread) Write(line []byte) (int, error) {
	u.once.Do(func() { close(u.began) })
	<-u.read
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lines = append(u.lines, string(line))
	return len(line), nil
}

// An agent that does not read the log gets its answers all the same. What it does not read is bounded, and it is told how much it has lost.
func TestPLUGIN12_LogThatNobodyReads(t *testing.T) {
	out := &unread{read: make(chan struct{}), began: make(chan struct{})}
	shared := spire.New(spire.NewLog(out))
	s := spire.NewServer(spire.Config{Plugin: shared, Attestor: newProbe(shared)})
	defer s.Close()
	core := &configv1.CoreConfiguration{TrustDomain: "example.org"}
	if _, err := s.Configure(soon(t), &configv1.ConfigureRequest{CoreConfiguration: core}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for range 20_000 { // lines of some hundred bytes
		_, err := s.Attest(soon(t), &attestorv1.AttestRequest{Pid: pidDenied})
		refused(t, err, codes.PermissionDenied, "nobody vouches")
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	close(out.read)
	for { // until what waits is written
		shared.Log().Info("the last")
		out.mu.Lock()
		text, bytes := strings.Join(out.lines, ""), 0
		for _, line := range out.lines {
			bytes += len(line)
		}
		out.mu.Unlock()
		if strings.Contains(text, "the last") && strings.Contains(text, "lines of the log are lost") {
			if bytes > 2<<20 {
				t.Errorf("%d bytes were kept", bytes)
			}
			return
		}
	}
}

// A plugin whose agent has closed its stderr goes on: nobody would start it again.
func TestClosedStderr(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asPlugin, spire.Cookie+"="+spire.Cookie, "PLUGIN_PROTOCOL_VERSIONS=1")
	cmd.Stderr = write
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	_ = write.Close()
	_ = read.Close()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	fields := strings.Split(line, "|")
	if err != nil || len(fields) < 4 {
		t.Fatalf("%q, %v", line, err)
	}
	conn, err := grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", fields[3])
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	core := &configv1.CoreConfiguration{TrustDomain: "example.org"}
	if _, err := configv1.NewConfigClient(conn).Configure(soon(t), &configv1.ConfigureRequest{CoreConfiguration: core}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := attestorv1.NewWorkloadAttestorClient(conn).Attest(soon(t), &attestorv1.AttestRequest{Pid: pidDenied})
		refused(t, err, codes.PermissionDenied, "nobody vouches")
	}
}

// Each line is written before whoever logs it goes on, where somebody reads.
func BenchmarkLog(b *testing.B) {
	log := spire.NewLog(io.Discard)
	for b.Loop() {
		log.Warn("attestation failed", "pid", 1, "error", "nobody vouches")
	}
}
