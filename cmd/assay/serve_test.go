package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is a stderr that is read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// find returns the last line of the log with a message, as a map; nil if there is none.
func (l *lines) find(message string) map[string]any {
	var found map[string]any
	for line := range strings.SplitSeq(l.String(), "\n") {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["msg"] == message {
			found = m
		}
	}
	return found
}

// running is a server that a command line started.
type running struct {
	t       *testing.T
	log     *lines
	address string
	stop    context.CancelFunc
	ended   chan int
	client  *http.Client
	scheme  string
}

// serve starts the point api at a free port of loopback and waits until it listens.
func serve(t *testing.T, args ...string) *running {
	t.Helper()
	return servePoint(t, "api", args...)
}

// servePoint does so with any point.
func servePoint(t *testing.T, point string, args ...string) *running {
	t.Helper()
	return serveWith(t, nil, point, args...)
}

// testPace is that of tests. A file must hold still for two looks, so that they are not too close for a test that writes one in place.
var testPace = pace{files: 100 * time.Millisecond, settle: 20 * time.Millisecond, jitter: 20 * time.Millisecond}

// serveWith does so in an environment.
func serveWith(t *testing.T, env map[string]string, point string, args ...string) *running {
	t.Helper()
	return serveAt(t, testPace, env, point, args...)
}

// serveAt does so at a pace.
func serveAt(t *testing.T, at pace, env map[string]string, point string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, log: &lines{}, stop: cancel, ended: make(chan int, 1), scheme: "http"}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	r.client = &http.Client{Transport: transport, Timeout: 20 * time.Second}
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: r.log, getenv: func(name string) string { return env[name] }, now: time.Now, pace: at}
	go func() {
		r.ended <- a.run(ctx, append([]string{"assay", "serve", point, "--listen", "127.0.0.1:0"}, args...))
	}()
	t.Cleanup(func() {
		cancel()
		transport.CloseIdleConnections()
		select {
		case code := <-r.ended:
			if code != 0 {
				t.Errorf("got exit code %d\n%s", code, r.log)
			}
		case <-time.After(10 * time.Second):
			t.Error("the server does not end")
		}
	})
	r.until("it listens", func() bool { return r.log.find("listening") != nil })
	r.address, _ = r.log.find("listening")["address"].(string)
	if tls, _ := r.log.find("listening")["tls"].(bool); tls {
		r.scheme = "https"
	}
	return r
}

func (r *running) until(what string, yes func() bool) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); !yes(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s: not within 10 s\n%s", what, r.log)
		}
	}
}

// ask sends a request and returns status, headers and body; a body of "" is a GET.
func (r *running) ask(path, body string, headers ...string) (int, http.Header, string) {
	r.t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequest(method, r.scheme+"://"+r.address+path, strings.NewReader(body))
	must(r.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	must(r.t, err)
	return resp.StatusCode, resp.Header, string(content)
}

func (r *running) metric(line string) bool {
	_, _, body := r.ask("/metrics", "")
	return strings.Contains(body, "\n"+line+"\n")
}

const allowOnly = `apiVersion: assay.dev/v1
kind: TrustPolicy
metadata: {name: %s}
spec:
  rules:
  - {images: ["registry.example/%s/**"], allow: for the test}
`

// replace puts a file in another's place at once.
func replace(t *testing.T, name, content string) {
	t.Helper()
	must(t, os.WriteFile(name+".new", []byte(content), 0o600))
	must(t, os.Rename(name+".new", name))
}

func servedPolicy(t *testing.T, team string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "policy.yaml")
	replace(t, name, fmt.Sprintf(allowOnly, team, team))
	return name
}

const askFor = `{"images":["registry.example/a/app:1","registry.example/b/app:1"]}`

// allowed returns what of askFor is allowed: "a", "b", "ab" or "".
func (r *running) allowed() string {
	status, _, body := r.ask("/v1/verdicts", askFor)
	var verdicts []struct{ Allowed bool }
	if status != http.StatusOK || json.Unmarshal([]byte(body), &verdicts) != nil || len(verdicts) != 2 {
		return fmt.Sprintf("status %d %s", status, body)
	}
	word := ""
	for i, v := range verdicts {
		if v.Allowed {
			word += string("ab"[i])
		}
	}
	return word
}

