// Package registry talks to OCI registries, and to Notary servers, which keep trust data apart from them. It is the only code that does.
//
// A Client resolves tags and fetches manifests, blobs and lists of referrers (OCI distribution specification 1.1), and pushes what
// was signed. Whatever it returns by digest has that digest, computed from the bytes. An error wraps trust.ErrNotFound only if the
// registry said, definitively, that something does not exist; every other error means that it could not tell, and wraps
// trust.ErrUnavailable if it tells of an outage.
//
// The house rules of the network, each of which has a threat behind it:
//
//   - Image names come from strangers. Connections go to the addresses that the guard lets pass (see guard.go), judged by the
//     resolved address, for registries, mirrors, token services and redirects alike. Proxies of the environment are not used, since
//     behind a proxy the guard sees the proxy's address only.
//   - Credentials go to the registry they belong to, and to token services that may issue its tokens (see realm.go); never along a
//     redirect to another host or port, and never in plain text except to loopback or where the settings say so.
//   - Each host has a transport of its own with its own CA and client certificate, each repository of it a session of its own with
//     its own token. Nothing is shared by the process.
//   - Whoever asks may bring logins (trust.WithLogins). They go to the registries that they are for, under the same rules, and never to a
//     mirror. Where one fits, the Client's own credentials for that registry are not used, not even when the login is refused. What one
//     asker's login opened, a session or a token, is nobody else's.
//   - A Notary server gets the credentials of its own host, and tokens that are its own even where a registry is at the same host.
//   - Tags are always resolved by the registry itself. Mirrors serve content by digest only.
//
// Of oras-go this package uses the credential stores (docker config.json and credential helpers), the credential and scope types and
// the error documents of registries. Its higher layers do not fit: they take digests from headers, count requests differently,
// forget when tokens expire, look up the addresses of token services outside any guard, and refuse token services on private
// networks even where an operator has named them.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

var _ trust.Source = (*Client)(nil)

// Config says how registries are reached. The zero value reaches public registries over TLS, without credentials.
type Config struct {
	// Registries has settings for hosts, one entry a host.
	Registries []Settings
	// DockerConfig is the folder of a docker config.json, whose credentials and credential helpers are used where Registries has no
	// credentials for a host; "" uses none. A folder without the file is no error.
	DockerConfig string
	// AuthFiles are further files in the form of a docker config.json, such as Podman's auth.json. They are asked in this order where
	// DockerConfig has no credentials for a host. One that is not there is no error.
	AuthFiles []string
	// Keychains are asked where Registries has no credentials for a host, and before DockerConfig.
	Keychains []Keychain
	// LoopbackHTTP is for the cli point: registries whose host is written as localhost, 127.x.x.x or [::1] are reached, and over
	// plain HTTP, unless their settings name a CA, a client certificate or insecureSkipTLSVerify. Notary servers of such hosts may be
	// reached over plain HTTP; their address says whether they are.
	LoopbackHTTP bool
	// InsecureSkipTLSVerify accepts any TLS certificate of hosts whose settings name no CA, but Notary servers. It is for users of DIA, which did so.
	InsecureSkipTLSVerify bool
	// UserAgent is sent with every request; "" is "assay".
	UserAgent string
	// Transport takes the place of every connection, and with it of guard and TLS settings. It is for tests of wire faults only;
	// nil is the real one.
	Transport http.RoundTripper
	// Trace is told when an exchange begins, by its method and its URL without query, and gets the context for it; the function that it
	// returns is told how the exchange ended, with status 0 where there was no answer. nil: nobody is told.
	Trace func(ctx context.Context, method, url string) (context.Context, func(status int, err error))
	// RequestTimeout bounds one attempt of one request, its body included; 0 is 10 seconds. The context bounds everything as well.
	RequestTimeout time.Duration
	// Retries is the number of extra attempts after 429, 502, 503, 504 and broken connections; 0 is 2, negative is none. Retry-After is
	// honoured as far as MaxRetryAfter and the context's deadline allow.
	Retries int
}

// Client talks to registries. It is safe for concurrent use.
type Client struct {
	config Config
	hosts  map[string]*host // by canonical host
	stores []credentials.Store

	now      func() time.Time
	sleep    func(context.Context, time.Duration) error
	resolver *net.Resolver // nil: the system's

	mu        sync.Mutex
	endpoints recent[endpointKey, *endpoint]
	sessions  recent[sessionKey, *session]
}

// New checks a configuration whole and returns a Client. It reads the files that the settings name, and connects to nothing. The
// error joins everything that is wrong.
func New(config Config) (*Client, error) {
	if config.RequestTimeout <= 0 {
		config.RequestTimeout = defaultRequestTimeout
	}
	switch {
	case config.Retries == 0:
		config.Retries = defaultRetries
	case config.Retries < 0:
		config.Retries = 0
	}
	if config.UserAgent == "" {
		config.UserAgent = "assay"
	}
	c := &Client{
		config:    config,
		hosts:     map[string]*host{},
		now:       time.Now,
		sleep:     sleep,
		endpoints: recent[endpointKey, *endpoint]{limit: maxEndpoints, drop: (*endpoint).closeIdle},
		sessions:  recent[sessionKey, *session]{limit: maxSessions},
	}
	var problems []error
	for i, s := range config.Registries {
		h, err := newHost(s)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("registries[%d]: %w", i, err))
		case c.hosts[s.Host] != nil:
			problems = append(problems, fmt.Errorf("registries[%d]: host %s: is there twice", i, s.Host))
		default:
			c.hosts[s.Host] = h
		}
	}
	// A store reads its file once and runs helpers when credentials are asked for.
	if config.DockerConfig != "" {
		if err := c.openStore(filepath.Join(config.DockerConfig, "config.json")); err != nil {
			problems = append(problems, fmt.Errorf("docker config in %s: %w", config.DockerConfig, err))
		}
	}
	for _, name := range config.AuthFiles {
		if err := c.openStore(name); err != nil {
			problems = append(problems, fmt.Errorf("credentials in %s: %w", name, err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Client) openStore(name string) error {
	store, err := credentials.NewStore(name, credentials.StoreOptions{})
	if err == nil {
		c.stores = append(c.stores, store)
	}
	return err
}

// CloseIdleConnections closes the connections that no request uses. The Client stays usable.
func (c *Client) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.endpoints.entries {
		e.value.closeIdle()
	}
}

// session returns the session for ref's repository, with the logins of ctx that fit it; push says whether it may change things.
func (c *Client) session(ctx context.Context, ref image.Ref, push bool) *session {
	logins := trust.LoginsOf(ctx).For(ref.Registry(), ref.Repository())
	return c.sessionOf(ref.Registry(), ref.Repository(), push, logins)
}

func (c *Client) sessionOf(registry, repository string, push bool, logins trust.Logins) *session {
	return c.sessionAt(c.registryEndpoint(registry), sessionKey{registry: registry, repository: repository, push: push}, logins)
}

func (c *Client) sessionAt(e *endpoint, key sessionKey, logins trust.Logins) *session {
	key.logins = logins.Key()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions.get(key, func() *session { return newSession(c, e, key, logins) })
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
