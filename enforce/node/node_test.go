//go:build linux

package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/enforcetest"
	"github.com/assay-dev/assay/enforce/node"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/wire"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(childSocket); socket != "" {
		child(socket, os.Getenv(childPoint))
		return
	}
	// A connection whose body was not read to its end is closed half a second later.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

var points = []string{"kubernetes", "docker", "containerd", "spire", "api", "cli"}

// daemon is a server at a socket, until the test ends.
type daemon struct {
	*node.Server
	socket string
	counts counts
}

// counts are of refusals.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

func (c *counts) add(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[reason]++
}

func (c *counts) get(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[reason]
}

func serve(t *testing.T, c node.Config) *daemon {
	t.Helper()
	return servePatiently(t, c, time.Minute)
}

// servePatiently waits so long for headers.
func servePatiently(t *testing.T, c node.Config, patience time.Duration) *daemon {
	t.Helper()
	d := &daemon{socket: filepath.Join(t.TempDir(), "node.sock")}
	c.Refused = d.counts.add
	var err error
	if d.Server, err = node.New(c); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: d.Server, ConnContext: d.Context, ReadHeaderTimeout: patience, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan error, 1)
	go func() { done <- h.Serve(d.Listener(l)) }()
	t.Cleanup(func() {
		_ = h.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return d
}

func deciding(p *enforce.Point) *node.Decisions { return &node.Decisions{Point: p, Points: points} }

// allowed is a verdict that an engine gives.
func allowed() engine.Verdict {
	return engine.Verdict{Allowed: true, Decision: engine.Decision{Policy: "shop", Mode: "enforce", Outcome: engine.Allowed}}
}

func allowing() *enforce.Point { return &enforce.Point{Decider: enforcetest.Fixed(allowed())} }

func question(point string) engine.Request {
	req := engine.Request{Image: enforcetest.Image}
	req.Point = point
	return req
}

// user fakes who connects.
func user(id uint32) func(net.Conn) (node.Peer, error) {
	return func(net.Conn) (node.Peer, error) { return node.Peer{PID: 7, UID: id, Known: true}, nil }
}

func client(t *testing.T, socket string) *node.Client {
	t.Helper()
	c := node.Open(socket)
	t.Cleanup(c.Close)
	return c
}

// The suite by the decisions route, asked by Client.
func TestSuite(t *testing.T) {
	enforcetest.Run(t, enforcetest.Door{Notes: true, Open: func(t *testing.T, p *enforce.Point) enforcetest.Ask {
		d := serve(t, node.Config{Decisions: deciding(p)})
		c := client(t, d.socket)
		return func(ctx context.Context, name string) enforcetest.Answer {
			req := question("cli")
			req.Image = name
			v := c.Decide(ctx, req)
			return enforcetest.Answer{Allowed: v.Allowed, Text: enforce.Refusal(&v), Notes: strings.Join(v.Warnings, "\n")}
		}
	}})
}

// The same with the client as the decider of another point, as SPIRE's agent and the command line have it.
func TestSuiteOfAPointBehindAClient(t *testing.T) {
	enforcetest.Run(t, enforcetest.Door{Notes: true, Open: func(t *testing.T, p *enforce.Point) enforcetest.Ask {
		d := serve(t, node.Config{Decisions: deciding(p)})
		own := &enforce.Point{Decider: client(t, d.socket)}
		return func(ctx context.Context, name string) enforcetest.Answer {
			req := question("spire")
			req.Image = name
			v := own.Decide(ctx, "", req)[0]
			return enforcetest.Answer{Allowed: v.Allowed, Text: enforce.Refusal(&v), Notes: strings.Join(v.Warnings, "\n")}
		}
	}})
}

// What was asked arrives whole, and so does who asked.
func TestDecisionsAreRecorded(t *testing.T) {
	var by, asked string
	p := allowing()
	p.Record = func(o *enforce.Occasion, req engine.Request, _ *engine.Verdict) {
		by, asked = o.User, req.Point+" "+req.Namespace
	}
	d := serve(t, node.Config{Decisions: deciding(p)})
	req := question("cli")
	req.Namespace, req.HasNamespace = "payments", true
	if v := client(t, d.socket).Decide(t.Context(), req); !v.Allowed {
		t.Fatal(v)
	}
	if want := fmt.Sprintf("user %d", os.Geteuid()); by != want || asked != "cli payments" {
		t.Errorf("got %q and %q", by, asked)
	}
}

// A daemon that is away, one that answers something else, and a socket that is none: it could not be told.
func TestClientCouldNotTell(t *testing.T) {
	folder := t.TempDir()
	plain := filepath.Join(folder, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	answering := func(h http.HandlerFunc) string {
		return serve(t, node.Config{Routes: []node.Route{{Pattern: "/", Handler: h}}}).socket
	}
	for name, socket := range map[string]string{
		"away":      filepath.Join(folder, "nowhere.sock"),
		"no socket": plain,
		"refuses":   answering(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }),
		"something else": answering(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"form":2,"verdicts":[{"allowed":true}]}`)
		}),
		"leads elsewhere": answering(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}),
		"hangs up": answering(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
	} {
		v := client(t, socket).Decide(t.Context(), question("cli"))
		if v.Allowed || v.Outcome != engine.CouldNotTell || v.Image != enforcetest.Image || v.Err() == nil || !strings.Contains(v.Reason, socket) {
			t.Errorf("%s: got %+v", name, v)
		}
	}
}

// A client does not wait for ever, and does not outlast its context.
func TestClientHeedsItsContext(t *testing.T) {
	hanging := &enforce.Point{Decider: decider(func(ctx context.Context, req engine.Request) engine.Verdict {
		<-ctx.Done()
		return engine.Verdict{}
	})}
	d := serve(t, node.Config{Decisions: deciding(hanging)})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, errors.New("enough"))
	defer cancel()
	if v := client(t, d.socket).Decide(ctx, question("cli")); v.Outcome != engine.CouldNotTell || !strings.Contains(v.Reason, "enough") {
		t.Errorf("got %+v", v)
	}
}

type decider func(ctx context.Context, req engine.Request) engine.Verdict

func (d decider) Decide(ctx context.Context, req engine.Request) engine.Verdict { return d(ctx, req) }

// One verdict that cannot be told leaves the others as they are.
func TestDecisionsOfWhichOneCannotBeTold(t *testing.T) {
	p := &enforce.Point{Decider: decider(func(ctx context.Context, req engine.Request) engine.Verdict {
		if strings.Contains(req.Image, "broken") {
			return engine.Verdict{Image: req.Image, Allowed: true, Decision: engine.Decision{Mode: "enforce", Outcome: engine.Denied}}
		}
		return enforcetest.Fixed(allowed()).Decide(ctx, req)
	})}
	d := serve(t, node.Config{Decisions: deciding(p)})
	other := question("cli")
	other.Image = "registry.example/broken:1"
	got, err := client(t, d.socket).Ask(t.Context(), question("cli"), other, question("cli"))
	if err != nil || !got[0].Allowed || got[1].Allowed || got[1].Outcome != engine.Bug || !got[2].Allowed {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestNewRefuses(t *testing.T) {
	fine := node.Route{Pattern: "GET /", Handler: http.NotFoundHandler()}
	for want, c := range map[string]node.Config{
		"nothing to serve":       {},
		"nothing to decide with": {Decisions: &node.Decisions{}},
		"nobody answers it":      {Routes: []node.Route{{Pattern: "GET /"}}},
		"user 65534":             {Routes: []node.Route{fine}, Users: []uint32{65534}},
		"user 4294967295":        {Routes: []node.Route{fine}, Users: []uint32{1<<32 - 1}},
	} {
		if _, err := node.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// post sends a body as a client of any kind would.
func post(t *testing.T, socket, path, body string) (int, string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Post("http://node"+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

func TestDecisionsRefuseBodies(t *testing.T) {
	d := serve(t, node.Config{Decisions: deciding(allowing())})
	var logins bytes.Buffer
	_ = json.NewEncoder(&logins).Encode(map[string]any{"form": 1, "questions": []any{map[string]any{"image": "a", "point": "cli", "logins": []string{"x"}}}})
	for name, row := range map[string]struct {
		body   string
		status int
	}{
		"nothing":       {"", 400},
		"another form":  {`{"form":2,"questions":[{"image":"a","point":"cli"}]}`, 400},
		"no questions":  {`{"form":1,"questions":[]}`, 400},
		"logins":        {logins.String(), 400},
		"no such point": {`{"form":1,"questions":[{"image":"a","point":"node"}]}`, 400},
		"no point":      {`{"form":1,"questions":[{"image":"a","point":""}]}`, 400},
		"endless":       {`{"form":1,"questions":[{"image":"` + strings.Repeat("a", wire.MaxQuestionsBody), 413},
	} {
		before := d.counts.get(node.Malformed)
		status, content := post(t, d.socket, wire.Path, row.body)
		if status != row.status || !strings.Contains(content, `"error"`) || d.counts.get(node.Malformed) != before+1 {
			t.Errorf("%s: got %d %s", name, status, content)
		}
	}
}
