package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// Limits of what is served.
const (
	maxRequestHeader     = 64 << 10 // bytes of all headers of a request
	maxInFlight          = 512      // requests at once, beside probes and metrics
	defaultHeaderTimeout = 5 * time.Second
	bodyTimeout          = 10 * time.Second // for a request's body
	defaultReadTimeout   = 30 * time.Second // beside the time to decide
	defaultWriteTimeout  = 30 * time.Second // beside the time to decide
	idleClientTimeout    = 2 * time.Minute
	maxStreamUnread      = 64 << 10    // bytes of a request that were sent and not read, where a connection has several requests at once
	maxUnread            = 4 << 20     // of all requests of such a connection: those that wait leave room for others
	defaultDrainTimeout  = time.Minute // beside the time to decide
)

// readiness says whether a server wants to be asked. The zero value does not.
type readiness struct{ state atomic.Int32 }

const (
	starting int32 = iota
	serving
	draining
)

// ServeHTTP implements http.Handler: /readyz.
func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	switch r.state.Load() {
	case serving:
		fmt.Fprintln(w, "ready")
	case draining:
		http.Error(w, "not ready: draining", http.StatusServiceUnavailable)
	default:
		http.Error(w, "not ready: fetching trust material", http.StatusServiceUnavailable)
	}
}

// run serves until ctx ends, and then until every request that came before has its answer. Routes are patterns of http.ServeMux; /healthz,
// /readyz and /metrics are there without being named.
func (s *server) run(ctx context.Context, routes map[string]http.Handler) error {
	defer s.close()
	listener, err := net.Listen("tcp", s.options.listen)
	if err != nil {
		return &exitError{code: exitCannotTell, err: err}
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	group.Go(func() { s.keepWatch(background) })
	group.Go(func() { s.keepMaterial(background) })

	h := &http.Server{
		Handler:           s.handler(routes),
		ReadHeaderTimeout: defaultHeaderTimeout,
		ReadTimeout:       s.options.timeout + defaultReadTimeout, // it goes on while the answer is made, and ends that too
		WriteTimeout:      s.options.timeout + defaultWriteTimeout,
		IdleTimeout:       idleClientTimeout,
		MaxHeaderBytes:    maxRequestHeader,
		ConnContext:       s.open.context,
		ConnState:         s.open.state,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what clients do wrong, which anybody can
		Protocols:         new(http.Protocols),
	}
	h.Protocols.SetHTTP1(true)
	serve := h.Serve
	if s.identity != nil {
		h.Protocols.SetHTTP2(true)
		h.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: maxStreamUnread, MaxReceiveBufferPerConnection: maxUnread}
		h.TLSConfig = s.tlsConfig()
		serve = func(l net.Listener) error { return h.ServeTLS(l, "", "") }
	}
	s.log.Info("listening", "address", listener.Addr().String(), "tls", s.identity != nil, "version", versionText())
	ended := make(chan error, 1)
	group.Go(func() { ended <- serve(s.open.listener(listener)) })
	select {
	case err := <-ended:
		return &exitError{code: exitCannotTell, err: fmt.Errorf("%s: %w", s.options.listen, err)}
	case <-ctx.Done():
	}
	return s.drain(h)
}

// drain lets requests end that came before. What takes longer is cut off, which is an error.
func (s *server) drain(h *http.Server) error {
	s.ready.state.Store(draining)
	s.log.Info("draining")
	time.Sleep(s.options.drainDelay)
	ctx, cancel := context.WithTimeout(context.Background(), s.options.timeout+defaultDrainTimeout)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		return &exitError{code: exitCannotTell, err: errors.Join(fmt.Errorf("requests were cut off: %w", err), h.Close())}
	}
	s.log.Info("ended")
	return nil
}

// keepMaterial has trust material fetched for the first time, says that the server is ready, whatever came of it, and keeps the material
// fresh: an authority without any cannot tell.
func (s *server) keepMaterial(ctx context.Context) {
	if s.awaited != nil {
		select {
		case <-s.awaited:
		case <-ctx.Done():
			return
		}
	}
	prepare, cancel := context.WithTimeout(ctx, prepareTimeout)
	if err := s.keeper.Prepare(prepare); err != nil && ctx.Err() == nil {
		s.log.Warn("trust material could not be fetched", "error", enforce.Plain(err.Error()))
	}
	cancel()
	s.ready.state.CompareAndSwap(starting, serving)
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { s.guarded(ctx, func() { s.revoked.Run(ctx) }) })
	s.keeper.Run(ctx)
}

