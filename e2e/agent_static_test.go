//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/proto/attestorv1"
	"github.com/assay-dev/assay/enforce/spire/proto/configv1"
	"github.com/assay-dev/assay/enforce/spire/spiretest"
)

// The program needs nothing but itself: images of agents are built from scratch. In an empty root that nobody can write to, with /tmp beside it,
// it starts and answers, as a user without a name.
func TestPLUGIN14_EmptyRoot(t *testing.T) {
	program := "../bin/assay"
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_DYNAMIC || p.Type == elf.PT_INTERP {
			t.Errorf("the program has a part of the type %v", p.Type)
		}
	}
	if os.Geteuid() != 0 {
		if peersOptional() {
			t.Skip("chroot needs root")
		}
		t.Fatal("chroot needs root")
	}
	root := emptyRoot(t, program)
	for attestor, hcl := range map[string]string{"docker": "", "k8s": `kubelet_read_only_port = 10255`} {
		t.Run(attestor, func(t *testing.T) { answersIn(t, root, attestor, hcl) })
	}
}

// emptyRoot makes a folder with the program and a folder for sockets.
func emptyRoot(t *testing.T, program string) string {
	t.Helper()
	root, err := os.MkdirTemp("", "root") // not that of the test, whose name is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(root, "tmp")
	for _, err := range []error{
		os.WriteFile(filepath.Join(root, "assay"), content, 0o755), os.Mkdir(tmp, 0o777), os.Chmod(tmp, 0o777), os.Chmod(root, 0o555),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func answersIn(t *testing.T, root, attestor, hcl string) {
	ctx, cancel := context.WithTimeout(context.Background(), agentPatience)
	defer cancel()
	cmd := exec.Command("/assay", "spire", attestor)
	cmd.Env = []string{spire.Cookie + "=" + spire.Cookie, "PLUGIN_PROTOCOL_VERSIONS=1"}
	cmd.Dir = "/"
	const nobody = 65532
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := &strings.Builder{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	fields := strings.Split(line, "|")
	if err != nil || len(fields) != 6 {
		t.Fatalf("handshake %q, %v: %s", line, err, stderr)
	}
	conn, err := grpc.NewClient("unix:"+filepath.Join(root, fields[3]), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	core := &configv1.CoreConfiguration{TrustDomain: agentTrustDomain}
	if _, err := configv1.NewConfigClient(conn).Configure(ctx, &configv1.ConfigureRequest{CoreConfiguration: core, HclConfiguration: hcl}); err != nil {
		t.Errorf("configure: %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("PLUGIN-15: configured after %v", took)
	}
	if _, err := attestorv1.NewWorkloadAttestorClient(conn).Attest(ctx, &attestorv1.AttestRequest{Pid: 1}); err != nil {
		t.Errorf("attest: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	log := spiretest.NewLog()
	if _, err := io.WriteString(log, stderr.String()); err != nil || len(log.Flaws()) > 0 {
		t.Errorf("%v: %q", err, log.Flaws())
	}
}
