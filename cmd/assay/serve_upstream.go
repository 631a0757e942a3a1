package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/upstream"
	"github.com/assay-dev/assay/engine/wire"
)

// Limits of the connections to an upstream.
const (
	upstreamDial  = 5 * time.Second  // for a connection, and for its TLS
	upstreamIdle  = 90 * time.Second // after which a connection without questions is closed
	upstreamQuiet = 15 * time.Second // after which it is looked whether a connection still stands
	upstreamConns = 16               // connections at once, where the other side has no HTTP/2
)

// upstreamOptions are the flags about another Assay that is asked first.
type upstreamOptions struct {
	url       string
	ca        string
	cert, key string
	timeout   time.Duration
}

func (o *upstreamOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.url, "upstream", "", "`URL` of an \"assay serve api\" that is asked first; what rests on other policies than those here, and all while it is away, is decided here")
	f.StringVar(&o.ca, "upstream-ca", "", "PEM `FILE` with the authorities of the certificate of --upstream (default those of the system); read again when it changes")
	f.StringVar(&o.cert, "upstream-cert", "", "PEM `FILE` with the certificate that --upstream knows this host by, and what is above it; read again when it changes")
	f.StringVar(&o.key, "upstream-key", "", "PEM `FILE` with the key of --upstream-cert")
	f.DurationVar(&o.timeout, "upstream-timeout", upstream.DefaultTimeout, "how long to wait for an answer of --upstream before deciding here, and at most half of the time there is")
}

// check refuses command lines that would ask somebody whom nobody knows, or as nobody.
func (o *upstreamOptions) check() error {
	if o.url == "" {
		waits := o.timeout != 0 && o.timeout != upstream.DefaultTimeout // 0: a server without these flags
		if o.ca != "" || o.cert != "" || o.key != "" || waits {
			return usageError("--upstream-ca, --upstream-cert, --upstream-key and --upstream-timeout are about an upstream: give --upstream as well")
		}
		return nil
	}
	at, err := url.Parse(o.url)
	switch {
	case err != nil:
		return usageError("--upstream: %w", err)
	case at.Scheme != "https" || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "":
		return usageError("--upstream %s: want https://HOST, perhaps with a port and a path", at.Redacted())
	case o.cert == "" || o.key == "":
		return withHint(usageError("--upstream: as whom?"), "give --upstream-cert and --upstream-key, by an authority of the upstream's --client-ca")
	case o.timeout <= 0:
		return usageError("--upstream-timeout %v: want more than 0", o.timeout)
	}
	return nil
}

// open returns what a server decides with: its engine, which asks the upstream first if there is one.
func (o *upstreamOptions) open(s *server) (enforce.Decider, error) {
	if o.url == "" {
		return s.engine, nil
	}
	link := &upstreamLink{options: o}
	if err := s.watch("upstream", link.load); err != nil {
		return nil, err
	}
	s.upstream = link
	m := newUpstreamMetrics()
	s.metrics.registry.MustRegister(m.questions, m.duration)
	return upstream.New(upstream.Config{
		Ask: m.timed(link.ask), Alone: s.engine, Basis: s.engine.Basis, Timeout: o.timeout, Now: s.app.now, Log: s.log, Observe: m.observe,
	}), nil
}

// upstreamLink asks the upstream, with what the files say at that time.
type upstreamLink struct {
	options *upstreamOptions
	current atomic.Pointer[wire.Client]
	ends    atomic.Pointer[time.Time] // the certificate that the upstream knows this host by
}

func (l *upstreamLink) ask(ctx context.Context, req engine.Request) (engine.Verdict, error) {
	verdicts, err := l.current.Load().Ask(ctx, req)
	if err != nil {
		return engine.Verdict{}, withCertificate(err, l.ends.Load(), time.Now())
	}
	return verdicts[0], nil
}

