package ask_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

// impostorSocket is where this program listens for another user, when it is started again for that.
const impostorSocket = "ASSAY_TEST_IMPOSTOR"

func impostor(socket string) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_ = os.Chmod(socket, 0o777)
	fmt.Println("listening")
	_ = http.Serve(l, answers(200, fine))
}

// Somebody else who listens where the daemon should is not believed, whatever they say.
func TestT51_AnotherUserListens(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to be two users")
	}
	folder, err := os.MkdirTemp("/tmp", "ask")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(folder, "test")
	own, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(program, own, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(folder, "node.sock")
	cmd := exec.Command(program)
	cmd.Dir = folder
	cmd.Env = []string{impostorSocket + "=" + socket}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "listening\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	a, err := ask.Node(t.Context(), socket, question())
	if err == nil || a.Allowed || !strings.Contains(err.Error(), "user 65534 listens") {
		t.Errorf("got %+v, %v", a, err)
	}
}
