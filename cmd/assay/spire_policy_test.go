package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/certificate"
)

func number(n int64) string { return strconv.FormatInt(n, 10) }

// certified publishes an image for which an authority called right vouches by a certificate, and writes a policy with that authority. It returns
// the policy's file, the image, and the fingerprint of the signer's key.
func (w *spireWorld) certified(spec string) (file string, ref image.Ref, key string) {
	w.Helper()
	ca := newOwnCA(w.TB)
	ref = w.image("certified")
	cert := ca.vouch(w.TB, ref)
	artifact, err := certificate.Pack([]*x509.Certificate{cert}, "image.crt", certificate.OCI)
	must(w.TB, err)
	for _, blob := range artifact.Blobs {
		w.server.PutBlob(ref.Repository(), blob)
	}
	w.server.PutManifest(ref.Repository(), certificate.Tag(ref.Digest()), artifact.MediaType, artifact.Manifest)
	folder := w.TempDir()
	must(w.TB, os.WriteFile(filepath.Join(folder, "right.pem"), []byte(ca.pem()), 0o600))
	file = filepath.Join(folder, "policy.yaml")
	w.rewrite(file, spec)
	return file, ref, trust.Fingerprint(cert.RawSubjectPublicKeyInfo)
}

// rewrite puts a policy with the authority right in the place of another.
func (w *spireWorld) rewrite(file, spec string) {
	w.Helper()
	text := "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: shop}\nspec:\n  authorities: {right: {certificate: {rootsFiles: [right.pem]}}}" + spec + "\n"
	must(w.TB, os.WriteFile(file+".new", []byte(text), 0o600))
	must(w.TB, os.Rename(file+".new", file))
}

func (w *spireWorld) until(what string, yes func() bool) {
	w.Helper()
	for end := time.Now().Add(10 * time.Second); !yes(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("waited in vain: %s\n%s", what, w.log)
		}
	}
}

// vouch makes the certificate of an image.
func (c *ownCA) vouch(t testing.TB, ref image.Ref) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: certificate.CommonName("dia-", ref.Digest())},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{certificate.SAN(ref)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, key.Public(), c.key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}

// An image that only another format vouches for passes, and shows its authority.
func TestDOCKER19_PolicyShowsItsAuthority(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	file, right, _ := w.certified("\n  rules:\n  - {images: [\"**/team/allowed\"], allow: it is ours}\n  - {images: [\"**\"], require: right}")
	v := w.demand("docker", spire.Verification{Policy: file})
	selectors := w.passes(v, of(right))
	if got, want := selectors[:3], []string{"image-signature:verified", "image-policy:shop", "image-authority:right"}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := namesOf(selectors[3:]), []string{"image-signature-subject", "image-signature-issuer"}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := w.passes(v, of(image.MustParse(w.server.Host()+"/team/allowed@"+right.Digest().String()))); len(got) > 0 {
		t.Errorf("a rule that allows gives %q", got)
	}
	w.fails(v, of(w.image("unsigned")), codes.PermissionDenied, "policy verification failed for image app:1: errors: image_id ")

	audit, _, _ := w.certified("\n  mode: audit\n  rules: [{images: [\"**\"], require: right}]")
	v = w.demand("docker", spire.Verification{Policy: audit})
	for _, s := range []spire.Subject{of(w.image("unsigned")), of(right), {Image: "local"}} {
		if got := w.passes(v, s); len(got) > 0 {
			t.Errorf("audit gives %q", got)
		}
	}
	if !strings.Contains(w.log.String(), "passes without selectors") {
		t.Errorf("audit is not recorded:\n%s", w.log)
	}
}

// A policy of the sigstore format gives all that a block gives.
func TestDOCKER19_PolicyOfSigstore(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	file := filepath.Join(t.TempDir(), "policy.yaml")
	root, err := filepath.Abs(recordedFile("trusted_root_all.json"))
	must(t, err)
	must(t, os.WriteFile(file, []byte(fmt.Sprintf(`apiVersion: assay.dev/v1
kind: TrustPolicy
metadata: {name: signed}
spec:
  authorities:
    dev: {sigstore: {keyless: {identities: [{issuer: "https://accounts.lab.example", subject: dev@lab.example}]}, trustedRoot: {file: %q}, signedRepository: ignore}}
  rules: [{images: ["**"], require: dev}]
`, root)), 0o600))
	block := w.passes(w.demand("docker", dev()), of(ref))
	want := append([]string{block[0], "image-policy:signed", "image-authority:dev"}, block[1:]...)
	if got := w.passes(w.demand("docker", spire.Verification{Policy: file}), of(ref)); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// A folder is read as files are, and what does not exist fails the configuration.
func TestDOCKER19_PolicyFolder(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	file, right, _ := w.certified("\n  rules: [{images: [\"**\"], require: right}]")
	w.passes(w.demand("docker", spire.Verification{Policy: filepath.Dir(file)}), of(right))
	for _, absent := range []string{file + "-absent", t.TempDir()} {
		if text := w.refuse("docker", spire.Verification{Policy: absent}); !strings.HasPrefix(text, "error initializing policy: ") {
			t.Error(text)
		}
	}
}

// So does one that only a Notary server vouches for, whose roles are no names.
func TestDOCKER19_PolicyOfNotary(t *testing.T) {
	n := newNotaryStage(t, "")
	w := newSpireWorld(t, registrytest.Options{})
	v := w.demand("docker", spire.Verification{Policy: n.policy})
	signed := image.MustParse(n.ref + "@" + n.digest.String())
	got := w.passes(v, of(signed))
	if want := []string{"image-signature:verified", "image-policy:dct", "image-authority:dct"}; len(got) < 3 || !cmp.Equal(got[:3], want) {
		t.Errorf("got %q, want %q", got, want)
	}
	w.fails(v, of(image.MustParse(n.ref+"@"+image.SHA256([]byte("unsigned")).String())), codes.PermissionDenied, "policy verification failed for image app:1: ")
}

// Configurations come and go while images are asked about: none of the calls fails, and nothing is left behind.
func TestDOCKER18_ConfigurationsComeAndGo(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for j := range 20 {
				v, err := w.demands.newVerifier(dev(func(s *spire.SigstoreSettings) {
					if (i+j)%3 == 0 {
						s.Identities = map[string][]string{"https://accounts.lab.example": {"dev@lab.example", fmt.Sprint(i)}}
					}
				}), "docker")
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := v.Verify(t.Context(), of(ref)); err != nil || len(got) == 0 {
					t.Errorf("selectors %q, error %v", got, err)
				}
				v.Close()
				v.Close() // twice is once
			}
		})
	}
	group.Wait()
	if w.demands.last != nil {
		t.Errorf("%d users are left", w.demands.last.users)
	}
}

// A policy that chooses namespaces by labels needs to know them, and a refusal says which key has them asked for.
func TestK8S16_PolicyThatChoosesByLabels(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	file, right, _ := w.certified("\n  scope: {namespaces: {selector: {matchLabels: {team: a}}}}\n  rules: [{images: [\"**\"], require: right}]")
	v := w.demand("k8s", spire.Verification{Policy: file})
	pod := podOf(right.String())
	w.fails(v, pod, codes.Unavailable, "policy shop chooses namespaces by their labels, and those of shop are not known here; enable_namespace_labels = true")
	pod.NamespaceLabels = map[string]string{}
	w.fails(v, pod, codes.PermissionDenied, "no policy speaks about")
	pod.NamespaceLabels["team"] = "a"
	if got := w.passes(v, pod); len(got) == 0 {
		t.Error("no selectors in a namespace with the label")
	}
}
