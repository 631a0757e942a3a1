package sigstore

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/material"
	"github.com/assay-dev/assay/trust/sigstore/statement"
	"github.com/assay-dev/assay/trust/trusttest"
)

var passedOnly = []ConditionOptions{{CEL: "predicate.passed == true"}}

// latest/all over both ways: the tag alone suffices before bundles are looked at.
func TestT4_LatestAcrossWays(t *testing.T) {
	l := home()
	for _, choice := range []string{"latest", "all"} {
		t.Run(choice, func(t *testing.T) {
			someone := l.person(leaf{})
			old := scan(true, 1, someone)
			old.shape = legacyAttestation
			var src trusttest.Source
			publish(t, &src, app, l.sign(app, old), l.sign(app, scan(false, 5, someone)))
			a := newAuthority(t, l.keyless(scanned(AttestationOptions{Select: choice, Conditions: passedOnly})))
			proofs, err := find(t, a, &src, app)
			wantNo(t, proofs, err, "is not true")
		})
	}
}

// what is cut off is not known to the check that ends the search.
func TestT45_LatestOfAPart(t *testing.T) {
	l := home()
	for _, choice := range []string{"latest", "all"} {
		t.Run(choice, func(t *testing.T) {
			key := bare(ecKey(elliptic.P256()))
			bad := scan(false, 9, key)
			bad.shape = legacyAttestation
			good := scan(true, 1, key)
			good.shape = legacyAttestation
			var src trusttest.Source
			publishLayers(t, &src, app, "att", append([]publication{l.sign(app, bad)}, repeated(trust.MaxSignatures, l.sign(app, good))...))
			a := newAuthority(t, l.keyed(key, scanned(AttestationOptions{Select: choice, Conditions: passedOnly})))
			proofs, err := find(t, a, &src, app)
			wantNo(t, proofs, err, "more evidence than is looked at")
		})
	}
}

// a list that is known to be incomplete.
func TestT46_LatestOfAnIncompleteList(t *testing.T) {
	l := home()
	src := &watched{Source: new(trusttest.Source), amiss: errors.New("429 too many requests")}
	publish(t, src.Source, app, l.sign(app, scan(true, 1, nil)))
	a := newAuthority(t, l.keyless(scanned(AttestationOptions{Select: "latest", Conditions: passedOnly})))
	proofs, err := find(t, a, src, app)
	wantUnclear(t, proofs, err, "429")
}

// two items with one name in the memo; the junk one is looked at first.
func TestT27_JunkDoesNotTakeASum(t *testing.T) {
	l := home()
	good := l.sign(app, signing{})
	var framed []byte
	part := func(s string) { framed = append(binary.BigEndian.AppendUint64(framed, uint64(len(s))), s...) }
	for _, name := range slices.Sorted(maps.Keys(good.Annotations)) {
		part(name)
		part(good.Annotations[name])
	}
	junk := publication{Item: trust.Item{MediaType: good.MediaType, Bytes: append(framed, good.Bytes...)}, suffix: "sig"}
	if sum(&junk.Item) == sum(&good.Item) {
		t.Error("two items have one sum")
	}
	var src trusttest.Source
	publish(t, &src, app, good, junk)
	proofs, err := find(t, newAuthority(t, l.keyless()), &src, app)
	expect(t, proofs, err, "")
}

