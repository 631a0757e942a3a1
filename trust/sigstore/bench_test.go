package sigstore

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/digitorus/timestamp"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/assay-dev/assay/trust"
)

// signatureCheck is one bare check of a signature.
type signatureCheck struct {
	key       crypto.PublicKey
	digest    []byte
	signature []byte
}

func (c *signatureCheck) run() bool {
	return ecdsa.VerifyASN1(c.key.(*ecdsa.PublicKey), c.digest, c.signature)
}

// benched is evidence with the signature checks that a check of it makes: those that it needs, and those that it could do without.
type benched struct {
	options Options
	item    publication
	needed  []signatureCheck
	spare   []signatureCheck
}

func checkOf(key crypto.PublicKey, h crypto.Hash, message, signature []byte) signatureCheck {
	return signatureCheck{key, digestOf(h, message), signature}
}

func certificateCheck(c, by *x509.Certificate) signatureCheck {
	h := crypto.SHA256
	if by.PublicKey.(*ecdsa.PublicKey).Curve == elliptic.P384() {
		h = crypto.SHA384
	}
	return checkOf(by.PublicKey, h, c.RawTBSCertificate, c.Signature)
}

// benchKey is evidence by a key, without a log.
func benchKey() map[string]*benched {
	key := bare(ecKey(elliptic.P256()))
	all := map[string]*benched{}
	for name, shape := range map[string]shape{"bundle": bundleSignature, "signature": legacySignature} {
		b := &benched{options: home().keyed(key, ignoreLog, withoutMaterial)}
		b.item = home().sign(app, signing{shape: shape, by: key, logs: []*rekorLog{}, made: func(m *made) {
			message := m.payload
			if shape == bundleSignature {
				message = dsse.PAE(m.payloadType, m.payload)
			}
			b.needed = []signatureCheck{checkOf(key.key.Public(), crypto.SHA256, message, m.signature)}
		}})
		all[name] = b
	}
	return all
}

// benchKeyless is evidence by an identity, with authorities on P-384 as those of the public good instance are.
func benchKeyless() map[string]*benched {
	l := costly()
	someone := l.person(leaf{claims: allClaims()})
	all := map[string]*benched{}
	for name, s := range map[string]signing{
		"Rekor_v1":  {shape: bundleSignature, neighbours: 1000},
		"Rekor_v2":  {shape: bundleSignature, logs: l.tiles[:1], stamps: l.tsa[:1], neighbours: 1000},
		"signature": {},
	} {
		b := &benched{options: l.keyless()}
		s.by = someone
		s.made = func(m *made) { b.collect(l, someone, m) }
		b.item = l.sign(app, s)
		all[name] = b
	}
	return all
}

// collect lists the signature checks for a signature.
func (b *benched) collect(l *lab, by *signer, m *made) {
	message := m.payload
	if m.shape == bundleSignature {
		message = dsse.PAE(m.payloadType, m.payload)
	}
	b.needed = append(b.needed, checkOf(by.key.Public(), crypto.SHA256, message, m.signature), certificateCheck(by.cert, l.inter.cert), sctCheck(l, by))
	if m.shape == legacySignature { // the library checks the signature once more when it reads such an entry
		b.spare = append(b.spare, b.needed[0])
	}
	for i, e := range m.entries {
		log := m.logs[i]
		if set := e.GetInclusionPromise().GetSignedEntryTimestamp(); set != nil {
			b.needed = append(b.needed, checkOf(log.key.Public(), crypto.SHA256, promiseOf(e, log.hexID()), set))
		}
		if e.InclusionProof != nil && m.shape.bundles() {
			text, signatures, _ := strings.Cut(e.InclusionProof.Checkpoint.Envelope, "\n\n")
			signature := must(base64.StdEncoding.DecodeString(strings.TrimSpace(signatures[strings.LastIndex(signatures, " ")+1:])))
			b.needed = append(b.needed, checkOf(log.key.Public(), crypto.SHA256, []byte(text+"\n"), signature[4:]))
		}
	}
	for i, s := range m.stamps {
		t := m.signing.stamps[i]
		b.needed = append(b.needed, stampCheck(t, s))
		b.spare = append(b.spare, certificateCheck(t.leaf, t.inter.cert), certificateCheck(t.inter.cert, t.root.cert))
	}
}

