// Package node serves the enforcement points of one host at one unix socket: the point of containerd, the authorization plugin of a Docker
// engine, and the decisions of programs that have no policy of their own, such as SPIRE's agent and the command line. Who asks is known by
// what the kernel says of the other end of a connection, and each route says whom it answers. Client is the other end.
//
// It is for Linux: elsewhere nobody is known, and New says so.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/assay-dev/assay/enforce"
)

// Reasons for which Config.Refused is called.
const (
	Forbidden  = "forbidden"  // the peer, or the point in whose name it asks
	Overloaded = "overloaded" // with requests of this user, or of all users
	Crowded    = "crowded"    // with connections of this user, or of all users
	Malformed  = "malformed"
	Broken     = "bug"
)

// Config is what a server is made of.
type Config struct {
	Routes []Route
	// Decisions answers questions at wire.Path, of Users as well; nil: there is no such route.
	Decisions *Decisions
	// Users are those beside root and the own user who may use routes that are for Users.
	Users []uint32

	Log     *slog.Logger        // is told of requests that are refused, of those of one user not of all; nil: nobody is
	Refused func(reason string) // the same, for the count, with one of a few words

	credentials func(net.Conn) (Peer, error)
	bounds      bounds
	now         func() time.Time
}

// Route is something that is served.
type Route struct {
	Pattern string // as of http.ServeMux
	Handler http.Handler
	// Allow says who may use it; nil: root and the own user. It is asked only about peers that are known.
	Allow func(Peer) bool
}

// Refuser is a handler with words of its own for what comes before it: some clients do not look at a status.
type Refuser interface {
	Refuse(w http.ResponseWriter, r *http.Request, status int, text string)
}

// Server answers requests that come by Listener and with the context of Context. It is safe for concurrent use.
type Server struct {
	config      Config
	mux         *http.ServeMux
	connections *places
	requests    *places
	quiet       *quiet
}

var _ http.Handler = (*Server)(nil)

// New checks a configuration. On systems where the kernel does not say who connects, it is an error.
func New(c Config) (*Server, error) {
	if c.credentials == nil {
		if !supported {
			return nil, errors.New("node: peers are known on Linux only, and nobody could ask here")
		}
		c.credentials = credentials
	}
	for _, id := range c.Users {
		if !names(id) {
			return nil, fmt.Errorf("node: user %d: the kernel calls users so that it cannot name, and they could be anybody", id)
		}
	}
	if len(c.Routes) == 0 && c.Decisions == nil {
		return nil, errors.New("node: nothing to serve")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Refused == nil {
		c.Refused = func(string) {}
	}
	if c.bounds == (bounds{}) {
		c.bounds = usual
	}
	if c.now == nil {
		c.now = time.Now
	}
	s := &Server{config: c, mux: http.NewServeMux(), connections: newPlaces(c.bounds.connections), requests: newPlaces(c.bounds.requests)}
	s.quiet = &quiet{now: c.now, of: map[holder]*told{}}
	if c.Decisions != nil {
		if c.Decisions.Point == nil {
			return nil, errors.New("node: nothing to decide with")
		}
		c.Routes = append(slices.Clone(c.Routes), (&decisions{server: s, Decisions: *c.Decisions}).route())
	}
	for _, r := range c.Routes {
		if r.Handler == nil {
			return nil, fmt.Errorf("node: %s: nobody answers it", r.Pattern)
		}
		if r.Allow == nil {
			r.Allow = Peer.Trusted
		}
		s.mux.Handle(r.Pattern, &route{server: s, Route: r})
	}
	return s, nil
}

// Allowed reports whether a peer is root, the own user or one of Config.Users. It is for Route.Allow.
func (s *Server) Allowed(p Peer) bool { return s.class(p) != stranger }

// class says with whom a peer shares places.
func (s *Server) class(p Peer) class {
	switch {
	case p.Trusted():
		return trusted
	case p.Known && slices.Contains(s.config.Users, p.UID):
		return user
	}
	return stranger
}

// ServeHTTP implements http.Handler. A panic of a handler is answered with a refusal.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, _ := s.mux.Handler(r)
	bug := enforce.Guard(func() {
		if _, ours := handler.(*route); !ours && !s.Allowed(peerOf(r.Context())) {
			s.forbid(nil, w, r)
			return
		}
		s.mux.ServeHTTP(w, r)
	})
	if bug == nil {
		return
	}
	s.config.Refused(Broken)
	s.config.Log.Error("bug", "error", bug.Error(), "stack", string(bug.Stack))
	if one, ours := handler.(*route); ours {
		handler = one.Handler
	}
	refuse(handler, w, r, http.StatusInternalServerError, "bug: assay broke down; nothing is allowed by this")
}

