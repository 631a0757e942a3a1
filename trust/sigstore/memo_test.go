package sigstore

import (
	"crypto/elliptic"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// counting is trust material that counts the checks that are made with it.
type counting struct {
	material.Source
	root.TrustedMaterial
	checks  atomic.Int64
	version string
}

func (c *counting) FulcioCertificateAuthorities() []root.CertificateAuthority {
	c.checks.Add(1)
	return c.TrustedMaterial.FulcioCertificateAuthorities()
}

func (c *counting) Root(time.Time) (*material.Root, error) {
	return &material.Root{TrustedMaterial: c, Version: c.version}, nil
}

func (c *counting) Version() string { return c.version }

// watchMaterial lets an authority use its trust material through a counter.
func watchMaterial(t testing.TB, a *authority) *counting {
	t.Helper()
	r, err := a.material.Root(now)
	if err != nil {
		t.Fatal(err)
	}
	c := &counting{Source: a.material, TrustedMaterial: r.TrustedMaterial, version: "1"}
	a.material = c
	return c
}

// A second check of the same evidence checks no signature; one with other trust material, or of other evidence, does.
func TestMemo(t *testing.T) {
	l := home()
	for name, c := range map[string]struct {
		by   *signer
		want string
	}{"good": {l.person(leaf{}), ""}, "expired": {l.person(leaf{edits: []edit{ended()}}), "log"}} {
		for _, shape := range []shape{legacySignature, bundleSignature} {
			t.Run(name, func(t *testing.T) {
				a := newAuthority(t, l.keyless())
				seen := watchMaterial(t, a)
				p := l.sign(app, signing{shape: shape, by: c.by})
				if c.want != "" {
					p = l.sign(app, signing{shape: shape, by: c.by, prove: "promise", stamps: l.tsa[:1]})
				}
				check(t, a, now, c.want, p)
				first := seen.checks.Load()
				for range 3 {
					check(t, a, now, c.want, p)
					check(t, a, now.Add(year), c.want, p)
				}
				if got := seen.checks.Load(); got != first {
					t.Errorf("%d checks, want none after the first %d", got-first, first)
				}
				if c.want != "" {
					return
				}
				seen.version = "2"
				check(t, a, now, c.want, p)
				if got := seen.checks.Load(); got != 2*first {
					t.Errorf("%d checks with other material, want %d", got-first, first)
				}
				check(t, a, now, c.want, l.sign(app, signing{shape: shape, by: c.by}))
				if got := seen.checks.Load(); got != 3*first {
					t.Errorf("%d checks of other evidence, want %d", got-2*first, first)
				}
			})
		}
	}
}

// What is remembered of an image's signature says nothing of another image, nor of other signers.
func TestMemoKeepsApart(t *testing.T) {
	l := home()
	scanner := l.person(leaf{edits: []edit{uris("https://scanner.example/")}})
	a := newAuthority(t, l.keyless(func(o *Options) {
		o.Attestations = []AttestationOptions{{
			PredicateType: scanType,
			SignedBy:      &SignerOptions{Keyless: &KeylessOptions{Identities: []IdentityOptions{{Issuer: provider, Subject: "https://scanner.example/"}}}},
		}}
	}))
	signature, good, byOther := l.sign(app, signing{}), l.sign(app, scan(true, 1, scanner)), l.sign(app, scan(true, 1, nil))
	for range 2 {
		check(t, a, now, "", signature, good)
		check(t, a, now, "subject is", signature, byOther)
		proofs, err := a.Check(app.At(image.SHA256([]byte("other"))), items(signature, good), now)
		wantNo(t, proofs, err, "about another image")
	}
}

// One attestation may be looked at for two demands, with other signers.
func TestMemoKeepsSignersApart(t *testing.T) {
	l := home()
	scanner := l.person(leaf{edits: []edit{uris("https://scanner.example/")}})
	by := func(subject string) AttestationOptions {
		return AttestationOptions{PredicateType: scanType, Select: "any", SignedBy: &SignerOptions{Keyless: &KeylessOptions{Identities: []IdentityOptions{{Issuer: provider, Subject: subject}}}}}
	}
	a := newAuthority(t, l.keyless(func(o *Options) {
		o.Signature, o.Attestations = "none", []AttestationOptions{by("https://scanner.example/"), by(workflow)}
	}))
	one, two := l.sign(app, scan(true, 1, scanner)), l.sign(app, scan(true, 1, nil))
	for range 2 {
		check(t, a, now, "", one, two)
		check(t, a, now, "subject is", one)
		check(t, a, now, "subject is", two)
	}
}

// A result that depends on the clock is looked at anew, in both directions.
func TestMemoAndTheClock(t *testing.T) {
	l := home()
	a := newAuthority(t, l.keyless(ignoreLog))
	p := l.sign(app, signing{logs: []*rekorLog{}})
	for range 2 {
		check(t, a, signed.Add(time.Minute), "", p)
		check(t, a, now, "certificate now", p)
		check(t, a, signed.Add(9*time.Minute), "", p)
		check(t, a, signed.Add(-time.Minute), "certificate now", p)
	}
	b := newAuthority(t, l.keyless(ignoreLog))
	check(t, b, now, "certificate now", p)
	check(t, b, signed.Add(time.Minute), "", p)
}

// keySource is a key that may not be known, as one of a key management service.
type keySource struct {
	material.KeySource
	key *material.Key
	err error
}

func (k *keySource) Key(time.Time) (*material.Key, error) { return k.key, k.err }
func (k *keySource) Version() string {
	if k.key == nil {
		return ""
	}
	return k.key.Version()
}

// A key that cannot be had is "cannot tell", which is not remembered; another key decides anew.
func TestMemoAndKeys(t *testing.T) {
	l := home()
	one, two := bare(ecKey(elliptic.P256())), bare(ecKey(elliptic.P256()))
	a := newAuthority(t, l.keyed(one))
	source := &keySource{err: errors.New("the service is sealed")}
	a.signer.keys[0].source = source
	p := l.sign(app, signing{by: one})
	proofs, err := a.Check(app, items(p), now)
	wantUnclear(t, proofs, err, "sealed")
	source.key, source.err = must(material.NewKey(one.key.Public())), nil
	check(t, a, now, "", p)
	source.key = must(material.NewKey(two.key.Public()))
	check(t, a, now, "not signed by the key", p)
	check(t, a, now, "", l.sign(app, signing{by: two}))
	source.key = must(material.NewKey(one.key.Public()))
	check(t, a, now, "", p)
	source.key, source.err = nil, errors.New("the service is sealed")
	proofs, err = a.Check(app, items(p), now)
	wantUnclear(t, proofs, err, "sealed")
}

// unknown is trust material that cannot be used.
type unknown struct{ material.Source }

func (unknown) Root(time.Time) (*material.Root, error) { return nil, errors.New("was never fetched") }
func (unknown) Version() string                        { return "" }

// T5: trust material that cannot be used is "cannot tell", whatever was remembered.
func TestT5_NoMaterial(t *testing.T) {
	l := home()
	a := newAuthority(t, l.keyless())
	p := l.sign(app, signing{})
	check(t, a, now, "", p)
	a.material = unknown{a.material}
	proofs, err := a.Check(app, items(p), now)
	wantUnclear(t, proofs, err, "was never fetched")
}

// T27: an item is remembered by all of its content.
func TestT27_SumTellsItemsApart(t *testing.T) {
	base := trust.Item{MediaType: "a", Annotations: map[string]string{"b": "c", "d": "e"}, Bytes: []byte("f")}
	sums := map[[32]byte]int{}
	for i, change := range []func(*trust.Item){
		func(*trust.Item) {},
		func(i *trust.Item) { i.MediaType = "ab" },
		func(i *trust.Item) { i.Bytes = []byte("ff") },
		func(i *trust.Item) { i.Bytes = nil },
		func(i *trust.Item) { i.Annotations["b"] = "cd" },
		func(i *trust.Item) { i.Annotations["b"] = "" },
		func(i *trust.Item) { delete(i.Annotations, "b") },
		func(i *trust.Item) { i.Annotations = map[string]string{"b": "cde"} },
		func(i *trust.Item) { i.Annotations = map[string]string{"bc": "", "d": "e"} },
		func(i *trust.Item) { i.Annotations = map[string]string{"b": "e", "d": "c"} },
		func(i *trust.Item) { i.Annotations, i.MediaType = nil, "abcde" },
	} {
		item := base
		item.Annotations = maps.Clone(base.Annotations)
		change(&item)
		key := sum(&item)
		if before, found := sums[key]; found {
			t.Errorf("items %d and %d are the same", before, i)
		}
		sums[key] = i
	}
	named := base
	named.Name = "found elsewhere"
	if sum(&named) != sum(&base) {
		t.Error("the name of an item, which proves nothing, makes it another")
	}
}

// T43: what is remembered is bounded by all that it holds, annotations among it.
func TestT43_MemoIsBounded(t *testing.T) {
	a := newAuthority(t, home().keyless())
	item := trust.Item{MediaType: typeSimpleSigning, Annotations: map[string]string{annotationSignature: "AAAA", "x": strings.Repeat("x", 1<<20)}, Bytes: []byte("{}")}
	for i := range 200 {
		item.Bytes = []byte(strings.Repeat(" ", i))
		_, _ = a.decoded(outcomeKey{item: sum(&item)}, &item)
	}
	a.memo.outcomes.CleanUp()
	if n := a.memo.outcomes.EstimatedSize(); n > maxMemo>>20 {
		t.Errorf("%d items of more than 1 MiB each are remembered, in %d MiB", n, maxMemo>>20)
	}
}