// an old attestation becomes young by a stamp that anybody can have, or by another spelling of it in the log.
func TestT19_AgeCannotBeRenewed(t *testing.T) {
	l := home()
	someone := l.lasting()
	late := signed.Add(100 * 24 * time.Hour)
	old := scan(true, 1, someone) // signed and logged on day 0
	stamped := old
	stamped.prove, stamped.stamps = "proof", l.tsa[:1]
	stamped.made = func(m *made) { m.stamps = [][]byte{l.tsa[0].stamp(m.signature, late)} } // attacker's stamp, the promise left out
	bad := scan(false, 5, someone)
	bad.at = signed.Add(24 * time.Hour)
	check := func(t *testing.T, o AttestationOptions, want string, all ...publication) {
		t.Helper()
		proofs, err := newAuthority(t, l.own(withIntermediate, scanned(o))).Check(app, items(all...), late.Add(time.Minute))
		expect(t, proofs, err, want)
	}
	t.Run("maxAge, a stamp", func(t *testing.T) {
		check(t, AttestationOptions{MaxAge: 24 * time.Hour}, "stamped and logged anew", l.sign(app, stamped))
	})
	t.Run("latest, a stamp", func(t *testing.T) {
		check(t, AttestationOptions{Conditions: passedOnly}, "is not true", l.sign(app, stamped), l.sign(app, bad))
	})
	relogged := l.relogged(t, old, late)
	t.Run("maxAge, another signature of an ECDSA key", func(t *testing.T) {
		check(t, AttestationOptions{Conditions: passedOnly}, "", relogged[1]) // the log and the key stand behind it
		check(t, AttestationOptions{MaxAge: 24 * time.Hour}, "stamped and logged anew", relogged[1])
	})
	t.Run("latest, another signature beside the first", func(t *testing.T) {
		check(t, AttestationOptions{Conditions: passedOnly}, "is not true", l.sign(app, bad), relogged[0], relogged[1])
	})
}

// relogged is a signature, and what whoever sees it can have logged later: of an ECDSA signature (r, s), which is in the log already,
// the signature (r, -s), which holds as well and is not.
func (l *lab) relogged(t *testing.T, s signing, at time.Time) [2]publication {
	t.Helper()
	var statement, signature []byte
	s.payload = func(made []byte) []byte {
		if statement == nil {
			statement = made
		}
		return statement
	}
	s.made = func(m *made) { signature = m.signature }
	first := l.sign(app, s)
	s.at, s.by = at, &signer{key: fixedSigner{s.by.key, func() []byte { return otherRoot(t, signature) }}, cert: s.by.cert, chain: s.by.chain}
	s.made = func(m *made) {
		if string(m.signature) == string(signature) {
			t.Fatal("the same signature")
		}
	}
	return [2]publication{first, l.sign(app, s)}
}

// fixedSigner is a key that makes a signature which was made before.
type fixedSigner struct {
	crypto.Signer
	signature func() []byte
}

// Sign implements crypto.Signer.
func (f fixedSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return f.signature(), nil
}

// otherRoot returns the other signature that holds where a signature of a key on P-256 does.
func otherRoot(t *testing.T, signature []byte) []byte {
	t.Helper()
	var both struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &both); err != nil {
		t.Fatal(err)
	}
	both.S.Sub(elliptic.P256().Params().N, both.S)
	return must(asn1.Marshal(both))
}

// the age of one demand ends a proof by an attestation for another demand.
func TestT6_AgeOfAnotherDemand(t *testing.T) {
	l := home()
	one, two := l.person(leaf{}), bare(ecKey(elliptic.P256()))
	o := l.keyless(func(all *Options) {
		all.Signature = "none"
		all.Attestations = []AttestationOptions{
			{PredicateType: scanType, MaxAge: 48 * time.Hour},
			{PredicateType: scanType, SignedBy: &SignerOptions{Key: &KeyOptions{PEM: pemKey(two.key.Public())}}},
		}
	})
	young, old := scan(true, 0, one), scan(true, 0, two)
	young.at, old.at = signed, signed.Add(-30*24*time.Hour)
	proofs := check(t, newAuthority(t, o), now, "", l.sign(app, young), l.sign(app, old))
	if want := signed.Add(48 * time.Hour); !proofs[0].Expires.Equal(want) {
		t.Errorf("expires %s (now %s), want %s", proofs[0].Expires, now, want)
	}
}

