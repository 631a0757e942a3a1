package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry/registrytest"
)

// A pattern has to fit the whole; a text counts literally, whatever signs of patterns are in it; an issuer without subjects is an error.
func TestDOCKER11_PatternsFitTheWhole(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	github := w.replay("legacy-keyless-github")
	with := func(issuer, subject string, edits ...func(*spire.SigstoreSettings)) spire.Verifier {
		return w.demand("docker", dev(append(edits, func(s *spire.SigstoreSettings) { s.Identities = map[string][]string{issuer: {subject}} })...))
	}
	const accounts, actions = "https://accounts.lab.example", "https://token.actions.githubusercontent.com"
	partial := func(s *spire.SigstoreSettings) { s.PartialPatterns = true }

	w.passes(with(accounts, "dev@lab.example"), of(ref))
	w.passes(with(accounts, `.*@lab\.example`), of(ref))
	w.passes(with(`https://accounts\..+`, `.*@lab\.example`), of(ref))
	w.passes(with(actions, `https://github.com/acme/app/.*`), of(github))

	w.fails(with(accounts, `ev@lab.(example|test)`), of(ref), codes.PermissionDenied, `subject is "dev@lab.example"`, "fits a part only")
	w.fails(with(`accounts.*`, "dev@lab.example"), of(ref), codes.PermissionDenied, `issuer is "https://accounts.lab.example"`, "fits a part only")
	w.fails(with(accounts, "ev@lab.example"), of(ref), codes.PermissionDenied, `subject is "dev@lab.example"`)
	w.fails(with("https://accounts.lab", "dev@lab.example"), of(ref), codes.PermissionDenied, "issuer is")
	w.passes(with(accounts, `ev@lab.(example|test)`, partial), of(ref))
	w.fails(with(accounts, "ev@lab.example", partial), of(ref), codes.PermissionDenied, "subject is")

	v := dev(func(s *spire.SigstoreSettings) { s.Identities = map[string][]string{accounts: {}} })
	if text := w.refuse("docker", v); !strings.HasPrefix(text, "error initializing sigstore verifier: ") || !strings.Contains(text, accounts) {
		t.Errorf("an issuer without subjects: %s", text)
	}
	v = dev(func(s *spire.SigstoreSettings) { s.Identities = map[string][]string{accounts: {"*@lab.example"}} })
	text := w.refuse("docker", v)
	for _, part := range []string{"error initializing sigstore verifier: ", accounts, `"*@lab.example"`, "missing argument to repetition operator", ".*"} {
		if !strings.Contains(text, part) {
			t.Errorf("got %q, want a text with %q", text, part)
		}
	}
}

func TestDOCKER11_ALiteralWithPlusMatchesItself(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ca, ref := w.own(), w.image("plus")
	alice := ca.person(t, "https://login.example", "alice+ci@example.com")
	w.publish(ref, "sig", alice.signature(t, ref))
	only := func(s *spire.SigstoreSettings) { s.IgnoreAttestations = true }
	w.passes(w.demand("docker", unlogged(map[string][]string{"https://login.example": {"alice+ci@example.com"}}, only)), of(ref))
	w.fails(w.demand("docker", unlogged(map[string][]string{"https://login.example": {"alic+ci@example.com"}}, only)), of(ref), codes.PermissionDenied)
	// And without anybody named, everybody counts.
	w.passes(w.demand("docker", unlogged(nil, only)), of(ref))
}

