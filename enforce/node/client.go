package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/wire"
)

// Limits of a client.
const (
	maxWait   = time.Minute // for an answer, unless the context ends before
	maxIdle   = 16          // connections that are kept
	idleAfter = 30 * time.Second
	// Questions at once; more wait. They are fewer than the daemon answers, for root and for others, so that none is refused for their number.
	maxAtOnce     = maxTrustedRequests / 4
	maxUserAtOnce = maxUserRequests / 2
)

// Client asks the daemon of this host. It is safe for concurrent use.
type Client struct {
	socket    string
	wire      wire.Client
	transport *http.Transport
}

var _ enforce.Decider = (*Client)(nil)

// Open makes a client of a unix socket. Nothing is asked yet, and whoever listens there is looked at with each connection: an answer counts only
// if root or the own user listens. The path may be a symbolic link, since whoever can place one decides nothing.
func Open(socket string) *Client { return open(socket, ownUser(), credentials) }

func open(socket string, own uint32, credentials func(net.Conn) (Peer, error)) *Client {
	c := &Client{socket: socket}
	atOnce := maxUserAtOnce
	if own == 0 {
		atOnce = maxAtOnce
	}
	c.transport = &http.Transport{
		MaxConnsPerHost: atOnce, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleAfter,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, socket, credentials) },
	}
	c.wire = wire.Client{HTTP: &http.Client{Transport: c.transport}, URL: "http://node"}
	return c
}

// dial connects to the daemon and to nobody else: a socket at its path could be anybody's.
func dial(ctx context.Context, socket string, credentials func(net.Conn) (Peer, error)) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	peer, err := credentials(conn)
	switch {
	case err != nil:
		err = fmt.Errorf("nobody knows who listens: %w", err)
	case !peer.Trusted():
		err = fmt.Errorf("%v listens, whose word does not count: only root's does, and that of whoever asks", peer)
	default:
		return conn, nil
	}
	_ = conn.Close() // nothing was said on it
	return nil, err
}

// Close lets go of connections that are kept.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Ask returns a verdict for each question, in their order, or an error: then nobody knows.
func (c *Client) Ask(ctx context.Context, requests ...engine.Request) ([]engine.Verdict, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxWait, fmt.Errorf("no answer within %v", maxWait))
	defer cancel()
	verdicts, err := c.wire.Ask(ctx, requests...)
	if err == nil {
		return verdicts, nil
	}
	var failed *url.Error
	switch cause := context.Cause(ctx); {
	case cause != nil:
		err = cause
	case errors.As(err, &failed): // the address says nothing
		err = failed.Err
	}
	return nil, fmt.Errorf("the node daemon at %s: %w", c.socket, err)
}

// Decide implements enforce.Decider. Where the daemon does not answer, it could not be told.
func (c *Client) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	verdicts, err := c.Ask(ctx, req)
	if err == nil {
		return verdicts[0]
	}
	v := engine.Verdict{Image: req.Image, Decision: engine.Decision{Outcome: engine.CouldNotTell, Reason: err.Error()}}
	v.SetErr(err)
	return v
}