// sctCheck is that of the one timestamp in a certificate; its message is made again as the log made it.
func sctCheck(l *lab, by *signer) signatureCheck {
	for _, e := range by.cert.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}) {
			continue
		}
		var list []byte
		if _, err := asn1.Unmarshal(e.Value, &list); err != nil {
			panic(err)
		}
		// What is hashed does not matter to the cost: a message of the same length, signed by the same key.
		message := bytes.Repeat([]byte("x"), len(by.cert.RawTBSCertificate)-len(list)+2+1+1+8+2+32+3+2)
		return checkOf(l.ct[0].key.Public(), crypto.SHA256, message, l.ct[0].sign(message))
	}
	panic("no timestamp")
}

// stampCheck is that of a time stamp, over a message of the length of its signed attributes.
func stampCheck(t *tsa, stamp []byte) signatureCheck {
	if _, err := timestamp.ParseResponse(stamp); err != nil {
		panic(err)
	}
	key := t.key.(*ecdsa.PrivateKey)
	message := bytes.Repeat([]byte("x"), 200)
	digest := sha256.Sum256(message)
	return signatureCheck{key.Public(), digest[:], must(key.Sign(nil, digest[:], crypto.SHA256))}
}

// bench checks evidence that was never seen before.
func bench(b *testing.B, all map[string]*benched) {
	for name, one := range all {
		b.Run(name, func(b *testing.B) {
			a := newAuthority(b, one.options)
			ev := items(one.item)
			check(b, a, now, "", one.item)
			b.ReportAllocs()
			for b.Loop() {
				a.memo.outcomes.InvalidateAll()
				if _, err := a.Check(app, ev, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// floor makes the bare signature checks that were made for the same evidence, and nothing else.
func floor(b *testing.B, all map[string]*benched) {
	for name, one := range all {
		b.Run(name, func(b *testing.B) {
			checks := append(one.needed[:len(one.needed):len(one.needed)], one.spare...)
			b.ReportAllocs()
			for b.Loop() {
				for i := range checks {
					if !checks[i].run() {
						b.Fatal("does not hold")
					}
				}
			}
			b.ReportMetric(float64(len(checks)), "checks/op")
			b.ReportMetric(float64(len(one.spare)), "avoidable/op")
		})
	}
}

func BenchmarkCheckKey(b *testing.B)          { bench(b, benchKey()) }
func BenchmarkFloorCheckKey(b *testing.B)     { floor(b, benchKey()) }
func BenchmarkCheckKeyless(b *testing.B)      { bench(b, benchKeyless()) }
func BenchmarkFloorCheckKeyless(b *testing.B) { floor(b, benchKeyless()) }

// BenchmarkCheckMemo checks evidence that was checked before.
func BenchmarkCheckMemo(b *testing.B) {
	for name, one := range map[string]*benched{"key": benchKey()["bundle"], "keyless": benchKeyless()["Rekor_v1"]} {
		b.Run(name, func(b *testing.B) {
			a := newAuthority(b, one.options)
			ev := items(one.item)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Check(app, ev, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCheckFlood checks as many pieces as are looked at, all of which are junk with a copy of the right certificate.
func BenchmarkCheckFlood(b *testing.B) {
	l := home()
	a := newAuthority(b, l.keyless())
	var ev trust.Evidence
	for i := range trust.MaxSignatures {
		p := l.sign(app, signing{made: func(m *made) { m.signature = []byte("junk") }})
		p.Annotations["number"] = fmt.Sprint(i)
		ev.Items = append(ev.Items, p.Item)
	}
	for b.Loop() {
		a.memo.outcomes.InvalidateAll()
		if _, err := a.Check(app, ev, now); err == nil {
			b.Fatal("proved")
		}
	}
}
