package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/upstream"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust/certificate"
)

// fleet is a registry with signed images, and an upstream that has a policy about them and knows its clients by certificates.
type fleet struct {
	t        *testing.T
	registry *registrytest.Server
	signers  *authority
	folder   string
	policy   string // file
	images   []string
	servers  *authority
	clients  *authority
	upstream *running
}

// newFleet makes one with so many signed images.
func newFleet(t *testing.T, images int) *fleet {
	t.Helper()
	f := &fleet{t: t, registry: registrytest.New(t, registrytest.Options{}), signers: newAuthority(t, "signers"), folder: t.TempDir()}
	for i := range images {
		f.images = append(f.images, f.push(fmt.Sprintf("shop/app%d", i), true))
	}
	f.policy = f.in("policy.yaml")
	f.use("require: ci")
	f.servers, f.clients = newAuthority(t, "servers"), newAuthority(t, "clients")
	f.servers.issue(t, "server", f.in("tls.crt"), f.in("tls.key"))
	replace(t, f.in("servers.pem"), string(f.servers.pem))
	replace(t, f.in("clients.pem"), string(f.clients.pem))
	return f
}

func (f *fleet) in(name string) string { return filepath.Join(f.folder, name) }

// use writes the policy with what its rule says of the registry's images.
func (f *fleet) use(rule string) {
	f.t.Helper()
	text := "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: fleet}\nspec:\n  authorities: {ci: {certificate: {roots: %q}}}\n  rules:\n  - {images: [%q], %s}\n"
	replace(f.t, f.policy, fmt.Sprintf(text, f.signers.pem, f.registry.Host()+"/**", rule))
}

// push pushes an image, and returns its reference by digest.
func (f *fleet) push(repository string, signed bool) string {
	f.t.Helper()
	d := f.registry.PushImage(repository, "1", "linux/amd64", repository)
	ref := image.MustParse(f.registry.Host() + "/" + repository + "@" + d.String())
	if signed {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: certificate.CommonName("dia-", d)}, URIs: []*url.URL{certificate.SAN(ref)},
			NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, f.signers.cert, &f.signers.key.PublicKey, f.signers.key)
		must(f.t, err)
		cert, err := x509.ParseCertificate(der)
		must(f.t, err)
		artifact, err := certificate.Pack([]*x509.Certificate{cert}, "image.crt", certificate.OCI)
		must(f.t, err)
		for _, blob := range artifact.Blobs {
			f.registry.PutBlob(repository, blob)
		}
		f.registry.PutManifest(repository, certificate.Tag(d), artifact.MediaType, artifact.Manifest)
	}
	return ref.String()
}

// serve starts the upstream.
func (f *fleet) serve(t *testing.T) {
	t.Helper()
	settings := f.in("registries.yaml")
	replace(t, settings, "registries:\n- {host: \""+f.registry.Host()+"\", insecurePlainHTTP: true, insecureAllowLoopback: true}\n")
	f.upstream = serve(t, "--policy", f.policy, "--registries", settings, "--tls-cert", f.in("tls.crt"), "--tls-key", f.in("tls.key"), "--client-ca", f.in("clients.pem"))
	f.registry.ResetRequests()
}

// flags are those by which a host named name asks the upstream.
func (f *fleet) flags(t *testing.T, name string) *upstreamOptions {
	t.Helper()
	o := &upstreamOptions{url: "https://" + f.upstream.address, ca: f.in("servers.pem"), cert: f.in(name + ".crt"), key: f.in(name + ".key"), timeout: 30 * time.Second}
	f.clients.issue(t, name, o.cert, o.key)
	must(t, o.check())
	return o
}

// userAgent is what the registry sees of hosts that ask it themselves.
const userAgent = "a host of the fleet"

// host is an Assay of its own, with its own caches and its own certificate.
type fleetHost struct {
	*upstream.Decider
	link    *upstreamLink
	mu      sync.Mutex
	results map[upstream.Result]int
}

func (f *fleet) host(t *testing.T, name string) *fleetHost {
	t.Helper()
	a := &app{getenv: func(string) string { return "" }, now: time.Now}
	policies, err := loadPolicies([]string{f.policy})
	must(t, err)
	client, err := registry.New(registry.Config{LoopbackHTTP: true, UserAgent: userAgent})
	must(t, err)
	own, err := a.makeEngine(policies, peers{source: client})
	must(t, err)
	h := &fleetHost{link: &upstreamLink{options: f.flags(t, name)}, results: map[upstream.Result]int{}}
	must(t, h.link.load(&reading{}))
	h.Decider = upstream.New(upstream.Config{Ask: h.link.ask, Alone: own, Basis: own.Basis, Timeout: 30 * time.Second, Observe: func(r upstream.Result) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.results[r]++
	}})
	t.Cleanup(func() {
		client.CloseIdleConnections()
		h.link.close()
	})
	return h
}

