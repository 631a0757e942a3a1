package sigstore

import (
	"crypto/elliptic"
	"fmt"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust"
)

// scan is an attestation with a result, signed some minutes after the certificate was issued.
func scan(passed bool, minutes int, by *signer) signing {
	return signing{
		shape: bundleAttestation, by: by, predicateType: scanType, predicate: map[string]any{"passed": passed, "minute": minutes},
		at: signed.Add(time.Duration(minutes) * time.Minute),
	}
}

func scanned(o AttestationOptions) func(*Options) {
	return func(all *Options) {
		o.PredicateType = scanType
		all.Signature, all.Attestations = "none", []AttestationOptions{o}
	}
}

func TestSelect(t *testing.T) {
	l := home()
	someone := l.person(leaf{})
	passed := []ConditionOptions{{CEL: "predicate.passed == true"}}
	early, late := scan(true, 1, someone), scan(false, 5, someone)
	good, bad := scan(true, 5, someone), scan(false, 1, someone)
	byNobody := scan(false, 9, l.nobody())
	for name, c := range map[string]struct {
		choice string
		pieces []signing
		want   string
	}{
		"latest passes":                   {"latest", []signing{bad, good}, ""},
		"latest passes, in another order": {"", []signing{good, bad}, ""},
		"latest fails":                    {"latest", []signing{early, late}, "is not true"},
		"latest fails, in another order":  {"", []signing{late, early}, "is not true"},
		"latest by nobody is left out":    {"latest", []signing{bad, good, byNobody}, ""},
		"two latest, one fails":           {"latest", []signing{good, scan(false, 5, someone)}, "is not true"},
		"any passes":                      {"any", []signing{early, late}, ""},
		"none passes":                     {"any", []signing{bad, late}, "none of 2 does"},
		"all pass":                        {"all", []signing{early, good}, ""},
		"all pass but one":                {"all", []signing{early, good, bad}, "is not true"},
		"all pass but one by nobody":      {"all", []signing{early, good, byNobody}, ""},
		"none is there":                   {"any", []signing{byNobody}, "attestation " + scanType},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, l.keyless(scanned(AttestationOptions{Select: c.choice, Conditions: passed})))
			var all []publication
			for _, s := range c.pieces {
				all = append(all, l.sign(app, s))
			}
			check(t, a, now, c.want, all...)
		})
	}
}

// One without a trusted time may be the latest, so that it must satisfy too.
func TestLatestWithoutTime(t *testing.T) {
	l := home()
	key := bare(ecKey(elliptic.P256()))
	o := l.keyed(key, ignoreLog, withoutMaterial, scanned(AttestationOptions{Conditions: []ConditionOptions{{CEL: "predicate.passed == true"}}}))
	timeless := func(passed bool) publication {
		s := scan(passed, 1, key)
		s.logs = []*rekorLog{}
		return l.sign(app, s)
	}
	check(t, newAuthority(t, o), now, "", timeless(true))
	check(t, newAuthority(t, o), now, "is not true", timeless(true), timeless(false))
	// One with a time beside it, later or not, is no reason to leave it out.
	timed, tiles := scan(true, 5, key), scan(false, 1, key)
	tiles.logs = l.tiles[:1]
	o = l.keyed(key, scanned(AttestationOptions{Conditions: []ConditionOptions{{CEL: "predicate.passed == true"}}}))
	check(t, newAuthority(t, o), now, "", l.sign(app, timed))
	check(t, newAuthority(t, o), now, "is not true", l.sign(app, timed), l.sign(app, tiles))
}

// What is too much to be looked at could hide the latest, so that it cannot be said to be satisfied.
func TestLeftDeniesTheLatest(t *testing.T) {
	l := home()
	for choice, want := range map[string]string{"": "the latest of it cannot be told", "latest": "the latest of it cannot be told", "all": "the latest of it cannot be told", "any": ""} {
		a := newAuthority(t, l.keyless(scanned(AttestationOptions{Select: choice})))
		ev := items(l.sign(app, scan(true, 1, nil)))
		ev.Left = 1
		proofs, err := a.Check(app, ev, now)
		expect(t, proofs, err, want)
	}
	a := newAuthority(t, l.keyless())
	ev := items(l.sign(app, signing{by: l.nobody()}))
	ev.Left = 9
	proofs, err := a.Check(app, ev, now)
	wantNo(t, proofs, err, "the newest 1 of 10 pieces of evidence were looked at")
}

