package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
)

// counter stands before an engine and counts how often containers are inspected.
type counter struct {
	socket      string
	server      *http.Server
	inspections atomic.Int64
}

// startCounter starts a counter on a socket of its own.
func startCounter(e *engine) (*counter, error) {
	c := &counter{socket: e.socket + ".counted"}
	listener, err := net.Listen("unix", c.socket)
	if err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "docker"})
	proxy.FlushInterval = -1 // events arrive when they happen
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.socket)
	}}
	c.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/containers/") {
			c.inspections.Add(1)
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = c.server.Serve(listener) }() // until close
	return c, nil
}

func (c *counter) host() string { return "unix://" + c.socket }

func (c *counter) close() { _ = c.server.Close() }