// Evidence of an image, put beside another, proves nothing: a signature, a bundle, an attestation.
func TestDOCKER12_EvidenceOfAnotherImageProvesNothing(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ca, mine, yours := w.own(), w.image("mine"), w.image("yours")
	alice := ca.person(t, "https://login.example", "alice@example.com")
	everybody := map[string][]string{"https://login.example": {"alice@example.com"}}
	both := w.demand("docker", unlogged(everybody))
	w.publish(yours, "sig", alice.signature(t, mine))
	w.publish(yours, "att", alice.attestation(t, yours, "https://acme.example/review/v1"))
	w.fails(both, of(yours), codes.PermissionDenied, "failed to verify signatures: ", "is about another image")
	w.publish(mine, "sig", alice.signature(t, mine))
	w.publish(mine, "att", alice.attestation(t, yours, "https://acme.example/review/v1"))
	w.fails(both, of(mine), codes.PermissionDenied, "failed to verify image attestations: ", "is about another image")

	bundle := newSpireWorld(t, registrytest.Options{})
	ref := bundle.replay("bundle-keyless")
	other := bundle.server.PushImage(ref.Repository(), "other", "linux/amd64", "other")
	stolen := image.MustParse(bundle.server.Host() + "/" + ref.Repository() + "@" + other.String())
	index := strings.Replace(ref.Digest().String(), ":", "-", 1)
	bundle.retag(ref.Repository(), index, strings.Replace(other.String(), ":", "-", 1))
	bundle.fails(bundle.demand("docker", dev()), of(stolen), codes.PermissionDenied, "failed to verify signatures: ")
	bundle.passes(bundle.demand("docker", dev()), of(ref))
}

// Each way to give trust material without a network proves a privately signed image.
func TestDOCKER13_OfflineTrustMaterial(t *testing.T) {
	rows := map[string]struct {
		recording string
		env       func(w *spireWorld)
	}{
		"trusted_root.json": {"bundle-keyless", func(w *spireWorld) { w.env["SIGSTORE_ROOT_FILE"] = recordedFile("trusted_root.json") }},
		"key files": {"legacy-keyless", func(w *spireWorld) {
			w.env["SIGSTORE_ROOT_FILE"] = recordedFile("fulcio-chain.pem")
			w.env["SIGSTORE_REKOR_PUBLIC_KEY"] = recordedFile("rekor1.pub")
			w.env["SIGSTORE_CT_LOG_PUBLIC_KEY_FILE"] = recordedFile("ct.pub")
		}},
		"key files with a time-stamp authority": {"legacy-keyless-tsa", func(w *spireWorld) {
			w.env["SIGSTORE_ROOT_FILE"] = recordedFile("fulcio-chain.pem")
			w.env["SIGSTORE_REKOR_PUBLIC_KEY"] = recordedFile("rekor1.pub")
			w.env["SIGSTORE_CT_LOG_PUBLIC_KEY_FILE"] = recordedFile("ct.pub")
			w.env["SIGSTORE_TSA_CERTIFICATE_FILE"] = recordedFile("tsa-chain.pem")
		}},
		"cache in the current layout, its mirror gone": {"bundle-keyless", func(w *spireWorld) {
			delete(w.env, "SIGSTORE_ROOT_FILE")
			mirror := newTUFServerOf(w.TB, w.demands.app.now(), recordedFile("trusted_root.json"))
			code := w.demands.app.run(w.Context(), []string{"assay", "trust", "init", "--mirror", mirror.URL, "--root", mirror.root})
			mirror.Close()
			if code != 0 {
				w.Fatalf("exit code %d\n%s", code, w.log)
			}
		}},
		"cache in the older layout": {"legacy-keyless", func(w *spireWorld) {
			delete(w.env, "SIGSTORE_ROOT_FILE")
			w.env["TUF_ROOT"] = olderCache(w.TB, w.TempDir())
		}},
		"cache in the older layout, at home": {"legacy-keyless", func(w *spireWorld) {
			delete(w.env, "SIGSTORE_ROOT_FILE")
			olderCache(w.TB, filepath.Join(w.env["HOME"], ".sigstore", "root"))
		}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			w := newSpireWorld(t, registrytest.Options{})
			ref := w.replay(row.recording)
			row.env(w)
			w.passes(w.demand("docker", dev()), of(ref))
		})
	}
}

// olderCache writes what older versions of cosign kept of a repository of one's own.
func olderCache(t testing.TB, folder string) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(folder, "targets"), 0o700))
	must(t, os.WriteFile(filepath.Join(folder, "remote.json"), []byte(`{"mirror":"https://tuf.lab.example"}`), 0o600))
	must(t, os.MkdirAll(filepath.Join(folder, "tuf.db"), 0o700))
	for target, from := range map[string]string{"fulcio_v1.crt.pem": "fulcio-chain.pem", "rekor.pub": "rekor1.pub", "ctfe.pub": "ct.pub"} {
		content, err := os.ReadFile(recordedFile(from))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(folder, "targets", target), content, 0o600))
	}
	return folder
}

