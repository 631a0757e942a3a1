package material

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// Limits of fetching.
const (
	defaultRequestTimeout = 10 * time.Second // for one file
	defaultRefreshTimeout = time.Minute      // for all files of a repository, or for a key
	dialTimeout           = 5 * time.Second
	idleTimeout           = 30 * time.Second
	maxRedirects          = 5
	maxHeader             = 64 << 10 // bytes of all headers of an answer
)

// fetcher reads files from web servers.
type fetcher struct {
	client    *http.Client
	userAgent string
}

func newFetcher(c Config) *fetcher {
	transport := c.Transport
	if transport == nil {
		dialer := &net.Dialer{Timeout: dialTimeout, ControlContext: refuseLinkLocal}
		transport = &http.Transport{
			Proxy:                  c.Proxy,
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    dialTimeout,
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        idleTimeout,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
		}
	}
	return &fetcher{userAgent: c.UserAgent, client: &http.Client{Transport: transport, CheckRedirect: checkRedirect}}
}

// refuseLinkLocal keeps a mirror's name from aiming requests at the metadata service of a cloud (T48).
func refuseLinkLocal(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if ip := to.Addr().Unmap(); ip.IsLinkLocalUnicast() || ip == netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x0e, 3: 0xc2, 15: 0x54, 14: 0x02}) {
		return fmt.Errorf("%s is a link-local or metadata address", ip)
	}
	return nil
}

// checkRedirect follows redirects to web servers only, and never from TLS to none.
func checkRedirect(to *http.Request, via []*http.Request) error {
	switch from := via[len(via)-1].URL; {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case to.URL.Scheme != "https" && to.URL.Scheme != from.Scheme:
		return fmt.Errorf("redirect from %s to %s", from.Scheme, to.URL.Scheme)
	case to.URL.User != nil:
		return errors.New("redirect to a URL with credentials")
	}
	return nil
}

// get reads a file of at most limit bytes.
func (f *fetcher) get(ctx context.Context, address string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultRequestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if f.userAgent != "" {
		request.Header.Set("User-Agent", f.userAgent)
	}
	answer, err := f.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", address, errAbsent)
	default:
		return nil, fmt.Errorf("%s: %s", address, answer.Status)
	}
	content, err := readUpTo(answer.Body, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return content, nil
}

// closeIdle closes connections that wait for the next request.
func (f *fetcher) closeIdle() { f.client.CloseIdleConnections() }

// remote is a TUF repository on a web server.
type remote struct {
	fetcher *fetcher
	base    string
}

var _ repository = (*remote)(nil)

func (r *remote) root(ctx context.Context, version int64) ([]byte, error) {
	return r.fetcher.get(ctx, r.base+"/"+strconv.FormatInt(version, 10)+".root.json", maxRootFile)
}

func (r *remote) role(ctx context.Context, name string, version, limit int64) ([]byte, error) {
	file := fileName(name)
	if version > 0 {
		file = strconv.FormatInt(version, 10) + "." + file
	}
	return r.fetcher.get(ctx, r.base+"/"+file, limit)
}

func (r *remote) target(ctx context.Context, name, hash string, limit int64) ([]byte, error) {
	file := url.PathEscape(name)
	if hash != "" {
		file = hash + "." + file
	}
	return r.fetcher.get(ctx, r.base+"/targets/"+file, limit)
}
