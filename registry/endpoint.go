package registry

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// endpoint is one host as one purpose reaches it: with its own connections, CA, client certificate and guard.
type endpoint struct {
	host      string // as in a URL: "registry.example:5000", "registry-1.docker.io"
	scheme    string // of registries: "https" or "http"
	insecure  bool   // the settings say that secrets may go in plain text
	transport http.RoundTripper
}

// purpose is why a host is reached. A host that a registry names (a redirect, a token service) gets no more than a stranger unless
// an operator has settings for it.
type purpose int

const (
	forRegistry purpose = iota
	forRealm
	forRedirect
	forNotary
)

type endpointKey struct {
	purpose purpose
	scheme  string
	host    string
	base    string // of realms: the registry, whose TLS settings hold for other ports of the same host
}

// Docker Hub's names: the one in references, the one that serves, the one that issues tokens, the one of its Notary server.
const (
	dockerHub       = "docker.io"
	dockerHubHost   = "registry-1.docker.io"
	dockerHubRealm  = "auth.docker.io"
	dockerHubNotary = "notary.docker.io"
)

// registryEndpoint returns how the registry of a reference is reached.
func (c *Client) registryEndpoint(registry string) *endpoint {
	h := c.settingsOf(registry)
	configured := h != nil
	if !configured {
		h = &host{}
	}
	name := hostname(registry)
	byName := c.config.LoopbackHTTP && isLoopbackName(name) && !h.speaksTLS()
	scheme := "https"
	if h.InsecurePlainHTTP || byName {
		scheme = "http"
	}
	address := registry
	if registry == dockerHub {
		address = dockerHubHost
	}
	g := guard{
		host:         registry,
		loopback:     h.InsecureAllowLoopback || isLoopbackName(name) && (configured || c.config.LoopbackHTTP),
		linkLocal:    h.InsecureAllowLinkLocal,
		onlyLoopback: byName && !h.InsecurePlainHTTP,
	}
	key := endpointKey{purpose: forRegistry, scheme: scheme, host: address}
	return c.endpoint(key, h.InsecurePlainHTTP, g, h.tlsConfig(true))
}

// notaryEndpoint returns how a Notary server is reached, which may be reached by its scheme.
func (c *Client) notaryEndpoint(n notary) *endpoint {
	h := c.settingsOf(n.registry)
	configured := h != nil
	if !configured {
		h = &host{}
	}
	loopback := isLoopbackName(n.hostname)
	g := guard{
		host:         n.address,
		loopback:     h.InsecureAllowLoopback || loopback && (configured || c.config.LoopbackHTTP),
		linkLocal:    h.InsecureAllowLinkLocal,
		onlyLoopback: n.scheme == "http" && loopback && !h.InsecurePlainHTTP,
	}
	return c.endpoint(endpointKey{purpose: forNotary, scheme: n.scheme, host: n.address}, h.InsecurePlainHTTP, g, h.tlsConfig(true))
}

// redirectEndpoint returns how the target of a redirect is reached: with the CA of its own settings if it has any, and never with a
// client certificate, since the redirecting registry chose the path.
func (c *Client) redirectEndpoint(u *url.URL) *endpoint {
	h := c.settingsOfURL(u)
	g := guard{host: u.Host}
	if h != nil {
		g.loopback = h.InsecureAllowLoopback || isLoopbackName(u.Hostname())
		g.linkLocal = h.InsecureAllowLinkLocal
	} else {
		h = &host{}
	}
	return c.endpoint(endpointKey{purpose: forRedirect, scheme: u.Scheme, host: u.Host}, false, g, h.tlsConfig(false))
}

// realmEndpoint returns how a token service is reached, after the realm was found to be allowed for registry: by its own settings if
// it has any, by the registry's if it is another port of the same host, else as a stranger.
func (c *Client) realmEndpoint(u *url.URL, registry string) *endpoint {
	h := c.settingsOfURL(u)
	configured := h != nil
	sameHost := u.Hostname() == strings.Trim(hostname(registry), "[]")
	if h == nil && sameHost {
		h = c.settingsOf(registry)
		configured = h != nil
	}
	if h == nil {
		h = &host{}
	}
	loopback := isLoopbackName(u.Hostname())
	g := guard{
		host:         u.Host,
		loopback:     h.InsecureAllowLoopback || loopback && (configured || c.config.LoopbackHTTP && sameHost),
		linkLocal:    h.InsecureAllowLinkLocal,
		onlyLoopback: u.Scheme == "http" && loopback && !h.InsecurePlainHTTP,
	}
	key := endpointKey{purpose: forRealm, scheme: u.Scheme, host: u.Host, base: registry}
	return c.endpoint(key, h.InsecurePlainHTTP, g, h.tlsConfig(true))
}

func (c *Client) endpoint(key endpointKey, insecure bool, g guard, t *tls.Config) *endpoint {
	if c.config.InsecureSkipTLSVerify && t.RootCAs == nil && key.purpose != forNotary {
		t.InsecureSkipVerify = true // only where an operator asked for it
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endpoints.get(key, func() *endpoint {
		transport := c.config.Transport
		if transport == nil {
			transport = c.newTransport(g, t)
		}
		return &endpoint{host: key.host, scheme: key.scheme, insecure: insecure, transport: transport}
	})
}

func (c *Client) newTransport(g guard, t *tls.Config) *http.Transport {
	// Each attempt ends with its context; a second timer of the same length would only race it for the message.
	dialer := &net.Dialer{Timeout: dialTimeout, ControlContext: g.control, Resolver: c.resolver}
	return &http.Transport{
		Proxy:                  nil, // see the package comment
		DialContext:            dialer.DialContext,
		TLSClientConfig:        t,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    maxIdleConnections,
		MaxConnsPerHost:        maxConnections,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true, // what is hashed and counted is what the registry sent
		ForceAttemptHTTP2:      true,
	}
}

// tlsConfig returns the host's TLS; client says whether its client certificate is shown.
func (h *host) tlsConfig(client bool) *tls.Config {
	t := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            h.roots,
		InsecureSkipVerify: h.InsecureSkipTLSVerify, // only where an operator wrote it
	}
	if client {
		t.Certificates = h.client
	}
	return t
}

func (e *endpoint) closeIdle() {
	if t, ok := e.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// settingsOf returns the settings of a canonical host, or nil.
func (c *Client) settingsOf(registry string) *host { return c.hosts[registry] }

// settingsOfURL returns the settings of a URL's host, or nil.
func (c *Client) settingsOfURL(u *url.URL) *host {
	name := strings.ToLower(u.Host)
	if name == dockerHubHost {
		name = dockerHub
	}
	if h := c.hosts[name]; h != nil {
		return h
	}
	return c.hosts[strings.TrimSuffix(name, ":"+defaultPort(u.Scheme))]
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

func hasPort(host string) bool {
	return strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']')
}

func hostname(host string) string {
	if hasPort(host) {
		return host[:strings.LastIndexByte(host, ':')]
	}
	return host
}