func TestServeAnswers(t *testing.T) {
	r := serve(t, "--policy", servedPolicy(t, "a"), "--insecure-plain-http")
	if got := r.allowed(); got != "a" {
		t.Errorf("got %q, want a", got)
	}
	line := r.log.find("verdict")
	for field, want := range map[string]any{"image": "registry.example/b/app:1", "verdict": "denied", "outcome": "denied", "policy": "a", "point": "api"} {
		if line[field] != want {
			t.Errorf("log: %s: got %v, want %v", field, line[field], want)
		}
	}
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if status, _, body := r.ask(path, ""); status != 200 || body != want {
			t.Errorf("%s: got %d %q", path, status, body)
		}
	}
}

// A policy that is replaced is used, a bad one is not: what was in force stays, is told and is counted.
func TestCSE37_PoliciesAreReplacedWhole(t *testing.T) {
	t.Parallel()
	file := servedPolicy(t, "a")
	r := serve(t, "--policy", file, "--insecure-plain-http", "--rate", "100000")
	stop, asked := make(chan struct{}), make(chan string, 1)
	go func() { // questions run all the time: none may ever see neither policy
		bad := ""
		for {
			select {
			case <-stop:
				asked <- bad
				return
			default:
				if got := r.allowed(); got != "a" && got != "b" {
					bad = got
				}
				time.Sleep(2 * time.Millisecond)
			}
		}
	}()
	for _, bad := range []string{"", "spec: [", "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: x}\nspec: {rules: []}\n"} {
		must(t, os.WriteFile(file, []byte(bad), 0o600))
		r.until("the bad policy is counted", func() bool { return r.metric(`assay_reload_refused{what="policies"} 1`) })
		if got := r.allowed(); got != "a" {
			t.Errorf("after %q: got %q, want a", bad, got)
		}
	}
	if line := r.log.find("cannot be used; what was in force before stays"); line == nil || !strings.Contains(fmt.Sprint(line["error"]), file) {
		t.Errorf("got log line %v, want one with the file", line)
	}
	must(t, os.WriteFile(file, fmt.Appendf(nil, allowOnly, "b", "b"), 0o600))
	r.until("the new policy is in force", func() bool { return r.allowed() == "b" })
	r.until("it is counted", func() bool { return r.metric(`assay_reload_refused{what="policies"} 0`) })
	close(stop)
	if bad := <-asked; bad != "" {
		t.Errorf("a question saw %q", bad)
	}
}

// A file is written in place, slowly: what stands there meanwhile is a policy as well, but a looser one.
func TestCSE37_HalfAFileIsNoPolicy(t *testing.T) {
	w := &watched{what: "policies"}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	var loaded []string
	w.load = func(r *reading) error {
		content, err := r.file(file, 100)
		loaded = append(loaded, string(content))
		return err
	}
	s := &server{metrics: newServerMetrics(), log: newTestLog()}
	must(t, os.WriteFile(file, []byte("whole 1"), 0o600))
	must(t, s.watch(w.what, w.load))
	for _, content := range []string{"", "wh", "whole 2", "whole 2"} {
		must(t, os.WriteFile(file, []byte(content), 0o600))
		s.look()
	}
	s.look()
	if got := strings.Join(loaded, ", "); got != "whole 1, whole 2" {
		t.Errorf("got %q", got)
	}
}

// A file that comes while policies are read has not held still.
func TestCSE37_AFileThatComesLaterIsNoPolicy(t *testing.T) {
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	var loaded []string
	w := &watched{what: "policies"}
	w.load = func(r *reading) error {
		if len(loaded) == 1 {
			must(t, os.WriteFile(in("b.yaml"), []byte("half"), 0o600))
		}
		files, err := r.list([]string{folder})
		content := ""
		for _, file := range files {
			one, _ := r.file(file, 100)
			content += string(one) + " "
		}
		loaded = append(loaded, content)
		return err
	}
	s := &server{metrics: newServerMetrics(), log: newTestLog()}
	must(t, os.WriteFile(in("a.yaml"), []byte("one"), 0o600))
	must(t, s.watch(w.what, w.load))
	must(t, os.WriteFile(in("a.yaml"), []byte("two"), 0o600))
	s.look()
	s.look()
	must(t, os.WriteFile(in("b.yaml"), []byte("whole"), 0o600))
	for range 3 {
		s.look()
	}
	if got := strings.Join(loaded, ", "); got != "one , two , two whole " {
		t.Errorf("got %q", got)
	}
}

