package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

func mustParse(t *testing.T, s string) image.Ref {
	t.Helper()
	ref, err := image.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// asks are the ways to ask for something that exists; each test of a fault goes through all of them.
func asks(t *testing.T, s *registrytest.Server, c *registry.Client) map[string]func() error {
	t.Helper()
	digest := s.PushImage(repo, "1.0", "", "seed")
	content := []byte("evidence")
	blob := trust.Descriptor{Digest: s.PutBlob(repo, content), Size: int64(len(content))}
	ref := tagged(t, s, "1.0")
	ctx := t.Context()
	return map[string]func() error{
		"Resolve":            func() error { _, err := c.Resolve(ctx, ref); return err },
		"Manifest by tag":    func() error { _, err := c.Manifest(ctx, ref); return err },
		"Manifest by digest": func() error { _, err := c.Manifest(ctx, ref.At(digest)); return err },
		"Blob":               func() error { _, err := c.Blob(ctx, ref, blob, 100); return err },
		"Referrers":          func() error { _, err := c.Referrers(ctx, ref.At(digest)); return err },
	}
}

func TestT13_BytesAreWhatTheyAreCalled(t *testing.T) {
	other := digestOf("other").String()
	tests := []struct {
		name  string
		fault registrytest.Fault
		fails []string // the ways to ask that fail; the others ask for nothing that could be wrong
	}{
		{"wrong bytes", registrytest.WrongBytes(), []string{"Manifest by digest", "Blob"}},
		{"wrong bytes under a header that says so", registrytest.Fault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			registrytest.WrongBytes()(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				registrytest.FalseDigestHeader(other)(w, r, next)
			}))
		}), []string{"Manifest by tag", "Manifest by digest", "Blob"}},
		{"false header", registrytest.FalseDigestHeader(other), []string{"Manifest by tag", "Manifest by digest"}},
		{"header of wrong length", registrytest.FalseDigestHeader("sha256:00"), []string{"Manifest by tag", "Manifest by digest"}},
		{"header of an unknown algorithm", registrytest.FalseDigestHeader("md5:00"), []string{"Manifest by tag", "Manifest by digest"}},
		{"other content", registrytest.Body([]byte(`{"mediaType":"` + registrytest.MediaTypeManifest + `"}`)), []string{"Manifest by digest", "Blob"}},
	}
	for _, tt := range tests {
		s := registrytest.New(t, registrytest.Options{})
		ways := asks(t, s, newClient(t, registry.Config{}))
		s.SetFault(nil, tt.fault)
		for _, way := range tt.fails {
			t.Run(tt.name+"/"+way, func(t *testing.T) { wantCannotTell(t, ways[way](), "") })
		}
	}
}

// TestT13_HeaderDigestIsNotTrusted shows that a digest is that of the bytes, whatever a header says or leaves out.
func TestT13_HeaderDigestIsNotTrusted(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{})
	digest := s.PushImage(repo, "1.0", "", "seed")
	c := newClient(t, registry.Config{})
	s.SetFault(nil, registrytest.FalseDigestHeader(""))
	m, err := c.Manifest(t.Context(), tagged(t, s, "1.0"))
	if err != nil || m.Digest != digest {
		t.Errorf("got %v, %v; want %s", m.Digest, err, digest)
	}
	s.ClearFaults()
	s.SetFault(nil, registrytest.FalseDigestHeader(digestOf("other").String()))
	_, err = c.Resolve(t.Context(), tagged(t, s, "1.0").At(digest))
	wantCannotTell(t, err, "the registry answers for")
}

