//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// watcher stands between clients and notary-server: it writes down what is asked, and answers in the server's place where a story says so.
type watcher struct {
	notary  *notary
	port    int
	forward *httputil.ReverseProxy
	server  *http.Server // nil: stopped

	mu     sync.Mutex
	dead   bool // what comes over connections that are still open is not answered any more
	asked  []string
	faults []notaryFault // the last one that fits counts
}

// notaryFault is what becomes of questions for paths with a part.
type notaryFault struct {
	part   string
	kind   string // "die", "endless", "file", "garbage", "slow", or a status
	answer []byte // of "file"
}

// watch puts a watcher before the server, where one is wanted.
func (n *notary) watch() error {
	if !n.watched {
		return nil
	}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: fmt.Sprintf("127.0.0.1:%d", n.port)})
	forward.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	forward.ErrorLog = log.New(io.Discard, "", 0)
	forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) {
		panic(http.ErrAbortHandler) // as if there were no watcher
	}
	n.watcher = &watcher{notary: n, port: ports[0], forward: forward}
	return nil
}

func (w *watcher) start() error {
	if w.server != nil {
		return nil
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", w.port))
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.dead = false
	w.mu.Unlock()
	own := w.notary.tls
	w.server = &http.Server{
		Handler: w, ErrorLog: log.New(io.Discard, "", 0),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // notary-server speaks HTTP/1.1 only
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{own.cert.Raw}, PrivateKey: own.key}}},
	}
	go func(server *http.Server) { _ = server.ServeTLS(listener, "", "") }(w.server) // it ends when it is closed
	return nil
}

// stop refuses connections from now on. Answers under way get a moment to arrive.
func (w *watcher) stop() {
	if w.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = errors.Join(w.server.Shutdown(ctx), w.server.Close()) // the listener is gone in any case
	w.server = nil
}

func (w *watcher) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	fault := w.note(r)
	switch status, _ := strconv.Atoi(fault.kind); {
	case status != 0:
		http.Error(rw, "a fault of the story", status)
	case fault.kind == "slow":
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case fault.kind == "garbage":
		_, _ = io.WriteString(rw, "<html>Please log in to the hotel's network</html>") // the client may have gone
	case fault.kind == "endless":
		for r.Context().Err() == nil {
			_, _ = rw.Write(bytes.Repeat([]byte(" "), 1<<16)) // as above
		}
	case fault.kind == "file":
		_, _ = rw.Write(fault.answer) // as above
	case fault.kind == "die":
		w.forward.ServeHTTP(rw, r)
		w.mu.Lock()
		w.dead = true
		w.mu.Unlock()
		go w.notary.stop(true)
	case fault.kind == "dead":
		panic(http.ErrAbortHandler)
	default:
		w.forward.ServeHTTP(rw, r)
	}
}

// note writes a question down and returns what shall become of it.
func (w *watcher) note(r *http.Request) notaryFault {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return notaryFault{kind: "dead"}
	}
	w.asked = append(w.asked, r.Method+" "+r.URL.Path)
	for i := len(w.faults) - 1; i >= 0 && r.Method == http.MethodGet; i-- {
		if strings.Contains(r.URL.Path, w.faults[i].part) {
			return w.faults[i]
		}
	}
	return notaryFault{}
}

// set adds a fault, or takes all of them away where it has no kind.
func (w *watcher) set(f notaryFault) error {
	_, err := strconv.Atoi(f.kind)
	switch f.kind {
	case "die", "endless", "file", "garbage", "slow", "":
		err = nil
	}
	if err != nil {
		return errors.New("fault: want die, endless, garbage, slow, none or a status")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, f)
	if f.kind == "" {
		w.faults = nil
	}
	return nil
}

// requests returns what was asked since the last time.
func (w *watcher) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.asked
	w.asked = nil
	return all
}
