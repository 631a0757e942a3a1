package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shown returns the common name of what the server shows to somebody who connects now.
func (r *running) shown() string {
	r.t.Helper()
	conn, err := tls.Dial("tcp", r.address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// A kubelet replaces all files of a volume at once, by another folder behind one link.
func TestServeFollowsTheLinksOfAKubelet(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	in := func(names ...string) string { return filepath.Join(append([]string{volume}, names...)...) }
	ca := newAuthority(t, "ca")
	fill := func(folder, name string) {
		must(t, os.Mkdir(in(folder), 0o700))
		ca.issue(t, name, in(folder, "tls.crt"), in(folder, "tls.key"))
		must(t, os.Symlink(folder, in("..data_tmp")))
		must(t, os.Rename(in("..data_tmp"), in("..data")))
	}
	fill("..2026_11_27", "first")
	for _, name := range []string{"tls.crt", "tls.key"} {
		must(t, os.Symlink(filepath.Join("..data", name), in(name)))
	}
	r := serve(t, "--policy", servedPolicy(t, "a"), "--tls-cert", in("tls.crt"), "--tls-key", in("tls.key"), "--insecure-no-auth")
	if got := r.shown(); got != "first" {
		t.Errorf("got %q", got)
	}
	lasting := r.client
	fill("..2026_12_27", "second")
	must(t, os.RemoveAll(in("..2026_11_27")))
	r.until("the second is shown", func() bool { return r.shown() == "second" })
	if r.client = lasting; r.allowed() != "a" {
		t.Error("a connection of before was cut")
	}
}

// What is wrong with the pair of the server holds up nothing else: a client's authority that was taken out is out.
func TestT42_ABadPairHoldsUpNoAuthorities(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	servers, clients, others := newAuthority(t, "servers"), newAuthority(t, "clients"), newAuthority(t, "others")
	servers.issue(t, "server", in("tls.crt"), in("tls.key"))
	replace(t, in("clients.pem"), string(clients.pem))
	r := serve(t, "--policy", servedPolicy(t, "a"), "--tls-cert", in("tls.crt"), "--tls-key", in("tls.key"), "--client-ca", in("clients.pem"))
	good, bad := others.issue(t, "deployer", "", ""), clients.issue(t, "deployer", "", "")
	if got := r.withCertificate(&bad, servers); got != 200 {
		t.Fatalf("before: got %d", got)
	}
	servers.issue(t, "server", in("other.crt"), in("tls.key")) // the key is not that of the certificate any more
	replace(t, in("clients.pem"), string(others.pem))
	r.until("the other authority counts", func() bool { return r.withCertificate(&good, servers) == 200 })
	if got := r.withCertificate(&bad, servers); got != 0 {
		t.Errorf("by the authority of before: got %d, want no connection", got)
	}
	r.until("the pair is refused", func() bool { return r.metric(`assay_reload_refused{what="certificates"} 1`) })
	if !r.metric(`assay_reload_refused{what="client-authorities"} 0`) {
		t.Error("the authorities are refused")
	}
}

func TestServeTellsTheExpiry(t *testing.T) {
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	pair := newAuthority(t, "ca").issue(t, "server", cert, key)
	r := serve(t, "--policy", servedPolicy(t, "a"), "--tls-cert", cert, "--tls-key", key, "--insecure-no-auth")
	_, _, body := r.ask("/metrics", "")
	_, after, _ := strings.Cut(body, "\nassay_certificate_expiry_timestamp_seconds ")
	line, _, _ := strings.Cut(after, "\n")
	if got, err := strconv.ParseFloat(line, 64); err != nil || int64(got) != pair.Leaf.NotAfter.Unix() {
		t.Errorf("got %q, want %d", line, pair.Leaf.NotAfter.Unix())
	}
}

// While a server drains, each answer ends its connection, so that none is closed under a request.
func TestServeDrainsWithoutLoss(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	newAuthority(t, "ca").issue(t, "server", cert, key)
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP2 %v", h2), func(t *testing.T) {
			t.Parallel()
			r := serve(t, "--policy", servedPolicy(t, "a"), "--tls-cert", cert, "--tls-key", key, "--insecure-no-auth", "--drain-delay", "2s")
			const clients = 16
			type end struct{ asked, after, lost int }
			ends := make(chan end, clients)
			gone := make(chan struct{})
			for range clients {
				go func() {
					var e end
					defer func() { ends <- e }()
					transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: h2, MaxConnsPerHost: 1}
					defer transport.CloseIdleConnections()
					client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
					for {
						select {
						case <-gone:
							e.after++
						default:
						}
						resp, err := client.Post("https://"+r.address+"/v1/verdicts", "application/json", strings.NewReader(askFor))
						if e.asked++; err != nil {
							e.lost++
							return
						}
						_, err = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
						if err != nil || resp.StatusCode != http.StatusOK {
							e.lost++
							return
						}
						// Where the connection has ended, a balancer finds another server.
						if resp.Close || e.after > 1 {
							return
						}
					}
				}()
			}
			r.until("they ask", func() bool { return r.metricAbove("assay_decision_duration_seconds_count", 10*clients) })
			r.stop()
			r.until("it is draining", func() bool { status, _, _ := r.ask("/readyz", ""); return status == http.StatusServiceUnavailable })
			close(gone)
			var sum end
			for range clients {
				e := <-ends
				sum.asked, sum.lost = sum.asked+e.asked, sum.lost+e.lost
				if !h2 && e.after > 1 {
					t.Error("the connection of a client goes on")
				}
			}
			if sum.lost > 0 {
				t.Errorf("%d of %d requests were lost", sum.lost, sum.asked)
			}
		})
	}
}

