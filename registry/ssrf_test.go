package registry_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

// resolver returns a resolver that asks a DNS server of the test's own, which gives every name the same address.
func resolver(t *testing.T, address string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response = true
			m.Additionals = nil
			q := m.Questions[0]
			header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
			switch addr := netip.MustParseAddr(address); {
			case q.Type == dnsmessage.TypeA && addr.Is4():
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}}}
			case q.Type == dnsmessage.TypeAAAA && addr.Is6():
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}}}
			}
			if reply, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func port(s *registrytest.Server) string {
	_, port, _ := strings.Cut(s.Host(), ":")
	return port
}

func TestT48_Addresses(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{})
	s.PushImage(repo, "1.0", "", "seed")
	named := "registry.corp.example:" + port(s)
	loopbackOnly := strings.Replace(s.Host(), "127.0.0.1", "localhost", 1)
	plain := registry.Settings{InsecurePlainHTTP: true}
	tests := []struct {
		name     string
		host     string
		address  string // that the host's name resolves to
		typed    bool
		settings *registry.Settings
		want     string // "" is success
	}{
		{"typed 127.0.0.1 at the cli", s.Host(), "", true, nil, ""},
		{"typed localhost at the cli", loopbackOnly, "127.0.0.1", true, nil, ""},
		{"typed 127.0.0.1 elsewhere", s.Host(), "", false, nil, "loopback address"},
		{"typed 127.0.0.1 with settings", s.Host(), "", false, &plain, ""},
		{"a name that resolves to loopback", named, "127.0.0.1", true, &plain, "set insecureAllowLoopback"},
		{"a name that may", named, "127.0.0.1", true, &registry.Settings{InsecurePlainHTTP: true, InsecureAllowLoopback: true}, ""},
		{"metadata service", "169.254.169.254", "", true, nil, "set insecureAllowLinkLocal"},
		{"metadata service with settings", "169.254.169.254", "", true, &plain, "link-local"},
		{"a name that resolves to it", named, "169.254.169.254", true, &plain, "link-local"},
		{"metadata service by IPv6", named, "fd00:ec2::254", true, &plain, "link-local"},
		{"mapped", named, "::ffff:127.0.0.1", true, &plain, "loopback address"},
		{"6to4", named, "2002:a9fe:a9fe::1", true, &plain, "link-local"},
		{"NAT64", named, "64:ff9b::169.254.169.254", true, &plain, "link-local"},
		{"unspecified", named, "0.0.0.0", true, &plain, "no address of a single host"},
		{"multicast", named, "224.0.0.1", true, &plain, "no address of a single host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.ResetRequests()
			config := registry.Config{LoopbackHTTP: tt.typed, Retries: -1}
			if tt.settings != nil {
				tt.settings.Host = tt.host
				config.Registries = []registry.Settings{*tt.settings}
			}
			c, err := registry.New(config)
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseIdleConnections()
			if tt.address != "" {
				c.SetResolver(resolver(t, tt.address))
			}
			_, err = c.Manifest(t.Context(), mustParse(t, tt.host+"/"+repo+":1.0"))
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCannotTell(t, err, tt.want)
			wantLines(t, s)
		})
	}
}

func TestT48_ForeignTokenRealmIsNotAsked(t *testing.T) {
	thief := registrytest.New(t, registrytest.Options{})
	s := registrytest.New(t, registrytest.Options{Token: &registrytest.Token{Realm: strings.Replace(thief.URL(), "127.0.0.1", "127.0.0.2", 1) + "/token"}})
	settings := registry.Settings{Host: s.Host(), InsecurePlainHTTP: true, Username: "user", Password: "secret"}
	c := newClient(t, registry.Config{Registries: []registry.Settings{settings}})
	_, err := c.Manifest(t.Context(), tagged(t, s, "1.0"))
	wantCannotTell(t, err, "is not known to issue tokens for "+s.Host())
	if got := thief.Requests(); len(got) != 0 {
		t.Errorf("the foreign token service was asked: %v", got)
	}
	for _, line := range s.Requests() {
		if line.Auth != "" {
			t.Errorf("%s was sent with %s", line, line.Auth)
		}
	}
}

