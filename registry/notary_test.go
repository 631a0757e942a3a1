package registry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

const (
	gun           = "registry.example:5000/prod/api"
	timestampPath = "/v2/" + gun + "/_trust/tuf/timestamp.json"
)

// newNotary starts a Notary server with one file.
func newNotary(t *testing.T, o registrytest.Options) *registrytest.Server {
	t.Helper()
	o.Notary = true
	s := registrytest.New(t, o)
	s.PutTrustData(gun, "timestamp.json", []byte("{timestamp}"))
	return s
}

// timestamp fetches the file of newNotary.
func timestamp(t *testing.T, c *registry.Client, server string) error {
	t.Helper()
	got, err := c.TrustData(t.Context(), server, gun, "timestamp.json", 100)
	if err == nil && string(got) != "{timestamp}" {
		t.Errorf("got %q", got)
	}
	return err
}

func TestTrustDataAsksOnce(t *testing.T) {
	s := newNotary(t, registrytest.Options{})
	c := newClient(t, registry.Config{UserAgent: "assay/1"})
	names := []string{
		"root.json", "2.root.json", "snapshot." + digestOf("").Hex() + ".json",
		"targets/releases.json", "targets/team_a/b-c." + digestOf("").Hex() + ".json",
	}
	for _, gun := range []string{gun, "docker.io/library/alpine", "[::1]:5000/a__b/c.d-e"} {
		for _, name := range names {
			want := "{" + name
			s.PutTrustData(gun, name, []byte(want))
			got, err := c.TrustData(t.Context(), s.URL(), gun, name, int64(len(want)))
			if err != nil || string(got) != want {
				t.Errorf("%s of %s: got %q, %v", name, gun, got, err)
			}
			asked := []registrytest.Request{{Method: "GET", Path: "/v2/" + gun + "/_trust/tuf/" + name, Host: s.Host(), UserAgent: "assay/1"}}
			if diff := cmp.Diff(asked, s.Requests()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			s.ResetRequests()
		}
	}
}

func TestTrustDataNotFound(t *testing.T) {
	const text = "You have requested metadata that does not exist."
	body := func(code string) string {
		return `{"errors":[{"code":"` + code + `","message":"` + text + `","detail":{}}]}`
	}
	tests := []struct {
		name   string
		status int
		body   string
		found  bool // the answer says, definitively, that there is no such file
		want   string
	}{
		{"a Notary server", 404, body("METADATA_NOT_FOUND"), true, "METADATA_NOT_FOUND: " + text},
		{"a route that a Notary server does not have", 404, `{"errors":[{"code":"METADATA_NOT_FOUND","message":"` + text + `"}]}`, true, "METADATA_NOT_FOUND: " + text},
		{"nothing", 404, "", false, "404 Not Found; is that a Notary server? One says METADATA_NOT_FOUND of what it does not have"},
		{"a web server", 404, "<html>METADATA_NOT_FOUND</html>", false, "404 Not Found; is that a Notary server?"},
		{"a registry without the repository", 404, body("NAME_UNKNOWN"), false, "NAME_UNKNOWN: " + text + "; is that a Notary server?"},
		{"a registry without the manifest", 404, body("MANIFEST_UNKNOWN"), false, "MANIFEST_UNKNOWN: " + text + "; is that a Notary server?"},
		{"a registry without the page", 404, body("NOT_FOUND"), false, "NOT_FOUND: " + text + "; is that a Notary server?"},
		{"a refusal", 404, body("DENIED"), false, "DENIED: " + text + "; is that a Notary server?"},
		{"another code in the text", 404, `{"errors":[{"code":"DENIED","message":"METADATA_NOT_FOUND"}]}`, false, "DENIED: METADATA_NOT_FOUND; is"},
		{"half a document", 404, `{"errors":[{"code":"METADATA_NOT_FOUND"}`, false, "404 Not Found; is that a Notary server?"},
		{"400", 400, body("METADATA_NOT_FOUND"), false, "METADATA_NOT_FOUND: " + text},
		{"401", 401, body("METADATA_NOT_FOUND"), false, "METADATA_NOT_FOUND: " + text},
		{"403", 403, body("METADATA_NOT_FOUND"), false, "METADATA_NOT_FOUND: " + text},
		{"410", 410, body("METADATA_NOT_FOUND"), false, "METADATA_NOT_FOUND: " + text},
		{"500", 500, body("METADATA_NOT_FOUND"), false, "METADATA_NOT_FOUND: " + text},
		{"204", 204, "", false, "204 No Content"},
		{"206", 206, "", false, "206 Partial Content"},
		{"304", 304, "", false, "304 Not Modified"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newNotary(t, registrytest.Options{})
			s.SetFault(nil, registrytest.Status(tt.status, nil, tt.body))
			err := timestamp(t, newClient(t, registry.Config{}), s.URL())
			want := "GET " + s.URL() + timestampPath + ": " + tt.want
			if !tt.found {
				wantCannotTell(t, err, want)
				return
			}
			if !errors.Is(err, trust.ErrNotFound) || errors.Is(err, trust.ErrUnavailable) || trust.IsNo(err) || err.Error() != want {
				t.Errorf("got %v, want not found and %q", err, want)
			}
		})
	}
	t.Run("a file that is not there", func(t *testing.T) {
		s := newNotary(t, registrytest.Options{})
		_, err := newClient(t, registry.Config{}).TrustData(t.Context(), s.URL(), gun, "root.json", 100)
		if !errors.Is(err, trust.ErrNotFound) {
			t.Errorf("got %v, want not found", err)
		}
	})
	t.Run("a registry", func(t *testing.T) {
		s := registrytest.New(t, registrytest.Options{})
		wantCannotTell(t, timestamp(t, newClient(t, registry.Config{}), s.URL()), "; is that a Notary server?")
	})
}

