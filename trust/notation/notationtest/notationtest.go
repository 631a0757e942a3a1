// Package notationtest makes signatures of the Notary Project as its tools do, and as attackers would.
package notationtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"

	"github.com/assay-dev/assay/image"
)

// Media types of envelopes, and of what names them.
const (
	JWS  = jws.MediaTypeEnvelope
	COSE = cose.MediaTypeEnvelope

	Payload   = "application/vnd.cncf.notary.payload.v1+json"
	Signature = "application/vnd.cncf.notary.signature" // of the manifest that refers to the image
	Manifest  = "application/vnd.oci.image.manifest.v1+json"
)

// Holder is a certificate with its key and those that issued it.
type Holder struct {
	Cert  *x509.Certificate
	Key   *ecdsa.PrivateKey
	Chain []*x509.Certificate // itself first
}

// Name is a name in a certificate.
func Name(cn string) pkix.Name {
	return pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"Acme"}, CommonName: cn}
}

// CA makes a certificate one of an authority.
func CA(cn string, at time.Time) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid, c.ExtKeyUsage = Name(cn), true, true, nil
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		c.NotBefore, c.NotAfter = at.AddDate(-1, 0, 0), at.AddDate(9, 0, 0)
	}
}

// Issue makes a certificate for "ci", valid for a day before and after a time; a nil issuer makes a root.
func Issue(at time.Time, issuer *Holder, edits ...func(*x509.Certificate)) *Holder {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(err)
	c := &x509.Certificate{
		SerialNumber: serial, Subject: Name("ci"), NotBefore: at.Add(-24 * time.Hour), NotAfter: at.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if issuer == nil {
		CA("root", at)(c)
	}
	for _, e := range edits {
		e(c)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	made := &Holder{Key: key}
	parent, parentKey := c, key
	if issuer != nil {
		parent, parentKey = issuer.Cert, issuer.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	must(err)
	made.Cert, err = x509.ParseCertificate(der)
	must(err)
	made.Chain = []*x509.Certificate{made.Cert}
	if issuer != nil {
		made.Chain = append(made.Chain, issuer.Chain...)
	}
	return made
}

// PEM writes the certificate.
func (h *Holder) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Cert.Raw}))
}

// Request is a signature that is to be made.
type Request struct {
	MediaType string // "": JWS
	By        *Holder
	Digest    image.Digest
	At        time.Time
	Edit      func(*signature.SignRequest)
	Payload   string // in the place of the usual one
}

// Sign makes an envelope.
func Sign(r Request) ([]byte, error) {
	signer, err := signature.NewLocalSigner(r.By.Chain, r.By.Key)
	if err != nil {
		return nil, err
	}
	if r.Payload == "" {
		r.Payload = fmt.Sprintf(`{"targetArtifact":{"mediaType":%q,"digest":%q,"size":100,"annotations":{"stage":"release"}}}`, Manifest, r.Digest)
	}
	req := &signature.SignRequest{
		Payload: signature.Payload{ContentType: Payload, Content: []byte(r.Payload)}, Signer: signer, SigningTime: r.At,
		SigningScheme: signature.SigningSchemeX509, SigningAgent: "test",
	}
	if r.Edit != nil {
		r.Edit(req)
	}
	if r.MediaType == "" {
		r.MediaType = JWS
	}
	envelope, err := signature.NewEnvelope(r.MediaType)
	if err != nil {
		return nil, err
	}
	return envelope.Sign(req)
}

// Referrer is the manifest by which an envelope, which is a blob of the registry as "{}" is, refers to an image.
func Referrer(ref image.Ref, mediaType string, envelope []byte, at time.Time, chain ...*x509.Certificate) []byte {
	content, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": Manifest, "config": map[string]any{"mediaType": Signature, "digest": image.SHA256([]byte("{}")).String(), "size": 2},
		"layers":      []any{map[string]any{"mediaType": mediaType, "digest": image.SHA256(envelope).String(), "size": len(envelope)}},
		"subject":     map[string]any{"mediaType": Manifest, "digest": ref.Digest().String(), "size": 100},
		"annotations": map[string]string{"org.opencontainers.image.created": at.Format(time.RFC3339), "io.cncf.notary.x509chain.thumbprint#S256": thumbprints(chain)},
	})
	must(err)
	return content
}

func thumbprints(chain []*x509.Certificate) string {
	all := []string{}
	for _, c := range chain {
		sum := sha256.Sum256(c.Raw)
		all = append(all, hex.EncodeToString(sum[:]))
	}
	text, err := json.Marshal(all)
	must(err)
	return string(text)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