// guarded does something until ctx ends, and again after a bug in it.
func (s *server) guarded(ctx context.Context, do func()) {
	for ctx.Err() == nil {
		if bug := enforce.Guard(do); bug != nil {
			s.metrics.bugs.Inc()
			s.log.Error("bug", "error", bug.Error(), "stack", string(bug.Stack))
		}
	}
}

// handler puts the point's routes beside those of every server. A point can have other words for the latter, which are not bounded: probes
// are no requests.
func (s *server) handler(routes map[string]http.Handler) http.Handler {
	own := map[string]http.Handler{
		"GET /healthz": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }),
		"GET /readyz":  knowing(&s.ready, s.needs...),
		"GET /metrics": s.metrics.handler(func() []material.Status { return s.keeper.Statuses(s.app.now()) }),
	}
	mux := http.NewServeMux()
	for pattern, h := range routes {
		if own[pattern] != nil {
			own[pattern] = h
			continue
		}
		mux.Handle(pattern, s.route(pattern, h))
	}
	for pattern, h := range own {
		mux.Handle(pattern, s.recovering(h, h))
	}
	return s.parting(s.recognising(mux))
}

// route puts what is the same for all requests before a point's own handler.
func (s *server) route(pattern string, h http.Handler) http.Handler {
	return s.tracing.handler(pattern, s.recovering(h, s.bounded(h, hurried(h, bodyTimeout))))
}

// parting has clients connect anew, to whoever goes on, while this server drains: a connection that is closed under a client's request loses
// it, and one that its answer closes loses nothing.
func (s *server) parting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.ready.state.Load() == draining {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// recognising notes whose connections are those of clients with a certificate that counts.
func (s *server) recognising(h http.Handler) http.Handler {
	if s.clients == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.knows(r) {
			recognise(r.Context())
		}
		h.ServeHTTP(w, r)
	})
}

// knows reports whether a request comes with a client certificate that counts.
func (s *server) knows(r *http.Request) bool {
	return r.TLS != nil && slices.ContainsFunc(r.TLS.VerifiedChains, s.clients.counts)
}

// refuser is a handler with words of its own for what comes before or after it. Some clients do not look at a status.
type refuser interface {
	Refuse(w http.ResponseWriter, r *http.Request, status int, text string)
}

// refuse refuses a request in the words of the handler that it was for.
func refuse(h http.Handler, w http.ResponseWriter, r *http.Request, status int, text string) {
	if own, found := h.(refuser); found {
		own.Refuse(w, r, status, text)
		return
	}
	answerError(w, status, text)
}

// hostRoute is route at a socket that lets in so many requests of each user: those of one take no place of another's.
func (s *server) hostRoute(pattern string, h http.Handler) http.Handler {
	return s.tracing.handler(pattern, s.recovering(h, s.counted(hurried(h, bodyTimeout))))
}

// hurried gives a request's body a time of its own: who sends it drop by drop holds a place for which others are sent away.
func hurried(h http.Handler, limit time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection := http.NewResponseController(w)
		if connection.SetReadDeadline(time.Now().Add(limit)) == nil { // else it is no connection
			r.Body = &hurriedBody{ReadCloser: r.Body, whole: func() { _ = connection.SetReadDeadline(time.Time{}) }}
		}
		h.ServeHTTP(w, r)
	})
}

// hurriedBody lifts the deadline when the body is there: the answer has a time of its own.
type hurriedBody struct {
	io.ReadCloser
	whole func()
}

// Read implements io.Reader.
func (b *hurriedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.whole()
	}
	return n, err
}

// bounded lets so many requests in at once, and sends the others away: what waits in memory helps nobody.
func (s *server) bounded(h, inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.inFlight.Add(1) > maxInFlight {
			s.inFlight.Add(-1) // before it is refused, which can take a moment and holds no place
			s.metrics.refuse("overloaded")
			w.Header().Set("Retry-After", "1")
			refuse(h, w, r, http.StatusServiceUnavailable, "too many requests at once; try again")
			return
		}
		defer s.inFlight.Add(-1)
		s.counted(inner).ServeHTTP(w, r)
	})
}

// counted tells how many requests there are.
func (s *server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.metrics.requests.Inc()
		defer s.metrics.requests.Dec()
		h.ServeHTTP(w, r)
	})
}

// recovering turns a panic in inner that a point did not catch into an answer that allows nothing, in the words of h, and counts it.
func (s *server) recovering(h, inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bug := enforce.Guard(func() { inner.ServeHTTP(w, r) })
		if bug == nil {
			return
		}
		s.metrics.bugs.Inc()
		s.log.Error("bug", "error", bug.Error(), "stack", string(bug.Stack))
		refuse(h, w, r, http.StatusInternalServerError, "a bug in assay")
	})
}

// answerError is for what comes before or after a point that has no words for it.
func answerError(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "{\"error\":%q}\n", text)
}