// A folder's policies come and go.
func TestServeWatchesFolders(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	one, two := filepath.Join(folder, "one.yaml"), filepath.Join(folder, "two.yaml")
	ignoring := strings.Replace(allowOnly, "spec:", "spec:\n  unmatched: ignore", 1)
	replace(t, one, fmt.Sprintf(ignoring, "a", "a"))
	r := serve(t, "--policy", folder, "--insecure-plain-http")
	if got := r.allowed(); got != "a" {
		t.Fatalf("got %q, want a", got)
	}
	replace(t, two, fmt.Sprintf(ignoring, "b", "b"))
	r.until("both are in force", func() bool { return r.allowed() == "ab" })
	must(t, os.Remove(one))
	r.until("one is left", func() bool { return r.allowed() == "b" })
	must(t, os.Remove(two))
	r.until("an empty folder is refused", func() bool { return r.metric(`assay_reload_refused{what="policies"} 1`) })
	if got := r.allowed(); got != "b" {
		t.Errorf("got %q, want b", got)
	}
}

// authority is a CA for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue writes a certificate and a key, and returns them too.
func (a *authority) issue(t *testing.T, name, certFile, keyFile string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	cert, private := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if certFile != "" {
		replace(t, keyFile, string(private))
		replace(t, certFile, string(cert))
	}
	pair, err := tls.X509KeyPair(cert, private)
	must(t, err)
	return pair
}

// withCertificate returns a status for a client with a certificate.
func (r *running) withCertificate(cert *tls.Certificate, roots *authority) int {
	r.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(roots.cert)
	c := &tls.Config{RootCAs: pool}
	if cert != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	old := r.client
	defer func() { r.client = old }()
	r.client = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	status, _, _ := r.ask("/v1/verdicts", askFor)
	return status
}

func TestServeKnowsClients(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	servers, clients, others := newAuthority(t, "servers"), newAuthority(t, "clients"), newAuthority(t, "others")
	servers.issue(t, "server", in("tls.crt"), in("tls.key"))
	replace(t, in("clients.pem"), string(clients.pem))
	const secret = "0123456789abcdef0123456789abcdef"
	sum := sha256.Sum256([]byte(secret))
	replace(t, in("tokens"), "# who may ask\nci sha256:"+hex.EncodeToString(sum[:])+"\n")
	r := serve(t, "--policy", servedPolicy(t, "a"), "--tls-cert", in("tls.crt"), "--tls-key", in("tls.key"), "--client-ca", in("clients.pem"), "--tokens", in("tokens"))

	good, bad := clients.issue(t, "deployer", "", ""), others.issue(t, "deployer", "", "")
	if got := r.withCertificate(&good, servers); got != 200 {
		t.Errorf("with a certificate: got %d, want 200", got)
	}
	if got := r.log.find("request"); got == nil || got["client"] != "certificate CN=deployer" {
		t.Errorf("got log line %v", got)
	}
	if got := r.withCertificate(&bad, servers); got != 0 {
		t.Errorf("with a certificate of somebody else's: got %d, want no connection", got)
	}
	if got := r.withCertificate(nil, servers); got != 401 {
		t.Errorf("without a certificate: got %d, want 401", got)
	}
	if status, h, body := r.ask("/v1/verdicts", askFor, "Authorization", "Bearer "+secret); status != 200 || h.Get("X-Request-ID") == "" {
		t.Errorf("with a token: got %d %s", status, body)
	}
	if status, _, _ := r.ask("/readyz", ""); status != 200 {
		t.Errorf("a probe without a certificate: got %d", status)
	}

	// A connection that lasts is known by the same authorities as a new one.
	lasting := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{good}}, MaxConnsPerHost: 1}
	defer lasting.CloseIdleConnections()
	onLasting := func() int {
		old := r.client
		defer func() { r.client = old }()
		r.client = &http.Client{Transport: lasting, Timeout: 10 * time.Second}
		status, _, _ := r.ask("/v1/verdicts", askFor)
		return status
	}
	if got := onLasting(); got != 200 {
		t.Errorf("on a connection that lasts: got %d, want 200", got)
	}

	// Another authority for the server, another one for the clients, and no token that counts any more.
	again := newAuthority(t, "servers 2")
	again.issue(t, "server", in("tls.crt"), in("tls.key"))
	replace(t, in("clients.pem"), string(others.pem))
	replace(t, in("tokens"), "ci sha256:"+strings.Repeat("00", 32)+"\n")
	r.until("the new certificates count", func() bool { return r.withCertificate(&bad, again) == 200 })
	if got := onLasting(); got != 401 {
		t.Errorf("on a connection from before: got %d, want 401", got)
	}
	if got := r.withCertificate(&good, again); got != 0 {
		t.Errorf("with a certificate that counted before: got %d, want no connection", got)
	}
	r.until("the old token does not count", func() bool {
		status, _, _ := r.ask("/v1/verdicts", askFor, "Authorization", "Bearer "+secret)
		return status == 401
	})
	replace(t, in("tls.crt"), "no certificate")
	replace(t, in("tokens"), "")
	r.until("bad certificates are counted", func() bool {
		return r.metric(`assay_reload_refused{what="certificates"} 1`) && r.metric(`assay_reload_refused{what="tokens"} 1`)
	})
	if got := r.withCertificate(&bad, again); got != 200 {
		t.Errorf("after a bad certificate: got %d, want 200", got)
	}
}

