package registry_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

const repo = "prod/api"

// newClient returns a Client for servers on loopback, which does not try again unless config says so.
func newClient(t *testing.T, config registry.Config) *registry.Client {
	t.Helper()
	config.LoopbackHTTP = true
	if config.Retries == 0 {
		config.Retries = -1
	}
	c, err := registry.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func tagged(t *testing.T, s *registrytest.Server, tag string) image.Ref {
	t.Helper()
	ref, err := image.Parse(s.Host() + "/" + repo + ":" + tag)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// lines returns the requests a server got, as "METHOD path", and forgets them.
func lines(s *registrytest.Server) []string {
	var got []string
	for _, r := range s.Requests() {
		got = append(got, r.String())
	}
	s.ResetRequests()
	return got
}

func wantLines(t *testing.T, s *registrytest.Server, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, lines(s)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// wantCannotTell fails unless err is an error that is neither a "no" nor "not found", and has a text in it.
func wantCannotTell(t *testing.T, err error, text string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("no error, want %q", text)
	case errors.Is(err, trust.ErrNotFound) || trust.IsNo(err):
		t.Errorf("%v: reads as a no, want cannot tell", err)
	case !strings.Contains(err.Error(), text):
		t.Errorf("got %q, want it to contain %q", err, text)
	}
}

func digestOf(content string) image.Digest { return image.SHA256([]byte(content)) }

func TestClientAsksOnce(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{})
	digest := s.PushImage(repo, "1.0", "", "seed")
	blob := s.PutBlob(repo, []byte("evidence"))
	c := newClient(t, registry.Config{})
	ctx, ref := t.Context(), tagged(t, s, "1.0")

	d, err := c.Resolve(ctx, ref)
	if err != nil || d.Digest != digest || d.MediaType != registrytest.MediaTypeManifest {
		t.Errorf("Resolve: %v, %v; want %s", d, err, digest)
	}
	wantLines(t, s, "HEAD /v2/prod/api/manifests/1.0")

	m, err := c.Manifest(ctx, ref.At(digest))
	if err != nil || m.Digest != digest || !digest.Fits(m.Bytes) || m.MediaType != registrytest.MediaTypeManifest {
		t.Errorf("Manifest: %v, %v; want %s", m, err, digest)
	}
	wantLines(t, s, "GET /v2/prod/api/manifests/"+digest.String())

	if m, err = c.Manifest(ctx, ref); err != nil || m.Digest != digest {
		t.Errorf("Manifest by tag: %v, %v; want %s", m, err, digest)
	}
	wantLines(t, s, "GET /v2/prod/api/manifests/1.0")

	if m, err = c.Manifest(ctx, ref.Pinned(digest)); err != nil || m.Digest != digest {
		t.Errorf("Manifest by tag and digest: %v, %v; want %s", m, err, digest)
	}
	wantLines(t, s, "GET /v2/prod/api/manifests/"+digest.String())

	content, err := c.Blob(ctx, ref, trust.Descriptor{Digest: blob, Size: 8}, 100)
	if err != nil || string(content) != "evidence" {
		t.Errorf("Blob: %q, %v", content, err)
	}
	wantLines(t, s, "GET /v2/prod/api/blobs/"+blob.String())

	list, err := c.Referrers(ctx, ref.At(digest))
	if err != nil || len(list) != 0 {
		t.Errorf("Referrers: %v, %v; want none", list, err)
	}
	wantLines(t, s, "GET /v2/prod/api/referrers/"+digest.String())
}

func TestResolveFallsBackToContent(t *testing.T) {
	head := func(r *http.Request) bool { return r.Method == http.MethodHead }
	tests := []struct {
		name  string
		fault registrytest.Fault
	}{
		{"no digest", registrytest.FalseDigestHeader("")},
		{"a digest of wrong length", registrytest.FalseDigestHeader("sha256:00")},
		{"an unknown algorithm", registrytest.FalseDigestHeader("md5:d41d8cd98f00b204e9800998ecf8427e")},
		{"HEAD is not allowed", registrytest.Status(http.StatusMethodNotAllowed, nil, "")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := registrytest.New(t, registrytest.Options{})
			want := s.PushImage(repo, "1.0", "", "seed")
			s.SetFault(head, tt.fault)
			c := newClient(t, registry.Config{})
			got, err := c.Resolve(t.Context(), tagged(t, s, "1.0"))
			if err != nil || got.Digest != want {
				t.Errorf("got %v, %v; want %s", got, err, want)
			}
			wantLines(t, s, "HEAD /v2/prod/api/manifests/1.0", "GET /v2/prod/api/manifests/1.0")
		})
	}
}

