package notation

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/tspclient-go"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notation/notationtest"
	"github.com/assay-dev/assay/trust/trusttest"
)

const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	subject      = "x509.subject: C=US, ST=WA, O=Acme, CN=ci"
)

var (
	signedAt = time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	now      = signedAt.Add(30 * time.Minute)
	app      = image.MustParse("registry.example/team/app:1").Pinned(image.SHA256([]byte("app")))
)

// holder is a certificate with its key and those that issued it.
type holder struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	chain []*x509.Certificate // itself first
}

type edit = func(*x509.Certificate)

func name(cn string) pkix.Name { return notationtest.Name(cn) }

// issue makes a certificate; a nil issuer makes a root.
func issue(t testing.TB, issuer *holder, edits ...edit) *holder {
	t.Helper()
	var by *notationtest.Holder
	if issuer != nil {
		by = issuer.maker()
	}
	made := notationtest.Issue(signedAt, by, edits...)
	return &holder{cert: made.Cert, key: made.Key, chain: made.Chain}
}

func (h *holder) maker() *notationtest.Holder {
	return &notationtest.Holder{Cert: h.cert, Key: h.key, Chain: h.chain}
}

func caNamed(cn string) edit { return notationtest.CA(cn, signedAt) }

func (h *holder) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.cert.Raw}))
}

// request is a signature that is to be made; see sign.
type request struct {
	mediaType string
	by        *holder
	digest    image.Digest
	edit      func(*signature.SignRequest)
	payload   string // in the place of the usual one
}

func sign(t testing.TB, r request) []byte {
	t.Helper()
	made, err := notationtest.Sign(notationtest.Request{
		MediaType: r.mediaType, By: r.by.maker(), Digest: r.digest, At: signedAt, Edit: r.edit, Payload: r.payload,
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// publish stores an envelope as notation does. It returns the manifest's digest.
func publish(t testing.TB, src *trusttest.Source, ref image.Ref, mediaType string, envelope []byte, chain ...*x509.Certificate) image.Digest {
	t.Helper()
	src.PutBlob(ref, envelope)
	var doc map[string]any
	if err := json.Unmarshal(notationtest.Referrer(ref, mediaType, envelope, signedAt, chain...), &doc); err != nil {
		t.Fatal(err)
	}
	return publishManifest(t, src, ref, doc)
}

func publishManifest(t testing.TB, src *trusttest.Source, ref image.Ref, doc map[string]any) image.Digest {
	t.Helper()
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	d := src.PutManifest(ref.At(ref.Digest()), typeManifest, body)
	annotations := map[string]string{}
	switch given := doc["annotations"].(type) {
	case map[string]string:
		annotations = given
	case map[string]any:
		for name, value := range given {
			annotations[name], _ = value.(string)
		}
	}
	src.PutReferrer(ref, trust.Descriptor{MediaType: typeManifest, ArtifactType: typeSignature, Digest: d, Size: int64(len(body)), Annotations: annotations})
	return d
}

func options(store *holder, edits ...func(*Options)) Options {
	o := Options{TrustStores: TrustStores{CA: []StoreOptions{{PEM: store.pem()}}}, Identities: []string{subject}}
	for _, e := range edits {
		e(&o)
	}
	return o
}

func newAuthority(t testing.TB, o Options) trust.Authority {
	t.Helper()
	a, err := New(Config{}).New(trusttest.Section{Options: o})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// decide finds and checks an envelope that was published for app.
func decide(t testing.TB, o Options, at time.Time, envelopes ...trust.Item) ([]trust.Proof, error) {
	t.Helper()
	src, a := new(trusttest.Source), newAuthority(t, o)
	for _, e := range envelopes {
		publish(t, src, app, e.MediaType, e.Bytes)
	}
	ev, err := a.Find(t.Context(), src, app)
	if err != nil {
		t.Fatal(err)
	}
	return a.Check(app, ev, at)
}

func jws(envelope []byte) trust.Item { return trust.Item{MediaType: typeJWS, Bytes: envelope} }

// stamper is a time-stamp authority whose clock stands.
type stamper struct {
	*holder
	at time.Time
}

func newStamper(t testing.TB, root *holder, at time.Time, edits ...edit) *stamper {
	t.Helper()
	return &stamper{at: at, holder: issue(t, root, append([]edit{func(c *x509.Certificate) {
		c.Subject = name("tsa")
		c.ExtKeyUsage = nil
		c.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 37}, Critical: true, Value: []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08}}}
		c.NotBefore, c.NotAfter = signedAt.AddDate(-1, 0, 0), signedAt.AddDate(5, 0, 0)
	}}, edits...)...)}
}

// Timestamp implements tspclient.Timestamper.
func (s *stamper) Timestamp(_ context.Context, r *tspclient.Request) (*tspclient.Response, error) {
	t := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: r.MessageImprint.HashedMessage, Time: s.at, Nonce: r.Nonce, Policy: []int{1, 2, 3},
		Certificates: s.chain[1:], AddTSACertificate: true, Accuracy: time.Second, Qualified: false,
	}
	der, err := t.CreateResponseWithOpts(s.cert, s.key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	made := new(tspclient.Response)
	return made, made.UnmarshalBinary(der)
}

// stampedBy has a signature stamped.
func stampedBy(s *stamper) func(*signature.SignRequest) {
	return func(r *signature.SignRequest) {
		pool := x509.NewCertPool()
		pool.AddCert(s.chain[len(s.chain)-1])
		r.Timestamper, r.TSARootCAs = s, pool
	}
}

func mustMarshal(t testing.TB, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// issueFor makes a certificate for a key that somebody else has a certificate for too.
func issueFor(t testing.TB, issuer *holder, key *ecdsa.PrivateKey) *holder {
	t.Helper()
	leaf := issue(t, issuer)
	der, err := x509.CreateCertificate(rand.Reader, leaf.cert, issuer.cert, key.Public(), issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{cert: cert, key: key, chain: append([]*x509.Certificate{cert}, issuer.chain...)}
}

// largeKey is a certificate with an RSA key of 9000 bits, which nobody has the other half of.
func largeKey(t testing.TB) []byte {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), 8999)
	n.SetBit(n, 0, 1)
	root := issue(t, nil)
	der, err := x509.CreateCertificate(rand.Reader, issue(t, root).cert, root.cert, &rsa.PublicKey{N: n, E: 65537}, root.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
