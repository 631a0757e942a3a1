package notation

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

var record = flag.Bool("record", false, "write testdata/recorded anew")

// recorded are signatures with fixed keys: what fuzzing finds must mean the same in the next process.
type recorded struct {
	Now       time.Time `json:"now"`
	Digest    string    `json:"digest"`
	Root, TSA string    // PEM
	Plain     map[string][]byte
	Stamped   map[string][]byte
}

const recordedFile = "testdata/recorded.json"

func readRecorded(t testing.TB) (r recorded, a []trust.Authority, ref image.Ref) {
	t.Helper()
	content, err := os.ReadFile(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	o := Options{TrustStores: TrustStores{CA: []StoreOptions{{PEM: r.Root}}}, Identities: []string{subject}}
	a = append(a, newAuthority(t, o))
	o.TrustStores.TSA = []StoreOptions{{PEM: r.TSA}}
	return r, append(a, newAuthority(t, o)), app.At(image.MustParseDigest(r.Digest))
}

// Signatures that were made once are read for ever. go test -run TestRecorded -record makes new ones; their keys are not kept.
func TestRecorded(t *testing.T) {
	if *record {
		root, tsa := issue(t, nil), issue(t, nil, caNamed("tsa root"))
		leaf := issue(t, root)
		r := recorded{Now: now, Digest: app.Digest().String(), Root: root.pem(), TSA: tsa.pem(), Plain: map[string][]byte{}, Stamped: map[string][]byte{}}
		for _, kind := range []string{typeJWS, typeCOSE} {
			r.Plain[kind] = sign(t, request{mediaType: kind, by: leaf, digest: app.Digest()})
			r.Stamped[kind] = sign(t, request{mediaType: kind, by: leaf, digest: app.Digest(), edit: stampedBy(newStamper(t, tsa, signedAt))})
		}
		content, err := json.MarshalIndent(r, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(recordedFile, append(content, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, authorities, ref := readRecorded(t)
	for _, kind := range []string{typeJWS, typeCOSE} {
		for i, content := range [][]byte{r.Plain[kind], r.Stamped[kind]} {
			proofs, err := authorities[i].Check(ref, trust.Evidence{Items: []trust.Item{{Name: "x", MediaType: kind, Bytes: content}}}, r.Now)
			wantProved(t, proofs, err)
		}
	}
}

// fuzzEnvelope looks at what is made of an envelope of which only bytes changed: it never panics, and proves nothing but app.
func fuzzEnvelope(f *testing.F, mediaType string) {
	r, authorities, ref := readRecorded(f)
	f.Add(r.Plain[mediaType])
	f.Add(r.Stamped[mediaType])
	f.Add([]byte("{}"))
	f.Add([]byte("\xd2\x84\x40\xa0\x40\x40"))
	other := ref.At(image.SHA256([]byte("other")))
	f.Fuzz(func(t *testing.T, envelope []byte) {
		ev := trust.Evidence{Items: []trust.Item{{Name: "x", MediaType: mediaType, Bytes: envelope}}}
		for _, a := range authorities {
			proofs, err := a.Check(ref, ev, r.Now)
			if (err == nil) == (len(proofs) == 0) || err != nil && !trust.IsNo(err) {
				t.Fatalf("%d proofs, error %v", len(proofs), err)
			}
			if proofs, err := a.Check(other, ev, r.Now); err == nil || len(proofs) > 0 {
				t.Fatal("proves another image")
			}
		}
	})
}

func FuzzJWS(f *testing.F)  { fuzzEnvelope(f, typeJWS) }
func FuzzCOSE(f *testing.F) { fuzzEnvelope(f, typeCOSE) }

// FuzzIdentity: an identity that can be read matches no subject but one that has all of its attributes.
func FuzzIdentity(f *testing.F) {
	for _, s := range []string{"C=US, ST=WA, O=Acme, CN=ci", `O=A\, B`, "O=#0c0441", "1.2.3=#130178", "O=a+CN=b", "O="} {
		f.Add(s, []byte{})
	}
	f.Add("O=Acme", issue(f, nil).cert.RawSubject)
	f.Fuzz(func(t *testing.T, text string, subject []byte) {
		id, err := parseIdentity(subjectPrefix + text)
		if err != nil {
			return
		}
		if len(id) == 0 {
			t.Fatal("an identity of nobody")
		}
		has, err := subjectOf(&x509.Certificate{RawSubject: subject})
		if err != nil {
			return
		}
		if id.matches(has) && len(has) < len(id) {
			t.Fatalf("%v matches %v", id, has)
		}
	})
}

// FuzzAnswers: no bytes but signed ones say that a certificate is good.
func FuzzAnswers(f *testing.F) {
	root := issue(f, nil)
	leaf := issue(f, root)
	foreign := issue(f, nil)
	f.Add(says(f, foreign, foreign, nil)(leaf.cert.SerialNumber))
	f.Add(lists(f, foreign, nil)())
	point, err := asn1.Marshal(issuingPoint{OnlyUsers: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(point)
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, kind := range []string{typeOCSP, typeCRL, typeNoAnswer} {
			if _, err := checkAnswer(trust.Item{MediaType: kind, Bytes: answer}, leaf.cert, root.cert, now); err == nil {
				t.Fatalf("%s is good", kind)
			}
		}
	})
}
