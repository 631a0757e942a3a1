package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/assay-dev/assay/trust"
)

// request is what is asked, without where and by whom.
type request struct {
	method      string
	path        string
	query       string
	accept      string
	contentType string
	body        []byte
	digest      string   // of the content whose length limit is; "" if that is not known
	limit       int64    // bytes of the body of a success; of no use for HEAD
	stay        bool     // a redirect is an answer
	secrets     []string // that the body holds
	spelled     bool     // the scheme was written down by whoever wants it, with the host
}

// answer is what came back, read whole.
type answer struct {
	method  string
	url     string   // of the first request, without query, for messages
	secrets []string // that were sent: a registry may answer with what it got, and messages go to logs
	spelled bool     // the scheme was written down with the host
	foreign bool     // another host than the one that was asked has answered, by a redirect
	status  int
	header  http.Header
	length  int64 // Content-Length, -1 if absent
	body    []byte
}

// persist asks, and asks again where an answer says that a later one may differ, or where there was none because the connection
// broke. It returns the last answer.
func (c *Client) persist(ctx context.Context, e *endpoint, r request, authorization string) (answer, error) {
	for attempt := 0; ; attempt++ {
		a, err := c.follow(ctx, e, r, authorization)
		if attempt >= c.config.Retries || !again(a, err) {
			return a, err
		}
		wait, ok := c.pause(ctx, a, attempt)
		if !ok {
			return a, err
		}
		if c.sleep(ctx, wait) != nil {
			return a, err
		}
	}
}

// again reports whether the same request may have another outcome soon.
func again(a answer, err error) bool {
	if err == nil {
		switch a.status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	return isBroken(err)
}

// pause returns how long to wait before the next attempt; not ok if that is longer than anybody would wait for.
func (c *Client) pause(ctx context.Context, a answer, attempt int) (wait time.Duration, ok bool) {
	wait = firstBackoff << min(attempt, 10)
	wait += rand.N(wait / 4) // so that many clients do not come back as one
	if asked, given := c.retryAfter(a.header); given {
		wait = asked
	}
	if deadline, has := ctx.Deadline(); has && c.now().Add(wait).After(deadline) {
		return 0, false
	}
	return wait, wait <= MaxRetryAfter
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds or a date.
func (c *Client) retryAfter(h http.Header) (time.Duration, bool) {
	value := h.Get("Retry-After")
	if value == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return max(0, date.Sub(c.now())), true
}

// follow asks, and follows redirects of GET and HEAD. Registries redirect blobs to storage, and some redirect whole repositories.
// Each request of the chain is made new: headers that identify us stop at the first other host, port or scheme, for good, and
// cookies never exist.
func (c *Client) follow(ctx context.Context, e *endpoint, r request, authorization string) (answer, error) {
	start := &url.URL{Scheme: e.scheme, Host: e.host, Path: r.path, RawQuery: r.query}
	secrets := append(secretsOf(authorization), r.secrets...)
	u, foreign := start, false
	for hops := 0; ; hops++ {
		a, err := c.attempt(ctx, e, r, u, authorization)
		a.method, a.url, a.secrets, a.spelled, a.foreign = r.method, bare(start), secrets, r.spelled, foreign
		if err != nil {
			down := ctx.Err() == nil && isOutage(err) // whoever no longer wants an answer has not learned that there is none
			return a, transportError(a, redirected(err, u, foreign), down)
		}
		if r.stay || !isRedirect(a.status) || r.method != http.MethodGet && r.method != http.MethodHead {
			return a, nil
		}
		next, err := redirectTarget(u, a.header.Get("Location"))
		if err == nil && hops == maxRedirects {
			err = fmt.Errorf("more than %d redirects", maxRedirects)
		}
		if err != nil {
			return a, fmt.Errorf("%s %s: %w", r.method, bare(start), err)
		}
		if !sameOrigin(u, next) {
			e, authorization, foreign = c.redirectEndpoint(next), "", true
		}
		u = next
	}
}

// redirected names the host that a redirect led to, where something went wrong there.
func redirected(err error, u *url.URL, foreign bool) error {
	if !foreign {
		return err
	}
	return fmt.Errorf("redirected to %s: %w", clean(u.Host), err)
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func redirectTarget(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	switch {
	case location == "" || err != nil || to.Host == "" || to.Hostname() == "":
		return nil, errors.New("redirected to nowhere: the answer has no usable Location")
	case to.User != nil:
		return nil, fmt.Errorf("redirected to %s with credentials in the address, which is refused", clean(to.Host))
	case to.Scheme != "https" && to.Scheme != "http":
		return nil, fmt.Errorf("redirected to the scheme %q, which is refused", clean(to.Scheme))
	case to.Scheme == "http" && from.Scheme == "https":
		return nil, fmt.Errorf("redirected from https to http at %s, which is refused", clean(to.Host))
	}
	return to, nil
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

// bare returns a URL for messages: queries may hold signatures of storage services.
func bare(u *url.URL) string {
	b := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return b.String()
}

// attempt makes one exchange over the wire and reads its body whole, within RequestTimeout and r.limit.
func (c *Client) attempt(ctx context.Context, e *endpoint, r request, u *url.URL, authorization string) (a answer, err error) {
	if c.config.Trace != nil {
		traced, end := c.config.Trace(ctx, r.method, bare(u))
		defer func() { end(a.status, err) }()
		ctx = traced
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.RequestTimeout, errNoAnswer)
	defer cancel()
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	q, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return answer{}, err
	}
	q.Header.Set("User-Agent", c.config.UserAgent)
	for name, value := range map[string]string{"Accept": r.accept, "Content-Type": r.contentType, "Authorization": authorization} {
		if value != "" {
			q.Header.Set(name, value)
		}
	}
	resp, err := e.transport.RoundTrip(q)
	if err != nil {
		return answer{}, causeOf(ctx, err)
	}
	defer resp.Body.Close()
	a = answer{status: resp.StatusCode, header: resp.Header, length: resp.ContentLength}
	a.body, err = readBody(resp, r)
	return a, causeOf(ctx, err)
}

// causeOf returns why the context ended in place of the error that this led to.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// readBody reads a success whole or not at all, and of anything else as much as goes into a message.
func readBody(resp *http.Response, r request) ([]byte, error) {
	if r.method == http.MethodHead {
		return nil, nil
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		content, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // the status counts, however the text ends
		return content, nil
	}
	if resp.ContentLength > r.limit {
		return nil, r.tooLong(resp, fmt.Errorf("the answer has %d bytes, at most %d are read", resp.ContentLength, r.limit))
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, r.limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > r.limit {
		return nil, r.tooLong(resp, fmt.Errorf("the answer has more than the %d bytes that are read", r.limit))
	}
	return content, nil
}

// tooLong marks content of which the registry says that it is what was asked for: then its descriptor is wrong.
func (r request) tooLong(resp *http.Response, err error) error {
	if r.digest != "" && resp.Header.Get("Docker-Content-Digest") == r.digest {
		return fmt.Errorf("%w: %w", trust.ErrMalformed, err)
	}
	return err
}
