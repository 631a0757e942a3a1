package sigstore

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// recording is what real tools left in a registry; see testdata/recorded/README.md.
type recording struct {
	Image     string
	Time      time.Time
	Manifests map[string]struct {
		MediaType string
		Bytes     []byte
	}
	Blobs map[string][]byte
}

// replay puts a recording into a source that is empty, and returns the image and the time of the recording.
func replay(t testing.TB, name string, src *trusttest.Source) (image.Ref, time.Time) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "recorded", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	ref := image.MustParse(r.Image)
	for at, m := range r.Manifests {
		where := ref.At(image.Digest{})
		if !strings.Contains(at, ":") {
			if where, err = ref.Tagged(at); err != nil {
				t.Fatal(err)
			}
		}
		src.PutManifest(where, m.MediaType, m.Bytes)
	}
	for _, b := range r.Blobs {
		src.PutBlob(ref, b)
	}
	return ref, r.Time
}

func recorded(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "recorded", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func rootFile(t testing.TB, name string) *TrustedRootOptions {
	return &TrustedRootOptions{Inline: recorded(t, "trusted_root"+name+".json")}
}

func identityIs(issuer, subject string) SignerOptions {
	return SignerOptions{Keyless: &KeylessOptions{Identities: []IdentityOptions{{Issuer: issuer, Subject: subject}}}}
}

func keyFile(t testing.TB, name string) SignerOptions {
	return SignerOptions{Key: &KeyOptions{PEM: recorded(t, name+".pub")}}
}

func own(t testing.TB, name NameOptions) SignerOptions {
	return SignerOptions{PKI: &PKIOptions{Roots: recorded(t, "pki.pem"), Names: []NameOptions{name}}}
}

// decide finds and checks as the engine does.
func decide(t testing.TB, o Options, src trust.Source, ref image.Ref, now time.Time) ([]trust.Proof, error) {
	t.Helper()
	a, err := New(Config{}).New(trusttest.Section{Options: o})
	if err != nil {
		t.Fatal(err)
	}
	ev, err := a.Find(t.Context(), src, ref)
	if err != nil {
		return nil, err
	}
	return a.Check(ref, ev, now)
}

const (
	dev    = "dev@lab.example"
	issuer = "https://accounts.lab.example"
)

// TestRecorded decides what the real tools wrote: each is proved by the policy that is meant for it.
func TestRecorded(t *testing.T) {
	lab := identityIs(issuer, dev)
	release := own(t, NameOptions{Email: "release@lab.example"})
	for name, o := range map[string]Options{
		"bundle-keyless":                  {SignerOptions: lab, TrustedRoot: rootFile(t, "")},
		"bundle-keyless-rekor1":           {SignerOptions: lab, TrustedRoot: rootFile(t, "_rekor1")},
		"bundle-keyless-tsa-only":         {SignerOptions: lab, TrustedRoot: rootFile(t, ""), InsecureIgnoreLog: true},
		"bundle-keyless-no-sct":           {SignerOptions: lab, TrustedRoot: rootFile(t, ""), InsecureIgnoreSCT: true},
		"bundle-keyless-other-issuer":     {SignerOptions: identityIs("https://accounts.other.example", dev), TrustedRoot: rootFile(t, "")},
		"bundle-keyless-github":           {SignerOptions: identityIs("https://token.actions.githubusercontent.com", "https://github.com/acme/app/.github/workflows/*@refs/heads/main"), TrustedRoot: rootFile(t, "")},
		"bundle-keyless-gitlab":           {SignerOptions: identityIs("https://gitlab.lab.example", "https://gitlab.lab.example/acme/app//.gitlab-ci.yml@refs/heads/main"), TrustedRoot: rootFile(t, "")},
		"bundle-keyless-spiffe":           {SignerOptions: identityIs("https://spire.lab.example", "spiffe://lab.example/builder"), TrustedRoot: rootFile(t, "")},
		"bundle-keyless-annotations":      {SignerOptions: lab, TrustedRoot: rootFile(t, ""), Annotations: map[string]string{"build": "42", "stage": "prod"}},
		"bundle-key":                      {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "")},
		"bundle-key-rekor1":               {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "_rekor1")},
		"bundle-key-tsa-only":             {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, ""), InsecureIgnoreLog: true, TimestampThreshold: 1},
		"bundle-key-plain":                {SignerOptions: keyFile(t, "p256"), InsecureIgnoreLog: true},
		"bundle-key-annotations":          {SignerOptions: keyFile(t, "p256"), InsecureIgnoreLog: true, Annotations: map[string]string{"build": "42"}},
		"bundle-key-rsa":                  {SignerOptions: keyFile(t, "rsa"), InsecureIgnoreLog: true},
		"bundle-key-p384":                 {SignerOptions: keyFile(t, "p384"), InsecureIgnoreLog: true},
		"bundle-key-ed25519":              {SignerOptions: keyFile(t, "ed25519"), InsecureIgnoreLog: true},
		"bundle-key-ed25519-rekor2":       {SignerOptions: keyFile(t, "ed25519"), TrustedRoot: rootFile(t, "")},
		"bundle-pki":                      {SignerOptions: own(t, NameOptions{URI: "https://ci.lab.example/acme/*/release"}), TrustedRoot: rootFile(t, "_pki")},
		"bundle-pki-tsa-only":             {SignerOptions: release, TrustedRoot: rootFile(t, "_pki"), InsecureIgnoreLog: true, TimestampThreshold: 1},
		"bundle-pki-plain":                {SignerOptions: release, InsecureIgnoreLog: true},
		"bundle-pki-chain-rekor1":         {SignerOptions: release, TrustedRoot: rootFile(t, "_pki")},
		"bundle-pki-chain-tsa-only":       {SignerOptions: release, TrustedRoot: rootFile(t, "_pki"), InsecureIgnoreLog: true, TimestampThreshold: 1},
		"bundle-pki-chain-plain":          {SignerOptions: release, InsecureIgnoreLog: true},
		"legacy-keyless":                  {SignerOptions: lab, TrustedRoot: rootFile(t, "_rekor1")},
		"legacy-keyless-v3":               {SignerOptions: lab, TrustedRoot: rootFile(t, "_rekor1")},
		"legacy-keyless-tsa":              {SignerOptions: lab, TrustedRoot: rootFile(t, "_all"), TimestampThreshold: 1},
		"legacy-keyless-tsa-only":         {SignerOptions: lab, TrustedRoot: rootFile(t, "_all"), InsecureIgnoreLog: true},
		"legacy-keyless-no-proof-of-time": {SignerOptions: lab, TrustedRoot: rootFile(t, "_rekor1"), InsecureIgnoreLog: true},
		"legacy-keyless-no-sct":           {SignerOptions: lab, TrustedRoot: rootFile(t, "_rekor1"), InsecureIgnoreSCT: true},
		"legacy-keyless-github":           {SignerOptions: identityIs("https://token.actions.githubusercontent.com", "https://github.com/acme/**"), TrustedRoot: rootFile(t, "_rekor1")},
		"legacy-keyless-annotations":      {SignerOptions: lab, TrustedRoot: rootFile(t, "_rekor1"), Annotations: map[string]string{"build": "42", "stage": "prod"}},
		"legacy-key":                      {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "_rekor1")},
		"legacy-key-plain":                {SignerOptions: keyFile(t, "p256"), InsecureIgnoreLog: true},
		"legacy-key-v3":                   {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "_rekor1")},
		"legacy-key-v3-plain":             {SignerOptions: keyFile(t, "p256"), InsecureIgnoreLog: true},
		"legacy-key-tsa":                  {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "_all"), InsecureIgnoreLog: true, TimestampThreshold: 1},
		"legacy-key-annotations":          {SignerOptions: keyFile(t, "p256"), InsecureIgnoreLog: true, Annotations: map[string]string{"build": "42"}},
		"legacy-key-rsa":                  {SignerOptions: keyFile(t, "rsa"), InsecureIgnoreLog: true},
		"legacy-key-p384":                 {SignerOptions: keyFile(t, "p384"), InsecureIgnoreLog: true},
		"legacy-key-ed25519":              {SignerOptions: keyFile(t, "ed25519"), InsecureIgnoreLog: true},
		"legacy-key-rsa-rekor1":           {SignerOptions: keyFile(t, "rsa"), TrustedRoot: rootFile(t, "_rekor1")},
		"legacy-key-p384-sha256":          {SignerOptions: keyFile(t, "p384"), InsecureIgnoreLog: true},
		"legacy-key-ed25519-pure":         {SignerOptions: keyFile(t, "ed25519"), InsecureIgnoreLog: true},
		"legacy-pki":                      {SignerOptions: release, TrustedRoot: rootFile(t, "_pki")},
		"legacy-pki-tsa":                  {SignerOptions: release, TrustedRoot: rootFile(t, "_pki"), InsecureIgnoreLog: true, TimestampThreshold: 1},
		"legacy-pki-plain":                {SignerOptions: release, InsecureIgnoreLog: true},
		"mixed":                           {SignerOptions: lab, TrustedRoot: rootFile(t, "_all")},
	} {
		t.Run(name, func(t *testing.T) {
			var src trusttest.Source
			ref, at := replay(t, name, &src)
			proofs, err := decide(t, o, &src, ref, at.Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range proofs {
				if p.Digest != ref.Digest() || len(p.Signers) == 0 || len(p.Signers[0].Signature) == 0 {
					t.Errorf("proof %+v is not whole", p)
				}
			}
		})
	}
}
