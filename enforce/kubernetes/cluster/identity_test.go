package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/kubernetes/cluster/clustertest"
	"github.com/assay-dev/assay/enforce/kubernetes/identity"
)

// text is a log that is read while it is written.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// fleet is a few replicas with one clock.
type fleet struct {
	t        *testing.T
	api      *certificatesServer
	log      *text
	now      atomic.Int64 // nanoseconds
	calling  sync.RWMutex // no time passes while a call is under way, however busy the machine is
	replicas []*replica
}

type replica struct {
	*Identity
	looked atomic.Int64 // how often it has looked at the clock
	stop   context.CancelFunc
	ended  chan struct{}
}

var start = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)

func newFleet(t *testing.T, api *certificatesServer) *fleet {
	t.Helper()
	f := &fleet{t: t, api: api, log: &text{}}
	f.now.Store(start.UnixNano())
	return f
}

func (f *fleet) time() time.Time { return time.Unix(0, f.now.Load()).UTC() }

// add starts a replica.
func (f *fleet) add() *replica {
	f.t.Helper()
	r := &replica{ended: make(chan struct{})}
	var err error
	r.Identity, err = f.api.cluster(slog.New(slog.NewJSONHandler(f.log, nil))).Identity(IdentityConfig{
		Namespace: ownNamespace, Secret: ownSecret, Service: "assay", Webhook: ownConfiguration, Settle: settle,
		Now: func() time.Time { r.looked.Add(1); return f.time() },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	r.every = 2 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = func() { cancel(); <-r.ended }
	go func() { defer close(r.ended); r.Run(ctx) }()
	f.t.Cleanup(r.stop)
	f.replicas = append(f.replicas, r)
	return r
}

// until waits while time passes, no faster than the replicas look at it.
func (f *fleet) until(what string, tick time.Duration, yes func() bool) {
	f.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !yes(); {
		if time.Now().After(end) {
			f.t.Fatalf("%s: not within two minutes\n%s", what, f.log)
		}
		var before []int64
		for _, r := range f.replicas {
			before = append(before, r.looked.Load())
		}
		f.calling.Lock()
		f.now.Add(int64(tick))
		f.calling.Unlock()
		time.Sleep(pace)
		for n, r := range f.replicas {
			for r.looked.Load() < before[n]+4 && time.Now().Before(end) {
				time.Sleep(time.Millisecond)
			}
		}
	}
}

func (f *fleet) ready() bool {
	for _, r := range f.replicas {
		if !r.Ready() {
			return false
		}
	}
	return true
}

// agreed reports whether all replicas show the same.
func (f *fleet) agreed() bool {
	for _, r := range f.replicas {
		if !r.Ready() || !bytes.Equal(r.Certificate().Leaf.Raw, f.replicas[0].Certificate().Leaf.Raw) {
			return false
		}
	}
	return true
}

func (f *fleet) authority() string {
	if now := f.replicas[0].shown.Load(); now != nil {
		return now.authority.Subject.CommonName + now.authority.SerialNumber.String()
	}
	return ""
}

// caller is an API server that calls the replicas all the time, each time anew, and is slow to hear what it shall trust.
type caller struct {
	calls    atomic.Int64
	mu       sync.Mutex
	failures []string
	stop     func()
}

func (f *fleet) call(lag time.Duration) *caller {
	c := &caller{}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	replicas := f.replicas
	for n := range 2 {
		group.Go(func() {
			for at := n; ctx.Err() == nil; at++ {
				time.Sleep(3 * time.Millisecond) // the replicas need a processor as well
				for _, path := range []string{mutating, validating} {
					c.once(f, replicas[at%len(replicas)], path, lag)
				}
			}
		})
	}
	c.stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	f.t.Cleanup(c.stop)
	return c
}

func (c *caller) once(f *fleet, r *replica, path string, lag time.Duration) {
	f.calling.RLock()
	defer f.calling.RUnlock()
	bundles := f.api.trusts(path, lag)
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		server := tls.Server(there, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.Certificate(), nil }})
		_ = server.Handshake() // the client tells
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundles[0])
	client := tls.Client(here, &tls.Config{RootCAs: roots, ServerName: "assay.assay-system.svc", Time: f.time})
	err := client.Handshake()
	_ = here.Close()
	<-done
	c.calls.Add(1)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failures = append(c.failures, fmt.Sprintf("%s: %s: %v", f.time(), path, err))
	}
}

