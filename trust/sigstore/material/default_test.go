package material

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// summary is what a root holds, short enough to compare.
func summary(r *Root) map[string][]string {
	s := map[string][]string{}
	for _, m := range r.Members() {
		s[m.Kind] = append(s[m.Kind], m.Key)
	}
	return s
}

func summaryOf(t testing.TB, content []byte) map[string][]string {
	t.Helper()
	r, err := parseRoot(content)
	if err != nil {
		t.Fatal(err)
	}
	return summary(r)
}

// given returns the files of a world.
func (w *world) given(t testing.TB) Default {
	p := w.parts(t)
	return Default{
		RootFile: File{"root.pem", p.Fulcio}, RekorKeys: File{"rekor.pub", p.RekorKeys},
		CTLogKeys: File{"ct.pub", p.CTLogKeys}, TimestampChain: File{"tsa.pem", p.TimestampCertificates[0]},
	}
}

// dead is a network that nobody may use.
func dead(t testing.TB) func(*Config) {
	return func(c *Config) {
		c.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			t.Errorf("%s was asked for", r.URL)
			return nil, net.ErrClosed
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestDOCKER13_TrustRoots shows where each part of the material comes from, with no network.
func TestDOCKER13_TrustRoots(t *testing.T) {
	mine, cached := newWorld(t), newWorld(t)
	repo := newTUFRepo(t)
	repo.publish(cached.json(t), now)
	current, older := t.TempDir(), t.TempDir()
	k, _ := keeperAt(t, now, cachedIn(current))
	if _, err := k.Init(context.Background(), repo.source()); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(older, "tuf.db", "LOG"), nil)
	write(t, filepath.Join(older, "remote.json"), []byte(`{"mirror":"https://tuf.old.example"}`))
	p := cached.parts(t)
	for name, content := range map[string][]byte{
		"fulcio_v1.crt.pem": pemOf(cached.root.cert), "fulcio_intermediate_v1.crt.pem": pemOf(cached.intermediate.cert),
		"rekor.pub": p.RekorKeys, "ctfe_2022.pub": p.CTLogKeys, "artifact.pub": []byte("not looked at"),
		"tsa_leaf.crt.pem": pemOf(cached.tsaLeaf), "tsa_root.crt.pem": pemOf(cached.tsaRoot.cert),
	} {
		write(t, filepath.Join(older, "targets", name), content)
	}
	public := summaryOf(t, embeddedJSON)
	mix := func(base map[string][]string, kinds ...string) map[string][]string {
		mixed := map[string][]string{}
		for kind, keys := range base {
			mixed[kind] = keys
		}
		for _, kind := range kinds {
			mixed[kind] = summaryOf(t, mine.json(t))[kind]
		}
		return mixed
	}
	files := mine.given(t)
	whole := File{"trusted_root.json", append([]byte("\n "), mine.json(t)...)}
	private := summaryOf(t, cached.json(t))
	rows := []struct {
		name  string
		given Default
		want  map[string][]string
	}{
		{"nothing", Default{}, public},
		{"an empty home", Default{Folder: t.TempDir()}, public},
		{"trusted_root.json replaces everything", Default{RootFile: whole, RekorKeys: File{"x", []byte("junk")}, Folder: older}, mix(nil, "fulcio", "rekor", "ct", "tsa")},
		{"all files", files, mix(nil, "fulcio", "rekor", "ct", "tsa")},
		{"certificates of Fulcio", Default{RootFile: files.RootFile}, mix(public, "fulcio")},
		{"key of Rekor", Default{RekorKeys: files.RekorKeys}, mix(public, "rekor")},
		{"key of a CT log", Default{CTLogKeys: files.CTLogKeys}, mix(public, "ct")},
		{"time stamps", Default{TimestampChain: files.TimestampChain}, mix(public, "tsa")},
		{"current cache", Default{Folder: current}, private},
		{"current cache and a file", Default{Folder: current, RekorKeys: files.RekorKeys}, mix(private, "rekor")},
		{"older cache", Default{Folder: older}, private},
		{"older cache and a file", Default{Folder: older, RootFile: files.RootFile}, mix(private, "fulcio")},
		{"another mirror than the cache's", Default{Folder: older, Mirror: repo.server.URL, FirstRoot: File{"root.json", repo.first}}, nil},
		{"the mirror and its first root, and the cache", Default{Folder: current, Mirror: repo.server.URL + "/", FirstRoot: File{"root.json", repo.first}}, private},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			k, _ := keeperAt(t, now, dead(t), func(c *Config) { c.Default = row.given })
			source, err := k.Default(0)
			if err != nil {
				t.Fatal(err)
			}
			r, err := source.Root(now)
			if row.want == nil {
				wants(t, err, "was never fetched")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, summary(r)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			again := rootOf(t, source, now)
			if again.TrustedMaterial != r.TrustedMaterial {
				t.Error("parsed at each call")
			}
		})
	}
}