func TestServeUsage(t *testing.T) {
	file := servedPolicy(t, "a")
	rows := []struct {
		name string
		args []string
		want string
	}{
		{"no policy", []string{"--insecure-plain-http"}, "no policy"},
		{"no TLS", []string{"--policy", file}, "no certificate to serve with"},
		{"half a certificate", []string{"--policy", file, "--tls-cert", "x"}, "go together"},
		{"plain and TLS", []string{"--policy", file, "--tls-cert", "x", "--tls-key", "x", "--insecure-plain-http", "--insecure-no-auth"}, "choose one"},
		{"nobody may ask", []string{"--policy", file, "--tls-cert", "x", "--tls-key", "x"}, "who may ask?"},
		{"nobody may ask, in plain", []string{"--policy", file, "--insecure-plain-http", "--listen", ":0"}, "who may ask?"},
		{"a name that is no loopback", []string{"--policy", file, "--insecure-plain-http", "--listen", "example.org:0"}, "who may ask?"},
		{"everybody and somebody", []string{"--policy", file, "--insecure-plain-http", "--tokens", "x", "--insecure-no-auth"}, "choose"},
		{"client certificates in plain", []string{"--policy", file, "--insecure-plain-http", "--client-ca", "x"}, "need TLS"},
		{"a policy that is none", []string{"--policy", os.DevNull, "--insecure-plain-http", "--listen", "127.0.0.1:0"}, "/dev/null"},
		{"no such tokens", []string{"--policy", file, "--insecure-plain-http", "--tokens", filepath.Join(t.TempDir(), "none")}, "none"},
		{"no rate", []string{"--policy", file, "--insecure-plain-http", "--listen", "127.0.0.1:0", "--rate", "0"}, "--rate"},
		{"no such flag", []string{"--polcy", file}, "did you mean --policy?"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := runAssay(t, "", append([]string{"serve", "api"}, row.args...)...)
			if got.code != exitUsage || !strings.Contains(got.stderr, row.want) {
				t.Errorf("got exit %d %q, want %d and %q", got.code, got.stderr, exitUsage, row.want)
			}
		})
	}
}

