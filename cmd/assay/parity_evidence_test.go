package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/certificate"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
	"github.com/assay-dev/assay/trust/notation/notationtest"
)

// tooLarge is more than any limit of a manifest.
var tooLarge = append([]byte(`{"schemaVersion":2,"layers":[],"x":"`), append(bytes.Repeat([]byte("x"), 4<<20), `"}`...)...)

const (
	mediaTypeImage = "application/vnd.oci.image.manifest.v1+json"
	allowed        = engine.Allowed
	denied         = engine.Denied
)

// certificates adds what one certificate per image can be.
func (w *parityWorld) certificates() {
	const group = "certificate"
	right, other := w.ca("Right CA"), w.ca("Somebody Else's CA")
	w.at(parityNow.Add(-30 * time.Hour))
	late := w.ca("Late CA")
	lateImage := w.push("cert-expired")
	w.certify(late, lateImage)
	w.at(parityNow)
	w.authority("cert", "{certificate: {roots: "+quote(right.pem())+"}}")
	w.authority("certLate", "{certificate: {roots: "+quote(late.pem())+"}}")
	w.authority("certFresh", "{certificate: {roots: "+quote(right.pem())+", maxAge: 1s}}")
	one := func(name, repository, require string, outcome engine.Outcome, says string, publish func(image.Ref)) *parityFixture {
		ref := w.push(repository)
		publish(ref)
		return w.add(parityFixture{group: group, name: name, ref: ref, outcome: outcome, says: says}, require)
	}
	sign := func(ref image.Ref) { w.certify(right, ref) }
	tag := func(f *parityFixture) string { return f.ref.Name() + ":1" }

	good := one("good", "cert-good", "require: cert", allowed, "", sign)
	one("unsigned", "cert-unsigned", "require: cert", denied, "", func(image.Ref) {})
	one("signed by somebody else", "cert-other", "require: cert", denied, "unknown authority", func(ref image.Ref) { w.certify(other, ref) })
	one("of another image", "cert-copied", "require: cert", denied, "", func(ref image.Ref) { w.copyTo(good.ref, ref, certificate.Tag) })
	w.add(parityFixture{group: group, name: "expired", ref: lateImage, outcome: denied, says: "expired"}, "require: certLate")
	one("too old", "cert-old", "require: certFresh", denied, "", sign)
	one("key revoked", "cert-key-revoked", "require: cert", denied, "the key was stolen", func(ref image.Ref) {
		w.revoked = append(w.revoked, fmt.Sprintf("{key: %q, reason: the key was stolen}", trust.Fingerprint(w.certify(right, ref).RawSubjectPublicKeyInfo)))
	})
	one("serial number revoked", "cert-serial-revoked", "require: cert", denied, "the wrong job", func(ref image.Ref) {
		leaf := w.certify(right, ref)
		w.revoked = append(w.revoked, fmt.Sprintf("{serial: %q, issuer: %q, reason: the wrong job}", trust.Serial(leaf.SerialNumber), leaf.Issuer.String()))
	})
	one("malformed", "cert-malformed", "require: cert", denied, "", func(ref image.Ref) { w.put(ref, certificate.Tag(ref.Digest()), []byte(`{"layers":"none"}`)) })
	one("too large", "cert-large", "require: cert", engine.CouldNotTell, "", func(ref image.Ref) { w.large(ref, certificate.Tag(ref.Digest())) })
	w.outages(group, "cert", nil)

	index, _ := w.server.PushIndex("parity/cert-index", "1", map[string]string{"linux/amd64": "a", "linux/arm64": "b"})
	ref := image.MustParse(w.server.Host() + "/parity/cert-index@" + index.String())
	w.certify(right, ref)
	w.add(parityFixture{group: group, name: "index, signed", ref: ref, outcome: allowed}, "require: cert")
	index, children := w.server.PushIndex("parity/cert-child", "1", map[string]string{"linux/amd64": "c", "linux/arm64": "d"})
	ref = image.MustParse(w.server.Host() + "/parity/cert-child@" + index.String())
	w.certify(right, ref.At(children["linux/amd64"]))
	w.add(parityFixture{group: group, name: "index, only the child is signed", ref: ref, outcome: allowed, differs: map[string]string{
		"containerd": "child", "spire": "child"}}, "require: cert, platform: linux/amd64")

	tagged := one("a tag", "cert-tag", "require: cert", allowed, "", sign)
	tagged.image, tagged.differs = tag(tagged), map[string]string{"containerd": "resolved", "spire": "resolved"}
	moved := one("a tag that has moved, beside the signed digest", "cert-moved", "require: cert", allowed, "", sign)
	w.server.PushImage("parity/cert-moved", "1", "linux/amd64", "moved")
	moved.image, moved.differs = tag(moved)+"@"+moved.ref.Digest().String(), map[string]string{"spire": "resolved"}
	evil := one("a tag that has moved to an unsigned image", "cert-evil", "require: cert", denied, "", sign)
	evil.ref = image.MustParse(evil.ref.Name() + "@" + w.server.PushImage("parity/cert-evil", "1", "linux/amd64", "evil").String())
	evil.image, evil.differs = tag(evil), map[string]string{"containerd": "resolved", "spire": "resolved"}
	demanded := one("a tag where the rule demands a digest", "cert-demanded", "require: cert, digest: required", denied, "", sign)
	demanded.image, demanded.differs = tag(demanded), map[string]string{"containerd": "resolved", "spire": "resolved"}

	named := one("a rule for a tag that stands for another image by now", "cert-named", "require: cert", allowed, "", sign)
	w.rules[paritySigned] = slices.Insert(w.rules[paritySigned], 0, fmt.Sprintf("{images: [%q], deny: by its tag}", tag(named)))
	w.server.PushImage("parity/cert-named", "1", "linux/amd64", "moved on")
	named.image, named.differs = tag(named)+"@"+named.ref.Digest().String(), map[string]string{"spire": "resolved"}
	replaced := one("another digest than that of the tag, which insecureReplace puts in its place", "cert-replaced", "require: cert, digest: insecureReplace", allowed, "", sign)
	replaced.ref = image.MustParse(replaced.ref.Name() + "@" + w.server.PushImage("parity/cert-replaced", "old", "linux/amd64", "old").String())
	replaced.image = tag(replaced) + "@" + replaced.ref.Digest().String()
	replaced.differs = map[string]string{"docker": "replaced", "containerd": "replaced here", "spire": "resolved"}

	gone := w.push("digest-revoked")
	w.certify(right, gone)
	w.takenBack = fmt.Sprintf("{digest: %q, reason: CVE-2026-0001}", gone.Digest())
	w.add(parityFixture{group: group, name: "digest revoked", ref: gone, set: parityRevoked, outcome: denied, says: "CVE-2026-0001"}, "require: cert")
	for _, c := range []struct {
		name, repository string
		outcome          engine.Outcome
		signed           bool
	}{
		{"several policies, all of them allow", "several-allowed", allowed, true},
		{"several policies, one of them denies", "several-denied", denied, true},
		{"several policies, and what one demands is not there", "several-unsigned", denied, false},
	} {
		ref := w.push(c.repository)
		if c.signed {
			w.certify(right, ref)
		}
		w.add(parityFixture{group: group, name: c.name, ref: ref, set: paritySeveral, outcome: c.outcome}, "require: cert")
	}
}

