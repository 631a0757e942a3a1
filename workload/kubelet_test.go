package workload

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory, so that a fake clock governs both ends.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	dials atomic.Int32
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		p.dials.Add(1)
		return newEager(here), nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// eager is a connection whose writes do not wait for the reader: a refused handshake is told while the other side still writes.
type eager struct {
	net.Conn
	queue chan []byte
	done  chan struct{}
	once  sync.Once
}

func newEager(c net.Conn) *eager {
	e := &eager{Conn: c, queue: make(chan []byte, 64), done: make(chan struct{})}
	go func() {
		for {
			select {
			case b := <-e.queue:
				_, _ = c.Write(b)
			case <-e.done:
				return
			}
		}
	}()
	return e
}

func (e *eager) Write(b []byte) (int, error) {
	select {
	case e.queue <- slices.Clone(b):
		return len(b), nil
	case <-e.done:
		return 0, net.ErrClosed
	}
}

func (e *eager) Close() error {
	e.once.Do(func() { close(e.done) })
	return e.Conn.Close()
}

// fakeKubelet serves until the bubble's test ends. Config nil: without TLS.
func fakeKubelet(t *testing.T, config *tls.Config, handler http.HandlerFunc) *pipes {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	s := &http.Server{Handler: handler, TLSConfig: config, ErrorLog: discardLog()}
	var served sync.WaitGroup
	served.Go(func() {
		if config != nil {
			_ = s.ServeTLS(p, "", "")
		} else {
			_ = s.Serve(p)
		}
	})
	t.Cleanup(func() {
		_ = s.Close()
		_ = p.Close()
		served.Wait()
	})
	return p
}

// plainKubelet is a client of a read-only port that handler serves.
func plainKubelet(t *testing.T, handler http.HandlerFunc) *Kubelet {
	t.Helper()
	p := fakeKubelet(t, nil, handler)
	return openKubelet(t, KubeletConfig{ReadOnly: true, Port: 10255, dial: p.dial})
}

func openKubelet(t *testing.T, c KubeletConfig) *Kubelet {
	t.Helper()
	k, err := OpenKubelet(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

const onePod = `{"items":[{"metadata":{"uid":"u"}}]}`

func TestK8S6_ManyCallersShareSpacedFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var starts []time.Time
		k := plainKubelet(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.String() != "/pods" || r.Method != http.MethodGet || len(r.Header["Authorization"]) > 0 {
				t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
			}
			mu.Lock()
			starts = append(starts, time.Now())
			mu.Unlock()
			_, _ = io.WriteString(w, onePod)
		})
		const rounds = 5
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				seen := uint64(0)
				for range rounds {
					l, err := k.Pods(t.Context(), seen)
					if err != nil {
						t.Error(err)
						return
					}
					if l.Number <= seen {
						t.Errorf("list %d is not newer than %d", l.Number, seen)
					}
					seen = l.Number
				}
			})
		}
		all.Wait()
		if len(starts) != rounds {
			t.Errorf("%d fetches, want %d", len(starts), rounds)
		}
		for i := 1; i < len(starts); i++ {
			if apart := starts[i].Sub(starts[i-1]); apart < 500*time.Millisecond {
				t.Errorf("fetch %d came %v after the one before", i, apart)
			}
		}
	})
}

func TestK8S6_AFailedFetchIsNotAnsweredFromAnOldList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		k := plainKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
			if n++; n == 2 {
				http.Error(w, strings.Repeat("x", 5000), http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, onePod)
		})
		first, err := k.Pods(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := k.Pods(t.Context(), 0); err != nil || again != first {
			t.Errorf("at once: %v, %v; want the list that is there", again, err)
		}
		time.Sleep(500 * time.Millisecond)
		want := "unexpected status code on pods response: 500 " + strings.Repeat("x", 1024)
		if l, err := k.Pods(t.Context(), 0); l != nil || err == nil || err.Error() != want {
			t.Errorf("a failing fetch: %v, %v", l, err)
		}
		if l, err := k.Pods(t.Context(), 0); err != nil || l.Number != 3 {
			t.Errorf("after the failure: %v, %v; want a list of a third fetch", l, err)
		}
	})
}

func TestK8S6_ACancelledCallerDisturbsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open, fetches := make(chan struct{}), 0
		k := plainKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
			fetches++
			<-open
			_, _ = io.WriteString(w, onePod)
		})
		gone := errors.New("gone")
		impatient, cancel := context.WithCancelCause(t.Context())
		results := make(chan error, 2)
		go func() { _, err := k.Pods(impatient, 0); results <- err }()
		synctest.Wait()
		go func() { _, err := k.Pods(t.Context(), 0); results <- err }()
		synctest.Wait()
		cancel(gone)
		if err := <-results; err != gone {
			t.Errorf("the cancelled caller: %v", err)
		}
		close(open)
		if err := <-results; err != nil {
			t.Errorf("the other caller: %v", err)
		}
		// Nobody waits for the next fetch when it may begin: there is none.
		short, cancel2 := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel2()
		if _, err := k.Pods(short, k.Begun()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller with little time: %v", err)
		}
		time.Sleep(time.Minute)
		if fetches != 1 {
			t.Errorf("%d fetches, want 1", fetches)
		}
		if _, err := k.Pods(t.Context(), 1); err != nil || fetches != 2 {
			t.Errorf("later: %v, %d fetches", err, fetches)
		}
	})
}

func TestK8S5_AListOfAFetchThatHadBegunIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{}, 2)
		k := plainKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
			<-open
			_, _ = io.WriteString(w, onePod)
		})
		go func() { _, _ = k.Pods(t.Context(), 0) }()
		synctest.Wait()
		begun := k.Begun()
		got := make(chan *PodList)
		go func() {
			l, err := k.Pods(t.Context(), begun)
			if err != nil {
				t.Error(err)
			}
			got <- l
		}()
		open <- struct{}{}
		open <- struct{}{}
		if l := <-got; begun != 1 || l.Number != 2 {
			t.Errorf("list %d, want 2", l.Number)
		}
	})
}

