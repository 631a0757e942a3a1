//go:build linux

package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/enforcetest"
	"github.com/assay-dev/assay/enforce/node"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/wire"
)

// What a child process of another user does: it asks in the name of a point, or it listens.
const (
	childSocket = "ASSAY_TEST_SOCKET"
	childPoint  = "ASSAY_TEST_POINT"
	listens     = "listens"
	another     = 4242 // a user that is nobody's
)

// said is what a child tells of an answer.
type said struct {
	Allowed bool
	Outcome engine.Outcome
	Reason  string
}

func child(socket, point string) {
	if point == listens {
		squat(socket)
		return
	}
	c := node.Open(socket)
	defer c.Close()
	v := c.Decide(context.Background(), question(point))
	_ = json.NewEncoder(os.Stdout).Encode(said{v.Allowed, v.Outcome, v.Reason})
}

// squat answers everybody with what they want to hear, until its input ends.
func squat(socket string) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		panic(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		panic(err)
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			v := allowed()
			v.Image, v.Canonical = enforcetest.Image, enforcetest.Image
			body, err := wire.EncodeVerdicts([]engine.Verdict{v})
			if err != nil {
				panic(err)
			}
			_, _ = w.Write(body)
		}))
	}()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// program returns a copy of this program that every user can run, in a folder where every user can make sockets.
func program(t *testing.T) (name, folder string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	folder, err := os.MkdirTemp("", "assay-node")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(folder, "child")
	if err := errors.Join(os.Chmod(folder, 0o777), os.WriteFile(name, content, 0o755)); err != nil {
		t.Fatal(err)
	}
	return name, folder
}

func asUser(t *testing.T, program string, id uint32, socket, does string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Dir = filepath.Dir(program)
	cmd.Env = []string{childSocket + "=" + socket, childPoint + "=" + does}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id, NoSetGroups: true}}
	return cmd
}

// reachable lets every user connect, so that only the daemon stands in the way.
func reachable(t *testing.T, socket string) {
	t.Helper()
	if err := errors.Join(os.Chmod(filepath.Dir(filepath.Dir(socket)), 0o755), os.Chmod(filepath.Dir(socket), 0o755), os.Chmod(socket, 0o666)); err != nil {
		t.Fatal(err)
	}
}

// T42: other processes of the host that can connect. The kernel says whose they are.
func TestT42_RealPeers(t *testing.T) {
	run, _ := program(t)
	for name, row := range map[string]struct {
		users []uint32
		id    uint32
		point string
		want  string
	}{
		"root":                           {nil, 0, "docker", ""},
		"another user":                   {nil, another, "cli", "status 403"},
		"one that may ask":               {[]uint32{another}, another, "cli", ""},
		"for a point that is not theirs": {[]uint32{another}, another, "docker", "may not ask in the name of docker"},
		"one that another one is not":    {[]uint32{another}, another + 1, "cli", "status 403"},
	} {
		t.Run(name, func(t *testing.T) {
			d := serve(t, node.Config{Decisions: deciding(allowing()), Users: row.users})
			reachable(t, d.socket)
			out, err := asUser(t, run, row.id, d.socket, row.point).Output()
			var got said
			if err := errors.Join(err, json.Unmarshal(out, &got)); err != nil {
				t.Fatal(err)
			}
			if got.Allowed != (row.want == "") || !strings.Contains(got.Reason, row.want) {
				t.Errorf("got %+v", got)
			}
			if refused := d.counts.get(node.Forbidden); refused != 0 == (row.want == "") {
				t.Errorf("counted %d", refused)
			}
		})
	}
}

// T42: somebody else listens at the socket's path, also behind a symbolic link, and allows everything.
func TestT42_SquattedSocket(t *testing.T) {
	run, folder := program(t)
	socket, link := filepath.Join(folder, "node.sock"), filepath.Join(folder, "link.sock")
	cmd := asUser(t, run, another, socket, listens)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cmd.Start(), os.Symlink(socket, link)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{socket, link} {
		v := client(t, path).Decide(t.Context(), question("cli"))
		if v.Allowed || v.Outcome != engine.CouldNotTell || !strings.Contains(v.Reason, "user 4242 listens") {
			t.Errorf("%s: got %+v", path, v)
		}
	}
	// It would be believed if its user were not looked at.
	believing := node.OpenFaking(socket, user(0))
	defer believing.Close()
	if v := believing.Decide(t.Context(), question("cli")); !v.Allowed {
		t.Errorf("the socket does not answer as it should: %+v", v)
	}
}

