package notation

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// responder is a revocation server: OCSP under /ocsp, lists under /list. Its answers can be changed while it runs.
type responder struct {
	*httptest.Server
	mu       sync.Mutex
	ocsp     func(serial *big.Int) []byte
	list     func() []byte
	requests int
}

func newResponder(t testing.TB) *responder {
	t.Helper()
	r := new(responder)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests++
		var content []byte
		switch body, _ := io.ReadAll(q.Body); {
		case strings.HasPrefix(q.URL.Path, "/ocsp") && r.ocsp != nil:
			if q.Method == http.MethodGet { // as notation-go asks
				text, _ := url.PathUnescape(strings.TrimPrefix(q.URL.Path, "/ocsp/"))
				body, _ = base64.StdEncoding.DecodeString(text)
			}
			asked, err := ocsp.ParseRequest(body)
			if err != nil {
				t.Error(err)
				return
			}
			content = r.ocsp(asked.SerialNumber)
		case q.URL.Path == "/list" && r.list != nil:
			content = r.list()
		}
		if content == nil {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *responder) set(set func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set()
}

func (r *responder) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// says returns what answers an OCSP request by the certificate of a holder.
func says(t testing.TB, issuer, by *holder, edit func(*ocsp.Response)) func(*big.Int) []byte {
	return func(serial *big.Int) []byte {
		template := ocsp.Response{SerialNumber: serial, Status: ocsp.Good, ThisUpdate: signedAt, NextUpdate: time.Now().Add(time.Hour), IssuerHash: crypto.SHA1}
		if by != issuer {
			template.Certificate = by.cert
		}
		if edit != nil {
			edit(&template)
		}
		der, err := ocsp.CreateResponse(issuer.cert, by.cert, template, by.key)
		if err != nil {
			t.Error(err)
		}
		return der
	}
}

// lists returns what serves a revocation list of an issuer.
func lists(t testing.TB, issuer *holder, edit func(*x509.RevocationList), revoked ...*holder) func() []byte {
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: signedAt, NextUpdate: time.Now().Add(time.Hour)}
	for _, h := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: h.cert.SerialNumber, RevocationTime: signedAt})
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, issuer.cert, issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	return func() []byte { return der }
}

func withOCSP(r *responder) edit {
	return func(c *x509.Certificate) { c.OCSPServer = append(c.OCSPServer, r.URL+"/ocsp") }
}

func withList(r *responder) edit {
	return func(c *x509.Certificate) { c.CRLDistributionPoints = append(c.CRLDistributionPoints, r.URL+"/list") }
}

func pointOf(t testing.TB, p issuingPoint) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: oidIssuingPoint, Critical: true, Value: mustMarshal(t, p)}}
	}
}