// withCertificate says which of the two certificates an error is about: "expired" alone could be either.
// That of this host ended at ends; nil: nobody knows.
func withCertificate(err error, ends *time.Time, now time.Time) error {
	var unknown *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("the upstream's certificate does not count for --upstream-ca and the name in --upstream: %w", err)
	case errors.Is(err, wire.ErrAnswer), errors.Is(err, wire.ErrQuestion):
		return err
	case ends != nil && now.After(*ends):
		return fmt.Errorf("the certificate of this host (--upstream-cert) ended at %s: %w", ends.UTC().Format(time.RFC3339), err)
	case saysRemote(err):
		return fmt.Errorf("the upstream refuses the TLS of this host, perhaps its certificate (--upstream-cert): %w", err)
	}
	return err
}

// saysRemote reports whether an error is what the other side of a TLS connection ended it with. With TLS 1.3 that comes after the handshake, and a
// question that waited for the connection hears only that there is none.
func saysRemote(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" || strings.HasSuffix(err.Error(), "http2: client conn could not be established")
}

// load reads the files anew, all of them or none. Questions under way end as they began.
func (l *upstreamLink) load(r *reading) error {
	o := l.options
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.ca != "" {
		text, err := r.file(o.ca, maxMaterial)
		if err != nil {
			return err
		}
		certs, err := certificatesIn(o.ca, text)
		if err != nil {
			return err
		}
		config.RootCAs = x509.NewCertPool()
		for _, cert := range certs {
			config.RootCAs.AddCert(cert)
		}
	}
	cert, err := r.file(o.cert, maxMaterial)
	if err != nil {
		return err
	}
	key, err := r.file(o.key, maxMaterial)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", o.cert, o.key, err)
	}
	l.ends.Store(&pair.Leaf.NotAfter)
	// Whatever authorities the upstream names: it is to say that it does not know this one, and not that there is none.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	before := l.current.Swap(&wire.Client{URL: strings.TrimRight(o.url, "/"), HTTP: &http.Client{Transport: upstreamTransport(config)}})
	if before != nil {
		before.HTTP.CloseIdleConnections()
	}
	return nil
}

// close lets go of connections that nobody needs any more.
func (l *upstreamLink) close() {
	if l != nil {
		l.current.Load().HTTP.CloseIdleConnections()
	}
}

func upstreamTransport(config *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext: (&net.Dialer{Timeout: upstreamDial}).DialContext, TLSHandshakeTimeout: upstreamDial, TLSClientConfig: config,
		ForceAttemptHTTP2: true, HTTP2: &http.HTTP2Config{SendPingTimeout: upstreamQuiet, PingTimeout: upstreamDial},
		MaxConnsPerHost: upstreamConns, MaxIdleConnsPerHost: upstreamConns, IdleConnTimeout: upstreamIdle, DisableCompression: true,
	}
}

// upstreamMetrics counts what comes of an upstream.
type upstreamMetrics struct {
	questions *prometheus.CounterVec
	duration  prometheus.Histogram
}

func newUpstreamMetrics() *upstreamMetrics {
	m := &upstreamMetrics{
		questions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_upstream_questions_total", Help: "Questions for the upstream, by what came of them.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "assay_upstream_duration_seconds", Help: "How long the upstream took for an answer, or until it was given up.",
			Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
		}),
	}
	for _, r := range upstream.Results() {
		m.questions.WithLabelValues(string(r))
	}
	return m
}

func (m *upstreamMetrics) observe(r upstream.Result) { m.questions.WithLabelValues(string(r)).Inc() }

// timed measures how long answers take.
func (m *upstreamMetrics) timed(ask func(context.Context, engine.Request) (engine.Verdict, error)) func(context.Context, engine.Request) (engine.Verdict, error) {
	return func(ctx context.Context, req engine.Request) (engine.Verdict, error) {
		start := time.Now()
		v, err := ask(ctx, req)
		if !errors.Is(err, wire.ErrQuestion) {
			m.duration.Observe(time.Since(start).Seconds())
		}
		return v, err
	}
}
