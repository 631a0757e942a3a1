package spire_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/spiretest"
	"github.com/assay-dev/assay/workload"
)

const contained = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

// dockerHost serves the docker attestor. Process 7 is in a container.
func dockerHost(t *testing.T) *spiretest.Host {
	t.Helper()
	h, err := spiretest.Serve(soon(t), func(p *spire.Plugin) spire.Attestor {
		proc := workload.NewProc(fstest.MapFS{
			"proc/7/cgroup": {Data: []byte("0::/docker/" + contained + "\n")},
			"proc/7/stat":   {Data: []byte("7 (app) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5000 0 0 0\n")},
		})
		proc.Go = p.Go
		return spire.NewDocker(spire.DockerConfig{Plugin: p, Proc: proc, GOOS: "linux", NewVerifier: func(spire.Verification, string) (spire.Verifier, error) {
			return nil, errors.New("the policy cannot be read")
		}})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, h) })
	return h
}

// Each text comes from Configure as an error, the first one where there are several, and from Validate as a note.
func TestPLUGIN6_DockerOverTheProtocol(t *testing.T) {
	h := dockerHost(t)
	for hcl, want := range map[string]string{
		`use_new_container_locator="true"`:                                   "unable to decode configuration: At 1:27: root.use_new_container_locator: unknown type *ast.LiteralType",
		`zz = 1 aaaa = 2 sigstore { mm = 3 }`:                                "unknown configurations detected: aaaa,mm,zz",
		`sigstore {} policy = "p"`:                                           "only one of [sigstore, policy] can be used",
		`docker_socket_path = "foo"`:                                         "unable to parse docker host `foo`",
		`docker_version = "abc"`:                                             "invalid API version (abc): must be formatted <major>.<minor>",
		`podman_socket_path_template = "%"`:                                  "invalid podman_socket_path_template: trailing % at end of template",
		`docker_socket_path = "foo" podman_socket_path_template = "unix://"`: "invalid podman_socket_path_template: template must contain exactly one %d UID placeholder",
		"\"\\xff\\xfe\" = 1":                                                 "unknown configurations detected: \uFFFD",
	} {
		refused(t, h.Configure(soon(t), "example.org", hcl), codes.InvalidArgument, want)
		valid, notes, err := h.Validate(soon(t), "example.org", hcl)
		if valid || err != nil || !slices.Contains(notes, want) {
			t.Errorf("%s: valid %v, notes %q, %v", hcl, valid, notes, err)
		}
	}
	refused(t, h.Configure(soon(t), "example.org", `sigstore {}`), codes.InvalidArgument, "error initializing sigstore verifier: the policy cannot be read")
	if valid, notes, err := h.Validate(soon(t), "example.org", `sigstore {}`); !valid || err != nil || len(notes) == 0 {
		t.Errorf("what only files can tell: valid %v, notes %q, %v", valid, notes, err)
	}
}

// With nobody there, a configuration is taken at once, and what cannot be told is not told.
func TestPLUGIN15_NoEngine(t *testing.T) {
	h := dockerHost(t)
	start := time.Now()
	socket := filepath.Join(t.TempDir(), "nobody.sock")
	if err := h.Configure(soon(t), "example.org", `docker_socket_path = "unix://`+socket+`"`); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("a configuration took %v", took)
	}
	if values, err := h.Attest(soon(t), 7); values != nil || status.Code(err) != codes.Unavailable {
		t.Errorf("got %q, %v", values, err)
	}
	for _, pid := range []int32{0, -1, 8, 1 << 30} {
		if values, err := h.Attest(soon(t), pid); values != nil || (err != nil && status.Code(err) != codes.Unavailable) {
			t.Errorf("process %d: got %q, %v", pid, values, err)
		}
	}
}

// An engine that takes calls and says nothing holds nobody who has left.
func TestPLUGIN12_SilentEngine(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "silent.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		var open []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				break
			}
			open = append(open, conn)
		}
		for _, conn := range open {
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	h := dockerHost(t)
	if err := h.Configure(soon(t), "example.org", `docker_socket_path = "unix://`+socket+`"`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	values, err := h.Attest(ctx, 7)
	if took := time.Since(start); values != nil || status.Code(err) != codes.Canceled || took > 500*time.Millisecond {
		t.Errorf("got %q, %v after %v", values, err, took)
	}
}
