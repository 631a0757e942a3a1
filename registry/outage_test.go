package registry_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

// TestT46_OutagesSayThatTheyAre goes through what may happen to a request. Only where nobody answers, or somebody says that there is an
// outage, may a format bridge it.
func TestT46_OutagesSayThatTheyAre(t *testing.T) {
	unknown := `{"errors":[{"code":"METADATA_NOT_FOUND"},{"code":"MANIFEST_UNKNOWN"}]}`
	status := func(code int) registrytest.Fault { return registrytest.Status(code, nil, unknown) }
	token := &registrytest.Token{}
	tests := []struct {
		name   string
		server registrytest.Options
		match  func(*http.Request) bool
		fault  registrytest.Fault
		outage bool
	}{
		{"429", registrytest.Options{}, nil, status(429), true},
		{"500", registrytest.Options{}, nil, status(500), true},
		{"502", registrytest.Options{}, nil, status(502), true},
		{"503", registrytest.Options{}, nil, status(503), true},
		{"504", registrytest.Options{}, nil, status(504), true},
		{"501", registrytest.Options{}, nil, status(501), false},
		{"400", registrytest.Options{}, nil, status(400), false},
		{"401", registrytest.Options{}, nil, status(401), false},
		{"403", registrytest.Options{}, nil, status(403), false},
		{"408", registrytest.Options{}, nil, status(408), false},
		{"404 that refuses", registrytest.Options{}, nil, registrytest.Status(404, nil, `{"errors":[{"code":"DENIED"}]}`), false},
		{"cut connection", registrytest.Options{}, nil, registrytest.CutConnection(), true},
		{"cut connection by HTTP/2", registrytest.Options{TLS: true}, nil, registrytest.CutConnection(), true},
		{"cut body", registrytest.Options{}, nil, registrytest.CutBody(), true},
		{"cut body by HTTP/2", registrytest.Options{TLS: true}, nil, registrytest.CutBody(), true},
		{"hanging", registrytest.Options{}, nil, registrytest.Hang(), true},
		{"hanging by HTTP/2", registrytest.Options{TLS: true}, nil, registrytest.Hang(), true},
		{"redirected to an outage", registrytest.Options{}, nil, registrytest.Redirect("http://127.0.0.1:1"), false}, // the guard refuses it
		{"not HTTP", registrytest.Options{}, nil, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_, _ = conn.Write([]byte("\x00\x01nonsense\r\n\r\n"))
				_ = conn.Close()
			}
		}, false},
		{"token service answers 503", registrytest.Options{Token: token}, registrytest.OnToken, status(503), true},
		{"token service is cut off", registrytest.Options{Token: token}, registrytest.OnToken, registrytest.CutConnection(), true},
		{"token service answers 404", registrytest.Options{Token: token}, registrytest.OnToken, status(404), false},
		{"token service answers 401", registrytest.Options{Token: token}, registrytest.OnToken, status(401), false},
		{"token service talks nonsense", registrytest.Options{Token: token}, registrytest.OnToken, registrytest.Status(200, nil, `{`), false},
		{"no password", registrytest.Options{Username: "user", Password: "secret"}, nil, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newNotary(t, tt.server)
			digest := s.PushImage(repo, "1.0", "", "seed")
			if tt.fault != nil {
				s.SetFault(tt.match, tt.fault)
			}
			config := registry.Config{RequestTimeout: 200 * time.Millisecond}
			if tt.server.TLS {
				config.Registries = []registry.Settings{{Host: s.Host(), InsecureSkipTLSVerify: true}}
			}
			c := newClient(t, config)
			wantOutage(t, tt.outage, timestamp(t, c, s.URL()))
			_, err := c.Manifest(t.Context(), tagged(t, s, "1.0").At(digest))
			wantOutage(t, tt.outage, err)
		})
	}
}

func wantOutage(t *testing.T, want bool, err error) {
	t.Helper()
	wantCannotTell(t, err, "")
	if got := errors.Is(err, trust.ErrUnavailable); got != want {
		t.Errorf("%v: an outage: %t, want %t", err, got, want)
	}
}

// TestT46_NobodyThere has servers that are not there, and some that only seem so.
func TestT46_NobodyThere(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	noNames := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no way out") }}
	tests := []struct {
		name, server string
		resolver     *net.Resolver
		outage       bool
	}{
		{"refused", "http://" + closed.Addr().String(), nil, true},
		{"refused, TLS", "https://" + closed.Addr().String(), nil, true},
		{"silent", "https://" + silent.Addr().String(), nil, true},
		{"no address", "https://notary.corp.example", noNames, true},
		{"an address that is refused", "https://notary.corp.example", resolver(t, "169.254.169.254"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, registry.Config{RequestTimeout: 500 * time.Millisecond})
			if tt.resolver != nil {
				c.SetResolver(tt.resolver)
			}
			wantOutage(t, tt.outage, timestamp(t, c, tt.server))
		})
	}
}

// TestT46_EndOfTheQuestionIsNoOutage shows that whoever stops waiting has not learned anything about the server.
func TestT46_EndOfTheQuestionIsNoOutage(t *testing.T) {
	for _, tls := range []bool{false, true} {
		s := newNotary(t, registrytest.Options{TLS: tls})
		s.SetFault(nil, registrytest.Hang())
		c := newClient(t, registry.Config{Registries: []registry.Settings{{Host: s.Host(), InsecureSkipTLSVerify: tls, InsecurePlainHTTP: !tls}}})
		ask := func(ctx context.Context, cause error) {
			t.Helper()
			start := time.Now()
			_, err := c.TrustData(ctx, s.URL(), gun, "timestamp.json", 100)
			wantOutage(t, false, err)
			if !errors.Is(err, cause) {
				t.Errorf("got %v, want %v", err, cause)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("took %s", took)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		ask(ctx, context.Canceled)
		ask(ctx, context.Canceled) // it has ended before
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		ask(ctx, context.DeadlineExceeded)
		cancel()
		because := errors.New("the user left")
		why, end := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { end(because) })
		ask(why, because)
	}
}

// TestT46_TLSAlertsAreNoOutage has a server that refuses us: somebody is there.
func TestT46_TLSAlertsAreNoOutage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		hello := make([]byte, 16<<10)
		_, _ = conn.Read(hello)
		_, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, 42}) // bad_certificate
		_, _ = io.Copy(io.Discard, conn)
	}()
	err = timestamp(t, newClient(t, registry.Config{}), "https://"+l.Addr().String())
	wantOutage(t, false, err)
	wantCannotTell(t, err, "tls: bad certificate")
}
