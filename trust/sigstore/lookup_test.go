package sigstore

import (
	"crypto"
	"crypto/elliptic"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

func asking(s *logServer) func(*Options) { return func(o *Options) { o.RekorURL = s.URL + "/" } }

// An entry that was looked up is proved by the log's promise, like one that came with the signature.
func TestLookUp(t *testing.T) {
	l := home()
	key, someone := bare(ecKey(elliptic.P256())), l.person(leaf{})
	for name, c := range map[string]struct {
		options func(s *logServer) Options
		signing signing
	}{
		"keyless, signature":              {func(s *logServer) Options { return l.keyless(asking(s)) }, signing{by: someone}},
		"keyless, bundle":                 {func(s *logServer) Options { return l.keyless(asking(s)) }, signing{by: someone, shape: bundleSignature}},
		"keyless, bundle of the manifest": {func(s *logServer) Options { return l.keyless(asking(s)) }, signing{by: someone, shape: bundleMessage}},
		"keyless, attestation":            {func(s *logServer) Options { return l.keyless(asking(s), onlyAttested) }, signing{by: someone, shape: legacyAttestation}},
		"key, signature":                  {func(s *logServer) Options { return l.keyed(key, asking(s)) }, signing{by: key}},
		"key, attestation in a bundle":    {func(s *logServer) Options { return l.keyed(key, asking(s), onlyAttested) }, signing{by: key, shape: bundleAttestation}},
		"pki, signature":                  {func(s *logServer) Options { return l.own(asking(s)) }, signing{by: someone}},
	} {
		t.Run(name, func(t *testing.T) {
			log := newLogServer(t)
			c.signing.made = log.take
			var src trusttest.Source
			publish(t, &src, app, l.sign(app, c.signing))
			a := newAuthority(t, c.options(log))
			proofs, err := find(t, a, &src, app)
			expect(t, proofs, err, "")
			if len(proofs[0].Log) != 1 || proofs[0].Log[0].ID != l.rekor[0].hexID() || !proofs[0].SignedAt.Equal(signed.Add(time.Minute)) {
				t.Errorf("log %+v, signed at %s", proofs[0].Log, proofs[0].SignedAt)
			}
			if len(log.asked) != 1 {
				t.Errorf("the log was asked %d times", len(log.asked))
			}
			log.entries = nil
			proofs, err = find(t, newAuthority(t, c.options(log)), &src, app)
			wantNo(t, proofs, err, "no entry of a transparency log")
		})
	}
}

// The question names exactly the signature: its hash, its value, and the key or certificate.
func TestLookUpQuestion(t *testing.T) {
	l, log := home(), newLogServer(t)
	key := bare(ecKey(elliptic.P256()))
	var parts made
	p := l.sign(app, signing{by: key, made: func(m *made) { parts = *m; log.take(m) }})
	var src trusttest.Source
	publish(t, &src, app, p)
	proofs, err := find(t, newAuthority(t, l.keyed(key, asking(log))), &src, app)
	expect(t, proofs, err, "")
	got := string(mustJSON(log.asked[0]))
	want := string(mustJSON(map[string]any{
		"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": map[string]any{
			"data":      map[string]any{"hash": map[string]any{"algorithm": "sha256", "value": hex.EncodeToString(digestOf(crypto.SHA256, p.Bytes))}},
			"signature": map[string]any{"content": parts.signature, "publicKey": map[string]any{"content": []byte(pemKey(key.key.Public()))}},
		},
	}))
	if got != want {
		t.Errorf("question\n%s\nwant\n%s", got, want)
	}
}

// T17: a log that is asked is no more trusted than one that was not.
func TestT17_LookedUpEntries(t *testing.T) {
	l := home()
	someone := l.person(leaf{})
	for name, c := range map[string]struct {
		log    func(c *claimed)
		logs   []*rekorLog
		change func(m *made)
	}{
		"a log that nobody trusts":        {logs: foreign().rekor[:1]},
		"an entry of another signature":   {log: func(c *claimed) { c.signature = c.by.sign([]byte("x"), c.hash) }},
		"an entry of another certificate": {log: func(c *claimed) { c.by = l.person(leaf{}) }},
		"a promise by another key":        {log: func(c *claimed) { c.logged.by = &foreign().rekor[0].logKey }},
		"a late entry":                    {log: func(c *claimed) { c.at = signed.Add(time.Hour) }},
		"no promise":                      {change: func(m *made) { m.entries[0].InclusionPromise = nil }},
		"Rekor v2":                        {logs: l.tiles[:1]},
	} {
		t.Run(name, func(t *testing.T) {
			log := newLogServer(t)
			p := l.sign(app, signing{by: someone, shape: bundleSignature, logs: c.logs, log: c.log, made: func(m *made) {
				if c.change != nil {
					c.change(m)
				}
				log.take(m)
			}})
			var src trusttest.Source
			publish(t, &src, app, p)
			proofs, err := find(t, newAuthority(t, l.keyless(asking(log))), &src, app)
			wantNo(t, proofs, err, "log")
		})
	}
}

// T46, T43: a log that fails, hangs, or answers without end is "cannot tell".
func TestT46_LookUpFails(t *testing.T) {
	l := home()
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"429": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"404": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"500 and a list": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `[]`)
		},
		"429 and a list": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `[]`)
		},
		"T43 a long list": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `[]`+strings.Repeat(" ", maxLookup)) },
		"junk":            func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "junk") },
		"an object":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
		"a broken body": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `[{"u":{"body":"anVuaw==","logID":"00"}}]`)
		},
		"a broken ID": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `[{"u":{"body":"e30=","logID":"x"}}]`) },
		"nothing":     func(w http.ResponseWriter, _ *http.Request) {},
		"half": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `[`)
		},
		"T43 too much": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `["`+strings.Repeat("x", maxLookup)+`"]`) },
		"T43 no end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := fmt.Fprint(w, strings.Repeat(" ", 1<<16)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := newLogServer(t)
			log.answer = answer
			var src trusttest.Source
			publish(t, &src, app, l.sign(app, signing{made: log.take}))
			proofs, err := find(t, newAuthority(t, l.keyless(asking(log))), &src, app)
			wantUnclear(t, proofs, err, "log "+log.URL)
		})
	}
	t.Run("T48 redirected", func(t *testing.T) {
		log, elsewhere := newLogServer(t), newLogServer(t)
		log.answer = func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}
		var src trusttest.Source
		publish(t, &src, app, l.sign(app, signing{made: elsewhere.take}))
		proofs, err := find(t, newAuthority(t, l.keyless(asking(log))), &src, app)
		wantUnclear(t, proofs, err, "log "+log.URL)
		if len(elsewhere.asked) != 0 {
			t.Error("the redirection was followed")
		}
	})
	t.Run("hangs", func(t *testing.T) {
		log := newLogServer(t)
		log.answer = func(_ http.ResponseWriter, r *http.Request) { time.Sleep(300 * time.Millisecond) }
		var src trusttest.Source
		publish(t, &src, app, l.sign(app, signing{made: log.take}))
		a := newAuthorityWith(t, Config{HTTP: &http.Client{Timeout: 50 * time.Millisecond}}, l.keyless(asking(log)))
		proofs, err := find(t, a, &src, app)
		wantUnclear(t, proofs, err, "log "+log.URL)
	})
	t.Run("gone", func(t *testing.T) {
		log := newLogServer(t)
		log.Close()
		var src trusttest.Source
		publish(t, &src, app, l.sign(app, signing{made: log.take}))
		proofs, err := find(t, newAuthority(t, l.keyless(asking(log))), &src, app)
		wantUnclear(t, proofs, err, "log "+log.URL)
	})
}