func TestT31_AmbiguousManifestsAreRefused(t *testing.T) {
	const manifest, index = registrytest.MediaTypeManifest, registrytest.MediaTypeIndex
	tests := []struct{ name, mediaType, content, want string }{
		{"both manifests and layers", manifest, `{"manifests":[],"layers":[]}`, "an index and an image at once"},
		{"both manifests and config", index, `{"manifests":[],"config":{}}`, "an index and an image at once"},
		{"media types that disagree", manifest, `{"mediaType":"` + index + `","manifests":[]}`, "calls itself"},
		{"an index called manifest", manifest, `{"manifests":[]}`, "does not fit its media type"},
		{"a manifest called index", index, `{"layers":[]}`, "does not fit its media type"},
		{"a member twice", manifest, `{"layers":[],"layers":[{}]}`, `the member "layers" twice`},
		{"a member twice, further down", manifest, `{"layers":[{"digest":"a","digest":"b"}]}`, `the member "digest" twice`},
		{"a member in another case", manifest, `{"layers":[],"Layers":[{}]}`, `takes for "layers"`},
		{"a member in another alphabet", manifest, `{"layer\u017f":[{}]}`, `take for "layers"`},
		{"a second document", manifest, `{"layers":[]}{"manifests":[]}`, "no JSON object"},
		{"no object", manifest, `[]`, "no JSON object"},
		{"nothing", manifest, ``, "no JSON object"},
		{"half of one", manifest, `{"layers":[`, "malformed JSON"},
		{"a media type that is no text", manifest, `{"mediaType":1}`, "no text"},
		{"too deep", manifest, `{"annotations":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "nested more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := registrytest.New(t, registrytest.Options{})
			s.PushImage(repo, "1.0", "", "seed")
			s.SetFault(nil, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.Header().Set("Content-Type", tt.mediaType)
				fmt.Fprint(w, tt.content)
			})
			c := newClient(t, registry.Config{})
			_, err := c.Manifest(t.Context(), tagged(t, s, "1.0"))
			want := strings.Replace(tt.want, "takes", "take", 1)
			wantCannotTell(t, err, want)
		})
	}
}

func TestT43_EndlessAnswers(t *testing.T) {
	tests := []struct {
		name  string
		fault registrytest.Fault
		want  string
	}{
		{"no end", registrytest.Endless(), "the answer has more than the "},
		{"a length that nobody reads", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", registrytest.MediaTypeManifest)
			w.Header().Set("Content-Length", fmt.Sprint(int64(1)<<40))
			w.WriteHeader(http.StatusOK)
		}, "the answer has 1099511627776 bytes, at most "},
		{"endless error", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.WriteHeader(http.StatusInternalServerError)
			registrytest.Endless()(w, r, next)
		}, "500 Internal Server Error"},
		{"endless header", registrytest.Header("X-Long", strings.Repeat("x", 256<<10)), "response headers exceeded"},
	}
	for _, tt := range tests {
		s := registrytest.New(t, registrytest.Options{})
		for way, ask := range asks(t, s, newClient(t, registry.Config{RequestTimeout: time.Second})) {
			if way == "Resolve" && tt.name != "endless header" {
				continue // HEAD has no body
			}
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				s.ClearFaults()
				s.SetFault(nil, tt.fault)
				start := time.Now()
				wantCannotTell(t, ask(), tt.want)
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("took %s", took)
				}
			})
		}
	}
}

// TestT43_OneOverTheLimit shows that a manifest of the limit is read and one byte more is not.
func TestT43_OneOverTheLimit(t *testing.T) {
	for _, extra := range []int{0, 1} {
		s := registrytest.New(t, registrytest.Options{})
		content := `{"mediaType":"` + registrytest.MediaTypeManifest + `"}`
		content += strings.Repeat(" ", trust.MaxManifest+extra-len(content))
		digest := s.PutManifest(repo, "big", registrytest.MediaTypeManifest, []byte(content))
		m, err := newClient(t, registry.Config{}).Manifest(t.Context(), tagged(t, s, "big"))
		if extra == 0 && (err != nil || m.Digest != digest) {
			t.Errorf("a manifest of the limit: %v", err)
		}
		if extra > 0 {
			wantCannotTell(t, err, "at most 4194304 are read")
		}
	}
	s := registrytest.New(t, registrytest.Options{})
	c := newClient(t, registry.Config{})
	d := trust.Descriptor{Digest: s.PutBlob(repo, []byte("evidence")), Size: 8}
	_, err := c.Blob(t.Context(), tagged(t, s, "1.0"), d, 7)
	wantCannotTell(t, err, "at most 7 are read")
	wantLines(t, s) // the manifest's word is enough to not even ask
	d.Size = 7
	_, err = c.Blob(t.Context(), tagged(t, s, "1.0"), d, 100)
	wantCannotTell(t, err, "at most 7 are read")
	d.Size = 9
	_, err = c.Blob(t.Context(), tagged(t, s, "1.0"), d, 100)
	wantCannotTell(t, err, "has 8 bytes, its manifest says 9")
}

// TestT45_JunkReferrers has 10 000 referrers that prove nothing and one that might.
func TestT45_JunkReferrers(t *testing.T) {
	const junk = 10_000
	good := digestOf("good")
	index := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"schemaVersion":2,"mediaType":"` + registrytest.MediaTypeIndex + `","manifests":[{"digest":"sha256:nonsense"}`)
		for i := range n {
			fmt.Fprintf(&b, `,{"mediaType":%q,"digest":%q,"size":1}`, registrytest.MediaTypeManifest, digestOf(fmt.Sprint(i)))
		}
		fmt.Fprintf(&b, `,{"mediaType":%q,"digest":%q,"size":1}]}`, registrytest.MediaTypeManifest, good)
		return b.String()
	}
	s := registrytest.New(t, registrytest.Options{})
	c := newClient(t, registry.Config{})
	subject := tagged(t, s, "1.0").At(digestOf("subject"))
	answer := func(n int) {
		s.ClearFaults()
		header := http.Header{"Content-Type": {registrytest.MediaTypeIndex}}
		s.SetFault(nil, registrytest.Status(http.StatusOK, header, index(n)))
	}
	answer(junk)
	for range 3 {
		start := time.Now()
		list, err := c.Referrers(t.Context(), subject)
		if err != nil || len(list) != junk+1 || list[0].Digest != digestOf("0") || list[junk].Digest != good {
			t.Fatalf("%d referrers, %v; want %d in the order as served", len(list), err, junk+1)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
	}
	answer(registry.MaxReferrers)
	list, err := c.Referrers(t.Context(), subject)
	if !errors.Is(err, registry.ErrTooManyReferrers) || len(list) != registry.MaxReferrers {
		t.Errorf("%d referrers, %v; want %d and an error", len(list), err, registry.MaxReferrers)
	}
	wantCannotTell(t, err, "too many referrers")
}

func TestT45_PagesEnd(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{ReferrerPage: 2})
	subject := s.PushImage(repo, "1.0", "", "seed")
	for i := range 5 {
		content := fmt.Sprintf(`{"schemaVersion":2,"subject":{"mediaType":%q,"digest":%q,"size":1},"config":{"mediaType":"a/b","digest":%q,"size":1},"layers":[],"annotations":{"n":"%d"}}`,
			registrytest.MediaTypeManifest, subject, digestOf("c"), i)
		s.PutManifest(repo, image.SHA256([]byte(content)).String(), registrytest.MediaTypeManifest, []byte(content))
	}
	c := newClient(t, registry.Config{})
	list, err := c.Referrers(t.Context(), tagged(t, s, "1.0").At(subject))
	if err != nil || len(list) != 5 || len(lines(s)) != 3 {
		t.Errorf("%d referrers, %v; want 5 by 3 requests", len(list), err)
	}
	path := "/v2/prod/api/referrers/" + subject.String()
	tests := []struct{ name, link, want string }{
		{"the same page again", "<" + path + `?from=2>; rel="next"`, "leads to the same page"},
		{"another host", "<http://127.0.0.1:1" + path + `?from=9>; rel="next"`, "leads elsewhere"},
		{"another repository", `</v2/other/referrers/` + subject.String() + `?from=9>; rel="next"`, "leads elsewhere"},
		{"another digest", `<` + digestOf("x").String() + `?from=9>; rel="next"`, "leads elsewhere"},
		{"always one more", "", "too many referrers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			s.ClearFaults()
			s.SetFault(nil, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				n++
				link := tt.link
				if link == "" {
					link = fmt.Sprintf(`<%s?from=1&n=%d>; rel="next"`, path, n)
				}
				registrytest.Header("Link", link)(w, r, next)
			})
			_, err := c.Referrers(t.Context(), tagged(t, s, "1.0").At(subject))
			wantCannotTell(t, err, tt.want)
		})
	}
}