func TestTrustDataWithToken(t *testing.T) {
	const other = "registry.example:5000/other"
	s := newNotary(t, registrytest.Options{Token: &registrytest.Token{Service: "notary of acme", Username: "user", Password: "secret"}})
	s.PutTrustData(other, "timestamp.json", []byte("{timestamp}"))
	c := newClient(t, registry.Config{Registries: []registry.Settings{{Host: s.Host(), Username: "user", Password: "secret"}}})
	login := []string{"GET " + timestampPath, "GET /token", "GET " + timestampPath}
	fetch := func(want ...string) {
		t.Helper()
		if err := timestamp(t, c, s.URL()); err != nil {
			t.Fatal(err)
		}
		token := url.Values{}
		for _, r := range s.Requests() {
			if r.Path == "/token" {
				token, _ = url.ParseQuery(r.Query)
				if r.Auth != "Basic" {
					t.Errorf("the token was asked for with %q", r.Auth)
				}
			}
		}
		wantLines(t, s, want...)
		query := url.Values{"service": {"notary of acme"}, "scope": {"repository:" + gun + ":pull"}}
		if diff := cmp.Diff(query, token); len(want) > 1 && diff != "" {
			t.Errorf("request for a token (-want +got):\n%s", diff)
		}
	}
	fetch(login...)
	fetch("GET " + timestampPath) // with a token held
	s.RevokeTokens()
	fetch(login...)
	if _, err := c.TrustData(t.Context(), s.URL(), other, "timestamp.json", 100); err != nil {
		t.Error(err)
	}
	if got := lines(s); len(got) != 3 {
		t.Errorf("another repository took %v, want a token of its own", got)
	}
	anonymous := newClient(t, registry.Config{})
	wantCannotTell(t, timestamp(t, anonymous, s.URL()), "token for "+s.Host()+"/"+gun+": GET "+s.URL()+"/token: UNAUTHORIZED")
}

func TestTrustDataWithPassword(t *testing.T) {
	s := newNotary(t, registrytest.Options{Username: "user", Password: "secret"})
	c := newClient(t, registry.Config{Registries: []registry.Settings{{Host: s.Host(), Username: "user", Password: "secret"}}})
	for _, requests := range []int{2, 1} {
		if err := timestamp(t, c, s.URL()); err != nil {
			t.Error(err)
		}
		if got := lines(s); len(got) != requests {
			t.Errorf("requests %v, want %d", got, requests)
		}
	}
	wantCannotTell(t, timestamp(t, newClient(t, registry.Config{}), s.URL()), "there is no user name and password for "+s.Host())
}

