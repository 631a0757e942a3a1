package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/sign/local"
	"github.com/assay-dev/assay/trust/certificate"
)

// demoStage is the registry and the authorities of the demo.
type demoStage struct {
	app    *app
	server *registrytest.Server
	store  *registry.Client
	folder string
}

// build pushes and signs the images and returns the cases in the order in which they are shown.
func (s *demoStage) build(ctx context.Context) ([]demoCase, error) {
	release, err := s.newAuthority("Demo Release CA")
	if err != nil {
		return nil, err
	}
	foreign, err := s.newAuthority("Somebody Else's CA")
	if err != nil {
		return nil, err
	}
	api, web, mail := s.push("api", "1"), s.push("web", "1"), s.push("mail", "1")
	cart, db := s.push("cart", "1"), s.push("db", "1")
	s.push("cron", "1")
	for _, job := range []struct {
		by  *demoAuthority
		ref image.Ref
	}{{release, api}, {foreign, web}, {release, cart}} {
		if _, err := s.sign(ctx, job.by, job.ref); err != nil {
			return nil, err
		}
	}
	taken, err := s.sign(ctx, release, mail)
	if err != nil {
		return nil, err
	}
	s.copyCertificate(api, db)
	s.server.PushImage("shop/cart", "1", "linux/amd64", "cart 1, pushed again by somebody")
	if err := s.writeAuthority(release, taken); err != nil {
		return nil, err
	}
	down, err := closedPort()
	if err != nil {
		return nil, err
	}
	host := s.server.Host()
	return []demoCase{
		{story: "signed by the right CA", image: host + "/shop/api:1", want: engine.Allowed},
		{story: "signed by a wrong CA", image: host + "/shop/web:1", want: engine.Denied},
		{story: "unsigned", image: host + "/shop/cron:1", want: engine.Denied},
		{story: "certificate copied from another image", image: host + "/shop/db:1", want: engine.Denied},
		{story: "tag moved after signing", image: host + "/shop/cart:1", want: engine.Denied},
		{story: "certificate revoked", image: host + "/shop/mail:1", want: engine.Denied},
		{story: "signed, pinned by digest", image: api.String(), want: engine.Allowed},
		{story: "registry is down", image: down + "/shop/api:1", want: engine.CouldNotTell},
	}, nil
}

// push pushes a small image and returns its name by digest.
func (s *demoStage) push(name, tag string) image.Ref {
	d := s.server.PushImage("shop/"+name, tag, "linux/amd64", name+" "+tag)
	return image.MustParse(s.server.Host() + "/shop/" + name + "@" + d.String())
}

func (s *demoStage) sign(ctx context.Context, by *demoAuthority, ref image.Ref) (*x509.Certificate, error) {
	results, err := sign.Image(ctx, s.store, by.issuer, ref, sign.Options{})
	if err != nil {
		return nil, err
	}
	return results[0].Leaf, nil
}

// copyCertificate does what somebody who may push but not sign would try: it puts the certificate of one image beside another.
func (s *demoStage) copyCertificate(from, to image.Ref) {
	mediaType, content := s.server.Manifest(from.Repository(), certificate.Tag(from.Digest()))
	s.server.PutManifest(to.Repository(), certificate.Tag(to.Digest()), mediaType, content)
}

// demoAuthority is a certificate authority that lives as long as the demo.
type demoAuthority struct {
	cert   *x509.Certificate
	key    crypto.Signer
	issuer *local.CA
}

func (s *demoStage) newAuthority(name string) (*demoAuthority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := s.app.now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	issuer, err := local.New(local.Config{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		Now:         s.app.now,
	})
	if err != nil {
		return nil, err
	}
	return &demoAuthority{cert: cert, key: key, issuer: issuer}, nil
}

// writeAuthority writes what the policy names: the authority's certificate, and the list of what it took back.
func (s *demoStage) writeAuthority(a *demoAuthority, taken *x509.Certificate) error {
	now := s.app.now()
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(24 * time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: taken.SerialNumber, RevocationTime: now}},
	}, a.cert, a.key)
	if err != nil {
		return err
	}
	folder := filepath.Join(s.folder, "ca")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	files := map[string]*pem.Block{
		"release.pem": {Type: "CERTIFICATE", Bytes: a.cert.Raw},
		"release.crl": {Type: "X509 CRL", Bytes: list},
	}
	for name, block := range files {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