// T42: the same without being root: the kernel's word is all that counts, and where it says nothing, nobody is anybody.
func TestT42_ListenersThatDoNotCount(t *testing.T) {
	d := serve(t, node.Config{Decisions: deciding(allowing())})
	link := filepath.Join(t.TempDir(), "link.sock")
	if err := os.Symlink(d.socket, link); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		credentials func(net.Conn) (node.Peer, error)
		socket      string
		want        string
	}{
		"the own user":            {node.Credentials, d.socket, ""},
		"behind a link":           {node.Credentials, link, ""},
		"root":                    {user(0), d.socket, ""},
		"another user":            {user(uint32(os.Geteuid()) + 1), d.socket, "listens, whose word does not count"},
		"nobody that is known":    {func(net.Conn) (node.Peer, error) { return node.Peer{}, nil }, d.socket, "does not count"},
		"the kernel says nothing": {func(net.Conn) (node.Peer, error) { return node.Peer{Known: true}, errors.New("silence") }, d.socket, "nobody knows who listens: silence"},
	} {
		c := node.OpenFaking(row.socket, row.credentials)
		v := c.Decide(t.Context(), question("cli"))
		if v.Allowed != (row.want == "") || !strings.Contains(v.Reason, row.want) || row.want != "" && v.Outcome != engine.CouldNotTell {
			t.Errorf("%s: got %+v", name, v)
		}
		c.Close()
	}
}

// T42: who may use which route. A handler that a peer may not use is not called.
func TestT42_WhoMayUseWhat(t *testing.T) {
	own := uint32(os.Geteuid())
	nobody := func(net.Conn) (node.Peer, error) { return node.Peer{}, errors.New("silence") }
	everything := []string{"root only", "decisions of cli", "decisions of spire", "decisions of docker", "decisions of containerd", "decisions of kubernetes"}
	for name, row := range map[string]struct {
		credentials func(net.Conn) (node.Peer, error)
		may         []string
	}{
		"root":                        {user(0), everything},
		"the own user":                {user(own), everything},
		"a user that may ask":         {user(another), []string{"decisions of cli", "decisions of spire"}},
		"another user":                {user(another + 1), nil},
		"the kernel says nothing":     {nobody, nil},
		"a user that cannot be named": {func(net.Conn) (node.Peer, error) { return node.Peer{UID: own}, nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			called := make(chan struct{}, 1)
			d := serve(t, node.Config{
				Decisions: deciding(allowing()), Users: []uint32{another},
				Routes: []node.Route{{Pattern: "POST /root", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- struct{}{} })}},
			}.Faking(row.credentials))
			try := func(what string) bool {
				if what == "root only" {
					status, _ := post(t, d.socket, "/root", "")
					if got := len(called) == 1; got != (status == 200) || !got && status != 403 {
						t.Errorf("got status %d, called %v", status, got)
					}
					return status == 200
				}
				v := client(t, d.socket).Decide(t.Context(), question(strings.TrimPrefix(what, "decisions of ")))
				return v.Allowed
			}
			for _, what := range everything {
				want := strings.Contains(strings.Join(row.may, "\n"), what)
				if got := try(what); got != want {
					t.Errorf("%s: got %v, want %v", what, got, want)
				}
			}
			if status, _ := post(t, d.socket, "/nowhere", ""); (status == 404) != (row.may != nil) || status != 404 && status != 403 {
				t.Errorf("a path that is none: got status %d", status)
			}
			if len(row.may) < len(everything) && d.counts.get(node.Forbidden) == 0 {
				t.Error("nobody was counted")
			}
		})
	}
}

// T42: the zero peer has the number of root and that of whichever user is allowed first, and is neither.
func TestT42_NobodyIsAUser(t *testing.T) {
	s, err := node.New(node.Config{Decisions: deciding(allowing()), Users: []uint32{0, another}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []node.Peer{{}, {UID: another}, {UID: uint32(os.Geteuid())}, node.PeerOf(t.Context())} {
		if s.Allowed(p) || p.Trusted() {
			t.Errorf("%+v may ask", p)
		}
	}
	if !s.Allowed(node.Peer{UID: another, Known: true}) {
		t.Error("a user that may ask may not")
	}
}

// Requests that did not come by the server's own listener are nobody's.
func TestRequestsWithoutAConnection(t *testing.T) {
	s, err := node.New(node.Config{Decisions: deciding(allowing())})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: s, ConnContext: s.Context}
	defer h.Close()
	go func() { _ = h.Serve(l) }() // it is closed
	if status, content := post(t, l.Addr().String(), wire.Path, "{}"); status != 403 || !strings.Contains(content, "nobody knows") {
		t.Errorf("got %d %s", status, content)
	}
}

// A handler with words of its own refuses in them; see TestT47_OneUserDoesNotTakeAllPlaces too.
func TestRefusalsAreInTheWordsOfTheHandler(t *testing.T) {
	for status, c := range map[int]node.Config{403: node.Config{}.Faking(user(another)), 500: {}} {
		h := &worded{entered: make(chan struct{}, 1), leave: make(chan struct{})}
		close(h.leave)
		c.Routes = []node.Route{{Pattern: "POST /words", Handler: h}}
		if got, content := post(t, serve(t, c).socket, "/words", ""); got != status || !strings.HasPrefix(content, "own words: ") {
			t.Errorf("got %d %s, want %d", got, content, status)
		}
	}
}

// worded panics when it is left.
type worded struct{ entered, leave chan struct{} }

func (h *worded) ServeHTTP(http.ResponseWriter, *http.Request) {
	h.entered <- struct{}{}
	<-h.leave
	panic("broken")
}

func (h *worded) Refuse(w http.ResponseWriter, _ *http.Request, status int, text string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "own words: %s", text)
}

var _ node.Refuser = (*worded)(nil)
var _ enforce.Decider = (*node.Client)(nil)