func TestT46_OutagesAreNoAnswer(t *testing.T) {
	status := func(code int) registrytest.Fault { return registrytest.Status(code, nil, "") }
	unknown := `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`
	tests := []struct {
		name  string
		fault registrytest.Fault
	}{
		{"429", status(429)},
		{"429 that talks like 404", registrytest.Status(429, nil, unknown)},
		{"500", status(500)},
		{"500 that talks like 404", registrytest.Status(500, nil, unknown)},
		{"502", status(502)},
		{"503", status(503)},
		{"504", status(504)},
		{"401", status(401)},
		{"403 that talks like 404", registrytest.Status(403, nil, unknown)},
		{"404 that refuses", registrytest.Status(404, nil, `{"errors":[{"code":"DENIED"}]}`)},
		{"204", status(204)},
		{"206", status(206)},
		{"cut connection", registrytest.CutConnection()},
		{"cut body", registrytest.CutBody()},
		{"hanging", registrytest.Hang()},
	}
	for _, tt := range tests {
		s := registrytest.New(t, registrytest.Options{})
		ways := asks(t, s, newClient(t, registry.Config{RequestTimeout: 200 * time.Millisecond}))
		for way, ask := range ways {
			if way == "Resolve" && (tt.name == "cut body" || strings.HasPrefix(tt.name, "404")) {
				continue // HEAD has no body
			}
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				s.ClearFaults()
				s.ResetRequests()
				s.SetFault(nil, tt.fault)
				err := ask()
				wantCannotTell(t, err, "")
				for _, line := range lines(s) {
					if way == "Referrers" && !strings.Contains(line, "/referrers/") {
						t.Errorf("asked %s after an outage of the referrers API", line)
					}
				}
				s.ClearFaults()
				if err := ask(); err != nil {
					t.Errorf("after the outage: %v", err)
				}
			})
		}
	}
}