// end wants every call to have had its answer.
func (c *caller) end(t *testing.T) {
	t.Helper()
	c.stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) > 0 {
		t.Errorf("%d of %d calls failed, the first: %s", len(c.failures), c.calls.Load(), c.failures[0])
	}
	t.Logf("%d calls, %d failures", c.calls.Load(), len(c.failures))
}

// lag is how slow the caller is to hear, and settle what the replicas wait in their time, which passes in ticks of a tenth of a second that
// last for pace at least: longer.
const (
	lag    = 50 * time.Millisecond
	settle = 4 * time.Second
	pace   = 3 * time.Millisecond
)

func newWorld(t *testing.T) *fleet {
	t.Helper()
	api := newCertificatesServer(t)
	api.configure(mutating, 2)
	api.configure(validating, 1)
	return newFleet(t, api)
}

// Five replicas start at once and none of them finds a Secret: one authority wins.
func TestIdentityRaceAtStart(t *testing.T) {
	f := newWorld(t)
	for range 5 {
		f.add()
	}
	f.until("all are ready", 0, f.agreed)
	if got := f.api.written(); got != 1 {
		t.Errorf("the Secret was written %d times", got)
	}
	for path, webhooks := range map[string]int{mutating: 2, validating: 1} {
		bundles := f.api.trusts(path, 0)
		if len(bundles) != webhooks {
			t.Fatalf("%s: got %d webhooks, want %d", path, len(bundles), webhooks)
		}
		for n, bundle := range bundles {
			if certs, err := identity.ParseBundle(bundle); err != nil || len(certs) != 1 {
				t.Errorf("%s, webhook %d: trusts %d authorities, %v", path, n, len(certs), err)
			}
		}
	}
	f.noKeys()
}

// noKeys wants no private key in the log.
func (f *fleet) noKeys() {
	f.t.Helper()
	log := f.log.String()
	for key, content := range f.api.secret() {
		lines := strings.Split(string(content), "\n")
		if strings.HasSuffix(key, ".key") && len(lines) > 1 && strings.Contains(log, lines[1]) {
			f.t.Errorf("the log has %s", key)
		}
	}
	if strings.Contains(log, "PRIVATE KEY") {
		f.t.Error("the log has a private key")
	}
}

// Certificates and the authority change, and the API server, which is slow to hear of it, never meets anything that it does not trust.
func TestIdentityRotatesUnderLoad(t *testing.T) {
	f := newWorld(t)
	for range 3 {
		f.add()
	}
	f.until("all are ready", 0, f.agreed)
	time.Sleep(2 * lag) // the caller is slow at the start as well
	c := f.call(lag)
	first, leaf := f.authority(), f.replicas[0].Certificate().Leaf
	f.until("the certificate of the server changes", 2*24*time.Hour, func() bool {
		return f.agreed() && !f.replicas[0].Certificate().Leaf.Equal(leaf)
	})
	if f.authority() != first {
		t.Error("the authority has changed with it")
	}
	const day = 24 * time.Hour
	f.until("time passes", 3*day, func() bool { return f.time().Sub(start) > 237*day }) // and no authority changes before 243
	f.calling.Lock()
	f.now.Store(start.Add(244 * day).UnixNano())
	f.calling.Unlock()
	f.until("the authority changes", 100*time.Millisecond, func() bool { return f.agreed() && f.authority() != first })
	f.until("the old one is not trusted any more", 2*24*time.Hour, func() bool {
		certs, err := identity.ParseBundle(f.api.trusts(validating, 0)[0])
		return err == nil && len(certs) == 1
	})
	c.end(t)
	f.noKeys()
}

