package notation

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/assay-dev/assay/trust"
)

// How long an answer is used again, if it does not end sooner: what is revoked is heard of that much later.
const (
	keepOCSP = 5 * time.Minute
	keepList = 30 * time.Minute
)

// servers asks revocation servers, and keeps what they answered. Only answers that were checked are kept: whoever stands on the way can
// spoil one question and not the next ones.
type servers struct {
	client *http.Client
	now    func() time.Time

	mu   sync.Mutex
	kept map[string]keptAnswer
	size int
}

type keptAnswer struct {
	content []byte
	until   time.Time
}

func newServers(client *http.Client, now func() time.Time) *servers {
	if now == nil {
		now = time.Now
	}
	if client == nil {
		dialer := &net.Dialer{Timeout: dialTimeout, ControlContext: refuseMetadata}
		client = &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout, MaxResponseHeaderBytes: maxHeader,
				MaxIdleConns: maxIdleServers, IdleConnTimeout: askTimeout, DisableCompression: true,
			},
		}
	}
	return &servers{client: client, now: now, kept: map[string]keptAnswer{}}
}

// refuseMetadata keeps a certificate from aiming requests at the metadata service of a cloud (T48).
func refuseMetadata(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := to.Addr().WithZone("").Unmap()
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || slices.Contains(metadata, ip) {
		return fmt.Errorf("%s is a link-local or metadata address", ip)
	}
	return nil
}

// metadata are the addresses of metadata services that are not link-local: AWS over IPv6, Alibaba Cloud, Azure, Google Cloud over IPv6.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("fd20:ce::254"),
}

// question is a certificate whose revocation is to be looked up.
type question struct{ cert, issuer *x509.Certificate }

// ask returns what the servers of a certificate say of it: OCSP first, and lists where that does not settle it. What fails becomes an item
// that says why.
func (s *servers) ask(ctx context.Context, q question) []trust.Item {
	var items []trust.Item
	for _, way := range []struct {
		mediaType string
		urls      []string
		get       func(context.Context, string, question) ([]byte, error)
	}{
		{typeOCSP, q.cert.OCSPServer, s.ocsp},
		{typeCRL, q.cert.CRLDistributionPoints, s.list},
	} {
		for i, server := range way.urls {
			if i == maxServers {
				break
			}
			content, err := way.get(ctx, server, q)
			item := trust.Item{Name: clip(server), MediaType: way.mediaType, Bytes: content, Annotations: map[string]string{annotationServer: server, annotationAbout: about(q.cert)}}
			if way.mediaType == typeCRL {
				item.Annotations[annotationAbout] = listOf(server)
			}
			if err != nil {
				item.MediaType, item.Bytes = typeNoAnswer, []byte(err.Error())
			}
			items = append(items, item)
			if err != nil {
				continue
			}
			if _, err := checkAnswer(item, q.cert, q.issuer, s.now()); err == nil || trust.IsNo(err) {
				return items
			}
		}
	}
	return items
}

func (s *servers) ocsp(ctx context.Context, server string, q question) ([]byte, error) {
	return s.remembered("ocsp "+about(q.cert)+" "+server, func() ([]byte, time.Time, error) {
		body, err := ocsp.CreateRequest(q.cert, q.issuer, nil)
		if err != nil {
			return nil, time.Time{}, err
		}
		content, err := s.fetch(ctx, http.MethodPost, server, body, askTimeout, maxOCSP)
		if err != nil {
			return nil, time.Time{}, err
		}
		until, err := checkOCSP(content, q.cert, q.issuer, s.now())
		if err != nil {
			return content, time.Time{}, nil // whoever checks it says why
		}
		return content, sooner(until, s.now().Add(keepOCSP)), nil
	})
}

func (s *servers) list(ctx context.Context, server string, q question) ([]byte, error) {
	return s.remembered("list "+about(q.issuer)+" "+server, func() ([]byte, time.Time, error) {
		content, err := s.fetch(ctx, http.MethodGet, server, nil, listTimeout, maxCRL)
		if err != nil {
			return nil, time.Time{}, err
		}
		until, err := checkCRL(content, server, q.cert, q.issuer, s.now())
		if err != nil {
			return content, time.Time{}, nil
		}
		return content, sooner(until, s.now().Add(keepList)), nil
	})
}

// remembered returns what is kept under a key, which must not be written to, or gets it and keeps it until the time that comes with it; zero: it is not kept.
func (s *servers) remembered(key string, get func() ([]byte, time.Time, error)) ([]byte, error) {
	s.mu.Lock()
	kept, found := s.kept[key]
	s.mu.Unlock()
	if found && s.now().Before(kept.until) {
		return kept.content, nil
	}
	content, until, err := get()
	if err != nil || until.IsZero() {
		return content, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size += len(content) - len(s.kept[key].content)
	s.kept[key] = keptAnswer{content, until}
	for other, one := range s.kept { // what is out of date first; then any: they can be asked again
		if s.size > maxKept && other != key || !s.now().Before(one.until) {
			s.size -= len(one.content)
			delete(s.kept, other)
		}
	}
	return content, nil
}

func (s *servers) fetch(ctx context.Context, method, server string, body []byte, timeout time.Duration, limit int64) ([]byte, error) {
	u, err := url.Parse(server)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("is no http or https URL")
	case u.User != nil:
		return nil, errors.New("is a URL with credentials")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, server, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/ocsp-request")
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	content, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(content)) > limit:
		return nil, fmt.Errorf("more than %d bytes", limit)
	}
	return content, nil
}
