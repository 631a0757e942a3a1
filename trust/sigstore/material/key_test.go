package material

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/assay-dev/assay/trust"
)

func TestParseKey(t *testing.T) {
	good := map[string]crypto.Signer{
		"P-256": ecKey(t), "P-384": curveKey(t, elliptic.P384()), "P-521": curveKey(t, elliptic.P521()), "RSA": rsaKey(t, 2048), "Ed25519": edKey(t),
	}
	for name, signer := range good {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKey(append([]byte("a comment\n"), publicPEM(t, signer)...))
			if err != nil {
				t.Fatal(err)
			}
			spki, _ := x509.MarshalPKIXPublicKey(signer.Public())
			if k.Fingerprint != trust.Fingerprint(spki) || k.Name() != k.Fingerprint || k.Version() != k.Fingerprint {
				t.Errorf("got fingerprint %s", k.Fingerprint)
			}
			if same, err := k.Key(now); same != k || err != nil {
				t.Errorf("got %v, %v", same, err)
			}
		})
	}
	rsaPublic := rsaKey(t, 2048).Public().(*rsa.PublicKey)
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(rsaPublic)})
	if _, err := ParseKey(pkcs1); err != nil {
		t.Errorf("PKCS #1: %v", err)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	w := newWorld(t)
	key := publicPEM(t, w.rekor)
	secret := "c2VjcmV0c2VjcmV0"
	private := func(kind string) []byte {
		return []byte("-----BEGIN " + kind + "-----\n" + secret + "\n-----END " + kind + "-----\n")
	}
	// A key of 1 024 bits, made by: openssl genrsa 1024 | openssl rsa -pubout; Go makes none any more.
	weak := []byte(`-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDP4F73S/9rThMqXqaIDKbD0KQR
WAdtSI0HHrDmjDMTptUfGj4U5c8EdVOfDSbgcUWf0U9Dx7a9t9TUaxQgPA8Z2FFv
xfC4+czCpEguwEYVCOR0zp2HDcQDwa6/+gBvVjesopnE2uiK0eWm9r7rrLua3lmP
ozuHU00EhcJYYmgWtwIDAQAB
-----END PUBLIC KEY-----
`)
	p224 := publicPEM(t, curveKey(t, elliptic.P224()))
	rows := []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "holds no public key in PEM"},
		{"junk", []byte("junk"), "holds no public key in PEM"},
		{"private key", private("PRIVATE KEY"), "is a private key; give the public one"},
		{"cosign's private key", private("ENCRYPTED SIGSTORE PRIVATE KEY"), "is a private key"},
		{"EC private key", private("EC PRIVATE KEY"), "is a private key"},
		{"public and private", append(bytes.Clone(key), private("PRIVATE KEY")...), "is a private key"},
		{"certificate", pemOf(w.root.cert), "is a certificate, not a public key"},
		{"two keys", append(bytes.Clone(key), key...), "holds several PEM blocks"},
		{"something after it", append(bytes.Clone(key), "junk"...), "has something else after the public key"},
		{"another block", private("SSH SIGNATURE"), `holds a PEM block "SSH SIGNATURE"`},
		{"no key in the block", private("PUBLIC KEY"), "public key: "},
		{"weak RSA", weak, "RSA key of 1024 bits"},
		{"P-224", p224, "ECDSA key on P-224"},
		{"too long", append(bytes.Clone(key), make([]byte, maxKey)...), "more than 65536 bytes"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			k, err := ParseKey(row.file)
			wants(t, err, row.want)
			if k != nil {
				t.Error("got a key")
			}
			if err != nil && strings.Contains(err.Error(), secret[:8]) {
				t.Errorf("the error repeats what stands in the file: %v", err)
			}
		})
	}
	if _, err := NewKey("no key"); err == nil {
		t.Error("a string is a key")
	}
}

// signatures of a message by a key, as signers write them.
func signatures(t *testing.T, signer crypto.Signer, message []byte) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	add := func(name string, toSign []byte, opts crypto.SignerOpts) {
		sig, err := signer.Sign(rand.Reader, toSign, opts)
		if err != nil {
			t.Fatal(err)
		}
		found[name] = sig
	}
	hashed := func(h crypto.Hash) []byte {
		w := h.New()
		w.Write(message)
		return w.Sum(nil)
	}
	switch signer.(type) {
	case ed25519.PrivateKey:
		add("message", message, crypto.Hash(0))
		add("SHA-512", hashed(crypto.SHA512), crypto.SHA512)
	case *rsa.PrivateKey:
		add("SHA-256", hashed(crypto.SHA256), crypto.SHA256)
		add("SHA-256 PSS", hashed(crypto.SHA256), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256})
		add("SHA-256 PSS, salt as hash", hashed(crypto.SHA256), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	case *ecdsa.PrivateKey:
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			add(h.String(), hashed(h), h)
		}
	}
	return found
}

