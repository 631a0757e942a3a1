package main

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// maxConnections is how many connections are open at once, whoever has made them.
const maxConnections = 1024

// connections bounds how many are open. Where all places are taken, a newcomer gets that of the client address that has the most, unless
// it comes from there itself: whoever makes many connections takes places from themselves. Who is known by a certificate
// that counts keeps a place against strangers, and so does whoever waits for an answer.
type connections struct {
	limit   int
	refused func() // is told of each connection that is not let in, or has to go

	mu   sync.Mutex
	open map[*connection]struct{}
	from map[netip.Addr]int // how many of them are of strangers
}

// connection is one of them.
type connection struct {
	net.Conn
	all   *connections
	from  netip.Addr
	known bool
	busy  bool // with a request
	once  sync.Once
}

func newConnections(limit int, refused func()) *connections {
	return &connections{limit: limit, refused: refused, open: map[*connection]struct{}{}, from: map[netip.Addr]int{}}
}

// metrics tells how many are open.
func (c *connections) metrics() []prometheus.Collector {
	gauge := func(client string, count func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "assay_connections", Help: "Connections that are open, by whether the client has a certificate that counts.",
			ConstLabels: prometheus.Labels{"client": client},
		}, func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return float64(count())
		})
	}
	strangers := func() (n int) {
		for _, count := range c.from {
			n += count
		}
		return n
	}
	return []prometheus.Collector{gauge("unknown", strangers), gauge("known", func() int { return len(c.open) - strangers() })}
}

// listener bounds what comes from one.
func (c *connections) listener(l net.Listener) net.Listener {
	return &boundedListener{Listener: l, all: c}
}

type boundedListener struct {
	net.Listener
	all *connections
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := l.all.admit(conn); admitted != nil {
			return admitted, nil
		}
		l.all.refused()
		_ = conn.Close() // nothing was said on it
	}
}

// admit finds a place for a newcomer; nil: there is none.
func (c *connections) admit(conn net.Conn) net.Conn {
	newcomer := &connection{Conn: conn, all: c, from: addressOf(conn)}
	c.mu.Lock()
	var leaves *connection
	if len(c.open) >= c.limit {
		if leaves = c.least(newcomer.from); leaves == nil {
			c.mu.Unlock()
			return nil
		}
		c.forget(leaves)
	}
	c.open[newcomer] = struct{}{}
	c.from[newcomer.from]++
	c.mu.Unlock()
	if leaves != nil {
		c.refused()
		_ = leaves.Close() // its client finds out
	}
	return newcomer
}

// least returns a connection that has to go for one from an address; nil: none.
func (c *connections) least(newcomer netip.Addr) *connection {
	var found *connection
	for one := range c.open {
		if !one.known && !one.busy && (found == nil || c.from[one.from] > c.from[found.from]) {
			found = one
		}
	}
	if found == nil || c.from[found.from] <= c.from[newcomer] {
		return nil
	}
	return found
}

// forget gives a place free. It is called with the lock held.
func (c *connections) forget(one *connection) {
	if _, found := c.open[one]; !found {
		return
	}
	delete(c.open, one)
	if !one.known {
		c.less(one.from)
	}
}

func (c *connections) less(from netip.Addr) {
	if c.from[from]--; c.from[from] <= 0 {
		delete(c.from, from)
	}
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.once.Do(func() {
		c.all.mu.Lock()
		defer c.all.mu.Unlock()
		c.all.forget(c)
	})
	return c.Conn.Close()
}

type connectionKey struct{}

// context has requests know their connection; it is for http.Server.ConnContext.
func (c *connections) context(ctx context.Context, conn net.Conn) context.Context {
	if one := connectionOf(conn); one != nil {
		return context.WithValue(ctx, connectionKey{}, one)
	}
	return ctx
}

// state has connections know whether they are of use at the moment; it is for http.Server.ConnState.
func (c *connections) state(conn net.Conn, state http.ConnState) {
	if one := connectionOf(conn); one != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		one.busy = state == http.StateActive
	}
}

// recognise notes that the client of a request is known.
func recognise(ctx context.Context) {
	one, found := ctx.Value(connectionKey{}).(*connection)
	if !found {
		return
	}
	one.all.mu.Lock()
	defer one.all.mu.Unlock()
	if _, open := one.all.open[one]; open && !one.known {
		one.known = true
		one.all.less(one.from)
	}
}

// connectionOf looks below TLS.
func connectionOf(conn net.Conn) *connection {
	if secure, wrapped := conn.(interface{ NetConn() net.Conn }); wrapped {
		conn = secure.NetConn()
	}
	one, _ := conn.(*connection)
	return one
}

// addressOf is zero where there is none: all such clients are one.
func addressOf(conn net.Conn) netip.Addr {
	if tcp, isTCP := conn.RemoteAddr().(*net.TCPAddr); isTCP {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