// T45: what anybody pushed never makes us ask a log.
func TestT45_JunkIsNotLookedUp(t *testing.T) {
	l, log := home(), newLogServer(t)
	none := []*rekorLog{}
	key := bare(ecKey(elliptic.P256()))
	var src trusttest.Source
	publish(t, &src, app,
		l.sign(app, signing{logs: none, made: func(m *made) { m.signature = []byte("junk") }}),                      // a copied certificate
		l.sign(app, signing{by: foreign().person(leaf{}), logs: none}),                                              // a certificate by another authority
		l.sign(app, signing{by: l.nobody(), logs: none}),                                                            // somebody else
		l.sign(app, signing{by: bare(ecKey(elliptic.P256())), logs: none}),                                          // another key
		l.sign(app.At(other.Digest()), signing{logs: none}),                                                         // about another image
		l.sign(app, signing{shape: bundleSignature, by: l.nobody(), logs: none}),                                    //
		l.sign(app, signing{shape: bundleSignature, logs: none, digest: other.Digest()}),                            //
		l.sign(app, signing{logs: l.rekor[:1], log: func(c *claimed) { c.logged.by = &foreign().rekor[0].logKey }}), // it has an entry
		publication{Item: trust.Item{MediaType: typeSimpleSigning, Bytes: []byte("junk")}, suffix: "sig"},
	)
	for _, o := range []Options{l.keyless(asking(log)), l.keyed(key, asking(log))} {
		proofs, err := find(t, newAuthority(t, o), &src, app)
		wantNo(t, proofs, err, "none of")
	}
	if len(log.asked) != 0 {
		t.Errorf("the log was asked %d times: %v", len(log.asked), log.asked)
	}
}

// T17: the annotation in which an entry that was looked up is kept counts for nothing when it comes from a registry.
func TestT17_AnnotationOfTheLookUp(t *testing.T) {
	l, log := home(), newLogServer(t)
	p := l.sign(app, signing{made: log.take})
	var src trusttest.Source
	p.Annotations[annotationLooked] = "junk"
	publish(t, &src, app, p)
	a := newAuthority(t, l.keyless())
	ev, err := a.Find(t.Context(), &src, app)
	if err != nil || ev.Items[0].Annotations[annotationLooked] != "" {
		t.Fatalf("annotations %v, error %v", ev.Items[0].Annotations, err)
	}
	proofs, err := a.Check(app, ev, now)
	wantNo(t, proofs, err, "no entry of a transparency log")
}