// route lets in who may use it.
type route struct {
	server *Server
	Route
}

// ServeHTTP implements http.Handler.
func (h *route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, peer := h.server, peerOf(r.Context())
	if !peer.Known || !h.Allow(peer) {
		s.forbid(h.Handler, w, r)
		return
	}
	of := holder{s.class(peer), peer.UID}
	if !s.requests.take(of) {
		s.tell(Overloaded, r)
		w.Header().Set("Retry-After", "1")
		refuse(h.Handler, w, r, http.StatusServiceUnavailable, "could not tell: too many requests of this user at once; try again")
		return
	}
	defer s.requests.give(of)
	h.Handler.ServeHTTP(w, r)
}

// forbid refuses somebody who may not ask, and keeps no place for the next time.
func (s *Server) forbid(h http.Handler, w http.ResponseWriter, r *http.Request) {
	s.tell(Forbidden, r)
	w.Header().Set("Connection", "close")
	who := "nobody knows which user asks"
	if peer := peerOf(r.Context()); peer.Known {
		who = fmt.Sprintf("%v may not ask this", peer)
	}
	refuse(h, w, r, http.StatusForbidden, who)
}

// tell counts a request that is refused, and logs it if there was not too much of that.
func (s *Server) tell(reason string, r *http.Request) {
	s.config.Refused(reason)
	peer := peerOf(r.Context())
	untold, ok := s.quiet.tell(holder{s.class(peer), peer.UID})
	if !ok {
		return
	}
	attributes := []any{"outcome", "refused", "why", reason, "uid", peer.UID, "pid", peer.PID, "known", peer.Known, "path", cut(r.URL.Path)}
	if untold > 0 {
		attributes = append(attributes, "untold", untold)
	}
	s.config.Log.Warn("request", attributes...)
}

// maxLogged is how much of a text of somebody else's is logged, in bytes.
const maxLogged = 200

func cut(text string) string { return enforce.Plain(text[:min(len(text), maxLogged)]) }

// refuse refuses a request in the words of the handler that it was for.
func refuse(h http.Handler, w http.ResponseWriter, r *http.Request, status int, text string) {
	if own, found := h.(Refuser); found {
		own.Refuse(w, r, status, text)
		return
	}
	plainRefusal(w, status, text)
}

func plainRefusal(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "{\"error\":%q}\n", text)
}

// Context has requests know their peer; it is for http.Server.ConnContext, and of use only for connections that come by Listener.
func (s *Server) Context(ctx context.Context, conn net.Conn) context.Context {
	one, found := conn.(*connection)
	if !found {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, one.peer)
}

type peerKey struct{}

// peerOf returns who sends a request. The zero value is nobody, and may nothing.
func peerOf(ctx context.Context) Peer {
	p, _ := ctx.Value(peerKey{}).(Peer)
	return p
}

// unnamed is what the kernel calls users that have no name where it is asked (overflowuid): those of another user namespace, who can be anybody.
const unnamed = 65534

func names(id uint32) bool { return id != unnamed && id != math.MaxUint32 }