// What is given and cannot be used fails the configuration.
func TestDOCKER13_UnreadableTrustMaterialFailsConfigure(t *testing.T) {
	rubbish := filepath.Join(t.TempDir(), "rubbish")
	must(t, os.WriteFile(rubbish, []byte("rubbish"), 0o600))
	for _, variable := range []string{"SIGSTORE_ROOT_FILE", "SIGSTORE_REKOR_PUBLIC_KEY", "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", "SIGSTORE_TSA_CERTIFICATE_FILE"} {
		for _, file := range []string{rubbish, rubbish + "-absent"} {
			w := newSpireWorld(t, registrytest.Options{})
			w.env["SIGSTORE_ROOT_FILE"] = recordedFile("fulcio-chain.pem")
			w.env[variable] = file
			if text := w.refuse("k8s", dev()); !strings.HasPrefix(text, "error initializing sigstore verifier: ") || !strings.Contains(text, variable) {
				t.Errorf("%s: %s", variable, text)
			}
		}
	}
	w := newSpireWorld(t, registrytest.Options{})
	delete(w.env, "SIGSTORE_ROOT_FILE")
	w.env["TUF_ROOT"] = t.TempDir()
	must(t, os.WriteFile(filepath.Join(w.env["TUF_ROOT"], "remote.json"), []byte("rubbish"), 0o600))
	if text := w.refuse("docker", dev()); !strings.HasPrefix(text, "error initializing sigstore verifier: ") {
		t.Error(text)
	}
}

// Every shape of evidence is proved, and gives the selectors that it has values for.
func TestDOCKER14_ShapesGiveTheirSelectors(t *testing.T) {
	const (
		subject, issuer, value = "image-signature-subject", "image-signature-issuer", "image-signature-value"
		id, index, at, set     = "image-signature-log-id", "image-signature-log-index", "image-signature-integrated-time", "image-signature-signed-entry-timestamp"
	)
	for recording, want := range map[string][]string{
		"legacy-keyless":        {"image-signature", subject, issuer, value, id, index, at, set},
		"legacy-keyless-tsa":    {"image-signature", subject, issuer, value, id, index, at, set},
		"bundle-keyless-rekor1": {"image-signature", subject, issuer, value, id, index, at, set},
		"bundle-keyless":        {"image-signature", subject, issuer, value, id, index}, // Rekor v2 and a time stamp
		"bundle-keyless-gitlab": {"image-signature", subject, issuer, value, id, index},
		"bundle-keyless-spiffe": {"image-signature", subject, issuer, value, id, index},
	} {
		t.Run(recording, func(t *testing.T) {
			w := newSpireWorld(t, registrytest.Options{})
			ref := w.replay(recording)
			selectors := w.passes(w.demand("docker", dev(func(s *spire.SigstoreSettings) { s.Identities = nil })), of(ref))
			if got := namesOf(selectors); !cmp.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			for _, name := range want {
				if got := valuesOf(selectors, name); len(got) != 1 {
					t.Errorf("%s has the values %q, want one", name, got)
				}
			}
		})
	}
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("bundle-keyless-tsa-only")
	tsa := dev(func(s *spire.SigstoreSettings) { s.IgnoreTlog = true })
	if got, want := namesOf(w.passes(w.demand("docker", tsa), of(ref))), []string{"image-signature", subject, issuer, value}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	w.fails(w.demand("docker", dev()), of(ref), codes.PermissionDenied, "rekor bundle not verified for image: ", "ignore_tlog")
}

// The values are those that stand in the certificate and in the log's entry.
func TestDOCKER14_Values(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	selectors := w.passes(w.demand("docker", dev()), of(ref))
	layer := w.layerUnder(ref, "sig")
	entry := layer.rekor(t)
	want := []string{
		"image-signature:verified",
		"image-signature-subject:dev@lab.example",
		"image-signature-issuer:https://accounts.lab.example",
		"image-signature-value:" + layer.Annotations["dev.cosignproject.cosign/signature"],
		"image-signature-log-id:" + entry.Payload.LogID,
		fmt.Sprintf("image-signature-log-index:%d", entry.Payload.LogIndex),
		fmt.Sprintf("image-signature-integrated-time:%d", entry.Payload.IntegratedTime),
		"image-signature-signed-entry-timestamp:" + entry.SignedEntryTimestamp,
	}
	if !cmp.Equal(selectors, want) {
		t.Error(cmp.Diff(want, selectors))
	}
}