func TestT48_ForeignTokenRealm(t *testing.T) {
	tests := []struct {
		name, registry, realm string
		settings              registry.Settings
		want                  string
	}{
		{"own host", "r.example", "https://r.example/token", registry.Settings{}, ""},
		{"another port of it", "r.example:5050", "https://r.example/jwt/auth", registry.Settings{}, ""},
		{"parent of registry.*", "registry.gitlab.example", "https://gitlab.example/jwt", registry.Settings{}, ""},
		{"parent on another port", "registry.gitlab.example", "https://gitlab.example:8443/jwt", registry.Settings{}, "not known"},
		{"parent that is a top-level domain", "registry.example", "https://example/jwt", registry.Settings{}, "not known"},
		{"parent of another name", "r.gitlab.example", "https://gitlab.example/jwt", registry.Settings{}, "not known"},
		{"Docker Hub", "docker.io", "https://auth.docker.io/token", registry.Settings{}, ""},
		{"Docker Hub's for another", "r.example", "https://auth.docker.io/token", registry.Settings{}, "not known"},
		{"configured", "r.example", "https://auth.example/token", registry.Settings{TokenRealms: []string{"auth.example"}}, ""},
		{"configured, in upper case with port", "r.example", "https://AUTH.example:443/token", registry.Settings{TokenRealms: []string{"auth.example"}}, ""},
		{"longer name", "r.example", "https://r.example.evil.example/token", registry.Settings{}, "not known"},
		{"in the user's place", "r.example", "https://r.example@evil.example/token", registry.Settings{}, "credentials or a fragment"},
		{"plain HTTP", "r.example", "http://r.example/token", registry.Settings{}, "want https"},
		{"plain HTTP of a plain registry", "r.example", "http://r.example/token", registry.Settings{InsecurePlainHTTP: true}, ""},
		{"metadata service", "r.example", "http://169.254.169.254/latest/meta-data", registry.Settings{}, "not known"},
		{"a file", "r.example", "file://r.example/etc/passwd", registry.Settings{}, "want https"},
		{"no address", "r.example", "token", registry.Settings{}, "is no address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			tt.settings.Host = tt.registry
			c := newClient(t, registry.Config{
				Registries: []registry.Settings{tt.settings},
				Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					asked = append(asked, r.URL.Host)
					return &http.Response{StatusCode: 401, Body: http.NoBody, Header: http.Header{
						"Www-Authenticate": {fmt.Sprintf("Bearer realm=%q", tt.realm)},
					}}, nil
				}),
			})
			_, err := c.Manifest(t.Context(), mustParse(t, tt.registry+"/x/y:1"))
			wantCannotTell(t, err, tt.want)
			if want := tt.want == ""; len(asked) > 1 != want {
				t.Errorf("asked %v, token service among them: want %t", asked, want)
			}
		})
	}
}