func TestK8S7_AFetchEnds(t *testing.T) {
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"slow":     {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "unable to perform request: "},
		"401":      {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Unauthorized", http.StatusUnauthorized) }, "unexpected status code on pods response: 401 Unauthorized"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, "unexpected status code on pods response: 302"},
		"half": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"items":[{"meta`)
		}, "unable to parse kubelet response: unexpected EOF"},
		"drips": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		}, "unable to parse kubelet response: context deadline exceeded"},
		"page":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "unable to parse kubelet response: "},
		"array":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") }, "invalid kubelet response: expected an object"},
		"no items": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"items":1}`) }, "invalid kubelet response: expected an items array"},
		"null":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"items":null}`) }, ""},
		"2 MiB": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"a":"`+strings.Repeat("x", 2<<20)+`","items":[]}`)
		}, ""},
		"gzip": {func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "" {
				t.Error("a packed answer was asked for")
			}
			_, _ = io.WriteString(w, `{"items":[]}`)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := plainKubelet(t, row.handler)
				start := time.Now()
				_, err := k.Pods(t.Context(), 0)
				if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.HasPrefix(err.Error(), row.want)) {
					t.Errorf("got %v, want %q", err, row.want)
				}
				if took := time.Since(start); took > kubeletTimeout+time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestAPanicOfAFetchEndsItAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := plainKubelet(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, onePod) })
		k.config.Go = func(_ string, fn func()) {
			go func() {
				defer func() { _ = recover() }()
				fn()
			}()
		}
		good := k.files.client.Transport
		k.files.client.Transport = tripper(func(*http.Request) (*http.Response, error) { panic("injected") })
		for range 3 {
			if _, err := k.Pods(t.Context(), 0); !errors.Is(err, errFetchBroken) {
				t.Fatalf("got %v", err)
			}
		}
		k.files.client.Transport = good
		if _, err := k.Pods(t.Context(), 0); err != nil {
			t.Errorf("the next fetch: %v", err)
		}
	})
}

func TestAPanicOverAHandshakeIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, folder := newAuthority(t), t.TempDir()
		write(t, folder+"/token", []byte("secret"))
		write(t, folder+"/ca.crt", a.pem())
		p := fakeKubelet(t, a.server("node-1"), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, onePod) })
		k := openKubelet(t, KubeletConfig{Port: 10250, ServiceAccount: []string{folder}, dial: p.dial})
		injected := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { panic("injected") }}
		k.files.client = kubernetesClient(injected, p.dial)
		if _, err := k.Pods(t.Context(), 0); err == nil || !strings.HasSuffix(err.Error(), "TLS with 127.0.0.1:10250: a bug: injected") {
			t.Errorf("got %v", err)
		}
	})
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCloseEndsAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := plainKubelet(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		result := make(chan error)
		go func() { _, err := k.Pods(context.Background(), 0); result <- err }()
		synctest.Wait()
		start := time.Now()
		k.Close()
		if err := <-result; err == nil || time.Since(start) > 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// authority issues certificates for a test.
type authority struct {
	t      *testing.T
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubelet CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = a.sign(template, template, &a.key.PublicKey)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// issue returns a certificate and key in PEM, for a server of some names or a client of one.
func (a *authority) issue(common string, names ...string) (cert, key []byte) {
	a.t.Helper()
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial + 1), Subject: pkix.Name{CommonName: common},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	own := newKey(a.t)
	der, err := x509.MarshalECPrivateKey(own)
	if err != nil {
		a.t.Fatal(err)
	}
	c := a.sign(template, a.cert, &own.PublicKey)
	return pemOf("CERTIFICATE", c.Raw), pemOf("EC PRIVATE KEY", der)
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (a *authority) pem() []byte { return pemOf("CERTIFICATE", a.cert.Raw) }

// server is the TLS of a kubelet with some names, which asks for client certificates.
func (a *authority) server(names ...string) *tls.Config {
	a.t.Helper()
	cert, key := a.issue("kubelet", names...)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// who tells how a request was made: by its token and client certificate.
func who(r *http.Request) string {
	parts := []string{}
	if token := r.Header.Get("Authorization"); token != "" {
		parts = append(parts, token)
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		parts = append(parts, "CN="+r.TLS.PeerCertificates[0].Subject.CommonName)
	}
	return strings.Join(parts, " ")
}

func TestK8S8_WaysToBeKnown(t *testing.T) {
	for name, row := range map[string]struct {
		config func(folder string, c *KubeletConfig)
		names  []string // of the kubelet's certificate
		want   string   // who the kubelet sees, or the beginning of an error
		failed bool
	}{
		"token":   {func(string, *KubeletConfig) {}, []string{"elsewhere"}, "Bearer secret", false},
		"by name": {func(_ string, c *KubeletConfig) { c.Host = "node-1" }, []string{"node-1"}, "Bearer secret", false},
		"by IP":   {func(_ string, c *KubeletConfig) { c.Host = "198.18.0.2" }, []string{"198.18.0.2"}, "Bearer secret", false},
		"by IPv6": {func(_ string, c *KubeletConfig) { c.Host = "fd00::2" }, []string{"fd00::2"}, "Bearer secret", false},
		"IP as name": {func(_ string, c *KubeletConfig) { c.Host = "198.18.0.2" }, []string{"node-1"},
			`unable to perform request: Get "https://198.18.0.2:10250/pods": tls: failed to verify certificate: x509: cannot validate certificate for 198.18.0.2`, true},
		"other name": {func(_ string, c *KubeletConfig) { c.Host = "node-1" }, []string{"node-2"},
			`unable to perform request: Get "https://node-1:10250/pods": tls: failed to verify certificate: x509: certificate is valid for node-2, not node-1`, true},
		"other CA": {func(f string, c *KubeletConfig) { c.CAFile = f + "/other.crt" }, []string{"node-1"},
			`unable to perform request: Get "https://127.0.0.1:10250/pods": x509: certificate signed by unknown authority`, true},
		"other CA by name": {func(f string, c *KubeletConfig) { c.CAFile, c.Host = f+"/other.crt", "node-1" }, []string{"node-1"},
			`unable to perform request: Get "https://node-1:10250/pods": tls: failed to verify certificate: x509: certificate signed by unknown authority`, true},
		"skipped": {func(_ string, c *KubeletConfig) {
			c.InsecureSkipVerification, c.CAFile, c.Host = true, "/nowhere", "node-1"
		}, []string{"node-2"}, "Bearer secret", false},
		"certificate": {func(f string, c *KubeletConfig) { c.CertFile, c.KeyFile = f+"/cert.pem", f+"/key.pem" }, []string{"node-1"}, "CN=agent", false},
		"certificate, skipped": {func(f string, c *KubeletConfig) {
			c.CertFile, c.KeyFile, c.InsecureSkipVerification = f+"/cert.pem", f+"/key.pem", true
		}, []string{"node-1"}, "CN=agent", false},
		"anonymous": {func(f string, c *KubeletConfig) {
			c.Anonymous, c.TokenFile, c.CertFile = true, f+"/sa/token", f+"/cert.pem"
		}, []string{"node-1"}, "", false},
		"token of its own": {func(f string, c *KubeletConfig) { c.TokenFile = f + "/token" }, []string{"node-1"}, "Bearer own", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, other, folder := newAuthority(t), newAuthority(t), t.TempDir()
				cert, key := a.issue("agent")
				for file, content := range map[string][]byte{
					"sa/ca.crt": a.pem(), "sa/token": []byte(" \nsecret\n\n"), "token": []byte("own"), "other.crt": other.pem(), "cert.pem": cert, "key.pem": key,
				} {
					write(t, filepath.Join(folder, file), content)
				}
				seen := make(chan string, 1)
				p := fakeKubelet(t, a.server(row.names...), func(w http.ResponseWriter, r *http.Request) {
					seen <- who(r)
					_, _ = io.WriteString(w, onePod)
				})
				c := KubeletConfig{Port: 10250, ServiceAccount: []string{folder + "/none", folder + "/sa"}, dial: p.dial}
				row.config(folder, &c)
				_, err := openKubelet(t, c).Pods(t.Context(), 0)
				switch {
				case row.failed && (err == nil || !strings.HasPrefix(err.Error(), row.want)):
					t.Errorf("got %v, want %q", err, row.want)
				case !row.failed && err != nil:
					t.Error(err)
				case !row.failed:
					if got := <-seen; got != row.want {
						t.Errorf("the kubelet saw %q, want %q", got, row.want)
					}
				}
			})
		})
	}
}

func TestK8S8_TheReadOnlyPortGetsNoCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan string, 1)
		p := fakeKubelet(t, nil, func(w http.ResponseWriter, r *http.Request) {
			seen <- r.Host + " " + who(r)
			_, _ = io.WriteString(w, onePod)
		})
		folder := t.TempDir()
		write(t, folder+"/token", []byte("secret"))
		k := openKubelet(t, KubeletConfig{ReadOnly: true, Port: 10255, Host: "node-1", TokenFile: folder + "/token", ServiceAccount: []string{folder}, dial: p.dial})
		if _, err := k.Pods(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != "127.0.0.1:10255 " {
			t.Errorf("the kubelet saw %q", got)
		}
	})
}

func TestK8S8_TextsOfFiles(t *testing.T) {
	a, folder := newAuthority(t), t.TempDir()
	cert, key := a.issue("agent")
	otherCert, _ := a.issue("agent")
	for file, content := range map[string][]byte{
		"ca.crt": a.pem(), "token": []byte("secret"), "cert.pem": cert, "key.pem": key, "other.pem": otherCert, "bad": []byte("bad"),
		"bad.crt": pemOf("CERTIFICATE", []byte("bad")), "huge": make([]byte, 2<<20),
	} {
		write(t, filepath.Join(folder, file), content)
	}
	at := func(name string) string { return filepath.Join(folder, name) }
	for name, row := range map[string]struct {
		config KubeletConfig
		want   string
	}{
		"no CA":       {KubeletConfig{CAFile: at("none")}, "unable to load kubelet CA: open " + at("none") + ": no such file or directory"},
		"default CA":  {KubeletConfig{ServiceAccount: []string{at("a"), at("b")}}, "unable to load kubelet CA: open " + at("a/ca.crt")},
		"bad CA":      {KubeletConfig{CAFile: at("bad")}, "unable to parse kubelet CA: no certificate in PEM"},
		"broken CA":   {KubeletConfig{CAFile: at("bad.crt")}, "unable to parse kubelet CA: x509: "},
		"huge CA":     {KubeletConfig{CAFile: at("huge")}, "unable to load kubelet CA: " + at("huge") + ": longer than 1048576 bytes"},
		"no token":    {KubeletConfig{TokenFile: at("none")}, "unable to load token: open "},
		"no cert":     {KubeletConfig{CertFile: at("none"), KeyFile: at("key.pem")}, "unable to load certificate: open "},
		"no key":      {KubeletConfig{CertFile: at("cert.pem"), KeyFile: at("none")}, "unable to load private key: open "},
		"other pair":  {KubeletConfig{CertFile: at("other.pem"), KeyFile: at("key.pem")}, "unable to load keypair: tls: "},
		"half, cert":  {KubeletConfig{CertFile: at("cert.pem")}, "the private key path is required with the certificate path"},
		"half, key":   {KubeletConfig{KeyFile: at("key.pem")}, "the certificate path is required with the private key path"},
		"good":        {KubeletConfig{}, ""},
		"needs none":  {KubeletConfig{Anonymous: true, InsecureSkipVerification: true, ServiceAccount: []string{at("a")}}, ""},
		"read-only":   {KubeletConfig{ReadOnly: true, CAFile: at("none"), TokenFile: at("none")}, ""},
		"skipped CA":  {KubeletConfig{InsecureSkipVerification: true, CAFile: at("none")}, ""},
		"cert, token": {KubeletConfig{CertFile: at("cert.pem"), KeyFile: at("key.pem"), TokenFile: at("none")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := row.config
			if c.ServiceAccount == nil {
				c.ServiceAccount = []string{folder}
			}
			k, err := OpenKubelet(c)
			switch {
			case err == nil:
				k.Close()
				if row.want != "" {
					t.Errorf("it opens, want %q", row.want)
				}
			case row.want == "" || !strings.HasPrefix(err.Error(), row.want):
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

func TestK8S8_FilesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, folder := newAuthority(t), t.TempDir()
		ca, token := write(t, folder+"/ca.crt", a.pem()), write(t, folder+"/token", []byte("one"))
		seen := make(chan string, 1)
		p := fakeKubelet(t, a.server("node-1"), func(w http.ResponseWriter, r *http.Request) {
			seen <- who(r)
			_, _ = io.WriteString(w, onePod)
		})
		k := openKubelet(t, KubeletConfig{Port: 10250, ServiceAccount: []string{folder}, ReloadInterval: 20 * time.Second, dial: p.dial})
		ask := func(want string, dials int32) {
			t.Helper()
			_, err := k.Pods(t.Context(), k.Begun())
			if err != nil {
				if !strings.HasPrefix(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
				return
			}
			if got := <-seen; got != want || p.dials.Load() != dials {
				t.Errorf("the kubelet saw %q over %d connections, want %q over %d", got, p.dials.Load(), want, dials)
			}
		}
		ask("Bearer one", 1)
		write(t, token, []byte("two\n"))
		ask("Bearer one", 1)
		time.Sleep(20 * time.Second)
		ask("Bearer two", 1) // the connection is kept
		time.Sleep(20 * time.Second)
		if err := os.Remove(token); err != nil {
			t.Fatal(err)
		}
		ask("unable to load token: open "+token, 1)
		write(t, token, []byte("three"))
		ask("Bearer three", 1) // the next fetch tries at once
		write(t, ca, append(newAuthority(t).pem(), a.pem()...))
		time.Sleep(20 * time.Second)
		ask("Bearer three", 2) // another CA: another connection
		write(t, ca, []byte("bad"))
		time.Sleep(20 * time.Second)
		ask("unable to parse kubelet CA: no certificate in PEM", 2)
		write(t, ca, newAuthority(t).pem())
		ask(fmt.Sprintf("unable to perform request: Get %q: x509: certificate signed by unknown authority", k.url), 2)
	})
}

// discardLog is for servers that would log what a test does on purpose.
func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