func TestTrustDataTLS(t *testing.T) {
	plain := newNotary(t, registrytest.Options{})
	secure := newNotary(t, registrytest.Options{TLS: true})
	mutual := newNotary(t, registrytest.Options{TLS: true, ClientCert: true})
	ca, cert, key, err := mutual.WriteTLS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	secureCA, _, _, err := secure.WriteTLS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		server   *registrytest.Server
		scheme   string
		settings *registry.Settings // nil: none, so that the host is written as loopback and no more
		want     string
	}{
		{"CA", secure, "https", &registry.Settings{CAFile: secureCA}, ""},
		{"another CA", secure, "https", &registry.Settings{CAFile: ca}, "set caFile for this host"},
		{"the system's CAs", secure, "https", nil, "set caFile for this host"},
		{"CAs are not looked at", secure, "https", &registry.Settings{InsecureSkipTLSVerify: true}, ""},
		{"client certificate", mutual, "https", &registry.Settings{CAFile: ca, CertFile: cert, KeyFile: key}, ""},
		{"no client certificate", mutual, "https", &registry.Settings{CAFile: ca}, "GET https://"},
		{"https in the address beats plain HTTP in the settings", secure, "https", &registry.Settings{InsecurePlainHTTP: true}, "set caFile for this host"},
		{"loopback over HTTP", plain, "http", nil, ""},
		{"HTTP by settings", plain, "http", &registry.Settings{InsecurePlainHTTP: true}, ""},
		{"HTTPS to a plain server", plain, "https", nil, "write http in its address and set insecurePlainHTTP"},
		{"HTTP to a TLS server", secure, "http", nil, "write https in its address"},
		{"HTTP with a CA", secure, "http", &registry.Settings{CAFile: secureCA}, "would be reached over plain HTTP, which is refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := registry.Config{}
			if tt.settings != nil {
				tt.settings.Host = tt.server.Host()
				config.Registries = []registry.Settings{*tt.settings}
			}
			err := timestamp(t, newClient(t, config), tt.scheme+"://"+tt.server.Host())
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCannotTell(t, err, tt.want)
			if strings.Contains(tt.want, "caFile") && errors.Is(err, trust.ErrUnavailable) {
				t.Errorf("%v: reads as an outage", err)
			}
		})
	}
}