func TestT46_FallbackTag(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{NoReferrers: true})
	subject := s.PushImage(repo, "1.0", "", "seed")
	child := s.PushImage(repo, "", "", "signature")
	c := newClient(t, registry.Config{})
	ref := tagged(t, s, "1.0").At(subject)
	tag := "/v2/prod/api/manifests/sha256-" + subject.Hex()
	list, err := c.Referrers(t.Context(), ref)
	if err != nil || len(list) != 0 {
		t.Errorf("got %v, %v; want none", list, err)
	}
	wantLines(t, s, "GET /v2/prod/api/referrers/"+subject.String(), "GET "+tag)
	content := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":1,"artifactType":"a/b","annotations":{"k":"v"}}]}`,
		registrytest.MediaTypeIndex, registrytest.MediaTypeManifest, child)
	s.PutManifest(repo, "sha256-"+subject.Hex(), registrytest.MediaTypeIndex, []byte(content))
	list, err = c.Referrers(t.Context(), ref)
	if err != nil || len(list) != 1 || list[0].Digest != child || list[0].ArtifactType != "a/b" || list[0].Annotations["k"] != "v" {
		t.Errorf("got %v, %v; want %s", list, err, child)
	}
	wantLines(t, s, "GET "+tag)
	s.SetFault(registrytest.OnManifests, registrytest.Status(http.StatusServiceUnavailable, nil, ""))
	_, err = c.Referrers(t.Context(), ref)
	wantCannotTell(t, err, "503 Service Unavailable")
	s.ClearFaults()
	s.Tag(repo, "sha256-"+subject.Hex(), child)
	_, err = c.Referrers(t.Context(), ref)
	wantCannotTell(t, err, "not the index of the referrers")
	s.Tag(repo, "sha256-"+subject.Hex(), subject)
	if list, err = c.Referrers(t.Context(), ref); err != nil || len(list) != 0 {
		t.Errorf("an image under the tag of its own referrers: got %v, %v; want none", list, err)
	}
	index, _ := s.PushIndex(repo, "2.0", map[string]string{"linux/amd64": "a"})
	s.Tag(repo, "sha256-"+index.Hex(), index)
	if list, err = c.Referrers(t.Context(), tagged(t, s, "2.0").At(index)); err != nil || len(list) != 0 {
		t.Errorf("an index under the tag of its own referrers: got %v, %v; want none", list, err)
	}
}

