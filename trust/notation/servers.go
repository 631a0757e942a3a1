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

// Revocations asks revocation servers (OCSP and lists), and keeps what they answered. It is safe for concurrent use.
type Revocations struct {
	client *http.Client
	now    func() time.Time

	mu     sync.Mutex
	kept   map[string]*keptAnswer
	size   int                    // bytes of all answers that are kept
	asking map[*keptAnswer]string // what is being asked for, with its key
}

// NewRevocations returns one that knows nothing yet. A nil client is one of its own, which reaches neither link-local addresses nor the metadata services
// of clouds and follows no redirect. A nil now is time.Now; it tells how long answers are kept, and not whether they count, which is decided
// by the time of each check.
func NewRevocations(client *http.Client, now func() time.Time) *Revocations {
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
	return &Revocations{client: client, now: now, kept: map[string]*keptAnswer{}, asking: map[*keptAnswer]string{}}
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
func (s *Revocations) ask(ctx context.Context, q question) []trust.Item {
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

func (s *Revocations) ocsp(ctx context.Context, server string, q question) ([]byte, error) {
	return s.remembered(ctx, "ocsp "+about(q.cert)+" "+server, keepOCSP, func(ctx context.Context) ([]byte, time.Time, error) {
		body, err := ocsp.CreateRequest(q.cert, q.issuer, nil)
		if err != nil {
			return nil, time.Time{}, err
		}
		content, err := s.fetch(ctx, http.MethodPost, server, body, askTimeout, maxOCSP)
		if err != nil {
			return nil, time.Time{}, err
		}
		ends, err := checkOCSP(content, q.cert, q.issuer, s.now())
		return content, ends, err
	})
}

func (s *Revocations) list(ctx context.Context, server string, q question) ([]byte, error) {
	return s.remembered(ctx, "list "+about(q.issuer)+" "+server, keepList, func(ctx context.Context) ([]byte, time.Time, error) {
		content, err := s.fetch(ctx, http.MethodGet, server, nil, listTimeout, maxCRL)
		if err != nil {
			return nil, time.Time{}, err
		}
		ends, err := checkCRL(content, server, q.cert, q.issuer, s.now())
		return content, ends, err
	})
}

func (s *Revocations) fetch(ctx context.Context, method, server string, body []byte, timeout time.Duration, limit int64) ([]byte, error) {
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