// T21: what an OCSP server says, who may say it, and until when.
func TestT21_OCSP(t *testing.T) {
	root := issue(t, nil)
	mayAnswer := issue(t, root, func(c *x509.Certificate) {
		c.Subject, c.ExtKeyUsage = name("ocsp"), []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	})
	mayNot := issue(t, root, func(c *x509.Certificate) { c.Subject = name("other leaf") })
	expired := issue(t, root, func(c *x509.Certificate) {
		c.ExtKeyUsage, c.NotAfter = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, signedAt.Add(-time.Hour)
	})
	foreign := issue(t, nil)
	const proved, no, unclear = "proved", "no", "unclear"
	for name, c := range map[string]struct {
		by, issuer *holder
		edit       func(*ocsp.Response)
		want, why  string
	}{
		"good":                {root, root, nil, proved, ""},
		"good, by a delegate": {mayAnswer, root, nil, proved, ""},
		"revoked":             {root, root, func(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, signedAt }, no, "was revoked on"},
		"revoked, out of date": {root, root, func(r *ocsp.Response) {
			r.Status, r.RevokedAt, r.NextUpdate = ocsp.Revoked, signedAt, signedAt.Add(time.Minute)
		}, no, "was revoked on"},
		"revoked, by a delegate":    {mayAnswer, root, func(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, signedAt }, no, "was revoked on"},
		"unknown":                   {root, root, func(r *ocsp.Response) { r.Status = ocsp.Unknown }, unclear, "does not know the certificate"},
		"out of date":               {root, root, func(r *ocsp.Response) { r.NextUpdate = now }, unclear, "the answer held until"},
		"of tomorrow":               {root, root, func(r *ocsp.Response) { r.ThisUpdate = now.Add(time.Hour); r.NextUpdate = now.Add(2 * time.Hour) }, unclear, "the answer is of"},
		"without an end":            {root, root, func(r *ocsp.Response) { r.NextUpdate = time.Time{} }, unclear, "until when"},
		"of another serial":         {root, root, func(r *ocsp.Response) { r.SerialNumber = big.NewInt(7) }, unclear, "no response matching"},
		"by any leaf of the issuer": {mayNot, root, nil, unclear, "may not sign answers"},
		"by an expired delegate":    {expired, root, nil, unclear, "is valid from"},
		"by somebody else":          {foreign, foreign, nil, unclear, "bad OCSP signature"},
		"critical extension": {root, root, func(r *ocsp.Response) {
			r.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, unclear, "critical extension"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newResponder(t)
			leaf := issue(t, root, withOCSP(r))
			r.ocsp = says(t, c.issuer, c.by, c.edit)
			made := jws(sign(t, request{by: leaf, digest: app.Digest()}))
			proofs, err := decide(t, options(root), now, made)
			switch c.want {
			case proved:
				if p := wantProved(t, proofs, err); p.Expires.After(time.Now().Add(time.Hour + time.Second)) {
					t.Errorf("expires %s, want the end of the answer", p.Expires)
				}
			case no:
				wantNo(t, proofs, err, c.why)
			case unclear:
				wantUnclear(t, proofs, err, c.why)
			}
			proofs, err = decide(t, options(root, func(o *Options) { o.Revocation = "insecureLog" }), now, made)
			wantProved(t, proofs, err)
			before := r.asked()
			proofs, err = decide(t, options(root, func(o *Options) { o.Revocation = "insecureSkip" }), now, made)
			wantProved(t, proofs, err)
			if r.asked() != before {
				t.Error("insecureSkip asks")
			}
		})
	}
}

// T21: a revoked signer cannot speak for himself.
func TestT21_RevokedSignerSignsNoAnswer(t *testing.T) {
	root, r := issue(t, nil), newResponder(t)
	leaf := issue(t, root, withOCSP(r))
	r.ocsp = says(t, root, leaf, nil)
	proofs, err := decide(t, options(root), now, jws(sign(t, request{by: leaf, digest: app.Digest()})))
	wantUnclear(t, proofs, err, "may not sign answers")
}

// T21: lists, whose they are, and which certificates they are about.
func TestT21_Lists(t *testing.T) {
	root, foreign := issue(t, nil), issue(t, nil)
	twin := issue(t, nil) // another key under the same name
	const proved, no, unclear = "proved", "no", "unclear"
	var server string
	names := func(url string) distributionPoint {
		return distributionPoint{FullName: []asn1.RawValue{{Class: 2, Tag: 6, Bytes: []byte(url)}}}
	}
	for name, c := range map[string]struct {
		serve     func(leaf *holder) func() []byte
		want, why string
	}{
		"empty":       {func(*holder) func() []byte { return lists(t, root, nil) }, proved, ""},
		"with others": {func(*holder) func() []byte { return lists(t, root, nil, foreign) }, proved, ""},
		"revoked":     {func(leaf *holder) func() []byte { return lists(t, root, nil, foreign, leaf) }, no, "was revoked on"},
		"revoked, out of date": {func(leaf *holder) func() []byte {
			return lists(t, root, func(l *x509.RevocationList) { l.NextUpdate = signedAt.Add(time.Minute) }, leaf)
		}, no, "was revoked on"},
		"out of date": {func(*holder) func() []byte {
			return lists(t, root, func(l *x509.RevocationList) { l.NextUpdate = now })
		}, unclear, "held until"},
		"of tomorrow": {func(*holder) func() []byte {
			return lists(t, root, func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = now.Add(time.Hour), now.Add(2*time.Hour) })
		}, unclear, "is of"},
		"another key": {func(*holder) func() []byte { return lists(t, twin, nil) }, unclear, "list:"},
		"no list":     {func(*holder) func() []byte { return func() []byte { return []byte("x") } }, unclear, "list:"},
		"down":        {func(*holder) func() []byte { return func() []byte { return nil } }, unclear, "503"},
		"critical": {func(*holder) func() []byte {
			return lists(t, root, func(l *x509.RevocationList) {
				l.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
			})
		}, unclear, "critical extension"},
		"of authorities": {func(*holder) func() []byte { return lists(t, root, pointOf(t, issuingPoint{OnlyAuthorities: true})) }, unclear, "about other certificates"},
		"of users":       {func(*holder) func() []byte { return lists(t, root, pointOf(t, issuingPoint{OnlyUsers: true})) }, proved, ""},
		"indirect":       {func(*holder) func() []byte { return lists(t, root, pointOf(t, issuingPoint{Indirect: true})) }, unclear, "about other certificates"},
		"of the point":   {func(*holder) func() []byte { return lists(t, root, pointOf(t, issuingPoint{Point: names(server)})) }, proved, ""},
		"of another one": {func(*holder) func() []byte {
			return lists(t, root, pointOf(t, issuingPoint{Point: names("http://other.example/list")}))
		}, unclear, "another distribution point"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newResponder(t)
			server = r.URL + "/list"
			leaf := issue(t, root, withList(r))
			r.list = c.serve(leaf)
			proofs, err := decide(t, options(root), now, jws(sign(t, request{by: leaf, digest: app.Digest()})))
			switch c.want {
			case proved:
				wantProved(t, proofs, err)
			case no:
				wantNo(t, proofs, err, c.why)
			case unclear:
				wantUnclear(t, proofs, err, c.why)
			}
		})
	}
}