// TestT46_UnknownNameDoesNotHideTheAPI shows that a repository that does not exist yet says nothing about its registry.
func TestT46_UnknownNameDoesNotHideTheAPI(t *testing.T) {
	s := registrytest.New(t, registrytest.Options{})
	c := newClient(t, registry.Config{})
	ref := tagged(t, s, "1.0").At(digestOf("subject"))
	if list, err := c.Referrers(t.Context(), ref); err != nil || len(list) != 0 {
		t.Errorf("got %v, %v; want none", list, err)
	}
	s.PushImage(repo, "1.0", "", "seed")
	s.ResetRequests()
	if list, err := c.Referrers(t.Context(), ref); err != nil || len(list) != 0 {
		t.Errorf("got %v, %v; want none", list, err)
	}
	wantLines(t, s, "GET /v2/prod/api/referrers/"+ref.Digest().String())
}

func TestT47_MalformedAnswersLeaveNothingBehind(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	s := registrytest.New(t, registrytest.Options{})
	c := newClient(t, registry.Config{RequestTimeout: 200 * time.Millisecond})
	ways := asks(t, s, c)
	faults := map[string]registrytest.Fault{
		"endless":      registrytest.Endless(),
		"hanging":      registrytest.Hang(),
		"cut":          registrytest.CutConnection(),
		"cut body":     registrytest.CutBody(),
		"empty":        registrytest.Status(200, nil, ""),
		"null":         registrytest.Status(200, http.Header{"Content-Type": {registrytest.MediaTypeIndex}}, "null"),
		"wrong types":  registrytest.Status(200, http.Header{"Content-Type": {registrytest.MediaTypeIndex}}, `{"manifests":{"a":1}}`),
		"bad errors":   registrytest.Status(500, nil, `{"errors":{"code":1}}`),
		"bad location": registrytest.Status(307, http.Header{"Location": {"http://[::1"}}, ""),
		"no location":  registrytest.Status(307, nil, ""),
		"not HTTP": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprint(conn, "\x00\x01nonsense\r\n\r\n")
				_ = conn.Close()
			}
		},
	}
	for name, fault := range faults {
		s.ClearFaults()
		s.SetFault(nil, fault)
		for way, ask := range ways {
			err := ask()
			allowed := way == "Resolve" && (name == "endless" || name == "cut body" || name == "empty" || name == "null" || name == "wrong types")
			allowed = allowed || way == "Manifest by tag" && name == "wrong types" // what is in it is for formats to read
			if err == nil && !allowed || errors.Is(err, trust.ErrNotFound) {
				t.Errorf("%s/%s: %v, want cannot tell", name, way, err)
			}
		}
	}
}

// TestT46_RegistriesThatDoNotKnowTheAPI shows that "I do not understand" leads to the fallback tag, and nothing else does.
func TestT46_RegistriesThatDoNotKnowTheAPI(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 405, 406, 415, 429, 500, 501, 502, 503} {
		s := registrytest.New(t, registrytest.Options{})
		subject := s.PushImage(repo, "1.0", "", "seed")
		s.SetFault(func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/referrers/") }, registrytest.Status(status, nil, ""))
		list, err := newClient(t, registry.Config{Retries: -1}).Referrers(t.Context(), tagged(t, s, "1.0").At(subject))
		known := slices.Contains([]int{400, 404, 405, 406, 415, 501}, status)
		if known != (err == nil) || len(list) != 0 {
			t.Errorf("%d: got %v, %v", status, list, err)
		}
	}
}