// What was asked before SIGTERM has its answer, and nothing new is taken.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	waiting, release := make(chan struct{}, 1), make(chan struct{})
	registry := newSlowRegistry(t, waiting, release)
	folder := t.TempDir()
	settings := filepath.Join(folder, "registries.yaml")
	replace(t, settings, fmt.Sprintf("registries:\n- host: %s\n  insecurePlainHTTP: true\n  insecureAllowLoopback: true\n", registry))
	file := filepath.Join(folder, "policy.yaml")
	replace(t, file, fmt.Sprintf(allowOnly, "a", "a")+"  revoked:\n  - {digest: \"sha256:"+strings.Repeat("0", 64)+"\", reason: for the test}\n")
	content, err := os.ReadFile(file)
	must(t, err)
	replace(t, file, strings.ReplaceAll(string(content), "registry.example", registry))
	r := serve(t, "--policy", file, "--registries", settings, "--insecure-plain-http", "--drain-delay", "50ms")
	answered := make(chan string, 1)
	go func() {
		status, _, body := r.ask("/v1/verdicts", `{"images":["`+registry+`/a/app:1"]}`)
		answered <- fmt.Sprint(status, " ", body)
	}()
	<-waiting
	r.stop()
	r.until("the end is told", func() bool { return r.log.find("draining") != nil })
	if status, _, _ := r.ask("/readyz", ""); status != http.StatusServiceUnavailable && status != 0 {
		t.Errorf("readyz while draining: got %d, want 503", status)
	}
	r.until("nothing new is taken", func() bool {
		status, _, _ := r.ask("/healthz", "")
		return status == 0
	})
	close(release)
	if got := <-answered; !strings.HasPrefix(got, "200 ") || !strings.Contains(got, `"allowed":true`) {
		t.Errorf("got %s", got)
	}
}