func TestNotFound(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{})
	s.PushImage(repo, "1.0", "", "seed")
	c := newClient(t, registry.Config{})
	ctx, ref := t.Context(), tagged(t, s, "none")
	absent := trust.Descriptor{Digest: digestOf("absent"), Size: 6}
	base := s.URL() + "/v2/prod/api/"
	tests := []struct {
		name string
		ask  func() error
		want string
	}{
		{"Resolve", func() error { _, err := c.Resolve(ctx, ref); return err }, "HEAD " + base + "manifests/none: 404 Not Found"},
		{"Manifest", func() error { _, err := c.Manifest(ctx, ref); return err }, "GET " + base + "manifests/none: MANIFEST_UNKNOWN: Unknown manifest"},
		{"Blob", func() error { _, err := c.Blob(ctx, ref, absent, 10); return err }, "GET " + base + "blobs/" + absent.Digest.String() + ": BLOB_UNKNOWN: Unknown blob"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.ask()
			if !errors.Is(err, trust.ErrNotFound) || err.Error() != tt.want {
				t.Errorf("got %v, want not found and %q", err, tt.want)
			}
		})
	}
}

// TestDIA33_TextOfAnUnsignedImage holds the text that alerts of DIA's users look for.
func TestDIA33_TextOfAnUnsignedImage(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{})
	tests := []struct{ name, body, want string }{
		{"with a detail", `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"dia-00"}}]}`,
			"MANIFEST_UNKNOWN: manifest unknown; map[Tag:dia-00]"},
		{"another registry's", `{"errors":[{"code":"NOT_FOUND","message":"artifact not found"}]}`, "NOT_FOUND: artifact not found"},
		{"two errors", `{"errors":[{"code":"NAME_UNKNOWN"},{"code":"X","message":"y"}]}`, "NAME_UNKNOWN, X: y"},
		{"no document", "404 page not found", "404 Not Found"},
		{"lines and escapes", `{"errors":[{"code":"NOT_FOUND","message":"a\nb\u001b[31m"}]}`, "NOT_FOUND: a b [31m"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.SetFault(nil, registrytest.Status(http.StatusNotFound, nil, tt.body))
			_, err := newClient(t, registry.Config{}).Manifest(t.Context(), tagged(t, s, "dia-00"))
			want := "GET " + s.URL() + "/v2/prod/api/manifests/dia-00: " + tt.want
			if !errors.Is(err, trust.ErrNotFound) || err.Error() != want {
				t.Errorf("got %v, want not found and %q", err, want)
			}
			var status *registry.StatusError
			if !errors.As(err, &status) || status.StatusCode != http.StatusNotFound {
				t.Errorf("got %#v, want a StatusError with 404", err)
			}
		})
	}
}

