//go:build linux

package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/enforcetest"
	"github.com/assay-dev/assay/enforce/node"
	"github.com/assay-dev/assay/engine"
)

// switched fakes who connects, and can be set.
type switched struct{ id atomic.Uint32 }

func (s *switched) credentials(net.Conn) (node.Peer, error) {
	return node.Peer{UID: s.id.Load(), Known: true}, nil
}

// connect makes a connection of a user. It reports whether it was let in, which takes a request to know: one that nobody may make.
func (d *daemon) connect(t *testing.T, s *switched, id uint32) (net.Conn, bool) {
	t.Helper()
	s.id.Store(id)
	conn, err := net.Dial("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET /open HTTP/1.1\r\nHost: node\r\n\r\n") // it may be closed already
	answer := make([]byte, 12)
	_, err = io.ReadFull(conn, answer)
	return conn, err == nil && string(answer) == "HTTP/1.1 200"
}

// anybody is a route that is open to all, to keep connections.
func anybody() node.Route {
	return node.Route{Pattern: "GET /open", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), Allow: func(node.Peer) bool { return true }}
}

// eventually waits for something that another goroutine does.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !yes(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within time: %s", what)
		}
	}
}

// T47: connections. A user fills the own places, all users together fill theirs, strangers are one: root is let in all the same. A place that
// is given back can be taken again, and none is lost.
func TestT47_OneUserDoesNotTakeAllConnections(t *testing.T) {
	const one, two, three = 1001, 1002, 1003
	var who switched
	d := serve(t, node.Config{Routes: []node.Route{anybody()}, Users: []uint32{one, two, three}}.Bounded(2, 3, 5, 2).Faking(who.credentials))
	var open []net.Conn
	want := func(id uint32, in bool) {
		t.Helper()
		conn, got := d.connect(t, &who, id)
		if got != in {
			t.Errorf("user %d: let in %v, want %v", id, got, in)
		}
		open = append(open, conn)
	}
	for range 3 {
		want(one, true)
	}
	want(one, false)
	want(two, true)
	want(two, true)
	want(three, false) // all users together
	want(0, true)
	want(0, true)
	want(0, false)
	if got := d.counts.get(node.Crowded); got != 3 {
		t.Errorf("counted %d, want 3", got)
	}
	_ = open[0].Close()
	eventually(t, "a place is free", func() bool { conn, in := d.connect(t, &who, three); open = append(open, conn); return in })
	for _, conn := range open {
		_ = conn.Close()
	}
	eventually(t, "all places are free", func() bool { held, _ := d.Held(); return held == 0 })
}

// T47: requests, in the same way. What waits longest is a decider, which a user can have wait by images of a registry of their own.
func TestT47_OneUserDoesNotTakeAllPlaces(t *testing.T) {
	const one, two = 1001, 1002
	var who switched
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	p := &enforce.Point{Decider: decider(func(ctx context.Context, req engine.Request) engine.Verdict {
		if strings.Contains(req.Image, "slow") {
			entered <- struct{}{}
			<-leave
		}
		return enforcetest.Fixed(allowed()).Decide(ctx, req)
	})}
	h := &worded{entered: make(chan struct{}, 2), leave: leave}
	d := serve(t, node.Config{
		Decisions: deciding(p), Routes: []node.Route{{Pattern: "POST /words", Handler: h}}, Users: []uint32{one, two},
	}.Faking(who.credentials).Bounded(8, 8, 8, 8)) // of connections and of requests
	d.Server.Crowd(1, 2, 3)
	ask := func(id uint32, image string) engine.Verdict {
		who.id.Store(id)
		c := node.OpenFaking(d.socket, user(0))
		defer c.Close()
		req := question("cli")
		req.Image = image
		return c.Decide(context.Background(), req)
	}
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer sync.OnceFunc(func() { close(leave) })()
	hold := func(id uint32) {
		who.id.Store(id)
		waiting.Go(func() {
			if v := ask(id, "registry.example/slow:1"); !v.Allowed {
				t.Errorf("user %d: got %+v", id, v)
			}
		})
		<-entered
	}
	refused := func(id uint32) {
		t.Helper()
		v := ask(id, enforcetest.Image)
		if v.Allowed || v.Outcome != engine.CouldNotTell || !strings.Contains(v.Reason, "too many requests") {
			t.Errorf("user %d: got %+v", id, v)
		}
	}
	hold(one)
	hold(one)
	refused(one)
	if v := ask(two, enforcetest.Image); !v.Allowed {
		t.Errorf("another user: got %+v", v)
	}
	hold(two)
	refused(two) // all users together
	if v := ask(0, enforcetest.Image); !v.Allowed {
		t.Errorf("root: got %+v", v)
	}
	who.id.Store(0)
	hold(0)
	refused(0)
	if status, content := post(t, d.socket, "/words", ""); status != 503 || !strings.HasPrefix(content, "own words: could not tell") {
		t.Errorf("got %d %s", status, content)
	}
	if d.counts.get(node.Overloaded) != 4 {
		t.Errorf("counted %d", d.counts.get(node.Overloaded))
	}
}