func TestVerifier(t *testing.T) {
	rows := []struct {
		name   string
		signer crypto.Signer
		good   string // of the signatures, with spaces around each
	}{
		{"P-256", ecKey(t), " SHA-256 "},
		{"P-384", curveKey(t, elliptic.P384()), " SHA-256 SHA-384 "},
		{"P-521", curveKey(t, elliptic.P521()), " SHA-256 SHA-512 "},
		{"RSA", rsaKey(t, 2048), " SHA-256 SHA-256 PSS SHA-256 PSS, salt as hash "},
		{"Ed25519", edKey(t), " message SHA-512 "},
	}
	message := []byte("signed")
	stderr := silenced(t)
	for _, row := range rows {
		key, err := NewKey(row.signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		for name, sig := range signatures(t, row.signer, message) {
			t.Run(row.name+"/"+name, func(t *testing.T) {
				v := key.Verifier()
				want := strings.Contains(row.good, " "+name+" ")
				if err := v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)); (err == nil) != want {
					t.Errorf("got %v, want good: %v", err, want)
				}
				if err := v.VerifySignature(bytes.NewReader(sig), strings.NewReader("other")); err == nil {
					t.Error("a signature of another message is good")
				}
				if err := v.VerifySignature(bytes.NewReader(sig[:len(sig)-1]), bytes.NewReader(message)); err == nil {
					t.Error("a cut signature is good")
				}
				if err := v.VerifySignature(bytes.NewReader(nil), bytes.NewReader(message)); err == nil {
					t.Error("no signature is good")
				}
			})
		}
	}
	if said := stderr(); said != "" {
		t.Errorf("written to stderr: %s", said)
	}
}

// silenced returns a function that returns what was written to stderr.
func silenced(t *testing.T) func() string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stderr
	os.Stderr = w
	return func() string {
		os.Stderr = old
		_ = w.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(r)
		return b.String()
	}
}

// With a digest alone, the message is never looked at.
func TestVerifierWithDigest(t *testing.T) {
	message := []byte("signed")
	rows := []struct {
		name   string
		signer crypto.Signer
		hash   crypto.Hash
		opts   crypto.SignerOpts
		want   bool
	}{
		{"P-256", ecKey(t), crypto.SHA256, crypto.SHA256, true},
		{"P-384 by cosign 2", curveKey(t, elliptic.P384()), crypto.SHA256, crypto.SHA256, true},
		{"P-384", curveKey(t, elliptic.P384()), crypto.SHA384, crypto.SHA384, true},
		{"P-521", curveKey(t, elliptic.P521()), crypto.SHA512, crypto.SHA512, true},
		{"P-256 with SHA-512", ecKey(t), crypto.SHA512, crypto.SHA512, false},
		{"RSA", rsaKey(t, 2048), crypto.SHA256, crypto.SHA256, true},
		{"RSA with SHA-512", rsaKey(t, 2048), crypto.SHA512, crypto.SHA512, false},
		{"Ed25519ph", edKey(t), crypto.SHA512, crypto.SHA512, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := row.hash.New()
			w.Write(message)
			digest := w.Sum(nil)
			sig, err := row.signer.Sign(rand.Reader, digest, row.opts)
			if err != nil {
				t.Fatal(err)
			}
			key, err := NewKey(row.signer.Public())
			if err != nil {
				t.Fatal(err)
			}
			err = key.Verifier().VerifySignature(bytes.NewReader(sig), strings.NewReader("not looked at"), options.WithDigest(digest))
			if (err == nil) != row.want {
				t.Errorf("got %v, want good: %v", err, row.want)
			}
			digest[0] ^= 1
			if err := key.Verifier().VerifySignature(bytes.NewReader(sig), bytes.NewReader(message), options.WithDigest(digest)); err == nil {
				t.Error("another digest is good")
			}
			if err := key.Verifier().VerifySignature(bytes.NewReader(sig), bytes.NewReader(message), options.WithDigest([]byte{})); err == nil {
				t.Error("an empty digest is good")
			}
		})
	}
	ed := edKey(t)
	sum := sha256.Sum256(message)
	sig, _ := ed.Sign(rand.Reader, message, crypto.Hash(0))
	key, _ := NewKey(ed.Public())
	wants(t, key.Verifier().VerifySignature(bytes.NewReader(sig), nil, options.WithDigest(sum[:])), "cannot be checked with a digest alone")
}

func TestT43_Signature(t *testing.T) {
	key, _ := NewKey(ecKey(t).Public())
	wants(t, key.Verifier().VerifySignature(endless{}, strings.NewReader("x")), "signature: more than 65536 bytes")
	wants(t, key.Verifier().VerifySignature(strings.NewReader("x"), endless{}), "signed message: more than 10485760 bytes")
}

// endless is a reader that never ends.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }
