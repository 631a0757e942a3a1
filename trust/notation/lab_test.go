package notation

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/tspclient-go"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
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

func name(cn string) pkix.Name {
	return pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"Acme"}, CommonName: cn}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate; a nil issuer makes a root.
func issue(t testing.TB, issuer *holder, edits ...edit) *holder {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: name("ci"), NotBefore: signedAt.Add(-24 * time.Hour), NotAfter: signedAt.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if issuer == nil {
		caNamed("root")(c)
	}
	for _, e := range edits {
		e(c)
	}
	made := &holder{key: newKey(t)}
	parent, parentKey := c, made.key
	if issuer != nil {
		parent, parentKey = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, made.key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	if made.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	made.chain = []*x509.Certificate{made.cert}
	if issuer != nil {
		made.chain = append(made.chain, issuer.chain...)
	}
	return made
}

func caNamed(cn string) edit {
	return func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid, c.ExtKeyUsage = name(cn), true, true, nil
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		c.NotBefore, c.NotAfter = signedAt.AddDate(-1, 0, 0), signedAt.AddDate(9, 0, 0)
	}
}

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
	signer, err := signature.NewLocalSigner(r.by.chain, r.by.key)
	if err != nil {
		t.Fatal(err)
	}
	if r.payload == "" {
		r.payload = fmt.Sprintf(`{"targetArtifact":{"mediaType":%q,"digest":%q,"size":100,"annotations":{"stage":"release"}}}`, typeManifest, r.digest)
	}
	req := &signature.SignRequest{
		Payload: signature.Payload{ContentType: typePayload, Content: []byte(r.payload)}, Signer: signer, SigningTime: signedAt,
		SigningScheme: schemeX509, SigningAgent: "test",
	}
	if r.edit != nil {
		r.edit(req)
	}
	if r.mediaType == "" {
		r.mediaType = typeJWS
	}
	envelope, err := signature.NewEnvelope(r.mediaType)
	if err != nil {
		t.Fatal(err)
	}
	made, err := envelope.Sign(req)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// publish stores an envelope as notation does. It returns the manifest's digest.
func publish(t testing.TB, src *trusttest.Source, ref image.Ref, mediaType string, envelope []byte, chain ...*x509.Certificate) image.Digest {
	t.Helper()
	blob := src.PutBlob(ref, envelope)
	return publishManifest(t, src, ref, map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "config": map[string]any{"mediaType": typeSignature, "digest": image.SHA256([]byte("{}")).String(), "size": 2},
		"layers":      []any{map[string]any{"mediaType": mediaType, "digest": blob.String(), "size": len(envelope)}},
		"subject":     map[string]any{"mediaType": typeManifest, "digest": ref.Digest().String(), "size": 100},
		"annotations": map[string]string{annotationCreated: signedAt.Format(time.RFC3339), annotationThumbprint: thumbprints(chain)},
	})
}

func publishManifest(t testing.TB, src *trusttest.Source, ref image.Ref, doc map[string]any) image.Digest {
	t.Helper()
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	d := src.PutManifest(ref.At(ref.Digest()), typeManifest, body)
	annotations, _ := doc["annotations"].(map[string]string)
	src.PutReferrer(ref, trust.Descriptor{MediaType: typeManifest, ArtifactType: typeSignature, Digest: d, Size: int64(len(body)), Annotations: annotations})
	return d
}

func thumbprints(chain []*x509.Certificate) string {
	all := []string{}
	for _, c := range chain {
		sum := sha256.Sum256(c.Raw)
		all = append(all, hex.EncodeToString(sum[:]))
	}
	text, _ := json.Marshal(all)
	return string(text)
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
