package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits of what attestors ask of Docker.
const (
	maxConnections = 32       // to one engine at once
	maxHeader      = 64 << 10 // bytes of all headers of an answer
)

// DockerConfig is which engine is asked, and how. The zero value of every field but Host is a sensible one.
type DockerConfig struct {
	Host    string  // unix:///path, tcp://host:port, http://…, https://…; on Windows also npipe:////./pipe/name
	Version string  // of the API, "1.45"; "": what both sides speak, 1.40 to 1.55
	Owner   *uint32 // who must own the unix socket and listen there; nil: anybody
	// Go starts goroutines; nil: with one that recovers from panics.
	Go    func(name string, fn func())
	Now   func() time.Time                           // nil: the clock
	Sleep func(context.Context, time.Duration) error // nil: sleeps; returns early with the cause of the context
	Log   *slog.Logger                               // nil: nothing is logged
}

func (c DockerConfig) filled() DockerConfig {
	if c.Go == nil {
		c.Go = guarded
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// OpenDocker makes a client that keeps what it has learned of running containers. Nothing is asked yet. An error is that of the configuration,
// in the words of the page of compatibility.
func OpenDocker(c DockerConfig) (*Docker, error) {
	at, err := parseHost(c.Host, c.Owner)
	if err != nil {
		return nil, err
	}
	version, err := parseVersion(c.Version)
	if err != nil {
		return nil, err
	}
	return newDocker(c, at, version), nil
}

func newDocker(c DockerConfig, at endpoint, version *apiVersion) *Docker {
	transport := &http.Transport{
		DialContext:            at.dial,
		MaxIdleConns:           16,
		MaxIdleConnsPerHost:    16,
		MaxConnsPerHost:        maxConnections,
		IdleConnTimeout:        time.Minute,
		ResponseHeaderTimeout:  dockerTimeout,
		TLSHandshakeTimeout:    dockerTimeout,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
	}
	d := &Docker{
		socket: at.name, base: at.base, dial: at.dial, config: c.filled(), version: version,
		client: &http.Client{Transport: transport, Timeout: dockerTimeout, CheckRedirect: noRedirect},
		stream: &http.Client{Transport: transport, CheckRedirect: noRedirect},
	}
	d.containers = newKept(d.config, "container", d.inspectContainer, containerSize)
	d.images = newKept(d.config, "image", d.inspectImage, imageSize)
	d.events = &events{docker: d, pause: sleep}
	return d
}

// noRedirect: an engine does not send its clients elsewhere.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// endpoint is where an engine is.
type endpoint struct {
	name string // as messages name it
	base url.URL
	dial dialFunc // nil: by the address
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// plainHTTP is spoken over sockets, where a host has no meaning.
var plainHTTP = url.URL{Scheme: "http", Host: "docker"}

// parseHost reads the host of an engine as Docker's own programs do.
func parseHost(host string, owner *uint32) (endpoint, error) {
	scheme, address, ok := strings.Cut(host, "://")
	if !ok || address == "" {
		return endpoint{}, fmt.Errorf("unable to parse docker host `%s`", host)
	}
	if owner != nil && scheme != "unix" {
		return endpoint{}, fmt.Errorf("docker host `%s`: only a unix socket has an owner", host)
	}
	at := endpoint{name: host, base: plainHTTP}
	switch scheme {
	case "unix":
		at.dial = dialUnix(address, owner)
		return at, nil
	case "npipe":
		at.dial = dialPipe(strings.ReplaceAll(address, "/", `\`))
		return at, checkPipes(host)
	case "tcp", "http", "https":
		return parseNetwork(host, scheme)
	}
	return endpoint{}, fmt.Errorf("docker host `%s`: only unix, tcp, http, https and npipe are spoken", host)
}

func parseNetwork(host, scheme string) (endpoint, error) {
	u, err := url.Parse(host)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return endpoint{}, fmt.Errorf("unable to parse docker host `%s`", host)
	}
	if scheme == "tcp" {
		scheme = "http"
	}
	dialer := &net.Dialer{Timeout: dockerTimeout}
	base := url.URL{Scheme: scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}
	return endpoint{name: host, base: base, dial: dialer.DialContext}, nil
}

// dialUnix connects to a socket, of a given owner where that matters.
func dialUnix(socket string, owner *uint32) dialFunc {
	dialer := &net.Dialer{Timeout: dockerTimeout}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		if owner == nil {
			return dialer.DialContext(ctx, "unix", socket)
		}
		if err := ownedFile(socket, *owner); err != nil {
			return nil, err
		}
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, err
		}
		if err := ownedPeer(conn, *owner); err != nil { // the file may be another one by now
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	}
}
