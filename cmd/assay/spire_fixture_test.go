package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry/registrytest"
)

// spireRecordings are what real tools left in registries; see their README.
const spireRecordings = "../../trust/sigstore/testdata/recorded"

func recordedFile(name string) string { return filepath.Join(spireRecordings, name) }

// spireWorld is a registry, a clock, an environment, and what makes demands of configurations.
type spireWorld struct {
	testing.TB
	server  *registrytest.Server
	env     map[string]string
	log     *lines
	demands *spireDemands
	clock   atomic.Pointer[time.Time]
}

func newSpireWorld(t testing.TB, o registrytest.Options) *spireWorld {
	t.Helper()
	home := t.TempDir()
	w := &spireWorld{TB: t, log: &lines{}, server: registrytest.New(t, o)}
	w.env = map[string]string{"HOME": home, "DOCKER_CONFIG": home, "XDG_RUNTIME_DIR": home, "SIGSTORE_ROOT_FILE": recordedFile("trusted_root_all.json"), "ASSAY_STATE_DIR": home}
	w.at(time.Now())
	a := &app{
		stdin: strings.NewReader(""), stdout: io.Discard, stderr: w.log, getenv: func(name string) string { return w.env[name] },
		now: func() time.Time { return *w.clock.Load() }, pace: pace{files: 5 * time.Millisecond},
	}
	w.demands = &spireDemands{app: a, plugin: spire.New(spire.NewLog(w.log))}
	return w
}

func (w *spireWorld) at(now time.Time) { w.clock.Store(&now) }

// replay puts a recording into the registry and sets the clock to a minute later.
func (w *spireWorld) replay(name string) image.Ref {
	w.Helper()
	content, err := os.ReadFile(recordedFile(name + ".json"))
	must(w.TB, err)
	var r struct {
		Image     string
		Time      time.Time
		Manifests map[string]struct {
			MediaType string
			Bytes     []byte
		}
		Blobs map[string][]byte
	}
	must(w.TB, json.Unmarshal(content, &r))
	signed := image.MustParse(r.Image)
	for _, b := range r.Blobs {
		w.server.PutBlob(signed.Repository(), b)
	}
	for _, lists := range []bool{false, true} { // a registry wants to have what an index lists
		for at, m := range r.Manifests {
			if strings.Contains(m.MediaType, "index") == lists {
				w.server.PutManifest(signed.Repository(), at, m.MediaType, m.Bytes)
			}
		}
	}
	w.at(r.Time.Add(time.Minute))
	return image.MustParse(w.server.Host() + "/" + signed.Repository() + "@" + signed.Digest().String())
}

// demand makes what a configuration demands.
func (w *spireWorld) demand(kind string, v spire.Verification) spire.Verifier {
	w.Helper()
	made, err := w.demands.newVerifier(v, kind)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(made.Close)
	return made
}

// refuse wants a configuration to be refused, and returns the text.
func (w *spireWorld) refuse(kind string, v spire.Verification) string {
	w.Helper()
	made, err := w.demands.newVerifier(v, kind)
	if err == nil {
		made.Close()
		w.Fatal("the configuration is taken")
	}
	return err.Error()
}

// dev is a block that trusts who signed most recordings.
func dev(edits ...func(*spire.SigstoreSettings)) spire.Verification {
	s := &spire.SigstoreSettings{Identities: map[string][]string{"https://accounts.lab.example": {"dev@lab.example"}}, IgnoreAttestations: true}
	for _, e := range edits {
		e(s)
	}
	return spire.Verification{Sigstore: s}
}

// of is the image of a Docker container.
func of(ref image.Ref) spire.Subject {
	return spire.Subject{Image: "app:1", References: []string{ref.String()}}
}

// podOf is the image of a container of Kubernetes.
func podOf(imageID string) spire.Subject {
	return spire.Subject{Image: imageID, ContainerID: "containerd://" + strings.Repeat("a", 64), Namespace: "shop", HasNamespace: true}
}

// passes wants selectors, and returns them.
func (w *spireWorld) passes(v spire.Verifier, s spire.Subject) []string {
	w.Helper()
	selectors, err := v.Verify(w.Context(), s)
	if err != nil {
		w.Fatalf("%v\n%s", err, w.log)
	}
	return selectors
}

// fails wants a refusal without selectors whose text has all parts.
func (w *spireWorld) fails(v spire.Verifier, s spire.Subject, code codes.Code, parts ...string) {
	w.Helper()
	selectors, err := v.Verify(w.Context(), s)
	if err == nil || len(selectors) > 0 {
		w.Fatalf("got selectors %q, error %v; want a refusal", selectors, err)
	}
	if status.Code(err) != code {
		w.Errorf("code %v, want %v: %v", status.Code(err), code, err)
	}
	for _, part := range parts {
		if !strings.Contains(status.Convert(err).Message(), part) {
			w.Errorf("got %q, want a text with %q", status.Convert(err).Message(), part)
		}
	}
}

// valuesOf are the values of the selectors of a name.
func valuesOf(selectors []string, name string) []string {
	var values []string
	for _, s := range selectors {
		if v, found := strings.CutPrefix(s, name+":"); found {
			values = append(values, v)
		}
	}
	return values
}

// namesOf are the names of selectors in order, each once.
func namesOf(selectors []string) []string {
	var names []string
	for _, s := range selectors {
		name, _, _ := strings.Cut(s, ":")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// ownCA certifies people with lasting certificates, as the authority of a company does; nothing is logged.
type ownCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newOwnCA(t testing.TB) *ownCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "own"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &ownCA{cert, key}
}

func (c *ownCA) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw}))
}

