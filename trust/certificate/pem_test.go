package certificate

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/assay-dev/assay/trust"
)

// privateKeyPEM has the form of a private key and the content of none.
const privateKeyPEM = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"

func TestParsePEM(t *testing.T) {
	root := newCA(t, nil)
	leaf := pemOf(root.leaf(t, byName(app)))
	token := string(pem.EncodeToMemory(&pem.Block{Type: pemTimestamp, Bytes: []byte("token")}))
	const none = "dia-image layer does not contain any CERTIFICATE in PEM format"
	for name, c := range map[string]struct {
		file  string
		certs int
		want  string
	}{
		"a leaf":                         {leaf, 1, ""},
		"DIA-2 blank lines around":       {"\n\n" + leaf + "\n\n\n", 1, ""},
		"Windows line ends":              {strings.ReplaceAll(leaf, "\n", "\r\n"), 1, ""},
		"text around":                    {"subject=CN = x\n" + leaf + "\nthe end", 1, ""},
		"a leaf and its chain":           {leaf + root.pem(), 2, ""},
		"a leaf and a time stamp":        {leaf + token, 1, ""},
		"DIA-33 nothing":                 {"", 0, none},
		"DIA-33 text":                    {"hello", 0, none},
		"DIA-33 a time stamp alone":      {token, 0, "after the certificates"},
		"a time stamp first":             {token + leaf, 0, "after the certificates"},
		"a time stamp in the middle":     {leaf + token + root.pem(), 0, "after the certificates"},
		"two time stamps":                {leaf + token + token, 0, "after the certificates"},
		"a private key":                  {leaf + privateKeyPEM, 0, "holds a PRIVATE KEY"},
		"a private key first":            {privateKeyPEM + leaf, 0, "holds a PRIVATE KEY"},
		"a public key":                   {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n" + leaf, 0, none},
		"headers":                        {strings.Replace(leaf, "-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1), 0, "has headers"},
		"DIA-33 broken DER":              {strings.Replace(leaf, "MII", "MIJ", 1), 0, "failed to parse certificate"},
		"broken base64, then a good one": {strings.Replace(leaf, "MII", "!!!", 1) + leaf, 0, "1 of 2 PEM blocks are malformed"},
		"a block without an end":         {leaf + "-----BEGIN CERTIFICATE-----\nMII", 0, "malformed"},
		"T47 ten certificates":           {strings.Repeat(leaf, 10), 10, ""},
		"T47 eleven certificates":        {strings.Repeat(leaf, 11), 0, "more than 10 certificates"},
		"T47 very many certificates":     {strings.Repeat(leaf, 1000), 0, "1000 PEM blocks"},
		"T43 a long file":                {strings.Repeat("\n", maxFile+1), 0, "at most 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := ParsePEM([]byte(c.file))
			if c.want == "" {
				if err != nil || len(b.Certificates) != c.certs || strings.Contains(c.file, "TIMESTAMP") != (string(b.Timestamp) == "token") {
					t.Errorf("%+v, error %v, want %d certificates", b, err, c.certs)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

// What is malformed in an artifact is a "no": its bytes are what their digest says.
func TestMalformedFileIsUntrusted(t *testing.T) {
	a := newAuthority(t, Options{Roots: newCA(t, nil).pem()})
	for file, want := range map[string]string{
		"":            "dia-image layer does not contain any CERTIFICATE in PEM format",
		privateKeyPEM: "PRIVATE KEY",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "failed to parse certificate",
	} {
		artifact := artifactWithFile(t, "image.crt", []byte(file), Docker)
		proofs, err := a.Check(app, evidence(artifact.Blobs[1]), now)
		wantNo(t, proofs, err, want)
	}
}

func FuzzParsePEM(f *testing.F) {
	root := newCA(f, nil)
	f.Add([]byte(pemOf(root.leaf(f, byName(app)), root.cert)))
	f.Add([]byte(privateKeyPEM))
	f.Add(testdata(f, "rsa-leaf.pem"))
	f.Fuzz(func(t *testing.T, file []byte) {
		b, err := ParsePEM(file)
		if (err == nil) != (len(b.Certificates) > 0) || len(b.Certificates) > trust.MaxChain {
			t.Errorf("%d certificates, error %v", len(b.Certificates), err)
		}
		if err == nil && bytes.Contains(file, []byte("PRIVATE KEY-----\n")) && bytes.Contains(file, []byte("-----BEGIN PRIVATE KEY-----\n")) {
			t.Error("a private key was passed over")
		}
	})
}
