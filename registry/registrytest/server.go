// Package registrytest is a real in-memory OCI registry, served over HTTP or TLS on a free port, with faults that can be switched on
// and a log of the requests it got. Tests use it in place of mocks, and the demo in place of a registry of the user's. It can be a
// Notary server as well, which serves the files that it was given.
//
// What is stored and how it is served is the work of go-containerregistry's pkg/registry; this package adds authentication, faults,
// pagination of referrers in a stable order, and helpers that push small real images.
package registrytest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// TB is what New needs of a testing.TB. It stands here so that the demo's binary does not link the testing package.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Options says how a Server behaves. The zero value is an open registry over plain HTTP with the referrers API.
type Options struct {
	Listen       string // address to listen on; "" is a free port of 127.0.0.1
	TLS          bool   // serve HTTPS with a certificate of the server's own CA, for 127.0.0.1, [::1] and localhost
	ClientCert   bool   // with TLS: refuse clients without a certificate of the server's own CA
	NoReferrers  bool   // no referrers API, as older registries: the tag of the fallback scheme must do
	Notary       bool   // a Notary server as well, see PutTrustData
	ReferrerPage int    // referrers in one page; 0 is all of them
	Username     string // with Password and without Token: HTTP basic authentication
	Password     string
	Token        *Token    // token authentication in place of basic
	Accounts     []Account // who gets in beside Username, by basic or by token authentication
}

// Server is a running registry. It is safe for concurrent use.
type Server struct {
	options  Options
	listener net.Listener
	http     *http.Server
	store    http.Handler // without authentication, faults and log
	auth     *authority
	tls      *certificates // nil without TLS

	cancel context.CancelFunc // ends every handler that waits
	active sync.WaitGroup

	mu       sync.Mutex
	faults   []faultRule
	requests []Request
	trust    map[string][]byte // by path
}

type faultRule struct {
	match func(*http.Request) bool
	fault Fault
}

// Request is one request that a Server got.
type Request struct {
	Method    string
	Path      string // as sent, without the query
	Query     string
	Host      string
	Auth      string // the scheme of the Authorization header: "", "Basic" or "Bearer"
	Cookie    bool   // whether cookies came with it
	UserAgent string
}

// String returns method and path, for comparing and for messages.
func (r Request) String() string { return r.Method + " " + r.Path }

// New starts a Server that ends with the test.
func New(t TB, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatalf("registrytest: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a Server. The caller closes it.
func Start(o Options) (*Server, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	quiet := log.New(io.Discard, "", 0)
	s := &Server{
		options:  o,
		listener: listener,
		store:    registry.New(registry.Logger(quiet), registry.WithReferrersSupport(!o.NoReferrers)),
		cancel:   cancel,
	}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ErrorLog:          quiet,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	if o.TLS {
		if s.tls, err = newCertificates(); err != nil {
			cancel()
			_ = listener.Close()
			return nil, err
		}
		s.http.TLSConfig = s.tls.config(o.ClientCert)
		listener = tls.NewListener(listener, s.http.TLSConfig)
	}
	s.auth = newAuthority(o, s.URL())
	s.active.Add(1)
	go func() {
		defer s.active.Done()
		_ = s.http.Serve(listener) // always ends with the error that Close causes
	}()
	return s, nil
}

// Close stops the server, cuts its connections, ends faults that wait, and returns when no handler runs any more.
func (s *Server) Close() {
	s.cancel()
	_ = s.http.Close()
	s.active.Wait()
}

// Host returns the address as it stands in references: "127.0.0.1:5000".
func (s *Server) Host() string { return s.listener.Addr().String() }

// URL returns the base address: "http://127.0.0.1:5000".
func (s *Server) URL() string {
	if s.options.TLS {
		return "https://" + s.Host()
	}
	return "http://" + s.Host()
}

// Requests returns the requests since the start or the last reset, in the order in which they came.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// ResetRequests forgets the requests so far.
func (s *Server) ResetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// SetFault makes the server answer the requests that match (nil: all) by a fault. A later fault goes before an earlier one.
func (s *Server) SetFault(match func(*http.Request) bool, f Fault) {
	if match == nil {
		match = func(*http.Request) bool { return true }
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = slices.Insert(s.faults, 0, faultRule{match, f})
}

// ClearFaults makes the server well again.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// RevokeTokens makes every token that was issued so far worthless.
func (s *Server) RevokeTokens() { s.auth.revoke() }

// serve logs, then asks for authentication, then answers by a fault or from the store.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.active.Add(1)
	defer s.active.Done()
	fault := s.note(r)
	next := http.HandlerFunc(s.answer)
	if fault != nil {
		fault(w, r, next)
		return
	}
	next(w, r)
}

// note logs a request and returns the fault that it meets, if any.
func (s *Server) note(r *http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Host: r.Host,
		Auth: scheme(r), Cookie: r.Header.Get("Cookie") != "", UserAgent: r.UserAgent(),
	})
	for _, rule := range s.faults {
		if rule.match(r) {
			return rule.fault
		}
	}
	return nil
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if !s.auth.admit(w, r) {
		return
	}
	if s.options.Notary && isTrustData(r) {
		s.trustData(w, r)
		return
	}
	if isReferrers(r) {
		s.referrers(w, r)
		return
	}
	s.store.ServeHTTP(w, r)
}
