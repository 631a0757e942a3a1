package sigstore

import (
	"crypto"
	"crypto/elliptic"
	"testing"

	"github.com/assay-dev/assay/trust"
)

// Every kind of key, hashed as cosign 2 (always SHA-256) and cosign 3 (what suits the key) do, logged where the log takes it.
func TestKindsOfKeys(t *testing.T) {
	l := home()
	none := []*rekorLog{}
	ed := edKey()
	for name, c := range map[string]struct {
		key  crypto.Signer
		hash crypto.Hash
		logs []*rekorLog
	}{
		"P-256":                       {ecKey(elliptic.P256()), 0, nil},
		"P-256, Rekor v2":             {ecKey(elliptic.P256()), 0, l.tiles[:1]},
		"P-384":                       {ecKey(elliptic.P384()), 0, none},
		"P-384, SHA-256":              {ecKey(elliptic.P384()), crypto.SHA256, none},
		"P-384, Rekor v2":             {ecKey(elliptic.P384()), 0, l.tiles[:1]},
		"P-521":                       {ecKey(elliptic.P521()), 0, none},
		"P-521, SHA-256":              {ecKey(elliptic.P521()), crypto.SHA256, none},
		"P-521, Rekor v2":             {ecKey(elliptic.P521()), 0, l.tiles[:1]},
		"RSA":                         {rsaKey(), 0, nil},
		"RSA, Rekor v2":               {rsaKey(), 0, l.tiles[:1]},
		"Ed25519":                     {ed, 0, none},
		"Ed25519, prehashed, Rekor 2": {&prehashed{ed}, crypto.SHA512, l.tiles[:1]},
	} {
		for _, shape := range []shape{legacySignature, bundleSignature, bundleAttestation} {
			if shape == legacySignature && len(c.logs) > 0 {
				continue // Rekor v2 has no place in this shape
			}
			t.Run(name, func(t *testing.T) {
				by := bare(c.key)
				var edits []func(*Options)
				if c.logs != nil && len(c.logs) == 0 {
					edits = append(edits, ignoreLog, withoutMaterial)
				}
				if shape.attests() {
					edits = append(edits, onlyAttested)
				}
				s := signing{shape: shape, by: by, hash: c.hash, logs: c.logs}
				a := newAuthority(t, l.keyed(by, edits...))
				proofs := check(t, a, now, "", l.sign(app, s))
				if want := trust.Fingerprint(spki(c.key.Public())); proofs[0].Signers[0].Key != want {
					t.Errorf("key %s, want %s", proofs[0].Signers[0].Key, want)
				}
				s.made = func(m *made) { m.signature[len(m.signature)/2] ^= 1 }
				check(t, a, now, " ", l.sign(app, s))
			})
		}
	}
}

// Several keys: any of them counts, and the proof names the one that signed.
func TestSeveralKeys(t *testing.T) {
	l := home()
	one, two, three := bare(ecKey(elliptic.P256())), bare(edKey()), bare(ecKey(elliptic.P256()))
	o := l.options(SignerOptions{Keys: []KeyOptions{{PEM: pemKey(one.key.Public())}, {PEM: pemKey(two.key.Public())}}}, ignoreLog, withoutMaterial)
	a := newAuthority(t, o)
	for _, by := range []*signer{one, two} {
		proofs := check(t, a, now, "", l.sign(app, signing{by: by, logs: []*rekorLog{}}))
		if proofs[0].Signers[0].Key != trust.Fingerprint(spki(by.key.Public())) {
			t.Errorf("signer %+v", proofs[0].Signers[0])
		}
	}
	check(t, a, now, "not signed by any of the 2 keys of the policy", l.sign(app, signing{by: three, logs: []*rekorLog{}}))
}
