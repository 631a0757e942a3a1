package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"sync"
	"testing"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/assay-dev/assay/image"
)

var (
	app    = image.MustParse("registry.example/team/app").At(image.SHA256([]byte("app")))
	other  = image.MustParse("registry.example/team/app").At(image.SHA256([]byte("other")))
	signed = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // when test signatures are made; leaves are issued then and live ten minutes
	now    = signed.Add(24 * time.Hour)
	year   = 365 * 24 * time.Hour
)

// The identity that tests sign with.
const (
	provider = "https://issuer.example"
	workflow = "https://git.example/acme/app/.ci/release.yml@refs/tags/v1"
)

// lab is a Sigstore instance of a test: authorities and logs with keys, and what they make.
type lab struct {
	root, inter *ca
	ct          []*ctLog
	rekor       []*rekorLog // Rekor v1
	tiles       []*rekorLog // Rekor v2
	tsa         []*tsa
}

// newLab makes an instance with two of each kind of log.
func newLab() *lab {
	l := &lab{root: newCA(nil, elliptic.P256())}
	l.inter = newCA(l.root, elliptic.P256())
	for i := range 2 {
		suffix := string(rune('a'+i)) + ".example"
		l.ct = append(l.ct, &ctLog{logKey: newLogKey()})
		l.rekor = append(l.rekor, &rekorLog{logKey: newLogKey(), host: "rekor-" + suffix, tree: 42 + i})
		l.tiles = append(l.tiles, &rekorLog{logKey: newLogKey(), host: "tiles-" + suffix})
		l.tsa = append(l.tsa, newTSA("https://tsa-"+suffix))
	}
	return l
}

// The instance that the authorities under test trust, another one just like it, and one with keys on P-384 as Sigstore's own has. They
// are made once: nothing in them changes.
var (
	home    = sync.OnceValue(newLab)
	foreign = sync.OnceValue(newLab)
	costly  = sync.OnceValue(func() *lab {
		l := newLab()
		l.root = newCA(nil, elliptic.P384())
		l.inter = newCA(l.root, elliptic.P384())
		return l
	})
)

// logKey is the key of a log with the ID that it has everywhere.
type logKey struct {
	key *ecdsa.PrivateKey
	id  [sha256.Size]byte
}

func newLogKey() logKey {
	key := ecKey(elliptic.P256())
	return logKey{key: key, id: sha256.Sum256(spki(key.Public()))}
}

func (k *logKey) hexID() string { return hex.EncodeToString(k.id[:]) }

// sign signs the SHA-256 of a message.
func (k *logKey) sign(message []byte) []byte {
	digest := sha256.Sum256(message)
	return must(ecdsa.SignASN1(rand.Reader, k.key, digest[:]))
}

// trusted returns the trusted_root.json of the instance, after some edits.
func (l *lab) trusted(edits ...func(*prototrustroot.TrustedRoot)) string {
	chain := func(certs ...*x509.Certificate) *protocommon.X509CertificateChain {
		c := &protocommon.X509CertificateChain{}
		for _, cert := range certs {
			c.Certificates = append(c.Certificates, &protocommon.X509Certificate{RawBytes: cert.Raw})
		}
		return c
	}
	pb := &prototrustroot.TrustedRoot{
		MediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		CertificateAuthorities: []*prototrustroot.CertificateAuthority{{
			Uri: "https://fulcio.example", CertChain: chain(l.inter.cert, l.root.cert), ValidFor: validFor(),
		}},
	}
	for _, t := range l.tsa {
		pb.TimestampAuthorities = append(pb.TimestampAuthorities, &prototrustroot.CertificateAuthority{
			Uri: t.url, CertChain: chain(t.leaf, t.inter.cert, t.root.cert), ValidFor: validFor(),
		})
	}
	for i := range l.ct {
		pb.Ctlogs = append(pb.Ctlogs, l.ct[i].instance("https://ct.example"))
	}
	for _, r := range append(l.rekor[:len(l.rekor):len(l.rekor)], l.tiles...) {
		pb.Tlogs = append(pb.Tlogs, r.instance((&url.URL{Scheme: "https", Host: r.host}).String()))
	}
	for _, e := range edits {
		e(pb)
	}
	return string(must(protojson.Marshal(pb)))
}

// validFor is the time in which the keys of a lab count.
func validFor() *protocommon.TimeRange {
	return &protocommon.TimeRange{Start: timestamppb.New(signed.Add(-year)), End: timestamppb.New(signed.Add(5 * year))}
}

// instance is a log's entry in a trusted_root.json.
func (k *logKey) instance(url string) *prototrustroot.TransparencyLogInstance {
	return &prototrustroot.TransparencyLogInstance{
		BaseUrl:       url,
		HashAlgorithm: protocommon.HashAlgorithm_SHA2_256,
		LogId:         &protocommon.LogId{KeyId: k.id[:]},
		PublicKey: &protocommon.PublicKey{
			RawBytes: spki(k.key.Public()), KeyDetails: protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, ValidFor: validFor(),
		},
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ecKey(curve elliptic.Curve) *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(curve, rand.Reader))
}

// rsaKey is made once: it takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

func edKey() ed25519.PrivateKey { return must2(ed25519.GenerateKey(rand.Reader)) }

func must2[T, U any](_ T, v U, err error) U { return must(v, err) }

func spki(public crypto.PublicKey) []byte { return must(x509.MarshalPKIXPublicKey(public)) }

func pemKey(public crypto.PublicKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki(public)}))
}

func pemOf(certs ...*x509.Certificate) string {
	var text []byte
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return string(text)
}

// The lab makes what real clients and servers make; that it does not agree with itself alone is shown by TestRecorded.
func TestLabIsTrusted(t *testing.T) {
	for name, l := range map[string]*lab{"P-256": home(), "P-384": costly()} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, l.keyless())
			check(t, a, now, "", l.sign(app, signing{}))
		})
	}
}
