package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// crowd is a listener with few places, and clients from addresses of loopback.
type crowd struct {
	t       *testing.T
	all     *connections
	address string
	got     chan *connection
	refused atomic.Int64
}

func newCrowd(t *testing.T, limit int) *crowd {
	t.Helper()
	c := &crowd{t: t, got: make(chan *connection, 100)}
	c.all = newConnections(limit, func() { c.refused.Add(1) })
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c.address = raw.Addr().String()
	bounded := c.all.listener(raw)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := bounded.Accept()
			if err != nil {
				return
			}
			c.got <- conn.(*connection)
		}
	}()
	t.Cleanup(func() { must(t, raw.Close()); <-done })
	return c
}

// connect connects from an address, and returns both ends; the server's is nil if it let nobody in.
func (c *crowd) connect(from string) (net.Conn, *connection) {
	c.t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", c.address)
	must(c.t, err)
	c.t.Cleanup(func() { _ = conn.Close() })
	closed := make(chan bool, 1)
	go func() { closed <- isClosed(conn) }()
	select {
	case admitted := <-c.got:
		c.t.Cleanup(func() { _ = admitted.Close(); <-closed })
		return conn, admitted
	case <-closed:
		return conn, nil
	}
}

// isClosed waits until the other end is gone.
func isClosed(conn net.Conn) bool {
	_, err := conn.Read(make([]byte, 1))
	return err != nil
}

func (c *crowd) count() (all, strangers int) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	for _, n := range c.all.from {
		strangers += n
	}
	return len(c.all.open), strangers
}

const greedy, modest, third = "127.0.0.2", "127.0.0.3", "127.0.0.4"

func TestT42_ConnectionsAreBounded(t *testing.T) {
	c := newCrowd(t, 4)
	for range 4 {
		if _, admitted := c.connect(greedy); admitted == nil {
			t.Fatal("there is a place, and nobody is let in")
		}
	}
	if _, admitted := c.connect(greedy); admitted != nil || c.refused.Load() != 1 {
		t.Errorf("the fifth is let in; %d refused", c.refused.Load())
	}
	// Another client gets a place of the one that has the most.
	for n, from := range []string{modest, third, modest} {
		_, admitted := c.connect(from)
		if admitted == nil && n < 2 {
			t.Errorf("%s is not let in", from)
		}
		if all, strangers := c.count(); all != 4 || strangers != 4 {
			t.Errorf("got %d connections, %d of them counted", all, strangers)
		}
	}
}

func TestT42_PlacesAreGivenBack(t *testing.T) {
	c := newCrowd(t, 2)
	for range 10 {
		_, admitted := c.connect(greedy)
		if admitted == nil {
			t.Fatal("a place was not given back")
		}
		must(t, admitted.Close())
		_ = admitted.Close() // which counts once
	}
	if all, strangers := c.count(); all != 0 || strangers != 0 || c.refused.Load() != 0 {
		t.Errorf("got %d connections, %d counted, %d refused", all, strangers, c.refused.Load())
	}
}

// Who is known, and who waits for an answer, keeps a place; and strangers do not keep one against whoever is known.
func TestT42_StrangersStarveNobody(t *testing.T) {
	c := newCrowd(t, 4)
	for range 2 {
		_, admitted := c.connect(greedy)
		recognise(c.all.context(context.Background(), admitted))
		recognise(c.all.context(context.Background(), admitted)) // which counts once
	}
	_, busy := c.connect(modest)
	c.all.state(busy, http.StateActive)
	_, idle := c.connect(modest)
	if all, strangers := c.count(); all != 4 || strangers != 2 {
		t.Fatalf("got %d connections, %d of strangers", all, strangers)
	}
	// The API server, from where it is known already, needs another one.
	_, admitted := c.connect(greedy)
	if admitted == nil {
		t.Fatal("the API server is not let in")
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the idle stranger goes on")
	}
	recognise(c.all.context(context.Background(), admitted))
	// All are known or busy.
	if _, admitted := c.connect(third); admitted != nil {
		t.Error("one too many")
	}
	c.all.state(busy, http.StateIdle)
	if _, admitted := c.connect(third); admitted == nil {
		t.Error("a stranger who waits for nothing keeps a place against one who has none")
	}
	if _, admitted := c.connect(third); admitted != nil {
		t.Error("a stranger has displaced itself")
	}
}

// In a server with TLS, those are known who have a client certificate that counts, and a handshake that fails holds no place.
func TestT42_WhoIsKnown(t *testing.T) {
	folder := t.TempDir()
	servers, clients, others := newAuthority(t, "servers"), newAuthority(t, "clients"), newAuthority(t, "others")
	cert, key, ca := folder+"/tls.crt", folder+"/tls.key", folder+"/clients.pem"
	servers.issue(t, "server", cert, key)
	replace(t, ca, string(clients.pem))
	r := serve(t, "--policy", servedPolicy(t, "a"), "--tls-cert", cert, "--tls-key", key, "--client-ca", ca)
	known, other := clients.issue(t, "api", "", ""), others.issue(t, "api", "", "")
	connect := func(with *tls.Certificate) error {
		config := &tls.Config{InsecureSkipVerify: true}
		if with != nil {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return with, nil }
		}
		transport := &http.Transport{TLSClientConfig: config}
		t.Cleanup(transport.CloseIdleConnections)
		resp, err := (&http.Client{Transport: transport}).Get("https://" + r.address + "/readyz")
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return errors.Join(err, resp.Body.Close())
	}
	for range 3 {
		must(t, connect(&known))
	}
	must(t, connect(nil))
	for range 5 {
		if connect(&other) == nil {
			t.Error("a certificate of somebody else's is taken")
		}
	}
	r.until("those with a certificate are known", func() bool { return r.metric(`assay_connections{client="known"} 3`) })
	// One is that which asks for metrics.
	r.until("handshakes that failed hold no place", func() bool { return r.metric(`assay_connections{client="unknown"} 2`) })
}
