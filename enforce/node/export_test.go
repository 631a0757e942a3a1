package node

import (
	"context"
	"net"
	"time"
)

// Faking has a server believe something else of who connects.
func (c Config) Faking(credentials func(net.Conn) (Peer, error)) Config {
	c.credentials = credentials
	return c
}

// At has a server live at another time.
func (c Config) At(now func() time.Time) Config {
	c.now = now
	return c
}

// Bounded has a server have few places: so many for root and the own user, for each user, for all of them, and for others.
func (c Config) Bounded(trusted, user, users, strangers int) Config {
	b := bound{trusted: trusted, user: user, users: users, strangers: strangers}
	c.bounds = bounds{connections: b, requests: b}
	return c
}

// Held returns how many connections and requests hold places.
func (s *Server) Held() (connections, requests int) {
	count := func(p *places) (n int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, held := range p.all {
			n += held
		}
		return n + len(p.each)
	}
	return count(s.connections), count(s.requests)
}

// OpenFaking is Open with a client that believes something else of who listens.
func OpenFaking(socket string, credentials func(net.Conn) (Peer, error)) *Client {
	return open(socket, ownUser(), credentials)
}

// PeerOf returns who sends a request.
func PeerOf(ctx context.Context) Peer { return peerOf(ctx) }

// Credentials is what the kernel says.
func Credentials(conn net.Conn) (Peer, error) { return credentials(conn) }

// Crowd has a server have few places for requests: for root, for each user, and for all users.
func (s *Server) Crowd(trusted, user, users int) {
	s.requests.bound = bound{trusted: trusted, user: user, users: users}
}

// OpenAs is the same for another user.
func OpenAs(socket string, own uint32, credentials func(net.Conn) (Peer, error)) *Client {
	return open(socket, own, credentials)
}