// a key that cannot be had hides the latest attestation.
func TestT46_UnclearLatest(t *testing.T) {
	l := home()
	given, remote := bare(ecKey(elliptic.P256())), bare(ecKey(elliptic.P256()))
	o := l.options(SignerOptions{Keys: []KeyOptions{{PEM: pemKey(given.key.Public())}, {PEM: pemKey(remote.key.Public())}}},
		scanned(AttestationOptions{Conditions: passedOnly}))
	a := newAuthority(t, o)
	pass, fail := l.sign(app, scan(true, 1, given)), l.sign(app, scan(false, 5, remote))
	check(t, a, now, "is not true", pass, fail)
	b := newAuthority(t, o)
	b.signer.keys[1].source = &keySource{KeySource: b.signer.keys[1].source, err: errors.New("the service is sealed")}
	proofs, err := b.Check(app, items(pass, fail), now)
	wantUnclear(t, proofs, err, "sealed")
}

// a key of a service that is too old to be used is used from memory.
func TestT19_StaleKeyIsNotRemembered(t *testing.T) {
	l := home()
	key := bare(ecKey(elliptic.P256()))
	k, err := material.New(material.Config{Now: func() time.Time { return now }, MaxStale: 24 * time.Hour, KMS: map[string]material.Provider{
		"hashivault": func(context.Context, *url.URL) (*material.Key, error) { return material.NewKey(key.key.Public()) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := newAuthorityWith(t, Config{Material: k}, l.options(SignerOptions{Key: &KeyOptions{KMS: "hashivault://release"}}))
	if err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := l.sign(app, signing{by: key})
	fresh := newAuthorityWith(t, Config{Material: k}, l.options(SignerOptions{Key: &KeyOptions{KMS: "hashivault://release"}}))
	proofs, err := fresh.Check(app, items(p), now.Add(48*time.Hour))
	wantUnclear(t, proofs, err, "last proved to be current")
	check(t, a, now, "", p)
	proofs, err = a.Check(app, items(p), now.Add(48*time.Hour))
	wantUnclear(t, proofs, err, "last proved to be current")
}

// What was decided counts no longer where the trust material that it rests on must not be used, though its version is the same.
func TestT28_MaterialThatIsTooOldHasLapsed(t *testing.T) {
	l := home()
	key := bare(ecKey(elliptic.P256()))
	k, err := material.New(material.Config{Now: func() time.Time { return now }, MaxStale: 24 * time.Hour, KMS: map[string]material.Provider{
		"hashivault": func(context.Context, *url.URL) (*material.Key, error) { return material.NewKey(key.key.Public()) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := newAuthorityWith(t, Config{Material: k}, l.options(SignerOptions{Key: &KeyOptions{KMS: "hashivault://release"}}))
	lapsed := func(at time.Time) bool { return a.Lapsed(at) }
	if !lapsed(now) {
		t.Error("what was never fetched can be used")
	}
	if err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lapsed(now) || lapsed(now.Add(24*time.Hour)) || !lapsed(now.Add(25*time.Hour)) {
		t.Errorf("got %v, %v, %v", lapsed(now), lapsed(now.Add(24*time.Hour)), lapsed(now.Add(25*time.Hour)))
	}
	given := newAuthorityWith(t, Config{}, l.keyed(key, ignoreLog, withoutMaterial))
	if given.Lapsed(now.Add(1000 * time.Hour)) {
		t.Error("a key in the policy has lapsed")
	}
}

// two time-stamp authorities given as parts count as one.
func TestT9_AuthoritiesOfParts(t *testing.T) {
	l := home()
	chain := func(i int) string { return pemOf(l.tsa[i].leaf, l.tsa[i].inter.cert, l.tsa[i].root.cert) }
	key := bare(ecKey(elliptic.P256()))
	o := l.keyed(key, ignoreLog, func(o *Options) {
		o.TimestampThreshold = 2
		o.TrustedRoot = &TrustedRootOptions{Parts: &PartsOptions{TimestampCertificates: chain(0), TimestampCertificatesFiles: []string{"b.pem"}}}
	})
	made, err := New(Config{}).New(trusttest.Section{Options: o, Files: map[string][]byte{"b.pem": []byte(chain(1))}})
	if err != nil {
		t.Fatal(err)
	}
	check(t, made, now, "", l.sign(app, signing{shape: bundleSignature, by: key, logs: []*rekorLog{}, stamps: l.tsa}))
}

// the index of an entry with a proof alone is anybody's word.
func TestT17_LogIndexIsProven(t *testing.T) {
	l := home()
	p := l.sign(app, signing{shape: bundleSignature, prove: "proof", stamps: l.tsa[:1], neighbours: 3, made: func(m *made) { m.entries[0].LogIndex = 666_666 }})
	proofs, err := newAuthority(t, l.keyless()).Check(app, items(p), now)
	if err == nil && proofs[0].Log[0].Index == 666_666 {
		t.Errorf("the verdict tells an index that nobody proved: %+v", proofs[0].Log)
	}
}

// ways by a signer who was revoked push out the one that stands.
func TestT21_RevokedWaysHideNothing(t *testing.T) {
	l := home()
	stolen, good := l.person(leaf{}), l.person(leaf{})
	a := newAuthority(t, l.keyless(func(o *Options) {
		o.Attestations = []AttestationOptions{{PredicateType: scanType, Select: "any"}}
	}))
	var all []publication
	for i := range 8 {
		all = append(all, l.sign(app, signing{by: stolen, annotations: map[string]any{"i": fmt.Sprint(i)}}), l.sign(app, scan(true, i+1, stolen)))
	}
	all = append(all, l.sign(app, signing{by: good}), l.sign(app, scan(true, 1, good)))
	proofs := check(t, a, now, "", all...)
	bad := trust.Fingerprint(stolen.cert.RawSubjectPublicKeyInfo)
	for _, p := range proofs {
		if !slices.ContainsFunc(p.Signers, func(s trust.Signer) bool { return s.Key == bad }) {
			return
		}
	}
	t.Errorf("none of %d proofs is without the revoked key, and there is one", len(proofs))
}

// messages.
func TestT47_MessagesDoNotVary(t *testing.T) {
	l := home()
	a := newAuthority(t, l.keyless(func(o *Options) { o.Annotations = map[string]string{"n": "7"} }))
	_, err := a.Check(app, items(l.sign(app, signing{annotations: map[string]any{"n": 7}})), now)
	if strings.Contains(err.Error(), `"7", "7" is wanted`) {
		t.Errorf("misleading: %v", err)
	}
	texts := map[string]bool{}
	p := l.sign(app, signing{})
	for range 50 {
		a := newAuthority(t, l.keyless(func(o *Options) { o.Annotations = map[string]string{"a": "1", "b": "1", "c": "1"} }))
		_, err := a.Check(app, items(p), now)
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("the message varies: %v", slices.Collect(maps.Keys(texts)))
	}
	texts = map[string]bool{}
	for range 50 {
		_, err := statement.ParseClaims([]byte(`{"critical":{},"x":1,"y":1}`))
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("the message varies: %v", slices.Collect(maps.Keys(texts)))
	}
}

// lines of the attacker's in messages.
func TestT47_ForeignLines(t *testing.T) {
	l := home()
	evil := "x\n\x1b[32mallowed\x1b[0m"
	a := newAuthority(t, l.keyless())
	p := l.sign(app, signing{shape: bundleSignature, by: bare(ecKey(elliptic.P256())), payload: func([]byte) []byte {
		return mustJSON(map[string]any{"_type": "https://in-toto.io/Statement/v1", "subject": []any{map[string]any{"digest": map[string]string{"sha256": evil}}},
			"predicateType": statement.CosignSign, "predicate": map[string]any{}})
	}})
	_, err := a.Check(app, items(p), now)
	if strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("control characters: %q", err)
	}
	own := newAuthority(t, l.own())
	mallory := foreign().person(leaf{edits: []edit{uris(), func(c *x509.Certificate) { c.EmailAddresses = []string{evil} }}})
	_, err = own.Check(app, items(l.sign(app, signing{by: mallory})), now)
	if strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("control characters: %q", err)
	}
}