// copyTo puts what stands under a tag beside one image beside another.
func (w *parityWorld) copyTo(from, to image.Ref, tag func(image.Digest) string) {
	mediaType, content := w.server.Manifest(from.Repository(), tag(from.Digest()))
	for _, l := range layersOf(w.TB, content) {
		_, blob := w.get(from.Repository(), "blobs", l)
		w.server.PutBlob(to.Repository(), blob)
	}
	w.server.PutManifest(to.Repository(), tag(to.Digest()), mediaType, content)
}

// put stores a manifest as it is.
func (w *parityWorld) put(ref image.Ref, target string, content []byte) {
	w.server.PutManifest(ref.Repository(), target, mediaTypeImage, content)
}

// large has the registry answer with more than any limit.
func (w *parityWorld) large(ref image.Ref, target string) {
	w.server.SetFault(registrytest.OnPath(ref.Repository()+"/manifests/"+target), registrytest.Body(tooLarge))
}

func layersOf(t testing.TB, manifest []byte) []string {
	t.Helper()
	var m struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		t.Fatal(err)
	}
	all := []string{m.Config.Digest}
	for _, l := range m.Layers {
		all = append(all, l.Digest)
	}
	return all
}

// sigTag is the tag under which the older shape of a signature stands.
func sigTag(d image.Digest) string { return strings.Replace(d.String(), ":", "-", 1) + ".sig" }