// The cache of a custom mirror is never topped up from the public one.
func TestDOCKER13_NeverToppedUp(t *testing.T) {
	w := newWorld(t)
	parts := w.parts(t)
	parts.CTLogKeys, parts.TimestampCertificates = nil, nil
	source, err := FromParts("little", parts)
	if err != nil {
		t.Fatal(err)
	}
	repo := newTUFRepo(t)
	repo.publish(rootOf(t, source, now).JSON, now)
	cache := t.TempDir()
	k, _ := keeperAt(t, now, cachedIn(cache))
	if _, err := k.Init(context.Background(), repo.source()); err != nil {
		t.Fatal(err)
	}
	k, _ = keeperAt(t, now, dead(t), func(c *Config) { c.Default.Folder = cache })
	s, err := k.Default(0)
	if err != nil {
		t.Fatal(err)
	}
	got := summary(rootOf(t, s, now))
	if len(got["ct"])+len(got["tsa"]) > 0 || len(got["fulcio"]) != 1 || len(got["rekor"]) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestDOCKER13_Unusable(t *testing.T) {
	w := newWorld(t)
	private := []byte("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
	folder := func(files map[string]string) string {
		dir := t.TempDir()
		for name, content := range files {
			write(t, filepath.Join(dir, filepath.FromSlash(name)), []byte(content))
		}
		return dir
	}
	rows := []struct {
		name  string
		given Default
		want  string
	}{
		{"empty root file", Default{RootFile: File{Name: "SIGSTORE_ROOT_FILE (x)"}}, "SIGSTORE_ROOT_FILE (x): is empty"},
		{"junk root file", Default{RootFile: File{"x", []byte("junk")}}, `no "CERTIFICATE" in PEM`},
		{"broken trusted root", Default{RootFile: File{"x", []byte("{")}}, "x: no trusted_root.json"},
		{"unknown field", Default{RootFile: File{"x", append([]byte(`{"surprise":1,`), w.json(t)[1:]...)}}, "line 1, column 2: unknown field"},
		{"key for a certificate", Default{RootFile: File{"x", publicPEM(t, w.rekor)}}, `a PEM block is "PUBLIC KEY"`},
		{"certificate for a key", Default{RekorKeys: File{"x", pemOf(w.root.cert)}}, `a PEM block is "CERTIFICATE"`},
		{"private key", Default{CTLogKeys: File{"x", private}}, `a PEM block is "PRIVATE KEY"`},
		{"chain without its root", Default{RootFile: File{"x", pemOf(w.intermediate.cert)}}, `its issuer "CN=root" is not among them`},
		{"leaf for an authority", Default{RootFile: File{"x", pemOf(w.root.leaf(t))}}, "is not an authority's"},
		{"root for a time-stamp authority", Default{TimestampChain: File{"x", pemOf(w.tsaRoot.cert)}}, "the certificate that signs time stamps is missing"},
		{"mirror without a first root", Default{Mirror: "https://tuf.example"}, "set TUF_ROOT_JSON, or run assay trust init"},
		{"mirror without a first root, with a cache", Default{Mirror: "https://tuf.example", Folder: t.TempDir()}, "set TUF_ROOT_JSON"},
		{"mirror that is no URL", Default{Mirror: "tuf.example"}, "is no http or https URL"},
		{"mirror that is no web server", Default{Mirror: "ftp://tuf.example"}, "TUF_MIRROR: TUF repository \"ftp://tuf.example\" is no http or https URL; write"},
		{"mirror without a cache reads no folder by chance", Default{Mirror: "https://tuf.example"}, "is not given, and there is no cache"},
		{"junk first root", Default{Mirror: "https://tuf.example", FirstRoot: File{"x", []byte("{}")}}, "x: is no root.json of a TUF repository ("},
		{"key for a first root", Default{Mirror: "https://tuf.example", FirstRoot: File{"x", publicPEM(t, w.rekor)}}, "x: is no root.json of a TUF repository ("},
		{"empty first root", Default{Mirror: "https://tuf.example", FirstRoot: File{Name: "x"}}, "x: is no root.json of a TUF repository (it is empty); give the one"},
		{"junk remote.json", Default{Folder: folder(map[string]string{"remote.json": "{"})}, "remote.json: "},
		{"remote.json without a mirror", Default{Folder: folder(map[string]string{"remote.json": "{}"})}, "remote.json: names no mirror; assay trust init writes it anew"},
		{"remote.json with another URL", Default{Folder: folder(map[string]string{"remote.json": `{"mirror":"ftp://x"}`})}, "remote.json: TUF repository \"ftp://x\" is no http"},
		{"remote.json beside a junk root", Default{Folder: folder(map[string]string{
			"remote.json": `{"mirror":"https://tuf.example"}`, "tuf.example/root.json": "junk",
		})}, filepath.Join("tuf.example", "root.json") + ": "},
		{"remote.json alone", Default{Folder: folder(map[string]string{"remote.json": `{"mirror":"https://tuf.example"}`})}, "assay trust init"},
		{"older cache without targets", Default{Folder: folder(map[string]string{"tuf.db/LOG": ""})}, "targets"},
		{"older cache with junk", Default{Folder: folder(map[string]string{"tuf.db/LOG": "", "targets/rekor.pub": "junk"})}, "assay trust init writes it anew"},
		{"older cache with nothing of use", Default{Folder: folder(map[string]string{"tuf.db/LOG": "", "targets/artifact.pub": "x"})}, "is empty"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			k, err := New(Config{Default: row.given, Now: func() time.Time { return now }})
			if err == nil {
				_, err = k.Default(0)
			}
			wants(t, err, row.want)
			if err != nil && strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("the error repeats a secret: %v", err)
			}
		})
	}
}

