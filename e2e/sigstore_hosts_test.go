//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
)

// hosts serves names that no DNS knows, with TLS: a peer whose HTTPS_PROXY is proxy and whose SSL_CERT_FILE is ca reaches them, and
// nothing else, under the names that it would use in the world.
type hosts struct {
	ca    string // a file
	proxy *httptest.Server
	tls   *httptest.Server
	mu    sync.Mutex
	names map[string]http.Handler
}

func newHosts(ca string, names ...string) (*hosts, error) {
	h := &hosts{ca: ca, names: map[string]http.Handler{}}
	self, err := newAuthority(&x509.Certificate{
		Subject: pkix.Name{CommonName: "lab.example"}, DNSNames: names,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}, nil)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: self.cert.Raw}), 0o600); err != nil {
		return nil, err
	}
	h.tls = httptest.NewUnstartedServer(http.HandlerFunc(h.route))
	h.tls.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{self.cert.Raw}, PrivateKey: self.key}}}
	h.tls.StartTLS()
	h.proxy = httptest.NewServer(http.HandlerFunc(h.tunnel))
	return h, nil
}

func (h *hosts) Close() {
	h.proxy.CloseClientConnections()
	h.tls.CloseClientConnections()
	h.proxy.Close()
	h.tls.Close()
}

// env points a peer at these hosts.
func (h *hosts) env() []string {
	return []string{"HTTPS_PROXY=" + h.proxy.URL, "HTTP_PROXY=" + h.proxy.URL, "NO_PROXY=127.0.0.1,localhost", "SSL_CERT_FILE=" + h.ca}
}

func (h *hosts) handle(name string, handler http.Handler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names[name] = handler
}

func (h *hosts) route(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	handler := h.names[r.Host]
	h.mu.Unlock()
	if handler == nil {
		http.Error(w, "no such host", http.StatusBadGateway)
		return
	}
	handler.ServeHTTP(w, r)
}

// tunnel leads every name to the TLS server, which knows from the request's host which one is meant.
func (h *hosts) tunnel(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "nothing is served here without TLS", http.StatusBadGateway)
		return
	}
	server, err := net.Dial("tcp", h.tls.Listener.Addr().String())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{server, client}, {client, server}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1]) // ends when either side does
			done <- struct{}{}
		}()
	}
	<-done
}