func fleetQuestion(name string) engine.Request {
	return engine.Request{Image: name, Request: policy.Request{Point: "containerd"}}
}

// signatureRequests counts the requests for the signature's manifest of each image, and those that hosts of the fleet have sent themselves.
func (f *fleet) signatureRequests() (signatures map[string]int, own int) {
	paths := map[string]string{}
	for _, name := range f.images {
		ref := image.MustParse(name)
		paths["/v2/"+ref.Repository()+"/manifests/"+certificate.Tag(ref.Digest())] = name
	}
	signatures = map[string]int{}
	for _, r := range f.registry.Requests() {
		if r.UserAgent == userAgent {
			own++
		}
		if name, found := paths[r.Path]; found && r.Method == "GET" {
			signatures[name]++
		}
	}
	return signatures, own
}

// 200 hosts with certificates, engines and caches of their own that ask one upstream for the same 100 digests at once cause 100 verifications,
// and ask the registry for nothing themselves. They are too many for the race detector.
func TestT27_AFleetVerifiesADigestOnce(t *testing.T) {
	hosts, digests := 200, 100
	if raceDetector {
		hosts, digests = 25, 20
	}
	f := newFleet(t, digests)
	f.serve(t)
	all := make([]*fleetHost, hosts)
	for i := range all {
		all[i] = f.host(t, fmt.Sprintf("host-%d", i))
	}
	start := time.Now()
	var wait sync.WaitGroup
	for i, h := range all {
		wait.Go(func() {
			for j := range digests {
				name := f.images[(i+j)%digests]
				if v := h.Decide(context.Background(), fleetQuestion(name)); !v.Allowed || v.Outcome != engine.Allowed || v.Digest != image.MustParse(name).Digest() {
					t.Errorf("host %d: %s", i, v.String())
					return
				}
			}
		})
	}
	wait.Wait()
	t.Logf("%d hosts asked for %d digests in %v", hosts, digests, time.Since(start))
	signatures, own := f.signatureRequests()
	if own != 0 {
		t.Errorf("the hosts sent %d requests to the registry themselves, want 0", own)
	}
	if len(signatures) != digests {
		t.Errorf("%d of %d images were verified", len(signatures), digests)
	}
	for name, n := range signatures {
		if n != 1 {
			t.Errorf("%s was verified %d times, want once", name, n)
		}
	}
	for i, h := range all {
		if h.results[upstream.Counted] != digests || len(h.results) != 1 {
			t.Errorf("host %d: %v", i, h.results)
		}
	}
}

// Command lines that would ask somebody whom nobody knows, or as nobody, are refused.
func TestUpstreamUsage(t *testing.T) {
	policy := servedPolicy(t, "a")
	known := []string{"--upstream-cert", "c", "--upstream-key", "k"}
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"--upstream-ca", "x"}, "give --upstream as well"},
		{[]string{"--upstream-timeout", "1s"}, "give --upstream as well"},
		{known, "give --upstream as well"},
		{[]string{"--upstream", "https://up.example:8443"}, "as whom?"},
		{[]string{"--upstream", "https://up.example:8443", "--upstream-cert", "c"}, "as whom?"},
		{append(known, "--upstream", "http://up.example"), "want https://HOST"},
		{append(known, "--upstream", "up.example:8443"), "want https://HOST"},
		{append(known, "--upstream", "https://user:secret@up.example"), "want https://HOST"},
		{append(known, "--upstream", "https://up.example?x=y"), "want https://HOST"},
		{append(known, "--upstream", "https://up.example", "--upstream-timeout", "0s"), "want more than 0"},
		{append(known, "--upstream", "https://up.example", "--upstream-ca", "/nowhere/ca.pem"), "/nowhere/ca.pem"},
		{append(known, "--upstream", "https://up.example", "--upstream-ca", policy), "no certificate in PEM"},
	} {
		r := runAssay(t, "", append([]string{"serve", "docker", "--policy", policy, "--socket", filepath.Join(t.TempDir(), "s")}, row.args...)...)
		if r.code != exitUsage || !strings.Contains(r.stderr, row.want) || strings.Contains(r.stderr, "secret") {
			t.Errorf("%q: got %d %s, want %q", row.args, r.code, r.stderr, row.want)
		}
	}
}