func TestPush(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{Token: &registrytest.Token{}})
	c := newClient(t, registry.Config{})
	ctx, ref := t.Context(), tagged(t, s, "signed")
	blob := []byte("certificate")
	if err := c.PushBlob(ctx, ref, blob); err != nil {
		t.Fatal(err)
	}
	if n := len(lines(s)); n != 5 {
		t.Errorf("first blob: %d requests, want 3 and 2 to log in", n)
	}
	if err := c.PushBlob(ctx, ref, blob); err != nil {
		t.Fatal(err)
	}
	wantLines(t, s, "HEAD /v2/prod/api/blobs/"+image.SHA256(blob).String())
	manifest := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`)
	if err := c.PushManifest(ctx, ref, registrytest.MediaTypeManifest, manifest); err != nil {
		t.Fatal(err)
	}
	wantLines(t, s, "PUT /v2/prod/api/manifests/signed")
	if err := c.PushManifest(ctx, ref.At(image.SHA256(manifest)), registrytest.MediaTypeManifest, manifest); err != nil {
		t.Error(err)
	}
	if err := c.PushManifest(ctx, ref.At(digestOf("other")), registrytest.MediaTypeManifest, manifest); err == nil {
		t.Error("a manifest was pushed under another's digest")
	}
	got, err := c.Manifest(ctx, ref)
	if err != nil || got.Digest != image.SHA256(manifest) {
		t.Errorf("got %v, %v; want what was pushed", got, err)
	}
	s.SetFault(registrytest.OnManifests, registrytest.FalseDigestHeader(digestOf("other").String()))
	wantCannotTell(t, c.PushManifest(ctx, ref, registrytest.MediaTypeManifest, manifest), "says that it stored")
}

func TestDeadlineHolds(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{})
	s.SetFault(nil, registrytest.Hang())
	start := time.Now()
	_, err := newClient(t, registry.Config{RequestTimeout: 50 * time.Millisecond}).Manifest(t.Context(), tagged(t, s, "1.0"))
	wantCannotTell(t, err, "no answer in time")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = newClient(t, registry.Config{}).Manifest(ctx, tagged(t, s, "1.0"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %s", took)
	}
}

// roundTripper answers without a network, to look at requests to hosts that are not there.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDockerHub(t *testing.T) {
	var got string
	c := newClient(t, registry.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		got = r.URL.String()
		return nil, errors.New("no network")
	})})
	_, err := c.Manifest(t.Context(), image.MustParse("alpine:3"))
	if want := "https://registry-1.docker.io/v2/library/alpine/manifests/3"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	wantCannotTell(t, err, "no network")
}

func TestNewRefuses(t *testing.T) {
	folder := t.TempDir()
	s := registrytest.New(t, registrytest.Options{TLS: true})
	ca, cert, _, err := s.WriteTLS(folder)
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(folder, "empty")
	big := filepath.Join(folder, "big")
	for name, content := range map[string]string{empty: "", big: strings.Repeat("x", 1<<20+1)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := func(s registry.Settings) registry.Config {
		if s.Host == "" {
			s.Host = "registry.example"
		}
		return registry.Config{Registries: []registry.Settings{s}}
	}
	tests := []struct {
		name   string
		config registry.Config
		want   string
	}{
		{"no host", registry.Config{Registries: make([]registry.Settings, 1)}, "registries[0]: host: is absent"},
		{"a URL", one(registry.Settings{Host: "https://registry.example"}), "is no host of a registry"},
		{"a path", one(registry.Settings{Host: "registry.example/prod"}), "is no host of a registry"},
		{"upper case", one(registry.Settings{Host: "Registry.example:443"}), `write "registry.example"`},
		{"an alias of Docker Hub", one(registry.Settings{Host: "index.docker.io"}), `write "docker.io"`},
		{"a host twice", registry.Config{Registries: []registry.Settings{{Host: "a.example"}, {Host: "a.example"}}}, "registries[1]: host a.example: is there twice"},
		{"an absent CA", one(registry.Settings{CAFile: folder + "/none"}), "caFile: open"},
		{"a CA without certificates", one(registry.Settings{CAFile: empty}), "no certificate in PEM format"},
		{"a CA of any size", one(registry.Settings{CAFile: big}), "larger than"},
		{"a certificate without key", one(registry.Settings{CertFile: cert}), "certFile and keyFile belong together"},
		{"a certificate for key", one(registry.Settings{CertFile: cert, KeyFile: cert}), "certFile " + cert},
		{"plain HTTP with a CA", one(registry.Settings{CAFile: ca, InsecurePlainHTTP: true}), "insecurePlainHTTP excludes"},
		{"a CA that is not looked at", one(registry.Settings{CAFile: ca, InsecureSkipTLSVerify: true}), "exclude each other"},
		{"a password without user", one(registry.Settings{PasswordFile: ca}), "a password without username"},
		{"a user without password", one(registry.Settings{Username: "u"}), "username without passwordFile"},
		{"an empty password", one(registry.Settings{Username: "u", PasswordFile: empty}), "is empty"},
		{"two passwords", one(registry.Settings{Username: "u", Password: "p", PasswordFile: ca}), "exclude each other"},
		{"a bad mirror", one(registry.Settings{Mirrors: []string{"http://mirror.example"}}), "mirrors: "},
		{"itself for a mirror", one(registry.Settings{Mirrors: []string{"registry.example/x"}}), "is the registry itself"},
		{"a bad realm", one(registry.Settings{TokenRealms: []string{"https://auth.example"}}), "tokenRealms: "},
		{"a broken docker config", registry.Config{DockerConfig: folder}, "docker config in " + folder},
	}
	if err := os.WriteFile(filepath.Join(folder, "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := registry.New(tt.config)
			if err == nil || c != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestHints(t *testing.T) {
	plain := registrytest.New(t, registrytest.Options{})
	secure := registrytest.New(t, registrytest.Options{TLS: true})
	mutual := registrytest.New(t, registrytest.Options{TLS: true, ClientCert: true})
	ca, cert, key, err := mutual.WriteTLS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	secureCA, _, _, err := secure.WriteTLS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mutual.PushImage(repo, "1.0", "", "seed")
	tests := []struct {
		name     string
		server   *registrytest.Server
		settings registry.Settings
		want     string
	}{
		{"HTTPS to a plain server", plain, registry.Settings{CAFile: ca}, "set insecurePlainHTTP for this host"},
		{"plain HTTP to a TLS server", secure, registry.Settings{InsecurePlainHTTP: true}, "remove insecurePlainHTTP"},
		{"DIA-31 another CA", secure, registry.Settings{CAFile: ca}, "set caFile for this host"},
		{"no client certificate", mutual, registry.Settings{CAFile: ca}, "GET https://"}, // the server's alert may come after its end of the connection
		{"client certificate", mutual, registry.Settings{CAFile: ca, CertFile: cert, KeyFile: key}, ""},
		{"DIA-31 skipping was asked for by name", secure, registry.Settings{InsecureSkipTLSVerify: true}, ""},
		{"right CA", secure, registry.Settings{CAFile: secureCA}, ""},
	}
	secure.PushImage(repo, "1.0", "", "seed")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.settings.Host = tt.server.Host()
			c := newClient(t, registry.Config{Registries: []registry.Settings{tt.settings}})
			_, err := c.Manifest(t.Context(), tagged(t, tt.server, "1.0"))
			if tt.want != "" {
				wantCannotTell(t, err, tt.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
