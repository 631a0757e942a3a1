//go:build e2e

package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// tokenIssuer makes tokens (RFC 7519, ES256) as GitLab makes them for a job with id_tokens.
type tokenIssuer struct {
	name     string
	audience string
	key      *ecdsa.PrivateKey
}

func newTokenIssuer(ts *testscript.TestScript) *tokenIssuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	return &tokenIssuer{name: "https://gitlab.acme.example", audience: "https://vault.acme.example", key: key}
}

// publicKey returns the key that Vault checks tokens with, in PEM.
func (i *tokenIssuer) publicKey(ts *testscript.TestScript) string {
	der, err := x509.MarshalPKIXPublicKey(&i.key.PublicKey)
	ts.Check(err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// token returns a token for a job of project 42, with CLAIM=VALUE for what shall differ.
func (i *tokenIssuer) token(ts *testscript.TestScript, claims []string) string {
	now := time.Now().Unix()
	payload := map[string]any{
		"iss": i.name, "aud": i.audience, "iat": now, "nbf": now - 5, "exp": now + 300,
		"sub":        "project_path:acme/app:ref_type:branch:ref:main",
		"project_id": "42", "project_path": "acme/app", "ref": "main", "ref_type": "branch", "ref_protected": "true", "job_id": "4711",
	}
	for _, claim := range claims {
		name, value, _ := strings.Cut(claim, "=")
		payload[name] = value
	}
	token, err := signToken(i.key, payload)
	ts.Check(err)
	return token
}

// signToken makes a token with these claims: RS256 or ES256, by the kind of the key.
func signToken(key crypto.Signer, claims map[string]any) (string, error) {
	algorithm := "ES256"
	if _, ok := key.(*rsa.PrivateKey); ok {
		algorithm = "RS256"
	}
	header, err := json.Marshal(map[string]string{"alg": algorithm, "typ": "JWT"})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(signed))
	signature, err := signSum(key, sum[:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), err
}

func signSum(key crypto.Signer, sum []byte) ([]byte, error) {
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return key.Sign(rand.Reader, sum, crypto.SHA256)
	}
	r, s, err := ecdsa.Sign(rand.Reader, ec, sum)
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64) // r and s, 32 octets each (RFC 7518, section 3.4)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature, nil
}
