package material

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzParseKey: whatever a file holds, there is a key that can verify, or an error.
func FuzzParseKey(f *testing.F) {
	f.Add(publicPEM(f, ecKey(f)))
	f.Add(publicPEM(f, edKey(f)))
	f.Add(pemOf(newCA(f, nil).cert))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		k, err := ParseKey(file)
		if err != nil {
			if k != nil {
				t.Error("a key and an error")
			}
			return
		}
		if again, err := NewKey(k.Public); err != nil || again.Fingerprint != k.Fingerprint {
			t.Errorf("got %v, %v", again, err)
		}
		if _, ed := k.Public.(ed25519.PublicKey); ed {
			return // keys of small order verify what they like: who trusts such a key has no secret behind it anyway
		}
		if k.Verifier().VerifySignature(bytes.NewReader(make([]byte, 64)), bytes.NewReader(make([]byte, 8))) == nil {
			t.Error("zeros are a signature")
		}
	})
}

// FuzzGiven: what is read can be listed, and reading its JSON gives the same version.
func FuzzGiven(f *testing.F) {
	f.Add(embeddedJSON)
	f.Add(newWorld(f).json(f))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[{}],"certificateAuthorities":[{"certChain":{}}]}`))
	leaf := newWorld(f).intermediate.leaf(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		source, err := Given("fuzz", content)
		if err != nil {
			return
		}
		r, err := source.Root(time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Members()) == 0 {
			t.Error("empty material")
		}
		for _, a := range r.FulcioCertificateAuthorities() {
			if _, err := a.Verify(leaf, now); err == nil {
				t.Error("a stranger's leaf is good")
			}
		}
		again, err := Given("again", r.JSON)
		if err != nil {
			t.Fatal(err)
		}
		if other, _ := again.Root(now); other.Version != r.Version {
			t.Errorf("versions %s and %s", r.Version, other.Version)
		}
	})
}

// FuzzFromParts: what is read can be written as a trusted_root.json.
func FuzzFromParts(f *testing.F) {
	w := newWorld(f)
	p := w.parts(f)
	f.Add(p.Fulcio, p.RekorKeys, p.CTLogKeys, p.TimestampCertificates[0])
	f.Add([]byte(nil), []byte("junk"), p.RekorKeys, p.Fulcio)
	f.Fuzz(func(t *testing.T, fulcio, rekor, ct, stamps []byte) {
		p := Parts{Fulcio: fulcio, RekorKeys: rekor, CTLogKeys: ct}
		if len(stamps) > 0 {
			p.TimestampCertificates = [][]byte{stamps}
		}
		source, err := FromParts("fuzz", p)
		if err != nil {
			return
		}
		r, err := source.Root(now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Given("again", r.JSON); err != nil {
			t.Errorf("cannot be read again: %v", err)
		}
	})
}

// FuzzCopy: a copy on disk in which one file was changed is what was published, or refused.
func FuzzCopy(f *testing.F) {
	repo := newTUFRepo(f)
	repo.rotateRoot("snapshot")
	content := newWorld(f).json(f)
	repo.publish(content, now)
	source := kept(f, repo, f.TempDir())
	names := []string{"root.json", "timestamp.json", "snapshot.json", "targets.json", "targets/" + target, rootHistory + "/2.root.json"}
	for i, name := range names {
		f.Add(i, read(f, filepath.Join(source, filepath.FromSlash(name))))
		f.Add(i, []byte(`{"signed":{"_type":"timestamp"},"signatures":[]}`))
	}
	f.Fuzz(func(t *testing.T, i int, changed []byte) {
		if i < 0 || i >= len(names) {
			return
		}
		dir := t.TempDir()
		if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(source)); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "copy", filepath.FromSlash(names[i])), changed)
		write(t, filepath.Join(dir, "copy.json"), []byte(`{"lastTimestamp":"2026-09-01T12:00:00Z"}`))
		p, _, err := (&folder{path: filepath.Join(dir, "copy")}).loadOnce(repo.first, now)
		if err == nil && p != nil && string(p.target) != string(content) {
			t.Error("something that was never published is used")
		}
	})
}

// FuzzTransit: whatever Vault says, there is a key or an error.
func FuzzTransit(f *testing.F) {
	f.Add([]byte(`{"data":{"type":"ecdsa-p256","latest_version":1,"keys":{"1":{"public_key":"x"}}}}`))
	f.Add([]byte(`{"data":{"type":"ed25519","latest_version":1,"keys":{"1":{"public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}}}`))
	f.Add([]byte(`{"data":{"keys":{"0":null}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if k, err := parseTransit(body); (k == nil) == (err == nil) {
			t.Errorf("got %v, %v", k, err)
		}
	})
}
