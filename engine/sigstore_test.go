package engine_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
)

// recordings are what real tools left in registries; see their README.
const recordings = "../trust/sigstore/testdata/recorded"

// replay puts a recording into the world's registry and sets the clock to a minute later.
func (w *world) replay(name string) image.Ref {
	w.Helper()
	var r struct {
		Image     string
		Time      time.Time
		Manifests map[string]struct {
			MediaType string
			Bytes     []byte
		}
		Blobs map[string][]byte
	}
	if err := json.Unmarshal([]byte(w.recorded(name+".json")), &r); err != nil {
		w.Fatal(err)
	}
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
	w.clock.t = r.Time.Add(time.Minute)
	return image.MustParse(w.server.Host() + "/" + signed.Repository() + "@" + signed.Digest().String())
}

func (w *world) recorded(file string) string {
	w.Helper()
	content, err := os.ReadFile(filepath.Join(recordings, file))
	if err != nil {
		w.Fatal(err)
	}
	return string(content)
}

// sigstore is a policy with authorities of the sigstore format; the recordings were made in another registry. Contents with a digest
// are kept, or are not.
func (w *world) sigstore(require string, keep bool, authorities ...string) {
	w.Helper()
	spec := "\n  authorities:\n    " + strings.Join(authorities, "\n    ") + "\n  rules:\n  - images: [\"%HOST%/**\"]\n    require: " + require + "\n"
	replace := strings.NewReplacer("%P256%", quoted(w.recorded("p256.pub")), "%OTHERKEY%", quoted(w.recorded("other.pub")),
		"%ROOT%", quoted(w.recorded("trusted_root_all.json")),
		"%DEV%", `{identities: [{issuer: "https://accounts.lab.example", subject: dev@lab.example}]}`)
	w.use(replace.Replace(spec), func(c *engine.Config) {
		c.TTL, c.RefusalTTL = time.Minute, time.Second
		if !keep {
			c.Contents = 1
		}
	})
}

const (
	byKey     = `key: {sigstore: {key: %P256%, insecureIgnoreLog: true, signedRepository: ignore}}`
	byOther   = `other: {sigstore: {key: %OTHERKEY%, insecureIgnoreLog: true, signedRepository: ignore}}`
	byKeyless = `dev: {sigstore: {keyless: %DEV%, trustedRoot: {inline: %ROOT%}, signedRepository: ignore}}`
)

// TestSigstoreRequests counts. With the session warm, one signature costs two requests and one bundle three, whichever shapes are
// allowed; before anything is known of the repository, the other way of discovery costs one more. What has a digest is kept, so that
// asking again costs what can have changed: the tag, or the list.
func TestSigstoreRequests(t *testing.T) {
	for name, c := range map[string]struct {
		authority, recording string
		cold, warm           int
	}{
		"signature by key":   {byKey, "legacy-key-plain", 3, 2},
		"signature, keyless": {byKeyless, "legacy-keyless", 3, 2},
		"bundle by key":      {byKey, "bundle-key-plain", 4, 3},
		"bundle, keyless":    {byKeyless, "bundle-keyless", 4, 3},
	} {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, contents kept: %v", name, keep), func(t *testing.T) {
				w := newWorld(t)
				ref := w.replay(c.recording).String()
				w.sigstore(strings.SplitN(c.authority, ":", 2)[0], keep, c.authority)
				w.server.ResetRequests()
				w.want(ref, engine.Allowed)
				w.wantRequests(c.cold)
				w.want(ref, engine.Allowed)
				w.wantRequests(0)
				w.clock.advance(2 * time.Minute)
				w.want(ref, engine.Allowed)
				if keep {
					c.warm = 1
				}
				w.wantRequests(c.warm)
			})
		}
	}
}

// Several authorities ask for the same things, and the registry is asked once.
func TestSigstoreAuthoritiesShareRequests(t *testing.T) {
	w := newWorld(t)
	ref := w.replay("mixed").String()
	w.sigstore("{all: [dev, key]}", true, byKeyless, byKey, byOther)
	w.server.ResetRequests()
	v := w.want(ref, engine.Allowed)
	seen := map[string]int{}
	for _, r := range w.server.Requests() {
		if seen[r.String()]++; seen[r.String()] > 1 {
			t.Errorf("%s was sent twice", r)
		}
	}
	for _, a := range v.Authorities {
		if a.Signature == nil {
			t.Errorf("%s: the verdict has no signature", a.Authority)
		}
	}
}