// newSlowRegistry names a digest for every tag, when it is released.
func newSlowRegistry(t *testing.T, waiting chan<- struct{}, release <-chan struct{}) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			select {
			case waiting <- struct{}{}:
			default:
			}
			<-release
		}
		const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`
		sum := sha256.Sum256([]byte(manifest))
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", "sha256:"+hex.EncodeToString(sum[:]))
		w.Header().Set("Content-Length", fmt.Sprint(len(manifest)))
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, manifest)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

// seriesWithout counts Assay's own series in a page of metrics, in which a text must not stand.
func seriesWithout(t *testing.T, page, text string) (n int) {
	t.Helper()
	for line := range strings.SplitSeq(page, "\n") {
		if strings.HasPrefix(line, "assay_") {
			n++
		}
		if strings.Contains(line, text) {
			t.Errorf("got %s", line)
		}
	}
	return n
}

// No label has anything of an image in it, whatever is asked.
func TestT47_LabelsOfServersAreBounded(t *testing.T) {
	r := serve(t, "--policy", servedPolicy(t, "a"), "--insecure-plain-http", "--opa-connector")
	count := func() int {
		_, _, body := r.ask("/metrics", "")
		return seriesWithout(t, body, "marker")
	}
	ask := func(i int) {
		name := fmt.Sprintf("marker%d.example/marker-%d/app:%d", i, i, i)
		r.ask("/v1/verdicts", `{"images":["`+name+`","`+name+` "]}`, "X-Request-ID", name)
		r.ask("/checkImage", `{"image":"`+name+`"}`)
		r.ask("/v1/verdicts", `{"`+name+`":1}`)
		r.ask("/"+name, "")
	}
	ask(0)
	before := count()
	for i := range 50 {
		ask(i + 1)
	}
	if after := count(); after != before {
		t.Errorf("got %d series, want %d", after, before)
	}
}

// A panic that no point catches allows nothing, and is counted.
func TestServeRecovers(t *testing.T) {
	s := &server{metrics: newServerMetrics(), log: newTestLog()}
	h := s.handler(map[string]http.Handler{"GET /broken": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken") })})
	w := newRecorder()
	h.ServeHTTP(w, newGet("/broken"))
	if w.Code != 500 || !strings.Contains(w.Body.String(), `"error":`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// More requests at once than are let in get an answer that says so.
func TestT43_RequestsAtOnceAreBounded(t *testing.T) {
	s := &server{metrics: newServerMetrics(), log: newTestLog()}
	release, inside := make(chan struct{}), make(chan struct{}, maxInFlight)
	h := s.handler(map[string]http.Handler{"GET /slow": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inside <- struct{}{}
		<-release
	})})
	var group sync.WaitGroup
	for range maxInFlight {
		group.Go(func() { h.ServeHTTP(newRecorder(), newGet("/slow")) })
	}
	for range maxInFlight {
		<-inside
	}
	w := newRecorder()
	h.ServeHTTP(w, newGet("/slow"))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d", w.Code)
	}
	probe := newRecorder()
	if h.ServeHTTP(probe, newGet("/healthz")); probe.Code != 200 {
		t.Errorf("a probe: got %d", probe.Code)
	}
	close(release)
	group.Wait()
	w = newRecorder()
	if h.ServeHTTP(w, newGet("/slow")); w.Code != 200 {
		t.Errorf("afterwards: got %d", w.Code)
	}
}

// Probes are never sent away, also those that a point answers in its own words: whoever asks much must not have the server restarted. And who
// is sent away is told in the words of the point, where it has some.
func TestT43_ProbesAndWordsWhereThereIsTooMuch(t *testing.T) {
	s := &server{metrics: newServerMetrics(), log: newTestLog()}
	fine := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "this is fine") })
	h := s.handler(map[string]http.Handler{"GET /healthz": fine, "GET /readyz": fine, "GET /asked": asked{fine}})
	s.inFlight.Store(maxInFlight)
	for path, want := range map[string]string{"/healthz": "200 this is fine", "/readyz": "200 this is fine", "/asked": "503 no: too many requests at once; try again"} {
		w := newRecorder()
		h.ServeHTTP(w, newGet(path))
		if got := fmt.Sprint(w.Code, " ", w.Body); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

// What users of a host's socket have asked takes no place of root's there: the socket knows who asks, and counts.
func TestT43_TheSocketOfAHostBoundsItself(t *testing.T) {
	s := &server{metrics: newServerMetrics(), log: newTestLog()}
	h := s.hostRoute("GET /asked", asked{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "this is fine") })})
	s.inFlight.Store(maxInFlight)
	w := newRecorder()
	h.ServeHTTP(w, newGet("/asked"))
	if got := fmt.Sprint(w.Code, " ", w.Body); got != "200 this is fine" {
		t.Errorf("got %s", got)
	}
}

type asked struct{ http.Handler }

func (asked) Refuse(w http.ResponseWriter, _ *http.Request, status int, text string) {
	w.WriteHeader(status)
	fmt.Fprint(w, "no: ", text)
}

func newTestLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func newGet(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }

// Others name the images that a server asks for: a host that is written as loopback is not asked, as it is at the command line.
func TestT48_ServersDoNotAskLoopback(t *testing.T) {
	s := newStage(t)
	requests := len(s.server.Requests())
	r := serve(t, "--policy", s.policy, "--insecure-plain-http")
	_, _, body := r.ask("/v1/verdicts", `{"images":["`+s.host+`/shop/api:1"]}`)
	if !strings.Contains(body, `"outcome":"could-not-tell"`) || strings.Contains(body, `"allowed":true`) {
		t.Errorf("got %s", body)
	}
	if got := len(s.server.Requests()); got != requests {
		t.Errorf("got %d requests, want none", got-requests)
	}
}

func TestServeAddressIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	got := runAssay(t, "", "serve", "api", "--policy", servedPolicy(t, "a"), "--insecure-plain-http", "--listen", taken.Addr().String())
	if got.code != exitCannotTell || !strings.Contains(got.stderr, "address already in use") {
		t.Errorf("got exit %d %q", got.code, got.stderr)
	}
}

// Whoever names images does not fill the log.
func TestT43_LinesOfTheLogAreBounded(t *testing.T) {
	r := serve(t, "--policy", servedPolicy(t, "a"), "--insecure-plain-http")
	if status, _, body := r.ask("/v1/verdicts", `{"images":["registry.example/a/`+strings.Repeat("ü", 1<<19)+`"]}`); status != 200 || strings.Contains(body, `"allowed":true`) {
		t.Errorf("got %d", status)
	}
	if got := len(r.log.String()); got > 16<<10 {
		t.Errorf("the log has %d bytes", got)
	}
}

// Whoever names images does not write to the terminal of whoever reads the log, nor turn the direction in which it is read.
func TestT43_LinesOfTheLogArePlain(t *testing.T) {
	r := serve(t, "--policy", servedPolicy(t, "a"), "--insecure-plain-http")
	const hostile = `registry.example/a/\u009b31m\u202eapp\nx:1`
	if status, _, body := r.ask("/v1/verdicts", `{"images":["`+hostile+`"],"namespace":"a\u202eb"}`); status != 200 || strings.Contains(body, `"allowed":true`) {
		t.Errorf("got %d", status)
	}
	line := r.log.find("verdict")
	for _, field := range []string{"image", "reason", "namespace"} {
		if got := fmt.Sprint(line[field]); line == nil || strings.ContainsAny(got, "\u009b\u202e\n") {
			t.Errorf("%s: got %q", field, got)
		}
	}
}