// TestTrustServerAddresses shows which request an address leads to, and which are refused before any.
func TestTrustServerAddresses(t *testing.T) {
	const route = "/v2/" + gun + "/_trust/tuf/timestamp.json"
	plain := registry.Settings{Host: "plain.example", InsecurePlainHTTP: true}
	port80 := registry.Settings{Host: "other.example:80", InsecurePlainHTTP: true}
	secured := registry.Settings{Host: "127.0.0.9:4443", InsecureSkipTLSVerify: true}
	const form = "; write https://HOST, https://HOST:PORT or https://HOST:PORT/PATH"
	tests := []struct{ server, asked, want string }{
		{"https://notary.example", "https://notary.example", ""},
		{"https://Notary.EXAMPLE:443", "https://notary.example", ""},
		{"HTTPS://notary.example:4443", "https://notary.example:4443", ""},
		{"https://notary.example/a/~b.c", "https://notary.example/a/~b.c", ""},
		{"https://notary-server", "https://notary-server", ""},
		{"https://notary-server:4443", "https://notary-server:4443", ""},
		{"https://bücher.example", "https://xn--bcher-kva.example", ""},
		{"https://[::1]:4443", "https://[::1]:4443", ""},
		{"https://[0:0::1]", "https://[::1]", ""},
		{"https://localhost:4443", "https://localhost:4443", ""},
		{"https://notary.docker.io", "https://notary.docker.io", ""},
		{"https://notary.example:80", "https://notary.example:80", ""},
		{"http://plain.example", "http://plain.example", ""},
		{"http://plain.example:80", "http://plain.example", ""},
		{"http://other.example", "http://other.example", ""},
		{"http://localhost:4443", "http://localhost:4443", ""},
		{"http://127.0.0.1:80", "http://127.0.0.1", ""},
		{"http://[::1]:4443", "http://[::1]:4443", ""},

		{"http://notary.example", "", "plain HTTP, which is refused; write https, or set insecurePlainHTTP for notary.example in the settings"},
		{"http://plain.example:443", "", "set insecurePlainHTTP for plain.example:443"},
		{"http://plain.example:8080", "", "set insecurePlainHTTP for plain.example:8080"},
		{"http://127.0.0.9:4443", "", "set insecurePlainHTTP for 127.0.0.9:4443"},
		{"http://localhost.example", "", "plain HTTP, which is refused"},
		{"http://169.254.169.254", "", "plain HTTP, which is refused"},
		{"https://user:hunter2@notary.example", "", `notary server "…@notary.example": its address has credentials, which is refused; give them to notary.example in the settings`},
		{"https://user@notary.example", "", "has credentials"},
		{"https://@notary.example", "", "has credentials"},
		{"https://user:hunter2@notary.example:x", "", `notary server "…@notary.example:x": is no address` + form},
		{"https://notary.example?a=b", "", "a query or a fragment" + form},
		{"https://notary.example?", "", "a query or a fragment"},
		{"https://notary.example#a", "", "a query or a fragment"},
		{"https://notary.example/#", "", "a query or a fragment"},
		{"ftp://notary.example", "", `the scheme "ftp" is refused` + form},
		{"unix://notary/socket", "", `the scheme "unix" is refused`},
		{"notary.example", "", "is no address" + form},
		{"notary.example:4443", "", "is no address"},
		{"https:notary.example", "", "is no address"},
		{"//notary.example", "", `the scheme "" is refused`},
		{"https://", "", "is no address"},
		{"", "", "is no address"},
		{"https://\nnotary.example", "", "is no address"},
		{"https://notary.example/", "", "a slash at an end" + form},
		{"https://notary.example/a/", "", "a slash at an end"},
		{"https://notary.example//a", "", "an empty part"},
		{"https://notary.example/../a", "", `the part ".."`},
		{"https://notary.example/%2e%2e/a", "", "an escaped character"},
		{"https://notary.example/a\\b", "", `the character '\\'`},
		{"https://notary.example/a b", "", "the character ' '"},
		{"https://notary.example/" + strings.Repeat("a", 2<<10+1), "", "has 2049 bytes"},
		{"https://notary.example.", "", "its host is malformed; write a name"},
		{"https://notary_server.example", "", "its host is malformed"},
		{"https://127.1", "", "its host is malformed"},
		{"https://[fe80::1%25eth0]", "", "its host is malformed"},
		{"https://:4443", "", "its host is malformed"},
		{"https://notary.example:", "", "its port is malformed"},
		{"https://notary.example:0", "", "its port is malformed"},
		{"https://notary.example:0443", "", "its port is malformed"},
		{"https://notary.example:65536", "", "its port is malformed"},
		{"https://docker.io", "", "is Docker Hub's registry; its Notary server is https://notary.docker.io"},
		{"https://registry-1.docker.io:443", "", "is Docker Hub's registry"},
	}
	for _, tt := range tests {
		t.Run(tt.server, func(t *testing.T) {
			asked := ""
			c := newClient(t, registry.Config{
				Registries: []registry.Settings{plain, port80, secured},
				Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					asked = r.URL.Scheme + "://" + r.URL.Host + r.URL.Path
					return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("{}"))}, nil
				}),
			})
			_, err := c.TrustData(t.Context(), tt.server, gun, "timestamp.json", 100)
			if tt.want == "" {
				if err != nil || asked != tt.asked+route {
					t.Errorf("asked %q, %v; want %q", asked, err, tt.asked+route)
				}
				return
			}
			wantCannotTell(t, err, tt.want)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v: tells a password", err)
			}
			if asked != "" {
				t.Errorf("asked %s", asked)
			}
		})
	}
}

func TestTrustDataRetries(t *testing.T) {
	tests := []struct {
		name     string
		fault    registrytest.Fault
		times    int
		requests int
		want     string
	}{
		{"429 once", registrytest.Status(429, nil, ""), 1, 2, ""},
		{"cut once", registrytest.CutConnection(), 1, 2, ""},
		{"503 for ever", registrytest.Status(503, nil, ""), 9, 3, "503 Service Unavailable"},
		{"404 is no reason", registrytest.Status(404, nil, ""), 9, 1, "404 Not Found"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newNotary(t, registrytest.Options{})
			s.SetFault(nil, registrytest.Times(tt.times, tt.fault))
			c := newClient(t, registry.Config{Retries: 2})
			c.SetSleep(func(context.Context, time.Duration) error { return nil })
			err := timestamp(t, c, s.URL())
			if tt.want != "" {
				wantCannotTell(t, err, tt.want)
			} else if err != nil {
				t.Error(err)
			}
			if n := len(s.Requests()); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
		})
	}
}

// A page of somebody who stands between is an answer, and says nothing about the repository.
func TestT46_APageIsNoTrustData(t *testing.T) {
	s := newNotary(t, registrytest.Options{})
	c := newClient(t, registry.Config{})
	for _, page := range []string{"<!DOCTYPE html><title>log in</title>", "", "null", "[]", "\xef\xbb\xbf{}"} {
		s.PutTrustData(gun, "timestamp.json", []byte(page))
		wantCannotTell(t, timestamp(t, c, s.URL()), "the answer is no metadata")
	}
}