// T21: lists stand in for OCSP where that does not settle it, and never the other way round.
func TestT21_ListAfterOCSP(t *testing.T) {
	root, r := issue(t, nil), newResponder(t)
	leaf := issue(t, root, withOCSP(r), withList(r))
	made := jws(sign(t, request{by: leaf, digest: app.Digest()}))
	r.set(func() { r.list = lists(t, root, nil) })
	proofs, err := decide(t, options(root), now, made)
	wantProved(t, proofs, err)
	r.set(func() { r.list = lists(t, root, nil, leaf) })
	proofs, err = decide(t, options(root), now, made)
	wantNo(t, proofs, err, "was revoked on")
	r.set(func() { r.ocsp, r.list = says(t, root, root, nil), nil })
	proofs, err = decide(t, options(root), now, made)
	wantProved(t, proofs, err)
}

// T21, CVE-2024-56138: the chain of a time stamp is looked up too.
func TestT21_RevokedTimestampAuthority(t *testing.T) {
	root, tsa, r := issue(t, nil), issue(t, nil, caNamed("tsa root")), newResponder(t)
	by := newStamper(t, tsa, signedAt, withOCSP(r))
	made := jws(sign(t, request{by: issue(t, root), digest: app.Digest(), edit: stampedBy(by)}))
	r.set(func() { r.ocsp = says(t, tsa, tsa, nil) })
	proofs, err := decide(t, withTSA(root, tsa), now, made)
	wantProved(t, proofs, err)
	r.set(func() {
		r.ocsp = says(t, tsa, tsa, func(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, signedAt })
	})
	proofs, err = decide(t, withTSA(root, tsa), now, made)
	wantNo(t, proofs, err, "time stamp: certificate")
	r.set(func() { r.ocsp = nil })
	proofs, err = decide(t, withTSA(root, tsa), now, made)
	wantUnclear(t, proofs, err, "time stamp: revocation")
}

// T21: a revoked intermediate takes back what is below it.
func TestT21_RevokedIntermediate(t *testing.T) {
	root, r := issue(t, nil), newResponder(t)
	middle := issue(t, root, caNamed("intermediate"), withList(r))
	made := jws(sign(t, request{by: issue(t, middle), digest: app.Digest()}))
	r.set(func() { r.list = lists(t, root, nil, middle) })
	proofs, err := decide(t, options(root), now, made)
	wantNo(t, proofs, err, "was revoked on")
	proofs, err = decide(t, options(middle), now, made) // trusted, and still looked up
	wantNo(t, proofs, err, "was revoked on")
}

