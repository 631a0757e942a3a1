package notation

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// T43, T46: found in a real registry by three requests; whatever goes wrong on the wire, nobody can tell, and nothing is called unsigned.
func TestT46_RegistryFaults(t *testing.T) {
	server := registrytest.New(t, registrytest.Options{})
	client, err := registry.New(registry.Config{LoopbackHTTP: true, Retries: -1, RequestTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	ref := image.MustParse(server.Host() + "/team/app:1").Pinned(server.PushImage("team/app", "1", "", "app"))
	root := issue(t, nil)
	a := newAuthority(t, options(root))
	find := func() ([]trust.Proof, error) {
		ev, err := a.Find(t.Context(), client, ref)
		if err != nil {
			return nil, err
		}
		return a.Check(ref, ev, now)
	}
	proofs, err := find()
	wantNo(t, proofs, err, "no Notary Project signature refers to the image")

	envelope := sign(t, request{by: issue(t, root), digest: ref.Digest()})
	blob, config := server.PutBlob("team/app", envelope), server.PutBlob("team/app", []byte("{}"))
	doc, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "config": map[string]any{"mediaType": typeSignature, "digest": config.String(), "size": 2},
		"layers":  []any{map[string]any{"mediaType": typeJWS, "digest": blob.String(), "size": len(envelope)}},
		"subject": map[string]any{"mediaType": typeManifest, "digest": ref.Digest().String(), "size": 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.PutManifest("team/app", image.SHA256(doc).String(), typeManifest, doc)
	server.ResetRequests()
	proofs, err = find()
	wantProved(t, proofs, err)
	if got := server.Requests(); len(got) != 3 {
		t.Errorf("requests %v, want three", got)
	}
	onSignature := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, image.SHA256(doc).String()) }
	for step, match := range map[string]func(*http.Request) bool{"referrers": registrytest.OnReferrers, "manifest": onSignature, "envelope": registrytest.OnBlobs} {
		for name, fault := range map[string]registrytest.Fault{
			"429":            registrytest.Status(http.StatusTooManyRequests, nil, ""),
			"503":            registrytest.Status(http.StatusServiceUnavailable, nil, ""),
			"401":            registrytest.Status(http.StatusUnauthorized, nil, ""),
			"cut connection": registrytest.CutConnection(),
			"cut body":       registrytest.CutBody(),
			"endless":        registrytest.Endless(),
			"hangs":          registrytest.Hang(),
			"other bytes":    registrytest.WrongBytes(),
		} {
			if step == "referrers" && name == "other bytes" {
				continue // what the list says is not believed
			}
			t.Run(step+" "+name, func(t *testing.T) {
				server.ClearFaults()
				server.SetFault(match, fault)
				proofs, err := find()
				if len(proofs) > 0 || err == nil {
					t.Fatalf("%d proofs, error %v", len(proofs), err)
				}
				malformed := step == "envelope" && name == "endless" // longer than its descriptor says, which whoever pushed it can make
				if trust.IsNo(err) && !malformed {
					t.Errorf("error = %v, want cannot tell", err)
				}
			})
		}
	}
	server.ClearFaults()
	proofs, err = find()
	wantProved(t, proofs, err)
}

// T43: one over each limit.
func TestT43_OneOverTheLimit(t *testing.T) {
	root := issue(t, nil)
	leaf := issue(t, root)
	good := sign(t, request{by: leaf, digest: app.Digest()})
	a := newAuthority(t, options(root))
	find := func(src *trusttest.Source) (trust.Evidence, []trust.Proof, error) {
		ev, err := a.Find(t.Context(), src, app)
		if err != nil {
			t.Fatal(err)
		}
		proofs, err := a.Check(app, ev, now)
		return ev, proofs, err
	}
	// Spaces around an envelope mean nothing, and count.
	for size, want := range map[int]bool{maxEnvelope: true, maxEnvelope + 1: false} {
		src := new(trusttest.Source)
		publish(t, src, app, typeJWS, append(good, []byte(strings.Repeat(" ", size-len(good)))...))
		_, proofs, err := find(src)
		if want {
			wantProved(t, proofs, err)
		} else {
			wantNo(t, proofs, err, "at most 1048576 are looked at")
		}
	}
	proofs, err := decide(t, options(root, func(o *Options) { o.TrustStores.TSA = o.TrustStores.CA }), now, jws(withToken(t, good, maxToken+1)))
	wantNo(t, proofs, err, "at most 65536 are looked at")

	src := new(trusttest.Source)
	for i := range trust.MaxSignatures + 3 {
		publish(t, src, app, typeJWS, []byte(fmt.Sprint(i)))
	}
	ev, proofs, err := find(src)
	wantNo(t, proofs, err, "3 more were not looked at")
	if len(ev.Items) != trust.MaxSignatures || ev.Left != 3 {
		t.Errorf("%d items, %d left", len(ev.Items), ev.Left)
	}

	src = new(trusttest.Source)
	for i := range maxFetched/maxEnvelope + 2 {
		publish(t, src, app, typeJWS, append(make([]byte, maxEnvelope-1), byte(i)))
	}
	if ev, _, _ := find(src); len(ev.Items) != maxFetched/maxEnvelope || ev.Left != 2 {
		t.Errorf("%d items, %d left", len(ev.Items), ev.Left)
	}

	src = new(trusttest.Source)
	doc := map[string]any{"x": strings.Repeat("x", maxManifest), "config": map[string]any{"mediaType": typeSignature}, "subject": map[string]any{"digest": app.Digest().String()}}
	publishManifest(t, src, app, doc)
	_, proofs, err = find(src)
	wantNo(t, proofs, err, "manifest of")
}

func withToken(t *testing.T, envelope []byte, length int) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(envelope, &doc); err != nil {
		t.Fatal(err)
	}
	doc["header"].(map[string]any)["io.cncf.notary.timestampSignature"] = make([]byte, length)
	made, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// T43: a certificate that names many servers, and an image with many signers, ask a bounded number of questions.
func TestT43_Questions(t *testing.T) {
	root, r := issue(t, nil), newResponder(t)
	leaf := issue(t, root, withOCSP(r), withOCSP(r), withOCSP(r), withOCSP(r), withOCSP(r), withOCSP(r))
	proofs, err := decide(t, options(root), now, jws(sign(t, request{by: leaf, digest: app.Digest()})))
	wantUnclear(t, proofs, err, "503")
	if got := r.asked(); got != maxServers {
		t.Errorf("asked %d servers, want %d", got, maxServers)
	}
	s := &search{authority: newAuthority(t, options(root)).(*authority), ref: app, asked: map[string]bool{}, heard: map[string]bool{}}
	for range maxQuestions + 5 {
		s.questions(jws(sign(t, request{by: issue(t, root, withOCSP(r)), digest: app.Digest()})))
	}
	if len(s.asked) != maxQuestions {
		t.Errorf("%d questions, want %d", len(s.asked), maxQuestions)
	}
	same := jws(sign(t, request{by: leaf, digest: app.Digest()}))
	s.asked = map[string]bool{}
	if first, again := s.questions(same), s.questions(same); len(first) != 1 || len(again) != 0 {
		t.Errorf("%d questions, then %d; want one certificate asked about once", len(first), len(again))
	}
}

// T45: junk that says it is of a trusted signer, and newer, cannot be told from good ones; junk that does not, can.
func TestT45_TrustedSignersComeFirst(t *testing.T) {
	root := issue(t, nil)
	src, a := new(trusttest.Source), newAuthority(t, options(root))
	publish(t, src, app, typeJWS, sign(t, request{by: issue(t, root), digest: app.Digest()}), root.cert)
	for i := range 3 * trust.MaxSignatures {
		d := image.SHA256([]byte(fmt.Sprint(i)))
		src.PutReferrer(app, trust.Descriptor{MediaType: typeManifest, ArtifactType: typeSignature, Digest: d, Size: 100,
			Annotations: map[string]string{annotationCreated: now.AddDate(1, 0, 0).Format(time.RFC3339), annotationThumbprint: `["aa"]`}})
	}
	ev, err := a.Find(t.Context(), src, app)
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := a.Check(app, ev, now)
	wantProved(t, proofs, err)
}

// T43: one list serves all certificates of its issuer, and long lists do not add up without end.
func TestT43_ListsOfManySigners(t *testing.T) {
	root, r := issue(t, nil), newResponder(t)
	r.list = lists(t, root, nil)
	src, a := new(trusttest.Source), newAuthority(t, options(root))
	for range 5 {
		publish(t, src, app, typeJWS, sign(t, request{by: issue(t, root, withList(r)), digest: app.Digest()}))
	}
	ev, err := a.Find(t.Context(), src, app)
	if err != nil || len(ev.Items) != 6 {
		t.Fatalf("%d items, error %v; want five signatures and one list", len(ev.Items), err)
	}
	proofs, err := a.Check(app, ev, now)
	if wantProved(t, proofs, err); len(proofs) != 5 {
		t.Errorf("%d proofs, want 5", len(proofs))
	}
	s := &search{authority: a.(*authority), ref: app, asked: map[string]bool{}, heard: map[string]bool{}, bytes: maxAnswers}
	found := s.lookUp(t.Context(), []trust.Item{jws(sign(t, request{by: issue(t, root, withList(r)), digest: app.Digest()}))})
	if len(found) != 1 || found[0].MediaType != typeNoAnswer {
		t.Errorf("%+v, want an answer that is left out", found)
	}
}
