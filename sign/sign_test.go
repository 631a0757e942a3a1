package sign_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/sign/local"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/certificate"
	"github.com/assay-dev/assay/trust/trusttest"
)

// world is a registry with an image, a CA in memory, and the authority of a policy that trusts it.
type world struct {
	server    *registrytest.Server
	client    *registry.Client
	ca        *local.CA
	authority trust.Authority
	image     image.Ref
}

func newWorld(t *testing.T) world {
	t.Helper()
	server := registrytest.New(t, registrytest.Options{})
	client, err := registry.New(registry.Config{LoopbackHTTP: true, Retries: -1, RequestTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	w := world{server: server, client: client}
	cert, key := newCA(t)
	w.ca = localCA(t, cert, key)
	if w.authority, err = certificate.Format().New(trusttest.Section{Options: certificate.Options{Roots: string(cert)}}); err != nil {
		t.Fatal(err)
	}
	w.image = image.MustParse(server.Host() + "/team/app:1").Pinned(server.PushImage("team/app", "1", "", "app"))
	return w
}

func localCA(t *testing.T, cert, key []byte) *local.CA {
	t.Helper()
	ca, err := local.New(local.Config{Certificate: cert, Key: key, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// newCA returns a root's certificate and key in PEM.
func newCA(t *testing.T) (cert, keyFile []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func (w world) sign(t *testing.T, o sign.Options) []sign.Result {
	t.Helper()
	results, err := sign.Image(t.Context(), w.client, w.ca, w.image, o)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// prove asks the authority about an image.
func (w world) prove(t *testing.T, ref image.Ref) error {
	t.Helper()
	ev, err := w.authority.Find(t.Context(), w.client, ref)
	if err != nil {
		return err
	}
	_, err = w.authority.Check(ref, ev, time.Now())
	return err
}

// pushes counts the requests that changed the registry.
func (w world) pushes() int {
	n := 0
	for _, r := range w.server.Requests() {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			n++
		}
	}
	return n
}

// DIA-3: the artifact is one plain manifest; DIA-1: it lies where DIA looks and proves the image.
func TestDIA3_SignedImageIsProved(t *testing.T) {
	for name, c := range map[string]struct {
		options   sign.Options
		mediaType string
		uris      int
	}{
		"Assay's form": {sign.Options{}, "application/vnd.oci.image.manifest.v1+json", 1},
		"DIA's form":   {sign.Options{DIA: true}, "application/vnd.docker.distribution.manifest.v2+json", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := w.prove(t, w.image); !errors.Is(err, trust.ErrUnsigned) {
				t.Fatalf("before: %v, want unsigned", err)
			}
			got := w.sign(t, c.options)
			if len(got) != 1 || got[0].Tag != "dia-"+w.image.Digest().Hex() || got[0].Replaced != nil || got[0].Unchanged || got[0].Warning != "" {
				t.Errorf("result = %+v", got)
			}
			if err := w.prove(t, w.image); err != nil {
				t.Error(err)
			}
			mediaType, manifest := w.server.Manifest("team/app", got[0].Tag)
			var m map[string]any
			if err := json.Unmarshal(manifest, &m); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"config", "layers", "mediaType", "schemaVersion"}, slices.Sorted(maps.Keys(m))); diff != "" || mediaType != c.mediaType {
				t.Errorf("%s: %s", mediaType, diff)
			}
			if layers, _ := m["layers"].([]any); len(layers) != 1 {
				t.Errorf("%d layers, want 1", len(layers))
			}
			if got := got[0].Leaf; len(got.URIs) != c.uris || got.Subject.CommonName != "dia-"+w.image.Digest().Hex()[:40] {
				t.Errorf("URIs = %v, common name = %s", got.URIs, got.Subject.CommonName)
			}
		})
	}
}

// DIA's form has the leaf alone: old readers take no chain.
func TestDIA3_ChainIsLeftOutOfDIAsForm(t *testing.T) {
	w := newWorld(t)
	certs, err := w.ca.Issue(t.Context(), sign.Request{CommonName: certificate.CommonName("dia-", w.image.Digest()), TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	both := sign.Existing{Certificates: append(certs, certs[0])}
	for dia, want := range map[bool]int{true: 1, false: 2} {
		results, err := sign.Image(t.Context(), w.client, both, w.image, sign.Options{DIA: dia})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.stored(t, results[0]); len(got.Certificates) != want {
			t.Errorf("DIA %t: %d certificates, want %d", dia, len(got.Certificates), want)
		}
	}
}

// stored returns what lies under the tag of a result.
func (w world) stored(t *testing.T, r sign.Result) certificate.Bundle {
	t.Helper()
	mediaType, manifest := w.server.Manifest("team/app", r.Tag)
	layer, err := certificate.Layer(mediaType, manifest)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := w.client.Blob(t.Context(), w.image, layer, trust.MaxEvidence)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := certificate.Unpack(blob)
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

// DIA-4
func TestDIA4_SecondSignatureReplacesTheFirstAndSaysSo(t *testing.T) {
	w := newWorld(t)
	first, second := w.sign(t, sign.Options{})[0], w.sign(t, sign.Options{})[0]
	if second.Replaced == nil || second.Replaced.Leaf == nil || !second.Replaced.Leaf.Equal(first.Leaf) {
		t.Errorf("replaced = %+v, want the first certificate", second.Replaced)
	}
	if got := w.stored(t, second).Certificates[0]; !got.Equal(second.Leaf) {
		t.Error("the tag does not name the second certificate")
	}
}

func TestTheSameCertificateIsUnchanged(t *testing.T) {
	w := newWorld(t)
	first := w.sign(t, sign.Options{FileName: "image.crt"})[0]
	w.server.ResetRequests()
	again, err := sign.Image(t.Context(), w.client, sign.Existing{Certificates: []*x509.Certificate{first.Leaf}}, w.image, sign.Options{FileName: "image.crt"})
	if err != nil || !again[0].Unchanged || again[0].Replaced != nil || w.pushes() != 0 {
		t.Errorf("result = %+v, %v, %d pushes, want unchanged and none", again, err, w.pushes())
	}
}

func TestWhatIsNoCertificateIsReplacedAndNamed(t *testing.T) {
	w := newWorld(t)
	tag := certificate.Tag(w.image.Digest())
	old := w.server.PushImage("team/app", tag, "", "something else")
	got := w.sign(t, sign.Options{})[0]
	if got.Replaced == nil || got.Replaced.Manifest != old || got.Replaced.Leaf != nil {
		t.Errorf("replaced = %+v, want manifest %s without a certificate", got.Replaced, old)
	}
}

// DIA-17: an index is signed by its own digest, and its children where that is asked for.
func TestDIA17_IndexAndChildren(t *testing.T) {
	for name, recursive := range map[string]bool{"the index alone": false, "with children": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			digest, children := w.server.PushIndex("team/app", "multi", map[string]string{"linux/amd64": "a", "linux/arm64": "b", "unknown/unknown": "c"})
			w.image = w.image.At(digest)
			results := w.sign(t, sign.Options{Recursive: recursive})
			want := map[string]bool{"": true}
			if recursive {
				want["linux/amd64"], want["linux/arm64"] = true, true
			}
			got := make(map[string]bool)
			serials := make(map[string]bool)
			for _, r := range results {
				got[r.Platform] = true
				serials[r.Leaf.SerialNumber.String()] = true
				if err := w.prove(t, r.Ref); err != nil {
					t.Errorf("%s: %v", r.Ref, err)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || len(serials) != len(want) || results[0].Ref.Digest() != digest {
				t.Errorf("%d certificates: %s", len(serials), diff)
			}
			if err := w.prove(t, w.image.At(children["unknown/unknown"])); !errors.Is(err, trust.ErrUnsigned) {
				t.Errorf("attestation: %v, want unsigned", err)
			}
		})
	}
}

// counting counts what is issued.
type counting struct {
	next sign.Issuer
	n    *int
}

func (c counting) Issue(ctx context.Context, r sign.Request) ([]*x509.Certificate, error) {
	*c.n++
	return c.next.Issue(ctx, r)
}

// DIA-25: a push that fails is an error; a registry that is down costs no certificate.
func TestDIA25_FaultsAreErrors(t *testing.T) {
	method := func(m string, on func(*http.Request) bool) func(*http.Request) bool {
		return func(r *http.Request) bool { return r.Method == m && on(r) }
	}
	for name, c := range map[string]struct {
		match  func(*http.Request) bool
		fault  registrytest.Fault
		issued int
	}{
		"the tag cannot be looked up": {method(http.MethodGet, registrytest.OnManifests), registrytest.Status(503, nil, ""), 0},
		"the tag is denied":           {method(http.MethodGet, registrytest.OnManifests), registrytest.Status(403, nil, ""), 0},
		"blobs are refused":           {method(http.MethodPost, registrytest.OnBlobs), registrytest.Status(500, nil, ""), 1},
		"the upload is cut":           {method(http.MethodPut, registrytest.OnBlobs), registrytest.CutConnection(), 1},
		"the manifest is refused":     {method(http.MethodPut, registrytest.OnManifests), registrytest.Status(403, nil, ""), 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.server.SetFault(c.match, c.fault)
			issued := 0
			results, err := sign.Image(t.Context(), w.client, counting{w.ca, &issued}, w.image, sign.Options{})
			if err == nil || len(results) != 0 || issued != c.issued {
				t.Errorf("results = %v, error %v, %d issued, want none, an error and %d", results, err, issued, c.issued)
			}
			w.server.ClearFaults()
			if err := w.prove(t, w.image); !errors.Is(err, trust.ErrUnsigned) {
				t.Errorf("afterwards: %v, want unsigned", err)
			}
		})
	}
}

func TestImageRefuses(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		ref     image.Ref
		issuer  sign.Issuer
		options sign.Options
		want    string
	}{
		"no digest":            {image.MustParse(w.server.Host() + "/team/app:1"), w.ca, sign.Options{}, "has no digest"},
		"a long common name":   {w.image, w.ca, sign.Options{Prefix: "dia-12345678901234567890-"}, "at most 64"},
		"no life":              {w.image, w.ca, sign.Options{TTL: time.Millisecond}, "too short"},
		"nothing issued":       {w.image, sign.Existing{}, sign.Options{}, "none was issued"},
		"a folder in the name": {w.image, w.ca, sign.Options{FileName: "a/b"}, "no file name"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sign.Image(t.Context(), w.client, c.issuer, c.ref, c.options)
			if err == nil || !strings.Contains(err.Error(), c.want) || w.pushes() != 0 {
				t.Errorf("error = %v, %d pushes, want one with %q and none", err, w.pushes(), c.want)
			}
		})
	}
}

func TestCertificateOfAnotherImageIsWarnedAbout(t *testing.T) {
	w := newWorld(t)
	other := w.image.At(image.SHA256([]byte("other")))
	for _, o := range []sign.Options{{}, {DIA: true}} {
		results, err := sign.Image(t.Context(), w.client, w.ca, other, o)
		if err != nil {
			t.Fatal(err)
		}
		copied, err := sign.Image(t.Context(), w.client, sign.Existing{Certificates: []*x509.Certificate{results[0].Leaf}}, w.image, o)
		if err != nil || copied[0].Warning == "" {
			t.Errorf("DIA %t: result %+v, %v, want a warning", o.DIA, copied, err)
		}
		if err := w.prove(t, w.image); !errors.Is(err, trust.ErrUntrusted) {
			t.Errorf("DIA %t: %v, want untrusted", o.DIA, err)
		}
	}
}