// T48: certificates of strangers name servers, and none is asked; nor is a server that no certificate of a trusted signer may name.
func TestT48_StrangersAimNoRequests(t *testing.T) {
	root, foreign, r := issue(t, nil), issue(t, nil), newResponder(t)
	leaf := func(root *holder, edits ...edit) *holder {
		return issue(t, root, append(edits, withOCSP(r), withList(r))...)
	}
	other := image.SHA256([]byte("other"))
	for name, made := range map[string][]byte{
		"unknown authority": sign(t, request{by: leaf(foreign), digest: app.Digest()}),
		"another identity":  sign(t, request{by: leaf(root, func(c *x509.Certificate) { c.Subject = name("somebody") }), digest: app.Digest()}),
		"another image":     sign(t, request{by: leaf(root), digest: other}),
	} {
		proofs, err := decide(t, options(root), now, jws(made))
		wantNo(t, proofs, err, "")
		if r.asked() != 0 {
			t.Fatalf("%s: asked", name)
		}
	}
	for _, server := range []string{"http://169.254.169.254/", "http://[fe80::1]/", "http://[fd00:ec2::254]/", "http://100.100.100.200/", "file:///etc/passwd", "ldap://127.0.0.1/", "http://a:b@127.0.0.1/", "http://", "\x00"} {
		_, err := NewRevocations(nil, nil).fetch(t.Context(), http.MethodGet, server, nil, time.Second, 10)
		if err == nil || strings.Contains(server, "254") && !strings.Contains(err.Error(), "metadata address") {
			t.Errorf("%s: %v", server, err)
		}
	}
	redirect := httptest.NewServer(http.RedirectHandler(r.URL, http.StatusFound))
	t.Cleanup(redirect.Close)
	if _, err := NewRevocations(nil, nil).fetch(t.Context(), http.MethodGet, redirect.URL, nil, time.Second, 10); err == nil || r.asked() != 0 {
		t.Errorf("redirect: %v, asked %d", err, r.asked())
	}
}

// T43, T46: a server that hangs, streams without end or is away means that nobody can tell, in bounded time.
func TestT43_ServersThatMisbehave(t *testing.T) {
	root := issue(t, nil)
	stop := make(chan struct{})
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		for junk := make([]byte, 1<<16); q.Context().Err() == nil; {
			if _, err := w.Write(junk); err != nil {
				return
			}
		}
	}))
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		select {
		case <-q.Context().Done():
		case <-stop:
		}
	}))
	t.Cleanup(func() { close(stop); endless.Close(); hanging.Close() })
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, c := range map[string]struct{ server, why string }{
		"endless": {endless.URL, "more than"}, "hanging": {hanging.URL, "deadline exceeded"}, "gone": {gone.URL, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			leaf := issue(t, root, func(c2 *x509.Certificate) { c2.OCSPServer = []string{c.server} })
			started := time.Now()
			proofs, err := decide(t, options(root), now, jws(sign(t, request{by: leaf, digest: app.Digest()})))
			wantUnclear(t, proofs, err, c.why)
			if d := time.Since(started); d > 2*askTimeout {
				t.Errorf("took %s", d)
			}
		})
	}
}

// T45: one signature that cannot be told does not stop another.
func TestT45_OneUnclearSignature(t *testing.T) {
	root, r := issue(t, nil), newResponder(t)
	unclear := jws(sign(t, request{by: issue(t, root, withOCSP(r)), digest: app.Digest()}))
	proofs, err := decide(t, options(root), now, unclear, jws(sign(t, request{by: issue(t, root), digest: app.Digest()})))
	wantProved(t, proofs, err)
	proofs, err = decide(t, options(root), now, unclear, jws([]byte("junk")))
	wantUnclear(t, proofs, err, "503")
}