// An attestation is demanded too, unless it is ignored; where the log is, it gives no selectors.
func TestDOCKER15_AttestationsAndLog(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ca, ref := w.own(), w.image("app")
	alice, mallory := ca.person(t, "https://login.example", "alice@example.com"), ca.person(t, "https://login.example", "mallory@example.com")
	identities := map[string][]string{"https://login.example": {"alice@example.com"}}
	w.publish(ref, "sig", alice.signature(t, ref))
	ignoring := func(s *spire.SigstoreSettings) { s.IgnoreAttestations = true }
	w.fails(w.demand("docker", unlogged(identities)), of(ref), codes.PermissionDenied, "failed to verify image attestations: ", "ignore_attestations")
	if got, want := namesOf(w.passes(w.demand("docker", unlogged(identities, ignoring)), of(ref))),
		[]string{"image-signature", "image-signature-subject", "image-signature-issuer", "image-signature-value"}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	w.publish(ref, "att", mallory.attestation(t, ref, "https://acme.example/review/v1"))
	w.at(time.Now().Add(time.Minute))
	w.fails(w.demand("docker", unlogged(identities)), of(ref), codes.PermissionDenied, "failed to verify image attestations: ", "mallory@example.com")
	w.publish(ref, "att", alice.attestation(t, ref, "https://acme.example/review/v1"))
	w.at(time.Now().Add(2 * time.Minute))
	selectors := w.passes(w.demand("docker", unlogged(identities)), of(ref))
	if got, want := selectors[:2], []string{"image-signature:verified", "image-attestations:verified"}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := valuesOf(selectors, "image-signature-subject"); !cmp.Equal(got, []string{"alice@example.com"}) {
		t.Errorf("subjects %q", got)
	}
}

// Every signature that is proved has its selectors, and those that are not spoil nothing.
func TestDOCKER14_EverySignature(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ca, ref := w.own(), w.image("app")
	alice, bob := ca.person(t, "https://login.example", "alice@example.com"), ca.person(t, "https://login.example", "bob@example.com")
	mallory := newOwnCA(t).person(t, "https://login.example", "alice@example.com")
	w.publish(ref, "sig", alice.signature(t, ref), mallory.signature(t, ref), bob.signature(t, ref))
	v := w.demand("docker", unlogged(map[string][]string{"https://login.example": {".*@example.com"}}, func(s *spire.SigstoreSettings) { s.IgnoreAttestations = true }))
	for range 2 {
		selectors := w.passes(v, of(ref))
		got := valuesOf(selectors, "image-signature-subject")
		slices.Sort(got)
		if want := []string{"alice@example.com", "bob@example.com"}; !cmp.Equal(got, want) {
			t.Errorf("subjects %q, want %q", got, want)
		}
		if n := len(valuesOf(selectors, "image-signature-value")); n != 2 {
			t.Errorf("%d signatures, want 2", n)
		}
	}
}

// The first digest that is proved wins, and each miss is told.
func TestDOCKER17_DigestsAreTriedInOrder(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	other := w.image("unsigned")
	v := w.demand("docker", dev())
	s := spire.Subject{Image: "app:1", References: []string{"<none>@" + ref.Digest().String(), other.String(), ref.String()}}
	if got := w.passes(v, s); len(got) == 0 {
		t.Error("no selectors")
	}
	s.References = s.References[:2]
	w.fails(v, s, codes.PermissionDenied, "sigstore signature verification failed for image app:1: errors: image_id <none>@"+ref.Digest().String()+": failed to parse image reference: ",
		"; image_id "+other.String()+": failed to verify signatures: ")
	w.fails(v, spire.Subject{Image: "app:1"}, codes.PermissionDenied, "sigstore signature verification failed: no repo digest found for image app:1")
	w.server.ResetRequests()
	w.fails(v, spire.Subject{Image: "app:1", References: []string{w.server.Host() + "/team/app:unsigned"}}, codes.PermissionDenied, "has no digest")
	if got := w.server.Requests(); len(got) > 0 {
		t.Errorf("a tag was looked up: %v", got)
	}
}

