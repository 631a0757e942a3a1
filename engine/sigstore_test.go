package engine_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
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
	w.use(w.sigstoreSpec(require, authorities...), func(c *engine.Config) {
		c.TTL, c.RefusalTTL, c.Timeout = time.Minute, time.Second, time.Minute
		if !keep {
			c.Contents = 1
		}
	})
}

func (w *world) sigstoreSpec(require string, authorities ...string) string {
	w.Helper()
	spec := "\n  authorities:\n    " + strings.Join(authorities, "\n    ") + "\n  rules:\n  - images: [\"%HOST%/**\"]\n    require: " + require + "\n"
	replace := strings.NewReplacer("%P256%", quoted(w.recorded("p256.pub")), "%OTHERKEY%", quoted(w.recorded("other.pub")),
		"%ROOT%", quoted(w.recorded("trusted_root_all.json")),
		"%DEV%", `{identities: [{issuer: "https://accounts.lab.example", subject: dev@lab.example}]}`)
	return replace.Replace(spec)
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

// TestT45_FloodInPages puts ten thousand referrers that prove nothing before a good one, in a registry that lists them in pages.
func TestT45_FloodInPages(t *testing.T) {
	const junk, pages = 10_000, 4
	w := newWorld(t)
	ref := w.replay("bundle-key-plain")
	w.listInPages(ref, junk, pages)
	ask := func(outcome engine.Outcome, most int) string {
		t.Helper()
		w.server.ResetRequests()
		v := w.want(ref.String(), outcome)
		if n := len(w.server.Requests()); n > most {
			t.Errorf("%d requests, want %d at most", n, most)
		}
		w.clock.advance(2 * time.Minute)
		return v.Reason
	}
	w.sigstore("key", false, byKey)
	for range 3 {
		ask(engine.Allowed, pages+3) // the tag of the other way, and the good one: what is older is not looked at
	}
	w.sigstore("other", false, byOther)
	reason := ask(engine.Denied, pages+1+2+trust.MaxSignatures)
	if want := fmt.Sprintf("of %d pieces of evidence were looked at", junk+1); !strings.Contains(reason, want) {
		t.Errorf("got %q, want %q in it", reason, want)
	}
	for range 3 {
		if again := ask(engine.Denied, pages+1+2+trust.MaxSignatures); again != reason {
			t.Errorf("first %q, then %q", reason, again)
		}
	}
}

// listInPages makes the registry list older referrers, which it does not have, before those that it has.
func (w *world) listInPages(ref image.Ref, older, pages int) {
	w.Helper()
	path := "/v2/" + ref.Repository() + "/referrers/" + ref.Digest().String()
	answer, err := http.Get("http://" + w.server.Host() + path)
	if err != nil {
		w.Fatal(err)
	}
	defer answer.Body.Close()
	var list struct {
		SchemaVersion int              `json:"schemaVersion"`
		MediaType     string           `json:"mediaType"`
		Manifests     []map[string]any `json:"manifests"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil || len(list.Manifests) == 0 {
		w.Fatalf("%d referrers, %v", len(list.Manifests), err)
	}
	all := make([]map[string]any, 0, older+len(list.Manifests))
	for i := range older {
		all = append(all, map[string]any{
			"mediaType": registrytest.MediaTypeManifest, "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json", "size": 100,
			"digest":      image.SHA256(fmt.Append(nil, i)).String(),
			"annotations": map[string]string{"org.opencontainers.image.created": "2020-01-01T00:00:00Z"},
		})
	}
	all = append(all, list.Manifests...)
	size := (len(all) + pages - 1) / pages
	for i := range pages {
		list.Manifests = all[i*size : min((i+1)*size, len(all))]
		body, err := json.Marshal(list)
		if err != nil {
			w.Fatal(err)
		}
		header := http.Header{"Content-Type": {registrytest.MediaTypeIndex}}
		if i < pages-1 {
			header.Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, path, i+1))
		}
		query := ""
		if i > 0 {
			query = fmt.Sprintf("page=%d", i)
		}
		w.server.SetFault(func(r *http.Request) bool { return r.URL.Path == path && r.URL.RawQuery == query },
			registrytest.Status(http.StatusOK, header, string(body)))
	}
}