func TestT48_CredentialsStopAtAnotherHost(t *testing.T) {
	storage := registrytest.New(t, registrytest.Options{})
	s := registrytest.New(t, registrytest.Options{Username: "user", Password: "secret"})
	content := []byte("evidence")
	d := trust.Descriptor{Digest: storage.PutBlob(repo, content), Size: int64(len(content))}
	authorized := func(r *http.Request) bool { return r.Header.Get("Authorization") != "" }
	own := registry.Settings{Host: s.Host(), InsecurePlainHTTP: true, Username: "user", Password: "secret"}
	other := registry.Settings{Host: storage.Host(), InsecurePlainHTTP: true, Username: "other", Password: "secret"}
	tests := []struct {
		name   string
		fault  registrytest.Fault
		others bool // the operator has settings for the other host
		want   string
	}{
		{"configured host", registrytest.Redirect(storage.URL()), true, ""},
		{"unknown host on loopback", registrytest.Redirect(storage.URL()), false, "loopback address"},
		{"metadata service", registrytest.Redirect("http://169.254.169.254"), true, "link-local"},
		{"another scheme", registrytest.Redirect("file://" + storage.Host()), true, "the scheme"},
		{"credentials in the address", registrytest.Redirect("http://a:b@" + storage.Host()), true, "credentials in the address"},
		{"round and round", registrytest.Redirect(s.URL()), true, "more than 5 redirects"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			storage.ResetRequests()
			s.ResetRequests()
			s.ClearFaults()
			s.SetFault(authorized, tt.fault)
			config := registry.Config{Registries: []registry.Settings{own}}
			if tt.others {
				config.Registries = append(config.Registries, other)
			}
			got, err := newClient(t, config).Blob(t.Context(), tagged(t, s, "1.0"), d, 100)
			if tt.want != "" {
				wantCannotTell(t, err, tt.want)
			} else if err != nil || string(got) != string(content) {
				t.Errorf("got %q, %v", got, err)
			}
			for _, r := range storage.Requests() {
				if r.Auth != "" || r.Cookie {
					t.Errorf("%s came with %q, cookies %t", r, r.Auth, r.Cookie)
				}
			}
			if n := len(s.Requests()); n > 1+1+5 {
				t.Errorf("%d requests, want one to learn of the login, one with it, and 5 redirects at most", n)
			}
			if n := len(storage.Requests()); n > 1 || n == 0 && tt.want == "" {
				t.Errorf("%d requests at the other host", n)
			}
		})
	}
}

// TestT48_NoDowngrade shows that a redirect from https to http is refused, to any host.
func TestT48_NoDowngrade(t *testing.T) {
	storage := registrytest.New(t, registrytest.Options{})
	s := registrytest.New(t, registrytest.Options{TLS: true})
	ca, _, _, err := s.WriteTLS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.SetFault(nil, registrytest.Redirect(storage.URL()))
	c := newClient(t, registry.Config{Registries: []registry.Settings{
		{Host: s.Host(), CAFile: ca}, {Host: storage.Host(), InsecurePlainHTTP: true},
	}})
	_, err = c.Manifest(t.Context(), tagged(t, s, "1.0"))
	wantCannotTell(t, err, "from https to http")
	wantLines(t, storage)
}

// TestT48_UploadStaysAtTheRegistry has a registry that names a place for the upload at another host.
func TestT48_UploadStaysAtTheRegistry(t *testing.T) {
	thief := registrytest.New(t, registrytest.Options{})
	s := registrytest.New(t, registrytest.Options{Username: "user", Password: "secret"})
	s.SetFault(func(r *http.Request) bool { return r.Method == http.MethodPost && r.Header.Get("Authorization") != "" },
		registrytest.Status(http.StatusAccepted, http.Header{"Location": {thief.URL() + "/v2/x/blobs/uploads/1"}}, ""))
	c := newClient(t, registry.Config{Registries: []registry.Settings{{Host: s.Host(), Username: "user", Password: "secret"}}})
	wantCannotTell(t, c.PushBlob(t.Context(), tagged(t, s, "1.0"), []byte("x")), "which is refused")
	wantLines(t, thief)
}

// TestT48_ForeignLayersAreNotFetched has a descriptor's other addresses nowhere to go: the API does not take them.
func TestT48_ForeignLayersAreNotFetched(t *testing.T) {
	thief := registrytest.New(t, registrytest.Options{})
	s := registrytest.New(t, registrytest.Options{})
	content := []byte(`{"mediaType":"` + registrytest.MediaTypeManifest + `","layers":[{"digest":"` + digestOf("x").String() + `","size":1,"urls":["` + thief.URL() + `/x"]}]}`)
	s.PutManifest(repo, "1.0", registrytest.MediaTypeManifest, content)
	c := newClient(t, registry.Config{})
	if _, err := c.Manifest(t.Context(), tagged(t, s, "1.0")); err != nil {
		t.Error(err)
	}
	_, err := c.Blob(t.Context(), tagged(t, s, "1.0"), trust.Descriptor{Digest: image.SHA256([]byte("x")), Size: 1}, 1)
	if err == nil {
		t.Error("a blob came from nowhere")
	}
	wantLines(t, thief)
}