// ownSigner is somebody with such a certificate.
type ownSigner struct {
	pem string
	key *ecdsa.PrivateKey
}

func (c *ownCA) person(t testing.TB, issuer, email string) *ownSigner {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	value, err := asn1.MarshalWithParams(issuer, "utf8")
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), EmailAddresses: []string{email},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: value}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, key.Public(), c.key)
	must(t, err)
	return &ownSigner{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), key}
}

func (s *ownSigner) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, sum[:])
	must(t, err)
	return sig
}

// layer is a piece of evidence under a tag.
type ownLayer struct {
	mediaType   string
	content     []byte
	annotations map[string]string
}

// signature is a signature of an image in the older shape.
func (s *ownSigner) signature(t testing.TB, ref image.Ref) ownLayer {
	payload := fmt.Sprintf(`{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`,
		ref.Name(), ref.Digest())
	return ownLayer{"application/vnd.dev.cosign.simplesigning.v1+json", []byte(payload), map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(s.sign(t, []byte(payload))), "dev.sigstore.cosign/certificate": s.pem,
	}}
}

// attestation is an attestation about an image in the older shape.
func (s *ownSigner) attestation(t testing.TB, ref image.Ref, predicateType string) ownLayer {
	const payloadType = "application/vnd.in-toto+json"
	payload := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v0.1","predicateType":%q,"subject":[{"name":"app","digest":{"sha256":%q}}],"predicate":{}}`,
		predicateType, ref.Digest().Hex())
	pae := fmt.Sprintf("DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
	envelope, err := json.Marshal(map[string]any{
		"payloadType": payloadType, "payload": []byte(payload), "signatures": []map[string]any{{"keyid": "", "sig": s.sign(t, []byte(pae))}},
	})
	must(t, err)
	return ownLayer{"application/vnd.dsse.envelope.v1+json", envelope, map[string]string{
		"dev.cosignproject.cosign/signature": "", "dev.sigstore.cosign/certificate": s.pem, "predicateType": predicateType,
	}}
}

// publish puts layers under a tag of an image's digest, in the place of what was there.
func (w *spireWorld) publish(ref image.Ref, suffix string, layers ...ownLayer) {
	w.Helper()
	var all []map[string]any
	for _, l := range layers {
		d := w.server.PutBlob(ref.Repository(), l.content)
		all = append(all, map[string]any{"mediaType": l.mediaType, "digest": d.String(), "size": len(l.content), "annotations": l.annotations})
	}
	config := []byte("{}")
	d := w.server.PutBlob(ref.Repository(), config)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": all,
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": d.String(), "size": len(config)},
	})
	must(w.TB, err)
	w.server.PutManifest(ref.Repository(), strings.Replace(ref.Digest().String(), ":", "-", 1)+"."+suffix, "application/vnd.oci.image.manifest.v1+json", manifest)
}

// image pushes an image and returns its reference by digest.
func (w *spireWorld) image(seed string) image.Ref {
	w.Helper()
	d := w.server.PushImage("team/app", seed, "linux/amd64", seed)
	return image.MustParse(w.server.Host() + "/team/app@" + d.String())
}

// own makes a world in which a company's own authority certifies people, by SIGSTORE_ROOT_FILE alone.
func (w *spireWorld) own() *ownCA {
	w.Helper()
	ca := newOwnCA(w.TB)
	w.env["SIGSTORE_ROOT_FILE"] = filepath.Join(w.TempDir(), "root.pem")
	must(w.TB, os.WriteFile(w.env["SIGSTORE_ROOT_FILE"], []byte(ca.pem()), 0o600))
	return ca
}

// unlogged are the keys of a block with which the signatures of an ownCA count.
func unlogged(identities map[string][]string, edits ...func(*spire.SigstoreSettings)) spire.Verification {
	s := &spire.SigstoreSettings{Identities: identities, IgnoreTlog: true, IgnoreSCT: true}
	for _, e := range edits {
		e(s)
	}
	return spire.Verification{Sigstore: s}
}

// retag gives a manifest another tag.
func (w *spireWorld) retag(repository, from, to string) {
	w.Helper()
	mediaType, content := w.get(repository, "manifests", from)
	w.server.PutManifest(repository, to, mediaType, content)
}

func (w *spireWorld) get(repository, kind, name string) (mediaType string, content []byte) {
	w.Helper()
	resp, err := http.Get("http://" + w.server.Host() + "/v2/" + repository + "/" + kind + "/" + name)
	must(w.TB, err)
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	content, err = io.ReadAll(resp.Body)
	must(w.TB, err)
	return resp.Header.Get("Content-Type"), content
}

// publishedLayer is a layer under a tag, as it was published.
type publishedLayer struct{ Annotations map[string]string }

func (w *spireWorld) layerUnder(ref image.Ref, suffix string) publishedLayer {
	w.Helper()
	_, content := w.get(ref.Repository(), "manifests", strings.Replace(ref.Digest().String(), ":", "-", 1)+"."+suffix)
	var m struct{ Layers []publishedLayer }
	must(w.TB, json.Unmarshal(content, &m))
	return m.Layers[0]
}

// rekorEntry is the entry of a Rekor v1 log as cosign writes it beside a signature.
type rekorEntry struct {
	SignedEntryTimestamp string
	Payload              struct {
		IntegratedTime, LogIndex int64
		LogID                    string
	}
}

func (l publishedLayer) rekor(t testing.TB) (e rekorEntry) {
	t.Helper()
	must(t, json.Unmarshal([]byte(l.Annotations["dev.sigstore.cosign/bundle"]), &e))
	return e
}