// T47: a panic of a handler is a refusal that is counted, keeps no place and breaks nothing for others.
func TestT47_PanicsKeepNoPlace(t *testing.T) {
	d := serve(t, node.Config{
		Decisions: deciding(allowing()),
		Routes:    []node.Route{{Pattern: "POST /bug", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(errors.New("broken")) })}},
	})
	d.Crowd(1, 1, 1)
	for range 5 {
		if status, content := post(t, d.socket, "/bug", ""); status != 500 || !strings.Contains(content, "bug") {
			t.Errorf("got %d %s", status, content)
		}
	}
	if v := client(t, d.socket).Decide(t.Context(), question("cli")); !v.Allowed {
		t.Errorf("got %+v", v)
	}
	if d.counts.get(node.Broken) != 5 {
		t.Errorf("counted %d", d.counts.get(node.Broken))
	}
}

// T47: clients that send half a header and wait. They lose their place, and others are answered meanwhile.
func TestT47_SlowClients(t *testing.T) {
	d := servePatiently(t, node.Config{Decisions: deciding(allowing())}, 500*time.Millisecond)
	var slow []net.Conn
	for range 50 {
		conn, err := net.Dial("unix", d.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "POST /v1/decisions HT")
		slow = append(slow, conn)
	}
	eventually(t, "others are answered", func() bool { return client(t, d.socket).Decide(t.Context(), question("cli")).Allowed })
	for _, conn := range slow {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Fatalf("it is not closed: %v", err)
		}
	}
	eventually(t, "places are free", func() bool { held, _ := d.Held(); return held <= 1 })
}

// T47: many clients at once, of several users, all of whom may ask: each gets an answer, and no goroutine and no place is left.
func TestT47_ManyClients(t *testing.T) {
	var users []uint32
	for i := range uint32(8) {
		users = append(users, 2000+i)
	}
	var next atomic.Uint32
	d := serve(t, node.Config{Decisions: deciding(allowing()), Users: users}.Faking(func(net.Conn) (node.Peer, error) {
		return node.Peer{UID: users[next.Add(1)%8], Known: true}, nil
	}))
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			c := node.OpenFaking(d.socket, user(0))
			defer c.Close()
			for j := range 5 {
				req := question("cli")
				req.Image = fmt.Sprintf("registry.example/shop/app:%d-%d", i, j)
				if v := c.Decide(t.Context(), req); !v.Allowed {
					t.Errorf("got %+v", v)
				}
			}
		})
	}
	group.Wait()
	eventually(t, "all places are free", func() bool { connections, requests := d.Held(); return connections+requests == 0 })
}

// T47: one request of a user is small, and a client that has much to ask waits by itself.
func TestT47_OneUserAsksLittleAtOnce(t *testing.T) {
	const one = 1001
	var now, most atomic.Int32
	p := &enforce.Point{Decider: decider(func(ctx context.Context, req engine.Request) engine.Verdict {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond) // so that others come
		return enforcetest.Fixed(allowed()).Decide(ctx, req)
	})}
	d := serve(t, node.Config{Decisions: deciding(p), Users: []uint32{one}}.Faking(user(one)))
	c := node.OpenFaking(d.socket, user(0))
	defer c.Close()
	requests := make([]engine.Request, 17)
	for i := range requests {
		requests[i] = question("cli")
	}
	if _, err := c.Ask(t.Context(), requests[:16]...); err != nil {
		t.Error(err)
	}
	if _, err := c.Ask(t.Context(), requests...); err == nil || !strings.Contains(err.Error(), "at most 16 at once") {
		t.Errorf("got %v", err)
	}
	most.Store(0)
	client := &enforce.Point{Decider: node.OpenAs(d.socket, one, user(0))}
	defer client.Decider.(*node.Client).Close()
	for i, v := range client.Decide(t.Context(), "", slices.Repeat(requests, 20)...) {
		if !v.Allowed {
			t.Fatalf("%d: got %+v", i, v)
		}
	}
	if got := most.Load(); got > 16 {
		t.Errorf("%d at once", got)
	}
}
