package sign_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/trust/certificate"
	"github.com/assay-dev/assay/trust/trusttest"
)

// stamper is a time-stamp authority over HTTP.
type stamper struct {
	root *x509.Certificate
	cert *x509.Certificate
	key  *rsa.PrivateKey
	edit func(*timestamp.Timestamp) // of what is answered
}

func newStamper(t *testing.T) *stamper {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	// RFC 3161, section 2.3: the extended key usage must be critical.
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	during := func(c *x509.Certificate) *x509.Certificate {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		return c
	}
	root := during(&x509.Certificate{
		SerialNumber: big.NewInt(8), Subject: pkix.Name{CommonName: "TSA root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	cert := during(&x509.Certificate{
		SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "TSA"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	})
	s := &stamper{key: key}
	for _, c := range []struct {
		template *x509.Certificate
		into     **x509.Certificate
	}{{root, &s.root}, {cert, &s.cert}} {
		der, err := x509.CreateCertificate(rand.Reader, c.template, root, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if *c.into, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *stamper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "no query", http.StatusBadRequest)
		return
	}
	query, err := timestamp.ParseRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	stamp := &timestamp.Timestamp{
		HashAlgorithm: query.HashAlgorithm, HashedMessage: query.HashedMessage, Nonce: query.Nonce,
		Time: time.Now(), Policy: asn1.ObjectIdentifier{1, 2, 3}, AddTSACertificate: query.Certificates,
	}
	if s.edit != nil {
		s.edit(stamp)
	}
	answer, err := stamp.CreateResponseWithOpts(s.cert, s.key, crypto.SHA256)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(answer)
}

func TestStampedCertificateIsProvedAtItsTime(t *testing.T) {
	w, tsa := newWorld(t), newStamper(t)
	server := httptest.NewServer(tsa)
	t.Cleanup(server.Close)
	roots := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tsa.root.Raw}))
	var err error
	cert, key := newCA(t)
	w.ca = localCA(t, cert, key)
	w.authority, err = certificate.Format().New(trusttest.Section{Options: certificate.Options{Roots: string(cert), Validity: "timestamp", TimestampRoots: roots}})
	if err != nil {
		t.Fatal(err)
	}
	w.sign(t, sign.Options{Stamper: sign.TimestampAuthority{URL: server.URL, Client: server.Client()}})
	if err := w.prove(t, w.image); err != nil {
		t.Error(err)
	}
	w.sign(t, sign.Options{})
	if err := w.prove(t, w.image); err == nil {
		t.Error("proved without a time stamp")
	}
}

func TestStampRefuses(t *testing.T) {
	tsa := newStamper(t)
	answer := func(edit func(*timestamp.Timestamp)) http.Handler {
		return &stamper{cert: tsa.cert, key: tsa.key, edit: edit}
	}
	for name, c := range map[string]struct {
		handler http.Handler
		want    string
	}{
		"of something else":     {answer(func(s *timestamp.Timestamp) { s.HashedMessage = make([]byte, 32) }), "something else"},
		"of another request":    {answer(func(s *timestamp.Timestamp) { s.Nonce = big.NewInt(1) }), "another request"},
		"of no request":         {answer(func(s *timestamp.Timestamp) { s.Nonce = nil }), "another request"},
		"an error":              {http.NotFoundHandler(), "404"},
		"no time stamp":         {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }), "time stamp"},
		"T43 an endless answer": {http.HandlerFunc(endless), "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			t.Cleanup(server.Close)
			client := &http.Client{Timeout: 2 * time.Second}
			_, err := sign.TimestampAuthority{URL: server.URL, Client: client}.Stamp(t.Context(), tsa.cert)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	chunk := make([]byte, 32<<10)
	for r.Context().Err() == nil {
		if _, err := w.Write(chunk); err != nil {
			return
		}
		time.Sleep(time.Millisecond) // slow enough for a reader without a limit to meet its deadline first
	}
}
