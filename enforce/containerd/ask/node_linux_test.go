package ask_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(impostorSocket); socket != "" {
		impostor(socket)
		return
	}
	goleak.VerifyTestMain(m)
}

const fine = `{"form":1,"allowed":true,"meaning":"allowed","reason":"assay: fine"}`

// listen serves at a unix socket until the test ends.
func listen(t *testing.T, h http.HandlerFunc) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "node.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	s.Start()
	t.Cleanup(s.Close)
	return socket
}

// answers serves one answer.
func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestNode(t *testing.T) {
	var asked ask.Question
	var method, path string
	socket := listen(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		method, path = r.Method, r.URL.Path
		asked, _ = ask.DecodeQuestion(body)
		_, _ = io.WriteString(w, fine)
	})
	a, err := ask.Node(t.Context(), socket, question())
	if err != nil || !a.Allowed || a.Reason != "assay: fine" || asked != question() || method != "POST" || path != ask.Path {
		t.Errorf("got %+v, %v; asked %s %s %+v", a, err, method, path, asked)
	}
}

// Where there is no daemon that answers, there is an error and no answer.
func TestT46_DaemonAway(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone.sock")
	if l, err := net.ListenUnix("unix", &net.UnixAddr{Name: gone}); err != nil {
		t.Fatal(err)
	} else {
		l.SetUnlinkOnClose(false)
		_ = l.Close()
	}
	plain := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dies := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, fine)
		panic(http.ErrAbortHandler)
	}
	leaves := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	redirects := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://node/elsewhere")
		w.WriteHeader(http.StatusFound)
	}
	headers := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		_, _ = io.WriteString(w, fine)
	}
	rows := []struct {
		name, socket, want string
	}{
		{"no socket", filepath.Join(t.TempDir(), "none.sock"), "no such file"},
		{"nobody listens", gone, "refused"},
		{"a file", plain, "refused"},
		{"no path", "", "not an absolute path"},
		{"a path from here", "node.sock", "not an absolute path"},
		{"a long path", "/" + strings.Repeat("a", 200), "invalid argument"},
		{"it leaves", listen(t, leaves), "left in the middle"},
		{"it leaves in the middle", listen(t, dies), "left in the middle"},
		{"it breaks down", listen(t, answers(500, fine)), "status 500"},
		{"it is not ready", listen(t, answers(503, fine)), "status 503"},
		{"it does not know the path", listen(t, answers(404, fine)), "status 404"},
		{"it does not know the method", listen(t, answers(405, fine)), "status 405"},
		{"it sends elsewhere", listen(t, redirects), "status 302"},
		{"nothing", listen(t, answers(204, "")), "status 204"},
		{"another form", listen(t, answers(200, strings.Replace(fine, "1", "2", 1))), "the form 2"},
		{"a page", listen(t, answers(200, "<html>fine</html>")), "no JSON object"},
		{"an empty answer", listen(t, answers(200, "")), "no JSON object"},
		{"endless", listen(t, answers(200, strings.Replace(fine, "fine", strings.Repeat("x", 1<<20), 1))), "more than 16384"},
		{"long headers", listen(t, headers), "the node daemon"},
	}
	for _, row := range rows {
		a, err := ask.Node(t.Context(), row.socket, question())
		if err == nil || a != (ask.Answer{}) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %+v, %v", row.name, a, err)
		}
	}
}

func TestT46_DaemonTooSlow(t *testing.T) {
	stop := make(chan struct{})
	for name, h := range map[string]http.HandlerFunc{
		"before the answer": func(http.ResponseWriter, *http.Request) { <-stop },
		"in the answer": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, fine[:10])
			_ = http.NewResponseController(w).Flush()
			<-stop
		},
	} {
		socket := listen(t, h)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		a, err := ask.Node(ctx, socket, question())
		cancel()
		if err == nil || a != (ask.Answer{}) || !strings.Contains(err.Error(), "no answer within") {
			t.Errorf("%s: got %+v, %v", name, a, err)
		}
	}
	close(stop)
}

// What is no question is not asked.
func TestNodeIsNotAskedNonsense(t *testing.T) {
	socket := listen(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	if a, err := ask.Node(t.Context(), socket, ask.Question{}); err == nil || a.Allowed {
		t.Errorf("got %+v, %v", a, err)
	}
}

// A daemon that does not want to answer has answered: nobody else is asked, and nothing that it sends beside can allow.
func TestT51_OnlyStatus200Allows(t *testing.T) {
	for _, status := range []int{400, 401, 403, 413, 429, 499} {
		for _, body := range []string{fine, "", `{"form":1,"allowed":false,"meaning":"denied","reason":"not you"}`} {
			a, err := ask.Node(t.Context(), listen(t, answers(status, body)), question())
			if err != nil || a.Allowed || a.Reason == "" || !strings.Contains(a.Reason, strconv.Itoa(status)) && a.Reason != "assay: not you" {
				t.Errorf("%d %s: got %+v, %v", status, body, a, err)
			}
		}
	}
}