func (r *running) metricAbove(name string, least float64) bool {
	_, _, body := r.ask("/metrics", "")
	for line := range strings.SplitSeq(body, "\n") {
		if text, found := strings.CutPrefix(line, name+" "); found {
			got, err := strconv.ParseFloat(text, 64)
			return err == nil && got >= least
		}
	}
	return false
}

func TestOwnCAUsage(t *testing.T) {
	policy := servedPolicy(t, "a")
	own := []string{"--policy", policy, "--own-ca", "certs"}
	named := append(own, "--service", "assay", "--webhook-configuration", "assay")
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"no names", own, "needs --service and --webhook-configuration"},
		{"names for nothing", []string{"--policy", policy, "--insecure-plain-http", "--service", "assay"}, "go with --own-ca"},
		{"no namespace", named, "--own-namespace"},
		{"beside files", append(named, "--own-namespace", "assay", "--tls-cert", "x", "--tls-key", "x"), "choose one"},
		{"somebody else's authority", append(named, "--own-namespace", "assay", "--webhook-ca", "x"), "choose one"},
		{"trust in nobody", []string{"--policy", policy, "--insecure-plain-http", "--webhook-ca", "x", "--webhook-configuration", "assay"}, "--webhook-ca without --tls-cert"},
		{"trust of nobody", []string{"--policy", policy, "--tls-cert", "x", "--tls-key", "x", "--webhook-ca", "x"}, "--webhook-ca needs --webhook-configuration"},
		{"trust in no authority", []string{"--policy", policy, "--tls-cert", "x", "--tls-key", "x", "--webhook-configuration", "assay"}, "also with --webhook-ca"},
		{"in plain", append(named, "--own-namespace", "assay", "--insecure-plain-http"), "choose one"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := runAssay(t, "", append([]string{"serve", "kubernetes", "--listen", "127.0.0.1:0"}, row.args...)...)
			if got.code != exitUsage || !strings.Contains(got.stderr, row.want) {
				t.Errorf("got exit %d %q, want %d and %q", got.code, got.stderr, exitUsage, row.want)
			}
		})
	}
}

// Before there is a certificate that the API server trusts nobody can connect.
func TestOwnCAIsNotReadyByItself(t *testing.T) {
	kubeconfig := apiServer(t)
	r := servePoint(t, "kubernetes", "--policy", servedPolicy(t, "a"), "--kubeconfig", kubeconfig,
		"--own-ca", "certs", "--own-namespace", "assay", "--service", "assay", "--webhook-configuration", "assay")
	if got := r.shown(); !strings.Contains(got, "remote error: tls") {
		t.Errorf("got %q", got)
	}
	if got := fmt.Sprint(r.log.find("exempt namespaces: everything in them is allowed")["namespaces"]); got != "[kube-system assay]" {
		t.Errorf("exempt: %s", got)
	}
}
