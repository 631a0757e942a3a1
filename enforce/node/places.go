package node

import (
	"net"
	"sync"
)

// class is a kind of peers that share places. The zero value has the fewest.
type class int

const (
	stranger class = iota // may ask nothing; all together are one
	user                  // each has places, and all of them together have some
	trusted               // root and the own user
)

// bound is how many places there are. Nobody takes those of another class: root is served, however many users ask.
type bound struct {
	trusted   int // for root and the own user together
	user      int // for each user who may ask
	users     int // for all such users together
	strangers int // for all others together
}

type bounds struct{ connections, requests bound }

// What is open and asked at once.
const (
	maxTrustedConnections  = 1024
	maxUserConnections     = 64
	maxUsersConnections    = 512
	maxStrangerConnections = 16 // each is told that it may not ask, and closed
	maxTrustedRequests     = 512
	maxUserRequests        = 32
	maxUsersRequests       = 256
)

var usual = bounds{
	connections: bound{trusted: maxTrustedConnections, user: maxUserConnections, users: maxUsersConnections, strangers: maxStrangerConnections},
	requests:    bound{trusted: maxTrustedRequests, user: maxUserRequests, users: maxUsersRequests},
}

// holder is whose a place is.
type holder struct {
	class class
	uid   uint32
}

// places counts what is held.
type places struct {
	bound bound

	mu   sync.Mutex
	all  map[class]int
	each map[uint32]int // of users
}

func newPlaces(b bound) *places {
	return &places{bound: b, all: map[class]int{}, each: map[uint32]int{}}
}

// take reports whether there was a place.
func (p *places) take(h holder) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.bound.strangers
	switch h.class {
	case trusted:
		limit = p.bound.trusted
	case user:
		limit = p.bound.users
		if p.each[h.uid] >= p.bound.user {
			return false
		}
	}
	if p.all[h.class] >= limit {
		return false
	}
	p.all[h.class]++
	if h.class == user {
		p.each[h.uid]++
	}
	return true
}

// give gives a place back that was taken.
func (p *places) give(h holder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[h.class]--
	if h.class != user {
		return
	}
	if p.each[h.uid]--; p.each[h.uid] == 0 {
		delete(p.each, h.uid)
	}
}

// Listener has connections know who made them, and closes at once those for which there is no place.
func (s *Server) Listener(l net.Listener) net.Listener { return &listener{Listener: l, server: s} }

type listener struct {
	net.Listener
	server *Server
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := l.server.admit(conn); admitted != nil {
			return admitted, nil
		}
		l.server.config.Refused(Crowded)
		_ = conn.Close() // nothing was said on it
	}
}

// admit finds a place for a connection; nil: there is none. One of which the kernel says nothing is a stranger's: it is told so.
func (s *Server) admit(conn net.Conn) net.Conn {
	peer, err := s.config.credentials(conn)
	if err != nil {
		peer = Peer{}
	}
	c := &connection{Conn: conn, peer: peer, of: holder{s.class(peer), peer.UID}, places: s.connections}
	if !c.places.take(c.of) {
		return nil
	}
	return c
}

// connection holds a place until it is closed.
type connection struct {
	net.Conn
	peer   Peer
	of     holder
	places *places
	once   sync.Once
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.once.Do(func() { c.places.give(c.of) })
	return c.Conn.Close()
}