// sigstoreKeys adds what a signature by a key can be.
func (w *parityWorld) sigstoreKeys() {
	const group = "sigstore, key"
	right, public := bareSigner(w.TB)
	other, _ := bareSigner(w.TB)
	stolen, stolenPublic := bareSigner(w.TB)
	key := func(pem string) string { return "{sigstore: {key: " + quote(pem) + ", insecureIgnoreLog: true}}" }
	w.authority("key", key(public))
	w.authority("keyStolen", key(stolenPublic))
	w.revoked = append(w.revoked, fmt.Sprintf("{key: %q, reason: the key was stolen}", stolen.fingerprint(w.TB)))
	logged := "{sigstore: {key: {file: " + w.absolute("p256.pub") + "%s}, trustedRoot: {file: " + w.absolute("trusted_root_all.json") + "}, signedRepository: ignore}}"
	w.authority("keyLogged", fmt.Sprintf(logged, ""))
	w.authority("keyOver", fmt.Sprintf(logged, ", validUntil: 2026-11-01T00:00:00Z"))

	bare := func(s *ownSigner, ref image.Ref) ownLayer {
		l := s.signature(w.TB, ref)
		delete(l.annotations, "dev.sigstore.cosign/certificate")
		return l
	}
	one := func(name, repository, require string, outcome engine.Outcome, publish func(image.Ref)) image.Ref {
		ref := w.push(repository)
		publish(ref)
		w.add(parityFixture{group: group, name: name, ref: ref, outcome: outcome}, require)
		return ref
	}
	good := one("good", "key-good", "require: key", allowed, func(ref image.Ref) { w.publish(ref, "sig", bare(right, ref)) })
	w.recorded(group, "good, as a bundle with a log's entry", "bundle-key", "keyLogged", allowed)
	one("unsigned", "key-unsigned", "require: key", denied, func(image.Ref) {})
	one("signed by somebody else", "key-other", "require: key", denied, func(ref image.Ref) { w.publish(ref, "sig", bare(other, ref)) })
	one("of another image", "key-copied", "require: key", denied, func(ref image.Ref) { w.publish(ref, "sig", bare(right, good)) })
	w.recorded(group, "the key no longer counts", "bundle-key-rekor1", "keyOver", denied)
	one("key revoked", "key-revoked", "require: keyStolen", denied, func(ref image.Ref) { w.publish(ref, "sig", bare(stolen, ref)) })
	one("malformed", "key-malformed", "require: key", denied, func(ref image.Ref) {
		l := bare(right, ref)
		l.annotations["dev.cosignproject.cosign/signature"] = "no base64"
		w.publish(ref, "sig", l)
	})
	one("too large", "key-large", "require: key", engine.CouldNotTell, func(ref image.Ref) { w.large(ref, sigTag(ref.Digest())) })
	w.outages(group, "key", registrytest.OnReferrers)
}

