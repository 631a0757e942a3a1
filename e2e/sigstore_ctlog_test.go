//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// maxChain is the most that the certificate log reads of a chain.
const maxChain = 1 << 20

// oidPoison marks a precertificate (RFC 6962, section 3.1).
var oidPoison = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}

// certificateLog signs for every certificate that it has seen it (RFC 6962, section 4). It keeps none: nobody asks for its tree.
type certificateLog struct {
	key *ecdsa.PrivateKey
}

func (l certificateLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Chain [][]byte `json:"chain"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxChain)).Decode(&request); err != nil || len(request.Chain) == 0 {
		http.Error(w, "want a chain", http.StatusBadRequest)
		return
	}
	var entry []byte
	var err error
	switch path.Base(r.URL.Path) {
	case "add-chain":
		entry, err = entryOf(request.Chain[0])
	case "add-pre-chain":
		entry, err = preEntryOf(request.Chain)
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.answer(w, entry)
}

func (l certificateLog) answer(w http.ResponseWriter, entry []byte) {
	sct, err := l.sign(entry)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answerJSON(w, sct)
}

// timestamped is a signed certificate timestamp, as the log answers it.
type timestamped struct {
	Version    int    `json:"sct_version"`
	ID         []byte `json:"id"`
	Timestamp  uint64 `json:"timestamp"`
	Extensions string `json:"extensions"`
	Signature  []byte `json:"signature"`
}

func (l certificateLog) sign(entry []byte) (timestamped, error) {
	now := uint64(time.Now().UnixMilli())
	spki, err := x509.MarshalPKIXPublicKey(l.key.Public())
	if err != nil {
		return timestamped{}, err
	}
	var signed cryptobyte.Builder
	signed.AddUint8(0) // version 1
	signed.AddUint8(0) // certificate_timestamp
	signed.AddUint64(now)
	signed.AddBytes(entry)
	signed.AddUint16(0) // no extensions
	sum := sha256.Sum256(signed.BytesOrPanic())
	value, err := ecdsa.SignASN1(rand.Reader, l.key, sum[:])
	if err != nil {
		return timestamped{}, err
	}
	var signature cryptobyte.Builder
	signature.AddUint8(4) // SHA-256
	signature.AddUint8(3) // ECDSA
	signature.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(value) })
	id := sha256.Sum256(spki)
	return timestamped{ID: id[:], Timestamp: now, Signature: signature.BytesOrPanic()}, nil
}

// entryOf is what is signed of a certificate.
func entryOf(der []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint16(0) // x509_entry
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
	return b.Bytes()
}

// preEntryOf is what is signed of a precertificate: who issues it, and the certificate that it will be, without the poison.
func preEntryOf(chain [][]byte) ([]byte, error) {
	if len(chain) < 2 {
		return nil, errors.New("want a precertificate and its issuer")
	}
	precert, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, err
	}
	issuer, err := x509.ParseCertificate(chain[1])
	if err != nil {
		return nil, err
	}
	tbs, err := withoutPoison(precert.RawTBSCertificate)
	if err != nil {
		return nil, err
	}
	issuerKey := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	var b cryptobyte.Builder
	b.AddUint16(1) // precert_entry
	b.AddBytes(issuerKey[:])
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(tbs) })
	return b.Bytes()
}

// tbsCertificate is a TBSCertificate (RFC 5280, section 4.1) of which only the extensions are looked into.
type tbsCertificate struct {
	Version    int `asn1:"optional,explicit,default:0,tag:0"`
	Serial     asn1.RawValue
	Algorithm  asn1.RawValue
	Issuer     asn1.RawValue
	Validity   asn1.RawValue
	Subject    asn1.RawValue
	PublicKey  asn1.RawValue
	Extensions []pkix.Extension `asn1:"optional,explicit,tag:3"`
}

func withoutPoison(der []byte) ([]byte, error) {
	var tbs tbsCertificate
	if _, err := asn1.Unmarshal(der, &tbs); err != nil {
		return nil, err
	}
	tbs.Extensions = slices.DeleteFunc(tbs.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidPoison) })
	return asn1.Marshal(tbs)
}
