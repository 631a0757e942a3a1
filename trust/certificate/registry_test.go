package certificate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/certificate"
	"github.com/assay-dev/assay/trust/trusttest"
)

// world is a registry with an image that a certificate vouches for, and the authority that counts.
type world struct {
	server    *registrytest.Server
	client    *registry.Client
	authority trust.Authority
	image     image.Ref
	artifact  certificate.Artifact
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
	w.image = image.MustParse(server.Host() + "/team/app:1").Pinned(server.PushImage("team/app", "1", "", "app"))
	root, leaf := issue(t, w.image)
	roots := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
	if w.authority, err = certificate.Format().New(trusttest.Section{Options: certificate.Options{Roots: roots}}); err != nil {
		t.Fatal(err)
	}
	if w.artifact, err = certificate.Pack([]*x509.Certificate{leaf}, "image.crt", certificate.OCI); err != nil {
		t.Fatal(err)
	}
	return w
}

// issue makes an authority and a certificate of it for an image.
func issue(t *testing.T, ref image.Ref) (root, leaf *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	create := func(template, parent *x509.Certificate) *x509.Certificate {
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "Root"}, IsCA: true, BasicConstraintsValid: true}
	root = create(template, template)
	return root, create(&x509.Certificate{
		Subject: pkix.Name{CommonName: certificate.CommonName("dia-", ref.Digest())},
		URIs:    []*url.URL{certificate.SAN(ref)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}, root)
}

func (w world) publish(t *testing.T) {
	t.Helper()
	for _, blob := range w.artifact.Blobs {
		if err := w.client.PushBlob(t.Context(), w.image, blob); err != nil {
			t.Fatal(err)
		}
	}
	tagged, err := w.image.Tagged(certificate.Tag(w.image.Digest()))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.client.PushManifest(t.Context(), tagged, w.artifact.MediaType, w.artifact.Manifest); err != nil {
		t.Fatal(err)
	}
}

func (w world) decide(t *testing.T) ([]trust.Proof, error) {
	t.Helper()
	ev, err := w.authority.Find(t.Context(), w.client, w.image)
	if err != nil {
		return nil, err
	}
	return w.authority.Check(w.image, ev, time.Now())
}

// DIA-1, DIA-40: found under its tag in a real registry, by two requests.
func TestDIA1_InARegistry(t *testing.T) {
	w := newWorld(t)
	w.publish(t)
	w.server.ResetRequests()
	proofs, err := w.decide(t)
	if err != nil || len(proofs) != 1 {
		t.Fatalf("%d proofs, error %v", len(proofs), err)
	}
	if got := w.server.Requests(); len(got) != 2 {
		t.Errorf("requests %v, want two", got)
	}
}

// DIA-33: the text that users know for an image that nobody signed.
func TestDIA33_UnsignedInARegistry(t *testing.T) {
	w := newWorld(t)
	_, err := w.decide(t)
	tag := certificate.Tag(w.image.Digest())
	want := "/v2/team/app/manifests/" + tag + ": MANIFEST_UNKNOWN"
	if !trust.IsNo(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want a no with %q", err, want)
	}
}

// T43, T46, DIA-36: whatever goes wrong on the wire, nobody can tell; nothing is proved, and nothing is called unsigned.
func TestT46_RegistryFaults(t *testing.T) {
	w := newWorld(t)
	w.publish(t)
	for step, match := range map[string]func(*http.Request) bool{"manifest": registrytest.OnManifests, "layer": registrytest.OnBlobs} {
		for name, fault := range map[string]registrytest.Fault{
			"429":                registrytest.Status(http.StatusTooManyRequests, nil, ""),
			"503":                registrytest.Status(http.StatusServiceUnavailable, nil, ""),
			"401":                registrytest.Status(http.StatusUnauthorized, nil, ""),
			"403":                registrytest.Status(http.StatusForbidden, nil, ""),
			"cut connection":     registrytest.CutConnection(),
			"cut body":           registrytest.CutBody(),
			"endless":            registrytest.Endless(),
			"hangs":              registrytest.Hang(),
			"another page":       registrytest.Body([]byte("<html>")),
			"other bytes":        registrytest.WrongBytes(),
			"a body without end": registrytest.Body(make([]byte, trust.MaxEvidence+1)),
		} {
			t.Run(step+" "+name, func(t *testing.T) {
				w.server.ClearFaults()
				w.server.SetFault(match, fault)
				proofs, err := w.decide(t)
				if len(proofs) > 0 || err == nil {
					t.Fatalf("%d proofs, error %v", len(proofs), err)
				}
				// A manifest is named by its tag: other bytes there are what the tag names, and malformed.
				tellsWhatItIs := step == "manifest" && (name == "another page" || name == "other bytes")
				if trust.IsNo(err) && !tellsWhatItIs {
					t.Errorf("error = %v, want cannot tell", err)
				}
			})
		}
	}
	w.server.ClearFaults()
	if proofs, err := w.decide(t); err != nil || len(proofs) != 1 {
		t.Errorf("afterwards: %d proofs, error %v", len(proofs), err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