// Somebody empties a bundle, or the Secret, or deletes it: it is put back, and no call fails but for the emptied bundle's.
func TestIdentityIsPutBack(t *testing.T) {
	for _, row := range []struct {
		name   string
		damage func(a *certificatesServer)
		same   bool
	}{
		{"the Secret is deleted", func(a *certificatesServer) {
			a.Delete(secretObjects, ownNamespace, ownSecret)
		}, false},
		{"the Secret is emptied", func(a *certificatesServer) {
			a.Change(secretObjects, ownNamespace, ownSecret, func(o clustertest.Object) { delete(o, "data") })
		}, false},
		{"the authority's key is damaged", func(a *certificatesServer) {
			a.Change(secretObjects, ownNamespace, ownSecret, func(o clustertest.Object) { o["data"].(map[string]any)["ca.key"] = "eA==" })
		}, false},
		{"what is shown is damaged", func(a *certificatesServer) {
			a.Change(secretObjects, ownNamespace, ownSecret, func(o clustertest.Object) { o["data"].(map[string]any)["tls.crt"] = "eA==" })
		}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newWorld(t)
			for range 3 {
				f.add()
			}
			f.until("all are ready", 0, f.agreed)
			time.Sleep(2 * lag)
			c := f.call(lag)
			first, leaf := f.authority(), f.replicas[0].Certificate().Leaf
			row.damage(f.api)
			f.until("it is mended", 100*time.Millisecond, func() bool { return f.agreed() && !f.replicas[0].Certificate().Leaf.Equal(leaf) })
			if (f.authority() == first) != row.same {
				t.Errorf("the authority is the same: %v, want %v", f.authority() == first, row.same)
			}
			c.end(t)
			f.noKeys()
		})
	}
}

func TestIdentityBundleIsPutBack(t *testing.T) {
	f := newWorld(t)
	f.add()
	f.until("it is ready", 0, f.ready)
	want := f.api.trusts(mutating, 0)[1]
	for _, text := range []string{"", "eA=="} {
		f.api.Change(mutating, "", ownConfiguration, func(o clustertest.Object) { clientConfig(o, 1)["caBundle"] = text })
		f.until("the bundle is back", time.Second, func() bool { return bytes.Equal(f.api.trusts(mutating, 0)[1], want) })
	}
	// And one that comes later.
	f.api.Delete(validating, "", ownConfiguration)
	f.api.configure(validating, 3)
	f.until("the new one trusts", time.Second, func() bool {
		all := f.api.trusts(validating, 0)
		return len(all) == 3 && bytes.Equal(all[2], want)
	})
}

// What a configuration trusted before is trusted for a while: the server of before can still be there.
func TestIdentityTakesOver(t *testing.T) {
	before := newWorld(t)
	r := before.add()
	before.until("it is ready", 0, before.ready)
	theirs := before.api.trusts(mutating, 0)[0]
	r.stop()

	f := newWorld(t)
	f.api.Change(mutating, "", ownConfiguration, func(o clustertest.Object) {
		for n := range o["webhooks"].([]any) {
			clientConfig(o, n)["caBundle"] = base64.StdEncoding.EncodeToString(theirs)
		}
	})
	f.add()
	f.until("it is ready", 0, f.ready)
	count := func() int {
		certs, err := identity.ParseBundle(f.api.trusts(mutating, 0)[0])
		if err != nil {
			t.Fatal(err)
		}
		return len(certs)
	}
	if count() != 2 {
		t.Errorf("got %d authorities, want that of before beside the own one", count())
	}
	f.until("that of before is not trusted any more", 10*time.Second, func() bool { return count() == 1 })
	if passed := f.time().Sub(start); passed < identityGrace {
		t.Errorf("it was trusted for %v only", passed)
	}
}

// Without the right to change the configurations nothing is shown, and the log says why.
func TestIdentityWithoutRights(t *testing.T) {
	f := newWorld(t)
	f.api.forbid("PATCH")
	f.add()
	f.until("it is told", time.Second, func() bool { return strings.Contains(f.log.String(), "webhook configuration assay: ") })
	if f.ready() {
		t.Error("it is ready, and nobody trusts it")
	}
	f.api.forbid("")
	f.until("it is ready", time.Second, f.ready)
	if got := strings.Count(f.log.String(), `"msg":"own certificates","error"`); got != 1 {
		t.Errorf("it was told %d times", got)
	}
}

func TestIdentityNeedsNames(t *testing.T) {
	for _, config := range []IdentityConfig{{}, {Namespace: "n", Secret: "s", Service: "v"}, {Namespace: "n", Secret: "s", Webhook: "w"}} {
		if _, err := newCertificatesServer(t).cluster(slog.New(slog.DiscardHandler)).Identity(config); err == nil {
			t.Errorf("%+v: no error", config)
		}
	}
}
