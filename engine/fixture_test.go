package engine_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/certificate"
	"github.com/assay-dev/assay/trust/formats"
	"github.com/assay-dev/assay/trust/sigstore"
)

// clock is a time that a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

// ca is a certificate authority for tests; its keys live as long as the test.
type ca struct {
	name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newCA(t testing.TB, name string, now time.Time) *ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &ca{name: name, cert: cert, key: key, n: 1}
}

func (c *ca) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw}))
}

// issue makes a certificate for ref, which has a digest.
func (c *ca) issue(t testing.TB, ref image.Ref, now time.Time) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.n++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(c.n), Subject: pkix.Name{CommonName: certificate.CommonName("dia-", ref.Digest())},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(12 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, KeyUsage: x509.KeyUsageDigitalSignature,
		URIs: []*url.URL{certificate.SAN(ref)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, &key.PublicKey, c.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// world is a registry, a clock, two authorities and an engine.
type world struct {
	testing.TB
	clock  *clock
	server *registrytest.Server
	client *registry.Client
	right  *ca
	other  *ca
	engine *engine.Engine
	source trust.Source // in place of client, where a test sets it
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: &clock{t: time.Now().Truncate(time.Second)}}
	w.server = registrytest.New(t, registrytest.Options{})
	w.right, w.other = newCA(t, "right", w.clock.t), newCA(t, "other", w.clock.t)
	client, err := registry.New(registry.Config{LoopbackHTTP: true, Retries: -1, RequestTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	w.client = client
	return w
}

// use starts an engine with a policy whose spec is given; %HOST% stands for the registry.
func (w *world) use(spec string, change ...func(*engine.Config)) {
	w.Helper()
	config := engine.Config{
		Policies: []*policy.Policy{w.parse("test", spec)}, Formats: formats.All(formats.Config{}),
		Source: w.client, Tags: w.client, Now: w.clock.now, Timeout: 3 * time.Second,
	}
	for _, c := range change {
		c(&config)
	}
	e, err := engine.New(config)
	if err != nil {
		w.Fatal(err)
	}
	w.engine = e
}

func (w *world) parse(name, spec string) *policy.Policy {
	w.Helper()
	p, err := policy.Parse(policy.Source{Name: name + ".yaml", Data: w.document(name, spec)}, []string{certificate.Name, sigstore.Name, "notary"})
	if err != nil {
		w.Fatalf("%v in\n%s", err, w.document(name, spec))
	}
	return p
}

func (w *world) document(name, spec string) []byte {
	replace := strings.NewReplacer("%HOST%", w.server.Host(), "%RIGHT%", quoted(w.right.pem()), "%OTHER%", quoted(w.other.pem()))
	return []byte(fmt.Sprintf("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: %s}\nspec:\n%s", name, replace.Replace(spec)))
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// simple is a policy that needs the right authority's word.
const simple = `
  authorities:
    right: {certificate: {roots: %RIGHT%}}
    other: {certificate: {roots: %OTHER%}}
  rules:
  - images: ["%HOST%/app/**"]
    require: right
`

// image pushes an image and returns its reference by digest.
func (w *world) image(name, tag, seed string) image.Ref {
	w.Helper()
	d := w.server.PushImage(name, tag, "linux/amd64", seed)
	return image.MustParse(w.server.Host() + "/" + name + "@" + d.String())
}

// sign publishes a certificate for ref.
func (w *world) sign(by *ca, ref image.Ref) *x509.Certificate {
	w.Helper()
	cert := by.issue(w, ref, w.clock.t)
	w.publish(ref, cert)
	return cert
}

func (w *world) publish(ref image.Ref, cert *x509.Certificate) {
	w.Helper()
	artifact, err := certificate.Pack([]*x509.Certificate{cert}, "image.crt", certificate.OCI)
	if err != nil {
		w.Fatal(err)
	}
	for _, blob := range artifact.Blobs {
		w.server.PutBlob(ref.Repository(), blob)
	}
	w.server.PutManifest(ref.Repository(), certificate.Tag(ref.Digest()), artifact.MediaType, artifact.Manifest)
}

func (w *world) decide(name string) engine.Verdict {
	w.Helper()
	return w.engine.Decide(context.Background(), engine.Request{Image: name, Request: policy.Request{Point: "cli"}})
}

// want decides and compares the outcome.
func (w *world) want(name string, outcome engine.Outcome) engine.Verdict {
	w.Helper()
	v := w.decide(name)
	if v.Outcome != outcome || v.Allowed != (outcome == engine.Allowed) {
		w.Fatalf("%s: got %s (allowed %v): %s; want %s", name, v.Outcome, v.Allowed, v.Reason, outcome)
	}
	return v
}

// wantRequests compares the number of requests since the last call.
func (w *world) wantRequests(want int) {
	w.Helper()
	if got := w.server.Requests(); len(got) != want {
		w.Fatalf("got %d requests, want %d: %v", len(got), want, got)
	}
	w.server.ResetRequests()
}