// T21: a revocation server of evidence decides by its signature, not by where it was found.
func TestT21_AnswersOfEvidence(t *testing.T) {
	root, foreign, r := issue(t, nil), issue(t, nil), newResponder(t)
	leaf := issue(t, root, withList(r))
	src, a := new(trusttest.Source), newAuthority(t, options(root))
	publish(t, src, app, typeJWS, sign(t, request{by: leaf, digest: app.Digest()}))
	ev, err := a.Find(t.Context(), src, app)
	if err != nil || len(ev.Items) != 2 || ev.Items[1].MediaType != typeNoAnswer {
		t.Fatalf("%+v, %v", ev.Items, err)
	}
	ev.Items[1].MediaType = typeCRL
	for name, c := range map[string]struct {
		list []byte
		ok   bool
	}{"own": {lists(t, root, nil)(), true}, "foreign": {lists(t, foreign, nil)(), false}, "none": {nil, false}} {
		ev.Items[1].Bytes = c.list
		if _, err := a.Check(app, ev, now); (err == nil) != c.ok || trust.IsNo(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.Check(app, trust.Evidence{Items: ev.Items[:1]}, now); err == nil || trust.IsNo(err) {
		t.Errorf("without an answer: %v", err)
	}
}

// keeping is a place where answers are kept, with a clock and one certificate to ask about.
type keeping struct {
	*Revocations
	*responder
	root  *holder
	leaf  *holder
	clock time.Time
}

func newKeeping(t *testing.T) *keeping {
	k := &keeping{root: issue(t, nil), responder: newResponder(t), clock: time.Now()}
	k.leaf = issue(t, k.root, withOCSP(k.responder))
	k.Revocations = NewRevocations(nil, func() time.Time { return k.clock })
	return k
}

func (k *keeping) say(t *testing.T, edit func(*ocsp.Response)) {
	k.set(func() { k.responder.ocsp = says(t, k.root, k.root, edit) })
}

func (k *keeping) fallSilent() { k.set(func() { k.responder.ocsp = nil }) }

// want asks about the certificate, and wants so many requests since the start and such an answer.
func (k *keeping) want(t *testing.T, requests int, mediaType, why string) {
	t.Helper()
	item := k.ask(t.Context(), question{k.leaf.cert, k.root.cert})[0]
	if k.asked() != requests || item.MediaType != mediaType {
		t.Errorf("%s: got %s after %d requests, want %s after %d", why, item.MediaType, k.asked(), mediaType, requests)
	}
}

// said is what a check makes of the answer.
func (k *keeping) said(t *testing.T) error {
	_, err := learn(k.ask(t.Context(), question{k.leaf.cert, k.root.cert})).check(k.leaf.cert, k.root.cert, k.clock)
	return err
}

func (k *keeping) revoke(t *testing.T) {
	k.say(t, func(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, signedAt })
}

// Good answers are kept for a while, and no others.
func TestAnswersAreKept(t *testing.T) {
	k := newKeeping(t)
	k.want(t, 1, typeNoAnswer, "a server that is down")
	k.say(t, nil)
	for range 3 {
		k.want(t, 2, typeOCSP, "a failure is not kept, an answer is")
	}
	k.clock = k.clock.Add(keepOCSP)
	k.want(t, 3, typeOCSP, "not for ever")
	k.revoke(t)
	k.clock = k.clock.Add(keepOCSP)
	k.want(t, 4, typeOCSP, "revoked")
	k.want(t, 5, typeOCSP, "a revocation is not kept")
}

func TestAnswersThatAreKeptHaveABound(t *testing.T) {
	s := NewRevocations(nil, nil)
	for i := range 100 {
		_, _ = s.remembered(t.Context(), string(rune(i)), keepOCSP, func(context.Context) ([]byte, time.Time, error) {
			return make([]byte, 1<<20), time.Now().Add(time.Hour), nil
		})
	}
	if len(s.kept) > maxKept>>20 || s.size > maxKept {
		t.Errorf("%d answers, %d bytes are kept", len(s.kept), s.size)
	}
}

// What was said counts until its signer lets it end, where the server falls silent: it could have been repeated for as long.
func TestSilentServer(t *testing.T) {
	k := newKeeping(t)
	k.say(t, func(r *ocsp.Response) { r.NextUpdate = k.clock.Add(time.Hour) })
	k.want(t, 1, typeOCSP, "the first")
	k.fallSilent()
	k.clock = k.clock.Add(keepOCSP)
	k.want(t, 2, typeOCSP, "the server is silent")
	k.want(t, 2, typeOCSP, "it is not asked each time")
	k.clock = k.clock.Add(retryAfter)
	k.want(t, 3, typeOCSP, "it is asked again after a while")
	k.clock = k.clock.Add(time.Hour)
	k.want(t, 4, typeNoAnswer, "the answer has ended")
}

// T21: who silences a server after it has revoked does not bring back what it said before.
func TestT21_SilenceAfterRevocation(t *testing.T) {
	k := newKeeping(t)
	k.say(t, nil)
	if err := k.said(t); err != nil {
		t.Fatal(err)
	}
	k.revoke(t)
	k.clock = k.clock.Add(keepOCSP)
	if err := k.said(t); !trust.IsNo(err) {
		t.Errorf("revoked: %v", err)
	}
	k.fallSilent()
	if err := k.said(t); err == nil {
		t.Error("good again, since the server is silent")
	}
}

// An answer that does not count takes nothing from the one that does.
func TestBadAnswerBesideKept(t *testing.T) {
	k := newKeeping(t)
	k.say(t, nil)
	k.want(t, 1, typeOCSP, "the first")
	k.set(func() { k.responder.ocsp = func(*big.Int) []byte { return []byte("junk") } })
	k.clock = k.clock.Add(keepOCSP)
	if err := k.said(t); err != nil {
		t.Error(err)
	}
}

// Answers are asked for anew in the background, before a decision would wait for them, and a revocation is heard of that way.
func TestRefresh(t *testing.T) {
	k := newKeeping(t)
	k.say(t, nil)
	k.want(t, 1, typeOCSP, "the first")
	k.refresh(t.Context())
	k.want(t, 1, typeOCSP, "it is fresh")
	for range 3 {
		k.clock = k.clock.Add(keepOCSP - refreshAhead)
		before := k.asked()
		k.refresh(t.Context())
		k.want(t, before+1, typeOCSP, "asked in the background, and not on the way")
	}
	k.revoke(t)
	k.clock = k.clock.Add(keepOCSP - refreshAhead)
	k.refresh(t.Context())
	k.fallSilent()
	if err := k.said(t); err == nil {
		t.Error("revoked in the background, and good")
	}
}

// What nobody asks about any more is forgotten.
func TestRefreshForgets(t *testing.T) {
	k := newKeeping(t)
	k.say(t, func(r *ocsp.Response) { r.NextUpdate = k.clock.Add(24 * time.Hour) })
	k.want(t, 1, typeOCSP, "the first")
	for range 40 {
		k.clock = k.clock.Add(keepOCSP - refreshAhead)
		k.refresh(t.Context())
	}
	if len(k.kept) != 0 || k.size != 0 {
		t.Errorf("%d answers, %d bytes are kept", len(k.kept), k.size)
	}
	if most := 1 + int(forgetAfter/(keepOCSP-refreshAhead)); k.asked() > most {
		t.Errorf("asked %d times, want at most %d", k.asked(), most)
	}
}

// Run ends with its context.
func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { NewRevocations(nil, nil).Run(ctx); close(ended) }()
	cancel()
	<-ended
}

// T21: an answer that was asked for before a revocation was heard of, and comes after it, does not bring back what was revoked.
func TestT21_AnAnswerThatWasOvertaken(t *testing.T) {
	s := NewRevocations(nil, nil)
	asked, let := make(chan struct{}), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		_, _ = s.remembered(t.Context(), "key", keepOCSP, func(context.Context) ([]byte, time.Time, error) {
			close(asked)
			<-let
			return []byte("good"), time.Now().Add(time.Hour), nil
		})
	})
	<-asked
	_, _ = s.remembered(t.Context(), "key", keepOCSP, func(context.Context) ([]byte, time.Time, error) {
		return []byte("revoked"), time.Time{}, trust.Untrusted("revoked")
	})
	close(let)
	wait.Wait()
	if len(s.kept) != 0 || s.size != 0 || len(s.asking) != 0 {
		t.Errorf("%d answers, %d bytes are kept", len(s.kept), s.size)
	}
}

// What has ended is not asked for in the background: a server that is down for hours would be asked every few seconds.
func TestRefreshLeavesWhatHasEnded(t *testing.T) {
	k := newKeeping(t)
	k.say(t, func(r *ocsp.Response) { r.NextUpdate = k.clock.Add(10 * time.Minute) })
	k.want(t, 1, typeOCSP, "the first")
	k.fallSilent()
	for range 300 { // 100 minutes
		k.clock = k.clock.Add(refreshEvery)
		k.refresh(t.Context())
	}
	if most := 1 + int(10*time.Minute/retryAfter) + 1; k.asked() > most {
		t.Errorf("asked %d times, want at most %d", k.asked(), most)
	}
	if len(k.kept) != 0 || k.size != 0 {
		t.Errorf("%d answers, %d bytes are kept", len(k.kept), k.size)
	}
}
