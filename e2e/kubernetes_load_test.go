//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// probeEvery is how often a balancer asks whether a replica wants to be asked; a kubelet does every few seconds.
const probeEvery = 100 * time.Millisecond

// cmdBalancer is "balancer PORT REPLICA...": what a Service does. Who connects to PORT gets to the next replica, a port as well, that was
// ready when it was asked last. A connection stays where it is.
func cmdBalancer(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "balancer", neg)
	if len(args) < 2 {
		ts.Fatalf("usage: balancer PORT REPLICA...")
	}
	listener, err := net.Listen("tcp", "localhost:"+args[0])
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	b := &balancer{ready: map[string]bool{}, replicas: args[1:]}
	var group sync.WaitGroup
	ts.Defer(func() {
		cancel()
		_ = listener.Close()
		group.Wait()
	})
	b.probe()
	group.Go(func() { b.watch(ctx) })
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { b.connect(ctx, conn) })
		}
	})
}

type balancer struct {
	replicas []string
	mu       sync.Mutex
	ready    map[string]bool
	next     int
}

func (b *balancer) watch(ctx context.Context) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			b.probe()
		}
	}
}

func (b *balancer) probe() {
	for _, replica := range b.replicas {
		ready := answers("https://localhost:"+replica+"/readyz") == nil
		b.mu.Lock()
		b.ready[replica] = ready
		b.mu.Unlock()
	}
}

// pick returns the replica whose turn it is; empty: none is ready.
func (b *balancer) pick() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.replicas {
		b.next++
		if replica := b.replicas[b.next%len(b.replicas)]; b.ready[replica] {
			return replica
		}
	}
	return ""
}

func (b *balancer) connect(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	there, err := new(net.Dialer).DialContext(ctx, "tcp", "localhost:"+b.pick())
	if err != nil {
		return
	}
	defer there.Close()
	defer context.AfterFunc(ctx, func() { _, _ = conn.Close(), there.Close() })()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(there, conn)
		_ = there.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, there)
	_ = conn.(*net.TCPConn).CloseWrite()
	_ = conn.Close()
	<-done
}

// load is somebody who has pods admitted all the time.
type load struct {
	stop   func()
	count  atomic.Int64
	mu     sync.Mutex
	failed []string
}

const loadWorkers = 6

// cmdLoad is
//
//	load start NAMESPACE IMAGE   has pods with the image admitted all the time, without storing any
//	load stop LEAST              ends that; so many were admitted at least, and each was
func cmdLoad(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "load", neg)
	w := worldOf(ts)
	switch {
	case len(args) == 3 && args[0] == "start":
		w.load = w.kubernetes.load(args[1], args[2])
		ts.Defer(w.load.stop)
	case len(args) == 2 && args[0] == "stop" && w.load != nil:
		least, err := strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
		w.load.stop()
		count := w.load.count.Load()
		ts.Logf("load: %d pods, %d not admitted", count, len(w.load.failed))
		if len(w.load.failed) > 0 {
			ts.Fatalf("load: %d of %d pods were not admitted, the first: %s", len(w.load.failed), count, w.load.failed[0])
		}
		if count < least {
			ts.Fatalf("load: %d pods, want %d at least", count, least)
		}
	default:
		ts.Fatalf("usage: load start NAMESPACE IMAGE | stop LEAST")
	}
}

func (k *kubernetes) load(namespace, image string) *load {
	l := &load{}
	ctx, cancel := context.WithCancel(context.Background())
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	var group sync.WaitGroup
	for n := range loadWorkers {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := k.admit(client, namespace, fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"load-%d-%d"},"spec":{"containers":[{"name":"a","image":%q}]}}`, n, i, image))
				l.count.Add(1)
				if err != nil {
					l.mu.Lock()
					l.failed = append(l.failed, time.Now().Format(time.TimeOnly)+": "+err.Error())
					l.mu.Unlock()
				}
			}
		})
	}
	l.stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
		transport.CloseIdleConnections()
	})
	return l
}

// admit asks for one pod without having it stored.
func (k *kubernetes) admit(client *http.Client, namespace, pod string) error {
	req, err := http.NewRequest(http.MethodPost, k.url+"/api/v1/namespaces/"+namespace+"/pods?dryRun=All", bytes.NewReader([]byte(pod)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+k.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return err
}