// A hundred calls at once ask the registry once; when it is down, what was proved passes, and nothing else.
func TestDOCKER17_OneSetOfRequests(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	other := w.image("other")
	v := w.demand("docker", dev())
	w.server.ResetRequests()
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			if selectors, err := v.Verify(t.Context(), of(ref)); err != nil || len(selectors) == 0 {
				t.Errorf("selectors %q, error %v", selectors, err)
			}
		})
	}
	group.Wait()
	seen := map[string]int{}
	for _, r := range w.server.Requests() {
		seen[r.String()]++
	}
	for request, n := range seen {
		if n > 1 && !strings.HasSuffix(request, "/v2/") {
			t.Errorf("%s: %d times", request, n)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d different requests, want 3: %v", len(seen), seen)
	}
	w.server.Close()
	w.passes(v, of(ref))
	w.fails(v, of(other), codes.Unavailable, "could not tell, try again")
}

// An identity that a new configuration does not name is denied at the next call.
func TestDOCKER18_ReconfigurationTakesEffectAtOnce(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	old := w.demand("docker", dev())
	w.passes(old, of(ref))
	v := w.demand("docker", dev(func(s *spire.SigstoreSettings) {
		s.Identities = map[string][]string{"https://accounts.lab.example": {"somebody@lab.example"}}
	}))
	w.fails(v, of(ref), codes.PermissionDenied, `subject is "dev@lab.example"`)
	w.passes(old, of(ref)) // calls under way end with the old one

	// What does not decide leaves what is remembered.
	w.server.ResetRequests()
	again := w.demand("docker", dev())
	w.passes(again, of(ref))
	again2 := w.demand("docker", dev(func(s *spire.SigstoreSettings) { s.SkippedImages = []string{"x@sha256:" + strings.Repeat("0", 64)} }))
	w.server.ResetRequests()
	w.passes(again2, of(ref))
	if got := w.server.Requests(); len(got) > 0 {
		t.Errorf("what was decided was forgotten: %v", got)
	}
}

// The credential for Docker Hub goes there, whatever it is called, and to nobody else.
func TestDOCKER16_CredentialsOfDockerHub(t *testing.T) {
	for _, name := range []string{"docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/", "docker.io/library"} {
		settings, err := spireCredentials(map[string]spire.Credential{name: {Username: "u", Password: "p"}})
		if err != nil || len(settings) != 1 || settings[0].Host != "docker.io" || settings[0].Username != "u" || settings[0].Password != "p" {
			t.Errorf("%s: %v, error %v", name, settings, err)
		}
	}
	if _, err := spireCredentials(map[string]spire.Credential{"docker.io": {Username: "u", Password: "p"}, "index.docker.io": {Username: "v", Password: "q"}}); err == nil {
		t.Error("two credentials for one registry are taken")
	}
	w := newSpireWorld(t, registrytest.Options{Username: "u", Password: "p"})
	ref := w.replay("legacy-keyless")
	v := w.demand("docker", dev(func(s *spire.SigstoreSettings) {
		s.Credentials = map[string]spire.Credential{"docker.io": {Username: "u", Password: "p"}}
	}))
	w.server.ResetRequests()
	w.fails(v, of(ref), codes.Unavailable)
	for _, r := range w.server.Requests() {
		if r.Auth != "" {
			t.Errorf("%s: authorization %s", r, r.Auth)
		}
	}
}