func (s *ownSigner) fingerprint(t testing.TB) string {
	t.Helper()
	der, err := marshalPublic(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return trust.Fingerprint(der)
}

// absolute is the file of a recording.
func (w *parityWorld) absolute(name string) string {
	w.Helper()
	file, err := filepath.Abs(recordedFile(name))
	must(w.TB, err)
	return quote(file)
}

// recorded adds what a real tool has left.
func (w *parityWorld) recorded(group, name, recording, authority string, outcome engine.Outcome) image.Ref {
	ref := w.replay(recording)
	w.add(parityFixture{group: group, name: name, ref: ref, outcome: outcome}, "require: "+authority)
	return ref
}

// sigstoreIdentities adds what a signature by an identity can be.
func (w *parityWorld) sigstoreIdentities() {
	const group = "sigstore, keyless"
	keyless := func(issuer, subject string) string {
		return fmt.Sprintf("{sigstore: {keyless: {identities: [{issuer: %q, subject: %q}]}, trustedRoot: {file: %s}, signedRepository: ignore}}", issuer, subject, w.absolute("trusted_root_all.json"))
	}
	w.authority("dev", keyless("https://accounts.lab.example", "dev@lab.example"))
	w.authority("workflow", keyless("https://token.actions.githubusercontent.com", "https://github.com/**"))
	w.revoked = append(w.revoked, `{identity: {issuer: "https://token.actions.githubusercontent.com", subject: "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"}, reason: the workflow was changed}`)
	good := w.recorded(group, "good, as a bundle", "bundle-keyless", "dev", allowed)
	older := w.recorded(group, "good, in the older shape", "legacy-keyless", "dev", allowed)
	w.add(parityFixture{group: group, name: "unsigned", ref: w.push("dev-unsigned"), outcome: denied}, "require: dev")
	w.recorded(group, "signed by somebody else", "bundle-keyless-other-issuer", "dev", denied)
	for _, c := range []struct {
		name string
		give func([]byte) []byte
	}{
		{"bundle of another image", func(b []byte) []byte { return b }},
		{"malformed bundle", func([]byte) []byte { return []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`) }},
	} {
		to := w.push("dev-" + strings.Fields(c.name)[0])
		w.bundle(good, to, c.give)
		w.add(parityFixture{group: group, name: c.name, ref: to, outcome: denied}, "require: dev")
	}
	to := w.push("dev-copied")
	w.copyTo(older, to, sigTag)
	w.add(parityFixture{group: group, name: "older shape, of another image", ref: to, outcome: denied}, "require: dev")
	w.recorded(group, "the certificate was used, nobody knows when", "legacy-keyless-no-proof-of-time", "dev", denied)
	w.recorded(group, "identity revoked", "bundle-keyless-github", "workflow", denied)
	large := w.push("dev-large")
	w.large(large, sigTag(large.Digest()))
	w.add(parityFixture{group: group, name: "too large", ref: large, outcome: engine.CouldNotTell}, "require: dev")
	w.outages(group, "dev", registrytest.OnReferrers)
}

// bundle lets the bundle of one image refer to another.
func (w *parityWorld) bundle(from, to image.Ref, give func([]byte) []byte) {
	w.Helper()
	_, list := w.get(from.Repository(), "referrers", from.Digest().String())
	var index struct{ Manifests []struct{ Digest string } }
	must(w.TB, json.Unmarshal(list, &index))
	_, content := w.get(from.Repository(), "manifests", index.Manifests[0].Digest)
	var m map[string]any
	must(w.TB, json.Unmarshal(content, &m))
	_, image := w.get(to.Repository(), "manifests", to.Digest().String())
	m["subject"] = map[string]any{"mediaType": mediaTypeImage, "digest": to.Digest().String(), "size": len(image)}
	layer := m["layers"].([]any)[0].(map[string]any)
	_, bundle := w.get(from.Repository(), "blobs", layer["digest"].(string))
	bundle = give(bundle)
	layer["digest"], layer["size"] = w.server.PutBlob(to.Repository(), bundle).String(), len(bundle)
	w.server.PutBlob(to.Repository(), []byte("{}"))
	content, err := json.Marshal(m)
	must(w.TB, err)
	w.put(to, nameOf(content), content)
}

func nameOf(content []byte) string { return image.SHA256(content).String() }

// notaryv1 adds what trust data of Docker Content Trust can be.
func (w *parityWorld) notaryv1() {
	const group = "notaryv1"
	jenkins, stolen := notarytest.NewKey("P-256"), notarytest.NewKey("P-256")
	above := notarytest.NewKey("P-256").Authority("Notary CA", parityNow.AddDate(-1, 0, 0), parityNow.AddDate(5, 0, 0))
	one := func(name, require string, outcome engine.Outcome, edit func(*notarytest.Repository, image.Ref)) *parityFixture {
		ref := w.push(repositoryOf("dct " + name))
		r := notarytest.New(ref.Name(), parityNow.Add(-time.Hour))
		r.Delegate(notarytest.Releases)
		r.Sign(notarytest.Releases, "1", ref.Digest())
		key := notarytest.NewKey("P-256").CertifiedBy(above, ref.Name(), parityNow.AddDate(0, -1, 0), parityNow.AddDate(3, 0, 0))
		r.Roles[notarytest.Root].Keys, r.Roles[notarytest.Root].Signers = []*notarytest.Key{key}, []*notarytest.Key{key}
		if edit != nil {
			edit(r, ref)
		}
		if r.Roles != nil {
			for file, content := range r.Files() {
				w.server.PutTrustData(ref.Name(), file, content)
			}
		}
		return w.add(parityFixture{group: group, name: name, ref: ref, outcome: outcome}, "require: "+require)
	}
	by := func(key *notarytest.Key) func(*notarytest.Repository, image.Ref) {
		return func(r *notarytest.Repository, ref image.Ref) {
			r.Delegate("targets/jenkins", key)
			r.Sign("targets/jenkins", "1", ref.Digest())
		}
	}
	one("good", "dct", allowed, nil)
	tagged := one("good, a tag", "dct", allowed, nil)
	tagged.image, tagged.differs = tagged.ref.Name()+":1", map[string]string{"containerd": "resolved", "spire": "resolved"}
	both := one("good, a tag and the digest for which it is signed", "dct", allowed, nil)
	both.image, both.differs = both.ref.Name()+":1@"+both.ref.Digest().String(), map[string]string{"spire": "resolved"}
	one("good, by a role with this key", "dctJenkins", allowed, by(jenkins))
	one("unsigned", "dct", denied, func(r *notarytest.Repository, _ image.Ref) { r.Roles = nil })
	one("signed by somebody else", "dctJenkins", denied, by(notarytest.NewKey("P-256")))
	one("another root", "dct", denied, func(r *notarytest.Repository, _ image.Ref) {
		*r = *notarytest.New(r.GUN, r.Made)
	})
	one("the tag is signed for another image", "dct", denied, func(r *notarytest.Repository, _ image.Ref) {
		r.Sign(notarytest.Releases, "1", image.SHA256([]byte("another")))
	})
	moved := one("a tag that has moved to an unsigned image", "dct", denied, nil)
	moved.ref = image.MustParse(moved.ref.Name() + "@" + w.server.PushImage(moved.ref.Repository(), "1", "linux/amd64", "evil of another kind").String())
	moved.image, moved.differs = moved.ref.Name()+":1", map[string]string{"containerd": "resolved", "spire": "resolved", "docker": "signed"}
	one("expired", "dct", denied, func(r *notarytest.Repository, _ image.Ref) {
		r.Roles[notarytest.Timestamp].Expires = parityNow.Add(-time.Minute)
	})
	w.revoked = append(w.revoked, fmt.Sprintf("{key: %q, reason: the key was stolen}", stolen.Fingerprint()))
	one("key revoked", "dctStolen", denied, by(stolen))
	garbage := func([]byte) []byte { return []byte("no trust data") }
	one("malformed", "dct", engine.CouldNotTell, func(r *notarytest.Repository, _ image.Ref) { r.Roles[notarytest.Timestamp].File = garbage })
	one("too large", "dct", engine.CouldNotTell, func(r *notarytest.Repository, _ image.Ref) {
		r.Roles[notarytest.Timestamp].File = func(content []byte) []byte { return append(content, bytes.Repeat([]byte(" "), 11<<20)...) }
	})
	for _, c := range []struct {
		name, title string
		fault       registrytest.Fault
	}{{"429", "server: 429", registrytest.Status(429, nil, "")}, {"cut", "server cuts connections", registrytest.CutConnection()}} {
		server := registrytest.New(w.TB, registrytest.Options{Notary: true})
		server.SetFault(nil, c.fault)
		w.authority("dct"+c.name, fmt.Sprintf("{notaryv1: {server: %q, root: {keys: %q}, roles: [targets/releases]}}", server.URL(), jenkins.PublicPEM()))
		w.add(parityFixture{group: group, name: c.title, ref: w.push("dct-server-" + c.name), outcome: engine.CouldNotTell}, "require: dct"+c.name)
	}
	section := fmt.Sprintf("{notaryv1: {server: %q, root: {ca: %q}%%s}}", w.server.URL(), notarytest.PEM(above.Cert))
	w.authority("dct", fmt.Sprintf(section, ""))
	signers := ", signers: [{role: targets/jenkins, publicKey: %q}]"
	w.authority("dctJenkins", fmt.Sprintf(section, fmt.Sprintf(signers, jenkins.PublicPEM())))
	w.authority("dctStolen", fmt.Sprintf(section, fmt.Sprintf(signers, stolen.PublicPEM())))
}

// notationOf adds what a signature of the Notary Project in one kind of envelope can be.
func (w *parityWorld) notationOf(kind, mediaType string) {
	group, low := "notation, "+kind, strings.ToLower(kind)
	made := parityNow.Add(-time.Hour)
	root, foreign := notationtest.Issue(made, nil), notationtest.Issue(made, nil)
	right, stolen := notationtest.Issue(made, root), notationtest.Issue(made, root)
	authority := "np" + kind
	w.authority(authority, fmt.Sprintf(`{notation: {trustStores: {ca: [{pem: %q}]}, identities: ["x509.subject: C=US, ST=WA, O=Acme, CN=ci"]}}`, root.PEM()))
	w.revoked = append(w.revoked, fmt.Sprintf("{key: %q, reason: the key was stolen}", trust.Fingerprint(stolen.Cert.RawSubjectPublicKeyInfo)))
	attach := func(ref image.Ref, envelope []byte) {
		w.server.PutBlob(ref.Repository(), envelope)
		w.server.PutBlob(ref.Repository(), []byte("{}"))
		content := notationtest.Referrer(ref, mediaType, envelope, made)
		w.put(ref, nameOf(content), content)
	}
	sign := func(by *notationtest.Holder, d image.Digest, edits ...func(*signature.SignRequest)) []byte {
		envelope, err := notationtest.Sign(notationtest.Request{MediaType: mediaType, By: by, Digest: d, At: made, Edit: func(r *signature.SignRequest) {
			for _, e := range edits {
				e(r)
			}
		}})
		must(w.TB, err)
		return envelope
	}
	one := func(name string, outcome engine.Outcome, envelope func(image.Ref) []byte) {
		ref := w.push(repositoryOf(low + " " + name))
		if envelope != nil {
			attach(ref, envelope(ref))
		}
		w.add(parityFixture{group: group, name: name, ref: ref, outcome: outcome}, "require: "+authority)
	}
	one("good", allowed, func(ref image.Ref) []byte { return sign(right, ref.Digest()) })
	one("unsigned", denied, nil)
	one("signed by somebody else", denied, func(ref image.Ref) []byte { return sign(notationtest.Issue(made, foreign), ref.Digest()) })
	one("of another image", denied, func(image.Ref) []byte { return sign(right, image.SHA256([]byte("another"))) })
	one("expired", denied, func(ref image.Ref) []byte {
		return sign(right, ref.Digest(), func(r *signature.SignRequest) { r.Expiry = parityNow.Add(-time.Minute) })
	})
	one("key revoked", denied, func(ref image.Ref) []byte { return sign(stolen, ref.Digest()) })
	one("malformed", denied, func(image.Ref) []byte { return []byte("no envelope") })
	one("too large", denied, func(image.Ref) []byte { return bytes.Repeat([]byte("x"), 2<<20) })
	w.outages(group, authority, registrytest.OnReferrers)
	if kind == "JWS" {
		w.jws = func(ref image.Ref) { attach(ref, sign(right, ref.Digest())) }
	}
}

// thresholds adds rules about two formats.
func (w *parityWorld) thresholds() {
	const group = "two formats"
	right := w.ca("Threshold CA")
	w.authority("certTwo", "{certificate: {roots: "+quote(right.pem())+"}}")
	both := "require: {atLeast: 2, of: [certTwo, npJWS]}"
	ref := w.push("two-both")
	w.certify(right, ref)
	w.jws(ref)
	w.add(parityFixture{group: group, name: "2 of 2", ref: ref, outcome: allowed}, both)
	ref = w.push("two-one")
	w.certify(right, ref)
	w.add(parityFixture{group: group, name: "1 of 2", ref: ref, outcome: denied}, both)
	ref = w.push("two-any")
	w.jws(ref)
	w.add(parityFixture{group: group, name: "any of 2", ref: ref, outcome: allowed}, "require: {any: [certTwo, npJWS]}")
	ref = w.push("two-unclear")
	w.certify(right, ref)
	w.add(parityFixture{group: group, name: "1 of 2, and nobody can tell about the other", ref: ref, outcome: engine.CouldNotTell}, "require: [certTwo, dct429]")
	ref = w.push("two-enough")
	w.certify(right, ref)
	w.add(parityFixture{group: group, name: "any of 2, and nobody can tell about the other", ref: ref, outcome: allowed}, "require: {any: [dct429, certTwo]}")
}

// unsigned adds rules that ask for nobody's word, and names.
func (w *parityWorld) unsigned() {
	const group = "rules without formats"
	one := func(name, repository, rule string, outcome engine.Outcome) *parityFixture {
		return w.add(parityFixture{group: group, name: name, ref: w.push(repository), outcome: outcome}, rule)
	}
	one("deny", "rule-deny", "deny: not here", denied)
	one("allow", "rule-allow", "allow: for the test", allowed)
	one("allow until a time to come", "rule-until", "allow: for the test, until: 2099-01-01T00:00:00Z", allowed)
	one("allow until a time that has passed", "rule-past", "allow: for the test, until: 2026-01-01T00:00:00Z", denied)
	one("no rule, unmatched: deny", "rule-none", "", denied)
	name := func(title, set, asked, canonical string, outcome engine.Outcome, differs map[string]string) {
		f := parityFixture{group: group, name: title, set: set, image: asked, outcome: outcome, nameless: true, differs: differs}
		if canonical != "" {
			f.ref = image.MustParse(canonical)
		}
		w.add(f, "")
	}
	w.add(parityFixture{group: group, name: "local, made on the host", set: parityLocal, image: "built:1", outcome: denied, made: true,
		differs: map[string]string{"docker": "local", "containerd": "resolved", "spire": "unpublished"}}, "")
	digest := "@" + image.SHA256([]byte("somewhere")).String()
	w.rules[paritySigned] = append(w.rules[paritySigned], `{images: ["registry.example/team/app", "docker.io/library/app"], deny: by its canonical name}`)
	name("no opinion of any policy", paritySeveral, "registry.example/nobody/app"+digest, "registry.example/nobody/app"+digest, denied, map[string]string{"spire": "spelling"})
	for _, spelling := range []string{"REGISTRY.example/team/app", "registry.example:443/team/app"} {
		name("spelling: "+spelling+"@…", "", spelling+digest, "registry.example/team/app"+digest, denied, map[string]string{"spire": "spelling"})
	}
	for _, spelling := range []string{"app", "index.docker.io/library/app", "docker.io/app"} {
		name("spelling: "+spelling+"@…", "", spelling+digest, "docker.io/library/app"+digest, denied, map[string]string{"spire": "spelling"})
	}
	name("no name: registry.example./team/app@…", "", "registry.example./team/app"+digest, "", denied, map[string]string{"docker": "unread", "spire": "engine"})
	name("no name: registry.example/UPPER:1", "", "registry.example/UPPER:1", "", denied, map[string]string{"docker": "unread", "containerd": "resolved", "spire": "engine"})
}

// repositoryOf makes a repository's name of a title.
func repositoryOf(title string) string {
	return strings.ReplaceAll(strings.ReplaceAll(title, ",", ""), " ", "-")
}