// Who gives parts of his own does not make anybody ask the public instance, and is not stopped by its age.
func TestGivenPartsAreEnough(t *testing.T) {
	w := newWorld(t)
	files := w.given(t)
	k, clock := keeperAt(t, now, dead(t), func(c *Config) { c.Default = Default{RootFile: files.RootFile, RekorKeys: files.RekorKeys} })
	source, err := k.Default(0)
	if err != nil {
		t.Fatal(err)
	}
	refresh(t, k)
	later := now.Add(1000 * day)
	clock.set(later)
	if got := summary(rootOf(t, source, later)); len(got["ct"]) > 0 || len(got["fulcio"]) != 1 || len(got["rekor"]) != 1 {
		t.Errorf("got %v", got)
	}
	if s := source.Status(later); s.Err != nil || !strings.Contains(s.Warning, "only what was given is used") {
		t.Errorf("got status %+v", s)
	}
	k, _ = keeperAt(t, later, dead(t), func(c *Config) { c.Default = Default{RekorKeys: files.RekorKeys} })
	if source, err = k.Default(0); err != nil {
		t.Fatal(err)
	}
	_, err = source.Root(later)
	wants(t, err, "last proved to be current")
}

// A start without a network neither blocks nor panics: nothing is dialled until somebody refreshes.
func TestAirGap(t *testing.T) {
	hanging := roundTripper(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	began := time.Now()
	k, _ := keeperAt(t, now, func(c *Config) { c.Transport, c.Cache = hanging, t.TempDir() })
	source, err := k.Default(0)
	if err != nil {
		t.Fatal(err)
	}
	public := rootOf(t, k.PublicGood(0), now)
	rootOf(t, source, now)
	if err := k.Prepare(context.Background()); err != nil {
		t.Errorf("the copy in the program is not enough: %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if s := source.Status(now); s.Kind != KindEmbedded || !s.Stale || !strings.Contains(s.Warning, "112 days ago") {
		t.Errorf("got status %+v", s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	wants(t, k.Refresh(ctx), "deadline exceeded")
	if rootOf(t, source, now).Version != public.Version {
		t.Error("an attempt that failed took the material away")
	}
	if _, err := source.Root(now.Add(400 * day)); err == nil {
		t.Error("the copy in the program is used for ever")
	}
}

// A cache of the public instance that was tampered with does not take the copy in the program away.
func TestPublicGoodTampered(t *testing.T) {
	cache := t.TempDir()
	write(t, filepath.Join(cache, folderName(PublicGoodMirror), "timestamp.json"), []byte("junk"))
	k, _ := keeperAt(t, now, cachedIn(cache))
	source := k.PublicGood(0)
	if got := summary(rootOf(t, source, now)); !cmp.Equal(got, summaryOf(t, embeddedJSON)) {
		t.Errorf("got %v", got)
	}
	at, _ := time.Parse(time.RFC3339, embeddedAsOf)
	if s := source.Status(at); !strings.Contains(s.Warning, "the copy on disk is not used") {
		t.Errorf("got status %+v", s)
	}
}

// The copy in the program is the file that embedded/README.md tells of, byte for byte.
func TestPublicGoodIsWhatWasPublished(t *testing.T) {
	const want = "6494e21ea73fa7ee769f85f57d5a3e6a08725eae1e38c755fc3517c9e6bc0b66"
	if got := fmt.Sprintf("%x", sha256.Sum256(embeddedJSON)); got != want {
		t.Errorf("got SHA-256 %s, want %s", got, want)
	}
}

func TestPublicGoodMembers(t *testing.T) {
	k, _ := keeperAt(t, now)
	r := rootOf(t, k.PublicGood(0), now)
	got := summary(r)
	if len(got["fulcio"]) < 2 || len(got["rekor"]) < 1 || len(got["ct"]) < 2 {
		t.Errorf("got %v", got)
	}
	pinned := 0
	for _, a := range r.FulcioCertificateAuthorities() {
		if a.(*CertificateAuthority).pinned {
			pinned++
		}
	}
	if pinned == 0 {
		t.Error("no intermediate of the public instance is verified ahead")
	}
	var m struct{ Tlogs []any }
	if err := json.Unmarshal(r.JSON, &m); err != nil || len(m.Tlogs) != len(got["rekor"]) {
		t.Errorf("JSON: %v", err)
	}
}

func TestParts(t *testing.T) {
	w := newWorld(t)
	second := newCA(t, w.root, named("second intermediate"))
	deep := newCA(t, second, named("deep intermediate"))
	lone := newCA(t, nil, named("lone root"))
	source, err := FromParts("parts", Parts{Fulcio: pemOf(w.root.cert, deep.cert, w.intermediate.cert, second.cert, lone.cert, lone.cert)})
	if err != nil {
		t.Fatal(err)
	}
	r := rootOf(t, source, now)
	for name, leaf := range map[string]*x509.Certificate{
		"one intermediate": w.intermediate.leaf(t), "another": second.leaf(t), "two intermediates": deep.leaf(t), "none": lone.leaf(t),
		"root that has intermediates": w.root.leaf(t),
	} {
		found := false
		for _, a := range r.FulcioCertificateAuthorities() {
			if _, err := a.Verify(leaf, now); err == nil {
				found = true
			}
		}
		if !found {
			t.Errorf("%s: no authority stands behind the leaf", name)
		}
	}
	_, err = FromParts("parts", Parts{})
	wants(t, err, "is empty")
	_, err = FromParts("parts", Parts{RekorKeys: bytes.Repeat(publicPEM(t, w.rekor), 2)})
	wants(t, err, "the same key ID")
	_, err = FromParts("parts", Parts{RekorKeys: bytes.Repeat(publicPEM(t, w.rekor), maxMembers+1)})
	wants(t, err, "more than 100 PEM blocks")
	_, err = FromParts("parts", Parts{TimestampCertificates: [][]byte{pemOf(w.tsaLeaf, w.tsaRoot.cert, w.root.cert)}})
	wants(t, err, "do not belong to the chain")
	for _, key := range []struct {
		name string
		pem  []byte
	}{{"RSA", publicPEM(t, rsaKey(t, 2048))}, {"Ed25519", publicPEM(t, edKey(t))}} {
		if _, err := FromParts("parts", Parts{CTLogKeys: key.pem}); err != nil {
			t.Errorf("%s: %v", key.name, err)
		}
	}
}

func TestGiven(t *testing.T) {
	w := newWorld(t)
	content := w.json(t)
	var loose bytes.Buffer
	if err := json.Indent(&loose, content, "", "  "); err != nil {
		t.Fatal(err)
	}
	one, err := Given("one", content)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Given("two", loose.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if a, b := rootOf(t, one, time.Time{}), rootOf(t, two, now); a.Version != b.Version || !a.AsOf.IsZero() {
		t.Errorf("versions %q and %q of equal content", a.Version, b.Version)
	}
	if s := one.Status(now.Add(10000 * day)); s.Stale || s.Err != nil || s.Warning != "" || s.Kind != KindGiven {
		t.Errorf("given material ages: %+v", s)
	}
}

// A cache that may not be read is not mended by writing it anew.
func TestMendCache(t *testing.T) {
	for err, want := range map[error]string{
		&fs.PathError{Op: "open", Path: "remote.json", Err: syscall.EACCES}: "let this user read it",
		errors.New("names no mirror"):                                       "assay trust init",
	} {
		if got := mendCache(err); !strings.Contains(got, want) {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}