// Credentials come from the block, else from Docker's file, else from the further files.
func TestDOCKER16_OrderOfCredentials(t *testing.T) {
	auth := func(host, user, password string) []byte {
		return []byte(fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":%q}}}`, host, user, password))
	}
	places := []string{"docker", "REGISTRY_AUTH_FILE", "podman", "home"}
	for i := -1; i < len(places); i++ {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			w := newSpireWorld(t, registrytest.Options{Username: "u", Password: "p"})
			ref := w.replay("legacy-keyless")
			w.env["DOCKER_CONFIG"], w.env["XDG_RUNTIME_DIR"] = t.TempDir(), t.TempDir()
			files := map[string]string{
				"docker":             filepath.Join(w.env["DOCKER_CONFIG"], "config.json"),
				"REGISTRY_AUTH_FILE": filepath.Join(t.TempDir(), "auth"),
				"podman":             filepath.Join(w.env["XDG_RUNTIME_DIR"], "containers", "auth.json"),
				"home":               filepath.Join(w.env["HOME"], ".config", "containers", "auth.json"),
			}
			w.env["REGISTRY_AUTH_FILE"] = files["REGISTRY_AUTH_FILE"]
			for j, place := range places {
				must(t, os.MkdirAll(filepath.Dir(files[place]), 0o700))
				switch {
				case j == i:
					must(t, os.WriteFile(files[place], auth(w.server.Host(), "u", "p"), 0o600))
				case j > i: // never asked
					must(t, os.WriteFile(files[place], auth(w.server.Host(), "u", "wrong"), 0o600))
				}
			}
			w.passes(w.demand("docker", dev(func(s *spire.SigstoreSettings) {
				if i < 0 {
					s.Credentials = map[string]spire.Credential{w.server.Host(): {Username: "u", Password: "p"}}
				}
			})), of(ref))
		})
	}
}

// An image that is skipped passes without selectors; a name that whoever starts containers chose does not.
func TestT52_SkippedImages(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.image("unsigned")
	config := image.SHA256([]byte("config"))
	skipping := func(entry string) spire.Verifier {
		return w.demand("docker", dev(func(s *spire.SigstoreSettings) { s.SkippedImages = []string{entry} }))
	}
	s := of(ref)
	s.Content = []image.Digest{config}
	w.server.ResetRequests()
	for _, entry := range []string{ref.String(), ref.Digest().String(), config.String()} {
		if got := w.passes(skipping(entry), s); len(got) > 0 {
			t.Errorf("%s: selectors %q", entry, got)
		}
	}
	if got := w.server.Requests(); len(got) > 0 {
		t.Errorf("requests %v", got)
	}
	w.fails(skipping("app:1"), s, codes.PermissionDenied)
	w.fails(skipping(ref.Name()), s, codes.PermissionDenied)
}

// What a first question costs: each way in which evidence is published is looked at.
func TestDOCKER17_Requests(t *testing.T) {
	for recording, want := range map[string]int{"legacy-keyless": 3, "bundle-keyless": 4} {
		w := newSpireWorld(t, registrytest.Options{})
		ref := w.replay(recording)
		v := w.demand("docker", dev())
		w.server.ResetRequests()
		w.passes(v, of(ref))
		if got := w.server.Requests(); len(got) != want {
			t.Errorf("%s: %d requests, want %d: %v", recording, len(got), want, got)
		}
		w.server.ResetRequests()
		w.passes(v, of(ref))
		if got := w.server.Requests(); len(got) != 0 {
			t.Errorf("%s: requests %v for what is known", recording, got)
		}
	}
	w := newSpireWorld(t, registrytest.Options{})
	ca, ref := w.own(), w.image("app")
	alice := ca.person(t, "https://login.example", "alice@example.com")
	w.publish(ref, "sig", alice.signature(t, ref))
	w.publish(ref, "att", alice.attestation(t, ref, "https://acme.example/review/v1"))
	v := w.demand("docker", unlogged(nil))
	w.server.ResetRequests()
	w.passes(v, of(ref))
	if got := w.server.Requests(); len(got) != 5 {
		t.Errorf("signature and attestation: %d requests, want 5: %v", len(got), got)
	}
}

// Other trust material is asked anew, by the next configuration with the same text.
func TestT52_TrustMaterialDecides(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	file := filepath.Join(t.TempDir(), "trusted_root.json")
	w.env["SIGSTORE_ROOT_FILE"] = file
	use := func(name string) spire.Verifier {
		content, err := os.ReadFile(recordedFile(name))
		must(t, err)
		must(t, os.WriteFile(file, content, 0o600))
		return w.demand("docker", dev())
	}
	w.passes(use("trusted_root_rekor1.json"), of(ref))
	w.fails(use("trusted_root_other_rekor1.json"), of(ref), codes.PermissionDenied, "rekor bundle not verified for image: ")
	w.passes(use("trusted_root_rekor1.json"), of(ref))
}