func TestMaxAge(t *testing.T) {
	l := home()
	a := newAuthority(t, l.keyless(scanned(AttestationOptions{MaxAge: 24 * time.Hour})))
	p := l.sign(app, scan(true, 5, nil))
	until := signed.Add(5*time.Minute + 24*time.Hour)
	for at, want := range map[time.Time]string{until.Add(-time.Second): "", until: "more than 24h0m0s ago", until.Add(time.Hour): "more than 24h0m0s ago"} {
		proofs := check(t, a, at, want, p)
		if want == "" && !proofs[0].Expires.Equal(until) {
			t.Errorf("expires %s, want %s", proofs[0].Expires, until)
		}
	}
	// T19: a time that nobody who counts gives makes nothing young, nor does one that anybody can have.
	a = newAuthority(t, l.own(withIntermediate, scanned(AttestationOptions{MaxAge: 24 * time.Hour})))
	check(t, a, now, "", l.sign(app, scan(true, 5, l.person(leaf{}))))
	lasting := scan(true, 5, l.lasting())
	check(t, a, signed.Add(time.Hour), "stamped and logged anew", l.sign(app, lasting))
	lasting.stamps = l.tsa[:1]
	check(t, a, signed.Add(time.Hour), "stamped and logged anew", l.sign(app, lasting))
	lasting.logs, lasting.stamps = []*rekorLog{}, foreign().tsa[:1]
	a = newAuthority(t, l.own(ignoreLog, withIntermediate, scanned(AttestationOptions{MaxAge: 24 * time.Hour})))
	check(t, a, signed.Add(time.Hour), "no trusted time says how old it is", l.sign(app, lasting))
}

// withIntermediate is for bundles, which bring no chain.
func withIntermediate(o *Options) { o.PKI.Intermediates = pemOf(home().inter.cert) }

// lasting is somebody whose certificate is valid for a year.
func (l *lab) lasting() *signer {
	return l.person(leaf{edits: []edit{during(signed, signed.Add(year))}})
}

// Each way to satisfy an authority is a proof of its own, so that a revoked signer does not hide another one; there are not too many.
func TestProofs(t *testing.T) {
	l := home()
	one, two := l.person(leaf{}), l.person(leaf{})
	a := newAuthority(t, l.keyless(func(o *Options) {
		scanned(AttestationOptions{Select: "any"})(o)
		o.Signature = ""
	}))
	proofs := check(t, a, now, "", l.sign(app, signing{by: one}), l.sign(app, signing{by: two}), l.sign(app, scan(true, 1, one)), l.sign(app, scan(true, 2, two)))
	if len(proofs) != 4 {
		t.Fatalf("%d proofs, want 4", len(proofs))
	}
	ways := map[string]bool{}
	for _, p := range proofs {
		if len(p.Signers) != 2 || len(p.Attested) != 1 || p.Attested[0].Signer != workflow || p.Attested[0].PredicateType != scanType {
			t.Fatalf("proof %+v", p)
		}
		ways[p.Signers[0].Key+p.Signers[1].Key] = true
	}
	if len(ways) != 4 {
		t.Errorf("%d different ways, want 4", len(ways))
	}
	var many []publication
	for i := range 20 {
		many = append(many, l.sign(app, signing{by: one, annotations: map[string]any{"i": fmt.Sprint(i)}}), l.sign(app, scan(true, i%9+1, two)))
	}
	if proofs := check(t, a, now, "", many...); len(proofs) != 20*9 {
		t.Errorf("%d proofs, want %d: copies of a statement by one key are one", len(proofs), 20*9)
	}
}

// DOCKER-14: a proof carries what selectors and the verdict are made of.
func TestProof(t *testing.T) {
	l := home()
	someone := l.person(leaf{})
	for name, s := range map[string]signing{
		"signature": {by: someone, stamps: l.tsa[:1]},
		"bundle":    {by: someone, shape: bundleSignature, stamps: l.tsa[:1]},
		"bundle by referrers, Rekor v2 and a time stamp": {by: someone, shape: bundleSignature, logs: l.tiles[:1], stamps: l.tsa[:1]},
	} {
		t.Run(name, func(t *testing.T) {
			var parts made
			s.made = func(m *made) { parts = *m }
			p := check(t, newAuthority(t, l.keyless()), now, "", l.sign(app, s))[0]
			key := trust.Fingerprint(someone.cert.RawSubjectPublicKeyInfo)
			who := p.Signers[0]
			if p.Digest != app.Digest() || who.Key != key || who.Identity != (trust.Identity{Issuer: provider, Subject: workflow}) ||
				string(who.Signature) != string(parts.signature) || len(who.Chain) != 3 || who.Chain[0].Serial != trust.Serial(someone.cert.SerialNumber) ||
				!p.SignedAt.Equal(signed.Add(time.Minute)) || !p.Expires.IsZero() || len(p.Weakened) != 0 {
				t.Errorf("proof %+v", p)
			}
			entry := parts.entries[0]
			got := p.Log[0]
			if len(p.Log) != 1 || got.ID != parts.logs[0].hexID() || got.Index != entry.LogIndex || string(got.SignedEntryTimestamp) != string(entry.GetInclusionPromise().GetSignedEntryTimestamp()) {
				t.Errorf("log entries %+v", p.Log)
			}
			if want := entry.InclusionPromise != nil; got.IntegratedTime.IsZero() == want {
				t.Errorf("integrated at %s", got.IntegratedTime)
			}
		})
	}
}
